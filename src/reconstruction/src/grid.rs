//! Spreading the images' Fourier slices onto a three-dimensional grid.
//!
//! The grid covers signed frequencies about its middle; of every pair k, −k one half (x ≥ 0) is stored, with a margin beyond x = 0 that is
//! folded back at the end. Work is divided into slabs of the grid, each of which sees all samples in the same order: the sums do not depend
//! on the number of threads.

use crate::kernel::{Kernel, PADDING, TAPS};
use crate::source::{Particle, Particles};
use contract::Result;
use cryoem::fft::{self, Complex32};
use cryoem::geometry::Matrix3;
use ndarray::{Array3, ArrayView2};
use rayon::prelude::*;

/// Planes of the grid a slab.
const SLAB: usize = 16;
/// Images whose transforms are held at a time.
const BATCH: usize = 128;
/// Grid points beyond the box that a sample's window may touch.
const MARGIN: usize = TAPS / 2 + 1;

/// Sums over the particles on the padded grid, in FFT order: `[p][p][p/2 + 1]`, p = `PADDING` × box.
pub(crate) struct Sums {
    /// Σ w · CTF · image.
    pub(crate) values: Array3<Complex32>,
    /// Σ w · CTF².
    pub(crate) weights: Array3<f32>,
}

impl Sums {
    /// The sums over the union of two disjoint sets.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self { values: &self.values + &other.values, weights: &self.weights + &other.weights }
    }
}

/// A weighted Fourier slice: rows −n/2+1..n/2, columns 0..n/2, of (re, im, weight).
struct Slice {
    /// Position on the grid of a step in x and in y.
    steps: [[f32; 3]; 2],
    /// Largest radius used, in frequency steps of the image.
    radius: f32,
    samples: Vec<[f32; 3]>,
}

/// Spreads the particles named by (index, weight).
///
/// # Errors
/// An image cannot be read.
pub(crate) fn accumulate(source: &dyn Particles, chosen: &[(usize, f32)], kernel: &Kernel) -> Result<Sums> {
    let n = source.size_px();
    let mut grid = Grid::new(PADDING * n);
    for batch in chosen.chunks(BATCH) {
        let slices = batch.par_iter().map(|&(index, weight)| slice(source, index, weight)).collect::<Result<Vec<_>>>()?;
        grid.insert(&slices, n, kernel);
    }
    Ok(grid.fold())
}

fn slice(source: &dyn Particles, index: usize, weight: f32) -> Result<Slice> {
    let n = source.size_px();
    let (half, columns) = (n / 2, n / 2 + 1);
    let mut image = vec![0.0; n * n];
    let Particle { rotation, ctf, apix, premultiplied } = source.particle(index, &mut image)?;
    let view = ArrayView2::from_shape((n, n), &image).expect("a square image");
    let spectrum = fft::rfft2(view);
    let transfer = ctf.map_or_else(|| vec![1.0; n * columns], |ctf| ctf.half_plane(n, apix));
    let mut samples = Vec::with_capacity((n - 1) * half);
    for row in 0..n - 1 {
        let y = (row + 1 + half) % n;
        for x in 0..half {
            let (value, c) = (spectrum[[y, x]], transfer[y * columns + x]);
            let factor = if premultiplied { weight } else { weight * c };
            samples.push([factor * value.re, factor * value.im, weight * c * c]);
        }
    }
    let scale = PADDING as f64 * source.apix() / apix;
    // Frequencies turn as points do: those of the image lie at Aᵀk in the map. Those that round to a shell beyond n/2 are left out.
    let radius = (half as f64 + 0.5) * (apix / source.apix()).min(1.0);
    Ok(Slice { steps: [step(&rotation, 0, scale), step(&rotation, 1, scale)], radius: radius as f32, samples })
}

fn step(rotation: &Matrix3, axis: usize, scale: f64) -> [f32; 3] {
    rotation[axis].map(|v| (v * scale) as f32)
}

/// The grid while it is filled: (re, im, weight) at signed frequencies z, y in −reach..=reach and x in −`MARGIN`..=reach.
struct Grid {
    padded: usize,
    reach: usize,
    cells: Vec<[f32; 3]>,
}

impl Grid {
    fn new(padded: usize) -> Self {
        let reach = padded / 2 + MARGIN;
        let side = 2 * reach + 1;
        Self { padded, reach, cells: vec![[0.0; 3]; side * side * (reach + MARGIN + 1)] }
    }

    fn row_length(&self) -> usize {
        self.reach + MARGIN + 1
    }

    fn insert(&mut self, slices: &[Slice], n: usize, kernel: &Kernel) {
        let (reach, length) = (self.reach as i32, self.row_length());
        let side = 2 * self.reach + 1;
        let plane = side * length;
        self.cells.par_chunks_mut(SLAB * plane).enumerate().for_each(|(slab, cells)| {
            let low = (slab * SLAB) as i32 - reach;
            let planes = low..low + (cells.len() / plane) as i32;
            for slice in slices {
                slice.for_each(n, |at, sample| {
                    let (z, wz) = kernel.spread(at[2]);
                    if z + TAPS as i32 <= planes.start || z >= planes.end {
                        return;
                    }
                    let ((y, wy), (x, wx)) = (kernel.spread(at[1]), kernel.spread(at[0]));
                    let column = (x + MARGIN as i32) as usize;
                    for (kz, wz) in wz.into_iter().enumerate() {
                        let z = z + kz as i32;
                        if !planes.contains(&z) {
                            continue;
                        }
                        for (ky, wy) in wy.into_iter().enumerate() {
                            let row = (z - low) as usize * side + (y + ky as i32 + reach) as usize;
                            let start = row * length + column;
                            let w = wz * wy;
                            for (cell, wx) in cells[start..start + TAPS].iter_mut().zip(wx) {
                                let w = w * wx;
                                cell[0] += w * sample[0];
                                cell[1] += w * sample[1];
                                cell[2] += w * sample[2];
                            }
                        }
                    }
                });
            }
        });
    }

    fn at(&self, z: isize, y: isize, x: isize) -> [f32; 3] {
        let (reach, side) = (self.reach as isize, 2 * self.reach + 1);
        let row = (z + reach) as usize * side + (y + reach) as usize;
        self.cells[row * self.row_length() + (x + MARGIN as isize) as usize]
    }

    /// Every sample stands for itself and its conjugate at −k: adds the two. What lies beyond the padded box's Nyquist frequency comes in again
    /// on the other side, as the transform is periodic.
    fn fold(&self) -> Sums {
        let p = self.padded as isize;
        let mut values = Array3::zeros((self.padded, self.padded, self.padded / 2 + 1));
        let mut weights = Array3::zeros(values.dim());
        ndarray::Zip::indexed(values.outer_iter_mut()).and(weights.outer_iter_mut()).par_for_each(|z, mut values, mut weights| {
            let kz = fft::signed_index(z, self.padded);
            for ((y, x), value) in values.indexed_iter_mut() {
                let (ky, x) = (fft::signed_index(y, self.padded), x as isize);
                let mut cell = self.periodic(kz, ky, x);
                let beyond = (x > p / 2 - MARGIN as isize).then_some(p - x);
                for x in (x <= MARGIN as isize).then_some(-x).into_iter().chain(beyond) {
                    let mirrored = self.periodic(-kz, -ky, x);
                    cell = [cell[0] + mirrored[0], cell[1] - mirrored[1], cell[2] + mirrored[2]];
                }
                *value = Complex32::new(cell[0], cell[1]);
                weights[[y, x as usize]] = cell[2];
            }
        });
        Sums { values, weights }
    }

    /// The sum of the cells that are (z, y) up to the period.
    fn periodic(&self, z: isize, y: isize, x: isize) -> [f32; 3] {
        let mut sum = self.at(z, y, x);
        for (other_z, other_y) in [(self.other(z), Some(y)), (Some(z), self.other(y)), (self.other(z), self.other(y))] {
            if let (Some(z), Some(y)) = (other_z, other_y) {
                let cell = self.at(z, y, x);
                (0..3).for_each(|i| sum[i] += cell[i]);
            }
        }
        sum
    }

    /// The other index of the margins that stands for the same frequency.
    fn other(&self, k: isize) -> Option<isize> {
        let other = k - self.padded as isize * if k < 0 { -1 } else { 1 };
        (other.unsigned_abs() <= self.reach).then_some(other)
    }
}

impl Slice {
    /// Calls `f` with the grid position (x ≥ 0) and (re, im, weight) of every sample inside the Nyquist sphere, each pair ±k once.
    #[inline]
    fn for_each(&self, n: usize, mut f: impl FnMut([f32; 3], [f32; 3])) {
        let half = n / 2;
        let [dx, dy] = self.steps;
        for (row, samples) in self.samples.chunks_exact(half).enumerate() {
            let ky = row as f32 + 1.0 - half as f32;
            let first = usize::from(ky < 0.0);
            for (x, &[re, im, weight]) in samples.iter().enumerate().skip(first) {
                let kx = x as f32;
                if kx * kx + ky * ky >= self.radius * self.radius {
                    break;
                }
                let at: [f32; 3] = std::array::from_fn(|i| dx[i] * kx + dy[i] * ky);
                if at[0] < 0.0 { f(at.map(|v| -v), [re, -im, weight]) } else { f(at, [re, im, weight]) }
            }
        }
    }
}
