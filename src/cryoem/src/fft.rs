//! Fourier transforms of images and maps whose origin is at index n/2.
//!
//! Forward transforms are not scaled, inverse ones divide by the number of values. A spectrum keeps columns 0..=n/2 (x frequencies); the
//! other axes are in FFT order. Where n is even, the Nyquist row is index n/2: `crop_spectrum` fills it from row −n/2, `shift_spectrum`
//! counts it as +n/2. These are the conventions of the original program, see tests/data/golden.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, s};
use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::cell::RefCell;
use std::sync::Arc;

pub use rustfft::num_complex::Complex32;

/// Plans of one thread; planning anew for every image would cost more than the transforms.
struct Planners {
    complex: FftPlanner<f32>,
    real: RealFftPlanner<f32>,
}

thread_local! {
    static PLANNERS: RefCell<Planners> = RefCell::new(Planners { complex: FftPlanner::new(), real: RealFftPlanner::new() });
}

/// Complex columns are gathered and transformed this many at a time, so that each cache line of the array is touched once.
const COLUMNS_AT_ONCE: usize = 16;

fn real_forward(n: usize) -> Arc<dyn RealToComplex<f32>> {
    PLANNERS.with_borrow_mut(|p| p.real.plan_fft_forward(n))
}

fn real_inverse(n: usize) -> Arc<dyn ComplexToReal<f32>> {
    PLANNERS.with_borrow_mut(|p| p.real.plan_fft_inverse(n))
}

fn complex(n: usize, inverse: bool) -> Arc<dyn Fft<f32>> {
    PLANNERS.with_borrow_mut(|p| if inverse { p.complex.plan_fft_inverse(n) } else { p.complex.plan_fft_forward(n) })
}

/// Signed frequency index of FFT index `i` of `n`; the Nyquist index of an even `n` counts as −n/2.
#[must_use]
pub fn signed_index(i: usize, n: usize) -> isize {
    if i < n.div_ceil(2) { i as isize } else { i as isize - n as isize }
}

/// FFT index of a signed frequency.
fn fft_index(k: isize, n: usize) -> usize {
    k.rem_euclid(n as isize) as usize
}

/// One row with its origin at n/2 → its spectrum; `real` is scratch of the row's length.
fn row_forward(plan: &dyn RealToComplex<f32>, row: &[f32], real: &mut [f32], scratch: &mut [Complex32], out: &mut [Complex32]) {
    let half = row.len() / 2;
    let (low, high) = row.split_at(half);
    real[..high.len()].copy_from_slice(high);
    real[high.len()..].copy_from_slice(low);
    plan.process_with_scratch(real, out, scratch).expect("lengths are those of the plan");
}

/// A row's spectrum → the row with its origin at n/2, times `scale`.
fn row_inverse(
    plan: &dyn ComplexToReal<f32>,
    line: &mut [Complex32],
    real: &mut [f32],
    scratch: &mut [Complex32],
    scale: f32,
    out: &mut [f32],
) {
    // A real row has real first and (even n) last values; the inverse takes their real parts.
    line[0].im = 0.0;
    if out.len().is_multiple_of(2) {
        line[out.len() / 2].im = 0.0;
    }
    plan.process_with_scratch(line, real, scratch).expect("lengths are those of the plan and the end values are real");
    let half = out.len() / 2;
    let (low, high) = real.split_at(out.len() - half);
    out[..half].iter_mut().zip(high).for_each(|(o, v)| *o = v * scale);
    out[half..].iter_mut().zip(low).for_each(|(o, v)| *o = v * scale);
}

/// Transforms axis 0 of `[n][columns]` in place; the origin lies at n/2 in real space and at 0 in Fourier space.
fn columns_in_place(data: &mut ndarray::ArrayViewMut2<Complex32>, inverse: bool) {
    let n = data.nrows();
    let plan = complex(n, inverse);
    let mut scratch = vec![Complex32::default(); plan.get_inplace_scratch_len()];
    let mut block = vec![Complex32::default(); n * COLUMNS_AT_ONCE];
    let half = n / 2;
    for mut columns in data.axis_chunks_iter_mut(Axis(1), COLUMNS_AT_ONCE) {
        let width = columns.ncols();
        for (y, row) in columns.rows().into_iter().enumerate() {
            let to = if inverse { y } else { (y + n - half) % n };
            row.iter().enumerate().for_each(|(x, v)| block[x * n + to] = *v);
        }
        plan.process_with_scratch(&mut block[..width * n], &mut scratch);
        for (y, mut row) in columns.rows_mut().into_iter().enumerate() {
            let from = if inverse { (y + n - half) % n } else { y };
            row.iter_mut().enumerate().for_each(|(x, v)| *v = block[x * n + from]);
        }
    }
}

/// Spectrum `[n][n/2+1]` of a square image `[y][x]` with its origin at n/2.
///
/// # Panics
/// The image is not square.
#[must_use]
pub fn rfft2(image: ArrayView2<f32>) -> Array2<Complex32> {
    let n = image.nrows();
    rfft2_low(image, n / 2 + 1)
}

/// The first `columns` columns of [`rfft2`]: all that a Fourier crop needs, at less cost.
fn rfft2_low(image: ArrayView2<f32>, columns: usize) -> Array2<Complex32> {
    let (n, width) = image.dim();
    assert_eq!(n, width, "a square image");
    let plan = real_forward(n);
    let (mut real, mut line) = (vec![0.0; n], vec![Complex32::default(); n / 2 + 1]);
    let mut scratch = vec![Complex32::default(); plan.get_scratch_len()];
    let image = image.as_standard_layout();
    let mut out = Array2::default((n, columns));
    for (row, mut to) in image.rows().into_iter().zip(out.rows_mut()) {
        row_forward(&*plan, row.as_slice().expect("standard layout"), &mut real, &mut scratch, &mut line);
        to.as_slice_mut().expect("a fresh array is contiguous").copy_from_slice(&line[..columns]);
    }
    columns_in_place(&mut out.view_mut(), false);
    out
}

/// Image `[n][n]` of a spectrum `[n][n/2+1]`, origin at n/2.
///
/// # Panics
/// The spectrum has another shape.
#[must_use]
pub fn irfft2(mut spectrum: Array2<Complex32>, n: usize) -> Array2<f32> {
    assert_eq!(spectrum.dim(), (n, n / 2 + 1), "the half spectrum of an {n} × {n} image");
    columns_in_place(&mut spectrum.view_mut(), true);
    let plan = real_inverse(n);
    let (mut real, mut line) = (vec![0.0; n], vec![Complex32::default(); n / 2 + 1]);
    let mut scratch = vec![Complex32::default(); plan.get_scratch_len()];
    let scale = 1.0 / (n * n) as f32;
    let mut out = Array2::zeros((n, n));
    for (from, mut to) in spectrum.rows().into_iter().zip(out.rows_mut()) {
        line.iter_mut().zip(from).for_each(|(l, v)| *l = *v);
        row_inverse(&*plan, &mut line, &mut real, &mut scratch, scale, to.as_slice_mut().expect("a fresh array is contiguous"));
    }
    out
}

/// A spectrum `[from][..]` on the frequencies of a `to` × `to` image, times (to/from)² so that the values of the image keep their scale: its
/// central part (rows −to/2..to/2−1, columns 0..=to/2), or, where `to` is larger, all of it but its Nyquist frequencies, among zeros. Both
/// sizes are even; missing columns count as zeros.
///
/// # Panics
/// A size is odd.
#[must_use]
pub fn crop_spectrum(spectrum: ArrayView2<Complex32>, to: usize) -> Array2<Complex32> {
    let (from, columns) = spectrum.dim();
    assert!(to.is_multiple_of(2) && from.is_multiple_of(2), "Fourier crop of {from} to {to}");
    let scale = (to as f32 / from as f32).powi(2);
    let limit = if to > from { from / 2 } else { from };
    Array2::from_shape_fn((to, to / 2 + 1), |(y, x)| {
        let ky = signed_index(y, to);
        let known = x < columns && x < limit && ky.unsigned_abs() < limit;
        if known { spectrum[[fft_index(ky, from), x]] * scale } else { Complex32::default() }
    })
}

/// Multiplies a spectrum `[n][columns]` (of an n × n image) by phases that move the image's content by (+x, +y) pixels.
pub fn shift_spectrum(spectrum: &mut Array2<Complex32>, shift_x_px: f64, shift_y_px: f64) {
    let n = spectrum.nrows();
    let phase = |k: f64, shift: f64| {
        let (sin, cos) = (-std::f64::consts::TAU * k * shift / n as f64).sin_cos();
        Complex32::new(cos as f32, sin as f32)
    };
    let x_phases: Vec<_> = (0..spectrum.ncols()).map(|x| phase(x as f64, shift_x_px)).collect();
    for (y, mut row) in spectrum.rows_mut().into_iter().enumerate() {
        let ky = if 2 * y == n { y as f64 } else { signed_index(y, n) as f64 };
        let y_phase = phase(ky, shift_y_px);
        row.iter_mut().zip(&x_phases).for_each(|(v, p)| *v *= p * y_phase);
    }
}

/// Moves the content of a square image by (+x, +y) pixels and Fourier-crops (or -pads) it to `to` pixels, in one pass.
#[must_use]
pub fn shift_and_crop(image: ArrayView2<f32>, shift_x_px: f64, shift_y_px: f64, to: usize) -> Array2<f32> {
    let mut spectrum = rfft2_low(image, to.min(image.nrows()) / 2 + 1);
    shift_spectrum(&mut spectrum, shift_x_px, shift_y_px);
    irfft2(crop_spectrum(spectrum.view(), to), to)
}

/// Spectrum `[n][n][n/2+1]` of a cubic map `[z][y][x]` with its origin at n/2.
///
/// # Panics
/// The map is not a cube.
#[must_use]
pub fn rfft3(volume: ArrayView3<f32>) -> Array3<Complex32> {
    let n = volume.dim().0;
    assert_eq!(volume.dim(), (n, n, n), "a cube");
    let mut out = Array3::default((n, n, n / 2 + 1));
    ndarray::Zip::from(volume.outer_iter()).and(out.outer_iter_mut()).par_for_each(|plane, mut to| to.assign(&rfft2(plane)));
    out.axis_iter_mut(Axis(1)).into_par_iter().for_each(|mut plane| columns_in_place(&mut plane, false));
    out
}

/// Map `[n][n][n]` of a spectrum `[n][n][n/2+1]`, origin at n/2.
///
/// # Panics
/// The spectrum has another shape.
#[must_use]
pub fn irfft3(mut spectrum: Array3<Complex32>, n: usize) -> Array3<f32> {
    assert_eq!(spectrum.dim(), (n, n, n / 2 + 1), "the half spectrum of a cube of {n}");
    spectrum.axis_iter_mut(Axis(1)).into_par_iter().for_each(|mut plane| columns_in_place(&mut plane, true));
    let mut out = Array3::zeros((n, n, n));
    let scale = 1.0 / n as f32;
    ndarray::Zip::from(spectrum.outer_iter()).and(out.outer_iter_mut()).par_for_each(|plane, mut to| {
        to.assign(&irfft2(plane.to_owned(), n));
        to.mapv_inplace(|v| v * scale);
    });
    out
}

/// The central `to` × `to` pixels of a square image, or the image padded with `fill`; pixel n/2 becomes pixel to/2.
#[must_use]
pub fn crop_image(image: ArrayView2<f32>, to: usize, fill: f32) -> Array2<f32> {
    let n = image.nrows();
    let start = (n / 2) as isize - (to / 2) as isize;
    let (from, end) = (start.max(0) as usize, (start + to as isize).min(n as isize) as usize);
    let mut out = Array2::from_elem((to, to), fill);
    let at = (from as isize - start) as usize;
    let size = end - from;
    out.slice_mut(s![at..at + size, at..at + size]).assign(&image.slice(s![from..end, from..end]));
    out
}

#[cfg(test)]
mod tests;
