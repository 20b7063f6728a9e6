//! Rotation and projection of volumes as one operator on the CPU: samples are taken and added along each ray as they come, so that neither
//! positions nor rotated volumes are ever held.
//!
//! What is computed is what the tensors of `model::projector` compute (trilinear samples one pixel apart, zero outside the volume), to
//! rounding. The rows of one image are projected pose after pose, so that poses which differ little find the volume in the cache.

pub mod gpu;
mod ray;

use super::tensors::{numbers, plain, threads, values, values_mut};
use super::threads::{Places, share};
use crate::native::Operator;
use ray::{Line, Volume, adjoint, slope, sum};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Which points of the render cube are sampled: one run along z for each pixel.
#[derive(Debug)]
pub struct Rays {
    /// Side of the projections, pixels.
    pub side: usize,
    /// Index of the origin along each axis.
    pub origin: f32,
    /// First sample and number of samples of each pixel's ray, row by row.
    pub spans: Vec<(u16, u16)>,
}

impl Rays {
    /// Samples of one projection.
    #[must_use]
    pub fn points(&self) -> usize {
        self.spans.iter().map(|&(_, count)| usize::from(count)).sum()
    }
}

/// Projects volumes `[b, 1, t, t, t]` under `[b, k, 3, 3]` matrices and `[b, k, 3]` offsets to `[b, k, s, s]`.
///
/// The sample at (x, y, z), pixels from the origin, lies at voxel index offset + x·row 0 + y·row 1 + z·row 2.
pub struct Projection(pub Arc<Rays>);

/// The inputs as plain numbers.
struct Plain<'a> {
    volumes: &'a [f32],
    template: usize,
    images: usize,
    poses: usize,
    matrices: Vec<f32>,
    offsets: Vec<f32>,
}

impl<'a> Plain<'a> {
    /// `volumes` are those of the inputs, laid out one voxel after the other.
    fn of(inputs: &[Tensor], volumes: &'a Tensor) -> Self {
        let [_, matrices, offsets] = inputs else { panic!("a projection has three inputs") };
        let (size, poses) = (volumes.size(), matrices.size()[1] as usize);
        assert!(size.len() == 5 && size[1] == 1 && size[2..].iter().all(|&side| side == size[2]), "cubes, not {size:?}");
        let (images, template) = (size[0] as usize, size[2] as usize);
        assert!(template >= 2, "a volume of at least two voxels a side");
        Self {
            volumes: values(volumes),
            template,
            images,
            poses,
            matrices: numbers(matrices, images * poses * 9),
            offsets: numbers(offsets, images * poses * 3),
        }
    }

    fn volume(&self, image: usize) -> Volume<'_> {
        let count = self.template.pow(3);
        Volume { values: &self.volumes[image * count..(image + 1) * count], side: self.template }
    }

    /// Whether a pose's numbers are such that voxel indices can be made of them.
    fn is_usable(&self, pose: usize) -> bool {
        /// Far beyond any volume, far below what an index holds.
        const MOST: f32 = 1e5;
        let numbers = self.matrices[pose * 9..pose * 9 + 9].iter().chain(&self.offsets[pose * 3..pose * 3 + 3]);
        numbers.copied().all(|number| number.abs() < MOST)
    }

    /// A pose's ray through a pixel: where it starts, and from sample to sample.
    fn line(&self, pose: usize, rays: &Rays, x: usize, y: usize) -> Line {
        let m = &self.matrices[pose * 9..pose * 9 + 9];
        let (first, count) = rays.spans[y * rays.side + x];
        let at = [x as f32 - rays.origin, y as f32 - rays.origin, f32::from(first) - rays.origin];
        let start = [0, 1, 2].map(|j| self.offsets[pose * 3 + j] + at[0] * m[j] + at[1] * m[3 + j] + at[2] * m[6 + j]);
        Line { start, step: [m[6], m[7], m[8]], count: usize::from(count) }
    }
}

impl Operator for Projection {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        let volumes = plain(&inputs[0]);
        let (plain, rays) = (Plain::of(inputs, &volumes), &*self.0);
        let Plain { images, poses, .. } = plain;
        let side = rays.side;
        let mut output = Tensor::zeros([images as i64, poses as i64, side as i64, side as i64], (Kind::Float, inputs[0].device()));
        let places = Places::of(values_mut(&mut output));
        share(threads(), images * side, |task| {
            let (image, y) = (task / side, task % side);
            let volume = plain.volume(image);
            for pose in image * poses..(image + 1) * poses {
                // SAFETY: a task has its own rows.
                let row = unsafe { places.part((pose * side + y) * side, side) };
                if !plain.is_usable(pose) {
                    row.fill(f32::NAN);
                    continue;
                }
                for (x, pixel) in row.iter_mut().enumerate() {
                    *pixel = sum(&volume, &plain.line(pose, rays, x, y));
                }
            }
        });
        output
    }

    fn backward(&self, inputs: &[Tensor], gradient: &Tensor, wanted: &[bool]) -> Vec<Option<Tensor>> {
        let (volumes, gradient) = (plain(&inputs[0]), plain(gradient));
        let (plain, rays, pixels) = (Plain::of(inputs, &volumes), &*self.0, values(&gradient));
        let volumes = wanted[0].then(|| volume_gradient(&plain, rays, pixels));
        if !wanted[1] && !wanted[2] {
            return vec![volumes, None, None];
        }
        let (matrices, offsets) = pose_gradient(&plain, rays, pixels);
        vec![volumes, Some(matrices.view_as(&inputs[1])), Some(offsets.view_as(&inputs[2]))]
    }
}

/// Gradient by the volumes. An image's poses are shared among several threads only where there are fewer images than threads; each thread then
/// adds to a volume of its own, and these are added in their order, so that equal runs have equal results.
fn volume_gradient(plain: &Plain, rays: &Rays, pixels: &[f32]) -> Tensor {
    let Plain { images, poses, template, .. } = *plain;
    let (side, cube) = (rays.side, template.pow(3));
    let shares = if images >= threads() { 1 } else { threads().div_ceil(images).min(poses) };
    let t = template as i64;
    let mut sums = Tensor::zeros([images as i64, shares as i64, t, t, t], (Kind::Float, Device::Cpu));
    let places = Places::of(values_mut(&mut sums));
    share(threads(), images * shares, |task| {
        let (image, part) = (task / shares, task % shares);
        // SAFETY: a task has its own cube.
        let target = unsafe { places.part(task * cube, cube) };
        for y in 0..side {
            let mine = (image * poses..(image + 1) * poses).skip(part).step_by(shares);
            for pose in mine.filter(|&pose| plain.is_usable(pose)) {
                for x in 0..side {
                    let g = pixels[(pose * side + y) * side + x];
                    // Pixels outside the mask have none.
                    if g != 0.0 {
                        adjoint(target, template, &plain.line(pose, rays, x, y), g);
                    }
                }
            }
        }
    });
    sums.sum_dim_intlist([1i64].as_slice(), true, Kind::Float)
}

/// Gradients by matrices, nine numbers a pose, and by offsets, three.
fn pose_gradient(plain: &Plain, rays: &Rays, pixels: &[f32]) -> (Tensor, Tensor) {
    const NUMBERS: usize = 12;
    let side = rays.side;
    let mut sums = vec![0f32; plain.images * plain.poses * NUMBERS];
    let places = Places::of(&mut sums);
    share(threads(), plain.images * plain.poses, |pose| {
        let volume = plain.volume(pose / plain.poses);
        let mut total = [0f64; NUMBERS];
        if !plain.is_usable(pose) {
            return;
        }
        for y in 0..side {
            for x in 0..side {
                let g = f64::from(pixels[(pose * side + y) * side + x]);
                if g == 0.0 {
                    continue;
                }
                let first = f32::from(rays.spans[y * side + x].0);
                let (slopes, along) = slope(&volume, &plain.line(pose, rays, x, y));
                let at = [x as f32 - rays.origin, y as f32 - rays.origin, first - rays.origin].map(f64::from);
                for j in 0..3 {
                    let s = g * slopes[j];
                    total[j] += at[0] * s;
                    total[3 + j] += at[1] * s;
                    total[6 + j] += at[2] * s + g * along[j];
                    total[9 + j] += s;
                }
            }
        }
        // SAFETY: a task has its own numbers.
        let target = unsafe { places.part(pose * NUMBERS, NUMBERS) };
        for (to, from) in target.iter_mut().zip(total) {
            *to = from as f32;
        }
    });
    let sums = Tensor::from_slice(&sums).view([-1, NUMBERS as i64]);
    (sums.narrow(1, 0, 9).contiguous(), sums.narrow(1, 9, 3).contiguous())
}
