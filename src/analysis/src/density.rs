//! How crowded the latents are around each particle, and who lies outside all crowds.

use crate::graph::NeighbourGraph;
use crate::pca::percentiles;

/// Neighbours that the distance is averaged over, where the graph has as many.
const NEIGHBOURS: usize = 10;
/// Score above which a particle is called an outlier: of a round cloud of 8 dimensions one in a thousand is, of a heavy-tailed set more.
pub const OUTLIER_SCORE: f32 = 4.0;
/// Median absolute deviation of a normal distribution of unit width.
const NORMAL_MAD: f64 = 0.674_489_75;

/// What the neighbours' distances say of each particle, `[n]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    /// Mean distance to the nearest others, in latent units.
    pub distance: Vec<f32>,
    /// Rank of the density from 0 (the loneliest particle) to 1 (the most crowded); equal distances share their mean rank.
    pub quantile: Vec<f32>,
    /// Outlier score: how far the logarithm of that distance lies above the median, in units of the population's own spread (from the median
    /// absolute deviation). Junk and badly aligned particles score high where they are not learned as a state of their own.
    pub outlier: Vec<f32>,
}

impl Density {
    /// Density along a neighbour graph.
    #[must_use]
    pub fn of_graph(graph: &NeighbourGraph) -> Self {
        let n = graph.len();
        let mean = |row: usize| {
            let list = graph.distances(row);
            let first = &list[..NEIGHBOURS.min(list.len())];
            if first.is_empty() { 0.0 } else { (first.iter().map(|&d| f64::from(d)).sum::<f64>() / first.len() as f64) as f32 }
        };
        Self::of_distances((0..n).map(mean).collect())
    }

    /// Density where the mean distances to the nearest others are known already.
    #[must_use]
    pub fn of_distances(distance: Vec<f32>) -> Self {
        Self { quantile: quantiles(&distance), outlier: outlier_scores(&distance), distance }
    }

    /// Rows of the particles that score above [`OUTLIER_SCORE`], ascending.
    #[must_use]
    pub fn outliers(&self) -> Vec<usize> {
        (0..self.outlier.len()).filter(|&row| self.outlier[row] > OUTLIER_SCORE).collect()
    }
}

/// Rank of each, the largest distance 0, the smallest 1.
fn quantiles(distance: &[f32]) -> Vec<f32> {
    let n = distance.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_unstable_by(|&a, &b| distance[b].total_cmp(&distance[a]).then(a.cmp(&b)));
    let mut quantile = vec![0.5; n];
    let mut before = 0;
    for run in order.chunk_by(|&a, &b| distance[a] == distance[b]) {
        let rank = before as f64 + (run.len() - 1) as f64 / 2.0;
        run.iter().for_each(|&row| quantile[row] = if n > 1 { (rank / (n - 1) as f64) as f32 } else { 0.5 });
        before += run.len();
    }
    quantile
}

/// Robust scores of the distances' logarithms; zeros where most distances are equal.
fn outlier_scores(distance: &[f32]) -> Vec<f32> {
    // Duplicates have distance 0: they count as near as the nearest others.
    let least = distance.iter().copied().filter(|&d| d > 0.0).fold(f32::INFINITY, f32::min);
    if !least.is_finite() {
        return vec![0.0; distance.len()];
    }
    let logs: Vec<f64> = distance.iter().map(|&d| f64::from(d.max(least)).ln()).collect();
    let median = percentiles(logs.clone(), &[50.0])[0];
    let spread = percentiles(logs.iter().map(|log| (log - median).abs()).collect(), &[50.0])[0] / NORMAL_MAD;
    logs.iter().map(|log| if spread > 0.0 { ((log - median) / spread) as f32 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryoem::random::Random;
    use ndarray::Array2;

    #[test]
    fn lonely_particles_are_outliers_and_others_are_not() {
        let mut random = Random::new(9, 0);
        let mut z = Array2::from_shape_simple_fn((3000, 8), || random.normal() as f32);
        let density = Density::of_graph(&NeighbourGraph::build(z.view(), 14, 0).unwrap());
        assert!(density.outliers().len() <= 6, "{} of 3000 in a round cloud", density.outliers().len());
        for row in [5, 77, 2001] {
            z.row_mut(row).assign(&Array2::from_elem((1, 8), 9.0 + row as f32).row(0));
        }
        let density = Density::of_graph(&NeighbourGraph::build(z.view(), 14, 0).unwrap());
        let outliers = density.outliers();
        assert!([5, 77, 2001].iter().all(|row| outliers.contains(row)), "{outliers:?}");
        assert_eq!(density.quantile[2001], 0.0);
        assert!(density.quantile.iter().all(|q| (0.0..=1.0).contains(q)));
    }

    #[test]
    fn the_middle_is_denser_than_the_rim() {
        let z = Array2::from_shape_fn((201, 1), |(i, _)| {
            let t = i as f32 / 100.0 - 1.0;
            t * t * t
        });
        let density = Density::of_graph(&NeighbourGraph::build(z.view(), 10, 0).unwrap());
        assert!(density.quantile[100] > 0.99 && density.quantile[0] < 0.02);
        assert!(density.distance[0] > density.distance[100]);
    }

    #[test]
    fn equal_particles_are_equal() {
        let density = Density::of_graph(&NeighbourGraph::build(Array2::zeros((40, 2)).view(), 10, 0).unwrap());
        assert!(density.outliers().is_empty());
        assert!(density.quantile.iter().all(|&q| q == 0.5));
        let one = Density::of_graph(&NeighbourGraph::build(Array2::zeros((1, 2)).view(), 10, 0).unwrap());
        assert_eq!(one.quantile, [0.5]);
    }
}
