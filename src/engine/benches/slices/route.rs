//! Projections by Fourier slices, as an operator that takes the fused projector's place (`Projector::with_kernel`).
//!
//! The volume is divided by the transform of an interpolation window, padded with zeros and transformed once; each pose's central slice is
//! interpolated in that transform, turned back into an image, and cut at the circle of the images' Nyquist frequency. The gradient by the
//! volumes, which is what training takes, is the transpose of that. Gradients by poses are not offered.
//!
//! One thread: it is there to be measured.

#[path = "transform.rs"]
mod transform;
#[path = "window.rs"]
mod window;

use cryoem::fft::Complex32;
use opus_dsd_engine::kernels::projection::Rays;
use opus_dsd_engine::kernels::tensors::{numbers, plain, values, values_mut};
use opus_dsd_engine::model::projector::{ProjectorConfig, Region};
use opus_dsd_engine::native::Operator;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::f64::consts::TAU;
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Device, Kind, Tensor};
pub(crate) use transform::{Extent, Room, Transform};
pub(crate) use window::Window;

/// Projects volumes `[b, 1, t, t, t]` under `[b, k, 3, 3]` matrices and `[b, k, 3]` offsets to `[b, k, s, s]`, as `kernels::projection` does.
pub(crate) struct Slices<const TAPS: usize> {
    transform: Transform,
    window: Window<TAPS>,
    images: Images,
    room: Mutex<(Room, Vec<Complex32>)>,
}

/// Transforms of images `[y][x]` to and from half planes `[x][y]`.
struct Images {
    side: usize,
    origin: f64,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    real: Arc<dyn RealToComplex<f32>>,
    complex: Arc<dyn ComplexToReal<f32>>,
}

/// Where a pose's slice lies: steps of the padded transform and turns of the phase that a step of the image's frequency is, along x and y.
struct Plane {
    steps: [[f32; 3]; 2],
    turns: [f64; 2],
    scale: f32,
}

/// The next side from `least` on that the transforms are quick at: even, with no prime factor above 5.
pub(crate) fn quick_side(least: usize) -> usize {
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

impl<const TAPS: usize> Slices<TAPS> {
    /// For a projector's shape. Volumes are padded `padding` times, or a little more; `window` is made for the padding of the ball of density.
    pub(crate) fn new(config: &ProjectorConfig, rays: &Rays, padding: f64, window: impl FnOnce(f64) -> Window<TAPS>) -> Self {
        let (volume, side) = (config.template as usize, rays.side);
        let padded = quick_side((volume as f64 * padding).ceil() as usize);
        let step = config.centre.steps(config.side, config.template);
        let radius = match config.region {
            // A voxel more, since samples inside the ball reach that far.
            Region::Ball { radius_px } => radius_px * step + 1.0,
            Region::Cube => f64::INFINITY,
        };
        let window = window(padded as f64 / (2.0 * radius).min(volume as f64));
        let highest = 0.5 * padded as f64 / step;
        let extent = Extent { volume, padded, radius, highest, taps: TAPS };
        let transform = Transform::new(extent, |place| 1.0 / window.transform(place));
        Self { transform, window, images: Images::new(side, f64::from(rays.origin)), room: Mutex::default() }
    }

    /// Calls `each` with the frequencies of an image that a slice has: index in the half plane, position in the transform, whether the
    /// conjugate is meant, and the factor that moves origins.
    #[inline(always)]
    fn each_frequency(&self, plane: &Plane, mut each: impl FnMut(usize, [f32; 3], bool, Complex32)) {
        let side = self.images.side as i32;
        let (half, square) = (side / 2, side * side);
        let turn = |turns: f64| {
            let (sin, cos) = (TAU * turns.fract()).sin_cos();
            Complex32::new(cos as f32, sin as f32)
        };
        let next = turn(plane.turns[0]);
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
                each((x * side + row) as usize, at, conjugate, factor);
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

    fn planes(&self, inputs: &[Tensor]) -> Vec<Plane> {
        let (volume, padded, side) = (self.transform.volume(), self.transform.padded() as f64, self.images.side as f64);
        let [matrices, offsets] = [&inputs[1], &inputs[2]].map(|tensor| numbers(tensor, tensor.numel()));
        let plane = |(matrix, offset): (&[f32], &[f32])| {
            let [matrix, offset] = [matrix, offset].map(|numbers| numbers.iter().copied().map(f64::from).collect::<Vec<f64>>());
            assert!(matrix.iter().chain(&offset).all(|v| v.is_finite()), "poses are numbers");
            // Voxels that a pixel is, squared: rows are orthogonal and of one length.
            let square: f64 = matrix[..3].iter().map(|v| v * v).sum();
            let steps = [0, 1].map(|axis| [0, 1, 2].map(|j| matrix[3 * axis + j] / square * padded / side));
            let turns = steps.map(|step| {
                let moved: f64 = (0..3).map(|j| step[j] * (offset[j] - (volume / 2) as f64)).sum();
                moved / padded - self.images.origin / side
            });
            let scale = (square.powf(-1.5) / (side * side)) as f32;
            Plane { steps: steps.map(|step| step.map(|v| v as f32)), turns, scale }
        };
        matrices.chunks_exact(9).zip(offsets.chunks_exact(3)).map(plane).collect()
    }
}

impl<const TAPS: usize> Operator for Slices<TAPS> {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        let (volumes, planes, side) = (plain(&inputs[0]), self.planes(inputs), self.images.side);
        let volumes = values(&volumes);
        let (images, cube) = (inputs[0].size()[0] as usize, self.transform.volume().pow(3));
        let poses = planes.len() / images;
        let mut output = Tensor::empty([images as i64, poses as i64, side as i64, side as i64], (Kind::Float, Device::Cpu));
        let pixels = values_mut(&mut output);
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let (room, spectrum) = &mut *room;
        spectrum.resize(self.transform.len(), Complex32::default());
        let mut half_plane = vec![Complex32::default(); side * (side / 2 + 1)];
        for image in 0..images {
            self.transform.spectrum(&volumes[image * cube..(image + 1) * cube], room, spectrum);
            for pose in image * poses..(image + 1) * poses {
                if is_wide() {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: the processor has what the function is compiled for.
                    unsafe {
                        self.read_wide(spectrum, &planes[pose], &mut half_plane);
                    }
                } else {
                    self.read(spectrum, &planes[pose], &mut half_plane);
                }
                self.images.image(&mut half_plane, &mut pixels[pose * side * side..(pose + 1) * side * side]);
            }
        }
        output
    }

    fn backward(&self, inputs: &[Tensor], gradient: &Tensor, wanted: &[bool]) -> Vec<Option<Tensor>> {
        assert!(!wanted[1] && !wanted[2], "slices give no gradient by poses");
        let (pixels, planes, side) = (plain(gradient), self.planes(inputs), self.images.side);
        let pixels = values(&pixels);
        let (images, cube) = (inputs[0].size()[0] as usize, self.transform.volume().pow(3));
        let poses = planes.len() / images;
        let mut output = Tensor::empty(inputs[0].size(), (Kind::Float, Device::Cpu));
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let (room, spectrum) = &mut *room;
        spectrum.resize(self.transform.len(), Complex32::default());
        let mut half_plane = vec![Complex32::default(); side * (side / 2 + 1)];
        for (image, volume) in values_mut(&mut output).chunks_exact_mut(cube).enumerate() {
            spectrum.fill(Complex32::default());
            for pose in image * poses..(image + 1) * poses {
                self.images.transpose(&pixels[pose * side * side..(pose + 1) * side * side], &mut half_plane);
                if is_wide() {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: the processor has what the function is compiled for.
                    unsafe {
                        self.add_wide(spectrum, &planes[pose], &half_plane);
                    }
                } else {
                    self.add(spectrum, &planes[pose], &half_plane);
                }
            }
            self.transform.transpose(spectrum, room, volume);
        }
        vec![Some(output), None, None]
    }
}

fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

impl Images {
    fn new(side: usize, origin: f64) -> Self {
        assert!(side.is_multiple_of(2), "images of an even side");
        let (mut complex, mut real) = (FftPlanner::new(), RealFftPlanner::new());
        Self {
            side,
            origin,
            forward: complex.plan_fft_forward(side),
            inverse: complex.plan_fft_inverse(side),
            real: real.plan_fft_forward(side),
            complex: real.plan_fft_inverse(side),
        }
    }

    /// The image of a half plane, which is used up; not scaled.
    fn image(&self, half_plane: &mut [Complex32], image: &mut [f32]) {
        let side = self.side;
        self.inverse.process(half_plane);
        let mut line = self.complex.make_input_vec();
        for (y, row) in image.chunks_exact_mut(side).enumerate() {
            line.iter_mut().enumerate().for_each(|(x, to)| *to = half_plane[x * side + y]);
            line[0].im = 0.0;
            line[side / 2].im = 0.0;
            self.complex.process(&mut line, row).expect("lengths are those of the plan");
        }
    }

    /// The transpose of [`Self::image`].
    fn transpose(&self, image: &[f32], half_plane: &mut [Complex32]) {
        let side = self.side;
        let (mut row, mut line) = (self.real.make_input_vec(), self.real.make_output_vec());
        for (y, pixels) in image.chunks_exact(side).enumerate() {
            row.copy_from_slice(pixels);
            self.real.process(&mut row, &mut line).expect("lengths are those of the plan");
            for (x, value) in line.iter().enumerate() {
                // All columns but the first and the last stand for two.
                half_plane[x * side + y] = if x == 0 || x == side / 2 { *value } else { value * 2.0 };
            }
        }
        self.forward.process(half_plane);
    }
}
