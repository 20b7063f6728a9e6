//! Where the particles of a job that has ended are read from.

use super::settings_file;
use super::stages::cluster::PARTICLES;
use contract::Result;
use std::path::{Path, PathBuf};

/// What is to be said besides of a copy by a job that has clusters.
pub(crate) const ITS_CLASSES: &str = ", whose rlnClassNumber is that of its clusters";

/// A particle file of a job, read.
pub(crate) struct Source<T> {
    pub(crate) path: PathBuf,
    pub(crate) particles: T,
    /// Why it is not the file that the job was given, but the copy.
    pub(crate) note: Option<String>,
}

/// The file that a job was given, whose every cell is as the host wrote it; where it is gone or has become another, the particles in the folder
/// `copy`. `other` says what makes it another.
///
/// # Errors
/// Neither can be read.
pub(crate) fn of_job<T>(
    folder: &Path,
    copy: &Path,
    read: impl Fn(&Path) -> Result<T>,
    other: impl Fn(&T) -> Option<String>,
) -> Result<Source<T>> {
    let why = match settings_file::read(folder)? {
        None => "the job has no `settings.json`".into(),
        Some(before) => {
            let path = before.input.particles;
            match read(&path) {
                Ok(particles) => match other(&particles) {
                    None => return Ok(Source { path, particles, note: None }),
                    Some(what) => format!("{} {what}", path.display()),
                },
                Err(problem) => problem.to_string(),
            }
        }
    };
    let path = copy.join(PARTICLES);
    let note = format!("{why}; taking the job's own copy, {}", path.display());
    Ok(Source { particles: read(&path)?, path, note: Some(note) })
}
