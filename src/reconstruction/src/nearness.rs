//! Which particles speak for a state: those near it in the latent space.

use contract::{Problem, Result};
use ndarray::{ArrayView1, ArrayView2};

/// Particles of less weight than this are left out.
const LEAST_WEIGHT: f64 = 0.02;
/// Halvings of the kernel's width in the search for the wanted number.
const BISECTIONS: usize = 60;

/// Particles near a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbourhood {
    /// Rows of the latents, in rising order.
    pub particles: Vec<usize>,
    /// A weight each, 1 at the state itself.
    pub weights: Vec<f32>,
    /// Number of particles of weight 1 that would carry the same noise: (Σw)² / Σw².
    pub effective: f64,
    /// Width of the Gaussian kernel, in the latents' units.
    pub sigma: f64,
}

/// Weights exp(−d² / 2σ²) by the distance d of every particle's latent from `centre`, with σ such that about `wanted` particles count
/// ((Σw)² / Σw²). A fixed radius would leave states in thin regions without particles, and hard clusters cut where the density is highest.
///
/// # Errors
/// The centre has another length than the latents, a latent is no number, or no particle is wanted.
pub fn neighbourhood(latents: ArrayView2<f32>, centre: ArrayView1<f32>, wanted: usize) -> Result<Neighbourhood> {
    let (particles, width) = latents.dim();
    if centre.len() != width || particles == 0 || wanted == 0 {
        return Err(Problem::failed(format!("{wanted} of {particles} latents of {width} values near one of {}", centre.len())));
    }
    let squared: Vec<f64> =
        latents.rows().into_iter().map(|row| row.iter().zip(&centre).map(|(a, b)| f64::from(a - b).powi(2)).sum()).collect();
    if let Some(row) = squared.iter().position(|d| !d.is_finite()) {
        return Err(Problem::input(format!("latent {row} is no number")));
    }
    let wanted = wanted.min(particles) as f64;
    let nearest = squared.iter().copied().fold(f64::INFINITY, f64::min);
    let effective = |sigma: f64| {
        let (mut sum, mut squares) = (0.0, 0.0);
        for d in &squared {
            // Relative to the nearest, so that a centre off the data does not underflow.
            let w = (-(d - nearest) / (2.0 * sigma * sigma)).exp();
            sum += w;
            squares += w * w;
        }
        sum * sum / squares
    };
    let farthest = squared.iter().copied().fold(0.0f64, f64::max).sqrt().max(f64::MIN_POSITIVE);
    // At 100 times the farthest distance all weights are 1 to four digits.
    let (mut low, mut high) = (1e-6 * farthest, 100.0 * farthest);
    for _ in 0..BISECTIONS {
        let middle = (low * high).sqrt();
        if effective(middle) < wanted { low = middle } else { high = middle }
    }
    let sigma = high;
    let weight = |d: f64| (-(d - nearest) / (2.0 * sigma * sigma)).exp();
    let (chosen, weights): (Vec<usize>, Vec<f32>) =
        squared.iter().enumerate().map(|(i, d)| (i, weight(*d))).filter(|(_, w)| *w >= LEAST_WEIGHT).map(|(i, w)| (i, w as f32)).unzip();
    let (sum, squares) = weights.iter().fold((0.0, 0.0), |(s, q), w| (s + f64::from(*w), q + f64::from(*w).powi(2)));
    Ok(Neighbourhood { particles: chosen, weights, effective: sum * sum / squares, sigma })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryoem::random::Random;
    use ndarray::{Array2, array};

    #[test]
    fn the_wanted_number_counts_and_the_nearest_count_most() {
        let mut random = Random::new(3, 1);
        // Two heaps, 500 about 0 and 100 about 6.
        let latents = Array2::from_shape_fn((600, 4), |(i, j)| random.normal() as f32 + if i >= 500 && j == 0 { 6.0 } else { 0.0 });
        for (centre, wanted) in [(array![0.0, 0.0, 0.0, 0.0], 200), (array![6.0, 0.0, 0.0, 0.0], 60)] {
            let near = neighbourhood(latents.view(), centre.view(), wanted).unwrap();
            assert!((near.effective / wanted as f64 - 1.0).abs() < 0.1, "{near:?}");
            let other = near.particles.iter().zip(&near.weights).filter(|(i, _)| (**i >= 500) != (wanted == 60));
            let foreign: f32 = other.map(|(_, w)| w).sum();
            assert!(foreign < 0.05 * near.weights.iter().sum::<f32>(), "{foreign}");
            let distance = |i: usize| latents.row(i).iter().zip(&centre).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            let nearest = (0..600).min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap();
            let at = near.particles.iter().position(|i| *i == nearest).unwrap();
            assert!((near.weights[at] - 1.0).abs() < 1e-6);
        }
        let everyone = neighbourhood(latents.view(), array![0.0, 0.0, 0.0, 0.0].view(), 5000).unwrap();
        assert_eq!(everyone.particles.len(), 600);
        assert!(neighbourhood(latents.view(), array![0.0].view(), 5).is_err());
    }
}
