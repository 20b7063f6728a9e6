//! Simulated sets in a form that RELION 3.1 reads, and what RELION makes of them.

use cryoem::mrc::{StackReader, Values, read_volume, write_stack};
use cryoem::particles::ParticleSet;
use cryoem::subset;
use cryoem::volume::Volume;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A set in a scratch folder of its own, its images in single precision (RELION 3.1 does not read half precision).
pub(crate) struct Set {
    /// Where it comes from: mask, consensus, labels.
    pub(crate) data: PathBuf,
    folder: tempfile::TempDir,
}

/// A set of the extra data; `None` where they are not there.
pub(crate) fn tiny(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("OPUS_DSD_EXTRA_DATA").map(|folder| PathBuf::from(folder).join("tiny").join(name));
    let data = data.filter(|folder| folder.is_dir());
    if data.is_none() {
        crate::skip::skipped(format_args!("no {name}; name the folder of extra data in OPUS_DSD_EXTRA_DATA"));
    }
    data
}

/// The set, where it and RELION are there.
pub(crate) fn relion_readable(name: &str) -> Option<Set> {
    let data = tiny(name)?;
    if Command::new("relion_reconstruct").arg("--help").output().is_err() {
        crate::skip::skipped_outside_ci("RELION (relion_reconstruct) is not installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let reader = StackReader::open(&data.join("particles.mrcs")).unwrap();
    let n = reader.box_px().unwrap();
    let mut pixels = vec![0.0; reader.len() * n * n];
    pixels.chunks_exact_mut(n * n).enumerate().for_each(|(i, image)| reader.read_into(i, image).unwrap());
    write_stack(&folder.path().join("particles.mrcs"), &pixels, n, reader.apix().unwrap(), Values::Single).unwrap();
    std::fs::copy(data.join("particles.star"), folder.path().join("particles.star")).unwrap();
    Some(Set { data, folder })
}

impl Set {
    /// A set that RELION can read as it is, in a folder with its labels and masks.
    pub(crate) fn beside(data: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(data.join("particles.mrcs"), folder.path().join("particles.mrcs")).unwrap();
        std::fs::copy(data.join("particles.star"), folder.path().join("particles.star")).unwrap();
        Self { data: data.to_path_buf(), folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn star(&self) -> PathBuf {
        self.path().join("particles.star")
    }

    /// RELION's map of some rows.
    pub(crate) fn relion_reconstruct(&self, set: &ParticleSet, rows: &[usize]) -> Volume {
        let (star, map) = (self.path().join("rows.star"), self.path().join("rows.mrc"));
        subset::write_rows(&star, set, rows).unwrap();
        self.relion("relion_reconstruct", &["--ctf", "--i", "rows.star", "--o", "rows.mrc"]);
        read_volume(&map).unwrap()
    }

    /// Runs a RELION program in the set's folder; it must succeed.
    pub(crate) fn relion(&self, program: &str, arguments: &[&str]) -> String {
        let done = Command::new(program).args(arguments).current_dir(self.path()).env("OMP_NUM_THREADS", "1").output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{program} {arguments:?}: {text}");
        text
    }

    /// True state of every particle.
    pub(crate) fn labels(&self) -> Vec<usize> {
        let text = std::fs::read_to_string(self.data.join("labels.csv")).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
    }

    /// True maps of the states, from the model that the set was made of; `None` without a Python that can make them.
    pub(crate) fn true_maps(&self, model: &str, box_px: usize, apix: f64) -> Option<Vec<Volume>> {
        let python = std::env::var("OPUS_DSD_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
        let shared = self.data.join("../../..").canonicalize().unwrap();
        let script = shared.join("tools/simulate.py");
        let able = Command::new(&python).args(["-c", "import numpy, scipy"]).output().is_ok_and(|o| o.status.success());
        if !able || !script.exists() {
            let why = format!("true maps need {} and numpy and scipy for {python} (OPUS_DSD_TEST_PYTHON)", script.display());
            crate::skip::skipped_outside_ci(why);
            return None;
        }
        let out = self.path().join("truth");
        let mut command = Command::new(&python);
        command.arg(script).arg("volumes").arg(shared.join("data/models").join(model)).arg("-o").arg(&out);
        let done = command.args(["--box", &box_px.to_string(), "--apix", &apix.to_string()]).env("OMP_NUM_THREADS", "1").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut maps = Vec::new();
        while let Ok(map) = read_volume(&out.join(format!("gt/vol_{:03}.mrc", maps.len()))) {
            maps.push(map);
        }
        assert!(!maps.is_empty(), "no true maps in {}", out.display());
        Some(maps)
    }
}
