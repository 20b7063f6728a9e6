//! Files that appear whole or not at all: written beside their final name, synced, renamed.

use contract::{Problem, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file under construction; unless [`AtomicFile::commit`] is reached, nothing of it stays on disk.
pub(crate) struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Opens `.NAME.tmp` in the folder of `target`; what a killed process left under that name is overwritten.
    ///
    /// # Errors
    /// The folder is missing or cannot be written; the problem names the target.
    pub(crate) fn create(target: &Path) -> Result<Self> {
        let name = target.file_name().ok_or_else(|| Problem::input("is not the name of a file").at(target.display().to_string()))?;
        let temporary = target.with_file_name(format!(".{}.tmp", name.to_string_lossy()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary).map_err(|e| Problem::io(target, &e))?;
        Ok(Self { target: target.to_path_buf(), temporary, writer: Some(BufWriter::with_capacity(1 << 20, file)) })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The disk is full, or another write error; the problem names the target.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let writer = self.writer.as_mut().expect("the writer is taken only by commit");
        writer.write_all(bytes).map_err(|e| write_problem(&self.target, &e))
    }

    /// Syncs and renames to the final name; `head`, where given, replaces the first bytes of the file before that.
    ///
    /// # Errors
    /// As [`AtomicFile::write`].
    pub(crate) fn commit(mut self, head: Option<&[u8]>) -> Result<()> {
        let target = self.target.clone();
        let fail = |e: &std::io::Error| write_problem(&target, e);
        let writer = self.writer.take().expect("the writer is taken only here");
        let file = writer.into_inner().map_err(|e| fail(e.error()))?;
        if let Some(head) = head {
            std::os::unix::fs::FileExt::write_all_at(&file, head, 0).map_err(|e| fail(&e))?;
        }
        file.sync_all().map_err(|e| fail(&e))?;
        fs::rename(&self.temporary, &self.target).map_err(|e| fail(&e))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a commit the temporary name is gone and this finds nothing.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a whole small file atomically.
///
/// # Errors
/// As [`AtomicFile`].
pub(crate) fn write(target: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(target)?;
    file.write(bytes)?;
    file.commit(None)
}

/// A write error with the hint that fits it.
pub(crate) fn write_problem(path: &Path, error: &std::io::Error) -> Problem {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let problem = Problem::io(path, error);
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            problem.hint("free some space, or choose another folder for temporary files with `--scratch`")
        }
        _ => problem,
    }
}
