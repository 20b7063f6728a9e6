//! `train`: from particles to states.

use super::{ends, provenance, say_decided, start_engine};
use crate::job::encode_kit;
use crate::job::engine_process::Engine;
use crate::job::muster::Muster;
use crate::job::settings_file;
use crate::job::stages::context::Context;
use crate::job::stages::report::Material;
use crate::job::stages::{base, check, cluster, decode, embed, prepare, publish, read, report, subspace, train};
use crate::settings::decided::{self, Decided};
use crate::settings::said::TrainSaid;
use contract::Result;

pub(super) fn run(context: &mut Context<'_>, said: &TrainSaid) -> Result<()> {
    let launch = context.job.order.launch()?;
    let mut muster = launch.as_ref().map(|launch| Muster::call(context.folder(), launch, ends(context.job))).transpose()?;
    let mut engine = start_engine(context.job)?;
    let input = read::run(context, said)?;
    engine.greet()?;
    let facts = input.facts()?;
    let (grid, book) = decided::grid(said, &facts, &engine.devices, launch.as_ref())?;
    let fingerprint = prepare::fingerprint(said, &input, &grid)?;
    let mask = prepare::mask(&input, &facts, &grid)?;
    let crop_px = prepare::crop_px(&mask, &grid);
    let decided = decided::decide(said, &facts, grid, book, crop_px);
    settle(context, &engine, &input, &decided, &fingerprint)?;
    decided.idle_ranks().iter().for_each(|warning| context.warn(warning));
    let given = check::Wish::of_training(said, &input);
    check::run(context, &input.particles, &given, &fingerprint)?;
    let options = prepare::options(said, &decided.grid);
    let images = prepare::run(context, &input.particles, &options, said.scratch.as_deref(), &fingerprint)?;
    encode_kit::keep_images(context.folder(), &(&images.prepared).into())?;
    let ground = base::run(context, &input, &decided, &images, mask)?;
    let scores = subspace::run(context, &decided, &images, &ground)?;
    let outcome = train::run(context, &mut engine, &decided, &ground, &images, scores, muster.as_mut())?;
    if let Some(muster) = &muster {
        muster.excuse();
    }
    for note in &outcome.notes {
        context.say(note);
    }
    let embedded = embed::run(context, &outcome, decided.train.seed)?;
    let found = cluster::run(context, &input, &decided, embedded)?;
    decode::run(context, &mut engine, &decided, &outcome, &found)?;
    let material = Material {
        base: ground.base.or_else(|| input.reference.as_ref().map(|r| r.path.clone())),
        image_apix: ground.apix,
        solvent: ground.mask,
        monitor: context.path(train::MONITOR),
        fingerprint: ground.fingerprint,
        series: Vec::new(),
        compared: None,
        colours: Vec::new(),
    };
    let plots = report::run(context, &input, &decided, &outcome, &found, &material)?;
    publish::run(context, &outcome, &found, &plots)?;
    if let Some(muster) = muster {
        muster.farewell();
    }
    prepare::leave_scratch(context, said, &images.prepared)
}

/// Holds what is decided against what was decided before, says it, and writes it.
fn settle(context: &mut Context<'_>, engine: &Engine, input: &read::Input, decided: &Decided, fingerprint: &str) -> Result<()> {
    let from = settings_file::Input {
        particles: input.path.clone(),
        rows: input.particles.len(),
        fingerprint: fingerprint.to_owned(),
        mask: input.mask.as_ref().map(|m| m.path.clone()),
        mask_fingerprint: input.mask.as_ref().map(|m| m.fingerprint.clone()),
        reference: input.reference.as_ref().map(|r| r.path.clone()),
        reference_fingerprint: input.reference.as_ref().map(|r| r.fingerprint.clone()),
        unseen_box_px: None,
    };
    let now = provenance(context, engine, from, decided);
    say_decided(context, engine, decided);
    if let Some(before) = settings_file::read(context.folder())? {
        for line in settings_file::changes(&before, &now)? {
            context.say(&line);
        }
    }
    settings_file::write(context.folder(), &now)
}
