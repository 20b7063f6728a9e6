//! Disks: free space, whether locks work, and sizes for people.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Free space of the disk that holds a folder (or the nearest one above it that is there), bytes.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|p| !p.as_os_str().is_empty() && p.exists()).unwrap_or(Path::new("."));
    let name = CString::new(there.as_os_str().as_bytes()).ok()?;
    // SAFETY: plain data that the call fills; the name outlives it.
    let facts = unsafe {
        let mut facts: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &raw mut facts) == 0).then_some(facts)
    }?;
    Some(facts.f_bavail * facts.f_frsize)
}

/// Whether folders on the disk of `path` can be locked, so that two jobs cannot run in one folder.
pub(crate) fn knows_locks(path: &Path) -> bool {
    File::open(path).is_ok_and(|folder| !matches!(folder.try_lock_shared(), Err(std::fs::TryLockError::Error(_))))
}

/// Bytes below a path, links counted as nothing and not followed.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return 0 };
    if metadata.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|e| bytes_below(&e.path())).sum();
    }
    if metadata.is_file() { metadata.len() } else { 0 }
}

/// Bytes for people, in powers of 1000 as disks are sold.
pub(crate) fn for_people(bytes: u64) -> String {
    match bytes {
        b if b < 1_000 => format!("{b} B"),
        b if b < 1_000_000 => format!("{:.0} kB", b as f64 / 1e3),
        b if b < 1_000_000_000 => format!("{:.1} MB", b as f64 / 1e6),
        b if b < 1_000_000_000_000 => format!("{:.1} GB", b as f64 / 1e9),
        b => format!("{:.1} TB", b as f64 / 1e12),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(&folder.path().join("a/b")).is_some_and(|b| b > 0));
        assert!(knows_locks(folder.path()));
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/x"), [0; 100]).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        assert_eq!(bytes_below(folder.path()), 100);
    }

    #[test]
    fn sizes() {
        assert_eq!([999, 1500, 2_500_000, 3_210_000_000].map(for_people), ["999 B", "2 kB", "2.5 MB", "3.2 GB"]);
    }
}
