//! Lifting images into cubes as one operator on the CPU: every voxel's place in the image is worked out as it is needed, so that no positions
//! are held. Without gradients: nothing that is learned leads to the encoder's input.
//!
//! What is computed is what the tensors of `model::lift` compute (bilinear samples, zero outside the image), to rounding.

pub mod gpu;

use super::tensors::{numbers, plain, threads, values, values_mut};
use super::threads::{Places, share};
use tch::{Device, Kind, Tensor};

/// Voxels whose places are worked out together, in vector registers.
const CHUNK: usize = 16;
/// Zeros around an image: its samples fall off to zero within a pixel, on the far side through the corner behind that.
const BEFORE: usize = 1;
const AROUND: usize = 3;
/// Far beyond any rotation: such a pose gives no numbers.
const MOST: f32 = 1e5;

/// How images and cubes lie to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Side of the images, pixels.
    pub image_side: usize,
    /// Side of the cubes, voxels.
    pub grid: usize,
    /// Index of the origin along each axis of the images.
    pub image_origin: f32,
    /// Index of the origin along each axis of the cubes.
    pub grid_origin: f32,
    /// Pixels from voxel to voxel.
    pub step_px: f32,
    /// Whether the cube fades out where an image copied along the view direction, as deep as it is wide, would end.
    pub fades: bool,
}

/// Lifts images `[b, s, s]` under rotations `[b, 3, 3]` to cubes `[b, 1, e, e, e]`, without gradient.
pub trait Lifting: Send + Sync {
    /// The cubes.
    fn lift(&self, images: &Tensor, rotations: &Tensor) -> Tensor;
}

/// [`Lifting`] on the CPU.
pub struct CpuLift(pub Geometry);

impl Lifting for CpuLift {
    fn lift(&self, images: &Tensor, rotations: &Tensor) -> Tensor {
        let Geometry { image_side, grid, .. } = self.0;
        let (batch, e) = (images.size()[0], grid as i64);
        assert_eq!(images.size(), [batch, image_side as i64, image_side as i64], "square images of the lift's side");
        let rotations = numbers(rotations, batch as usize * 9);
        let padded = plain(images).constant_pad_nd([BEFORE as i64, (AROUND - BEFORE) as i64, BEFORE as i64, (AROUND - BEFORE) as i64]);
        let padded = padded.contiguous();
        let pixels = values(&padded);
        let mut cubes = Tensor::zeros([batch, 1, e, e, e], (Kind::Float, Device::Cpu));
        let places = Places::of(values_mut(&mut cubes));
        let area = (image_side + AROUND).pow(2);
        share(threads(), batch as usize * grid, |task| {
            let (image, z) = (task / grid, task % grid);
            // SAFETY: a task has its own plane.
            let plane = unsafe { places.part(task * grid * grid, grid * grid) };
            let rotation = &rotations[image * 9..image * 9 + 9];
            if !rotation.iter().all(|number| number.abs() < MOST) {
                plane.fill(f32::NAN);
                return;
            }
            let image = &pixels[image * area..(image + 1) * area];
            for (y, row) in plane.chunks_exact_mut(grid).enumerate() {
                self.0.row(image, rotation, (y, z), row);
            }
        });
        cubes
    }
}

impl Geometry {
    /// Image coordinates (x, y, depth) of the first voxel of the row (y, z), as indices, and from voxel to voxel along it.
    fn line(&self, rotation: &[f32], (y, z): (usize, usize)) -> ([f32; 3], [f32; 3]) {
        let at = [0.0, y as f32, z as f32].map(|index| f64::from((index - self.grid_origin) * self.step_px));
        let start = [0, 1, 2].map(|axis| {
            let a = &rotation[axis * 3..axis * 3 + 3];
            let sum: f64 = at.iter().zip(a).map(|(at, &a)| at * f64::from(a)).sum();
            (sum + f64::from(self.image_origin)) as f32
        });
        (start, [0, 3, 6].map(|column| rotation[column] * self.step_px))
    }

    /// Fills a row of a cube from an image with zeros around it.
    fn row(&self, image: &[f32], rotation: &[f32], place: (usize, usize), row: &mut [f32]) {
        let (start, step) = self.line(rotation, place);
        let (width, side) = ((self.image_side + AROUND) as i32, self.image_side as f32);
        assert_eq!(image.len(), (self.image_side + AROUND).pow(2), "an image with zeros around it");
        for (chunk, voxels) in row.chunks_mut(CHUNK).enumerate() {
            let (mut corner, mut part) = ([0i32; CHUNK], [[0f32; CHUNK]; 2]);
            for lane in 0..CHUNK {
                let n = (chunk * CHUNK + lane) as f32;
                // Beyond the zeros there is nothing but zero. The first index is that of the zeros before the image.
                let at = [0, 1].map(|axis| (start[axis] + step[axis] * n).max(-1.0).min(side) + BEFORE as f32);
                // SAFETY: from 0 to the side and 1.
                let low = at.map(|at| unsafe { at.to_int_unchecked::<i32>() });
                corner[lane] = low[1] * width + low[0];
                part[0][lane] = at[0] - low[0] as f32;
                part[1][lane] = at[1] - low[1] as f32;
            }
            for (lane, voxel) in voxels.iter_mut().enumerate() {
                let pair = |offset: i32| {
                    // SAFETY: corners are from 0 to the side and 1, along both axes; a pixel and the next are among the zeros at most.
                    let [left, right] = unsafe {
                        let from = image.as_ptr().add((corner[lane] + offset) as usize);
                        [*from, *from.add(1)]
                    };
                    left + part[0][lane] * (right - left)
                };
                let (upper, lower) = (pair(0), pair(width));
                *voxel = upper + part[1][lane] * (lower - upper);
            }
            if self.fades {
                for (lane, voxel) in voxels.iter_mut().enumerate() {
                    let depth = start[2] + step[2] * (chunk * CHUNK + lane) as f32;
                    *voxel *= (depth + 1.0).min(side - depth).clamp(0.0, 1.0);
                }
            }
        }
    }
}
