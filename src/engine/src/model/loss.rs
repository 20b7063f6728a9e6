//! Terms of the loss that compare renderings with images, and their composition.

use contract::Numerics;
use std::f64::consts::PI;
use tch::{Kind, Tensor};

/// Smallest mask area that a misfit is divided by, as a fraction of the disc that fills the image (the original's guard).
const SMALLEST_AREA: f64 = 0.05;

/// How renderings fit their images, hypothesis by hypothesis.
#[derive(Debug)]
pub struct Fit {
    /// Σ(ŷ² − 2ŷy) over the pixels: squared distance less the image's own power, `[b, k]`.
    pub difference: Tensor,
    /// Σŷ², `[b, k]`.
    pub rendered_power: Tensor,
    /// Σy² in the mask, `[b]`.
    pub image_power: Tensor,
    /// Pixels in the mask (of the first hypothesis), never below a twentieth of the inscribed disc, `[b]`.
    pub area: Tensor,
    /// Weights of the hypotheses, summing to one, without gradient, `[b, k]`.
    pub weights: Tensor,
}

impl Fit {
    /// Compares renderings `[b, k, c, c]` with images and masks, each `[b, k, c, c]` or `[b, 1, c, c]`.
    ///
    /// Images have unit noise variance, so that a hypothesis' weight is ∝ exp(−difference/2). By default mask both sides; the original
    /// masks the image only (`Numerics::mask_target_only`).
    #[must_use]
    pub fn new(rendered: &Tensor, images: &Tensor, masks: &Tensor, numerics: &Numerics) -> Self {
        let side = rendered.size()[3];
        let sum = |x: Tensor| x.sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Float);
        let images = images * masks;
        let compared = if numerics.mask_target_only { rendered.shallow_clone() } else { rendered * masks };
        let rendered_power = sum(compared.square());
        let difference = &rendered_power - sum(&compared * &images) * 2.0;
        let smallest = SMALLEST_AREA * PI * (side * side) as f64;
        let first = |x: Tensor| x.select(1, 0);
        let weights = (difference.detach() * -0.5).softmax(1, Kind::Float);
        Self {
            image_power: first(sum(images.square())),
            area: first(sum(masks.shallow_clone())).clamp_min(smallest),
            rendered_power,
            weights,
            difference,
        }
    }

    /// Weighted mean over the hypotheses of a `[b, k]` quantity, `[b]`.
    fn expected(&self, quantity: &Tensor) -> Tensor {
        (&self.weights * quantity).sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
    }

    /// Expected squared distance less the image's power, `[b]`.
    pub fn expected_difference(&self) -> Tensor {
        self.expected(&self.difference)
    }

    /// Expected squared distance Σ(ŷ − y)² in the mask, `[b]`; half of it is the negative log likelihood up to a constant.
    pub fn squared_error(&self) -> Tensor {
        self.expected_difference() + &self.image_power
    }

    /// The original's reconstruction loss of each image: expected difference over the mask's area, `[b]`.
    pub fn difference_per_pixel(&self) -> Tensor {
        self.expected_difference() / &self.area
    }

    /// Signal-to-noise ratio of each image, `[b]`, without gradient: rendered power over squared error; not below 0 unless asked for.
    pub fn signal_to_noise(&self, numerics: &Numerics) -> Tensor {
        let ratio = (self.expected(&self.rendered_power) / self.squared_error()).detach();
        if numerics.snr_unclamped { ratio } else { ratio.clamp_min(0.0) }
    }
}

/// Kullback–Leibler divergence from the unit normal without its constant, in nats, `[b]`: −Σ log σ + ½ Σ(μ² + σ²).
pub fn divergence(mu: &Tensor, logstd: &Tensor) -> Tensor {
    let sum = |x: Tensor| x.sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    sum((mu.square() + (logstd * 2.0).exp()) * 0.5 - logstd)
}

/// Kullback–Leibler divergence from the unit normal in nats, `[b]`: 0 for the normal itself.
pub fn divergence_nats(mu: &Tensor, logstd: &Tensor) -> Tensor {
    divergence(mu, logstd) - 0.5 * mu.size()[1] as f64
}

/// The original's gate on the disentanglement prior, `[]`: it acts once the model explains something and has density.
/// `signal_to_noise` (`[]`) is the running ratio, `magnitude` (`[]`) the mean |v|.
pub fn gated_prior_weight(lamb: f64, signal_to_noise: &Tensor, magnitude: &Tensor) -> Tensor {
    /// Where a gate no longer differs from 1.
    const OPEN: f64 = 16.0;
    let explained = (signal_to_noise / 0.02).square().clamp_max(OPEN);
    let dense = (magnitude / 0.002).square().clamp_max(OPEN);
    (1.0 - (-dense).exp()) * ((1.0 - (-explained).exp()) * lamb)
}

/// Weights of the terms beside the reconstruction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of the mean divergence.
    pub divergence: f64,
    /// Of the mean total variation.
    pub variation: f64,
    /// Of the mean |v|.
    pub magnitude: f64,
    /// Of the disentanglement prior.
    pub prior: f64,
}

impl Weights {
    /// As the original composes them: all over the batch's largest mask area; `volume` is 1 (single GPU) or ½ (several).
    #[must_use]
    pub fn original(beta: f64, beta_control: f64, prior: f64, volume: f64, largest_area: f64) -> Self {
        Self {
            divergence: beta_control * beta / largest_area,
            variation: volume / largest_area,
            magnitude: 0.3 * volume / largest_area,
            prior: prior * (beta + 0.05) / 1.05 / largest_area,
        }
    }
}

/// Mean terms of a batch, unweighted scalars.
#[derive(Debug)]
pub struct Terms {
    /// Reconstruction.
    pub reconstruction: Tensor,
    /// Divergence.
    pub divergence: Tensor,
    /// Total variation.
    pub variation: Tensor,
    /// Mean |v|.
    pub magnitude: Tensor,
    /// Disentanglement prior.
    pub prior: Tensor,
}

impl Terms {
    /// The total that is minimised, a scalar.
    pub fn total(&self, weights: &Weights) -> Tensor {
        &self.reconstruction
            + &self.divergence * weights.divergence
            + &self.variation * weights.variation
            + &self.magnitude * weights.magnitude
            + &self.prior * weights.prior
    }
}
