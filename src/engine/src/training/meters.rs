//! Running means of what training reports, kept in double precision and saved with the checkpoint.

use contract::LossTerms;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// Numbers of a batch.
const FIGURES: usize = 11;
/// Where the signal-to-noise ratio is among them.
const SIGNAL: i64 = 6;

/// What one effective batch yielded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchFigures {
    /// Images in the batch.
    pub images: usize,
    /// Mean terms an image, weights applied.
    pub terms: LossTerms,
    /// Mean KL in nats, unweighted.
    pub kl_nats: f64,
    /// Signal-to-noise ratio: power of the rendering over the power of what it leaves.
    pub snr: f64,
    /// Mean |v| of the volumes, where a term or the control needs it.
    pub magnitude: f64,
    /// Standard deviation of what the network adds to (or is) the volume, mean over the batch.
    pub volume_std: f64,
    /// Largest and smallest log standard deviation before the clamp.
    pub logstd_range: (f64, f64),
}

/// [`BatchFigures`] where the batch was computed: nobody has waited for them yet.
pub struct PendingFigures {
    /// Images in the batch.
    pub images: usize,
    /// Double precision, `[11]`, in the order of [`PendingFigures::read`]; the signal-to-noise ratio and the magnitude follow each other.
    pub values: Tensor,
}

impl PendingFigures {
    /// Waits for the figures of batches, one reading for all of them.
    #[must_use]
    pub fn read(batches: &[&Self]) -> Vec<BatchFigures> {
        if batches.is_empty() {
            return Vec::new();
        }
        let values: Vec<&Tensor> = batches.iter().map(|batch| &batch.values).collect();
        let mut read = vec![[0f64; FIGURES]; batches.len()];
        Tensor::stack(&values, 0).to_device(Device::Cpu).copy_data(read.as_flattened_mut(), batches.len() * FIGURES);
        batches.iter().zip(read).map(|(batch, values)| batch.named(values)).collect()
    }

    /// Signal-to-noise ratio and magnitude where they were computed, double precision, `[2]`.
    pub fn signal(&self) -> Tensor {
        self.values.narrow(0, SIGNAL, 2)
    }

    fn named(&self, values: [f64; FIGURES]) -> BatchFigures {
        let [reconstruction, kl, prior, volume, warm_start, kl_nats, snr, magnitude, volume_std, low, high] = values;
        let total = reconstruction + kl + prior + volume + warm_start;
        BatchFigures {
            images: self.images,
            terms: LossTerms { reconstruction, kl, prior, volume, warm_start, total },
            kl_nats,
            snr,
            magnitude,
            volume_std,
            logstd_range: (low, high),
        }
    }
}

/// Sums over an interval or an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    images: usize,
    terms: LossTerms,
    kl_nats: f64,
    snr: f64,
}

impl Meter {
    /// Adds a batch.
    pub fn add(&mut self, batch: &BatchFigures) {
        let weight = batch.images as f64;
        self.images += batch.images;
        for (sum, value) in fields_mut(&mut self.terms).into_iter().zip(fields(&batch.terms)) {
            *sum += weight * value;
        }
        self.kl_nats += weight * batch.kl_nats;
        self.snr += weight * batch.snr;
    }

    /// Images added.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }

    /// Mean terms an image.
    #[must_use]
    pub fn terms(&self) -> LossTerms {
        let mut mean = self.terms;
        let count = self.images.max(1) as f64;
        for value in fields_mut(&mut mean) {
            *value /= count;
        }
        mean
    }

    /// Mean KL in nats.
    #[must_use]
    pub fn kl_nats(&self) -> f64 {
        self.kl_nats / self.images.max(1) as f64
    }

    /// Mean signal-to-noise ratio.
    #[must_use]
    pub fn snr(&self) -> f64 {
        self.snr / self.images.max(1) as f64
    }
}

fn fields(t: &LossTerms) -> [f64; 6] {
    [t.reconstruction, t.kl, t.prior, t.volume, t.warm_start, t.total]
}

fn fields_mut(t: &mut LossTerms) -> [&mut f64; 6] {
    [&mut t.reconstruction, &mut t.kl, &mut t.prior, &mut t.volume, &mut t.warm_start, &mut t.total]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_weigh_batches_by_their_images() {
        let mut meter = Meter::default();
        for (images, total) in [(10, 1.0), (30, 2.0)] {
            let terms = LossTerms { total, ..LossTerms::default() };
            meter.add(&BatchFigures { images, terms, kl_nats: total, ..BatchFigures::default() });
        }
        assert_eq!(meter.images(), 40);
        assert!((meter.terms().total - 1.75).abs() < 1e-12 && (meter.kl_nats() - 1.75).abs() < 1e-12);
    }
}
