//! Particles to latents.

use crate::assembly::Assembly;
use crate::data::{Batch, Particles};
use crate::devices;
use crate::link::Link;
use crate::training::checkpoint::{Checkpoint, read_npy, replace_npy};
use contract::{EncodeSpec, Problem, Result};
use std::path::Path;
use tch::{Kind, Tensor};

/// Images encoded at a time, where they fit into memory.
const AT_ONCE: usize = 64;

/// Writes the latent means of all particles of a prepared set. `false`: stopped as asked, nothing is written.
///
/// # Errors
/// The checkpoint is damaged or was trained on images of another size, or the file cannot be written.
pub fn encode(spec: &EncodeSpec, link: &dyn Link) -> Result<bool> {
    let device = devices::find(&spec.device)?;
    tch::set_num_threads(i32::try_from(spec.threads).unwrap_or(1).max(1));
    let checkpoint = Checkpoint::load_model(&spec.checkpoint)?;
    let particles = Particles::open(&spec.prepared, device)?;
    let (size, trained) = (particles.prepared().size_px, checkpoint.data.size_px);
    if size != trained {
        return Err(Problem::input(format!("has images of {size} pixels, the model was trained on {trained}"))
            .at(spec.prepared.display().to_string())
            .hint("prepare the particles as in the job that trained the model"));
    }
    let assembly = Assembly::of_checkpoint(&checkpoint, device)?;
    let anchors = anchors(&assembly, &checkpoint, &particles, spec)?;
    let all: Vec<usize> = (0..particles.len()).collect();
    let encoded = |batch| means_of(&assembly, &particles, batch, anchors.as_ref());
    let warn = |message| link.warn(message);
    let Some(latents) = in_parts(&particles, &all, &|| link.stop_asked(), &warn, &encoded)? else { return Ok(false) };
    // Those of a learned pose are of no use to others.
    replace_npy(&spec.latents, &latents.narrow(1, 0, assembly.settings.layout.zdim as i64))?;
    Ok(true)
}

/// Where the particles' latents start: the checkpoint's own scores for the particles that it was trained on, given ones for others.
fn anchors(assembly: &Assembly, checkpoint: &Checkpoint, particles: &Particles, spec: &EncodeSpec) -> Result<Option<Tensor>> {
    let Some(own) = &assembly.scores else { return Ok(None) };
    let scores = match &spec.scores {
        Some(path) => read_scores(path, particles.len(), own.size()[1] as usize)?,
        None if particles.prepared().fingerprint == checkpoint.data.fingerprint => own.shallow_clone(),
        None => {
            return Err(Problem::input(
                "the model starts its latents from scores, and other particles than those it was trained on come without",
            )
            .at("scores"));
        }
    };
    Ok(Some(assembly.anchors(&scores)))
}

/// Reads scores of `particles` particles with at most `most` components, `[n, k]` f32.
///
/// # Errors
/// The file is missing, has another shape, or holds values that are not finite.
pub fn read_scores(path: &Path, particles: usize, most: usize) -> Result<Tensor> {
    let scores = read_npy(path)?.to_kind(Kind::Float);
    let shape = scores.size();
    if shape.len() != 2 || shape[0] != particles as i64 || shape[1] > most as i64 {
        return Err(
            Problem::input(format!("holds {shape:?}, expected {particles} rows of at most {most} scores")).at(path.display().to_string())
        );
    }
    if scores.isfinite().all().int64_value(&[]) == 0 {
        return Err(Problem::input("holds values that are not finite").at(path.display().to_string()));
    }
    Ok(scores)
}

/// What `encoded` makes of `chosen` particles, `[n, d]`, in their order; `None` when `stop` said so. It is given as many images at a time as fit
/// into memory; `warn` is told where those are fewer than usual.
///
/// # Errors
/// Not even one image fits.
pub fn in_parts(
    particles: &Particles,
    chosen: &[usize],
    stop: &dyn Fn() -> bool,
    warn: &dyn Fn(String),
    encoded: &dyn Fn(Batch) -> Tensor,
) -> Result<Option<Tensor>> {
    let (mut parts, mut done, mut at_once) = (Vec::new(), 0, AT_ONCE);
    while done < chosen.len() {
        for batch in particles.stream(chosen[done..].chunks(at_once).map(<[usize]>::to_vec).collect()) {
            if stop() {
                return Ok(None);
            }
            let count = batch.len();
            match devices::within_memory(|| encoded(batch)) {
                Ok(rows) => {
                    parts.push(rows);
                    done += count;
                }
                Err(what) if count == 1 => return Err(devices::problem(&what).at("encoding one image at a time")),
                Err(_) => {
                    at_once = count / 2;
                    warn(format!("out of memory while encoding {count} images at a time: going on with {at_once}; the results stay"));
                    devices::release_unused(particles.device());
                    break;
                }
            }
        }
    }
    Ok((!parts.is_empty()).then(|| Tensor::cat(&parts, 0).to_kind(Kind::Float)))
}

/// Latent means of a batch, `[b, d]`; `anchors` are [`Assembly::anchors`] of all particles' scores.
pub fn means_of(assembly: &Assembly, particles: &Particles, mut batch: Batch, anchors: Option<&Tensor>) -> Tensor {
    if let Some(scale) = assembly.image_scale {
        batch.images = &batch.images * (particles.own_grey(&batch) * scale);
    }
    let rows = anchors.map(|anchors| anchors.index_select(0, &batch.index));
    tch::no_grad(|| assembly.encode(&assembly.scene.cubes(&batch), rows.as_ref()).0)
}
