//! MRC files, maps and stacks alike: the only module that knows the format.
//!
//! Headers are decoded and encoded, and values are turned to the machine's byte order, by the `mrc` crate. Its readers are not used: they
//! refuse headers that RELION and cryoSPARC accept (no `MAP `, no machine stamp, label counts that disagree), and their errors name neither
//! the file nor the byte counts. Files are memory-mapped; a file that another program truncates while it is mapped ends the process, as with
//! every program that maps files.
//!
//! Values of modes 0 (i8), 1 (i16), 2 (f32), 6 (u16) and 12 (f16), of either byte order, become `f32`.

use crate::volume::Volume;
use contract::{Problem, Result};
use ndarray::Array3;
use std::path::{Path, PathBuf};

mod header;
mod stack;
mod write;

pub use stack::StackReader;
pub use write::{StackWriter, Values, write_stack, write_volume, write_volume_at};

/// Voxel sizes along the axes may differ by this fraction (rounding of the header's single-precision cell) before a map is refused.
const ANISOTROPY: f64 = 0.01;

/// Removes the image library's type suffix (`stack.mrc:mrcs` names the file `stack.mrc` to be read as a stack).
#[must_use]
pub fn plain_path(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    match text.rsplit_once(':') {
        Some((file, "mrc" | "mrcs")) => PathBuf::from(file),
        _ => path.to_path_buf(),
    }
}

/// Reads a map, its axes put into the order `[z][y][x]` whatever the order in the file.
///
/// The voxel size is 0 where the header has none (see [`Volume::or_apix`]). Start indices and origin, which [`read_origin`] tells, do not
/// move it: the origin of rotation is voxel n/2. The map need not be a cube ([`Volume::box_px`] asks for that).
///
/// # Errors
/// The file is missing, truncated (names both byte counts), of a mode that is no map, or has voxels that are no cubes.
pub fn read_volume(path: &Path) -> Result<Volume> {
    let reader = StackReader::open(path)?;
    let header = reader.header();
    let [nx, ny, nz] = header.size;
    let mut data = Array3::<f32>::zeros((nz, ny, nx));
    for (z, mut plane) in data.outer_iter_mut().enumerate() {
        let plane = plane.as_slice_mut().expect("a fresh array is contiguous");
        reader.read_into(z, plane)?;
    }
    // axes[i] = which of x (0), y (1), z (2) runs along file axis i (0: fastest).
    let position = |axis: usize| 2 - header.axes.iter().position(|&a| a == axis).expect("the header's axes are a permutation");
    let order = (position(2), position(1), position(0));
    let data = data.permuted_axes([order.0, order.1, order.2]).as_standard_layout().into_owned();
    let apix = isotropic(header.voxel_angstrom).map_err(|what| what.at(path.display().to_string()))?;
    Ok(Volume { data, apix })
}

/// Where a viewer puts the centre of voxel 0 of a map (x, y, z), Å: the header's origin, or where that is 0 its start indices times its voxel
/// size (0 where it has none).
///
/// # Errors
/// The file is missing or no MRC file.
pub fn read_origin(path: &Path) -> Result<[f64; 3]> {
    Ok(StackReader::open(path)?.header().origin_angstrom)
}

/// The one voxel size of three, Å; 0 where the header has none.
fn isotropic([x, y, z]: [f64; 3]) -> Result<f64> {
    let known = |v: f64| v > 0.0 && v.is_finite();
    if !known(x) {
        return Ok(0.0);
    }
    if [y, z].iter().any(|&v| known(v) && (v / x - 1.0).abs() > ANISOTROPY) {
        return Err(
            Problem::input(format!("has voxels that are no cubes: {x:.4} × {y:.4} × {z:.4} Å")).hint("resample the map to cubic voxels")
        );
    }
    Ok(x)
}

#[cfg(test)]
mod tests;
