//! The lift on a GPU: the kernel of `lift.cu`, compiled when it is first needed.

use super::{Geometry, Lifting};
use crate::kernels::cuda::{Kernels, Program, Source, launch};
use contract::{Problem, Result};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

const LIFT: &str = "opus_lift";

/// The kernel's source.
pub static SOURCE: Source = Source { name: "lift.cu", text: include_str!("lift.cu"), kernels: &[LIFT] };

/// As [`super::CpuLift`], for tensors on a GPU.
pub struct GpuLift {
    kernels: Arc<dyn Kernels>,
    geometry: Geometry,
}

/// As in `lift.cu`.
#[repr(C)]
struct LiftShape {
    image_side: i32,
    grid: i32,
    image_origin: f32,
    grid_origin: f32,
    step: f32,
    fades: i32,
}

impl GpuLift {
    /// Compiles the kernel for the device, where it is not yet.
    ///
    /// # Errors
    /// The device is no GPU, or has no driver or compiler.
    pub fn new(geometry: Geometry, device: Device) -> Result<Self> {
        let Device::Cuda(index) = device else { return Err(Problem::failed(format!("{device:?} is no GPU"))) };
        Ok(Self::with(Program::of(&SOURCE, index)?, geometry))
    }

    /// With a kernel that is ready.
    #[must_use]
    pub fn with(kernels: Arc<dyn Kernels>, geometry: Geometry) -> Self {
        Self { kernels, geometry }
    }
}

impl Lifting for GpuLift {
    fn lift(&self, images: &Tensor, rotations: &Tensor) -> Tensor {
        let Geometry { image_side, grid, image_origin, grid_origin, step_px, fades } = self.geometry;
        let (batch, side, e) = (images.size()[0], image_side as i64, grid as i64);
        assert_eq!(images.size(), [batch, side, side], "square images of the lift's side");
        assert_eq!(rotations.size(), [batch, 3, 3], "a rotation for every image");
        let [images, rotations] = [images, rotations].map(|tensor| tensor.to_kind(Kind::Float).contiguous());
        let cubes = Tensor::empty([batch, 1, e, e, e], (Kind::Float, images.device()));
        let short = |side: usize| i32::try_from(side).expect("sides are small");
        let shape = LiftShape {
            image_side: short(image_side),
            grid: short(grid),
            image_origin,
            grid_origin,
            step: step_px,
            fades: i32::from(fades),
        };
        // SAFETY: the kernel takes three pointers to plain tensors of these sizes on one device, the shape and the number of voxels.
        unsafe { launch(&*self.kernels, LIFT, cubes.numel() as i64, &[&images, &rotations, &cubes], shape) };
        cubes
    }
}
