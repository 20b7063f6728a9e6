//! Watches over training: says when the numbers go wrong, and with what.
//!
//! A fault is answered by the trainer: back to the last epoch's checkpoint with a smaller step, and after too many of these, an end with
//! the cause. All running means live in [`Guard`], which is saved with the checkpoint.

use super::meters::BatchFigures;
use contract::Guards;
use serde::{Deserialize, Serialize};

/// Batches before ratios to running means count.
const SETTLE_BATCHES: u64 = 20;
/// Weight of the newest batch in a running mean.
const NEWEST: f64 = 0.02;
/// How far (in nats of log standard deviation) beyond its bounds the encoder's output may run: the clamp holds it, but has no gradient
/// there, so that from far outside it never returns.
const RUNAWAY_MARGIN: f64 = 4.0;
/// Latents that carried this many times the threshold were alive.
const ALIVE_FACTOR: f64 = 4.0;

/// What went wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A loss term is not a number.
    NonFinite(&'static str),
    /// The loss jumped: value, running mean.
    Loss(f64, f64),
    /// The log standard deviations ran away: value, nearest bound.
    LogStd(f64, f64),
    /// The decoded volume exploded: standard deviation, running mean.
    Volume(f64, f64),
    /// Latents that had carried information carry none any more: KL in nats.
    Died(f64),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NonFinite(term) => write!(f, "the {term} is not finite"),
            Self::Loss(value, mean) => write!(f, "the loss jumped to {value:.4} from a running mean of {mean:.4}"),
            Self::LogStd(value, bound) => write!(f, "the latents' log standard deviation ran away to {value:.1} (bound {bound:.1})"),
            Self::Volume(value, mean) => write!(f, "the decoded volume exploded: standard deviation {value:.3e}, running mean {mean:.3e}"),
            Self::Died(kl) => write!(f, "the latents died: mean KL fell to {kl:.3} nats"),
        }
    }
}

/// Running means of the guards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    batches: u64,
    loss: f64,
    volume_std: f64,
    most_kl: f64,
    /// Times that the run was rolled back.
    pub roll_backs: usize,
}

impl Guard {
    /// Looks at a batch before its step is made.
    ///
    /// # Errors
    /// The fault, where there is one; the running means are then as before.
    pub fn batch(&mut self, limits: &Guards, bounds: (f64, f64), figures: &BatchFigures) -> Result<(), Fault> {
        let terms = &figures.terms;
        let named = [
            (terms.reconstruction, "reconstruction loss"),
            (terms.kl, "Kullback–Leibler term"),
            (terms.prior, "prior"),
            (terms.volume, "volume prior"),
            (terms.warm_start, "warm-start term"),
            (terms.total, "loss"),
        ];
        if let Some((_, name)) = named.iter().find(|(value, _)| !value.is_finite()) {
            return Err(Fault::NonFinite(name));
        }
        if !figures.volume_std.is_finite() {
            return Err(Fault::NonFinite("decoded volume"));
        }
        let (low, high) = figures.logstd_range;
        if high > bounds.1 + RUNAWAY_MARGIN {
            return Err(Fault::LogStd(high, bounds.1));
        }
        if low < bounds.0 - RUNAWAY_MARGIN {
            return Err(Fault::LogStd(low, bounds.0));
        }
        if self.batches >= SETTLE_BATCHES {
            // A loss near zero (or below, with the prior's attraction) has no ratio.
            if self.loss > 0.0 && terms.reconstruction > limits.loss_ratio * self.loss {
                return Err(Fault::Loss(terms.reconstruction, self.loss));
            }
            if self.volume_std > 0.0 && figures.volume_std > limits.volume_ratio * self.volume_std {
                return Err(Fault::Volume(figures.volume_std, self.volume_std));
            }
        }
        let newest = NEWEST.max(1.0 / (self.batches + 1) as f64);
        self.loss += newest * (terms.reconstruction - self.loss);
        self.volume_std += newest * (figures.volume_std - self.volume_std);
        self.batches += 1;
        Ok(())
    }

    /// Looks at an epoch after the warm start: `Ok(true)` when the latents have carried nothing so far (worth a warning).
    ///
    /// # Errors
    /// Latents that were alive have died.
    pub fn epoch(&mut self, limits: &Guards, kl_nats: f64) -> Result<bool, Fault> {
        if kl_nats < limits.dead_kl && self.most_kl > ALIVE_FACTOR * limits.dead_kl {
            return Err(Fault::Died(kl_nats));
        }
        self.most_kl = self.most_kl.max(kl_nats);
        Ok(kl_nats < limits.dead_kl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::LossTerms;

    const LIMITS: Guards = Guards { roll_backs: 3, step_factor: 0.5, loss_ratio: 3.0, volume_ratio: 5.0, dead_kl: 0.5 };
    const BOUNDS: (f64, f64) = (-6.0, 1.0);

    fn figures(loss: f64, volume_std: f64) -> BatchFigures {
        let terms = LossTerms { reconstruction: loss, total: loss, ..LossTerms::default() };
        BatchFigures { images: 16, terms, volume_std, ..BatchFigures::default() }
    }

    fn settled() -> Guard {
        let mut guard = Guard::default();
        for _ in 0..30 {
            guard.batch(&LIMITS, BOUNDS, &figures(0.5, 0.1)).unwrap();
        }
        guard
    }

    #[test]
    fn a_quiet_run_has_no_fault() {
        assert!((settled().loss - 0.5).abs() < 1e-12);
    }

    #[test]
    fn faults_are_told_apart_and_leave_the_means_alone() {
        let mut guard = settled();
        let before = guard.clone();
        assert!(matches!(guard.batch(&LIMITS, BOUNDS, &figures(f64::NAN, 0.1)), Err(Fault::NonFinite("reconstruction loss"))));
        assert!(matches!(guard.batch(&LIMITS, BOUNDS, &figures(1.6, 0.1)), Err(Fault::Loss(..))));
        assert!(matches!(guard.batch(&LIMITS, BOUNDS, &figures(0.5, 0.6)), Err(Fault::Volume(..))));
        let runaway = BatchFigures { logstd_range: (-1.0, 9.0), ..figures(0.5, 0.1) };
        assert!(matches!(guard.batch(&LIMITS, BOUNDS, &runaway), Err(Fault::LogStd(..))));
        assert_eq!(guard, before);
    }

    #[test]
    fn dead_latents_are_a_warning_and_dying_ones_a_fault() {
        let mut guard = Guard::default();
        assert_eq!(guard.epoch(&LIMITS, 0.1), Ok(true));
        assert_eq!(guard.epoch(&LIMITS, 5.0), Ok(false));
        assert_eq!(guard.epoch(&LIMITS, 0.1), Err(Fault::Died(0.1)));
    }
}
