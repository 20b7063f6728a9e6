//! Tables are read right, or refused with what is wrong and where.

mod checks;
mod fixtures;
mod large;
mod refusals;
mod values;

use super::{ParticleSet, ReadOptions, read};
use crate::mrc::{Values, write_stack};
use contract::Result;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Images in the stack of a scratch project.
const IMAGES: usize = 40;

/// Their box, pixels.
const BOX_PX: usize = 8;

/// A project folder with a stack `Extract/job001/images.mrcs` and a place for a STAR file, `Refine3D/job002/run_data.star`.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let project = Self { folder };
        project.stack("Extract/job001/images.mrcs", BOX_PX);
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn stack(&self, name: &str, box_px: usize) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("inside the project")).expect("a folder");
        write_stack(&path, &vec![0.5; IMAGES * box_px * box_px], box_px, 2.0, Values::Single).expect("a stack");
    }

    fn star(&self, text: &str) -> PathBuf {
        let path = self.path("Refine3D/job002/run_data.star");
        std::fs::create_dir_all(path.parent().expect("inside the project")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn options(&self) -> ReadOptions {
        ReadOptions { project: Some(self.folder.path().to_owned()), ..ReadOptions::default() }
    }

    fn read(&self, text: &str) -> Result<ParticleSet> {
        read(&self.star(text), &self.options())
    }

    /// A message with the scratch folder's name taken out.
    fn refusal(&self, result: Result<ParticleSet>) -> String {
        let message = result.expect_err("a table that cannot be used").to_string();
        message.replace(&self.folder.path().display().to_string(), "PROJECT")
    }
}

/// A 3.1 file of [`IMAGES`] particles in two optics groups.
fn modern() -> String {
    let mut text = String::from(
        "\n# version 30001\n\ndata_optics\n\nloop_ \n_rlnOpticsGroup #1 \n_rlnOpticsGroupName #2 \n_rlnVoltage #3 \n_rlnSphericalAberration #4 \n\
         _rlnAmplitudeContrast #5 \n_rlnImagePixelSize #6 \n_rlnImageSize #7 \n_rlnImageDimensionality #8 \n_rlnCtfDataAreCtfPremultiplied #9 \n\
         7 krios 300.000000 2.700000 0.100000 2.000000 8 2 0\n3 \"the glacios\" 200.000000 2.500000 0.070000 2.100000 8 2 1\n \n\n# version 30001\n\n\
         data_particles\n\nloop_ \n_rlnImageName #1 \n_rlnOpticsGroup #2 \n_rlnAngleRot #3 \n_rlnAngleTilt #4 \n_rlnAnglePsi #5 \n\
         _rlnOriginXAngst #6 \n_rlnOriginYAngst #7 \n_rlnDefocusU #8 \n_rlnDefocusV #9 \n_rlnDefocusAngle #10 \n_rlnPhaseShift #11 \n\
         _rlnCtfBfactor #12 \n_rlnCtfScalefactor #13 \n_rlnRandomSubset #14 \n_rlnClassNumber #15 \n",
    );
    for i in 0..IMAGES {
        let group = if i < 30 { 7 } else { 3 };
        text.push_str(&format!(
            "{:06}@Extract/job001/images.mrcs {group} {:.6} {:.6} {:.6} {:.6} {:.6} {:.6} {:.6} 30.000000 {:.6} 50.000000 0.900000 {} 1 \n",
            i + 1,
            9.0 * i as f64 - 170.0,
            4.0 * i as f64 + 10.0,
            120.0 - 5.0 * i as f64,
            0.04 * i as f64,
            -0.02 * i as f64,
            10000.0 + 10.0 * i as f64,
            9800.0 + 10.0 * i as f64,
            i as f64,
            i % 2 + 1
        ));
    }
    text + " \n"
}

/// A 3.0 file of the same particles.
fn old() -> String {
    let mut text = String::from(
        "\ndata_images\n\nloop_ \n_rlnImageName #1 \n_rlnVoltage #2 \n_rlnSphericalAberration #3 \n_rlnAmplitudeContrast #4 \n_rlnMagnification #5 \n\
         _rlnDetectorPixelSize #6 \n_rlnAngleRot #7 \n_rlnAngleTilt #8 \n_rlnAnglePsi #9 \n_rlnOriginX #10 \n_rlnOriginY #11 \n_rlnDefocusU #12 \n\
         _rlnDefocusV #13 \n_rlnDefocusAngle #14 \n",
    );
    for i in 0..IMAGES {
        let optics = if i < 30 { "300 2.7 0.1" } else { "200.00 2.7 0.1" };
        text.push_str(&format!(
            "{}@Extract/job001/images.mrcs {optics} 25000 5 {:.6} {:.6} {:.6} {:.6} {:.6} {:.6} {:.6} 30.000000\n",
            i + 1,
            9.0 * i as f64 - 170.0,
            4.0 * i as f64 + 10.0,
            120.0 - 5.0 * i as f64,
            0.02 * i as f64,
            -0.01 * i as f64,
            10000.0 + 10.0 * i as f64,
            9800.0 + 10.0 * i as f64,
        ));
    }
    text + "\n"
}

/// Archives made by `tests/data/legacy/make.py`.
fn archive(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/legacy").join(name)
}
