//! Cross-validated nearest neighbours in latent space: what can be told of a particle from those that lie next to it.

use ndarray::{ArrayView1, ArrayView2};
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;
use rayon::prelude::*;

/// Folds of every cross-validation here.
pub const FOLDS: usize = 5;

/// A random fold (0 to `FOLDS` − 1) for each of `n` rows; folds differ by at most one in size.
#[must_use]
pub fn random_folds(n: usize, seed: u64) -> Vec<usize> {
    let mut folds: Vec<usize> = (0..n).map(|i| i % FOLDS).collect();
    folds.shuffle(&mut Xoshiro256Plus::seed_from_u64(seed));
    folds
}

/// For each row of `[n, d]`, the rows outside its fold that lie nearest, nearest first; the lower row first where distances are equal.
///
/// Every list has `k` rows, or fewer where there are fewer outside the fold. Time grows with n²·d, so thin out beyond some 20,000 rows.
#[must_use]
pub fn nearest_outside_fold(points: ArrayView2<'_, f32>, folds: &[usize], k: usize) -> Vec<Vec<usize>> {
    let squared_distance =
        |a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>| a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>();
    let find = |row: usize| {
        let others = (0..points.nrows()).filter(|&other| folds[other] != folds[row]);
        let mut candidates: Vec<(f64, usize)> = others.map(|other| (squared_distance(points.row(row), points.row(other)), other)).collect();
        let by_distance = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if k > 0 && k < candidates.len() {
            candidates.select_nth_unstable_by(k - 1, by_distance);
        }
        candidates.truncate(k);
        candidates.sort_unstable_by(by_distance);
        candidates.into_iter().map(|(_, other)| other).collect()
    };
    (0..points.nrows()).into_par_iter().map(find).collect()
}

/// Mean of a value over the first `k` neighbours of each row.
#[must_use]
pub fn neighbour_mean(neighbours: &[Vec<usize>], values: &[f64], k: usize) -> Vec<f64> {
    let mean = |list: &Vec<usize>| {
        let first = &list[..k.min(list.len())];
        first.iter().map(|&row| values[row]).sum::<f64>() / first.len() as f64
    };
    neighbours.iter().map(mean).collect()
}

/// Most frequent class among the first `k` neighbours of each row; the smaller class where votes are equal.
#[must_use]
pub fn neighbour_vote(neighbours: &[Vec<usize>], classes: &[usize], k: usize) -> Vec<usize> {
    let count = classes.iter().max().map_or(0, |&last| last + 1);
    let vote = |list: &Vec<usize>| {
        let mut votes = vec![0usize; count];
        list.iter().take(k).for_each(|&row| votes[classes[row]] += 1);
        (0..count).rev().max_by_key(|&class| votes[class]).unwrap_or(0)
    };
    neighbours.iter().map(vote).collect()
}

/// Rows spread evenly over `n`, at most `most`, ascending.
#[must_use]
pub fn even_sample(n: usize, most: usize) -> Vec<usize> {
    if n <= most { (0..n).collect() } else { (0..most).map(|i| (i as u128 * n as u128 / most as u128) as usize).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn neighbours_come_from_other_folds_in_order() {
        let points = array![[0.0f32], [1.0], [2.0], [4.0], [8.0]];
        let lists = nearest_outside_fold(points.view(), &[0, 0, 1, 1, 2], 2);
        assert_eq!(lists, vec![vec![2, 3], vec![2, 3], vec![1, 0], vec![1, 0], vec![3, 2]]);
        assert_eq!(neighbour_mean(&lists, &[10.0, 20.0, 30.0, 40.0, 50.0], 1), vec![30.0, 30.0, 20.0, 20.0, 40.0]);
        assert_eq!(neighbour_vote(&lists, &[1, 0, 1, 0, 0], 2), vec![0, 0, 0, 0, 0]);
    }

    #[test]
    fn folds_and_samples_are_even_and_repeatable() {
        let folds = random_folds(103, 4);
        assert_eq!(folds, random_folds(103, 4));
        assert_ne!(folds, random_folds(103, 5));
        let sizes: Vec<usize> = (0..FOLDS).map(|fold| folds.iter().filter(|&&f| f == fold).count()).collect();
        assert_eq!(sizes, vec![21, 21, 21, 20, 20]);
        assert_eq!(even_sample(3, 5), vec![0, 1, 2]);
        assert_eq!(even_sample(10, 5), vec![0, 2, 4, 6, 8]);
    }
}
