//! What a training job keeps in `encode/` so that a later job can encode other particles as it encoded its own: how its images were made, and
//! the linear model that its latents start from. It stays when a job is cleaned.

use super::atomic;
use contract::{GroupSummary, Prepared, Problem, Result};
use cryoem::prepare::{Invert, PrepareOptions};
use reconstruction::subspace::LinearModel;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FOLDER: &str = "encode";
const IMAGES: &str = "images.json";
const LINEAR: &str = "linear.safetensors";
/// Raised when a field of the images' file changes its meaning.
const SCHEMA: u32 = 1;

/// How a job's images were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Images {
    schema: u32,
    /// Side, pixels.
    pub(crate) size_px: usize,
    /// Pixel size of their grid, Å.
    pub(crate) apix: f64,
    /// Background, noise and sign of every optics group.
    pub(crate) groups: Vec<GroupSummary>,
}

impl Images {
    /// On a grid of so many pixels (Å), with nothing known of any group.
    pub(crate) fn of_grid(size_px: usize, apix: f64) -> Self {
        Self { schema: SCHEMA, size_px, apix, groups: Vec::new() }
    }

    /// Others are made alike so; `invert` is what the training job was told of the sign.
    pub(crate) fn options(&self, invert: Invert) -> PrepareOptions {
        PrepareOptions { size_px: self.size_px, apix: Some(self.apix), invert, known: self.groups.clone() }
    }
}

impl From<&Prepared> for Images {
    fn from(prepared: &Prepared) -> Self {
        Self { groups: prepared.groups.clone(), ..Self::of_grid(prepared.size_px, prepared.apix) }
    }
}

/// Keeps how images were made.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn keep_images(job: &Path, images: &Images) -> Result<()> {
    atomic::write_json(&place(job, IMAGES)?, images)
}

/// Keeps the linear model and returns its file.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn keep_linear(job: &Path, model: &LinearModel) -> Result<PathBuf> {
    let path = place(job, LINEAR)?;
    atomic::write(&path, &model.to_bytes()?)?;
    Ok(path)
}

/// How a job's images were made.
///
/// # Errors
/// The job has not kept it.
pub(crate) fn images(job: &Path) -> Result<Images> {
    let path = job.join(FOLDER).join(IMAGES);
    atomic::read_json::<Images>(&path)?.filter(|images| images.schema == SCHEMA).ok_or_else(|| missing(job, &path))
}

/// File of the linear model.
///
/// # Errors
/// The job has not kept it.
pub(crate) fn linear_file(job: &Path) -> Result<PathBuf> {
    let path = job.join(FOLDER).join(LINEAR);
    if path.exists() { Ok(path) } else { Err(missing(job, &path)) }
}

/// The linear model of a file.
///
/// # Errors
/// It cannot be read or understood.
pub(crate) fn linear(path: &Path) -> Result<LinearModel> {
    let bytes = std::fs::read(path).map_err(|e| Problem::io(path, &e))?;
    LinearModel::from_bytes(&bytes).map_err(|p| p.at(path.display().to_string()))
}

fn place(job: &Path, name: &str) -> Result<PathBuf> {
    let folder = job.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|e| Problem::io(&folder, &e))?;
    Ok(folder.join(name))
}

fn missing(job: &Path, path: &Path) -> Problem {
    Problem::input("is missing: an older version of the program trained this job, and did not keep what other particles are encoded with")
        .at(path.display().to_string())
        .hint(format!("continue {} with its own command: it makes what is missing, and does not train again", job.display()))
}
