//! `note.txt`: what people read in the host's window beside the job.

use contract::{Problem, Result};
use std::io::Write;
use std::path::Path;

/// Appends lines to the job's note; RELION's own lines may land before or after them.
pub(crate) fn append(folder: &Path, lines: &[String]) -> Result<()> {
    let path = folder.join("note.txt");
    let mut text = lines.join("\n");
    text.push('\n');
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(|e| Problem::io(&path, &e))?;
    file.write_all(text.as_bytes()).map_err(|e| Problem::io(&path, &e))
}
