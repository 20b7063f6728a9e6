//! Work shared among as many threads as the tensor library uses.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work(0)` … `work(count − 1)`, each once, on at most `threads` threads.
pub(super) fn share(threads: usize, count: usize, work: impl Fn(usize) + Sync) {
    share_with(threads, count, || (), |(), item| work(item));
}

/// The same, with what each thread makes for itself and takes from item to item.
pub(super) fn share_with<S>(threads: usize, count: usize, make: impl Fn() -> S + Sync, work: impl Fn(&mut S, usize) + Sync) {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut own = None;
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= count {
                break;
            }
            work(own.get_or_insert_with(&make), item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            scope.spawn(run);
        }
        run();
    });
}

/// A pointer that threads write through to places of their own.
pub(super) struct Places<T>(*mut T);

// SAFETY: whoever writes through it keeps to places that no other thread touches (see `Places::of`).
unsafe impl<T: Send> Send for Places<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Places<T> {}

impl<T> Places<T> {
    /// Of the values that `slice` holds.
    pub(super) fn of(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// The values `from..from + count`.
    ///
    /// # Safety
    /// They lie inside the slice, which is still borrowed, and no other thread has them.
    pub(super) unsafe fn part<'a>(&self, from: usize, count: usize) -> &'a mut [T] {
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
