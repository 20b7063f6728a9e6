//! Maps of a job as density. Where their sign is to be turned, it is turned in files alone: what is computed and drawn has positive protein.

use contract::{MapForm, Result};
use cryoem::mask::{self, CubeGrid};
use cryoem::mrc::{read_volume, write_volume_at};
use cryoem::volume::Volume;
use std::path::Path;

/// Density of a map that was written in this form.
///
/// # Errors
/// It cannot be read.
pub(crate) fn density(path: &Path, form: &MapForm) -> Result<Volume> {
    Ok(signed(read_volume(path)?, form))
}

/// Writes density in the form's sign, where the form's maps lie.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_density(path: &Path, map: &Volume, form: &MapForm) -> Result<()> {
    if form.invert {
        return write_volume_at(path, &signed(map.clone(), form), form.origin_angstrom);
    }
    write_volume_at(path, map, form.origin_angstrom)
}

/// From density to what files hold, or back.
pub(crate) fn signed(mut map: Volume, form: &MapForm) -> Volume {
    if form.invert {
        map.data.mapv_inplace(|v| -v);
    }
    map
}

/// A mask on the grid of the maps, mirrored with them.
pub(crate) fn mask_like(mask: &Volume, form: &MapForm) -> Result<Volume> {
    let mask = mask::on_grid(mask, CubeGrid { box_px: form.box_px, apix: form.apix })?;
    Ok(if form.flip { mask.mirrored() } else { mask })
}

/// Density on the grid of the maps, mirrored with them.
pub(crate) fn density_like(map: &Volume, form: &MapForm) -> Result<Volume> {
    let map = map.resampled(form.box_px, form.apix)?;
    Ok(if form.flip { map.mirrored() } else { map })
}
