//! Expectation: every image's posterior over the scores, given the component maps.

use super::observations::{Observation, Observations};
use crate::lattice::Lattice;
use crate::symmetric;
use cryoem::fft::Complex32;
use rayon::prelude::*;

/// Gaussian posteriors of the scores.
#[derive(Debug)]
pub(crate) struct Posterior {
    components: usize,
    /// `[images][components]`.
    means: Vec<f64>,
    /// `[images][components][components]`.
    covariances: Vec<f64>,
}

impl Posterior {
    /// Posterior of every image: covariance (I + Σ w m̄ mᵀ)⁻¹, mean its product with Σ w Re(m̄ r), where m are the components' slices times
    /// the transfer function, r the residual and w the inverse noise power. `maps` is `[points][components]`.
    pub(crate) fn of(observations: &Observations, lattice: &Lattice, maps: &[Complex32], components: usize) -> Self {
        let q = components;
        let each: Vec<(Vec<f64>, Vec<f64>)> = observations
            .images
            .par_iter()
            .map_init(
                || vec![Complex32::default(); q],
                |slice, image| {
                    let (precision, projection) = normal_equations(observations, lattice, image, maps, slice);
                    let covariance = symmetric::inverse_positive(&precision, q);
                    let mean = (0..q).map(|j| (0..q).map(|l| covariance[j * q + l] * projection[l]).sum()).collect();
                    (mean, covariance)
                },
            )
            .collect();
        let mut posterior =
            Self { components: q, means: Vec::with_capacity(each.len() * q), covariances: Vec::with_capacity(each.len() * q * q) };
        for (mean, covariance) in each {
            posterior.means.extend(mean);
            posterior.covariances.extend(covariance);
        }
        posterior
    }

    /// Mean scores of an image.
    pub(crate) fn mean(&self, image: usize) -> &[f64] {
        &self.means[image * self.components..][..self.components]
    }

    /// ⟨zⱼ zₗ⟩ of an image.
    pub(crate) fn second_moment(&self, image: usize, j: usize, l: usize) -> f64 {
        let q = self.components;
        let mean = self.mean(image);
        self.covariances[(image * q + j) * q + l] + mean[j] * mean[l]
    }
}

/// I + Σ w m̄ mᵀ (row-major) and Σ w Re(m̄ r) of an image; `slice` is scratch of one value a component.
fn normal_equations(
    observations: &Observations,
    lattice: &Lattice,
    image: &Observation,
    maps: &[Complex32],
    slice: &mut [Complex32],
) -> (Vec<f64>, Vec<f64>) {
    let q = slice.len();
    let mut precision = vec![0.0f32; q * q];
    let mut projection = vec![0.0f32; q];
    for (k, spot) in image.spots.iter().enumerate() {
        slice.fill(Complex32::default());
        let fx = Lattice::fraction_x(spot);
        for (at, weight) in lattice.rows(spot) {
            let (low, high) = (weight * (1.0 - fx), weight * fx);
            let cells = &maps[at * q..(at + 2) * q];
            let (a, b) = cells.split_at(q);
            for ((s, a), b) in slice.iter_mut().zip(a).zip(b) {
                s.re += a.re * low + b.re * high;
                s.im += a.im * low + b.im * high;
            }
        }
        let mut residual = image.values[k];
        if spot.conjugate {
            residual = residual.conj();
        }
        let (w, c) = (observations.weights[k], image.transfer[k]);
        let (wcc, wc) = (w * c * c, w * c);
        for j in 0..q {
            projection[j] += wc * (slice[j].re * residual.re + slice[j].im * residual.im);
            for l in 0..=j {
                precision[j * q + l] += wcc * (slice[j].re * slice[l].re + slice[j].im * slice[l].im);
            }
        }
    }
    let full =
        |j: usize, l: usize| f64::from(if j >= l { precision[j * q + l] } else { precision[l * q + j] }) + f64::from(u8::from(j == l));
    ((0..q * q).map(|i| full(i / q, i % q)).collect(), projection.iter().map(|v| f64::from(*v)).collect())
}
