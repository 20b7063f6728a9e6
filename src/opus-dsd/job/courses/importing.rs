//! `import`: a run of the original becomes a job folder like that of a trained job.

mod files;
mod particles;

use super::{provenance, say_decided, start_engine, threads};
use crate::host::relion::nodes::{self, Content, Node};
use crate::job::checkpoints::CHECKPOINTS;
use crate::job::encode_kit::Images;
use crate::job::engine_process::Engine;
use crate::job::stage::Fingerprint;
use crate::job::stages::base::MASK;
use crate::job::stages::cluster::PARTICLES;
use crate::job::stages::context::Context;
use crate::job::stages::next;
use crate::job::stages::report::LOGFILE;
use crate::job::stages::report::imported::Imported;
use crate::job::stages::train::LATENTS;
use crate::job::{encode_kit, npy, settings_file};
use crate::settings::decided::Decided;
use crate::settings::imported::{self, Model};
use crate::settings::said::ImportSaid;
use contract::{AdoptSpec, Command, Event, Kind, Problem, Result};
use cryoem::legacy::original::{Config, Revision, Weights, embedded, read_latents};
use cryoem::mrc::write_volume;
use cryoem::particles::ParticleSet;
use cryoem::subset;
use files::{Epoch, Files};
use ndarray::Array3;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the engine makes a checkpoint of, gone when it has.
const HANDED_OVER: &str = "stages/import";
/// Pixel sizes that agree to this fraction are one.
const SAME_APIX: f64 = 0.01;
/// How long to wait for an event before looking around.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn run(context: &mut Context<'_>, said: &ImportSaid) -> Result<()> {
    let mut engine = start_engine(context.job)?;
    let files = Files::find(said.folder()?, said.epoch)?;
    let config = Config::read(&files.config)?;
    let last = files.last()?;
    let latents = read_latents(&last.latents)?;
    let weights = Weights::open(&last.weights)?;
    let (layout, revision) = (weights.layout(&config)?, weights.revision()?);
    let found = particles::find(said, &files, &config, latents.nrows())?;
    for note in found.set.notes.iter().chain(&found.notes) {
        context.say(note);
    }
    for warning in &found.set.warnings {
        context.warn(warning);
    }
    let apix = render_apix(context, &config, &found.set);
    let model = Model { revision, layout, epoch: last.number, particles: latents.nrows(), size_px: config.size_px, apix };
    engine.greet()?;
    let cpu = engine.devices.iter().find(|device| device.id == "cpu").or(engine.devices.first()).cloned();
    let device = cpu.ok_or_else(|| Problem::new(Kind::Device, "nothing to run on"))?;
    let decided = imported::decide(&model, device, threads(context.job));
    say_decided(context, &engine, &decided);
    context.results.change(|now| now.complete = false)?;

    let mask = mask(context, &weights, &model)?;
    write_volume(&context.path(MASK), &embedded(&mask, model.size_px, apix))?;
    drop(weights);
    let shared = Shared {
        decided: &decided,
        config: &config,
        particles: latents.nrows(),
        mask: embedded(&mask, model.size_px, apix).data,
        image_scale: image_scale(&config, revision),
    };
    for epoch in &files.epochs {
        adopt(context, &mut engine, epoch, &shared)?;
    }
    npy::write(&context.path(LATENTS), latents.view())?;
    let rows: Vec<usize> = (0..found.set.len()).collect();
    subset::write_rows(&context.path(PARTICLES), &found.set, &rows)?;
    settle(context, &engine, &decided, &config, found.star.clone().unwrap_or_else(|| context.path(PARTICLES)), &rows)?;
    encode_kit::keep_images(context.folder(), &Images::of_grid(decided.grid.size_px, decided.map_apix))?;
    let imported = Imported {
        original: &files.folder,
        epochs: &files.epochs.iter().map(|epoch| epoch.number).collect::<Vec<_>>(),
        particles: &found.set,
        from: found.star.as_deref(),
        latents: &latents,
        decided: &decided,
    };
    imported.write(context)?;
    publish(context, &decided, last.number)
}

/// Pixel size of the down-sampled images, Å. That of the particles counts: `config.pkl` holds one for all of them, which may be the images'.
fn render_apix(context: &mut Context<'_>, config: &Config, set: &ParticleSet) -> f64 {
    let Some(image_apix) = set.groups.first().map(|group| group.apix).filter(|apix| *apix > 0.0) else { return config.apix };
    let expected = image_apix * config.box_px as f64 / config.size_px as f64;
    let agrees = |with: f64| (config.apix / with - 1.0).abs() < SAME_APIX;
    if agrees(expected) {
        return config.apix;
    }
    if !agrees(image_apix) {
        context.warn(&format!(
            "`config.pkl` speaks of {:.4} Å a pixel, the particles of {image_apix:.4} Å, {expected:.4} Å once down-sampled: the particles' counts",
            config.apix
        ));
    }
    expected
}

/// The decoder's mask, or all of the rendered region where it was trained without one.
fn mask(context: &mut Context<'_>, weights: &Weights, model: &Model) -> Result<Array3<f32>> {
    let side = model.layout.crop;
    Ok(weights.decoder_mask()?.unwrap_or_else(|| {
        context.warn("the weights hold no mask: nothing is masked");
        Array3::ones((side, side, side))
    }))
}

/// Factor on images in their own grey scale that the encoder saw: the second revision divided by a standard deviation, the first took them as
/// they are but lost the square of the down-sampling on the way to its grid.
fn image_scale(config: &Config, revision: Revision) -> f64 {
    match revision {
        Revision::First => (config.size_px as f64 / config.box_px as f64).powi(2),
        Revision::Second => config.image_std.map_or(1.0, |std| 1.0 / std),
    }
}

/// What all epochs share.
struct Shared<'r> {
    decided: &'r Decided,
    config: &'r Config,
    particles: usize,
    /// `[size_px, size_px, size_px]`.
    mask: Array3<f32>,
    image_scale: f64,
}

/// One epoch's checkpoint.
fn adopt(context: &mut Context<'_>, engine: &mut Engine, epoch: &Epoch, shared: &Shared<'_>) -> Result<()> {
    let (weights, decided) = (Weights::open(&epoch.weights)?, shared.decided);
    if weights.layout(shared.config)? != decided.train.layout {
        return Err(Problem::input("its networks have other shapes than those of the newest epoch")
            .at(epoch.weights.display().to_string())
            .hint("import the epochs of one run"));
    }
    let latents = read_latents(&epoch.latents)?;
    if latents.dim() != (shared.particles, decided.train.layout.zdim) {
        let zdim = decided.train.layout.zdim;
        return Err(Problem::input(format!(
            "has {} latents of {} dimensions, expected {} of the {zdim} that the decoder takes",
            latents.nrows(),
            latents.ncols(),
            shared.particles
        ))
        .at(epoch.latents.display().to_string())
        .hint("give `weights.N.pkl` and `z.N.pkl` of one run"));
    }
    let folder = context.make_folder(HANDED_OVER)?;
    let spec = AdoptSpec {
        weights: folder.join("weights.safetensors"),
        fixed: folder.join("fixed.safetensors"),
        latents: folder.join("latents.npy"),
        epoch: epoch.number,
        size_px: decided.grid.size_px,
        apix: decided.map_apix,
        settings: decided.train.clone(),
        checkpoints: context.path(CHECKPOINTS),
    };
    let layers = weights.names().map(|name| weights.layer(name).map(|layer| (name.to_owned(), layer))).collect::<Result<Vec<_>>>()?;
    write_tensors(&spec.weights, layers.iter().map(|(name, (shape, data))| (name.as_str(), Dtype::F32, shape.clone(), data.as_slice())))?;
    write_fixed(&spec.fixed, shared, &weights)?;
    npy::write(&spec.latents, latents.view())?;
    engine.send(&Command::Adopt(Box::new(spec)))?;
    let answer = loop {
        let Some(event) = engine.next(PATIENCE)? else { continue };
        context.events.add(&event);
        match event {
            Event::Checkpoint { folder, .. } => break Ok(folder),
            Event::Failed { problem } => break Err(problem.hint(format!("look at {}", epoch.weights.display()))),
            _ => {}
        }
    };
    let _ = std::fs::remove_dir_all(&folder);
    let checkpoint = answer?;
    context.say(&format!("epoch {}: {} particles, {}", epoch.number, latents.nrows(), checkpoint.display()));
    Ok(())
}

fn write_fixed(path: &Path, shared: &Shared<'_>, weights: &Weights) -> Result<()> {
    let bytes = |mask: &Array3<f32>| mask.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let shape = |mask: &Array3<f32>| vec![mask.dim().0; 3];
    let own = weights.encoder_mask()?;
    let (decoder, scale) = (bytes(&shared.mask), shared.image_scale.to_le_bytes());
    let encoder = own.as_ref().map(|mask| (shape(mask), bytes(mask)));
    let mut tensors = vec![("mask", Dtype::F32, shape(&shared.mask), decoder.as_slice()), ("image_scale", Dtype::F64, vec![1], &scale[..])];
    if let Some((shape, data)) = &encoder {
        tensors.push(("encoder_mask", Dtype::F32, shape.clone(), data));
    }
    write_tensors(path, tensors.into_iter())
}

fn write_tensors<'a>(path: &Path, tensors: impl Iterator<Item = (&'a str, Dtype, Vec<usize>, &'a [u8])>) -> Result<()> {
    let failed =
        |e: safetensors::SafeTensorError| Problem::failed(format!("tensors cannot be written: {e}")).at(path.display().to_string());
    let views = tensors
        .map(|(name, kind, shape, data)| Ok((name, TensorView::new(kind, shape, data)?)))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(failed)?;
    safetensors::serialize_to_file(views, None, path).map_err(failed)
}

/// Writes what was decided, as a trained job does.
fn settle(
    context: &mut Context<'_>,
    engine: &Engine,
    decided: &Decided,
    config: &Config,
    particles: PathBuf,
    rows: &[usize],
) -> Result<()> {
    let input = settings_file::Input {
        fingerprint: Fingerprint::new("imported").and_content(&particles)?.text(),
        particles,
        rows: rows.len(),
        mask: None,
        mask_fingerprint: None,
        reference: None,
        reference_fingerprint: None,
        unseen_box_px: Some(config.box_px),
    };
    settings_file::write(context.folder(), &provenance(context, engine, input, decided))
}

fn publish(context: &mut Context<'_>, decided: &Decided, epoch: usize) -> Result<()> {
    context.results.change(|now| {
        (now.epoch, now.zdim) = (epoch, decided.train.layout.zdim);
        (now.apix, now.box_px) = (decided.map_apix, decided.map_box_px);
        (now.particles, now.latents) = (PARTICLES.into(), Some(LATENTS.into()));
        now.weights = Some(format!("{CHECKPOINTS}/epoch-{epoch:03}"));
    })?;
    nodes::write(
        context.folder(),
        &context.job.folder_name,
        &[Node { file: PARTICLES.into(), content: Content::Particles }, Node { file: LOGFILE.into(), content: Content::Log }],
        context.host,
    )?;
    context.results.change(|now| now.complete = true)?;
    next::say(context, &next::of_imported(context));
    Ok(())
}
