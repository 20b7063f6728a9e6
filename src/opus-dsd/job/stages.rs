//! The stages of a job, in order: read, prepare, base, subspace, train, cluster, decode, report, publish.

pub(crate) mod base;
pub(crate) mod cluster;
pub(crate) mod context;
pub(crate) mod decode;
pub(crate) mod prepare;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod subspace;
pub(crate) mod train;

use super::console::Console;
use super::engine_process::Engine;
use super::events::OwnEvent;
use super::order::Job;
use super::settings_file::{self, Provenance};
use super::stop::Stop;
use crate::BUILD_ID;
use crate::host::relion::job_star::{self, HostVersion};
use crate::settings::decided::{self, Decided};
use context::Context;
use contract::{Result, VERSION};

/// Runs a whole job, or what is left of it.
pub(crate) fn run(job: &Job, console: &mut Console, stop: &Stop) -> Result<()> {
    let job_star = job_star::of_folder(&job.folder)?;
    let host = job_star.as_ref().map_or(HostVersion::Unknown, |j| j.version);
    let mut context = Context::open(job, console, stop, host)?;
    let context = &mut context;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // It loads its libraries while the particles are read.
    let folder = job.folder.clone();
    let mut engine = Engine::start(job.said.threads.unwrap_or(cores), move |problem| {
        Console::open(&folder).problem(&problem);
        std::process::exit(problem.kind.exit_status().into());
    })?;
    introduce(context, job_star.is_some_and(|j| j.continued));
    let input = read::run(context)?;
    engine.greet()?;
    let facts = input.facts()?;
    let (grid, book) = decided::grid(&job.said, &facts, &engine.devices)?;
    let fingerprint = prepare::fingerprint(job, &input, &grid)?;
    let mask = prepare::mask(&input, &facts, &grid)?;
    let crop_px = prepare::crop_px(&mask, &grid);
    let decided = decided::decide(&job.said, &facts, grid, book, crop_px);
    settle(context, &engine, &input, &decided, &fingerprint)?;
    let prepared = prepare::run(context, &input, &decided, &fingerprint)?;
    let ground = base::run(context, &input, &decided, &prepared, mask)?;
    let scores = subspace::run(context, &decided, &prepared.0, &ground)?;
    let outcome = train::run(context, &mut engine, &decided, &ground, scores)?;
    for note in &outcome.notes {
        context.say(note);
    }
    let found = cluster::find(&decided, &outcome)?;
    cluster::run(context, &input.particles, &input.path, &found)?;
    publish::cluster_nodes(context, &found)?;
    decode::run(context, &mut engine, &decided, &outcome, &found)?;
    publish::cluster_nodes(context, &found)?;
    let plots = report::run(context, &input, &decided, &outcome, &found, &ground)?;
    publish::run(context, &decided, &outcome, &found, &plots)?;
    context.events.add(&OwnEvent::End);
    context.say("all done");
    Ok(())
}

fn introduce(context: &mut Context<'_>, continued: bool) {
    context.events.add(&OwnEvent::Begin { version: VERSION, command: &context.job.command });
    let continued = if continued { ", continued" } else { "" };
    context.say(&format!("opus-dsd {VERSION} ({BUILD_ID}); host: {}{continued}", context.host.words()));
    context.say(&format!("command: {}", context.job.command.join(" ")));
    if context.host == HostVersion::Newer {
        context.warn("this RELION is newer than this program; its nodes get the newest labels that are known");
    }
    for note in &context.job.notes {
        context.console.say(&format!("note: {note}"));
    }
}

/// Holds what is decided against what was decided before, says it, and writes it.
fn settle(context: &mut Context<'_>, engine: &Engine, input: &read::Input, decided: &Decided, fingerprint: &str) -> Result<()> {
    let now = Provenance {
        version: VERSION.into(),
        build_id: BUILD_ID.into(),
        torch: engine.torch.clone(),
        host: context.host.words().into(),
        command: context.job.command.clone(),
        input: settings_file::Input {
            particles: input.path.clone(),
            rows: input.particles.len(),
            fingerprint: fingerprint.to_owned(),
            mask: input.mask.as_ref().map(|m| m.path.clone()),
            mask_fingerprint: input.mask.as_ref().map(|m| m.fingerprint.clone()),
            reference: input.reference.as_ref().map(|r| r.path.clone()),
            reference_fingerprint: input.reference.as_ref().map(|r| r.fingerprint.clone()),
        },
        settings: decided.clone(),
    };
    context.say(&format!("engine: libtorch {}", engine.torch));
    for reason in &decided.reasons {
        context.say(&format!("  {:<20} {:<28} {}", reason.name, reason.value, reason.reason));
    }
    if let Some(before) = settings_file::read(context.folder())? {
        for line in settings_file::changes(&before, &now)? {
            context.say(&line);
        }
    }
    settings_file::write(context.folder(), &now)
}
