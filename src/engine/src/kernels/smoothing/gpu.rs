//! The filter on a GPU: the kernel of `smoothing.cu`, compiled when it is first needed.

use super::{Taps, side_of};
use crate::kernels::cuda::{Kernels, Program, Source, launch};
use crate::kernels::tensors::plain;
use crate::native::Operator;
use contract::{Problem, Result};
use std::sync::Arc;
use tch::{Device, Tensor};

const SMOOTH: &str = "opus_smooth";

/// Voxels along z that a thread makes: it reads two planes more, and volumes of 192 voxels one by one still fill a large GPU.
const RUN: i32 = 12;

/// The kernel's source.
pub static SOURCE: Source = Source { name: "smoothing.cu", text: include_str!("smoothing.cu"), kernels: &[SMOOTH] };

/// As [`super::CpuSmoothing`], for tensors on a GPU.
pub struct GpuSmoothing {
    kernels: Arc<dyn Kernels>,
    taps: Taps,
}

/// As in `smoothing.cu`.
#[repr(C)]
struct SmoothingShape {
    side: i32,
    run: i32,
    taps: Taps,
}

impl GpuSmoothing {
    /// Compiles the kernel for the device, where it is not yet.
    ///
    /// # Errors
    /// The device is no GPU, or has no driver or compiler.
    pub fn new(taps: Taps, device: Device) -> Result<Self> {
        let Device::Cuda(index) = device else { return Err(Problem::failed(format!("{device:?} is no GPU"))) };
        Ok(Self::with(Program::of(&SOURCE, index)?, taps))
    }

    /// With a kernel that is ready.
    #[must_use]
    pub fn with(kernels: Arc<dyn Kernels>, taps: Taps) -> Self {
        Self { kernels, taps }
    }

    fn filtered(&self, volumes: &Tensor) -> Tensor {
        let volumes = plain(volumes);
        let side = i32::try_from(side_of(&volumes)).expect("sides are small");
        let shape = SmoothingShape { side, run: RUN, taps: self.taps };
        let columns = volumes.size()[0] * i64::from((side + RUN - 1) / RUN) * i64::from(side).pow(2);
        let filtered = volumes.empty_like();
        // SAFETY: the kernel takes two pointers to plain tensors of one size on one device, the shape and the number of columns.
        unsafe { launch(&*self.kernels, SMOOTH, columns, &[&volumes, &filtered], shape) };
        filtered
    }
}

impl Operator for GpuSmoothing {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        self.filtered(&inputs[0])
    }

    fn backward(&self, _: &[Tensor], gradient: &Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        vec![Some(self.filtered(gradient))]
    }

    fn needs_inputs(&self) -> bool {
        false
    }
}
