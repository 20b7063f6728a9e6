//! The region that is learned: read from a file, made from a map, or a ball; and what its extent means for the sizes of a model.

use crate::mrc::read_volume;
use crate::volume::Volume;
use contract::{Problem, Result};
use ndarray::Array3;
use rayon::prelude::*;
use std::path::Path;

mod create;
mod extent;

pub use create::{MapMask, from_map, soft_ball};
pub use extent::{DEFAULT_WINDOW, Window, even, volume_bounds, window};

/// Values may leave 0..1 by this much (interpolation by other programs) and are cut off; beyond it the file is no mask.
const OVERSHOOT: f32 = 0.05;
/// Extents that agree to this fraction are one.
const SAME_EXTENT: f64 = 0.005;

/// A grid of a cube's voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CubeGrid {
    /// Voxels a side.
    pub box_px: usize,
    /// Voxel size, Å.
    pub apix: f64,
}

impl CubeGrid {
    /// Side of the cube, Å.
    #[must_use]
    pub fn extent_angstrom(self) -> f64 {
        self.box_px as f64 * self.apix
    }
}

/// Reads a mask and checks it; a mask without a voxel size is taken to span the particles' box. What is remarkable goes to `notes`.
///
/// `particles` is the box and pixel size of the original images.
///
/// # Errors
/// The file cannot be read, is no cube, has values outside 0..1 or that are no numbers, or is empty.
pub fn read(path: &Path, particles: CubeGrid, notes: &mut Vec<String>) -> Result<Volume> {
    let at = |p: Problem| p.at(path.display().to_string());
    let mut mask = read_volume(path)?;
    let box_px = mask.box_px().map_err(at)?;
    let hint = "make a mask of values from 0 to 1, for instance with `relion_mask_create`";
    let s = mask.statistics();
    if s.non_finite > 0 {
        return Err(at(Problem::input(format!("has {} values that are no numbers", s.non_finite)).hint(hint)));
    }
    if s.min < -OVERSHOOT || s.max > 1.0 + OVERSHOOT {
        return Err(at(Problem::input(format!("is no mask: its values run from {} to {}", s.min, s.max)).hint(hint)));
    }
    if s.max <= 0.0 {
        return Err(at(Problem::input("is empty: no value is above 0").hint(hint)));
    }
    mask.data.mapv_inplace(|v| v.clamp(0.0, 1.0));
    if s.min >= 1.0 {
        notes.push(format!("mask `{}`: every value is 1, nothing is masked", path.display()));
    }
    if mask.apix <= 0.0 {
        mask.apix = particles.extent_angstrom() / box_px as f64;
        notes.push(format!(
            "mask `{}`: no pixel size in its header; taken to span the particles' box ({:.4} Å)",
            path.display(),
            mask.apix
        ));
    } else if box_px != particles.box_px || (mask.apix / particles.apix - 1.0).abs() > SAME_EXTENT {
        let own = CubeGrid { box_px, apix: mask.apix };
        if box_px == particles.box_px && (mask.apix - 1.0).abs() < 1e-6 {
            // Many programs write 1 Å for want of knowledge.
            mask.apix = particles.apix;
            notes.push(format!(
                "mask `{}`: its header says 1 Å, its box is the particles': their {:.4} Å are taken",
                path.display(),
                particles.apix
            ));
        } else {
            notes.push(format!(
                "mask `{}`: {box_px} voxels of {:.4} Å ({:.0} Å) where the particles have {} of {:.4} Å ({:.0} Å); it is resampled",
                path.display(),
                own.apix,
                own.extent_angstrom(),
                particles.box_px,
                particles.apix,
                particles.extent_angstrom()
            ));
        }
    }
    Ok(mask)
}

/// The mask on another grid, centre (voxel n/2) on centre, by trilinear interpolation: values stay between 0 and 1 and zeros stay zeros,
/// which a Fourier resampling does not grant. Zero outside the old box.
///
/// # Errors
/// The mask is no cube or has no voxel size; or nothing of it is left on the new grid.
pub fn on_grid(mask: &Volume, grid: CubeGrid) -> Result<Volume> {
    let n = mask.box_px()?;
    mask.require_apix()?;
    let ratio = grid.apix / mask.apix;
    // Of each new index the two old ones and the second one's weight.
    let line: Vec<(isize, f32)> = (0..grid.box_px)
        .map(|i| {
            let position = (i as f64 - (grid.box_px / 2) as f64) * ratio + (n / 2) as f64;
            // Headers hold single-precision sizes: a voxel that falls on a voxel shall stay it.
            let position = if (position - position.round()).abs() < 1e-4 { position.round() } else { position };
            (position.floor() as isize, (position - position.floor()) as f32)
        })
        .collect();
    let value = |z: isize, y: isize, x: isize| {
        let inside = |i: isize| (0..n as isize).contains(&i);
        if inside(z) && inside(y) && inside(x) { mask.data[[z as usize, y as usize, x as usize]] } else { 0.0 }
    };
    let mut data = Array3::zeros((grid.box_px, grid.box_px, grid.box_px));
    data.outer_iter_mut().into_par_iter().zip(&line).for_each(|(mut plane, &(z, fz))| {
        for ((iy, ix), out) in plane.indexed_iter_mut() {
            let ((y, fy), (x, fx)) = (line[iy], line[ix]);
            let row = |z, y| value(z, y, x) * (1.0 - fx) + value(z, y, x + 1) * fx;
            let sheet = |z| row(z, y) * (1.0 - fy) + row(z, y + 1) * fy;
            *out = sheet(z) * (1.0 - fz) + sheet(z + 1) * fz;
        }
    });
    if data.iter().all(|&v| v <= 0.0) {
        return Err(Problem::input("nothing of the mask lies in the particles' box").hint("check the pixel size in the mask's header"));
    }
    Ok(Volume { data, apix: grid.apix })
}

#[cfg(test)]
mod tests;
