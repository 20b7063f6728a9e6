//! Two looks at the same particles: two runs, two epochs, two numbers of clusters.

use crate::blocks::{check_latents, map_blocks};
use crate::graph::NeighbourGraph;
use crate::neighbours::even_sample;
use crate::score::{adjusted_mutual_information, adjusted_rand_index};
use contract::{Problem, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Particles whose neighbours are compared.
const PARTICLES: usize = 4_000;
/// Neighbours of each.
const NEIGHBOURS: usize = 15;

/// How far two partitions agree.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Agreement {
    /// Adjusted Rand index: 1 for equal partitions, 0 for unrelated ones.
    pub rand_index: f64,
    /// Adjusted mutual information: the same, kinder to partitions of which one is finer.
    pub mutual_information: f64,
    /// Pairs of clusters that belong together, by the first's number: the assignment that keeps most particles.
    pub pairs: Vec<Pair>,
    /// Share of particles that stay in their pair.
    pub kept: f64,
}

/// A cluster of the first partition and the one of the second that it became.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pair {
    /// Cluster of the first partition.
    pub first: usize,
    /// Cluster of the second.
    pub second: usize,
    /// Particles in both.
    pub shared: usize,
    /// These as a share of the particles in either: 1 where the clusters are the same.
    pub overlap: f64,
}

/// Agreement of two partitions of the same particles; clusters count from 0.
///
/// # Errors
/// If the lengths differ, or there are no particles.
pub fn agreement(first: &[usize], second: &[usize]) -> Result<Agreement> {
    if first.len() != second.len() || first.is_empty() {
        return Err(Problem::input(format!("clusters of {} and of {} particles cannot be compared", first.len(), second.len()))
            .hint("compare looks at the same particles"));
    }
    let count = |labels: &[usize]| labels.iter().max().map_or(0, |&last| last + 1);
    let (rows, columns) = (count(first), count(second));
    let size = rows.max(columns); // a square table: clusters too many on one side are matched with empty ones
    let mut shared = Matrix::new(size, size, 0i64);
    first.iter().zip(second).for_each(|(&a, &b)| shared[(a, b)] += 1);
    let (kept, matched) = kuhn_munkres(&shared);
    let of = |a: usize, along_row: bool| (0..size).map(|i| if along_row { shared[(a, i)] } else { shared[(i, a)] }).sum::<i64>();
    let pair = |(a, &b): (usize, &usize)| {
        let both = shared[(a, b)];
        let either = of(a, true) + of(b, false) - both;
        (both > 0).then(|| Pair { first: a, second: b, shared: both as usize, overlap: both as f64 / either as f64 })
    };
    Ok(Agreement {
        rand_index: adjusted_rand_index(first, second),
        mutual_information: adjusted_mutual_information(first, second),
        pairs: matched.iter().enumerate().filter_map(pair).collect(),
        kept: kept as f64 / first.len() as f64,
    })
}

/// How far two latent spaces of the same particles are the same, up to what does not matter.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Likeness {
    /// Linear centred kernel alignment (Kornblith et al. 2019): 1 if one space is a rotated, shifted and scaled copy of the other, near 0 for
    /// unrelated ones. The two may have different dimensions.
    pub alignment: f64,
    /// Share of a particle's nearest neighbours that are the same in both (of 15, in a sample of 4,000 particles).
    pub neighbours: f64,
    /// The same for unrelated spaces.
    pub neighbours_by_chance: f64,
}

/// Likeness of latents `[n, d]` and `[n, e]` of the same particles; 1 less it is the drift between two epochs.
///
/// # Errors
/// If the numbers of rows differ, there are fewer than three, or a latent is not finite.
pub fn likeness(first: ArrayView2<'_, f32>, second: ArrayView2<'_, f32>) -> Result<Likeness> {
    check_latents(first)?;
    check_latents(second)?;
    let n = first.nrows();
    if second.nrows() != n || n < 3 {
        return Err(Problem::input(format!("latents of {n} and of {} particles cannot be compared", second.nrows()))
            .hint("compare latents of the same particles, three at least"));
    }
    let (a, b) = (centre(first), centre(second));
    let cross = |x: (ArrayView2<'_, f32>, &Array1<f64>), y: (ArrayView2<'_, f32>, &Array1<f64>)| {
        // Blocks of both side by side, summed in their order.
        let both = ndarray::concatenate![Axis(1), x.0, y.0];
        let split = x.0.ncols();
        let products = map_blocks(both.view(), |rows| {
            let left = rows.slice(ndarray::s![.., ..split]).mapv(f64::from) - x.1;
            let right = rows.slice(ndarray::s![.., split..]).mapv(f64::from) - y.1;
            left.t().dot(&right)
        });
        let sum = products.into_iter().fold(Array2::<f64>::zeros((split, y.0.ncols())), |sum, block| sum + block);
        sum.mapv(|v| v * v).sum()
    };
    let norm = (cross((first, &a), (first, &a)) * cross((second, &b), (second, &b))).sqrt();
    let alignment = if norm > 0.0 { cross((first, &a), (second, &b)) / norm } else { 0.0 };

    let rows = even_sample(n, PARTICLES);
    let k = NEIGHBOURS.min(rows.len() - 1);
    let graph = |latents: ArrayView2<'_, f32>| NeighbourGraph::build(latents.select(Axis(0), &rows).view(), k, 0);
    let (one, other) = (graph(first)?, graph(second)?);
    let same: usize = (0..rows.len()).map(|row| one.neighbours(row).iter().filter(|j| other.neighbours(row).contains(j)).count()).sum();
    Ok(Likeness { alignment, neighbours: same as f64 / (k * rows.len()) as f64, neighbours_by_chance: k as f64 / (rows.len() - 1) as f64 })
}

fn centre(latents: ArrayView2<'_, f32>) -> Array1<f64> {
    let sums = map_blocks(latents, |rows| rows.fold_axis(Axis(0), 0.0f64, |sum, &v| sum + f64::from(v)));
    sums.into_iter().fold(Array1::zeros(latents.ncols()), |sum: Array1<f64>, block| sum + block) / latents.nrows() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryoem::random::Random;

    #[test]
    fn renamed_clusters_are_matched() {
        let first: Vec<usize> = (0..300).map(|i| i % 3).collect();
        let second: Vec<usize> = first.iter().map(|label| [2, 0, 1][*label]).collect();
        let found = agreement(&first, &second).unwrap();
        assert_eq!((found.rand_index, found.kept), (1.0, 1.0));
        assert_eq!(
            found.pairs.iter().map(|p| (p.first, p.second, p.shared, p.overlap)).collect::<Vec<_>>(),
            [(0, 2, 100, 1.0), (1, 0, 100, 1.0), (2, 1, 100, 1.0)]
        );
    }

    #[test]
    fn the_best_assignment_is_not_the_greedy_one() {
        // Shared: 0–0 10, 0–1 9, 1–0 9, 1–1 1: greedy keeps 11, the best 18.
        let cells = [(0, 0, 10), (0, 1, 9), (1, 0, 9), (1, 1, 1)];
        let labels: Vec<(usize, usize)> = cells.iter().flat_map(|&(a, b, n)| vec![(a, b); n]).collect();
        let (first, second): (Vec<usize>, Vec<usize>) = labels.into_iter().unzip();
        let found = agreement(&first, &second).unwrap();
        assert_eq!((found.kept * 29.0).round() as usize, 18);
        // A finer partition leaves clusters without partner.
        let finer: Vec<usize> = (0..29).map(|i| first[i] * 2 + i % 2).collect();
        assert_eq!(agreement(&first, &finer).unwrap().pairs.len(), 2);
        assert!(agreement(&first, &[0]).is_err());
    }

    #[test]
    fn turned_latents_are_alike_and_others_are_not() {
        let mut random = Random::new(1, 0);
        let z = Array2::from_shape_fn((6000, 3), |(_, j)| (random.normal() * [2.0, 1.0, 0.3][j]) as f32);
        let (s, c) = 0.7f32.sin_cos();
        let turned = Array2::from_shape_fn((6000, 3), |(i, j)| {
            5.0 + 3.0 * [c * z[[i, 0]] - s * z[[i, 1]], s * z[[i, 0]] + c * z[[i, 1]], z[[i, 2]]][j]
        });
        let found = likeness(z.view(), turned.view()).unwrap();
        assert!((found.alignment - 1.0).abs() < 1e-6 && found.neighbours > 0.999, "{found:?}");
        let other = Array2::from_shape_simple_fn((6000, 5), || random.normal() as f32);
        let found = likeness(z.view(), other.view()).unwrap();
        assert!(found.alignment < 0.01 && (found.neighbours - found.neighbours_by_chance).abs() < 0.005, "{found:?}");
        assert!(likeness(z.view(), turned.slice(ndarray::s![..9, ..])).is_err());
        assert_eq!(likeness(z.view(), Array2::zeros((6000, 2)).view()).unwrap().alignment, 0.0);
    }
}
