//! Sums that are kept while the work that they belong to may have to be done again. Every rank takes part in every sum once: one that begins
//! its share of a batch anew, since it did not fit into memory, gets what has been summed already, and its sums stay in step with the others'.

use super::Pending;
use std::cell::RefCell;
use tch::Tensor;

/// Sums since a point that work may go back to.
#[derive(Default)]
pub(super) struct Kept(RefCell<Option<Sums>>);

#[derive(Default)]
struct Sums {
    begun: Vec<Pending>,
    /// Sums that the work has come to since it was begun last.
    next: usize,
}

impl Kept {
    /// From here on sums are kept.
    pub(super) fn begin(&self) {
        *self.0.borrow_mut() = Some(Sums::default());
    }

    /// The work is done again from where sums began to be kept; nothing where they are not.
    pub(super) fn repeat(&self) {
        if let Some(sums) = self.0.borrow_mut().as_mut() {
            sums.next = 0;
        }
    }

    /// Sums are not kept any more.
    pub(super) fn end(&self) {
        *self.0.borrow_mut() = None;
    }

    /// The next sum: one of before where the work is done again, a new one of `flat` elsewhere.
    ///
    /// # Panics
    /// Where the work that is done again comes to another sum than before.
    pub(super) fn or_begin(&self, flat: Tensor, begin: impl FnOnce(Tensor) -> Pending) -> Pending {
        let mut kept = self.0.borrow_mut();
        let Some(sums) = kept.as_mut() else { return begin(flat) };
        if sums.next == sums.begun.len() {
            // What was begun is kept before anything else can fail.
            sums.begun.push(begin(flat));
        } else {
            assert_eq!(sums.begun[sums.next].flat.size(), flat.size(), "the same work comes to the same sums");
        }
        sums.next += 1;
        sums.begun[sums.next - 1].another()
    }
}
