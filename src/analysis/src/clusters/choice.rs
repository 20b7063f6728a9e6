//! How many clusters: the curve that people look at, and the number that it speaks for.

use super::{Clusters, kmeans};
use crate::blocks::check_latents;
use crate::neighbours::even_sample;
use contract::{CurvePoint, Result};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Most clusters tried: more than a dozen states are not looked at one by one.
pub const MOST_CLUSTERS: usize = 12;
/// Particles that the curve is made of; the silhouette's time grows with the square.
const PARTICLES: usize = 2_000;
/// Silhouettes as near as this are equal: they differ by as much between samples of a thousand particles.
const EQUAL_SILHOUETTE: f64 = 0.02;
/// Silhouettes above which clusters are parted, and below which there are none (Kaufman & Rousseeuw 1990).
const PARTED: f64 = 0.5;
const FORMLESS: f64 = 0.25;

/// The curve and what follows from it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Choice {
    /// The number chosen: of those whose silhouette is as good as the best one, the largest.
    pub k: usize,
    /// From 1 on.
    pub curve: Vec<CurvePoint>,
    /// Why, in a sentence.
    pub reason: String,
}

impl Choice {
    /// Whether the clusters are parted, so that their number is one of the latents and not of whoever looks.
    #[must_use]
    pub fn is_parted(&self) -> bool {
        self.curve.iter().any(|point| point.k == self.k && point.silhouette >= PARTED)
    }
}

/// Tries 1 to `most` clusters on a sample of latents `[n, d]`.
///
/// # Errors
/// If there are no latents or one is not finite.
pub fn choose(latents: ArrayView2<'_, f32>, most: usize, seed: u64) -> Result<Choice> {
    check_latents(latents)?;
    let sample = latents.select(Axis(0), &even_sample(latents.nrows(), PARTICLES));
    let distances = pairs(sample.view());
    let whole = kmeans(sample.view(), 1, seed)?.inertia;
    let mut curve = vec![CurvePoint { k: 1, within: 1.0, silhouette: 0.0 }];
    for k in 2..=most.min(sample.nrows()) {
        let clusters = kmeans(sample.view(), k, seed)?;
        if clusters.len() < k {
            break; // there are no more distinct latents
        }
        let within = if whole > 0.0 { clusters.inertia / whole } else { 0.0 };
        curve.push(CurvePoint { k, within, silhouette: silhouette(&distances, &clusters) });
    }
    let best = curve.iter().map(|point| point.silhouette).fold(0.0, f64::max);
    let k = curve.iter().filter(|p| p.silhouette >= best - EQUAL_SILHOUETTE && (p.k > 1 || best == 0.0)).map(|p| p.k).max().unwrap_or(1);
    let chosen = curve.iter().find(|p| p.k == k).map_or(0.0, |p| p.silhouette);
    let meaning = match chosen {
        s if s >= PARTED => "the clusters are parted",
        s if s >= FORMLESS => "the clusters touch: they may divide a continuous change, look at traversals and paths too",
        _ => "there are no clusters in these latents: what they show is continuous, or nothing",
    };
    Ok(Choice { k, reason: format!("{k} clusters have a silhouette of {chosen:.2} (best of 1 to {most}: {best:.2}); {meaning}"), curve })
}

/// Distances of all pairs, `[n, n]`.
fn pairs(points: ArrayView2<'_, f32>) -> Array2<f32> {
    let n = points.nrows();
    let distance = |a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt();
    let mut all = Array2::zeros((n, n));
    all.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut row)| {
        row.iter_mut().enumerate().for_each(|(j, to)| *to = distance(points.row(i), points.row(j)));
    });
    all
}

/// Mean silhouette (Rousseeuw 1987); a particle alone in its cluster counts 0.
fn silhouette(distances: &Array2<f32>, clusters: &Clusters) -> f64 {
    let n = clusters.labels.len();
    let of = |row: usize| {
        let mut sums = vec![0.0f64; clusters.len()];
        distances.row(row).iter().zip(&clusters.labels).for_each(|(&d, &label)| sums[label] += f64::from(d));
        let own = clusters.labels[row];
        if clusters.sizes[own] < 2 {
            return 0.0;
        }
        let inside = sums[own] / (clusters.sizes[own] - 1) as f64;
        let others = (0..clusters.len()).filter(|&c| c != own).map(|c| sums[c] / clusters.sizes[c] as f64);
        let next = others.fold(f64::INFINITY, f64::min);
        let larger = inside.max(next);
        if larger > 0.0 { (next - inside) / larger } else { 0.0 }
    };
    (0..n).into_par_iter().map(of).collect::<Vec<f64>>().iter().sum::<f64>() / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryoem::random::Random;

    fn blobs(centres: &[[f32; 2]], width: f64) -> Array2<f32> {
        let mut random = Random::new(1, 0);
        Array2::from_shape_fn((900, 4), |(i, j)| {
            centres[i % centres.len()].get(j).copied().unwrap_or(0.0) + (width * random.normal()) as f32
        })
    }

    #[test]
    fn parted_blobs_are_counted() {
        for centres in
            [&[[0.0, 0.0], [9.0, 0.0]][..], &[[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], &[[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [12.0, 9.0]]]
        {
            let choice = choose(blobs(centres, 1.0).view(), MOST_CLUSTERS, 0).unwrap();
            assert_eq!(choice.k, centres.len(), "{choice:?}");
            assert!(choice.is_parted() && choice.reason.contains("are parted"), "{}", choice.reason);
            assert!(choice.curve.windows(2).all(|w| w[1].within <= w[0].within + 1e-9));
        }
    }

    #[test]
    fn a_cloud_has_no_clusters() {
        let choice = choose(blobs(&[[0.0, 0.0]], 1.0).view(), MOST_CLUSTERS, 0).unwrap();
        assert!(choice.reason.contains("no clusters"), "{}", choice.reason);
        let one = choose(Array2::zeros((50, 3)).view(), MOST_CLUSTERS, 0).unwrap();
        assert_eq!((one.k, one.curve.len()), (1, 1));
        assert_eq!(choose(Array2::zeros((1, 3)).view(), MOST_CLUSTERS, 0).unwrap().k, 1);
    }

    #[test]
    fn the_silhouette_is_that_of_scikit_learn() {
        // sklearn.metrics.silhouette_score of these points and k-means' two clusters.
        let points = ndarray::array![[0.0f32, 0.0], [1.0, 0.0], [0.0, 2.0], [5.0, 5.0], [6.0, 5.0], [5.0, 8.0]];
        let clusters = kmeans(points.view(), 2, 0).unwrap();
        let found = silhouette(&pairs(points.view()), &clusters);
        assert!((found - 0.722_202_7).abs() < 1e-6, "{found}");
    }
}
