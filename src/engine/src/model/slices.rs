//! Projection of volumes by central slices of their transforms (the Fourier slice theorem), for many poses an image.
//!
//! On CPUs a kernel does all of it (`kernels::slices`). On GPUs the transforms are libtorch's, and a kernel reads the slices from them; the form in
//! which libtorch's operators do that, too, is the reference that both are tested against, and what runs where a GPU's kernel cannot be made.
//! Frequencies at the Nyquist circle of the projections and beyond are zero.

use super::fourier;
use super::geometry::Centre;
use super::projector::{ProjectorConfig, Region};
use crate::kernels::slices::gpu::GpuSlices;
use crate::kernels::slices::{Sizes, Slices, TAPS};
use crate::native;
use contract::Problem;
use std::cell::OnceCell;
use std::f64::consts::TAU;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Bytes that transforms of volumes may take at a time, and about twice as many on the way back: as many volumes as keep a GPU busy, few enough to
/// fit into what the decoder's own backward pass takes later in the step, which is what the memory plan counts.
const AT_ONCE_BYTES: usize = 256 << 20;
/// Dimensions of an image.
const IMAGE: [i64; 2] = [-2, -1];

/// Projects volumes of one size to images of one size, both with their origin at n/2.
pub struct SliceProjector {
    sizes: Sizes,
    device: Device,
    kernel: Kernel,
    parts: OnceCell<Parts>,
}

/// What is done by a kernel.
enum Kernel {
    /// All.
    Whole(Arc<Slices>),
    /// Reading slices from a spectrum.
    Reading(Arc<GpuSlices>),
    /// Nothing, and why.
    None(Problem),
}

/// What the tensors' form needs.
struct Parts {
    /// What volumes are multiplied by, `[t, t, t]`; zero outside the ball.
    weights: Tensor,
    /// Moves the spectrum's origin to the volume's, `[rows, rows, columns]`, complex.
    phases: Tensor,
}

impl SliceProjector {
    /// A projector on a device.
    ///
    /// # Panics
    /// The region is no ball: slices have no corners.
    #[must_use]
    pub fn new(config: &ProjectorConfig, device: Device) -> Self {
        let sizes = sizes(config);
        let kernel = match device {
            Device::Cpu => Kernel::Whole(Arc::new(Slices::new(sizes))),
            gpu => GpuSlices::new(sizes, gpu).map_or_else(Kernel::None, |kernel| Kernel::Reading(Arc::new(kernel))),
        };
        Self { sizes, device, kernel, parts: OnceCell::new() }
    }

    /// The same with a kernel that reads slices, which must work on the device's tensors.
    #[must_use]
    pub fn with_reading_kernel(config: &ProjectorConfig, device: Device, kernel: impl FnOnce(Sizes) -> GpuSlices) -> Self {
        let sizes = sizes(config);
        Self { sizes, device, kernel: Kernel::Reading(Arc::new(kernel(sizes))), parts: OnceCell::new() }
    }

    /// Why slices are read by libtorch's operators, which takes longer and more memory; `None` where a kernel does it.
    #[must_use]
    pub fn without_kernel(&self) -> Option<&Problem> {
        if let Kernel::None(problem) = &self.kernel { Some(problem) } else { None }
    }

    /// Projections `[b, k, s, s]` of volumes `[b, 1, t, t, t]` under rotations `[b, k, 3, 3]`, which get no gradient.
    ///
    /// `pixel_scale` (`[b]`) is the image's pixel size over the grid's, where they differ; `shift_px` (`[b, k, 3]`, map frame, pixels) moves
    /// the volumes towards the negative. The sum along the optical axis is over steps of a pixel.
    pub fn project(&self, volumes: &Tensor, rotations: &Tensor, pixel_scale: Option<&Tensor>, shift_px: Option<&Tensor>) -> Tensor {
        let slices = self.slices(rotations, pixel_scale, shift_px);
        if let Kernel::Whole(kernel) = &self.kernel {
            return native::apply(kernel.at(&slices), &[volumes]);
        }
        let each = (AT_ONCE_BYTES / self.spectra_bytes()).max(1) as i64;
        let parts = volumes.split(each, 0).into_iter().zip(slices.split(each, 0));
        let planes: Vec<Tensor> = parts
            .map(|(volumes, slices)| match &self.kernel {
                Kernel::Reading(kernel) => native::apply(kernel.at(&slices), &[&self.spectra(&volumes).view_as_real()]),
                _ => self.read(&self.spectra(&volumes), &slices),
            })
            .collect();
        self.images(&Tensor::cat(&planes, 0))
    }

    /// The same by libtorch's operators alone.
    pub fn project_by_tensors(
        &self,
        volumes: &Tensor,
        rotations: &Tensor,
        pixel_scale: Option<&Tensor>,
        shift_px: Option<&Tensor>,
    ) -> Tensor {
        self.images(&self.read(&self.spectra(volumes), &self.slices(rotations, pixel_scale, shift_px)))
    }

    /// Bytes that projecting a volume for some poses moves: what each pass of its transform reads and writes, and the points of its slices.
    #[must_use]
    pub fn bytes(&self, poses: usize) -> f64 {
        let (side, rows, columns) = (self.sizes.template as f64, self.sizes.rows() as f64, self.sizes.columns() as f64);
        let (first, second, last) = (side * side * columns, side * rows * columns, rows * rows * columns);
        let points = TAPS.pow(3) as f64 * self.frequencies() * poses as f64;
        size_of::<f32>() as f64 * (side.powi(3) + 2.0 * (2.0 * first + 2.0 * second + last + points))
    }

    /// Floating-point operations of it: 5 n log₂ n a complex transform of n points, half of it a real one, four a point of a slice.
    #[must_use]
    pub fn flop(&self, poses: usize) -> f64 {
        let transform = |n: usize| 5.0 * n as f64 * (n as f64).log2();
        let (side, rows, columns) = (self.sizes.template as f64, self.sizes.rows() as f64, self.sizes.columns() as f64);
        let volume = (0.5 * side * side + side * columns + rows * columns) * transform(self.sizes.padded);
        let image = self.sizes.wide as f64 * transform(self.sizes.wide) + 4.0 * TAPS.pow(3) as f64 * self.frequencies();
        volume + poses as f64 * image
    }

    /// Frequencies of a slice.
    fn frequencies(&self) -> f64 {
        std::f64::consts::FRAC_PI_8 * self.sizes.wide.pow(2) as f64
    }

    /// What the transforms of a volume take at most while they are made.
    fn spectra_bytes(&self) -> usize {
        let (side, padded) = (self.sizes.template, self.sizes.padded);
        // The volume, divided; after the first pass; copies of what is kept.
        size_of::<f32>() * (side.pow(3) + 2 * side * side * (padded / 2 + 1) + 4 * side * padded * self.sizes.columns() as usize)
    }

    /// The slices' numbers, `[b, k, 9]` (`kernels::slices::PLANE`).
    fn slices(&self, rotations: &Tensor, pixel_scale: Option<&Tensor>, shift_px: Option<&Tensor>) -> Tensor {
        let Sizes { side, wide, template, padded, .. } = self.sizes;
        let rotations = rotations.detach();
        let size = rotations.size();
        let (images, poses) = (size[0], size[1]);
        let scale = match pixel_scale {
            Some(scale) => scale.detach().view([-1, 1, 1]),
            None => Tensor::ones([1, 1, 1], (Kind::Float, self.device)),
        };
        let axes = rotations.narrow(2, 0, 2);
        let steps = (&axes / scale.unsqueeze(-1)) * ((padded * side) as f64 / (template * wide) as f64);
        let turns = match shift_px {
            Some(shift) => axes.matmul(&shift.detach().unsqueeze(-1)).squeeze_dim(-1) / (&scale * wide as f64),
            None => axes.select(3, 0) * 0.0,
        } - 0.5;
        // Voxels of a pixel, of which a ray meets fewer the smaller pixels are; and the inverse transform's scale.
        let size = (&scale * (template as f64 / side as f64)).pow_tensor_scalar(-3.0) / wide.pow(2) as f64;
        // Of a rotation that is none of numbers, no number either.
        let size = size + rotations.sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Float).unsqueeze(2) * 0.0;
        Tensor::cat(&[steps.reshape([images, poses, 6]), turns, size], 2)
    }

    fn parts(&self) -> &Parts {
        self.parts.get_or_init(|| {
            let Sizes { template, padded, .. } = self.sizes;
            let window = self.sizes.window();
            let place = |i: usize| (i as f64 - template as f64 / 2.0) / padded as f64;
            let along: Vec<f32> = (0..template).map(|i| (1.0 / window.transform(place(i))) as f32).collect();
            let along = Tensor::from_slice(&along).to_device(self.device);
            let t = template as i64;
            let distance2 = Centre::Voxel.cube(t, self.device).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
            let ball = distance2.le(self.sizes.radius.powi(2)).to_kind(Kind::Float).view([t, t, t]);
            let weights = along.view([-1, 1, 1]) * along.view([-1, 1]) * &along * ball;
            let turned = |count: i64, index: &dyn Fn(i64) -> i64| {
                let angles: Vec<f64> =
                    (0..count).map(|i| TAU * (index(i) * template as i64 / 2).rem_euclid(padded as i64) as f64 / padded as f64).collect();
                let angles = Tensor::from_slice(&angles);
                Tensor::complex(&angles.cos(), &angles.sin()).to_kind(Kind::ComplexFloat).to_device(self.device)
            };
            let rows = self.sizes.rows();
            let by_row = turned(rows, &|i| if i <= rows / 2 { i } else { i - rows });
            let phases = by_row.view([-1, 1, 1]) * by_row.view([-1, 1]) * turned(self.sizes.columns(), &|i| i);
            Parts { weights, phases }
        })
    }

    /// Transforms of padded volumes at the frequencies that slices need, `[b, z, y, x]`, complex; negative y and z end their axes.
    fn spectra(&self, volumes: &Tensor) -> Tensor {
        let Parts { weights, phases } = self.parts();
        let (padded, rows) = (self.sizes.padded as i64, self.sizes.rows());
        let mut spectra =
            (volumes.squeeze_dim(1).to_kind(Kind::Float) * weights).fft_rfft(padded, -1, "backward").narrow(-1, 0, self.sizes.columns());
        for axis in [-2, -3] {
            spectra = spectra.fft_fft(padded, axis, "backward");
            if rows < padded {
                let negative = rows / 2;
                let kept = [spectra.narrow(axis, 0, rows - negative), spectra.narrow(axis, padded - negative, negative)];
                spectra = Tensor::cat(&kept, axis);
            }
        }
        spectra * phases
    }

    /// Images `[b, k, s, s]` of half planes `[b, k, w, w/2+1, 2]`.
    fn images(&self, planes: &Tensor) -> Tensor {
        let wide = self.sizes.wide as i64;
        fourier::centre_crop(&planes.view_as_complex().fft_irfft2([wide, wide].as_slice(), IMAGE, "forward"), self.sizes.side as i64)
    }

    /// Half planes `[b, k, w, w/2+1, 2]` of spectra.
    fn read(&self, spectra: &Tensor, slices: &Tensor) -> Tensor {
        let (side, padded) = (self.sizes.wide as i64, self.sizes.padded as i64);
        let (images, poses, width) = (slices.size()[0], slices.size()[1], side / 2 + 1);
        let options = (Kind::Float, self.device);
        let y = Tensor::arange(side, options);
        let y = y.where_self(&y.lt((side / 2) as f64), &(&y - side as f64)).view([-1, 1]);
        let x = Tensor::arange(width, options).view([1, -1]);
        let numbers = |first: i64, count: i64| slices.narrow(2, first, count).view([images, poses, 1, 1, count]);
        let at = x.unsqueeze(-1) * numbers(0, 3) + y.unsqueeze(-1) * numbers(3, 3);
        let norm2 = at.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float);
        let circle: Tensor = ((x.square() + y.square()) * 4.0).lt((side * side) as f64).unsqueeze(-1);
        let inside = circle.logical_and(&norm2.le(f64::from(self.sizes.limit2())));
        let conjugate = at.narrow(-1, 0, 1).lt(0.0).to_kind(Kind::Float) * -2.0 + 1.0;
        let at = (at * &conjugate).where_self(&inside, &Tensor::zeros([1], options));
        let first = (&at - 0.5 * TAPS as f64).ceil();
        let beta = self.sizes.window().beta();
        let [points_z, points_y, points_x, _] = *spectra.view_as_real().size().get(1..).unwrap_or_default() else {
            panic!("spectra of three axes")
        };
        let flat = spectra.view_as_real().reshape([images, points_z * points_y * points_x, 2]);
        let mut sum = Tensor::zeros([images, poses, side, width, 2], options);
        for tap in 0..TAPS.pow(3) {
            let taps = [tap % TAPS, tap / TAPS % TAPS, tap / TAPS / TAPS].map(|tap| tap as f32);
            let point = &first + Tensor::from_slice(&taps).to_device(self.device);
            let part = (&at - &point) * (2.0 / TAPS as f64);
            let circle = (part.square() * -1.0 + 1.0).clamp_min(0.0).sqrt();
            let weight = ((circle - 1.0) * beta).exp().prod_dim_int(-1, true, Kind::Float);
            let axis = |i: i64| point.select(-1, i).to_kind(Kind::Int64);
            let (x, y, z) = (axis(0), axis(1), axis(2));
            let mirrored = x.lt(0).logical_or(&x.gt(padded / 2));
            let sign: Tensor = mirrored.to_kind(Kind::Int64) * -2 + 1;
            let x = x.where_self(&x.le(padded / 2), &(padded - &x)).abs();
            let row = |index: Tensor, rows: i64| index.where_self(&index.ge(0), &(&index + rows));
            let place = (row(z * &sign, points_z) * points_y + row(y * &sign, points_y)) * points_x + x;
            let value = flat.gather(1, &place.view([images, -1, 1]).expand([-1, -1, 2], false), false).view_as(&sum);
            let sign = sign.to_kind(Kind::Float).unsqueeze(-1);
            sum += value * weight * Tensor::cat(&[sign.ones_like(), sign], -1);
        }
        let angle = (numbers(6, 1) * x.unsqueeze(-1) + numbers(7, 1) * y.unsqueeze(-1)) * TAU;
        let (cos, sin) = (angle.cos(), angle.sin());
        let (real, imaginary) = (sum.narrow(-1, 0, 1), sum.narrow(-1, 1, 1) * conjugate);
        let turned = [&real * &cos - &imaginary * &sin, real * sin + imaginary * cos];
        Tensor::cat(&turned, -1) * inside * numbers(8, 1)
    }
}

fn sizes(config: &ProjectorConfig) -> Sizes {
    let Region::Ball { radius_px } = config.region else { panic!("slices are of what lies in a ball") };
    Sizes::new(config.side as usize, config.template as usize, radius_px)
}
