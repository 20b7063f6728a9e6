//! Priors of decoded volumes: their mean magnitude and total variation.
//!
//! Kernels work them out (`kernels::priors`, on CPUs and GPUs) in one pass over a volume each way; the form made of libtorch's operators is the
//! reference that both are tested against, and what runs where a GPU's kernels cannot be made.

use crate::kernels::priors::gpu::GpuPriors;
use crate::kernels::priors::{CpuPriors, FLAT};
use crate::native::{self, Operator};
use contract::Problem;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// The priors of volumes of one size.
pub struct VolumePriors {
    bounds: [i64; 3],
    /// The kernels, or why there are none.
    kernel: Result<Arc<dyn Operator>, Problem>,
}

impl VolumePriors {
    /// Over the voxels inside the bounds of [`super::volume::prior_bounds`].
    #[must_use]
    pub fn new(bounds: [i64; 3], device: Device) -> Self {
        let kernel = match device {
            Device::Cpu => Ok(Arc::new(CpuPriors(bounds)) as Arc<dyn Operator>),
            gpu => GpuPriors::new(bounds, gpu).map(|kernel| Arc::new(kernel) as Arc<dyn Operator>),
        };
        Self { bounds, kernel }
    }

    /// The same with other kernels, which must work on the device's tensors.
    #[must_use]
    pub fn with_kernel(self, kernel: Arc<dyn Operator>) -> Self {
        Self { kernel: Ok(kernel), ..self }
    }

    /// Why libtorch's operators work them out, which takes longer and more memory; `None` where the kernels do.
    #[must_use]
    pub fn without_kernel(&self) -> Option<&Problem> {
        self.kernel.as_ref().err()
    }

    /// [`mean_magnitude`] and [`total_variation`] of volumes `[b, 1, t, t, t]`, `[b]` each.
    pub fn figures(&self, volumes: &Tensor) -> [Tensor; 2] {
        match &self.kernel {
            Ok(kernel) => {
                let figures = native::apply(Arc::clone(kernel), &[volumes]);
                [0, 1].map(|figure| figures.select(1, figure))
            }
            Err(_) => self.figures_by_tensors(volumes),
        }
    }

    /// The same by libtorch's own operators: what the kernels are tested against.
    pub fn figures_by_tensors(&self, volumes: &Tensor) -> [Tensor; 2] {
        [mean_magnitude(volumes, self.bounds), total_variation(volumes, self.bounds)]
    }

    /// [`mean_magnitude`] alone, to be looked at.
    pub fn magnitude(&self, volumes: &Tensor) -> Tensor {
        mean_magnitude(&volumes.detach(), self.bounds)
    }
}

/// `[b, 1, n, n, n]` cut to the prior's region, moved back by one voxel along the given axis (none: 3).
fn region(volumes: &Tensor, bounds: [i64; 3], back_along: usize) -> Tensor {
    (0..3).fold(volumes.shallow_clone(), |volumes, axis| {
        let dim = axis as i64 + 2;
        let (side, bound) = (volumes.size()[dim as usize], bounds[axis]);
        volumes.narrow(dim, bound - i64::from(axis == back_along), side - 2 * bound + 1)
    })
}

/// Mean |v| of each volume `[b, 1, t, t, t]` inside the bounds of [`super::volume::prior_bounds`], `[b]`.
pub fn mean_magnitude(volumes: &Tensor, bounds: [i64; 3]) -> Tensor {
    region(volumes, bounds, 3).abs().flatten(1, -1).mean_dim([1i64].as_slice(), false, Kind::Float)
}

/// Mean total variation √([`FLAT`] + squared backward differences) of each volume inside the bounds, `[b]`.
pub fn total_variation(volumes: &Tensor, bounds: [i64; 3]) -> Tensor {
    let here = region(volumes, bounds, 3);
    let slope2 = |axis| (&here - region(volumes, bounds, axis)).square();
    let variation = (slope2(0) + slope2(1) + slope2(2) + f64::from(FLAT)).sqrt();
    variation.flatten(1, -1).mean_dim([1i64].as_slice(), false, Kind::Float)
}
