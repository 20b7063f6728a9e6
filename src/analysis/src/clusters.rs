//! k-means with centres on particles, numbered along the tree of the centres.
//!
//! The partition is linfa's; the rest follows the original: every centre is replaced by the nearest particle, and clusters are numbered in the leaf
//! order of average-linkage hierarchical clustering of these, so that neighbours in number are neighbours in latent space.

mod assign;
mod choice;
mod order;

pub use assign::{assign, distances};
pub use choice::{Choice, MOST_CLUSTERS, choose};
pub use order::leaf_order;

use crate::blocks::{check_latents, map_blocks};
use contract::{Problem, Result};
use linfa::traits::{Fit, Predict};
use linfa::{DatasetBase, ParamGuard};
use linfa_clustering::{KMeans, KMeansInit, KMeansParams};
use linfa_nn::distance::L2Dist;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

/// Starts of k-means++; the partition of least inertia is kept (scikit-learn's former default, which the original relied on).
const STARTS: usize = 10;
/// Rounds of Lloyd's algorithm a start, at most (the original: 100; a stop there is rare and harmless).
const ROUNDS: usize = 100;
/// Movement of the centres, in units of the latents' overall standard deviation, that counts as standing still.
const TOLERANCE: f64 = 1e-4;
/// Above this many particles the starts see an even sample, and only the best is carried on with all; at 10⁶ particles the starts would take minutes.
const START_PARTICLES: usize = 20_000;

/// A partition of the particles.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// Cluster of each particle, 0-based; people and files see [`Clusters::class_number`].
    pub labels: Vec<usize>,
    /// Particle that stands for each cluster (row of the latents), `[clusters]`.
    pub center_index: Vec<usize>,
    /// Its latent, `[clusters, d]`.
    pub centers: Array2<f32>,
    /// Particles in each cluster; 0 only where others were put into clusters that were found before ([`assign()`]).
    pub sizes: Vec<usize>,
    /// Sum over the particles of squared distances to the mean of their cluster.
    pub inertia: f64,
    /// Clusters that were asked for; more than there are where the latents have fewer distinct values.
    pub asked: usize,
}

impl Clusters {
    /// Number of clusters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there is no cluster (never so for what [`kmeans`] returns).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// The cluster's number as written to files: from 1.
    #[must_use]
    pub fn class_number(&self, cluster: usize) -> usize {
        cluster + 1
    }

    /// Rows of the particles of a cluster (0-based), ascending.
    #[must_use]
    pub fn members(&self, cluster: usize) -> Vec<usize> {
        self.labels.iter().enumerate().filter(|&(_, &label)| label == cluster).map(|(row, _)| row).collect()
    }
}

/// Partitions latents `[n, d]` into `k` clusters. Equal latents, `k` and seed give equal clusters, with any number of threads.
///
/// Where latents have fewer than `k` distinct values, empty clusters are left out and [`Clusters::asked`] tells.
///
/// # Errors
/// If `k` is 0 or above the number of particles, or a latent is not finite.
pub fn kmeans(latents: ArrayView2<'_, f32>, k: usize, seed: u64) -> Result<Clusters> {
    check_latents(latents)?;
    let n = latents.nrows();
    if k == 0 || k > n {
        return Err(Problem::input(format!("{k} clusters of {n} particles cannot be made")).hint(format!("choose from 1 to {n}")));
    }
    let (raw_labels, raw_centers) = partition(latents, k, seed)?;
    Ok(on_data(latents, &raw_labels, &raw_centers))
}

/// Puts a partition's centres on particles, leaves out empty clusters, and numbers the rest in leaf order.
///
/// `raw_labels` `[n]` are rows of `raw_centers` `[k, d]`.
#[must_use]
pub fn on_data(latents: ArrayView2<'_, f32>, raw_labels: &[usize], raw_centers: &Array2<f64>) -> Clusters {
    let asked = raw_centers.nrows();
    let mut raw_sizes = vec![0usize; asked];
    raw_labels.iter().for_each(|&label| raw_sizes[label] += 1);
    let filled: Vec<usize> = (0..asked).filter(|&c| raw_sizes[c] > 0).collect();
    let nearest = nearest_rows(latents, &raw_centers.select(Axis(0), &filled));
    let order = leaf_order(latents.select(Axis(0), &nearest).view());

    let center_index: Vec<usize> = order.iter().map(|&leaf| nearest[leaf]).collect();
    let mut number = vec![0; asked];
    order.iter().enumerate().for_each(|(new, &leaf)| number[filled[leaf]] = new);
    let labels: Vec<usize> = raw_labels.iter().map(|&label| number[label]).collect();
    let sizes = order.iter().map(|&leaf| raw_sizes[filled[leaf]]).collect();
    let inertia = inertia(latents, &labels, order.len());
    Clusters { centers: latents.select(Axis(0), &center_index), labels, center_index, sizes, inertia, asked }
}

/// Raw labels and centres by linfa's k-means.
fn partition(latents: ArrayView2<'_, f32>, k: usize, seed: u64) -> Result<(Vec<usize>, Array2<f64>)> {
    let (n, d) = latents.dim();
    // Scaled as a whole, so that the tolerance means the same for all latents; distances keep their ratios.
    let mean = latents.mapv(f64::from).mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(d));
    let variance = latents.rows().into_iter().map(|row| squared_distance(row, mean.view())).sum::<f64>() / (n * d) as f64;
    let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    let scaled = (latents.mapv(f64::from) - &mean) / scale;

    let rng = Xoshiro256Plus::seed_from_u64(seed);
    let sample = if n > START_PARTICLES {
        let rows: Vec<usize> = (0..START_PARTICLES.max(k)).map(|i| i * n / START_PARTICLES.max(k)).collect();
        scaled.select(Axis(0), &rows)
    } else {
        scaled.clone()
    };
    let starts = KMeans::params_with_rng(k, rng.clone()).init_method(KMeansInit::KMeansPlusPlus).n_runs(STARTS);
    let mut model = fit(starts, sample)?;
    let all = DatasetBase::from(scaled);
    if n > START_PARTICLES {
        let start = KMeansInit::Precomputed(model.centroids().clone());
        model = fit(KMeans::params_with_rng(k, rng).init_method(start).n_runs(1), all.records.view())?;
    }
    let labels = model.predict(&all.records).to_vec();
    Ok((labels, model.centroids() * scale + &mean))
}

/// Runs linfa's k-means.
fn fit<D: ndarray::Data<Elem = f64>>(
    parameters: KMeansParams<f64, Xoshiro256Plus, L2Dist>,
    records: ndarray::ArrayBase<D, ndarray::Ix2>,
) -> Result<KMeans<f64, L2Dist>> {
    let failed = |e: &dyn std::fmt::Display| Problem::failed(format!("k-means did not work: {e}"));
    let checked = parameters.max_n_iterations(ROUNDS as u64).tolerance(TOLERANCE).check().map_err(|e| failed(&e))?;
    checked.fit(&DatasetBase::from(records)).map_err(|e| failed(&e))
}

/// Row of the latents that is nearest to each centre, the first of equals.
fn nearest_rows(latents: ArrayView2<'_, f32>, centers: &Array2<f64>) -> Vec<usize> {
    let nearest_in_block = map_blocks(latents, |rows| {
        let best = |center: ArrayView1<'_, f64>| {
            let distances = rows.rows().into_iter().map(|row| squared_distance(row, center)).enumerate();
            distances.fold((0, f64::INFINITY), |best, (i, distance)| if distance < best.1 { (i, distance) } else { best })
        };
        (rows.nrows(), centers.rows().into_iter().map(best).collect::<Vec<_>>())
    });
    let mut nearest = vec![(0, f64::INFINITY); centers.nrows()];
    let mut first = 0;
    for (rows, block) in nearest_in_block {
        for (best, (row, distance)) in nearest.iter_mut().zip(block) {
            if distance < best.1 {
                *best = (first + row, distance);
            }
        }
        first += rows;
    }
    nearest.into_iter().map(|(row, _)| row).collect()
}

/// Sum of squared distances to the clusters' means.
fn inertia(latents: ArrayView2<'_, f32>, labels: &[usize], clusters: usize) -> f64 {
    let mut means = Array2::<f64>::zeros((clusters, latents.ncols()));
    let mut sizes = Array1::<f64>::zeros(clusters);
    for (row, &label) in latents.rows().into_iter().zip(labels) {
        let mut mean = means.row_mut(label);
        mean.zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
        sizes[label] += 1.0;
    }
    means /= &sizes.insert_axis(Axis(1));
    latents.rows().into_iter().zip(labels).map(|(row, &label)| squared_distance(row, means.row(label))).sum()
}

/// Squared Euclidean distance.
fn squared_distance(row: ArrayView1<'_, f32>, center: ArrayView1<'_, f64>) -> f64 {
    row.iter().zip(center).map(|(&a, &b)| (f64::from(a) - b).powi(2)).sum()
}

#[cfg(test)]
mod tests;
