//! Projections of a map through central slices of its Fourier transform.

use crate::fft::{self, Complex32};
use crate::geometry::Matrix3;
use crate::volume::{Volume, crop_about_centre};
use contract::Result;
use ndarray::{Array2, Array3};

/// Padding of the transform: slices are read off by linear interpolation, which twofold padding makes accurate to about a percent.
const PADDING: usize = 2;

/// A map's padded transform.
pub(super) struct Slicer {
    n: usize,
    spectrum: Array3<Complex32>,
}

impl Slicer {
    /// # Errors
    /// The map is not a cube.
    pub(super) fn new(map: &Volume) -> Result<Self> {
        let n = map.box_px()?;
        let padded = PADDING * n;
        // Linear interpolation in Fourier space multiplies the map by sinc² along each axis.
        let correction: Vec<f32> = (0..n)
            .map(|i| {
                let u = std::f64::consts::PI * (i as f64 - (n / 2) as f64) / padded as f64;
                if u == 0.0 { 1.0 } else { (u / u.sin()).powi(2) as f32 }
            })
            .collect();
        let mut data = map.data.clone();
        data.indexed_iter_mut().for_each(|((z, y, x), v)| *v *= correction[z] * correction[y] * correction[x]);
        Ok(Self { n, spectrum: fft::rfft3(crop_about_centre(data.view(), padded).view()) })
    }

    /// The sum along z of the turned map, moved by (x, y) pixels.
    pub(super) fn projection(&self, rotation: &Matrix3, shift_px: [f64; 2]) -> Array2<f32> {
        let n = self.n;
        let half = (n / 2) as f64;
        let mut slice = Array2::from_shape_fn((n, n / 2 + 1), |(y, x)| {
            let (kx, ky) = (x as f64, fft::signed_index(y, n) as f64);
            if kx * kx + ky * ky >= half * half {
                return Complex32::default();
            }
            // k_map = Aᵀ k_image
            self.at(std::array::from_fn(|i| PADDING as f64 * (rotation[0][i] * kx + rotation[1][i] * ky)))
        });
        fft::shift_spectrum(&mut slice, shift_px[0], shift_px[1]);
        fft::irfft2(slice, n)
    }

    /// Trilinear interpolation at (x, y, z) in frequency steps of the padded transform.
    fn at(&self, k: [f64; 3]) -> Complex32 {
        let low = k.map(f64::floor);
        let t: [f32; 3] = std::array::from_fn(|i| (k[i] - low[i]) as f32);
        let mut sum = Complex32::default();
        for corner in 0..8usize {
            let step = [corner & 1, (corner >> 1) & 1, corner >> 2];
            let weight: f32 = (0..3).map(|i| if step[i] == 1 { t[i] } else { 1.0 - t[i] }).product();
            sum += self.value(std::array::from_fn(|i| low[i] as isize + step[i] as isize)) * weight;
        }
        sum
    }

    fn value(&self, [x, y, z]: [isize; 3]) -> Complex32 {
        let p = (PADDING * self.n) as isize;
        let wrap = |v: isize| v.rem_euclid(p) as usize;
        if x >= 0 { self.spectrum[[wrap(z), wrap(y), x as usize]] } else { self.spectrum[[wrap(-z), wrap(-y), (-x) as usize]].conj() }
    }
}
