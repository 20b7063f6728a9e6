//! Smoothing of what the decoder adds to a base volume.
//!
//! Kernels work it out (`kernels::smoothing`, on CPUs and GPUs) in one pass over a volume each way; the products with a band matrix are the
//! reference that both are tested against, and what runs where a GPU's kernel cannot be made.

use crate::kernels::smoothing::gpu::GpuSmoothing;
use crate::kernels::smoothing::{CpuSmoothing, Taps};
use crate::native::{self, Operator};
use contract::Problem;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Binomial smoothing along each axis: weights of a voxel and of its two neighbours. A few thousand images say nothing about differences near
/// the template's Nyquist frequency; a free network fills those shells with noise (adk-path-tiny after 4 epochs: mean FSC area 0.793
/// without, 0.831 with it, 0.795 of the base itself; docs/concepts/learning.md).
pub const TAPS: Taps = [0.5, 0.25];

/// [`TAPS`] along the three axes of volumes.
pub struct Smoothing {
    /// The kernel, or why there is none.
    kernel: Result<Arc<dyn Operator>, Problem>,
}

impl Smoothing {
    /// With the device's kernel.
    #[must_use]
    pub fn new(device: Device) -> Self {
        let kernel = match device {
            Device::Cpu => Ok(Arc::new(CpuSmoothing(TAPS)) as Arc<dyn Operator>),
            gpu => GpuSmoothing::new(TAPS, gpu).map(|kernel| Arc::new(kernel) as Arc<dyn Operator>),
        };
        Self { kernel }
    }

    /// With another kernel, which must work on the device's tensors.
    #[must_use]
    pub fn with_kernel(kernel: Arc<dyn Operator>) -> Self {
        Self { kernel: Ok(kernel) }
    }

    /// Why libtorch's operators work it out, which takes longer and more memory; `None` where the kernel does.
    #[must_use]
    pub fn without_kernel(&self) -> Option<&Problem> {
        self.kernel.as_ref().err()
    }

    /// Volumes `[b, 1, t, t, t]`, smoothed; outside a volume is nothing.
    pub fn smooth(&self, volumes: &Tensor) -> Tensor {
        match &self.kernel {
            Ok(kernel) => native::apply(Arc::clone(kernel), &[volumes]),
            Err(_) => smooth_by_tensors(volumes),
        }
    }
}

/// The same by libtorch's own operators: what the kernels are tested against.
pub fn smooth_by_tensors(volumes: &Tensor) -> Tensor {
    let rows = band(volumes.size()[volumes.dim() - 1], volumes.device());
    // Axis after axis.
    let planes = rows.matmul(&volumes.matmul(&rows)).transpose(-3, -2);
    rows.matmul(&planes).transpose(-3, -2)
}

/// [`TAPS`] of a row of `side` voxels as a symmetric matrix, `[side, side]`; outside the row is nothing.
fn band(side: i64, device: Device) -> Tensor {
    let index = Tensor::arange(side, (Kind::Int64, device));
    let apart = (index.unsqueeze(0) - index.unsqueeze(1)).abs();
    let taps = Tensor::from_slice(&TAPS).to_device(device);
    let reach = TAPS.len() as i64;
    let weights = taps.index_select(0, &apart.clamp(0, reach - 1).view([-1])).view([side, side]);
    weights * apart.lt(reach).to_kind(Kind::Float)
}
