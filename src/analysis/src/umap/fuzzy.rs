//! How strongly neighbours are tied: the fuzzy simplicial set of UMAP.

use crate::graph::NeighbourGraph;
use rayon::prelude::*;

/// Steps of bisection for the width of a neighbourhood (umap-learn's number).
const BISECTIONS: usize = 64;
/// Accuracy at which it ends (umap-learn's).
const ACCURACY: f64 = 1e-5;
/// A width is at least this share of the mean distance, or duplicates would have none (umap-learn's).
const LEAST_WIDTH: f64 = 1e-3;

/// Ties of every particle, in both directions, strongest 1.
pub(super) struct Ties {
    starts: Vec<usize>,
    others: Vec<u32>,
    strengths: Vec<f32>,
}

impl Ties {
    /// Ties along a neighbour graph; those too weak to be used once in `epochs` are left out.
    pub(super) fn of_graph(graph: &NeighbourGraph, epochs: usize) -> Self {
        let n = graph.len();
        let overall = mean(&(0..n).into_par_iter().map(|row| mean_distance(graph.distances(row))).collect::<Vec<f64>>());
        let outward: Vec<Vec<(u32, f32)>> = (0..n).into_par_iter().map(|row| memberships(graph, row, overall)).collect();
        let inward = turned(&outward);
        let joined: Vec<Vec<(u32, f32)>> = outward.par_iter().zip(&inward).map(|(out, back)| join(out, back)).collect();
        drop((outward, inward));

        let strongest = joined.iter().flatten().fold(0.0f32, |most, tie| most.max(tie.1));
        let weakest = strongest / epochs as f32;
        let mut ties = Self { starts: Vec::with_capacity(n + 1), others: Vec::new(), strengths: Vec::new() };
        for list in joined {
            ties.starts.push(ties.others.len());
            for (other, strength) in list.into_iter().filter(|tie| tie.1 >= weakest) {
                ties.others.push(other);
                ties.strengths.push(strength / strongest);
            }
        }
        ties.starts.push(ties.others.len());
        ties
    }

    /// The particles that one is tied to, with the strengths.
    pub(super) fn of(&self, row: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.starts[row]..self.starts[row + 1];
        self.others[range.clone()].iter().map(|&other| other as usize).zip(self.strengths[range].iter().copied())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Mean with the particle's distance to itself, 0, counted in.
fn mean_distance(distances: &[f32]) -> f64 {
    distances.iter().map(|&d| f64::from(d)).sum::<f64>() / (distances.len() + 1) as f64
}

/// Membership of each neighbour in the fuzzy neighbourhood of a row: 1 up to the nearest, then falling by a width that makes the sum log2(k + 1).
fn memberships(graph: &NeighbourGraph, row: usize, overall_mean: f64) -> Vec<(u32, f32)> {
    let distances = graph.distances(row);
    let nearest = distances.iter().copied().find(|&d| d > 0.0).unwrap_or(0.0);
    let beyond: Vec<f64> = distances.iter().map(|&d| f64::from((d - nearest).max(0.0))).collect();
    let target = ((distances.len() + 1) as f64).log2();
    let sum = |width: f64| beyond.iter().map(|&b| if b > 0.0 { (-b / width).exp() } else { 1.0 }).sum::<f64>();
    let (mut low, mut high, mut width) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..BISECTIONS {
        let found = sum(width);
        if (found - target).abs() < ACCURACY {
            break;
        }
        if found > target {
            high = width;
            width = 0.5 * (low + high);
        } else {
            low = width;
            width = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * width };
        }
    }
    let width = width.max(LEAST_WIDTH * if nearest > 0.0 { mean_distance(distances) } else { overall_mean });
    let membership = |b: f64| if b > 0.0 && width > 0.0 { (-b / width).exp() as f32 } else { 1.0 };
    let mut ties: Vec<(u32, f32)> = graph.neighbours(row).iter().copied().zip(beyond.into_iter().map(membership)).collect();
    ties.sort_unstable_by_key(|tie| tie.0);
    ties
}

/// The lists turned round; ascending, since rows are met in order.
fn turned(lists: &[Vec<(u32, f32)>]) -> Vec<Vec<(u32, f32)>> {
    let mut turned = vec![Vec::new(); lists.len()];
    for (row, list) in lists.iter().enumerate() {
        list.iter().for_each(|&(other, strength)| turned[other as usize].push((row as u32, strength)));
    }
    turned
}

/// Fuzzy union of two ascending lists: a + b − ab.
fn join(a: &[(u32, f32)], b: &[(u32, f32)]) -> Vec<(u32, f32)> {
    let mut union = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    while let Some(next) = [a.peek(), b.peek()].into_iter().flatten().map(|tie| tie.0).min() {
        let x = a.next_if(|tie| tie.0 == next).map_or(0.0, |tie| tie.1);
        let y = b.next_if(|tie| tie.0 == next).map_or(0.0, |tie| tie.1);
        union.push((next, x + y - x * y));
    }
    union
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn memberships_sum_to_the_entropy_asked_for() {
        let points = Array2::from_shape_fn((200, 3), |(i, j)| ((i * 37 + j * 101) % 199) as f32 / 7.0);
        let graph = NeighbourGraph::build(points.view(), 14, 0).unwrap();
        for row in 0..200 {
            let ties = memberships(&graph, row, 1.0);
            assert_eq!(ties.len(), 14);
            let sum: f64 = ties.iter().map(|tie| f64::from(tie.1)).sum();
            assert!((sum - 15f64.log2()).abs() < 0.01, "row {row}: {sum}");
        }
    }

    #[test]
    fn ties_are_mutual() {
        let points = Array2::from_shape_fn((100, 2), |(i, j)| ((i * 31 + j * 57) % 97) as f32);
        let ties = Ties::of_graph(&NeighbourGraph::build(points.view(), 5, 0).unwrap(), 500);
        for row in 0..100 {
            for (other, strength) in ties.of(row) {
                assert!(strength > 0.0 && strength <= 1.0);
                assert!(ties.of(other).any(|back| back == (row, strength)), "{row} → {other}");
            }
        }
    }

    #[test]
    fn the_union_of_memberships_is_probabilistic() {
        assert_eq!(join(&[(1, 0.5), (3, 1.0)], &[(1, 0.5), (2, 0.25)]), vec![(1, 0.75), (2, 0.25), (3, 1.0)]);
    }
}
