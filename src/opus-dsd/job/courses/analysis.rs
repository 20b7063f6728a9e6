//! `analyse`: the states of a trained job, found and shown again at any of its epochs, in a folder of its own.

use super::{provenance, reading_of, say_decided, start_engine, threads};
use crate::job::engine_process::Engine;
use crate::job::results;
use crate::job::settings_file::{self, Provenance};
use crate::job::source::{self, ITS_CLASSES, Source};
use crate::job::stage::Fingerprint;
use crate::job::stages::base::{BASE, MASK};
use crate::job::stages::compare::{self, Other};
use crate::job::stages::context::Context;
use crate::job::stages::read::Input;
use crate::job::stages::report::Material;
use crate::job::stages::series::Extent;
use crate::job::stages::{check, cluster, decode, differences, embed, prepare, publish, reconstruct, report, series, train};
use crate::job::trained::Trained;
use crate::job::{chosen, npy, wishes};
use crate::settings::decided::{self, Decided, Reason};
use crate::settings::defaults::{POINTS, VARIABILITY};
use crate::settings::devices;
use crate::settings::rules;
use crate::settings::said::{AnalyseSaid, MapsSaid};
use crate::settings::values::{Epoch, JobEpoch};
use contract::{Problem, Result, TrainOutcome};
use cryoem::mrc::read_volume;
use cryoem::particles::{self, ParticleSet, ReadOptions};
use cryoem::subset;
use std::path::PathBuf;

/// Latents of the chosen epoch, for the stages that follow.
const LATENTS: &str = "epoch-latents.npy";

pub(super) fn run(context: &mut Context<'_>, said: &AnalyseSaid) -> Result<()> {
    context.ledger.redo_if(said.redo.is_said());
    let mut engine = start_engine(context.job)?;
    let trained = Trained::open_at(&said.trained.folder()?, said.trained.epoch)?;
    if trained.latents.nrows() < 2 {
        return Err(Problem::input("holds one particle, which has no neighbours")
            .at(said.trained.folder()?.display().to_string())
            .hint("choose two particles at least"));
    }
    let before = settings_file::of_trained(&trained.latents_of)?;
    let mut reading = reading_of(&before)?;
    reading.options.datadir = said.datadir.clone().or(reading.options.datadir);
    if said.halves.is_some_and(|yes| yes.0) {
        // Maps from the particles themselves need what an imported job has not looked at.
        reading.options.unseen = None;
    }
    let input = read_particles(context, &trained, &reading.options)?;
    let other = said.compare.as_ref().map(|with| other(context, with, &input.particles)).transpose()?;
    engine.greet()?;
    let decided = decide(said, &trained, &before, &engine, threads(context.job))?;
    let extent = Extent::new(said.pcs.unwrap_or(0), said.paths.clone().map_or_else(Vec::new, |ways| ways.0), said.points.unwrap_or(POINTS));
    said.grouping.clusters.map_or(Ok(()), |clusters| extent.check(clusters.min(trained.latents.nrows())))?;
    let colours = said.colour_by.clone().map_or_else(Vec::new, |labels| labels.0);
    report::particles::asked_for(&input.particles, &colours)?;
    said.in_mask.as_deref().map(|path| differences::part(path, &decided.map_form())).transpose()?;
    settle(context, &trained, &before, &decided, &engine)?;
    for stage in [check::STAGE, prepare::STAGE] {
        context.warn_as_before(&trained.folder, stage);
    }
    let outcome = outcome(context, &trained)?;
    let embedded = embed::run(context, &outcome, decided.train.seed)?;
    let found = cluster::run(context, &input, &decided, embedded)?;
    extent.check(found.clusters.len())?;
    decode::run(context, &mut engine, &decided, &outcome, &found)?;
    let series = series::run(context, &mut engine, &decided, &outcome, &found, &extent)?;
    let (base, mask) = (trained.folder.join(BASE), trained.folder.join(MASK));
    if said.halves.is_some_and(|yes| yes.0) {
        let ground = reconstruct::Ground { mask: mask.clone(), invert: reading.invert, fingerprint: before.input.fingerprint.clone() };
        reconstruct::run(context, &input, &decided, &found, &ground)?;
    } else {
        context.results.change(|now| now.halves.clear())?;
    }
    let base = base.exists().then_some(base);
    let ground = differences::Ground {
        base: base.clone(),
        solvent: mask.clone(),
        region: said.in_mask.clone(),
        pairs: extent.ends(),
        samples: said.variability.unwrap_or(VARIABILITY),
    };
    differences::run(context, &mut engine, &decided, &outcome, &found, &ground)?;
    let compared = compare::run(context, &mut engine, &decided, &found, &mask, other)?;
    let material = Material {
        base,
        image_apix: read_volume(&mask)?.apix,
        solvent: mask,
        monitor: trained.folder.join(train::MONITOR),
        fingerprint: Fingerprint::new("analyse").and(&before.input).and(&trained.epoch),
        series,
        compared,
        colours,
    };
    let plots = report::run(context, &input, &decided, &outcome, &found, &material)?;
    publish::run(context, &outcome, &found, &plots)
}

/// The job to compare with; of an analysis, at the epoch that it looked at.
fn other(context: &mut Context<'_>, with: &JobEpoch, particles: &ParticleSet) -> Result<Other> {
    let at = |p: Problem| if p.culprit.is_some() { p } else { p.at("`--compare`") };
    let folder = PathBuf::from(&with.job);
    let results = results::read(&folder)?;
    let its_own = results.as_ref().map(|r| r.epoch).filter(|&epoch| epoch > 0).map_or(Epoch::Latest, Epoch::Number);
    let trained = Trained::open(&folder, with.epoch.map_or(its_own, Epoch::Number)).map_err(at)?;
    let reading = reading_of(&settings_file::of_trained(&trained.latents_of).map_err(at)?)?;
    let pairs = compare::shared(particles, &with.job, &read_particles(context, &trained, &reading.options)?.particles)?;
    // What the job itself shows, where it shows this epoch.
    let results = results.filter(|r| r.complete && r.epoch == trained.epoch && !r.volumes.is_empty());
    Ok(Other { name: with.job.clone(), folder, trained, pairs, results })
}

/// The particles that the latents are of.
fn read_particles(context: &mut Context<'_>, trained: &Trained, options: &ReadOptions) -> Result<Input> {
    let chosen = trained.chosen.clone();
    let rows = chosen.as_ref().map_or(trained.latents.nrows(), |chosen| chosen.of);
    let other = |found: &ParticleSet| (found.len() != rows).then(|| format!("holds {} particles now, the job {rows}", found.len()));
    let Source { path, particles, note } =
        source::of_job(&trained.latents_of, &trained.latents_of, |path| particles::read(path, options), other)?;
    if let Some(note) = note {
        context.warn(&format!("{note}{ITS_CLASSES}"));
    }
    if particles.len() != rows {
        return Err(Problem::input(format!("holds {} particles, the trained job has latents of {rows}", particles.len()))
            .at(path.display().to_string())
            .hint("give the trained job's folder as it was left"));
    }
    let particles = match &chosen {
        Some(chosen) => subset::only(particles, &chosen.rows)?,
        None => particles,
    };
    Ok(Input { path, particles, chosen, mask: None, reference: None })
}

/// The trained job's values, with what is said now.
fn decide(said: &AnalyseSaid, trained: &Trained, before: &Provenance, engine: &Engine, threads: usize) -> Result<Decided> {
    let mut decided = before.settings.clone();
    let device = devices::choose_device((said.machine.device.as_deref(), said.machine.gpu.as_deref(), None), &engine.devices)?;
    decided.grid.set_one_engine(device, threads);
    decided.set_map_form(wishes::form(&said.maps, trained)?);
    decided.cluster_method = said.grouping.cluster_method.unwrap_or_default();
    decided.clusters = said.grouping.clusters;
    decided.train.seed = said.seed.unwrap_or(decided.train.seed);
    decided.plot = said.plot.is_none_or(|p| p.0);
    let whence = |given: bool, otherwise: &'static str| if given { "as said" } else { otherwise };
    const KEPT: &str = "as the trained job";
    let grid = &decided.grid;
    let reasons = [
        ("trained job", trained.folder.display().to_string(), "as said"),
        (
            "epoch",
            trained.epoch.to_string(),
            whence(said.trained.epoch.is_some(), "as the job that was named, or the latest of a training"),
        ),
        (
            "device",
            format!("{} ({})", grid.device.id, grid.device.name),
            whence(said.machine.device.is_some() || said.machine.gpu.is_some(), "the best there is"),
        ),
        ("preset", rules::preset_name(grid.preset).into(), KEPT),
        ("zdim", decided.train.layout.zdim.to_string(), KEPT),
        ("seed", decided.train.seed.to_string(), whence(said.seed.is_some(), KEPT)),
        ("maps", wishes::in_words(&decided.map_form()), whence(said.maps != MapsSaid::default(), KEPT)),
    ];
    decided.reasons = reasons.into_iter().map(|(name, value, reason)| Reason { name: name.into(), value, reason: reason.into() }).collect();
    decided.reasons.extend(decided::cluster_reasons(&said.grouping));
    Ok(decided)
}

/// Says and writes what is decided.
fn settle(context: &mut Context<'_>, trained: &Trained, before: &Provenance, decided: &Decided, engine: &Engine) -> Result<()> {
    say_decided(context, engine, decided);
    if let Some(chosen) = &trained.chosen {
        context.say(&format!("particles: {}, by {}", chosen.in_words(), chosen.selection.display()));
    }
    let now = Provenance { trained_job: Some(trained.latents_of.clone()), ..provenance(context, engine, before.input.clone(), decided) };
    settings_file::write(context.folder(), &now)?;
    context.results.change(|now| {
        (now.epoch, now.zdim) = (trained.epoch, decided.train.layout.zdim);
        (now.apix, now.box_px) = (decided.map_apix, decided.map_box_px);
        now.origin_angstrom = decided.map_touch.origin_angstrom;
        now.trained_job = Some(trained.latents_of.to_string_lossy().into_owned());
    })?;
    chosen::write(&context.job.folder, &mut context.results, trained.chosen.as_ref())
}

/// As if the trained job had just ended at that epoch.
fn outcome(context: &Context<'_>, trained: &Trained) -> Result<TrainOutcome> {
    let latents: PathBuf = context.path("stages").join(LATENTS);
    npy::write(&latents, trained.latents.view())?;
    Ok(TrainOutcome { checkpoint: trained.checkpoint.clone(), epochs: trained.epoch, latents, notes: Vec::new() })
}
