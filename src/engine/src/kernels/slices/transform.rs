//! The transform of a volume that is padded with zeros, and its transpose, at the frequencies that slices need and at no others.
//!
//! Axis after axis: only rows that meet the density's ball are transformed, only frequencies that the images hold are kept, and each pass writes
//! what the next one reads in one run.

use super::super::threads::{Places, share_with};
use super::Sizes;
use super::window::TAPS;
use cryoem::fft::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::ops::Range;
use std::sync::Arc;

/// Rows or planes that change places together: as many numbers as a cache line holds.
const BLOCK: usize = 8;
/// Numbers between columns beyond their length, so that columns of a power of two do not fall onto the same cache lines.
const APART: usize = 8;

/// The transform and its transpose. A spectrum is `[y][x][z]`, see [`Transform::place`].
pub struct Transform {
    sizes: Sizes,
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

/// What a thread works with.
struct Work {
    planes: Vec<Complex32>,
    lines: Vec<Complex32>,
    row: Vec<f32>,
    line: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Transform {
    /// Volumes are multiplied by `weight` of the place along each axis, a part of the padded box from its centre.
    ///
    /// # Panics
    /// Sides are odd, or the padded one is the smaller.
    #[must_use]
    pub fn new(sizes: Sizes, weight: impl Fn(f64) -> f64) -> Self {
        let Sizes { template: volume, padded, highest, .. } = sizes;
        assert!(volume.is_multiple_of(2) && padded.is_multiple_of(2) && padded >= volume, "even sides, the padded one not smaller");
        let centre = volume as f64 / 2.0;
        let rows = |z: usize| inside(&sizes, (z as f64 - centre).powi(2));
        let reach = sizes.reach();
        assert!(reach < padded, "a padded box wider than an interpolation's reach");
        // Farther than any point that an interpolation inside the images' circle reads.
        let limit = highest + 0.5 * TAPS as f64 * std::f64::consts::SQRT_2 + 1.0;
        let columns = reach.min(padded / 2) + 1;
        let within = |y: usize| {
            let y = y as f64 - reach as f64;
            ((limit * limit - y * y).max(0.0).sqrt() as usize + 1).min(columns)
        };
        let (mut complex, mut real) = (FftPlanner::new(), RealFftPlanner::new());
        Self {
            reach,
            low: TAPS / 2,
            columns,
            within: (0..=2 * reach).map(within).collect(),
            rows: (0..volume).map(rows).collect(),
            weights: (0..volume).map(|i| weight((i as f64 - centre) / padded as f64) as f32).collect(),
            forward: complex.plan_fft_forward(padded),
            inverse: complex.plan_fft_inverse(padded),
            real: real.plan_fft_forward(padded),
            complex: real.plan_fft_inverse(padded),
            sizes,
        }
    }

    /// Numbers of a spectrum.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a spectrum has numbers")]
    pub fn len(&self) -> usize {
        self.strides()[1] * (2 * self.reach + 1)
    }

    /// Steps along x and y; along z it is 1.
    #[must_use]
    pub(super) fn strides(&self) -> [usize; 2] {
        let width = 2 * self.reach + 1;
        [width, width * (self.low + self.reach + 1)]
    }

    /// Where a frequency (x, y, z) lies in a spectrum.
    #[inline(always)]
    #[must_use]
    pub fn place(&self, [x, y, z]: [i32; 3]) -> usize {
        let [along_x, along_y] = self.strides();
        let (low, reach) = (self.low as i32, self.reach as i32);
        (y + reach) as usize * along_y + (x + low) as usize * along_x + (z + reach) as usize
    }

    /// Where a padded row has what lies `index` steps after its beginning, if `origin` comes to lie at 0.
    fn wrapped(&self, index: usize, origin: usize) -> usize {
        (index + self.sizes.padded - origin) % self.sizes.padded
    }

    fn stride(&self) -> usize {
        self.sizes.padded + APART
    }

    /// Columns, y frequency after y frequency: index of y and number of columns.
    fn circle(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.within.iter().copied().enumerate()
    }

    /// Complex numbers of the columns between the passes.
    pub(super) fn columns_len(&self) -> usize {
        (2 * self.reach + 1) * self.columns * self.sizes.template
    }

    fn work(&self) -> Work {
        let padded = self.sizes.padded;
        let scratch = [
            self.forward.get_inplace_scratch_len(),
            self.inverse.get_inplace_scratch_len(),
            self.real.get_scratch_len(),
            self.complex.get_scratch_len(),
        ];
        let none = |count: usize| vec![Complex32::default(); count];
        Work {
            planes: none(BLOCK * self.columns * self.stride()),
            lines: none(BLOCK * (padded / 2 + 1)),
            row: vec![0.0; padded],
            line: none(padded),
            scratch: none(scratch.into_iter().max().unwrap_or(0)),
        }
    }

    /// The spectrum of a volume `[z][y][x]`, on some threads; `columns` is room that is used again.
    pub fn spectrum(&self, threads: usize, volume: &[f32], columns: &mut Vec<Complex32>, spectrum: &mut [Complex32]) {
        columns.resize(self.columns_len(), Complex32::default());
        let (side, padded, reach) = (self.sizes.template, self.sizes.padded, self.reach);
        let places = Places::of(columns);
        let work = || self.work();
        share_with(threads, side.div_ceil(BLOCK), work, |work, block| self.planes_forward(volume, block * BLOCK, work, &places));
        let width = 2 * reach + 1;
        let [_, along_y] = self.strides();
        let places = Places::of(spectrum);
        share_with(threads, width, work, |work, y| {
            // SAFETY: a y frequency has its own part.
            let to = unsafe { places.part(y * along_y, along_y) };
            for x in 0..self.within[y] {
                let from = &columns[(y * self.columns + x) * side..][..side];
                work.line[side / 2..].fill(Complex32::default());
                wrap(from, &mut work.line);
                self.forward.process_with_scratch(&mut work.line, &mut work.scratch);
                let to = &mut to[(x + self.low) * width..][..width];
                to[..reach].copy_from_slice(&work.line[padded - reach..]);
                to[reach..].copy_from_slice(&work.line[..=reach]);
            }
        });
        self.each_mirrored(|to, from| spectrum[to] = spectrum[from].conj());
    }

    /// The volume that a spectrum gives by the transpose of [`Self::spectrum`] (real and imaginary parts as numbers of their own). The spectrum is
    /// used up.
    pub fn transpose(&self, threads: usize, spectrum: &mut [Complex32], columns: &mut Vec<Complex32>, volume: &mut [f32]) {
        columns.resize(self.columns_len(), Complex32::default());
        self.each_mirrored(|to, from| {
            let value = spectrum[to].conj();
            spectrum[from] += value;
        });
        let (side, padded, reach) = (self.sizes.template, self.sizes.padded, self.reach);
        let width = 2 * reach + 1;
        let [_, along_y] = self.strides();
        let (places, all) = (Places::of(columns), self.columns * side);
        let work = || self.work();
        share_with(threads, width, work, |work, y| {
            // SAFETY: a y frequency has its own columns.
            let columns = unsafe { places.part(y * all, all) };
            for x in 0..self.within[y] {
                let from = &spectrum[y * along_y + (x + self.low) * width..][..width];
                work.line.fill(Complex32::default());
                // The highest frequencies of both signs may be one.
                work.line[padded - reach..].copy_from_slice(&from[..reach]);
                work.line[..=reach].iter_mut().zip(&from[reach..]).for_each(|(to, from)| *to += from);
                self.inverse.process_with_scratch(&mut work.line, &mut work.scratch);
                unwrap(&work.line, &mut columns[x * side..][..side]);
            }
        });
        let (places, columns) = (Places::of(volume), &*columns);
        share_with(threads, side.div_ceil(BLOCK), work, |work, block| {
            let first = block * BLOCK;
            let planes = BLOCK.min(side - first);
            // SAFETY: a block has its own planes.
            let volume = unsafe { places.part(first * side * side, planes * side * side) };
            self.planes_back(volume, first, work, columns);
        });
    }

    /// Points at negative x and beyond the padded half, with the point whose conjugate they are.
    fn each_mirrored(&self, mut each: impl FnMut(usize, usize)) {
        let (reach, padded) = (self.reach as i32, self.sizes.padded as i32);
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
        let (rows, middle) = (self.rows[z].clone(), self.sizes.template / 2);
        let parts = [rows.start..middle.clamp(rows.start, rows.end), middle.clamp(rows.start, rows.end)..rows.end];
        parts.into_iter().flat_map(|part| {
            let end = part.end;
            part.step_by(BLOCK).map(move |first| first..(first + BLOCK).min(end))
        })
    }

    /// The voxels of a row that are inside the ball, on both sides of its middle (which the ball is about), and where each part begins in a padded row.
    fn parts(&self, z: usize, y: usize) -> [(Range<usize>, usize); 2] {
        let Sizes { template: side, padded, .. } = self.sizes;
        let half = side / 2;
        let distance = |at: usize| at as f64 - half as f64;
        let row = inside(&self.sizes, distance(z).powi(2) + distance(y).powi(2));
        let middle = half.clamp(row.start, row.end);
        [(row.start..middle, padded - half + row.start), (middle..row.end, 0)]
    }

    /// Planes `first..` of a volume along x and y into the columns along z.
    fn planes_forward(&self, volume: &[f32], first: usize, work: &mut Work, places: &Places<Complex32>) {
        let Sizes { template: side, padded, .. } = self.sizes;
        let (half, stride, width) = (side / 2, self.stride(), padded / 2 + 1);
        let planes = BLOCK.min(side - first);
        for plane in 0..planes {
            let z = first + plane;
            let columns = &mut work.planes[plane * self.columns * stride..][..self.columns * stride];
            if self.rows[z].is_empty() {
                columns.fill(Complex32::default());
                continue;
            }
            for column in columns.chunks_exact_mut(stride) {
                column[..padded].fill(Complex32::default());
            }
            for run in self.runs(z) {
                for (y, line) in run.clone().zip(work.lines.chunks_exact_mut(width)) {
                    let from = &volume[(z * side + y) * side..][..side];
                    let weight = self.weights[z] * self.weights[y];
                    work.row.fill(0.0);
                    for (part, to) in self.parts(z, y) {
                        let weighed = from[part.clone()].iter().zip(&self.weights[part]).map(|(value, along)| value * weight * along);
                        work.row[to..].iter_mut().zip(weighed).for_each(|(to, value)| *to = value);
                    }
                    self.real.process_with_scratch(&mut work.row, line, &mut work.scratch).expect("lengths are those of the plan");
                }
                let to = self.wrapped(run.start, half);
                for (x, column) in columns.chunks_exact_mut(stride).enumerate() {
                    for (number, to) in column[to..to + run.len()].iter_mut().enumerate() {
                        *to = work.lines[number * width + x];
                    }
                }
            }
            for column in columns.chunks_exact_mut(stride) {
                self.forward.process_with_scratch(&mut column[..padded], &mut work.scratch);
            }
        }
        self.each_column(|x, y, wrapped| {
            // SAFETY: a block has its own planes of every column.
            let to = unsafe { places.part((y * self.columns + x) * side + first, planes) };
            for (plane, to) in to.iter_mut().enumerate() {
                *to = work.planes[(plane * self.columns + x) * stride + wrapped];
            }
        });
    }

    /// The transpose of [`Self::planes_forward`].
    fn planes_back(&self, volume: &mut [f32], first: usize, work: &mut Work, columns: &[Complex32]) {
        let Sizes { template: side, padded, .. } = self.sizes;
        volume.fill(0.0);
        let (half, stride, width) = (side / 2, self.stride(), padded / 2 + 1);
        let planes = BLOCK.min(side - first);
        work.planes.fill(Complex32::default());
        self.each_column(|x, y, wrapped| {
            let from = &columns[(y * self.columns + x) * side + first..][..planes];
            for (plane, from) in from.iter().enumerate() {
                work.planes[(plane * self.columns + x) * stride + wrapped] += from;
            }
        });
        work.lines.fill(Complex32::default());
        for plane in (0..planes).filter(|plane| !self.rows[first + plane].is_empty()) {
            let z = first + plane;
            let plane_columns = &mut work.planes[plane * self.columns * stride..][..self.columns * stride];
            for column in plane_columns.chunks_exact_mut(stride) {
                self.inverse.process_with_scratch(&mut column[..padded], &mut work.scratch);
            }
            for run in self.runs(z) {
                let from = self.wrapped(run.start, half);
                for (x, column) in plane_columns.chunks_exact(stride).enumerate() {
                    // The real inverse counts all columns twice but those that are their own mirror image.
                    let alone = x == 0 || x == padded / 2;
                    for (number, from) in column[from..from + run.len()].iter().enumerate() {
                        work.lines[number * width + x] = if alone { Complex32::new(from.re, 0.0) } else { from * 0.5 };
                    }
                }
                for (y, line) in run.zip(work.lines.chunks_exact_mut(width)) {
                    line[self.columns..].fill(Complex32::default());
                    self.complex.process_with_scratch(line, &mut work.row, &mut work.scratch).expect("lengths are those of the plan");
                    let to = &mut volume[(plane * side + y) * side..][..side];
                    let weight = self.weights[z] * self.weights[y];
                    for (part, from) in self.parts(z, y) {
                        let along = &self.weights[part.clone()];
                        for ((to, value), along) in to[part].iter_mut().zip(&work.row[from..]).zip(along) {
                            *to = value * weight * along;
                        }
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

/// Voxels along an axis that are inside the ball, at a squared distance from its origin along the others.
fn inside(sizes: &Sizes, distance2: f64) -> Range<usize> {
    let (half2, centre) = (sizes.radius * sizes.radius - distance2, sizes.template as f64 / 2.0);
    if half2 < 0.0 {
        return 0..0;
    }
    let half = half2.sqrt();
    (centre - half).max(0.0).ceil() as usize..(centre + half + 1.0).min(sizes.template as f64).floor() as usize
}

/// Values about index n/2 to a padded line about index 0; what lies between is left.
fn wrap(from: &[Complex32], line: &mut [Complex32]) {
    let half = from.len() / 2;
    let end = line.len();
    line[..half].copy_from_slice(&from[half..]);
    line[end - half..].copy_from_slice(&from[..half]);
}

fn unwrap(line: &[Complex32], to: &mut [Complex32]) {
    let half = to.len() / 2;
    to[half..].copy_from_slice(&line[..half]);
    to[..half].copy_from_slice(&line[line.len() - half..]);
}
