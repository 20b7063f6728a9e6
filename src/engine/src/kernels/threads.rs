//! Work shared among as many threads as the tensor library uses.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work(0)` … `work(count − 1)`, each once, on at most `threads` threads.
pub(super) fn share(threads: usize, count: usize, work: impl Fn(usize) + Sync) {
    let threads = threads.min(count);
    if threads <= 1 {
        (0..count).for_each(work);
        return;
    }
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= count {
                break;
            }
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
}

/// A pointer that threads write through to places of their own.
#[derive(Clone, Copy)]
pub(super) struct Places(*mut f32);

// SAFETY: whoever writes through it keeps to places that no other thread touches (see `Places::of`).
unsafe impl Send for Places {}
// SAFETY: as above.
unsafe impl Sync for Places {}

impl Places {
    /// Of the values that `slice` holds.
    pub(super) fn of(slice: &mut [f32]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// The values `from..from + count`.
    ///
    /// # Safety
    /// They lie inside the slice, which is still borrowed, and no other thread has them.
    pub(super) unsafe fn part<'a>(self, from: usize, count: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(from), count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_once() {
        for threads in [1, 3, 8] {
            let mut counts = vec![0f32; 100];
            let places = Places::of(&mut counts);
            // SAFETY: an item has its own place.
            share(threads, 100, |i| unsafe { places.part(i, 1)[0] += 1.0 });
            assert!(counts.iter().all(|&count| count == 1.0));
        }
    }
}
