//! Mean magnitude and mean total variation of volumes as one operator on the CPU: one pass over a volume each way, and nothing of its size
//! is held in between but the gradient itself.
//!
//! What is computed is what `mean_magnitude` and `total_variation` of `model::volume_priors` compute with tensors, to rounding.

pub mod gpu;

use super::tensors::{numbers, plain, threads, values, values_mut};
use super::threads::{Places, share};
use crate::native::Operator;
use tch::{Device, Kind, Tensor};

/// Under the root of the total variation: keeps its gradient finite where a volume is flat.
pub const FLAT: f32 = 1e-8;

/// Figures of a volume: mean |v| and mean total variation.
const FIGURES: usize = 2;

/// Of volumes `[b, 1, t, t, t]` their mean |v| and mean √([`FLAT`] + squared backward differences), `[b, 2]`, over the voxels
/// bound..=t − bound along each axis (z, y, x), as `model::volume::prior_bounds` gives them; bounds are at least 1.
///
/// A volume is one thread's work.
pub struct CpuPriors(pub [i64; 3]);

/// The voxels that count, in a volume of `side` voxels.
#[derive(Clone, Copy)]
struct Region {
    side: usize,
    from: [usize; 3],
    to: [usize; 3],
}

impl Region {
    fn of(bounds: [i64; 3], volumes: &Tensor) -> Self {
        let size = volumes.size();
        assert!(size.len() == 5 && size[1] == 1 && size[2..].iter().all(|&side| side == size[2]), "cubes, not {size:?}");
        let side = size[2];
        assert!(bounds.iter().all(|&bound| bound >= 1 && 2 * bound <= side), "bounds {bounds:?} of {side} voxels");
        Self { side: side as usize, from: bounds.map(|bound| bound as usize), to: bounds.map(|bound| (side - bound + 1) as usize) }
    }

    fn voxels(&self) -> usize {
        (0..3).map(|axis| self.to[axis] - self.from[axis]).product()
    }

    /// Lines along z.
    fn columns(&self) -> usize {
        (self.to[1] - self.from[1]) * self.row_length()
    }

    /// Calls `each` with where every row starts.
    fn rows(&self, mut each: impl FnMut(usize)) {
        for z in self.from[0]..self.to[0] {
            for y in self.from[1]..self.to[1] {
                each((z * self.side + y) * self.side + self.from[2]);
            }
        }
    }

    fn row_length(&self) -> usize {
        self.to[2] - self.from[2]
    }

    /// A row's values and those one voxel back along x, y and z.
    fn neighbours<'a>(&self, volume: &'a [f32], start: usize) -> [&'a [f32]; 4] {
        [0, 1, self.side, self.side * self.side].map(|back| &volume[start - back..start - back + self.row_length()])
    }
}

/// Backward differences along x, y and z, and the root over them.
#[inline(always)]
fn slopes(here: f32, back: [f32; 3]) -> ([f32; 3], f32) {
    let slopes = back.map(|back| here - back);
    (slopes, (slopes[0] * slopes[0] + slopes[1] * slopes[1] + slopes[2] * slopes[2] + FLAT).sqrt())
}

/// Sums of |v| and of the variation.
fn sums(region: &Region, volume: &[f32]) -> [f64; FIGURES] {
    /// Sums side by side, so that they fit vector registers.
    const LANES: usize = 8;
    let mut total = [0f64; FIGURES];
    region.rows(|start| {
        let [here, x, y, z] = region.neighbours(volume, start);
        let mut lanes = [[0f32; LANES]; FIGURES];
        let mut from = 0;
        while from < here.len() {
            let count = LANES.min(here.len() - from);
            let part = |row: &[f32]| {
                let mut part = [0f32; LANES];
                part[..count].copy_from_slice(&row[from..from + count]);
                part
            };
            let ([here, x, y, z], mut roots) = ([here, x, y, z].map(part), [0f32; LANES]);
            for lane in 0..LANES {
                roots[lane] = slopes(here[lane], [x[lane], y[lane], z[lane]]).1;
            }
            roots[count..].fill(0.0);
            for lane in 0..LANES {
                lanes[0][lane] += here[lane].abs();
                lanes[1][lane] += roots[lane];
            }
            from += LANES;
        }
        for (total, lanes) in total.iter_mut().zip(lanes) {
            *total += f64::from(lanes.iter().sum::<f32>());
        }
    });
    total
}

/// Adds the gradient of `weights[0]`·Σ|v| + `weights[1]`·Σ variation to `target`.
fn add_gradient(region: &Region, volume: &[f32], weights: [f32; FIGURES], target: &mut [f32]) {
    let count = region.row_length();
    // Of a row: what goes to its own voxels, and to those one back along x, y and z.
    let mut own = vec![0f32; count];
    let mut taken = [0, 1, 2].map(|_| vec![0f32; count]);
    region.rows(|start| {
        let [here, x, y, z] = region.neighbours(volume, start);
        let [by_x, by_y, by_z] = &mut taken;
        for i in 0..count {
            let (slopes, root) = slopes(here[i], [x[i], y[i], z[i]]);
            let weight = weights[1] / root;
            let sign = f32::from(i8::from(here[i] > 0.0) - i8::from(here[i] < 0.0));
            (by_x[i], by_y[i], by_z[i]) = (slopes[0] * weight, slopes[1] * weight, slopes[2] * weight);
            own[i] = weights[0] * sign + by_x[i] + by_y[i] + by_z[i];
        }
        let mut add = |back: usize, values: &[f32], sign: f32| {
            for (target, value) in target[start - back..start - back + count].iter_mut().zip(values) {
                *target += sign * value;
            }
        };
        add(0, &own, 1.0);
        for (back, taken) in [1, region.side, region.side * region.side].into_iter().zip(&taken) {
            add(back, taken, -1.0);
        }
    });
}

impl Operator for CpuPriors {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        let volumes = plain(&inputs[0]);
        let region = Region::of(self.0, &volumes);
        let (values, cube) = (values(&volumes), region.side.pow(3));
        let images = values.len() / cube;
        let mut figures = Tensor::zeros([images as i64, FIGURES as i64], (Kind::Float, Device::Cpu));
        let places = Places::of(values_mut(&mut figures));
        share(threads(), images, |image| {
            let found = sums(&region, &values[image * cube..(image + 1) * cube]).map(|sum| (sum / region.voxels() as f64) as f32);
            // SAFETY: a volume has its own figures.
            unsafe { places.part(image * FIGURES, FIGURES) }.copy_from_slice(&found);
        });
        figures
    }

    fn backward(&self, inputs: &[Tensor], gradient: &Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let volumes = plain(&inputs[0]);
        let region = Region::of(self.0, &volumes);
        let (values, cube) = (values(&volumes), region.side.pow(3));
        let images = values.len() / cube;
        let gradient = numbers(gradient, images * FIGURES);
        let mut found = volumes.zeros_like();
        let places = Places::of(values_mut(&mut found));
        share(threads(), images, |image| {
            // SAFETY: a volume has its own gradient.
            let target = unsafe { places.part(image * cube, cube) };
            let weights = [0, 1].map(|figure| gradient[image * FIGURES + figure] / region.voxels() as f32);
            add_gradient(&region, &values[image * cube..(image + 1) * cube], weights, target);
        });
        vec![Some(found)]
    }
}
