//! A map on another grid.

use super::Volume;
use contract::{Problem, Result};
use ndarray::{Array2, Array3, ArrayView3};
use std::f64::consts::TAU;

/// Pixel sizes that agree to this fraction are one (headers hold single-precision cells).
const SAME_APIX: f64 = 1e-5;

impl Volume {
    /// The map on a grid of `box_px`³ voxels of `apix` Å, centre (voxel n/2) on centre.
    ///
    /// The map is taken as one period of a band-limited function, and its Fourier series, without the frequencies that the new grid cannot
    /// carry, is evaluated at the new voxels; voxels outside the old box are 0. Where old and new pixel size are commensurate this is the
    /// Fourier crop or pad (no interpolation error); elsewhere it is as exact. Values keep their scale. Costs about 3·n⁴ multiplications.
    ///
    /// # Errors
    /// The map is not a cube, one of the pixel sizes is missing or not positive, or the new box is empty.
    pub fn resampled(&self, box_px: usize, apix: f64) -> Result<Self> {
        let n = self.box_px()?;
        self.require_apix()?;
        if box_px == 0 || apix.is_nan() || apix <= 0.0 {
            return Err(Problem::failed(format!("a map cannot be put on a grid of {box_px} voxels of {apix} Å")));
        }
        let ratio = apix / self.apix;
        if (ratio - 1.0).abs() < SAME_APIX {
            return Ok(Self { apix, ..self.cropped(box_px)? });
        }
        let weights = weights(n, box_px, ratio);
        let mut data = self.data.clone();
        for _ in 0..3 {
            // Each pass resamples the slowest axis and makes it the fastest: after three the axes are in their order again.
            data = first_axis_to_last(data.view(), &weights);
        }
        Ok(Self { data, apix })
    }
}

/// A frequency index this near to an integer is one: pixel sizes come from single-precision headers.
const EDGE: f64 = 1e-4;

/// `out[b][c][i] = Σ_a weights[i][a] · data[a][b][c]`.
fn first_axis_to_last(data: ArrayView3<f32>, weights: &Array2<f32>) -> Array3<f32> {
    let (a, b, c) = data.dim();
    let flat = data.to_shape((a, b * c)).expect("a matrix of the same number of values");
    let out = flat.t().dot(&weights.t());
    out.to_shape((b, c, weights.nrows())).expect("a cube of the same number of values").as_standard_layout().into_owned()
}

/// Weight of old voxel j in new voxel i: the periodic sinc of their distance (in old voxels), cut off at the new grid's Nyquist frequency.
fn weights(from: usize, to: usize, ratio: f64) -> Array2<f32> {
    let n = from as f64;
    // Highest frequency index kept: both grids' Nyquist; the term on the edge itself counts once instead of twice.
    let limit = (n / 2.0).min(n / (2.0 * ratio));
    let whole = (limit + EDGE).floor();
    let on_edge = (limit - whole).abs() < EDGE;
    let kernel = |distance: f64| {
        let mut sum = 1.0;
        for k in 1..=whole as usize {
            let weight = if on_edge && k == whole as usize { 1.0 } else { 2.0 };
            sum += weight * (TAU * k as f64 * distance / n).cos();
        }
        sum / n
    };
    let mut out = Array2::zeros((to, from));
    for i in 0..to {
        let position = (i as f64 - (to / 2) as f64) * ratio + (from / 2) as f64;
        if position < -0.5 || position > n - 0.5 {
            continue;
        }
        for j in 0..from {
            out[[i, j]] = kernel(position - j as f64) as f32;
        }
    }
    out
}
