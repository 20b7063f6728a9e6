//! Lifting images into the frame of the map: every voxel p of a cube takes the image's value at (A p)_xy.
//!
//! The cube is constant along the view direction. It is never built by copying the image along depth: only the image is sampled. A kernel does
//! it (`kernels::lift`, on CPUs and GPUs); the form made of libtorch's operators is the reference that both are tested against, and what runs
//! where a gradient is asked for or a GPU's kernel cannot be made.

use super::geometry::{Centre, split_in_plane};
use crate::kernels::lift::gpu::GpuLift;
use crate::kernels::lift::{CpuLift, Geometry, Lifting};
use contract::Problem;
use std::cell::OnceCell;
use std::sync::Arc;
use tch::{Device, Tensor};

/// Sampler codes of libtorch.
const BILINEAR: i64 = 0;
const BICUBIC: i64 = 2;
const ZEROS: i64 = 0;

/// Images whose sampling positions are in the tensor form's memory at a time: two numbers a voxel, more than what they yield.
const AT_ONCE: i64 = 4;

/// How images are lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiftSteps {
    /// One bilinear sampling with the whole rotation.
    Direct,
    /// As the original: turn the image in its plane (bicubic), then lift along the view direction (bilinear, fading where the
    /// replicated cube would end).
    TurnThenTilt,
}

/// Lifts images of one size to cubes of one size.
pub struct Lift {
    image_side: i64,
    grid: i64,
    centre: Centre,
    steps: LiftSteps,
    device: Device,
    /// The kernel, or why there is none.
    kernel: Result<Arc<dyn Lifting>, Problem>,
    /// What the tensor form needs: coordinates of the cube's voxels in image pixels, `[grid³, 3]`; made when they are first asked for.
    points: OnceCell<Tensor>,
}

impl Lift {
    /// For images of `image_side` pixels and cubes of `grid` voxels that span the same region.
    #[must_use]
    pub fn new(image_side: i64, grid: i64, centre: Centre, steps: LiftSteps, device: Device) -> Self {
        let geometry = geometry(image_side, grid, centre, steps);
        let kernel = match device {
            Device::Cpu => Ok(Arc::new(CpuLift(geometry)) as Arc<dyn Lifting>),
            gpu => GpuLift::new(geometry, gpu).map(|kernel| Arc::new(kernel) as Arc<dyn Lifting>),
        };
        Self { image_side, grid, centre, steps, device, kernel, points: OnceCell::new() }
    }

    /// The same with another kernel, which must work on the device's tensors.
    #[must_use]
    pub fn with_kernel(self, kernel: impl FnOnce(Geometry) -> Arc<dyn Lifting>) -> Self {
        let kernel = Ok(kernel(geometry(self.image_side, self.grid, self.centre, self.steps)));
        Self { kernel, ..self }
    }

    /// Why images are lifted by libtorch's operators, which takes longer and more memory; `None` where the kernel does it.
    #[must_use]
    pub fn without_kernel(&self) -> Option<&Problem> {
        self.kernel.as_ref().err()
    }

    /// `images` `[b, s, s]` and `rotations` `[b, 3, 3]` to cubes `[b, 1, e, e, e]`; zero outside the image.
    ///
    /// By the kernel, where there is one and no gradient is asked for.
    pub fn lift(&self, images: &Tensor, rotations: &Tensor) -> Tensor {
        let kernel = match &self.kernel {
            Ok(kernel) if !images.requires_grad() && !rotations.requires_grad() => kernel,
            _ => return self.lift_by_tensors(images, rotations),
        };
        match self.steps {
            LiftSteps::Direct => kernel.lift(images, rotations),
            LiftSteps::TurnThenTilt => {
                let (upright, tilt) = self.turned(images, rotations);
                kernel.lift(&upright, &tilt)
            }
        }
    }

    /// The same by libtorch's own operators: what the kernels are tested against.
    pub fn lift_by_tensors(&self, images: &Tensor, rotations: &Tensor) -> Tensor {
        match self.steps {
            LiftSteps::Direct => self.spread(images, rotations),
            LiftSteps::TurnThenTilt => {
                let (upright, tilt) = self.turned(images, rotations);
                self.spread(&upright, &tilt) * self.depth_window(&tilt)
            }
        }
    }

    /// Images turned in their plane, and what is left of their rotations.
    fn turned(&self, images: &Tensor, rotations: &Tensor) -> (Tensor, Tensor) {
        let (turn, tilt) = split_in_plane(rotations);
        (turn_images(images, &turn, self.centre), tilt)
    }

    fn points(&self) -> &Tensor {
        self.points.get_or_init(|| self.centre.cube(self.grid, self.device) * self.centre.steps(self.grid, self.image_side))
    }

    fn spread(&self, images: &Tensor, rotations: &Tensor) -> Tensor {
        let batch = images.size()[0];
        let part = |from: i64| {
            let count = AT_ONCE.min(batch - from);
            self.spread_few(&images.narrow(0, from, count), &rotations.narrow(0, from, count))
        };
        if batch <= AT_ONCE {
            return self.spread_few(images, rotations);
        }
        Tensor::cat(&(0..batch).step_by(AT_ONCE as usize).map(part).collect::<Vec<_>>(), 0)
    }

    fn spread_few(&self, images: &Tensor, rotations: &Tensor) -> Tensor {
        let batch = images.size()[0];
        let (scale, offset) = self.centre.to_sampler(self.image_side);
        // Rows x and y of A alone are needed: position = A p.
        let rows = (rotations.narrow(1, 0, 2) * scale).transpose(1, 2);
        let grid = (self.points().unsqueeze(0).matmul(&rows) + offset).view([batch, self.grid * self.grid, self.grid, 2]);
        images.unsqueeze(1).grid_sampler_2d(&grid, BILINEAR, ZEROS, true).view([batch, 1, self.grid, self.grid, self.grid])
    }

    /// Trilinear weight of the slices of a cube of the image's depth, at each voxel: 1 inside, falling to 0 within a pixel outside.
    fn depth_window(&self, rotations: &Tensor) -> Tensor {
        let depth = rotations.narrow(1, 2, 1).matmul(&self.points().transpose(0, 1).unsqueeze(0)) + self.centre.index(self.image_side);
        let from_below = &depth + 1.0;
        let from_above = -&depth + self.image_side as f64;
        from_below.minimum(&from_above).clamp(0.0, 1.0).view([-1, 1, self.grid, self.grid, self.grid])
    }
}

fn geometry(image_side: i64, grid: i64, centre: Centre, steps: LiftSteps) -> Geometry {
    Geometry {
        image_side: image_side as usize,
        grid: grid as usize,
        image_origin: centre.index(image_side) as f32,
        grid_origin: centre.index(grid) as f32,
        step_px: centre.steps(grid, image_side) as f32,
        fades: steps == LiftSteps::TurnThenTilt,
    }
}

/// Turns images in their plane: the result at x is the image at (Q x), Q the upper left 2×2 of `turns` (`[b, 3, 3]`); bicubic.
///
/// `images` is `[b, s, s]`, as is the result.
pub fn turn_images(images: &Tensor, turns: &Tensor, centre: Centre) -> Tensor {
    let size = images.size();
    let (batch, side) = (size[0], size[1]);
    let axis = centre.axis(side, images.device());
    let grids = Tensor::meshgrid_indexing(&[&axis, &axis], "ij");
    let points = Tensor::stack(&[&grids[1], &grids[0]], -1).view([1, side * side, 2]);
    let (scale, offset) = centre.to_sampler(side);
    let rows = (turns.narrow(1, 0, 2).narrow(2, 0, 2) * scale).transpose(1, 2);
    let grid = (points.matmul(&rows) + offset).view([batch, side, side, 2]);
    images.unsqueeze(1).grid_sampler_2d(&grid, BICUBIC, ZEROS, true).squeeze_dim(1)
}
