//! How much the latents tell of what they should not know: from where a particle is seen, and how far out of focus it was taken.

use crate::blocks::check_latents;
use crate::neighbours::{even_sample, nearest_outside_fold, neighbour_mean, random_folds};
use contract::{Problem, Result};
use ndarray::{ArrayView2, Axis};

/// Particles looked at; enough for two digits of R², and under a second.
const PARTICLES: usize = 5_000;
/// Neighbours averaged: few enough to follow a curved relation, many enough to even out noise.
const NEIGHBOURS: usize = 20;
/// R² above which people should know. A latent that knows nothing scores 1/`NEIGHBOURS` below 0.
const NOTEWORTHY_R2: f64 = 0.2;

/// Share of the variance of a nuisance that a particle's neighbours in latent space predict (cross-validated R²; 0 or less: nothing).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Leakage {
    /// Of the view direction.
    pub view_r2: f64,
    /// Of the mean defocus.
    pub defocus_r2: f64,
}

/// Leakage of view direction (`[n, 3]` unit vectors) and mean defocus (Å, `[n]`) into latents `[n, d]`.
///
/// # Errors
/// If the three do not have the same number of rows, or a latent is not finite.
pub fn leakage(latents: ArrayView2<'_, f32>, view_directions: ArrayView2<'_, f64>, defocus_angstrom: &[f64]) -> Result<Leakage> {
    check_latents(latents)?;
    let n = latents.nrows();
    if view_directions.dim() != (n, 3) || defocus_angstrom.len() != n {
        let (rows, columns) = view_directions.dim();
        return Err(Problem::failed(format!(
            "{n} latents, {rows} × {columns} view directions and {} defoci do not match",
            defocus_angstrom.len()
        )));
    }
    let rows = even_sample(n, PARTICLES);
    let sample = latents.select(Axis(0), &rows);
    let neighbours = nearest_outside_fold(sample.view(), &random_folds(rows.len(), 0), NEIGHBOURS);
    let view: Vec<Vec<f64>> = view_directions.columns().into_iter().map(|axis| rows.iter().map(|&row| axis[row]).collect()).collect();
    let defocus: Vec<f64> = rows.iter().map(|&row| defocus_angstrom[row]).collect();
    Ok(Leakage { view_r2: joint_r2(&neighbours, &view), defocus_r2: joint_r2(&neighbours, &[defocus]) })
}

/// R² of the neighbours' means of several values taken together; 0 where nothing varies.
fn joint_r2(neighbours: &[Vec<usize>], values: &[Vec<f64>]) -> f64 {
    if neighbours.iter().any(Vec::is_empty) {
        return 0.0;
    }
    let (mut residual, mut total) = (0.0, 0.0);
    for value in values {
        let mean = value.iter().sum::<f64>() / value.len() as f64;
        let predicted = neighbour_mean(neighbours, value, NEIGHBOURS);
        residual += value.iter().zip(&predicted).map(|(v, p)| (v - p).powi(2)).sum::<f64>();
        total += value.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    }
    if total > 0.0 { 1.0 - residual / total } else { 0.0 }
}

impl Leakage {
    /// A line for each nuisance that the latents know of, with what to do; none for healthy latents.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.view_r2 > NOTEWORTHY_R2 {
            lines.push(format!(
                "latents tell the view direction (R² {:.2}): clusters may be views rather than states; compare the clusters' views, or train with more `--lamb`",
                self.view_r2
            ));
        }
        if self.defocus_r2 > NOTEWORTHY_R2 {
            lines.push(format!(
                "latents tell the defocus (R² {:.2}): clusters may be micrographs rather than states; check CTF parameters and pixel size",
                self.defocus_r2
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn a_latent_that_is_the_defocus_is_caught() {
        let n = 1000;
        let hash = |i: usize| {
            let x = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            ((x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 40) as f64 / (1 << 24) as f64
        };
        let view = Array2::from_shape_fn((n, 3), |(i, j)| {
            let angle = std::f64::consts::TAU * hash(i * 7 + 3);
            [angle.cos(), angle.sin(), 0.0][j]
        });
        let defocus: Vec<f64> = (0..n).map(|i| 10_000.0 + 5_000.0 * hash(i)).collect();
        let leaky = Array2::from_shape_fn((n, 2), |(i, j)| (if j == 0 { hash(i) } else { 0.05 * hash(i + n) }) as f32);
        let found = leakage(leaky.view(), view.view(), &defocus).unwrap();
        assert!(found.defocus_r2 > 0.95 && found.view_r2 < 0.1, "{found:?}");
        assert_eq!(found.warnings().len(), 1);
        let healthy = Array2::from_shape_fn((n, 2), |(i, j)| hash(i * 31 + j * 17 + 5 * n) as f32);
        assert!(leakage(healthy.view(), view.view(), &defocus[..n - 1]).is_err());
        let constant = leakage(healthy.view(), view.view(), &vec![1.0; n]).unwrap();
        assert_eq!(constant.defocus_r2, 0.0);
    }
}
