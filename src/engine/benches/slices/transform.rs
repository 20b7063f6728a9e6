//! The transform of a volume that is padded with zeros, and its transpose, at the frequencies that slices need and at no others.
//!
//! Axis after axis: only rows that meet the density's ball are transformed, only frequencies that the images hold are kept, and each pass writes
//! what the next one reads in one run.

use cryoem::fft::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::ops::Range;
use std::sync::Arc;

/// Rows or planes that change places together: as many numbers as a cache line holds.
const BLOCK: usize = 8;
/// Numbers between columns beyond their length, so that columns of a power of two do not fall onto the same cache lines.
const APART: usize = 8;

/// Shape of a padded transform.
pub(crate) struct Extent {
    /// Side of the volumes, voxels.
    pub(crate) volume: usize,
    /// Side of the padded box.
    pub(crate) padded: usize,
    /// Radius of the ball about voxel n/2 that holds the density, voxels.
    pub(crate) radius: f64,
    /// Highest frequency of the images, steps of the padded transform.
    pub(crate) highest: f64,
    /// Points about a coordinate that an interpolation reads.
    pub(crate) taps: usize,
}

/// The transform and its transpose. A spectrum is `[y][x][z]`, see [`Transform::place`].
pub(crate) struct Transform {
    extent: Extent,
    /// Frequencies along y and z go from −reach to reach.
    reach: usize,
    /// Columns at negative x, which interpolation near x = 0 reads.
    low: usize,
    /// Columns that are worked out: x from 0.
    columns: usize,
    /// Of each y frequency, how many of them: those within a circle.
    within: Vec<usize>,
    /// Of each plane, the rows that meet the ball.
    rows: Vec<Range<usize>>,
    /// What a voxel is multiplied by, along one axis.
    weights: Vec<f32>,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    real: Arc<dyn RealToComplex<f32>>,
    complex: Arc<dyn ComplexToReal<f32>>,
}

/// Arrays that are used again from volume to volume.
#[derive(Default)]
pub(crate) struct Room {
    planes: Vec<Complex32>,
    lines: Vec<Complex32>,
    columns: Vec<Complex32>,
    line: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Transform {
    /// Volumes are multiplied by `weight` of the place along each axis, a part of the padded box from its centre.
    pub(crate) fn new(extent: Extent, weight: impl Fn(f64) -> f64) -> Self {
        let Extent { volume, padded, radius, highest, taps } = extent;
        assert!(volume.is_multiple_of(2) && padded.is_multiple_of(2) && padded >= volume, "even sides, the padded one not smaller");
        let centre = volume as f64 / 2.0;
        let rows = |z: usize| {
            let height = radius * radius - (z as f64 - centre).powi(2);
            if height < 0.0 {
                return 0..0;
            }
            let half = height.sqrt();
            (centre - half).max(0.0).ceil() as usize..(centre + half + 1.0).min(volume as f64).floor() as usize
        };
        let reach = highest.floor() as usize + taps / 2 + 1;
        assert!(reach < padded, "a padded box wider than an interpolation's reach");
        // Farther than any point that an interpolation inside the images' circle reads.
        let limit = highest + 0.5 * taps as f64 * std::f64::consts::SQRT_2 + 1.0;
        let columns = reach.min(padded / 2) + 1;
        let within = |y: usize| {
            let y = y as f64 - reach as f64;
            ((limit * limit - y * y).max(0.0).sqrt() as usize + 1).min(columns)
        };
        let (mut complex, mut real) = (FftPlanner::new(), RealFftPlanner::new());
        Self {
            reach,
            low: taps / 2,
            columns,
            within: (0..=2 * reach).map(within).collect(),
            rows: (0..volume).map(rows).collect(),
            weights: (0..volume).map(|i| weight((i as f64 - centre) / padded as f64) as f32).collect(),
            forward: complex.plan_fft_forward(padded),
            inverse: complex.plan_fft_inverse(padded),
            real: real.plan_fft_forward(padded),
            complex: real.plan_fft_inverse(padded),
            extent,
        }
    }

    /// Side of the volumes, voxels.
    pub(crate) fn volume(&self) -> usize {
        self.extent.volume
    }

    /// Side of the padded box.
    pub(crate) fn padded(&self) -> usize {
        self.extent.padded
    }

    /// Numbers of a spectrum.
    pub(crate) fn len(&self) -> usize {
        self.strides()[1] * (2 * self.reach + 1)
    }

    /// Steps along x and y; along z it is 1.
    pub(crate) fn strides(&self) -> [usize; 2] {
        let width = 2 * self.reach + 1;
        [width, width * (self.low + self.reach + 1)]
    }

    /// Where a frequency (x, y, z) lies in a spectrum.
    #[inline(always)]
    pub(crate) fn place(&self, [x, y, z]: [i32; 3]) -> usize {
        let [along_x, along_y] = self.strides();
        let (low, reach) = (self.low as i32, self.reach as i32);
        (y + reach) as usize * along_y + (x + low) as usize * along_x + (z + reach) as usize
    }

    /// Where a padded row has what lies `index` steps after its beginning, if `origin` comes to lie at 0.
    fn wrapped(&self, index: usize, origin: usize) -> usize {
        (index + self.extent.padded - origin) % self.extent.padded
    }

    fn stride(&self) -> usize {
        self.extent.padded + APART
    }

    /// Columns, y frequency after y frequency: index of y and number of columns.
    fn circle(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.within.iter().copied().enumerate()
    }

    /// Makes room as large as it must be.
    fn prepare(&self, room: &mut Room) {
        let Extent { volume, padded, .. } = self.extent;
        let scratch = [
            self.forward.get_inplace_scratch_len(),
            self.inverse.get_inplace_scratch_len(),
            self.real.get_scratch_len(),
            self.complex.get_scratch_len(),
        ];
        room.planes.resize(BLOCK * self.columns * self.stride(), Complex32::default());
        room.lines.resize(BLOCK * (padded / 2 + 1), Complex32::default());
        room.columns.resize((2 * self.reach + 1) * self.columns * volume, Complex32::default());
        room.line.resize(padded, Complex32::default());
        room.scratch.resize(scratch.into_iter().max().unwrap_or(0), Complex32::default());
    }

    /// The spectrum of a volume `[z][y][x]`.
    pub(crate) fn spectrum(&self, volume: &[f32], room: &mut Room, spectrum: &mut [Complex32]) {
        self.prepare(room);
        for first in (0..self.extent.volume).step_by(BLOCK) {
            self.planes_forward(volume, first, room);
        }
        let (volume, padded, reach) = (self.extent.volume, self.extent.padded, self.reach);
        let width = 2 * reach + 1;
        for (y, count) in self.circle() {
            for x in 0..count {
                let from = &room.columns[(y * self.columns + x) * volume..][..volume];
                room.line[volume / 2..].fill(Complex32::default());
                self.wrap(from, &mut room.line);
                self.forward.process_with_scratch(&mut room.line, &mut room.scratch);
                let to = &mut spectrum[(y * (self.low + reach + 1) + x + self.low) * width..][..width];
                to[..reach].copy_from_slice(&room.line[padded - reach..]);
                to[reach..].copy_from_slice(&room.line[..=reach]);
            }
        }
        self.each_mirrored(|to, from| spectrum[to] = spectrum[from].conj());
    }

    /// The volume that a spectrum gives by the transpose of [`Self::spectrum`] (real and imaginary parts as numbers of their own). The spectrum is
    /// used up.
    pub(crate) fn transpose(&self, spectrum: &mut [Complex32], room: &mut Room, volume: &mut [f32]) {
        self.prepare(room);
        self.each_mirrored(|to, from| {
            let value = spectrum[to].conj();
            spectrum[from] += value;
        });
        let (side, padded, reach) = (self.extent.volume, self.extent.padded, self.reach);
        let width = 2 * reach + 1;
        for (y, count) in self.circle() {
            for x in 0..count {
                let from = &spectrum[(y * (self.low + reach + 1) + x + self.low) * width..][..width];
                room.line.fill(Complex32::default());
                // The highest frequencies of both signs may be one.
                room.line[padded - reach..].copy_from_slice(&from[..reach]);
                room.line[..=reach].iter_mut().zip(&from[reach..]).for_each(|(to, from)| *to += from);
                self.inverse.process_with_scratch(&mut room.line, &mut room.scratch);
                self.unwrap(&room.line, &mut room.columns[(y * self.columns + x) * side..][..side]);
            }
        }
        volume.fill(0.0);
        for first in (0..side).step_by(BLOCK) {
            self.planes_back(volume, first, room);
        }
    }

    /// Values about index n/2 to a padded line about index 0; what lies between is left.
    fn wrap(&self, from: &[Complex32], line: &mut [Complex32]) {
        let half = from.len() / 2;
        let end = line.len();
        line[..half].copy_from_slice(&from[half..]);
        line[end - half..].copy_from_slice(&from[..half]);
    }

    fn unwrap(&self, line: &[Complex32], to: &mut [Complex32]) {
        let half = to.len() / 2;
        to[half..].copy_from_slice(&line[..half]);
        to[..half].copy_from_slice(&line[line.len() - half..]);
    }

    /// Points at negative x and beyond the padded half, with the point whose conjugate they are.
    fn each_mirrored(&self, mut each: impl FnMut(usize, usize)) {
        let (reach, padded) = (self.reach as i32, self.extent.padded as i32);
        for x in (-(self.low as i32)..0).chain(padded / 2 + 1..=reach) {
            let mirror = if x < 0 { -x } else { padded - x };
            for y in -reach..=reach {
                if mirror as usize >= self.within[(reach - y) as usize] {
                    continue;
                }
                for z in -reach..=reach {
                    each(self.place([x, y, z]), self.place([mirror, -y, -z]));
                }
            }
        }
    }

    /// Rows of a plane in runs of at most a block that do not cross its middle.
    fn runs(&self, z: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, middle) = (self.rows[z].clone(), self.extent.volume / 2);
        let parts = [rows.start..middle.clamp(rows.start, rows.end), middle.clamp(rows.start, rows.end)..rows.end];
        parts.into_iter().flat_map(|part| {
            let end = part.end;
            part.step_by(BLOCK).map(move |first| first..(first + BLOCK).min(end))
        })
    }

    /// Planes `first..` of a volume along x and y into the columns along z.
    fn planes_forward(&self, volume: &[f32], first: usize, room: &mut Room) {
        let Extent { volume: side, padded, .. } = self.extent;
        let (half, stride, width) = (side / 2, self.stride(), padded / 2 + 1);
        let planes = BLOCK.min(side - first);
        let mut row = vec![0f32; padded];
        for plane in 0..planes {
            let z = first + plane;
            let columns = &mut room.planes[plane * self.columns * stride..][..self.columns * stride];
            if self.rows[z].is_empty() {
                columns.fill(Complex32::default());
                continue;
            }
            for column in columns.chunks_exact_mut(stride) {
                column[..padded].fill(Complex32::default());
            }
            for run in self.runs(z) {
                for (y, line) in run.clone().zip(room.lines.chunks_exact_mut(width)) {
                    let from = &volume[(z * side + y) * side..][..side];
                    let weight = self.weights[z] * self.weights[y];
                    let weighed = |x: usize| from[x] * weight * self.weights[x];
                    (0..half).for_each(|x| row[x] = weighed(half + x));
                    row[half..padded - half].fill(0.0);
                    (0..half).for_each(|x| row[padded - half + x] = weighed(x));
                    self.real.process_with_scratch(&mut row, line, &mut room.scratch).expect("lengths are those of the plan");
                }
                let to = self.wrapped(run.start, half);
                for (x, column) in columns.chunks_exact_mut(stride).enumerate() {
                    for (number, to) in column[to..to + run.len()].iter_mut().enumerate() {
                        *to = room.lines[number * width + x];
                    }
                }
            }
            for column in columns.chunks_exact_mut(stride) {
                self.forward.process_with_scratch(&mut column[..padded], &mut room.scratch);
            }
        }
        self.each_column(|x, y, wrapped| {
            let to = &mut room.columns[(y * self.columns + x) * side + first..][..planes];
            for (plane, to) in to.iter_mut().enumerate() {
                *to = room.planes[(plane * self.columns + x) * stride + wrapped];
            }
        });
    }

    /// The transpose of [`Self::planes_forward`].
    fn planes_back(&self, volume: &mut [f32], first: usize, room: &mut Room) {
        let Extent { volume: side, padded, .. } = self.extent;
        let (half, stride, width) = (side / 2, self.stride(), padded / 2 + 1);
        let planes = BLOCK.min(side - first);
        room.planes.fill(Complex32::default());
        self.each_column(|x, y, wrapped| {
            let from = &room.columns[(y * self.columns + x) * side + first..][..planes];
            for (plane, from) in from.iter().enumerate() {
                room.planes[(plane * self.columns + x) * stride + wrapped] += from;
            }
        });
        let mut row = vec![0f32; padded];
        room.lines.fill(Complex32::default());
        for plane in (0..planes).filter(|plane| !self.rows[first + plane].is_empty()) {
            let z = first + plane;
            let columns = &mut room.planes[plane * self.columns * stride..][..self.columns * stride];
            for column in columns.chunks_exact_mut(stride) {
                self.inverse.process_with_scratch(&mut column[..padded], &mut room.scratch);
            }
            for run in self.runs(z) {
                let from = self.wrapped(run.start, half);
                for (x, column) in columns.chunks_exact(stride).enumerate() {
                    // The real inverse counts all columns twice but those that are their own mirror image.
                    let alone = x == 0 || x == padded / 2;
                    for (number, from) in column[from..from + run.len()].iter().enumerate() {
                        room.lines[number * width + x] = if alone { Complex32::new(from.re, 0.0) } else { from * 0.5 };
                    }
                }
                for (y, line) in run.zip(room.lines.chunks_exact_mut(width)) {
                    line[self.columns..].fill(Complex32::default());
                    self.complex.process_with_scratch(line, &mut row, &mut room.scratch).expect("lengths are those of the plan");
                    let to = &mut volume[(z * side + y) * side..][..side];
                    let weight = self.weights[z] * self.weights[y];
                    let unwrapped = row[padded - half..].iter().chain(&row[..half]);
                    for ((to, value), along) in to.iter_mut().zip(unwrapped).zip(&self.weights) {
                        *to = value * weight * along;
                    }
                }
            }
        }
    }

    /// Columns x of y frequencies, and where a padded column has that frequency.
    fn each_column(&self, mut each: impl FnMut(usize, usize, usize)) {
        for (y, count) in self.circle() {
            let wrapped = self.wrapped(y, self.reach);
            (0..count).for_each(|x| each(x, y, wrapped));
        }
    }
}
