//! From sums on the Fourier grid to a map.

use crate::grid::Sums;
use crate::kernel::{Kernel, PADDING};
use cryoem::fft::{self, Complex32};
use cryoem::volume::crop_about_centre;
use ndarray::{Array3, Zip};

/// Turns sums into maps of one box.
pub(crate) struct Solver {
    n: usize,
    /// 1 / the window's transform, along an axis of the box.
    correction: Vec<f32>,
}

impl Solver {
    pub(crate) fn new(n: usize, kernel: &Kernel) -> Self {
        let correction = (0..n).map(|i| (1.0 / kernel.transform(i as f64 - (n / 2) as f64, PADDING * n)) as f32).collect();
        Self { n, correction }
    }

    fn padded(&self) -> usize {
        PADDING * self.n
    }

    /// Mean weight in Fourier shells 0..=n/2 of the map.
    pub(crate) fn mean_weights(&self, weights: &Array3<f32>) -> Vec<f64> {
        let p = self.padded();
        let mut sums = vec![(0.0f64, 0usize); self.n / 2 + 1];
        for ((z, y, x), &w) in weights.indexed_iter() {
            if let Some(sum) = sums.get_mut((self.radius(z, y, x) / PADDING as f64).round() as usize) {
                let count = if x == 0 || 2 * x == p { 1 } else { 2 };
                sum.0 += f64::from(w) * count as f64;
                sum.1 += count;
            }
        }
        sums.into_iter().map(|(sum, count)| sum / count.max(1) as f64).collect()
    }

    fn radius(&self, z: usize, y: usize, x: usize) -> f64 {
        let p = self.padded();
        let (z, y) = (fft::signed_index(z, p) as f64, fft::signed_index(y, p) as f64);
        (z * z + y * y + (x * x) as f64).sqrt()
    }

    /// A value per Fourier shell 0..=n/2 of the map, spread over the grid by linear interpolation; infinite beyond the last shell's rim.
    pub(crate) fn spread_shells(&self, shells: &[f64]) -> Array3<f32> {
        let p = self.padded();
        let last = shells.len() - 1;
        Array3::from_shape_fn((p, p, p / 2 + 1), |(z, y, x)| {
            let r = self.radius(z, y, x) / PADDING as f64;
            if r >= last as f64 + 0.5 {
                return f32::INFINITY;
            }
            let (low, high) = ((r as usize).min(last), (r as usize + 1).min(last));
            (shells[low] + (shells[high] - shells[low]) * r.fract()) as f32
        })
    }

    /// The Wiener map: sums / (weights + `prior`), transformed back, cut to the box, divided by the window's transform.
    pub(crate) fn wiener(&self, sums: &Sums, prior: &Array3<f32>) -> Array3<f32> {
        let mut spectrum = sums.values.clone();
        Zip::from(&mut spectrum).and(&sums.weights).and(prior).par_for_each(|v, &w, &r| *v = divide(*v, w + r));
        self.back(spectrum)
    }

    pub(crate) fn back(&self, spectrum: Array3<Complex32>) -> Array3<f32> {
        let mut map = crop_about_centre(fft::irfft3(spectrum, self.padded()).view(), self.n);
        let c = &self.correction;
        Zip::indexed(&mut map).par_for_each(|(z, y, x), v| *v *= c[z] * c[y] * c[x]);
        map
    }
}

fn divide(value: Complex32, by: f32) -> Complex32 {
    if by > 0.0 && by.is_finite() { value / by } else { Complex32::default() }
}
