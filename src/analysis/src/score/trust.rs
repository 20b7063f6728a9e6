//! Whether those who are neighbours in a picture were neighbours before.

use contract::{Problem, Result};
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

/// Trustworthiness (Venna & Kaski 2001) of a picture `[n, 2]` of latents `[n, d]`: 1 if the `k` nearest of every particle in the picture are among its `k`
/// nearest in the latents, less the farther off intruders are there, about 0.5 for a random picture.
///
/// Time grows with n²; thin out beyond some 10,000 particles.
///
/// # Errors
/// If the numbers of rows differ, or `k` is not below n/2.
pub fn trustworthiness(latents: ArrayView2<'_, f32>, picture: ArrayView2<'_, f32>, k: usize) -> Result<f64> {
    let n = latents.nrows();
    if picture.nrows() != n {
        return Err(Problem::failed(format!("picture of {} particles for {n} latents", picture.nrows())));
    }
    if k == 0 || 2 * k >= n {
        return Err(Problem::input(format!("the trustworthiness of {n} particles cannot be measured with {k} neighbours")));
    }
    let squared = |a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>| a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
    let penalty = |row: usize| {
        let by_distance = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let to_others = |points: ArrayView2<'_, f32>| -> Vec<(f64, usize)> {
            (0..n).map(|j| (if j == row { -1.0 } else { squared(points.row(row), points.row(j)) }, j)).collect()
        };
        let mut shown = to_others(picture);
        shown.select_nth_unstable_by(k, by_distance);
        let truly = to_others(latents);
        // The row itself has rank 0 in both.
        let rank = |j: usize| truly.iter().filter(|other| by_distance(other, &truly[j]).is_lt()).count();
        shown[..=k].iter().filter(|(_, j)| *j != row).map(|&(_, j)| rank(j).saturating_sub(k)).sum::<usize>()
    };
    let total: usize = (0..n).into_par_iter().map(penalty).sum();
    Ok(1.0 - 2.0 * total as f64 / (n * k) as f64 / (2 * n - 3 * k - 1) as f64)
}
