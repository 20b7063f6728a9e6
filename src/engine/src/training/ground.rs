//! Before the first step: maps, grey scales, scores, view classes.

use super::inputs;
use super::step::Classes;
use crate::assembly::Assembly;
use crate::data::Particles;
use crate::encode;
use crate::scene::{Maps, from_volume};
use crate::world::Ranks;
use contract::{BaseVolume, Problem, Result, TrainSpec};
use cryoem::geometry::Hopf;
use cryoem::healpix::VIEW_CLASS_NSIDE;
use cryoem::mrc;
use std::path::Path;
use tch::{Device, Tensor};

/// Base pixels of the view classes.
const VIEW_CLASSES: usize = 12 * (VIEW_CLASS_NSIDE * VIEW_CLASS_NSIDE) as usize;

/// A new model: the base's grey scale, the encoder's input scale, the scores that the latents start from. `None`: stopped as asked.
///
/// # Errors
/// The base does not resemble the images, or the scores do not fit the particles.
pub fn fresh(spec: &TrainSpec, mut maps: Maps, particles: &Particles, device: Device, stop: &dyn Fn() -> bool) -> Result<Option<Assembly>> {
    let settings = &spec.settings;
    if settings.base != BaseVolume::None {
        let trial = Assembly::new(
            settings,
            Maps { mask: maps.mask.shallow_clone(), encoder_mask: None, base: maps.base.as_ref().map(Tensor::shallow_clone), ..maps },
            device,
        )?;
        let Some(scale) = inputs::base_scale(particles, &trial.scene, stop) else { return Ok(None) };
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Problem::input(format!("the base volume does not resemble the images (best grey scale {scale:.3e})"))
                .at("base")
                .hint("check its sign, hand and pixel size, or let the job make one (`--base auto`)"));
        }
        maps.base_scale = scale;
    }
    let mut assembly = Assembly::new(settings, maps, device)?;
    assembly.scene.input_scale = inputs::input_scale(&assembly, particles);
    read_start(spec, particles, device, &mut assembly)?;
    if assembly.scores.is_some() {
        assembly.silence_mean();
    }
    Ok(Some(assembly))
}

/// Tells the other ranks the grey scales that the first one's model has.
pub fn lead(assembly: &Assembly, ranks: &Ranks) {
    let _ = ranks.words_of_first(scales_to_words(assembly.maps.base_scale, assembly.scene.input_scale));
}

/// The model of another rank than the first, for the first one's weights: scales from the first, scores from the command.
///
/// # Errors
/// The scores do not fit the particles.
pub fn following(spec: &TrainSpec, mut maps: Maps, ranks: &Ranks, particles: &Particles, device: Device) -> Result<Assembly> {
    let words = ranks.words_of_first(String::new());
    let (base_scale, input_scale) =
        scales_of_words(&words).ok_or_else(|| Problem::failed(format!("the first rank's scales are not understood: {words}")))?;
    maps.base_scale = base_scale;
    let mut assembly = Assembly::new(&spec.settings, maps, device)?;
    assembly.scene.input_scale = input_scale;
    read_start(spec, particles, device, &mut assembly)?;
    Ok(assembly)
}

/// By their bits, so that all ranks have the same.
fn scales_to_words(base: f64, input: f64) -> String {
    format!("{} {}", base.to_bits(), input.to_bits())
}

fn scales_of_words(words: &str) -> Option<(f64, f64)> {
    let (base, input) = words.split_once(' ')?;
    Some((f64::from_bits(base.parse().ok()?), f64::from_bits(input.parse().ok()?)))
}

/// Reads the scores of a warm start.
fn read_start(spec: &TrainSpec, particles: &Particles, device: Device, assembly: &mut Assembly) -> Result<()> {
    if spec.settings.warm_start.is_some() {
        let path = spec
            .scores
            .as_ref()
            .ok_or_else(|| Problem::input("the settings ask for a warm start, but the command names no scores").at("scores"))?;
        assembly.scores = Some(encode::read_scores(path, particles.len(), spec.settings.layout.zdim)?.to_device(device));
    }
    Ok(())
}

/// Mask and base of a command, in their own grey scale.
///
/// # Errors
/// A map is missing, or has another side than the prepared images.
pub fn read_maps(spec: &TrainSpec, size_px: usize, apix: f64) -> Result<Maps> {
    let read = |path: &Path| -> Result<Tensor> {
        let map = mrc::read_volume(path)?;
        let side = map.box_px().map_err(|problem| problem.at(path.display().to_string()))?;
        if side != size_px {
            return Err(
                Problem::input(format!("has {side} voxels a side, the prepared images have {size_px}")).at(path.display().to_string())
            );
        }
        Ok(from_volume(&map))
    };
    let base = match (&spec.base, spec.settings.base) {
        (Some(path), kind) if kind != BaseVolume::None => Some(read(path)?),
        (None, kind) if kind != BaseVolume::None => {
            return Err(Problem::input("the settings ask for a base volume, but the command names none").at("base"));
        }
        _ => None,
    };
    Ok(Maps { mask: read(&spec.mask)?, encoder_mask: None, base, base_scale: 1.0, size_px, apix })
}

/// View classes of all particles, and the training particles of each.
#[must_use]
pub fn view_classes(particles: &Particles, training: &[usize]) -> Classes {
    let of: Vec<usize> = (0..particles.len()).map(|i| Hopf::of_matrix(&particles.rotation(i)).view_class()).collect();
    let mut members = vec![Vec::new(); VIEW_CLASSES];
    for &particle in training {
        members[of[particle]].push(particle as i64);
    }
    Classes { of, members }
}
