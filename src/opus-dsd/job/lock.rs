//! The lock on a job folder: one process at a time may work in it.
//!
//! The folder itself is locked, so that no file is left; the system frees it when the process ends, however it ends. Some network disks
//! know no such locks, and some know them on one machine only; there `process.json` is what others can go by.

use contract::{Problem, Result};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// Somebody who looks ([`look`]) holds a shared lock for an instant; a job that begins just then tries again this long.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(20);

/// What can be told of a folder's lock from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// A process works in the folder.
    Taken,
    /// None on this machine, nor on others where the disk passes locks on.
    Free,
    /// The disk knows no locks.
    Unsupported,
}

/// A folder that is ours until this is dropped.
pub(crate) struct Held(#[allow(dead_code, reason = "closing the file frees the lock")] File);

/// Takes the lock. On a disk without locks the user has to take care.
///
/// # Errors
/// Another process has it (`Ok(None)`), or the folder cannot be opened.
pub(crate) fn take(folder: &Path) -> Result<Option<Held>> {
    let file = File::open(folder).map_err(|e| Problem::io(folder, &e))?;
    let until = Instant::now() + PATIENCE;
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        if Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(Some(Held(file)))
}

/// Looks whether the folder is locked. A job that begins at this very moment is not disturbed: it tries again.
///
/// # Errors
/// The folder cannot be opened.
pub(crate) fn look(folder: &Path) -> Result<Lock> {
    let file = File::open(folder).map_err(|e| Problem::io(folder, &e))?;
    Ok(match file.try_lock_shared() {
        Ok(()) => Lock::Free,
        Err(TryLockError::WouldBlock) => Lock::Taken,
        Err(TryLockError::Error(_)) => Lock::Unsupported,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look(folder.path()).unwrap(), Lock::Free);
        let held = take(folder.path()).unwrap().unwrap();
        assert_eq!(look(folder.path()).unwrap(), Lock::Taken);
        assert!(take(folder.path()).unwrap().is_none());
        drop(held);
        assert_eq!(look(folder.path()).unwrap(), Lock::Free);
    }

    #[test]
    fn looking_does_not_disturb_a_job_that_begins() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(folder.path()).unwrap();
        file.try_lock_shared().unwrap();
        let looker = std::thread::spawn(move || {
            std::thread::sleep(PAUSE * 3);
            drop(file);
        });
        assert!(take(folder.path()).unwrap().is_some());
        looker.join().unwrap();
    }
}
