//! The volume priors on a GPU: the kernels of `priors.cu`, compiled when they are first needed.

use super::{FIGURES, FLAT, Region};
use crate::kernels::cuda::{Kernels, Program, Source, launch};
use crate::kernels::tensors::plain;
use crate::native::Operator;
use contract::{Problem, Result};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

const SUMS: &str = "opus_prior_sums";
const GRADIENT: &str = "opus_prior_gradient";

/// The kernels' source.
pub static SOURCE: Source = Source { name: "priors.cu", text: include_str!("priors.cu"), kernels: &[SUMS, GRADIENT] };

/// As [`super::CpuPriors`], for tensors on a GPU.
pub struct GpuPriors {
    kernels: Arc<dyn Kernels>,
    bounds: [i64; 3],
}

/// As in `priors.cu`.
#[repr(C)]
struct PriorsShape {
    side: i32,
    from: [i32; 3],
    to: [i32; 3],
    flat: f32,
}

impl PriorsShape {
    fn of(region: &Region) -> Self {
        let short = |voxels: usize| i32::try_from(voxels).expect("sides are small");
        Self { side: short(region.side), from: region.from.map(short), to: region.to.map(short), flat: FLAT }
    }
}

impl GpuPriors {
    /// Compiles the kernels for the device, where they are not yet.
    ///
    /// # Errors
    /// The device is no GPU, or has no driver or compiler.
    pub fn new(bounds: [i64; 3], device: Device) -> Result<Self> {
        let Device::Cuda(index) = device else { return Err(Problem::failed(format!("{device:?} is no GPU"))) };
        Ok(Self::with(Program::of(&SOURCE, index)?, bounds))
    }

    /// With kernels that are ready.
    #[must_use]
    pub fn with(kernels: Arc<dyn Kernels>, bounds: [i64; 3]) -> Self {
        Self { kernels, bounds }
    }
}

impl Operator for GpuPriors {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        let volumes = plain(&inputs[0]);
        let region = Region::of(self.bounds, &volumes);
        let (images, columns) = (volumes.size()[0], region.columns() as i64);
        let sums = Tensor::empty([images, columns, FIGURES as i64], (Kind::Float, volumes.device()));
        // SAFETY: the kernel takes two pointers to plain tensors of these sizes on one device, the shape and the number of columns.
        unsafe { launch(&*self.kernels, SUMS, images * columns, &[&volumes, &sums], PriorsShape::of(&region)) };
        (sums.sum_dim_intlist([1i64].as_slice(), false, Kind::Double) / region.voxels() as f64).to_kind(Kind::Float)
    }

    fn backward(&self, inputs: &[Tensor], gradient: &Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let volumes = plain(&inputs[0]);
        let region = Region::of(self.bounds, &volumes);
        let weights = plain(&(gradient / region.voxels() as f64));
        assert_eq!(weights.size(), [volumes.size()[0], FIGURES as i64], "a gradient of both figures for every volume");
        let found = volumes.empty_like();
        // SAFETY: the kernel takes three pointers to plain tensors of these sizes on one device, the shape and the number of voxels.
        unsafe { launch(&*self.kernels, GRADIENT, volumes.numel() as i64, &[&volumes, &weights, &found], PriorsShape::of(&region)) };
        vec![Some(found)]
    }
}
