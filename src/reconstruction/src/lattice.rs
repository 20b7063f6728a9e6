//! The padded Fourier lattice of a map, and the slices through it that images are.
//!
//! Maps are padded twice and divided by the transform of the trilinear kernel beforehand, so that trilinear interpolation between lattice
//! points gives slices accurate to about a percent at Nyquist (the gridding of RELION, Scheres 2012, with its padding of 2).

use cryoem::fft::{self, Complex32};
use cryoem::geometry::Matrix3;
use ndarray::{Array3, s};
use rayon::prelude::*;

/// Padding of the maps before the transform.
pub(crate) const PADDING: usize = 2;

/// The non-redundant half (x ≥ 0) of the padded transform of maps of a given box, and the Fourier pixels of images of that box.
#[derive(Debug)]
pub(crate) struct Lattice {
    /// Side of maps and images, pixels.
    pub(crate) size: usize,
    /// Side of the padded transform.
    pub(crate) side: usize,
    /// Columns along x: one more than the half, so that the upper neighbour always exists.
    pub(crate) columns: usize,
    /// Half-plane frequencies inside the Nyquist circle, (kx, ky), in index units of the image.
    pub(crate) frequencies: Vec<(f32, f32)>,
    /// Index of each of them in a half plane `[size][size/2 + 1]`.
    pub(crate) half_plane_index: Vec<usize>,
    /// How many values of the full plane each stands for (2, or 1 on the axis kx = 0).
    pub(crate) multiplicity: Vec<f32>,
    /// Ring of each: its radius, rounded.
    pub(crate) ring: Vec<usize>,
    /// Transform of the trilinear kernel along one axis of the map.
    kernel: Vec<f32>,
}

/// Where a Fourier pixel falls: the lower corner of its lattice cell, the fractions along x, y, z, and whether the conjugate is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    corner: [u16; 3],
    fraction: [f32; 3],
    /// The pixel lies in the redundant half.
    pub(crate) conjugate: bool,
}

impl Lattice {
    /// The lattice of maps with side `size` (even).
    pub(crate) fn new(size: usize) -> Self {
        let side = size * PADDING;
        let half = size / 2;
        let (mut frequencies, mut half_plane_index, mut multiplicity, mut ring) = (vec![], vec![], vec![], vec![]);
        for y in 0..size {
            let ky = fft::signed_index(y, size) as f32;
            for x in 0..=half {
                let radius = ((x * x) as f32 + ky * ky).sqrt();
                if radius < half as f32 {
                    frequencies.push((x as f32, ky));
                    half_plane_index.push(y * (half + 1) + x);
                    multiplicity.push(if x > 0 { 2.0 } else { 1.0 });
                    ring.push(radius.round() as usize);
                }
            }
        }
        let kernel = (0..size)
            .map(|i| {
                let x = std::f64::consts::PI * (i as f64 - half as f64) / side as f64;
                if x == 0.0 { 1.0 } else { (x.sin() / x).powi(2) as f32 }
            })
            .collect();
        Self { size, side, columns: side / 2 + 2, frequencies, half_plane_index, multiplicity, ring, kernel }
    }

    /// Number of lattice points kept.
    pub(crate) fn points(&self) -> usize {
        self.side * self.side * self.columns
    }

    /// Number of rings of the images.
    pub(crate) fn rings(&self) -> usize {
        self.size / 2 + 1
    }

    /// Where the Fourier pixels of an image with this rotation (image = A · map) fall; `scale` is the map's pixel size over the image's.
    pub(crate) fn spots(&self, rotation: &Matrix3, scale: f64) -> Vec<Spot> {
        let a = rotation.map(|row| row.map(|v| (v * scale * PADDING as f64) as f32));
        self.frequencies
            .iter()
            .map(|&(kx, ky)| {
                // k_map = Aᵀ k_image
                let mut q: [f32; 3] = std::array::from_fn(|i| a[0][i] * kx + a[1][i] * ky);
                let conjugate = q[0] < 0.0;
                if conjugate {
                    q = q.map(|v| -v);
                }
                let floor = q.map(f32::floor);
                let wrap = |v: f32| (v as i32).rem_euclid(self.side as i32) as u16;
                Spot {
                    corner: [(floor[0] as usize).min(self.columns - 2) as u16, wrap(floor[1]), wrap(floor[2])],
                    fraction: [q[0] - floor[0], q[1] - floor[1], q[2] - floor[2]],
                    conjugate,
                }
            })
            .collect()
    }

    /// The four lattice rows that a spot touches: index of the lower x neighbour and the weight along y and z; x splits 1 − f, f.
    #[inline]
    pub(crate) fn rows(&self, spot: &Spot) -> [(usize, f32); 4] {
        let [x, y, z] = spot.corner.map(usize::from);
        let (y1, z1) = ((y + 1) % self.side, (z + 1) % self.side);
        let [_, fy, fz] = spot.fraction;
        let at = |z: usize, y: usize| (z * self.side + y) * self.columns + x;
        [(at(z, y), (1.0 - fz) * (1.0 - fy)), (at(z, y1), (1.0 - fz) * fy), (at(z1, y), fz * (1.0 - fy)), (at(z1, y1), fz * fy)]
    }

    /// The fraction along x of a spot.
    #[inline]
    pub(crate) fn fraction_x(spot: &Spot) -> f32 {
        spot.fraction[0]
    }

    /// Transforms of maps `[size]³`, interleaved: `[points][maps]`.
    pub(crate) fn spectra(&self, maps: &[Array3<f32>]) -> Vec<Complex32> {
        let q = maps.len();
        let mut out = vec![Complex32::default(); self.points() * q];
        for (j, map) in maps.iter().enumerate() {
            let spectrum = fft::rfft3(self.padded(map).view());
            out.par_chunks_mut(self.columns * q).enumerate().for_each(|(row, to)| {
                let (z, y) = (row / self.side, row % self.side);
                for x in 0..self.columns {
                    // The extra column is the conjugate of its mirror image; only spots at the very edge touch it.
                    to[x * q + j] = if x <= self.side / 2 {
                        spectrum[[z, y, x]]
                    } else {
                        spectrum[[(self.side - z) % self.side, (self.side - y) % self.side, self.side - x]].conj()
                    };
                }
            });
        }
        out
    }

    fn padded(&self, map: &Array3<f32>) -> Array3<f32> {
        let mut padded = Array3::zeros((self.side, self.side, self.side));
        let o = (self.side - self.size) / 2;
        let e = o + self.size;
        let mut inner = padded.slice_mut(s![o..e, o..e, o..e]);
        inner.assign(map);
        inner.indexed_iter_mut().for_each(|((z, y, x), v)| *v /= self.kernel[z] * self.kernel[y] * self.kernel[x]);
        padded
    }

    /// Map `[size]³` of one spectrum, given as a function of the lattice point (x ≤ side/2).
    pub(crate) fn map(&self, value: impl Fn(usize) -> Complex32 + Sync) -> Array3<f32> {
        let mut spectrum = Array3::default((self.side, self.side, self.side / 2 + 1));
        for ((z, y, x), v) in spectrum.indexed_iter_mut() {
            *v = value((z * self.side + y) * self.columns + x);
        }
        let padded = fft::irfft3(spectrum, self.side);
        let o = (self.side - self.size) / 2;
        let e = o + self.size;
        let mut map = padded.slice(s![o..e, o..e, o..e]).to_owned();
        map.indexed_iter_mut().for_each(|((z, y, x), v)| *v /= self.kernel[z] * self.kernel[y] * self.kernel[x]);
        map
    }

    /// Adds what was inserted on the plane x = 0 at −k to k (and the other way round): both halves of that plane are kept.
    /// `sums` is `[points][channels]`; the first `real` channels are real, the rest pairs (re, im) whose conjugate is added.
    pub(crate) fn fold(&self, sums: &mut [f32], channels: usize, real: usize) {
        for z in 0..self.side {
            for y in 0..self.side {
                let (a, b) = (
                    (z * self.side + y) * self.columns,
                    ((self.side - z) % self.side * self.side + (self.side - y) % self.side) * self.columns,
                );
                if a > b {
                    continue;
                }
                for c in 0..channels {
                    let sign = if c >= real && (c - real) % 2 == 1 { -1.0 } else { 1.0 };
                    let (va, vb) = (sums[a * channels + c], sums[b * channels + c]);
                    sums[a * channels + c] = va + sign * vb;
                    sums[b * channels + c] = vb + sign * va;
                }
            }
        }
    }

    /// Shell of a lattice point (x column, y row, z plane), in index units of the image, or `None` beyond its Nyquist shell.
    pub(crate) fn shell(&self, point: usize) -> Option<usize> {
        let (x, row) = (point % self.columns, point / self.columns);
        let (y, z) = (row % self.side, row / self.side);
        let k = |i: usize| fft::signed_index(i, self.side) as f32;
        let radius = (k(z).powi(2) + k(y).powi(2) + (x * x) as f32).sqrt() / PADDING as f32;
        let shell = radius.round() as usize;
        (shell < self.rings() + 1 && x <= self.side / 2).then_some(shell)
    }
}
