//! Scores of latents and maps against a known truth, as the field's benchmarks compute them.
//!
//! Continuous motion is scored by cross-validated k-nearest-neighbour regression of the true coordinate from the latents, discrete states by the
//! agreement of k-means with the true states and by neighbours' votes, maps by the area under their Fourier shell correlation with the truth.

mod agreement;
mod maps;
mod trust;

pub use agreement::{adjusted_mutual_information, adjusted_rand_index};
pub use maps::{MapScore, MapScorer};
pub use trust::trustworthiness;

use crate::blocks::check_latents;
use crate::neighbours::{even_sample, nearest_outside_fold, neighbour_mean, neighbour_vote, random_folds};
use crate::{kmeans, pca};
use contract::{Problem, Result};
use ndarray::{ArrayView2, Axis};

/// Numbers of neighbours tried for a continuous truth; the best counts.
pub const REGRESSION_NEIGHBOURS: [usize; 5] = [5, 10, 20, 50, 100];
/// Numbers of neighbours tried for discrete states; the best counts.
pub const VOTE_NEIGHBOURS: [usize; 3] = [5, 20, 50];
/// More particles are thinned out evenly; the search for neighbours grows with the square.
const MOST_PARTICLES: usize = 20_000;

/// How well latents tell a continuous coordinate.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Continuous {
    /// Cross-validated R² of the neighbours' mean, for the best number of neighbours.
    pub knn_r2: f64,
    /// That number.
    pub knn_k: usize,
    /// Spearman's rank correlation of that prediction with the truth.
    pub knn_spearman: f64,
    /// Magnitude of the rank correlation of the first principal component with the truth.
    pub spearman_pc1: f64,
}

/// How well latents tell discrete states.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Discrete {
    /// Number of true states.
    pub states: usize,
    /// Adjusted Rand index of k-means (with the true number of states) and the truth.
    pub kmeans_ari: f64,
    /// Adjusted mutual information of the same.
    pub kmeans_ami: f64,
    /// Cross-validated share of particles whose neighbours vote for the true state, for the best number of neighbours.
    pub knn_accuracy: f64,
    /// Share of the largest state: what a blind guess scores.
    pub largest_state_share: f64,
}

/// Scores latents `[n, d]` against a continuous truth `[n]`.
///
/// # Errors
/// If the lengths differ, there are fewer than 15 particles, or a latent is not finite.
pub fn continuous(latents: ArrayView2<'_, f32>, truth: &[f64]) -> Result<Continuous> {
    let folds = random_folds(latents.nrows().min(MOST_PARTICLES), 0);
    continuous_with_folds(latents, truth, &folds)
}

/// [`continuous`] with given folds, one a particle (a sample of them above 20,000 particles).
///
/// # Errors
/// As [`continuous`].
pub fn continuous_with_folds(latents: ArrayView2<'_, f32>, truth: &[f64], folds: &[usize]) -> Result<Continuous> {
    let rows = sample(latents, truth.len(), folds)?;
    let (z, t) = (latents.select(Axis(0), &rows), rows.iter().map(|&row| truth[row]).collect::<Vec<f64>>());
    let tried: Vec<usize> = REGRESSION_NEIGHBOURS.into_iter().filter(|k| 3 * k <= rows.len()).collect();
    let neighbours = nearest_outside_fold(z.view(), folds, tried.last().copied().unwrap_or(0));
    let mut best: Option<Continuous> = None;
    let spearman_pc1 = spearman(&pca(z.view())?.project(z.view()).column(0).mapv(f64::from).to_vec(), &t).abs();
    for k in tried {
        let predicted = neighbour_mean(&neighbours, &t, k);
        let knn_r2 = r2(&t, &predicted);
        if best.is_none_or(|b| knn_r2 > b.knn_r2) {
            best = Some(Continuous { knn_r2, knn_k: k, knn_spearman: spearman(&predicted, &t), spearman_pc1 });
        }
    }
    best.ok_or_else(|| Problem::input(format!("{} particles are too few to score", rows.len())).hint("score at least 15"))
}

/// Scores latents `[n, d]` against true states `[n]` (any numbers).
///
/// # Errors
/// If the lengths differ, there are fewer particles than neighbours to vote, or a latent is not finite.
pub fn discrete(latents: ArrayView2<'_, f32>, truth: &[usize]) -> Result<Discrete> {
    let folds = random_folds(latents.nrows().min(MOST_PARTICLES), 0);
    discrete_with_folds(latents, truth, &folds)
}

/// [`discrete`] with given folds, one a particle (a sample of them above 20,000 particles).
///
/// # Errors
/// As [`discrete`].
pub fn discrete_with_folds(latents: ArrayView2<'_, f32>, truth: &[usize], folds: &[usize]) -> Result<Discrete> {
    let rows = sample(latents, truth.len(), folds)?;
    let (z, states) = (latents.select(Axis(0), &rows), rows.iter().map(|&row| truth[row]).collect::<Vec<usize>>());
    let mut distinct = states.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let neighbours = nearest_outside_fold(z.view(), folds, *VOTE_NEIGHBOURS.last().unwrap_or(&0));
    let right = |k: usize| neighbour_vote(&neighbours, &states, k).iter().zip(&states).filter(|(voted, state)| voted == state).count();
    let most_right = VOTE_NEIGHBOURS.into_iter().map(right).max().unwrap_or(0);
    let largest = distinct.iter().map(|state| states.iter().filter(|s| *s == state).count()).max().unwrap_or(0);
    let clusters = kmeans(z.view(), distinct.len(), 0)?;
    Ok(Discrete {
        states: distinct.len(),
        kmeans_ari: adjusted_rand_index(&states, &clusters.labels),
        kmeans_ami: adjusted_mutual_information(&states, &clusters.labels),
        knn_accuracy: most_right as f64 / rows.len() as f64,
        largest_state_share: largest as f64 / rows.len() as f64,
    })
}

/// Rows that are scored.
fn sample(latents: ArrayView2<'_, f32>, labels: usize, folds: &[usize]) -> Result<Vec<usize>> {
    check_latents(latents)?;
    if latents.nrows() != labels {
        return Err(Problem::input(format!("{} latents but {labels} labels", latents.nrows())));
    }
    let rows = even_sample(labels, MOST_PARTICLES);
    if rows.len() != folds.len() {
        return Err(Problem::failed(format!("{} folds for {} particles", folds.len(), rows.len())));
    }
    Ok(rows)
}

/// Share of the truth's variance that a prediction explains.
#[must_use]
pub fn r2(truth: &[f64], predicted: &[f64]) -> f64 {
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    let residual: f64 = truth.iter().zip(predicted).map(|(t, p)| (t - p).powi(2)).sum();
    let total: f64 = truth.iter().map(|t| (t - mean).powi(2)).sum();
    1.0 - residual / total
}

/// Spearman's rank correlation; ties share their mean rank. 0 where one of the two does not vary.
#[must_use]
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ndarray::Array1::from(ranks(a)), ndarray::Array1::from(ranks(b)));
    let (a, b) = (&a - a.mean().unwrap_or(0.0), &b - b.mean().unwrap_or(0.0));
    let norm = (a.dot(&a) * b.dot(&b)).sqrt();
    if norm > 0.0 { a.dot(&b) / norm } else { 0.0 }
}

/// Mean ranks from 1.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    for run in order.chunk_by(|&i, &j| values[i] == values[j]).scan(0, |start, run| {
        let first = *start;
        *start += run.len();
        Some((first, run))
    }) {
        let shared = run.0 as f64 + (run.1.len() + 1) as f64 / 2.0;
        run.1.iter().for_each(|&i| ranks[i] = shared);
    }
    ranks
}

#[cfg(test)]
mod tests;
