//! Fourier shell correlation.

use super::Volume;
use crate::fft::{rfft3, signed_index};
use contract::{Problem, Result};
use ndarray::Array3;

/// Correlation of two maps in Fourier shells 0..=n/2 (shell k: frequencies that round to k/(n·apix)), each map multiplied by the mask before.
/// A shell in which a map has no power correlates 0.
///
/// # Errors
/// The maps (or the mask) are not cubes of one size.
pub fn fourier_shell_correlation(a: &Volume, b: &Volume, mask: Option<&Volume>) -> Result<Vec<f64>> {
    let n = a.box_px()?;
    for other in std::iter::once(b).chain(mask) {
        let m = other.box_px()?;
        if m != n {
            return Err(Problem::input(format!("boxes of {n} and {m} voxels cannot be correlated")).hint("resample one of them"));
        }
    }
    let spectrum = |v: &Volume| match mask {
        Some(mask) => rfft3((&v.data * &mask.data).view()),
        None => rfft3(v.data.view()),
    };
    let (fa, fb) = (spectrum(a), spectrum(b));
    let mut sums = vec![[0.0f64; 3]; n / 2 + 1];
    accumulate(&fa, &fb, n, &mut sums);
    Ok(sums.into_iter().map(|[cross, aa, bb]| if aa > 0.0 && bb > 0.0 { cross / (aa * bb).sqrt() } else { 0.0 }).collect())
}

/// Adds Re(a·b*), |a|², |b|² of every frequency to its shell; columns that stand for two conjugate ones count twice.
fn accumulate(a: &Array3<crate::fft::Complex32>, b: &Array3<crate::fft::Complex32>, n: usize, sums: &mut [[f64; 3]]) {
    for ((z, y, x), va) in a.indexed_iter() {
        let (kz, ky) = (signed_index(z, n) as f64, signed_index(y, n) as f64);
        let shell = (kz * kz + ky * ky + (x * x) as f64).sqrt().round() as usize;
        let Some(sum) = sums.get_mut(shell) else { continue };
        let vb = b[[z, y, x]];
        let weight = if x == 0 || 2 * x == n { 1.0 } else { 2.0 };
        sum[0] += weight * f64::from(va.re * vb.re + va.im * vb.im);
        sum[1] += weight * f64::from(va.norm_sqr());
        sum[2] += weight * f64::from(vb.norm_sqr());
    }
}
