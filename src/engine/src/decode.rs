//! Latents to maps.

use crate::assembly::Assembly;
use crate::devices;
use crate::link::Link;
use crate::model::geometry::Centre;
use crate::model::volume::{centre_crop, resample};
use crate::scene::to_volume;
use crate::training::checkpoint::{Checkpoint, read_npy};
use contract::{BaseVolume, DecodeSpec, Event, MapForm, Problem, Result};
use cryoem::mrc::write_volume_at;
use cryoem::volume::Volume;
use tch::{Kind, Tensor};

/// Decodes every row of the latents to its map. `false`: stopped as asked; the maps written so far are complete.
///
/// # Errors
/// The checkpoint is damaged, the latents do not fit it, or a map cannot be written.
pub fn decode(spec: &DecodeSpec, link: &dyn Link) -> Result<bool> {
    let device = devices::find(&spec.device)?;
    tch::set_num_threads(i32::try_from(spec.threads).unwrap_or(1).max(1));
    let assembly = Assembly::of_checkpoint(&Checkpoint::load_model(&spec.checkpoint)?, device)?;
    let latents = read_npy(&spec.latents)?.to_kind(Kind::Float).to_device(device);
    let (rows, wanted) = (spec.outputs.len() as i64, assembly.settings.layout.zdim as i64);
    let shape = latents.size();
    if shape.len() != 2 || shape[0] != rows || shape[1] < wanted {
        return Err(Problem::input(format!("holds {shape:?}, expected {rows} rows of {wanted} latent dimensions"))
            .at(spec.latents.display().to_string()));
    }
    for (index, output) in spec.outputs.iter().enumerate() {
        if link.stop_asked() {
            return Ok(false);
        }
        let map = map_of(&assembly, &latents.narrow(0, index as i64, 1), &spec.form)?;
        write_volume_at(output, &map, spec.form.origin_angstrom)?;
        link.tell(Event::Decoded { index, output: output.clone() });
    }
    Ok(true)
}

/// The map of one latent (`[1, d]`), in the grey scale of the base where there is one.
///
/// The template spans the compared region of the render grid; it is resampled to the target by its Fourier series, so that physical
/// sizes are exact, and fades to zero with the mask's soft edge (which a low-pass widens by about its resolution).
///
/// # Errors
/// The form's box, voxel size or low-pass is impossible.
pub fn map_of(assembly: &Assembly, latent: &Tensor, form: &MapForm) -> Result<Volume> {
    if assembly.settings.numerics.rotate_about_half_pixel {
        return map_of_original(assembly, latent, form);
    }
    let layout = &assembly.settings.layout;
    let volume = tch::no_grad(|| assembly.scene.volume.assemble(&assembly.net(latent)));
    let scale = if assembly.settings.base == BaseVolume::None { 1.0 } else { 1.0 / assembly.maps.base_scale };
    let sign = if form.invert { -1.0 } else { 1.0 };
    let grey = volume.view([layout.template as i64; 3]) * (scale * sign);
    let span = Centre::of(&assembly.settings.numerics).steps(layout.template as i64, layout.crop as i64);
    let own = to_volume(&grey, layout.template, assembly.maps.apix * span)?;
    let own = if form.flip { own.mirrored() } else { own };
    // A low-pass beyond what the template can hold would only shave its corners.
    let own = match form.lowpass_angstrom.filter(|resolution| *resolution > 2.0 * own.apix) {
        Some(resolution) => own.low_passed(resolution)?,
        None => own,
    };
    own.resampled(form.box_px, form.apix)
}

/// The same as the original writes it: interpolated linearly from the template, centre (n−1)/2 on centre (n−1)/2, under the soft mask where
/// the model has one. Other than there the voxel size is the form's exactly.
fn map_of_original(assembly: &Assembly, latent: &Tensor, form: &MapForm) -> Result<Volume> {
    let layout = &assembly.settings.layout;
    let (centre, crop) = (Centre::HalfVoxel, layout.crop as i64);
    let side = i64::try_from(form.box_px).unwrap_or(i64::MAX);
    if side < 2 || !(form.apix.is_finite() && form.apix > 0.0) {
        return Err(Problem::input(format!("a box of {side} voxels of {} Å cannot be made", form.apix)).at("map"));
    }
    let template = tch::no_grad(|| assembly.net(latent)).view([layout.template as i64; 3]);
    let step = form.apix / assembly.maps.apix;
    let mut grey = resample(&template, side, step / centre.steps(layout.template as i64, crop), centre);
    if !assembly.settings.numerics.maps_unmasked {
        let mask = centre_crop(&assembly.maps.mask.to_device(grey.device()), crop);
        grey *= resample(&mask, side, step, centre);
    }
    if form.flip {
        grey = grey.flip([0]);
    }
    let own = to_volume(&(grey * if form.invert { -1.0 } else { 1.0 }), form.box_px, form.apix)?;
    match form.lowpass_angstrom.filter(|resolution| *resolution > 2.0 * own.apix) {
        Some(resolution) => own.low_passed(resolution),
        None => Ok(own),
    }
}
