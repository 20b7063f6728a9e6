//! Gaussian mixtures: clusters that may be wide, narrow, long, and overlap.
//!
//! The fit is linfa's (full covariances); what it says of every particle is computed here block by block, so that a million of them fit into memory.

use crate::blocks::{check_latents, map_blocks};
use crate::clusters::{Clusters, on_data};
use crate::neighbours::even_sample;
use contract::{Problem, Result};
use linfa::traits::Fit;
use linfa::{DatasetBase, ParamGuard};
use linfa_clustering::GaussianMixtureModel;
use linfa_linalg::cholesky::{Cholesky, InverseC};
use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

/// Particles that a mixture is fitted to; all are then assigned.
const FIT_PARTICLES: usize = 20_000;
/// Rounds of expectation and maximisation, at most; linfa takes running out of them for a failure.
const ROUNDS: u64 = 1_000;
/// Gain in mean log-likelihood that ends them.
const TOLERANCE: f64 = 1e-4;
/// Added to variances, in units of the latents' mean variance: dimensions that the training has shut down would otherwise decide everything.
const LEAST_VARIANCE: f64 = 1e-3;

/// A mixture and what it says of every particle.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Share of each component, `[k]`.
    pub weights: Array1<f64>,
    /// Means, `[k, d]`.
    pub means: Array2<f64>,
    /// Covariances, `[k, d, d]`.
    pub covariances: Array3<f64>,
    /// Most probable component of each particle, as clusters with their centres on particles, numbered along their tree; components that are
    /// the most probable one of no particle are left out.
    pub clusters: Clusters,
    /// Probability of that component, `[n]`: near 1 inside a cluster, near 1/2 between two.
    pub certainty: Vec<f32>,
    /// Log-density of the mixture at each particle, `[n]`; low for those that fit nowhere.
    pub log_density: Vec<f32>,
    /// Bayesian information criterion of the fit; the less the better.
    pub bic: f64,
}

/// Fits `k` Gaussians to latents `[n, d]`.
///
/// # Errors
/// If `k` is 0 or above the number of particles, a latent is not finite, or no fit is found (too many components for too few particles).
pub fn mixture(latents: ArrayView2<'_, f32>, k: usize, seed: u64) -> Result<Mixture> {
    check_latents(latents)?;
    let (n, d) = latents.dim();
    if k == 0 || k > n {
        return Err(Problem::input(format!("{k} Gaussians of {n} particles cannot be made")).hint(format!("choose from 1 to {n}")));
    }
    let sample = latents.select(Axis(0), &even_sample(n, FIT_PARTICLES)).mapv(f64::from);
    let mean = sample.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(d));
    let centred = &sample - &mean;
    let variance = centred.mapv(|v| v * v).mean().unwrap_or(0.0);
    let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    let failed = |e: &dyn std::fmt::Display| {
        Problem::failed(format!("{k} Gaussians could not be fitted to {} particles: {e}", sample.nrows()))
            .hint("ask for fewer, or use k-means")
    };
    let parameters = GaussianMixtureModel::params_with_rng(k, Xoshiro256Plus::seed_from_u64(seed))
        .max_n_iterations(ROUNDS)
        .tolerance(TOLERANCE)
        .reg_covariance(LEAST_VARIANCE)
        .check()
        .map_err(|e| failed(&e))?;
    let model = parameters.fit(&DatasetBase::from(centred / scale)).map_err(|e| failed(&e))?;

    let weights = model.weights().clone();
    let means = model.means() * scale + &mean;
    let covariances = model.covariances() * (scale * scale);
    let components = weights.iter().enumerate().map(|(c, &weight)| {
        let covariance = covariances.index_axis(Axis(0), c);
        Component::new(weight, means.row(c), covariance).map_err(|e| failed(&e))
    });
    let components: Vec<Component> = components.collect::<Result<_>>()?;
    let assigned: Vec<(usize, f32, f32)> =
        map_blocks(latents, |rows| rows.rows().into_iter().map(|row| assign(&components, row)).collect::<Vec<_>>()).concat();
    let fitted: f64 = even_sample(n, FIT_PARTICLES).into_iter().map(|row| f64::from(assigned[row].2)).sum();
    let parameters = k * (d + d * (d + 1) / 2) + k - 1;
    let labels: Vec<usize> = assigned.iter().map(|a| a.0).collect();
    Ok(Mixture {
        clusters: on_data(latents, &labels, &means),
        weights,
        means,
        covariances,
        certainty: assigned.iter().map(|a| a.1).collect(),
        log_density: assigned.iter().map(|a| a.2).collect(),
        bic: parameters as f64 * (sample.nrows() as f64).ln() - 2.0 * fitted,
    })
}

/// A Gaussian ready to be evaluated.
struct Component {
    mean: Array1<f64>,
    precision: Array2<f64>,
    /// Logarithm of the weight and the norm.
    offset: f64,
}

impl Component {
    fn new(
        weight: f64,
        mean: ArrayView1<'_, f64>,
        covariance: ArrayView2<'_, f64>,
    ) -> std::result::Result<Self, linfa_linalg::LinalgError> {
        let root = covariance.cholesky()?;
        let log_determinant: f64 = root.diag().iter().map(|v| 2.0 * v.ln()).sum();
        let norm = mean.len() as f64 * std::f64::consts::TAU.ln() + log_determinant;
        Ok(Self { mean: mean.to_owned(), precision: covariance.invc()?, offset: weight.max(f64::MIN_POSITIVE).ln() - 0.5 * norm })
    }

    fn log_density(&self, row: ArrayView1<'_, f32>) -> f64 {
        let off: Array1<f64> = row.iter().zip(&self.mean).map(|(&v, &m)| f64::from(v) - m).collect();
        self.offset - 0.5 * off.dot(&self.precision.dot(&off))
    }
}

/// Most probable component (the first of equals), its probability, and the log-density of the whole.
fn assign(components: &[Component], row: ArrayView1<'_, f32>) -> (usize, f32, f32) {
    let logs: Vec<f64> = components.iter().map(|c| c.log_density(row)).collect();
    let best = (0..logs.len()).rev().max_by(|&a, &b| logs[a].total_cmp(&logs[b])).unwrap_or(0);
    let sum: f64 = logs.iter().map(|log| (log - logs[best]).exp()).sum();
    (best, (1.0 / sum) as f32, (logs[best] + sum.ln()) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::adjusted_rand_index;
    use cryoem::random::Random;

    /// A wide blob, a narrow one in its flank, where k-means would give it much of the wide one, and a narrow one far off.
    fn wide_and_narrow(n: usize) -> (Array2<f32>, Vec<usize>) {
        let mut random = Random::new(3, 0);
        let truth: Vec<usize> = (0..n).map(|i| [0, 1, 0, 1, 2][i % 5]).collect();
        let z = Array2::from_shape_fn((n, 3), |(i, j)| {
            let (along, width) = [(0.0, 2.5), (5.0, 0.3), (20.0, 0.3)][truth[i]];
            (if j == 0 { along } else { 0.0 } + width * random.normal()) as f32
        });
        (z, truth)
    }

    #[test]
    fn clusters_of_different_widths_are_found_and_counted() {
        let (z, truth) = wide_and_narrow(1500);
        let found = mixture(z.view(), 3, 0).unwrap();
        let agreement = |labels: &[usize]| adjusted_rand_index(&truth, labels);
        let (of_mixture, of_kmeans) = (agreement(&found.clusters.labels), agreement(&crate::kmeans(z.view(), 3, 0).unwrap().labels));
        assert!(of_mixture > 0.95 && of_kmeans < 0.9, "{of_mixture} against {of_kmeans}");
        assert!((found.weights.sum() - 1.0).abs() < 1e-9);
        assert!(found.certainty.iter().all(|&c| c > 1.0 / 3.0 - 1e-6 && c <= 1.0));
        let bic: Vec<f64> = (1..=5).map(|k| mixture(z.view(), k, 0).unwrap().bic).collect();
        let best = (0..5).min_by(|&a, &b| bic[a].total_cmp(&bic[b])).unwrap() + 1;
        assert_eq!(best, 3, "{bic:?}");
        // One far off every component has the least density.
        let mut far = z.clone();
        far.row_mut(7).assign(&ndarray::array![0.0, 60.0, 0.0]);
        let density = mixture(far.view(), 3, 0).unwrap().log_density;
        assert_eq!((0..1500).min_by(|&a, &b| density[a].total_cmp(&density[b])), Some(7));
    }

    #[test]
    fn the_density_of_one_gaussian_is_its_formula() {
        let (z, _) = wide_and_narrow(400);
        let found = mixture(z.view(), 1, 0).unwrap();
        let row = z.row(11).mapv(f64::from);
        let off = &row - &found.means.row(0);
        let covariance = found.covariances.index_axis(Axis(0), 0).to_owned();
        // By Cramer's rule for 3 × 3.
        let det = |m: &Array2<f64>| {
            m[[0, 0]] * (m[[1, 1]] * m[[2, 2]] - m[[1, 2]] * m[[2, 1]]) - m[[0, 1]] * (m[[1, 0]] * m[[2, 2]] - m[[1, 2]] * m[[2, 0]])
                + m[[0, 2]] * (m[[1, 0]] * m[[2, 1]] - m[[1, 1]] * m[[2, 0]])
        };
        let solved: Vec<f64> = (0..3)
            .map(|c| {
                let mut m = covariance.clone();
                m.column_mut(c).assign(&off);
                det(&m) / det(&covariance)
            })
            .collect();
        let square: f64 = off.iter().zip(&solved).map(|(a, b)| a * b).sum();
        let expected = -0.5 * (square + 3.0 * std::f64::consts::TAU.ln() + det(&covariance).ln());
        assert!((f64::from(found.log_density[11]) - expected).abs() < 1e-4);
    }

    #[test]
    fn degenerate_latents_make_a_mixture_or_a_problem() {
        let same = mixture(Array2::zeros((50, 3)).view(), 1, 0).unwrap();
        assert_eq!(same.clusters.len(), 1);
        for k in [2, 5] {
            // Either way, nothing but numbers comes out.
            match mixture(Array2::from_shape_fn((50, 3), |(i, _)| (i % 2) as f32).view(), k, 0) {
                Ok(m) => assert!(m.bic.is_finite() && m.log_density.iter().all(|v| v.is_finite())),
                Err(problem) => assert!(problem.to_string().contains("Gaussians could not be fitted"), "{problem}"),
            }
        }
        assert!(mixture(Array2::zeros((3, 2)).view(), 4, 0).is_err());
        assert!(mixture(ndarray::array![[f32::NAN]].view(), 1, 0).is_err());
    }

    #[test]
    fn equal_seeds_give_equal_mixtures() {
        let (z, _) = wide_and_narrow(300);
        assert_eq!(mixture(z.view(), 3, 5).unwrap(), mixture(z.view(), 3, 5).unwrap());
    }
}
