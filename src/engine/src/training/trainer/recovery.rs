//! Checkpoints written and gone back to, and all ranks in step with the first.

use super::{Progress, Trainer};
use crate::model::bank::LatentBank;
use crate::model::schedules::RunningSignal;
use crate::training::checkpoint::{self, Checkpoint};
use crate::training::guards::Fault;
use contract::{Event, Kind, Problem, Result};
use std::collections::HashMap;
use std::time::Instant;
use tch::Tensor;

impl Trainer<'_> {
    /// Back to the last epoch's end with a smaller step.
    pub(super) fn roll_back(&mut self, fault: &Fault) -> Result<()> {
        let roll_backs = self.position.guard.roll_backs + 1;
        let place = format!("epoch {}, image {}", self.position.epoch + 1, self.position.images);
        if roll_backs > self.settings.guards.roll_backs {
            return Err(Problem::new(Kind::Numerical, format!("{fault}, and {} roll-backs did not help", roll_backs - 1))
                .at(place)
                .hint("check the images' normalisation and the mask, or lower `--lr`"));
        }
        let factor = self.position.step_factor * self.settings.guards.step_factor;
        let folder = self.spec.checkpoints.join(format!("epoch-{:03}", self.position.epoch));
        self.warn_for_all(format!("{place}: {fault}; going back to {} with {factor:.3} times the learning rate", folder.display()));
        if self.ranks.is_first() {
            checkpoint::remove_after(&self.spec.checkpoints, self.position.epoch)?;
            let good = Checkpoint::load(&folder)?;
            self.restore(&good)?;
            self.position.guard.roll_backs = roll_backs;
            self.position.step_factor = factor;
        }
        self.follow_first()?;
        if !self.faults.again {
            self.faults.inject = None;
        }
        Ok(())
    }

    pub(super) fn restore(&mut self, state: &Checkpoint) -> Result<()> {
        self.unread.clear();
        self.assembly.load_weights(&state.weights)?;
        self.optimiser
            .restore(&state.moments, state.position.steps)
            .map_err(|name| Problem::input(format!("lacks the optimiser's tensor `{name}`")).at(state.name()))?;
        self.bank = LatentBank::new(&state.bank(&self.spec.checkpoints)?.to_device(self.device));
        self.latents = state.latents.to_device(self.device).copy();
        self.position = state.position.clone();
        self.take_signal();
        if let Some(monitor) = &mut self.monitor {
            monitor.rewind(self.position.losses_bytes)?;
        }
        self.progress.set(Progress { at: Instant::now(), images: self.position.images, ..self.progress.get() });
        Ok(())
    }

    /// Brings all that is learned, and where the run stands, into step with the first rank.
    pub(super) fn follow_first(&mut self) -> Result<()> {
        if self.ranks.is_alone() {
            return Ok(());
        }
        let mut named: Vec<(String, Tensor)> = self.assembly.weights().into_iter().chain(self.optimiser.moments()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut tensors: Vec<Tensor> = named.into_iter().map(|(_, tensor)| tensor).collect();
        tensors.extend([self.latents.shallow_clone(), self.bank.latents().shallow_clone()]);
        self.ranks.copy_of_first(&mut tensors);
        let unread = |e: serde_json::Error| Problem::failed(format!("the first rank's position is not understood: {e}"));
        let position = serde_json::to_string(&self.position).map_err(unread)?;
        self.position = serde_json::from_str(&self.ranks.words_of_first(position)).map_err(unread)?;
        self.optimiser.set_steps(self.position.steps);
        self.take_signal();
        Ok(())
    }

    /// Steers by the signal of where the run stands. A resumed run takes the same steps as one that was not broken off.
    fn take_signal(&mut self) {
        self.signal = RunningSignal::new(self.position.signal, self.device);
        self.signal_before = RunningSignal::new(self.position.signal_before.unwrap_or(self.position.signal), self.device);
    }

    pub(super) fn save(&mut self) -> Result<()> {
        let state = Checkpoint {
            position: self.position.clone(),
            settings: self.settings.clone(),
            data: self.data.clone(),
            weights: self.assembly.weights(),
            moments: self.optimiser.moments().into_iter().collect::<HashMap<_, _>>(),
            fixed: self.assembly.fixed(),
            latents: self.latents.shallow_clone(),
            bank: Some(self.bank.latents().shallow_clone()),
        };
        let folder = state.save(&self.spec.checkpoints)?;
        self.saved_at = Instant::now();
        self.link.tell(Event::Checkpoint { folder, epoch: self.position.epoch, images: self.position.images });
        Ok(())
    }
}
