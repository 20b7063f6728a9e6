//! A job's checkpoints, as far as others than the engine look at them.

use super::atomic;
use contract::{Problem, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Folder of checkpoints in a job.
pub(crate) const CHECKPOINTS: &str = "checkpoint";
/// A checkpoint's description in its folder.
pub(crate) const HEADER: &str = "checkpoint.json";

/// A checkpoint's folder and what of its description matters.
pub(crate) struct Mark {
    pub(crate) path: PathBuf,
    /// Epochs that were done.
    pub(crate) epoch: usize,
    /// Batches of the next epoch that were done.
    pub(crate) batches: usize,
    /// Loss on validation images, else on all.
    pub(crate) score: Option<f64>,
}

impl Mark {
    /// Whether it stands at the end of an epoch.
    pub(crate) fn is_whole(&self) -> bool {
        self.batches == 0
    }

    /// The folder's name.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

#[derive(Deserialize)]
struct Header {
    position: Position,
}

#[derive(Deserialize)]
struct Position {
    epoch: usize,
    batches: usize,
    score: Option<f64>,
}

/// All checkpoints of a job, oldest first.
///
/// # Errors
/// There is no folder of checkpoints, or a description in it is not understood.
pub(crate) fn of_job(job: &Path) -> Result<Vec<Mark>> {
    let folder = job.join(CHECKPOINTS);
    let entries = std::fs::read_dir(&folder)
        .map_err(|e| Problem::io(&folder, &e).hint("name the folder of a job that has trained: `--job External/job007`"))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        // Folders that are being written begin with a dot.
        if entry.file_name().to_string_lossy().starts_with("epoch-")
            && let Some(Header { position }) = atomic::read_json::<Header>(&entry.path().join(HEADER))?
        {
            found.push(Mark { path: entry.path(), epoch: position.epoch, batches: position.batches, score: position.score });
        }
    }
    found.sort_by_key(|mark| (mark.epoch, mark.batches));
    Ok(found)
}

/// The one of the smallest loss among those at the end of an epoch.
pub(crate) fn best(marks: &[Mark]) -> Option<&Mark> {
    let judged = marks.iter().filter(|mark| mark.is_whole()).filter_map(|mark| Some((mark.score?, mark)));
    judged.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, mark)| mark)
}
