//! Latents to maps.

use crate::assembly::Assembly;
use crate::devices;
use crate::link::Link;
use crate::model::geometry::Centre;
use crate::scene::to_volume;
use crate::training::checkpoint::{Checkpoint, read_npy};
use contract::{BaseVolume, DecodeSpec, Event, Problem, Result};
use cryoem::mrc::write_volume;
use cryoem::volume::Volume;
use tch::{Kind, Tensor};

/// Where the maps go and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Box, voxels.
    pub box_px: usize,
    /// Voxel size, Å.
    pub apix: f64,
    /// Mirror along z.
    pub flip: bool,
    /// Turn the sign.
    pub invert: bool,
}

/// Decodes every row of the latents to its map. `false`: stopped as asked; the maps written so far are complete.
///
/// # Errors
/// The checkpoint is damaged, the latents do not fit it, or a map cannot be written.
pub fn decode(spec: &DecodeSpec, link: &dyn Link) -> Result<bool> {
    let device = devices::find(&spec.device)?;
    tch::set_num_threads(i32::try_from(spec.threads).unwrap_or(1).max(1));
    let assembly = Assembly::of_checkpoint(&Checkpoint::load(&spec.checkpoint)?, device)?;
    let latents = read_npy(&spec.latents)?.to_kind(Kind::Float).to_device(device);
    let (rows, wanted) = (spec.outputs.len() as i64, assembly.settings.layout.zdim as i64);
    let shape = latents.size();
    if shape.len() != 2 || shape[0] != rows || shape[1] < wanted {
        return Err(Problem::input(format!("holds {shape:?}, expected {rows} rows of {wanted} latent dimensions"))
            .at(spec.latents.display().to_string()));
    }
    let target = Target { box_px: spec.box_px, apix: spec.apix, flip: spec.flip, invert: spec.invert };
    for (index, output) in spec.outputs.iter().enumerate() {
        if link.stop_asked() {
            return Ok(false);
        }
        let map = map_of(&assembly, &latents.narrow(0, index as i64, 1), &target)?;
        write_volume(output, &map)?;
        link.tell(Event::Decoded { index, output: output.clone() });
    }
    Ok(true)
}

/// The map of one latent (`[1, d]`), in the grey scale of the base where there is one.
///
/// The template spans the compared region of the render grid; it is resampled to the target by its Fourier series, so that physical
/// sizes are exact, and fades to zero with the mask's soft edge.
///
/// # Errors
/// The target's box or voxel size is impossible.
pub fn map_of(assembly: &Assembly, latent: &Tensor, target: &Target) -> Result<Volume> {
    let layout = &assembly.settings.layout;
    let volume = tch::no_grad(|| assembly.scene.volume.assemble(&assembly.net(latent)));
    let scale = if assembly.settings.base == BaseVolume::None { 1.0 } else { 1.0 / assembly.maps.base_scale };
    let sign = if target.invert { -1.0 } else { 1.0 };
    let grey = volume.view([layout.template as i64; 3]) * (scale * sign);
    let grey = if target.flip { mirrored(&grey) } else { grey };
    let span = Centre::of(&assembly.settings.numerics).steps(layout.template as i64, layout.crop as i64);
    to_volume(&grey, layout.template, assembly.maps.apix * span)?.resampled(target.box_px, target.apix)
}

/// Mirrored along z about voxel n/2; the first plane, which has no partner, is left empty.
fn mirrored(volume: &Tensor) -> Tensor {
    let side = volume.size()[0];
    let turned = volume.flip([0]).roll([1], [0]);
    let _ = turned.narrow(0, 0, 1).fill_(0.0);
    debug_assert_eq!(turned.size()[0], side);
    turned
}
