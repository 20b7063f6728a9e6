//! Projection by Fourier slices as one operator on the CPU.
//!
//! The volume is divided by the transform of an interpolation window, padded with zeros and transformed once; each pose's central slice is
//! interpolated in that transform, turned back into an image, and cut at the circle of the images' Nyquist frequency. The gradient by the
//! volumes, which is what training takes, is the transpose of that. Gradients by poses are not offered.
//!
//! The volume's transform costs the same for one pose as for many, so that slices win over rays where poses are many
//! (docs/benchmarks/speed-cpu.md).

pub mod gpu;
mod images;
mod transform;
mod window;

use super::processor::is_wide;
use super::tensors::{numbers, plain, threads, values, values_mut};
use super::threads::{Places, share, share_with};
use crate::native::Operator;
use cryoem::fft::Complex32;
use images::Images;
use std::f64::consts::TAU;
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Device, Kind, Tensor};
pub use transform::Transform;
pub use window::{TAPS, Window};

/// Side of the padded box over the volume's, or a little more.
const PADDING: f64 = 1.25;

/// How much larger density may look in images of smaller pixels than the grid's.
const SMALLEST_PIXELS: f64 = 1.05;

/// Sizes of a projection by slices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Side of the projections, pixels; their origin is pixel n/2.
    pub side: usize,
    /// Side of the images that are transformed, whose centre the projections are. Slices are periodic: what a projection would show beyond its edges comes
    /// back at the opposite ones, and these must lie outside of it.
    pub wide: usize,
    /// Side of the volumes, voxels, which span the same region; their origin is voxel n/2.
    pub template: usize,
    /// Side of the padded box.
    pub padded: usize,
    /// Radius of the ball about the origin that holds the density, voxels.
    pub radius: f64,
    /// The projections' Nyquist frequency, or the volumes' where that is lower, steps of the padded transform.
    pub highest: f64,
}

impl Sizes {
    /// Of projections `side` pixels wide of volumes `template` voxels wide, whose density lies within `radius_px` pixels.
    #[must_use]
    pub fn new(side: usize, template: usize, radius_px: f64) -> Self {
        let padded = quick_side((template as f64 * PADDING).ceil() as usize);
        let step = template as f64 / side as f64;
        // A voxel more, since samples inside the ball reach that far.
        let radius = radius_px * step + 1.0;
        let needed = (radius_px * SMALLEST_PIXELS + 0.5 * side as f64).ceil() as usize;
        let wide = if needed <= side { side } else { quick_side(needed) };
        Self { side, wide, template, padded, radius, highest: 0.5 * padded as f64 / step.max(1.0) }
    }

    /// The window for these sizes.
    #[must_use]
    pub fn window(&self) -> Window {
        Window::new(self.padded as f64 / (2.0 * self.radius).min(self.template as f64))
    }

    /// Square of the highest frequency that a volume's transform has, steps of the padded one, with room for rounding.
    #[must_use]
    pub fn limit2(&self) -> f32 {
        (self.highest.powi(2) * (1.0 + 1e-5)) as f32
    }

    /// Frequencies along an axis that interpolation reads, from −reach to reach.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.highest.floor() as usize + TAPS / 2 + 1
    }

    /// Frequencies that `model::slices` keeps along y and z, from 0 on, the negative ones last.
    #[must_use]
    pub fn rows(&self) -> i64 {
        (2 * self.reach() + 1).min(self.padded) as i64
    }

    /// Frequencies that it keeps along x, from 0 on.
    #[must_use]
    pub fn columns(&self) -> i64 {
        self.reach().min(self.padded / 2) as i64 + 1
    }
}

/// The next side from `least` on that the transforms are quick at: even, with no prime factor above 5.
fn quick_side(least: usize) -> usize {
    let is_quick = |side: &usize| {
        let rest = [2, 3, 5].into_iter().fold(*side, |mut rest, prime| {
            while rest.is_multiple_of(prime) {
                rest /= prime;
            }
            rest
        });
        side.is_multiple_of(2) && rest == 1
    };
    (least..).find(is_quick).unwrap_or(least)
}

/// Numbers that a pose's slice is told by: steps of the padded transform (x, y, z) that a step of the image's frequency along x is, the same along y;
/// turns of the phase that these steps are; the projection's scale, which is no number where the pose is none.
pub const PLANE: usize = 9;

/// Projects volumes to images.
pub struct Slices {
    sizes: Sizes,
    transform: Transform,
    window: Window,
    images: Images,
    /// Arrays that are used again, of as many volumes as are worked on at once.
    rooms: Mutex<Vec<Room>>,
}

/// What a volume needs in between.
#[derive(Default)]
struct Room {
    columns: Vec<Complex32>,
    /// One spectrum, or backward one for each thread that adds to it.
    spectra: Vec<Complex32>,
}

/// A pose's slice.
#[derive(Clone, Copy)]
struct Plane {
    steps: [[f32; 3]; 2],
    turns: [f64; 2],
    scale: f32,
}

impl Plane {
    fn of(numbers: &[f32]) -> Self {
        let [ax, ay, az, bx, by, bz, along_x, along_y, scale] = *numbers else { panic!("nine numbers a slice") };
        Self { steps: [[ax, ay, az], [bx, by, bz]], turns: [f64::from(along_x), f64::from(along_y)], scale }
    }

    /// Whether there is such a slice: a pose that is no number gives no number.
    fn is_usable(&self) -> bool {
        self.scale.is_finite()
    }
}

impl Slices {
    /// For these sizes.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        let window = sizes.window();
        let transform = Transform::new(sizes, |place| 1.0 / window.transform(place));
        Self { sizes, transform, window, images: Images::new(&sizes), rooms: Mutex::default() }
    }

    fn with_room<R>(&self, work: impl FnOnce(&mut Room) -> R) -> R {
        let take = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut room = take().unwrap_or_default();
        let result = work(&mut room);
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).push(room);
        result
    }

    /// Calls `each` with the frequencies of an image that a slice has: index in the half plane, position in the transform, whether the
    /// conjugate is meant, and the factor that moves origins.
    #[inline(always)]
    fn each_frequency(&self, plane: &Plane, mut each: impl FnMut(usize, [f32; 3], bool, Complex32)) {
        let side = self.sizes.wide as i32;
        let (half, square) = (side / 2, side * side);
        let turn = |turns: f64| {
            let (sin, cos) = (TAU * turns.fract()).sin_cos();
            Complex32::new(cos as f32, sin as f32)
        };
        let next = turn(plane.turns[0]);
        let limit = self.sizes.limit2();
        for y in 1 - half..half {
            let mut factor = turn(plane.turns[1] * f64::from(y)) * plane.scale;
            let row = y.rem_euclid(side);
            let mut x = 0;
            while 4 * (x * x + y * y) < square {
                let mut at: [f32; 3] = std::array::from_fn(|j| plane.steps[0][j] * x as f32 + plane.steps[1][j] * y as f32);
                let conjugate = at[0] < 0.0;
                if conjugate {
                    at = at.map(|v| -v);
                }
                // Images of smaller pixels than the grid's have frequencies that the volume does not.
                if at.iter().map(|v| v * v).sum::<f32>() <= limit {
                    each((x * side + row) as usize, at, conjugate, factor);
                }
                factor *= next;
                x += 1;
            }
        }
    }

    /// Rows of a spectrum about a position: where each begins and what it weighs, and the weights along it.
    #[inline(always)]
    fn rows(&self, at: [f32; 3]) -> ([[(usize, f32); TAPS]; TAPS], [f32; TAPS]) {
        let [(x, by_x), (y, by_y), (z, by_z)] = at.map(|at| self.window.spread(at));
        let [along_x, along_y] = self.transform.strides();
        let first = self.transform.place([x, y, z]);
        let rows = std::array::from_fn(|j| std::array::from_fn(|i| (first + j * along_y + i * along_x, by_y[j] * by_x[i])));
        (rows, by_z)
    }

    #[inline(always)]
    fn read(&self, spectrum: &[Complex32], plane: &Plane, half_plane: &mut [Complex32]) {
        half_plane.fill(Complex32::default());
        self.each_frequency(plane, |index, at, conjugate, factor| {
            let (rows, by_z) = self.rows(at);
            let mut sums = [[0f32; 2]; TAPS];
            for (first, weight) in rows.into_iter().flatten() {
                for (sum, value) in sums.iter_mut().zip(&spectrum[first..first + TAPS]) {
                    sum[0] += weight * value.re;
                    sum[1] += weight * value.im;
                }
            }
            let sum = sums.iter().zip(by_z).map(|(sum, weight)| Complex32::new(sum[0], sum[1]) * weight).sum::<Complex32>();
            half_plane[index] = if conjugate { sum.conj() } else { sum } * factor;
        });
    }

    #[inline(always)]
    fn add(&self, spectrum: &mut [Complex32], plane: &Plane, half_plane: &[Complex32]) {
        self.each_frequency(plane, |index, at, conjugate, factor| {
            let (rows, by_z) = self.rows(at);
            let value = half_plane[index] * factor.conj();
            let value = if conjugate { value.conj() } else { value };
            let along = by_z.map(|weight| value * weight);
            for (first, weight) in rows.into_iter().flatten() {
                for (to, value) in spectrum[first..first + TAPS].iter_mut().zip(&along) {
                    to.re += weight * value.re;
                    to.im += weight * value.im;
                }
            }
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn read_wide(&self, spectrum: &[Complex32], plane: &Plane, half_plane: &mut [Complex32]) {
        self.read(spectrum, plane, half_plane);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn add_wide(&self, spectrum: &mut [Complex32], plane: &Plane, half_plane: &[Complex32]) {
        self.add(spectrum, plane, half_plane);
    }

    fn read_any(&self, spectrum: &[Complex32], plane: &Plane, half_plane: &mut [Complex32]) {
        #[cfg(target_arch = "x86_64")]
        if is_wide() {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { self.read_wide(spectrum, plane, half_plane) };
        }
        self.read(spectrum, plane, half_plane);
    }

    fn add_any(&self, spectrum: &mut [Complex32], plane: &Plane, half_plane: &[Complex32]) {
        #[cfg(target_arch = "x86_64")]
        if is_wide() {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { self.add_wide(spectrum, plane, half_plane) };
        }
        self.add(spectrum, plane, half_plane);
    }

    /// The projections of one volume.
    fn project(&self, threads: usize, volume: &[f32], planes: &[Plane], pixels: &mut [f32]) {
        let area = self.sizes.side.pow(2);
        self.with_room(|Room { columns, spectra }| {
            let spectrum = at_least(spectra, self.transform.len());
            self.transform.spectrum(threads, volume, columns, spectrum);
            let (places, spectrum) = (Places::of(pixels), &*spectrum);
            share_with(
                threads,
                planes.len(),
                || self.images.half_plane(),
                |half_plane, pose| {
                    // SAFETY: a pose has its own image.
                    let image = unsafe { places.part(pose * area, area) };
                    if !planes[pose].is_usable() {
                        image.fill(f32::NAN);
                        return;
                    }
                    self.read_any(spectrum, &planes[pose], half_plane);
                    self.images.image(half_plane, image);
                },
            );
        });
    }

    /// The transpose of [`Self::project`]. Poses are shared among several threads that each add to a spectrum of their own; these are added in
    /// their order, so that equal runs have equal results.
    fn spread(&self, threads: usize, pixels: &[f32], planes: &[Plane], volume: &mut [f32]) {
        let (area, numbers) = (self.sizes.side.pow(2), self.transform.len());
        let shares = threads.clamp(1, planes.len().max(1));
        self.with_room(|Room { columns, spectra }| {
            let spectra = at_least(spectra, shares * numbers);
            let places = Places::of(spectra);
            share(threads, shares, |part| {
                // SAFETY: a share has its own spectrum.
                let spectrum = unsafe { places.part(part * numbers, numbers) };
                spectrum.fill(Complex32::default());
                let mut half_plane = self.images.half_plane();
                for pose in (part..planes.len()).step_by(shares).filter(|&pose| planes[pose].is_usable()) {
                    self.images.transpose(&pixels[pose * area..(pose + 1) * area], &mut half_plane);
                    self.add_any(spectrum, &planes[pose], &half_plane);
                }
            });
            let (spectrum, others) = spectra.split_at_mut(numbers);
            for other in others.chunks_exact(numbers) {
                spectrum.iter_mut().zip(other).for_each(|(to, from)| *to += from);
            }
            self.transform.transpose(threads, spectrum, columns, volume);
        });
    }

    /// Volumes at once, and threads for each, so that few threads stand idle in the last round. Volumes at once are the better of equals: what
    /// threads do for one volume they wait for between its passes.
    fn threads(images: usize, threads: usize) -> (usize, usize) {
        /// By how much longer than the best a split may be.
        const EQUAL: f64 = 1.15;
        let splits = || (1..=threads.min(images).max(1)).map(|at_once| (at_once, (threads / at_once).max(1)));
        let rounds = |(at_once, each): (usize, usize)| images.div_ceil(at_once) as f64 / each as f64;
        let best = splits().map(rounds).fold(f64::INFINITY, f64::min);
        splits().rfind(|&split| rounds(split) <= EQUAL * best).unwrap_or((1, threads))
    }
}

/// So many numbers of an array, which becomes as large where it is not yet.
fn at_least(array: &mut Vec<Complex32>, count: usize) -> &mut [Complex32] {
    if array.len() < count {
        array.resize(count, Complex32::default());
    }
    &mut array[..count]
}

/// Projects volumes `[b, 1, t, t, t]` to `[b, k, s, s]` at some slices.
struct AtSlices {
    kernel: Arc<Slices>,
    planes: Vec<Plane>,
}

impl Slices {
    /// The operator for slices `[b, k, 9]` ([`PLANE`]).
    #[must_use]
    pub fn at(self: &Arc<Self>, slices: &Tensor) -> Arc<dyn Operator> {
        let planes = numbers(slices, slices.numel()).chunks_exact(PLANE).map(Plane::of).collect();
        Arc::new(AtSlices { kernel: Arc::clone(self), planes })
    }
}

impl Operator for AtSlices {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        let Self { kernel, planes } = self;
        let (volumes, side) = (plain(&inputs[0]), kernel.sizes.side);
        let (images, cube) = (volumes.size()[0] as usize, kernel.sizes.template.pow(3));
        assert_eq!(volumes.numel(), images * cube, "cubes of {} voxels a side", kernel.sizes.template);
        let (poses, values) = (planes.len() / images, values(&volumes));
        let mut output = Tensor::empty([images as i64, poses as i64, side as i64, side as i64], (Kind::Float, Device::Cpu));
        let (places, pixels) = (Places::of(values_mut(&mut output)), poses * side * side);
        let (at_once, each) = Slices::threads(images, threads());
        share(at_once, images, |image| {
            // SAFETY: a volume has its own images.
            let pixels = unsafe { places.part(image * pixels, pixels) };
            kernel.project(each, &values[image * cube..(image + 1) * cube], &planes[image * poses..(image + 1) * poses], pixels);
        });
        output
    }

    fn backward(&self, _: &[Tensor], gradient: &Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let Self { kernel, planes } = self;
        let (gradient, template) = (plain(gradient), kernel.sizes.template);
        let (images, poses) = (gradient.size()[0] as usize, gradient.size()[1] as usize);
        let (values, cube, pixels) = (values(&gradient), template.pow(3), poses * kernel.sizes.side.pow(2));
        let t = template as i64;
        let mut output = Tensor::empty([images as i64, 1, t, t, t], (Kind::Float, Device::Cpu));
        let places = Places::of(values_mut(&mut output));
        let (at_once, each) = Slices::threads(images, threads());
        share(at_once, images, |image| {
            // SAFETY: an image has its own volume.
            let volume = unsafe { places.part(image * cube, cube) };
            kernel.spread(each, &values[image * pixels..(image + 1) * pixels], &planes[image * poses..(image + 1) * poses], volume);
        });
        vec![Some(output)]
    }

    fn needs_inputs(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_quick_and_no_smaller() {
        assert_eq!([1, 63, 64, 171, 228, 143].map(quick_side), [2, 64, 64, 180, 240, 144]);
    }

    #[test]
    fn what_leaves_a_projection_does_not_come_back_into_it() {
        let wide = |side, radius_px| Sizes::new(side, 2 * side, radius_px).wide;
        assert_eq!([wide(50, 20.0), wide(50, 23.0), wide(50, 36.0)], [50, 50, 64]);
    }

    #[test]
    fn threads_are_busy() {
        assert_eq!(
            [(1, 8), (8, 8), (16, 8), (8, 1), (2, 16)].map(|(images, threads)| Slices::threads(images, threads)),
            [(1, 8), (8, 1), (8, 1), (1, 1), (2, 8)]
        );
        let (at_once, each) = Slices::threads(18, 16);
        assert!(18usize.div_ceil(at_once) <= 9 * each && at_once * each <= 16 && at_once < 16, "{at_once}, {each}");
    }
}
