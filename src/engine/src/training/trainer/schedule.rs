//! What the learning rate and the weights of the loss are, by how far the run is.

use super::Trainer;
use crate::model::schedules;
use crate::training::step::TermWeights;
use tch::Tensor;

/// The original's weight of the prior follows its saw-tooth: (beta + 0.05) / 1.05.
const PRIOR_OFFSET: f64 = 0.05;

impl Trainer<'_> {
    /// Epochs done, fractions of the running one included.
    fn epochs_done(&self) -> f64 {
        self.position.epoch as f64 + self.position.images as f64 / self.split.training.len().max(1) as f64
    }

    pub(super) fn is_warm(&self, epochs_done: f64) -> bool {
        self.settings.warm_start.is_some_and(|start| epochs_done < start.epochs)
    }

    pub(super) fn learning_rate(&self) -> f64 {
        let done = self.epochs_done();
        let fraction = done / self.settings.epochs as f64;
        let rate = schedules::learning_rate(&self.settings.learning_rate, fraction, done.floor() as usize, self.position.steps as usize);
        rate * self.position.step_factor
    }

    pub(super) fn weights(&self) -> TermWeights {
        let settings = self.settings;
        let done = self.epochs_done();
        let beta = schedules::weight(&settings.beta, done / settings.epochs as f64);
        let clamped = (!settings.numerics.snr_unclamped).then(|| self.signal_before.clamped());
        let signal = clamped.as_ref().unwrap_or(&self.signal_before);
        // As in the original, whose terms are relative to the whole squared error, where ours are relative to half of it.
        let (divergence, prior) = match settings.beta_control {
            Some(control) => (signal.factor(control) * (0.5 * beta), settings.lamb * (beta + PRIOR_OFFSET) / (1.0 + PRIOR_OFFSET)),
            None => (Tensor::full([], beta, (tch::Kind::Double, self.device)), settings.lamb),
        };
        TermWeights {
            divergence,
            prior,
            magnitude: settings.volume_l1,
            variation: settings.volume_tv,
            snr: signal.signal_to_noise(),
            warm: self.is_warm(done),
        }
    }
}
