//! Principal components of the latents, and points along them.

use crate::blocks::{check_latents, map_blocks};
use contract::{Problem, Result};
use linfa_linalg::eigh::{EigSort, Eigh};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

/// Percentiles between which a component is traversed, as the original does.
pub const TRAVERSAL_PERCENTILES: (f64, f64) = (5.0, 95.0);

/// Principal components of centred, unscaled latents.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// Mean latent, `[d]`.
    pub mean: Array1<f64>,
    /// One unit vector a row, `[d, d]`, by falling variance; the entry of largest magnitude in each is positive.
    pub components: Array2<f64>,
    /// Variance along each component (n − 1 in the denominator), `[d]`.
    pub variances: Array1<f64>,
    /// Share of the whole variance, `[d]`; zeros if nothing varies.
    pub explained: Array1<f64>,
}

/// Principal components of latents `[n, d]`, by the eigenvectors of their covariance, summed in double precision.
///
/// # Errors
/// If there are fewer than two particles or a latent is not finite.
pub fn pca(latents: ArrayView2<'_, f32>) -> Result<Pca> {
    check_latents(latents)?;
    let (n, d) = latents.dim();
    if n < 2 {
        return Err(Problem::input("one particle has no principal components").hint("give at least two particles"));
    }
    let sums = map_blocks(latents, |rows| rows.fold_axis(Axis(0), 0.0f64, |sum, &v| sum + f64::from(v)));
    let mean = sums.into_iter().fold(Array1::zeros(d), |sum: Array1<f64>, block| sum + block) / n as f64;
    let products = map_blocks(latents, |rows| {
        let centred = rows.mapv(f64::from) - &mean;
        centred.t().dot(&centred)
    });
    let covariance = products.into_iter().fold(Array2::zeros((d, d)), |sum: Array2<f64>, block| sum + block) / (n - 1) as f64;

    let (values, vectors) =
        covariance.eigh().map_err(|e| Problem::failed(format!("covariance of the latents has no eigenvectors: {e}")))?.sort_eig_desc();
    let mut components = vectors.t().to_owned();
    for mut row in components.rows_mut() {
        let largest = row.iter().fold(0.0f64, |best, &v| if v.abs() > best.abs() { v } else { best });
        if largest < 0.0 {
            row.mapv_inplace(|v| -v);
        }
    }
    let variances = values.mapv(|v| v.max(0.0));
    let total = variances.sum();
    let explained = if total > 0.0 { &variances / total } else { Array1::zeros(d) };
    Ok(Pca { mean, components, variances, explained })
}

impl Pca {
    /// Coordinates of latents `[n, d]` along all components, `[n, d]`.
    #[must_use]
    pub fn project(&self, latents: ArrayView2<'_, f32>) -> Array2<f32> {
        let blocks = map_blocks(latents, |rows| (rows.mapv(f64::from) - &self.mean).dot(&self.components.t()).mapv(|v| v as f32));
        let mut scores = Array2::zeros(latents.dim());
        let mut row = 0;
        for block in blocks {
            let end = row + block.nrows();
            scores.slice_mut(s![row..end, ..]).assign(&block);
            row = end;
        }
        scores
    }

    /// Latents, `[points, d]`, equally spaced along one component (0-based) from the 5th to the 95th percentile of the particles; all other
    /// components are at the mean.
    ///
    /// # Errors
    /// If the component does not exist or there is no point.
    pub fn traversal(&self, latents: ArrayView2<'_, f32>, component: usize, points: usize) -> Result<Array2<f64>> {
        if component >= self.components.nrows() {
            return Err(Problem::input(format!("component {} does not exist, latents have {}", component + 1, self.components.nrows())));
        }
        if points == 0 {
            return Err(Problem::input("a traversal of 0 points was asked for, expected at least 1"));
        }
        let axis = self.components.row(component);
        let scores: Vec<f64> = map_blocks(latents, |rows| (rows.mapv(f64::from) - &self.mean).dot(&axis)).into_iter().flatten().collect();
        let ends = percentiles(scores, &[TRAVERSAL_PERCENTILES.0, TRAVERSAL_PERCENTILES.1]);
        let mut path = Array2::zeros((points, self.mean.len()));
        for (i, mut row) in path.rows_mut().into_iter().enumerate() {
            let along = if points == 1 { 0.5 } else { i as f64 / (points - 1) as f64 };
            let at = ends[0] + (ends[1] - ends[0]) * along;
            row.assign(&(&self.mean + &(&axis * at)));
        }
        Ok(path)
    }
}

/// Percentiles (0 to 100) of values, interpolated linearly between neighbours in rank.
///
/// # Panics
/// If there are no values.
#[must_use]
pub fn percentiles(mut values: Vec<f64>, at: &[f64]) -> Vec<f64> {
    assert!(!values.is_empty(), "percentiles of no values");
    values.sort_unstable_by(f64::total_cmp);
    let last = (values.len() - 1) as f64;
    at.iter()
        .map(|percent| {
            let rank = (percent / 100.0).clamp(0.0, 1.0) * last;
            let (below, above) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
            below + (above - below) * rank.fract()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn axes_are_ordered_and_their_sign_is_fixed() {
        // Points on a line along (-3, 4), with a little spread across it.
        let latents = Array2::from_shape_fn((2000, 2), |(i, j)| {
            let (along, across) = ((i as f32 / 1000.0 - 1.0) * 10.0, ((i * 7919) % 13) as f32 / 13.0 - 0.5);
            if j == 0 { 1.0 - 0.6 * along + 0.8 * across } else { 2.0 + 0.8 * along + 0.6 * across }
        });
        let p = pca(latents.view()).unwrap();
        assert!((p.components[[0, 0]] + 0.6).abs() < 1e-3 && (p.components[[0, 1]] - 0.8).abs() < 1e-3, "{:?}", p.components);
        assert!(p.components[[1, 0]] > 0.79, "{:?}", p.components);
        assert!(p.explained[0] > 0.99 && (p.explained.sum() - 1.0).abs() < 1e-12);
        let scores = p.project(latents.view());
        assert!(scores.mean_axis(Axis(0)).unwrap().iter().all(|m| m.abs() < 1e-4));
    }

    #[test]
    fn a_constant_dimension_and_one_dimension_are_harmless() {
        let p = pca(array![[1.0f32, 5.0], [2.0, 5.0], [3.0, 5.0]].view()).unwrap();
        assert_eq!(p.variances.to_vec(), vec![1.0, 0.0]);
        let p = pca(array![[1.0f32], [2.0], [3.0]].view()).unwrap();
        assert_eq!(p.components[[0, 0]], 1.0);
        assert!(pca(array![[1.0f32, f32::NAN], [0.0, 0.0]].view()).unwrap_err().to_string().starts_with("particle 1:"));
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentiles(vec![4.0, 1.0, 3.0, 2.0], &[0.0, 50.0, 100.0, 10.0]), vec![1.0, 2.5, 4.0, 1.3]);
    }
}
