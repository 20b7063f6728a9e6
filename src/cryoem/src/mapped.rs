//! Files mapped for reading whose pages do not stay in the process.

use contract::{Problem, Result};
use memmap2::{Mmap, UncheckedAdvice};
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;

/// Linux maps this many bytes around a page that is missed, in windows of this size, where the kernel has them at hand: they count as resident,
/// too. (Of a million images read by several threads, 6 GB were left over before whole windows were let go of.)
const WINDOW_BYTES: usize = 64 << 10;

/// A file mapped for reading. [`Mapped::look`] hands its pages back, so that what is resident does not grow with what was read; the
/// kernel keeps them in its cache for as long as nobody needs the memory.
#[derive(Debug)]
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Maps an open file that is not empty; `path` is for the problem.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn new(file: &File, path: &Path) -> Result<Self> {
        // SAFETY: read-only and private to this reader. A file that another program truncates meanwhile ends the process (see `mrc`).
        unsafe { Mmap::map(file) }.map(Self).map_err(|e| Problem::io(path, &e))
    }

    /// Shows the bytes of a range, then lets go of its pages.
    ///
    /// # Panics
    /// The file is shorter.
    pub(crate) fn look<T>(&self, range: Range<usize>, work: impl FnOnce(&[u8]) -> T) -> T {
        let start = range.start / WINDOW_BYTES * WINDOW_BYTES;
        let length = range.end.next_multiple_of(WINDOW_BYTES).min(self.0.len()) - start;
        let result = work(&self.0[range]);
        // SAFETY: nothing is ever written to this mapping, so pages that are let go of (also those that another thread is reading) come back
        // from the file as they were.
        // A kernel that refuses costs memory and nothing else.
        let _ = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, start, length) };
        result
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
