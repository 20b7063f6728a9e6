//! Weights and rates over a run, measured in fractions of the run.

use contract::{LearningRate, Schedule};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use tch::{Device, Tensor};

/// Where a saw-tooth starts.
const TOOTH_FLOOR: f64 = 1e-3;
/// Fraction of a period in which a saw-tooth rises.
const TOOTH_RISE: f64 = 0.8;
/// Images in a period of the original's saw-tooth, which counts images and not fractions of a run.
pub const ORIGINAL_PERIOD_IMAGES: f64 = 125_000.0;

/// The original's saw-tooth (its "cos"): from 0.001 to 1 in 80% of a period, then 1. `position` is in periods.
#[must_use]
pub fn saw_tooth(position: f64) -> f64 {
    (position.fract() * ((1.0 - TOOTH_FLOOR) / TOOTH_RISE) + TOOTH_FLOOR).clamp(TOOTH_FLOOR, 1.0)
}

/// Value of a schedule at a fraction of the run (0 to 1).
#[must_use]
pub fn weight(schedule: &Schedule, fraction: f64) -> f64 {
    match *schedule {
        Schedule::Constant(value) => value,
        Schedule::Cyclic { periods, scale } => scale * saw_tooth(fraction * periods),
    }
}

/// Learning rate at a fraction of the run, in epoch `epoch` (from 0) at optimiser step `step` (from 0).
#[must_use]
pub fn learning_rate(rate: &LearningRate, fraction: f64, epoch: usize, step: usize) -> f64 {
    let warm = if rate.warm_up_steps == 0 { 1.0 } else { ((step + 1) as f64 / rate.warm_up_steps as f64).min(1.0) };
    let cosine = rate.cosine_to.map_or(1.0, |end| end + (1.0 - end) * 0.5 * (1.0 + (PI * fraction.clamp(0.0, 1.0)).cos()));
    rate.start * rate.decay.powf(epoch as f64) * cosine * warm
}

/// B-factor of the original in its epoch `epoch`: from 1.083 to 1 times `bfactor` within some twenty epochs.
#[must_use]
pub fn bfactor(bfactor: f64, epoch: f64) -> f64 {
    bfactor * (1.0 - 0.1 / (1.0 + 3.0 * (-0.25 * epoch).exp())) * 10.0 / 9.0
}

/// The original's control of the divergence's weight by the running signal-to-noise ratio and mean |v|.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct SignalControl {
    /// Running signal-to-noise ratio.
    pub signal_to_noise: f64,
    /// Running mean |v|.
    pub magnitude: f64,
}

/// How [`SignalControl`] was written down at one time or another.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Both {
        signal_to_noise: f64,
        magnitude: f64,
    },
    /// Before the magnitude was followed.
    Ratio(f64),
}

impl From<Written> for SignalControl {
    fn from(written: Written) -> Self {
        match written {
            Written::Both { signal_to_noise, magnitude } => Self { signal_to_noise, magnitude },
            Written::Ratio(signal_to_noise) => Self { signal_to_noise, ..Self::original() },
        }
    }
}

impl Default for SignalControl {
    fn default() -> Self {
        Self::original()
    }
}

impl SignalControl {
    /// The original's start of an epoch.
    #[must_use]
    pub fn original() -> Self {
        Self { signal_to_noise: 0.01, magnitude: 1e-4 }
    }
}

/// [`SignalControl`] where the batches' figures are made, so that steering by it does not wait for them.
pub struct RunningSignal {
    /// Double precision, `[2]`: the ratio, the magnitude.
    values: Tensor,
}

impl RunningSignal {
    /// Share of a new value in a running mean.
    const SHARE: f64 = 0.01;
    /// Mean |v| at which a volume counts as one.
    const MAGNITUDE: f64 = 0.002;

    /// From what was written down.
    #[must_use]
    pub fn new(signal: SignalControl, device: Device) -> Self {
        Self { values: Tensor::from_slice(&[signal.signal_to_noise, signal.magnitude]).to_device(device) }
    }

    /// Waits for the values.
    #[must_use]
    pub fn read(&self) -> SignalControl {
        let mut values = [0f64; 2];
        self.values.to_device(Device::Cpu).copy_data(&mut values, 2);
        SignalControl { signal_to_noise: values[0], magnitude: values[1] }
    }

    /// With a batch taken in: its ratio and magnitude, double precision, `[2]`.
    #[must_use]
    pub fn with(&self, batch: &Tensor) -> Self {
        Self { values: &self.values + (batch.detach() - &self.values) * Self::SHARE }
    }

    /// The same with a signal-to-noise ratio of at least 0: the original's can be negative early, and the divergence then pushes latents apart.
    #[must_use]
    pub fn clamped(&self) -> Self {
        Self { values: self.values.clamp_min(0.0) }
    }

    /// The ratio, `[]`.
    pub fn signal_to_noise(&self) -> Tensor {
        self.values.get(0)
    }

    /// Factor on the divergence's weight for a `beta_control` setting, `[]`.
    pub fn factor(&self, beta_control: f64) -> Tensor {
        let filled = self.values.get(1) / Self::MAGNITUDE;
        self.signal_to_noise() * (1.0 - (-filled.square()).exp()) * beta_control
    }
}
