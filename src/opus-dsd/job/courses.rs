//! Which stages a job runs, by its verb.

mod analysis;
pub(crate) mod checking;
mod decoding;
mod encoding;
mod importing;
pub(crate) mod selecting;
mod training;

use super::console::Console;
use super::engine_process::Engine;
use super::events::OwnEvent;
use super::order::{Job, Order};
use super::settings_file::{self, Provenance};
use super::stages::context::Context;
use super::stop::Stop;
use crate::BUILD_ID;
use crate::host::relion::job_star::{self, HostVersion};
use crate::machine::setting::Setting;
use crate::settings::decided::Decided;
use crate::settings::said::ImagesSaid;
use crate::settings::values::InvertData;
use contract::{Problem, Result, VERSION};
use cryoem::particles::{ReadOptions, Unseen};
use cryoem::prepare::Invert;

/// Runs a whole job, or what is left of it.
pub(crate) fn run(job: &Job, console: &mut Console, stop: &Stop) -> Result<()> {
    let job_star = job_star::of_folder(&job.folder)?;
    let host = job_star.as_ref().map_or(HostVersion::Unknown, |j| j.version);
    let mut context = Context::open(job, console, stop, host)?;
    introduce(&mut context, job_star.is_some_and(|j| j.continued));
    match &job.order {
        Order::Train(said) => training::run(&mut context, said),
        Order::Analyse(said) => analysis::run(&mut context, said),
        Order::Decode(said) => decoding::run(&mut context, said),
        Order::Encode(said) => encoding::run(&mut context, said),
        Order::Select(said) => selecting::run(&mut context, said),
        Order::Check(said) => checking::run(&mut context, said),
        Order::Import(said) => importing::run(&mut context, said),
    }?;
    context.events.add(&OwnEvent::End);
    context.say("all done");
    Ok(())
}

/// Starts the engine; it loads its libraries while the caller goes on. Its end, at a moment when nobody waits for it, ends the worker.
fn start_engine(job: &Job) -> Result<Engine> {
    Engine::start(threads(job), ends(job))
}

/// Ends the worker with a problem that shows beside its work; every file that it writes is whole or not there.
fn ends(job: &Job) -> impl Fn(Problem) + Send + Sync + 'static {
    let (folder, verb) = (job.folder.clone(), job.order.verb());
    move |problem| {
        Console::open(&folder).of_verb(verb).problem(&problem);
        std::process::exit(problem.kind.exit_status().into());
    }
}

/// What the job depends on, as it is written down.
fn provenance(context: &Context<'_>, engine: &Engine, input: settings_file::Input, decided: &Decided) -> Provenance {
    Provenance {
        version: VERSION.into(),
        build_id: BUILD_ID.into(),
        torch: engine.torch.clone(),
        host: context.host.words().into(),
        command: context.job.command.clone(),
        setting: Some(Setting::now()),
        order: Some(context.job.order.clone()),
        trained_job: None,
        input,
        settings: decided.clone(),
    }
}

/// How the particles of a job were read, and how their sign was found.
struct Reading {
    options: ReadOptions,
    invert: Invert,
}

/// How those of a job with latents were, by its settings.
///
/// # Errors
/// The job that trained its model has none.
fn reading_of(before: &Provenance) -> Result<Reading> {
    match (&before.order, &before.trained_job) {
        (Some(Order::Train(said)), _) => {
            Ok(Reading { options: said.images.options(), invert: said.invert_data.unwrap_or(InvertData::Auto).into() })
        }
        (Some(Order::Import(said)), _) => {
            let unseen = before.input.unseen_box_px.map(Unseen::of_box);
            Ok(Reading { options: ReadOptions { unseen, ..said.images.options() }, invert: Invert::Auto })
        }
        (Some(Order::Encode(said)), Some(model)) => Ok(reading_like(&said.images, &settings_file::of_trained(model)?)),
        _ => Ok(Reading { options: ReadOptions::default(), invert: Invert::Auto }),
    }
}

/// How other particles are, for the model of a job that trained.
fn reading_like(said: &ImagesSaid, model: &Provenance) -> Reading {
    match &model.order {
        Some(Order::Train(before)) => {
            Reading { options: said.clone().or(&before.images).options(), invert: before.invert_data.unwrap_or(InvertData::Auto).into() }
        }
        _ => Reading { options: said.options(), invert: Invert::Auto },
    }
}

/// Says what is decided, and why.
fn say_decided(context: &mut Context<'_>, engine: &Engine, decided: &Decided) {
    context.say(&format!("engine: libtorch {}", engine.torch));
    for reason in &decided.reasons {
        context.say(&format!("  {:<20} {:<28} {}", reason.name, reason.value, reason.reason));
    }
}

/// Threads that the job may use.
fn threads(job: &Job) -> usize {
    job.order.threads().unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
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
