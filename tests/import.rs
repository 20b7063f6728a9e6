//! `import`: runs of the original as PyTorch writes them become jobs that are decoded and analysed, with the original's maps.

#[path = "support/job.rs"]
mod job;
#[path = "support/page.rs"]
mod page;
#[path = "support/skip.rs"]
mod skip;

use cryoem::mrc::read_volume;
use job::{Ended, engine, program};
use safetensors::SafeTensors;
use starfile::StarFile;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Latents of every made run.
const PARTICLES: usize = 24;
/// The runs that `import/make.py` makes, as it names them.
const RUNS: [&str; 10] = [
    "first:first",
    "second:second:module",
    "moved:first:moved:module:pieces",
    "old:second:old",
    "one_row:first:one_row",
    "lacks:second:lacks=encoder.mu.bias",
    "extra:second:extra=decoder.template.more.weight",
    "buffer:second:extra=decoder.counter",
    "bodies:second:bodies",
    "golden:second:moved:golden=",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The made runs, once a test program; `None` where no PyTorch is there to make them.
fn runs() -> Option<&'static Path> {
    static RUNS_FOLDER: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let made = RUNS_FOLDER.get_or_init(|| {
        engine();
        let python = std::env::var("OPUS_DSD_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
        let golden = format!("{}{}", RUNS[RUNS.len() - 1], root().join("tests/data/golden").display());
        let why = pythons().into_iter().map(|libraries| {
            let folder = tempfile::tempdir().unwrap();
            let done = Command::new(&python)
                .arg(root().join("tests/import/make.py"))
                .arg(folder.path())
                .args(&RUNS[..RUNS.len() - 1])
                .arg(&golden)
                .env("PYTHONPATH", libraries)
                .output();
            match done {
                Ok(done) if done.status.success() => Ok(folder),
                Ok(done) => Err(String::from_utf8_lossy(&done.stderr).lines().last().unwrap_or_default().to_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
        let mut last = String::new();
        for attempt in why {
            match attempt {
                Ok(folder) => return Some(folder),
                Err(reason) => last = reason,
            }
        }
        skip::skipped_outside_ci(format_args!(
            "runs of the original cannot be made: {python} (OPUS_DSD_TEST_PYTHON) has no PyTorch and NumPy ({last})"
        ));
        None
    });
    made.as_ref().map(tempfile::TempDir::path)
}

/// Where Python may find PyTorch: its own, the one that this project is built with, and that with CUDA beside it.
fn pythons() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    if let Ok(libtorch) = root().join(".libtorch").canonicalize() {
        let beside = libtorch.parent().and_then(|cache| std::fs::read_dir(cache).ok()).into_iter().flatten().flatten();
        found.extend(beside.map(|entry| entry.path()).filter(|path| path != &libtorch && path.join("torch/__init__.py").is_file()));
        found.push(libtorch);
    }
    found
}

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, line: &str) -> Ended {
        let mut command = Command::new(program());
        Ended::of(command.args(line.split_whitespace()).current_dir(self.0.path()).env("OMP_NUM_THREADS", "1").output().unwrap())
    }

    fn succeed(&self, line: &str) -> Ended {
        let ended = self.run(line);
        assert_eq!(ended.status, Some(0), "{line}: {}", ended.err);
        ended
    }
}

/// A NumPy file of f32 in C order.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Difference over norm.
fn difference(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    square(&mut got.iter().zip(expected).map(|(a, b)| f64::from(a - b))) / square(&mut expected.iter().map(|v| f64::from(*v)))
}

#[test]
fn both_revisions_decode_as_pytorch_does() {
    let Some(runs) = runs() else { return };
    for (run, epochs) in
        [("first", vec!["epoch-001", "epoch-003"]), ("second", vec!["epoch-001", "epoch-003"]), ("moved", vec!["epoch-003"])]
    {
        let project = Project::new();
        let ended = project.succeed(&format!("import {} --o job/ --j 1", runs.join(run).display()));
        assert!(ended.out.contains("next: ") && project.path("job/RELION_JOB_EXIT_SUCCESS").exists(), "{}", ended.out);
        let mut there: Vec<_> =
            std::fs::read_dir(project.path("job/checkpoint")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        assert_eq!(there, epochs, "{run}");
        assert!(!project.path("job/stages/import").exists());
        let latents = npy(&runs.join(run).join("expected_z.npy"));
        assert_eq!(npy(&project.path("job/latents.npy")), latents, "{run}");
        let star = StarFile::read(&project.path("job/particles.star")).unwrap();
        let block = cryoem::particles::particles_block(&star).unwrap();
        assert_eq!(block.rows(), PARTICLES);
        let column = |label: &str| block.column(label).unwrap().numbers().unwrap();
        assert!((column("rlnAngleRot")[2] + 140.0).abs() < 1e-4 && (column("rlnDefocusU")[3] - 12300.0).abs() < 0.01);
        // 2/800 of a box of 32 pixels of 3 Å.
        assert!((column("rlnOriginXAngst")[2] - 0.24).abs() < 1e-5);

        project.succeed("decode --job job --o maps --particles 1,2 --device cpu --j 1");
        let expected = npy(&runs.join(run).join("expected.npy"));
        for (index, expected) in expected.chunks(expected.len() / 2).enumerate() {
            let map = read_volume(&project.path(&format!("maps/vol_{index:03}.mrc"))).unwrap();
            assert_eq!(map.data.dim(), (20, 20, 20));
            assert!((map.apix - 4.0).abs() < 1e-5, "{}", map.apix);
            let error = difference(map.data.as_slice().unwrap(), expected);
            assert!(error < 1e-5, "{run}, map {index}: {error}");
        }
        let mask = read_volume(&project.path("job/mask.mrc")).unwrap();
        assert_eq!((mask.data.dim(), mask.data[[12, 12, 12]]), ((24, 24, 24), 1.0));
    }
}

#[test]
fn an_imported_job_is_analysed_without_its_images() {
    let Some(runs) = runs() else { return };
    let project = Project::new();
    // Not one of the stacks' names leads anywhere.
    let ended = project.succeed(&format!("import --original {} --o job/ --j 1", runs.join("moved").display()));
    assert!(ended.out.contains("are not there"), "{}", ended.out);
    let data = page::data(&project.path("job"));
    assert!(data["verdict"]["text"].as_str().unwrap().starts_with("The run is imported: 24 particles"), "{}", data["verdict"]);
    let facts: Vec<(String, String)> = serde_json::from_value(data["facts"].clone()).unwrap();
    let fact = |name: &str| facts.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert!(fact("epochs").starts_with("3, ") && fact("not kept").contains("optimiser"), "{facts:?}");
    assert_eq!(data["words"]["classes"], serde_json::json!(["not divided yet"]));
    assert!(std::fs::read(project.path("job/logfile.pdf")).unwrap().starts_with(b"%PDF-"));
    page::opens_quietly(&project.path("job"));
    project.succeed("analyse --in_parts job/particles.star --o analysis/ --clusters 2 --pcs 1 --points 2 --device cpu --j 1");
    for name in ["cluster001.mrc", "cluster002_particles.star", "pc1/vol_001.mrc", "report.html", "logfile.pdf", "latents.star"] {
        assert!(project.path("analysis").join(name).exists(), "{name}");
    }
    let map = read_volume(&project.path("analysis/cluster001.mrc")).unwrap();
    assert_eq!(map.data.dim(), (20, 20, 20));
    let star = StarFile::read(&project.path("analysis/particles.star")).unwrap();
    let block = cryoem::particles::particles_block(&star).unwrap();
    // The first latent of the first half is 6 larger.
    let classes = block.column("rlnClassNumber").unwrap().integers().unwrap();
    assert!(classes[..12].iter().all(|c| *c == classes[0]) && classes[12..].iter().all(|c| *c != classes[0]), "{classes:?}");
    project.succeed("select --job analysis --o chosen --clusters 1");
    let again = project.run("analyse --job job --o halves/ --clusters 2 --halves --device cpu --j 1");
    assert!(again.status == Some(2) && again.err.contains("no such image file"), "{}", again.err);
    assert!(again.last_error().contains("`--datadir`"), "{}", again.err);
    // The images are found where they are said to be; these are too few and too small to make maps of, which is another matter.
    let found = project
        .run(&format!("analyse --job job --o found/ --clusters 2 --halves --datadir {} --device cpu --j 1", runs.join("first").display()));
    assert!(!found.err.contains("no such image file"), "{}", found.err);
    let chosen = project.run("select --job job --o none/ --clusters 1");
    assert!(chosen.status == Some(2) && chosen.err.contains("imported run"), "{}", chosen.err);
    let loaded = project.run("analyse --job job --o gone/ --epoch best --device cpu --j 1");
    assert!(loaded.err.contains("epochs that were kept: 3"), "{}", loaded.err);
}

#[test]
fn a_given_table_keeps_its_rows() {
    let Some(runs) = runs() else { return };
    let project = Project::new();
    project.succeed(&format!("import {} --o job/ --epoch 1 --j 1", runs.join("second").display()));
    let table = std::fs::read_to_string(project.path("job/particles.star")).unwrap();
    std::fs::write(project.path("given.star"), &table).unwrap();
    let short: String = table.lines().filter(|line| !line.contains("000024@")).map(|line| format!("{line}\n")).collect();
    std::fs::write(project.path("short.star"), short).unwrap();
    let line = format!("import {} --in_parts given.star --o again/ --epoch 1 --j 1", runs.join("moved").display());
    assert!(project.run(&line).err.contains("`weights.1.pkl` with `z.1.pkl`"));
    project.succeed(&line.replace("--epoch 1", "--epoch 3"));
    let again = std::fs::read_to_string(project.path("again/particles.star")).unwrap();
    assert_eq!(again, table);
    let refused = project.run(&line.replace("--epoch 1", "").replace("given", "short"));
    assert!(
        refused.status == Some(2) && refused.err.contains("short.star: has 23 particles") && refused.err.contains("latents of 24"),
        "{}",
        refused.err
    );
}

#[test]
fn older_files_and_single_rows_of_layers_are_read() {
    let Some(runs) = runs() else { return };
    let project = Project::new();
    for run in ["old", "one_row", "buffer"] {
        project.succeed(&format!("import {} --o {run}/ --j 1", runs.join(run).display()));
    }
    project.succeed("decode --job old --o maps --particles 1 --device cpu --j 1");
    let expected = npy(&runs.join("old/expected.npy"));
    let map = read_volume(&project.path("maps/vol_000.mrc")).unwrap();
    assert!(difference(map.data.as_slice().unwrap(), &expected[..8000]) < 1e-5);
}

#[test]
fn what_does_not_fit_is_named() {
    let Some(runs) = runs() else { return };
    let project = Project::new();
    let copy = |from: &str, to: &str, changes: &[(&str, &str)]| {
        std::fs::create_dir_all(project.path(to)).unwrap();
        for entry in std::fs::read_dir(runs.join(from)).unwrap().flatten() {
            std::fs::copy(entry.path(), project.path(to).join(entry.file_name())).unwrap();
        }
        for (file, source) in changes {
            let target = project.path(to).join(file);
            if source.is_empty() {
                std::fs::remove_file(target).unwrap();
            } else {
                std::fs::copy(runs.join(source), target).unwrap();
            }
        }
    };
    copy("moved", "no_config", &[("config.pkl", "")]);
    copy("moved", "other_config", &[("config.pkl", "second/config.pkl")]);
    copy("moved", "other_latents", &[("z.3.pkl", "second/z.3.pkl")]);
    copy("moved", "no_poses", &[("poses.pkl", "")]);
    copy("moved", "cut", &[]);
    let whole = std::fs::read(project.path("cut/weights.3.pkl")).unwrap();
    std::fs::write(project.path("cut/weights.3.pkl"), &whole[..whole.len() / 2]).unwrap();
    copy("moved", "evil", &[]);
    std::fs::write(project.path("evil/z.3.pkl"), b"\x80\x02cos\nsystem\nX\x12\x00\x00\x00touch pickle-was-ran\x85R.").unwrap();
    std::fs::copy(root().join("tests/data/legacy/refused_call.pkl"), project.path("evil/config.pkl")).unwrap();
    let made = |run: &str| runs.join(run).display().to_string();
    for (folder, parts) in [
        (made("lacks"), ["tensor `encoder.mu.bias`", "missing"]),
        (made("extra"), ["tensor `decoder.template.more.weight`", "no layer"]),
        (made("bodies"), ["several bodies", "without `--masks`"]),
        ("no_config".into(), ["config.pkl", "copy it to the weights"]),
        ("other_config".into(), ["zdim 3", "`config.pkl` says 4"]),
        ("other_latents".into(), ["of 4 dimensions", "expected 24 of the 3"]),
        ("no_poses".into(), ["`--poses`", "/somewhere/else/poses.pkl"]),
        ("cut".into(), ["weights.3.pkl", "the file was cut off"]),
        ("evil".into(), ["asks for `posix.system`", "nothing in it was run"]),
        ("nowhere".into(), ["nowhere", "name the folder"]),
    ] {
        let _ = std::fs::remove_dir_all(project.path("out"));
        let ended = project.run(&format!("import {folder} --o out/ --j 1"));
        assert!(matches!(ended.status, Some(2 | 3)), "{folder}: {}", ended.err);
        assert!(parts.iter().all(|part| ended.err.contains(part)), "{folder}: {}", ended.err);
        assert!(project.path("out/RELION_JOB_EXIT_FAILURE").exists(), "{folder}");
    }
    assert!(!project.path("pickle-was-run").exists());
    let itself = project.run("import cut --o cut/");
    assert_eq!(itself.status, Some(2), "{}", itself.err);
}

/// A golden map: its latent and some of its voxels.
struct Golden {
    z: Vec<f32>,
    places: Vec<usize>,
    values: Vec<f32>,
    sides: Vec<usize>,
}

impl Golden {
    fn read(case: &str) -> Self {
        let bytes = std::fs::read(root().join("tests/data/golden").join(format!("{case}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = |name: &str| file.tensor(name).unwrap().data().to_vec();
        let whole = |name: &str| data(name).chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().unwrap()) as usize).collect();
        let single = |name: &str| data(name).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        Self { z: single("z"), places: whole("volume.pos"), values: single("volume.val"), sides: whole("volume.shape") }
    }

    fn error(&self, map: &Path) -> f64 {
        let map = read_volume(map).unwrap();
        assert_eq!(map.data.shape(), self.sides);
        let ours = map.data.as_slice().unwrap();
        difference(&self.places.iter().map(|place| ours[*place]).collect::<Vec<_>>(), &self.values)
    }
}

#[test]
fn maps_are_those_of_the_original() {
    let Some(runs) = runs() else { return };
    let project = Project::new();
    project.succeed(&format!("import {} --o job/ --j 1", runs.join("golden").display()));
    // The original writes the target's voxel size into the header; the true one is that of 45 steps of 3 Å over the steps of the map.
    let spans = 45.0 * 3.0;
    for (case, more, side) in [("h_evalvola_0", "", 46), ("h_evalvolc_0", "", 68), ("h_evalvolb_1", " --flip", 30)] {
        let (golden, apix) = (Golden::read(case), spans / f64::from(side - 1));
        let z: Vec<String> = golden.z.iter().map(ToString::to_string).collect();
        std::fs::write(project.path("z.txt"), z.join(" ")).unwrap();
        // What is not said is as the original has it.
        let form = if side == 46 { String::new() } else { format!(" --box {side} --apix {apix}") };
        project.succeed(&format!("decode --job job --o {case} --zfile z.txt{form}{more} --device cpu --j 1"));
        let error = golden.error(&project.path(case).join("vol_000.mrc"));
        println!("{case}: relative error {error:.1e}");
        assert!(error < 1e-4, "{case}: {error}");
    }
}
