//! Density maps: a cube (seldom a box) of voxels with a pixel size, and what is done to whole maps.
//!
//! Index order is `[z][y][x]`; the origin of rotation is voxel n/2 along each axis.

use crate::fft;
use contract::{Problem, Result};
use ndarray::{Array3, ArrayView3, Axis};

mod difference;
mod fsc;
mod local_resolution;
mod resample;
pub mod resolution;
mod rigid;
mod sharpen;
mod variability;

pub use difference::{Occupancy, ShellScale, contour_levels, occupancy};
pub use fsc::fourier_shell_correlation;
pub use local_resolution::local_resolution;
pub use rigid::{RigidChange, rigid_change};
pub use sharpen::{Sharpened, sharpen};
pub use variability::Variability;

/// A density map.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Voxels, `[z][y][x]`.
    pub data: Array3<f32>,
    /// Voxel size, Å; 0 where the file that it came from does not say.
    pub apix: f64,
}

/// Summary of a map's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub std: f64,
    /// Number of values that are NaN or infinite (left out of the others).
    pub non_finite: usize,
}

impl Volume {
    /// A map of zeros.
    #[must_use]
    pub fn zeros(box_px: usize, apix: f64) -> Self {
        Self { data: Array3::zeros((box_px, box_px, box_px)), apix }
    }

    /// The side of the cube, voxels.
    ///
    /// # Errors
    /// The map is not a cube; the problem gives its three sizes as x × y × z.
    pub fn box_px(&self) -> Result<usize> {
        let (z, y, x) = self.data.dim();
        if z == y && y == x && x > 0 {
            return Ok(x);
        }
        Err(Problem::input(format!("is not a cube: {x} × {y} × {z} voxels")).hint("give a map with three equal sides"))
    }

    /// The same map with the given voxel size (Å), where it has none of its own.
    #[must_use]
    pub fn or_apix(mut self, apix: f64) -> Self {
        if self.apix <= 0.0 {
            self.apix = apix;
        }
        self
    }

    /// Summary of the values.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let (mut min, mut max, mut sum, mut n) = (f32::INFINITY, f32::NEG_INFINITY, 0.0f64, 0usize);
        for &v in self.data.iter().filter(|v| v.is_finite()) {
            min = min.min(v);
            max = max.max(v);
            sum += f64::from(v);
            n += 1;
        }
        let mean = sum / n.max(1) as f64;
        // A second pass: the one-pass formula loses the deviation of maps with a large mean.
        let squares: f64 = self.data.iter().filter(|v| v.is_finite()).map(|&v| (f64::from(v) - mean).powi(2)).sum();
        let (min, max) = if n == 0 { (0.0, 0.0) } else { (min, max) };
        Statistics { min, max, mean, std: (squares / n.max(1) as f64).sqrt(), non_finite: self.data.len() - n }
    }

    /// Cut or padded with zeros about voxel n/2 to another box; the voxel size stays.
    ///
    /// # Errors
    /// The map is not a cube.
    pub fn cropped(&self, box_px: usize) -> Result<Self> {
        self.box_px()?;
        Ok(Self { data: crop_about_centre(self.data.view(), box_px), apix: self.apix })
    }

    /// Mirrored along z about voxel n/2, which turns the hand; of an even box the first plane, which has no partner, is left empty.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let n = self.data.dim().0;
        let mut data = Array3::zeros(self.data.raw_dim());
        for z in 0..n {
            let partner = 2 * (n / 2) as isize - z as isize;
            if (0..n as isize).contains(&partner) {
                data.index_axis_mut(Axis(0), partner as usize).assign(&self.data.index_axis(Axis(0), z));
            }
        }
        Self { data, apix: self.apix }
    }

    /// Low-pass filtered to a resolution, with a raised-cosine edge of `EDGE_SHELLS` Fourier shells centred on it.
    ///
    /// # Errors
    /// The map is not a cube, has no voxel size, or the resolution is not positive.
    pub fn low_passed(&self, resolution_angstrom: f64) -> Result<Self> {
        /// Wide enough not to ring, narrow enough to leave the resolution what it says.
        const EDGE_SHELLS: f64 = 2.0;
        let n = self.box_px()?;
        self.require_apix()?;
        if resolution_angstrom.is_nan() || resolution_angstrom <= 0.0 {
            return Err(Problem::input(format!("low-pass resolution {resolution_angstrom} Å is not positive")));
        }
        let cut = n as f64 * self.apix / resolution_angstrom;
        let mut spectrum = fft::rfft3(self.data.view());
        for ((z, y, x), value) in spectrum.indexed_iter_mut() {
            let (kz, ky) = (fft::signed_index(z, n), fft::signed_index(y, n));
            let k = ((kz * kz + ky * ky) as f64 + (x * x) as f64).sqrt();
            let t = ((k - cut) / EDGE_SHELLS + 0.5).clamp(0.0, 1.0);
            *value *= (0.5 + 0.5 * (std::f64::consts::PI * t).cos()) as f32;
        }
        Ok(Self { data: fft::irfft3(spectrum, n), apix: self.apix })
    }

    /// Refuses maps without a voxel size.
    pub(crate) fn require_apix(&self) -> Result<()> {
        if self.apix > 0.0 && self.apix.is_finite() {
            return Ok(());
        }
        Err(Problem::input(format!("has no usable pixel size ({} Å)", self.apix)).hint("write the pixel size into its header"))
    }
}

/// Cuts or pads with zeros about index n/2 of every axis, so that voxel n/2 of the input is voxel `box_px`/2 of the output.
#[must_use]
pub fn crop_about_centre(data: ArrayView3<f32>, box_px: usize) -> Array3<f32> {
    let (nz, ny, nx) = data.dim();
    let mut out = Array3::zeros((box_px, box_px, box_px));
    let span = |n: usize| {
        // Offset of output index 0 in the input.
        let start = (n / 2) as isize - (box_px / 2) as isize;
        let from = start.max(0) as usize;
        let to = (start + box_px as isize).min(n as isize).max(0) as usize;
        (from, to, (from as isize - start) as usize)
    };
    let ((z0, z1, z), (y0, y1, y), (x0, x1, x)) = (span(nz), span(ny), span(nx));
    let cut = data.slice(ndarray::s![z0..z1, y0..y1, x0..x1]);
    let (dz, dy, dx) = cut.dim();
    out.slice_mut(ndarray::s![z..z + dz, y..y + dy, x..x + dx]).assign(&cut);
    out
}

#[cfg(test)]
mod tests;
