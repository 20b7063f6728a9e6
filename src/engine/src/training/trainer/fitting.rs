//! What does not fit into memory is done again in smaller parts.

use super::Trainer;
use crate::devices;
use contract::Result;

impl Trainer<'_> {
    /// Does what can be done again, in parts of a micro-batch that fits.
    pub(super) fn fitted<T>(&mut self, work: impl Fn(&Self) -> T) -> Result<T> {
        loop {
            match devices::within_memory(|| work(self)) {
                Ok(done) => return Ok(done),
                Err(what) => self.shrink(&what)?,
            }
        }
    }

    /// Smaller parts of the same effective batch, on this rank, until there are none. `what` the tensor library said.
    fn shrink(&mut self, what: &str) -> Result<()> {
        let share = self.ranks.share(self.settings.batch).count.max(1);
        let settings = &mut self.assembly.settings;
        let before = settings.micro_batch.min(share);
        if before == 1 && settings.recompute_encoder {
            return Err(devices::problem(what).at(format!("{}, with one image at a time", self.spec.device)));
        }
        settings.micro_batch = (before / 2).max(1);
        settings.recompute_encoder = true;
        let after = settings.micro_batch;
        self.warn_of_own(&format!(
            "out of memory with {before} images at a time: going on with {after} and the encoder made anew in the backward pass; the batch of {} \
             and the results stay (`--micro-batch {after}` spares the trial)",
            self.settings.batch
        ));
        self.optimiser.zero_grad();
        self.ranks.repeat_sums();
        devices::release_unused(self.device);
        Ok(())
    }

    /// Warns of what befell this rank, not all of them. The worker says who the others are.
    pub(super) fn warn_of_own(&self, message: &str) {
        let who = if self.ranks.size() > 1 && self.ranks.is_first() { "rank 0: " } else { "" };
        self.link.warn(format!("{who}{message}"));
    }

    /// Warns of what all ranks see: the first one says it.
    pub(super) fn warn_for_all(&self, message: String) {
        if self.ranks.is_first() {
            self.link.warn(message);
        }
    }
}
