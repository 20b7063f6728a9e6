//! Files mapped for reading whose pages do not stay in the process.

use contract::{Problem, Result};
use memmap2::{Mmap, UncheckedAdvice};
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Linux maps this many bytes around a page that is missed, in windows of this size, where the kernel has them at hand: they count as resident,
/// too.
const WINDOW_BYTES: usize = 64 << 10;
/// After so many bytes all pages are let go of: newer kernels (6.18) map whole blocks of their cache, far beyond a window. Of a million images
/// they left 6 GB.
const SWEEP_BYTES: usize = 64 << 20;

/// A file mapped for reading. [`Mapped::look`] hands its pages back, so that what is resident does not grow with what was read; the
/// kernel keeps them in its cache for as long as nobody needs the memory.
#[derive(Debug)]
pub(crate) struct Mapped {
    map: Mmap,
    /// Bytes looked at since all pages were let go of.
    looked_at: AtomicUsize,
}

impl Mapped {
    /// Maps an open file that is not empty; `path` is for the problem.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn new(file: &File, path: &Path) -> Result<Self> {
        // SAFETY: read-only and private to this reader. A file that another program truncates meanwhile ends the process (see `mrc`).
        let map = unsafe { Mmap::map(file) }.map_err(|e| Problem::io(path, &e))?;
        Ok(Self { map, looked_at: AtomicUsize::new(0) })
    }

    /// Shows the bytes of a range, then lets go of its pages.
    ///
    /// # Panics
    /// The file is shorter.
    pub(crate) fn look<T>(&self, range: Range<usize>, work: impl FnOnce(&[u8]) -> T) -> T {
        let all = self.map.len();
        let window = range.start / WINDOW_BYTES * WINDOW_BYTES..range.end.next_multiple_of(WINDOW_BYTES).min(all);
        let looked_at = self.looked_at.fetch_add(range.len(), Ordering::Relaxed);
        let result = work(&self.map[range]);
        let gone = if looked_at > SWEEP_BYTES {
            self.looked_at.store(0, Ordering::Relaxed);
            0..all
        } else {
            window
        };
        // SAFETY: nothing is ever written to this mapping, so pages that are let go of (also those that another thread is reading) come back
        // from the file as they were.
        // A kernel that refuses costs memory and nothing else.
        let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, gone.start, gone.len()) };
        result
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
