//! A filter of three taps along each axis of volumes as one operator on the CPU: one pass over a volume each way, and nothing of its size is
//! held in between.
//!
//! What is computed is what the products with a band matrix in `model::smoothing` compute, to rounding.

pub mod gpu;

use super::tensors::{plain, threads, values, values_mut};
use super::threads::{Places, share};
use crate::native::Operator;
use tch::Tensor;

/// What a voxel and each of its two neighbours along an axis weigh.
pub type Taps = [f32; 2];

/// Volumes `[b, 1, t, t, t]`, filtered along x, y and z; outside a volume is nothing. The filter is its own transpose, so that the gradient
/// goes through it in the same way.
///
/// A plane is one thread's work.
pub struct CpuSmoothing(pub Taps);

/// Voxels along a side of volumes `[b, 1, t, t, t]`.
fn side_of(volumes: &Tensor) -> usize {
    let size = volumes.size();
    assert!(size.len() == 5 && size[1] == 1 && size[2..].iter().all(|&side| side == size[2]), "cubes, not {size:?}");
    size[2] as usize
}

/// `taps` over rows that lie one before, at, and one after the voxels of `target`.
fn blend(taps: Taps, [before, here, after]: [&[f32]; 3], target: &mut [f32]) {
    let count = target.len();
    let (before, here, after) = (&before[..count], &here[..count], &after[..count]);
    for i in 0..count {
        target[i] = taps[0] * here[i] + taps[1] * (before[i] + after[i]);
    }
}

impl CpuSmoothing {
    /// Plane `z` of a filtered volume of `side` voxels.
    fn plane(&self, volume: &[f32], side: usize, z: usize, target: &mut [f32]) {
        let outside = vec![0f32; side];
        // Filtered along z: rows y − 1, y and y + 1 at their number modulo three. Then along y, with nothing at both ends.
        let mut along_z = [0; 3].map(|_| vec![0f32; side]);
        let mut along_y = vec![0f32; side + 2];
        // What is outside of the volume before the first row is row 2 modulo three, and still zero.
        for next in 0..=side {
            if next < side {
                let row = |plane: usize| &volume[(plane * side + next) * side..][..side];
                let before = if z == 0 { &outside } else { row(z - 1) };
                let after = if z + 1 == side { &outside } else { row(z + 1) };
                blend(self.0, [before, row(z), after], &mut along_z[next % 3]);
            } else {
                along_z[next % 3].fill(0.0);
            }
            let Some(y) = next.checked_sub(1) else { continue };
            blend(self.0, [&along_z[(y + 2) % 3], &along_z[y % 3], &along_z[next % 3]], &mut along_y[1..=side]);
            blend(self.0, [&along_y, &along_y[1..], &along_y[2..]], &mut target[y * side..(y + 1) * side]);
        }
    }

    fn filtered(&self, volumes: &Tensor) -> Tensor {
        let volumes = plain(volumes);
        let (values, side) = (values(&volumes), side_of(&volumes));
        let plane = side * side;
        let mut filtered = volumes.empty_like();
        let places = Places::of(values_mut(&mut filtered));
        share(threads(), values.len() / plane, |task| {
            let (image, z) = (task / side, task % side);
            // SAFETY: a task has its own plane.
            let target = unsafe { places.part(task * plane, plane) };
            self.plane(&values[image * plane * side..(image + 1) * plane * side], side, z, target);
        });
        filtered
    }
}

impl Operator for CpuSmoothing {
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
