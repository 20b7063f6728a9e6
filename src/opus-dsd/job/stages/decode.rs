//! Stage `decode`: one map a cluster, at the box and pixel size of the consensus.

use super::cluster::Findings;
use super::context::Context;
use super::publish;
use crate::job::engine_process::Engine;
use crate::job::npy;
use crate::job::stage::Fingerprint;
use crate::settings::decided::Decided;
use contract::{Command, DecodeSpec, Event, Problem, Result, TrainOutcome};
use std::path::PathBuf;
use std::time::Duration;

/// How long to wait for an event before looking around.
const PATIENCE: Duration = Duration::from_secs(1);

/// Map of a cluster, from 1.
pub(crate) fn map_file(class: usize) -> String {
    format!("cluster{class:03}.mrc")
}

/// Maps of all clusters, in order.
pub(crate) fn map_paths(context: &Context<'_>, found: &Findings) -> Vec<PathBuf> {
    (0..found.clusters.len()).map(|c| context.path(&map_file(found.clusters.class_number(c)))).collect()
}

/// What maps by the job's model depend on, besides which latents they are of.
pub(crate) fn ground(decided: &Decided, outcome: &TrainOutcome, found: &Findings) -> Fingerprint {
    found.fingerprint.clone().and(&outcome.checkpoint).and(&decided.train.shaping()).and(&decided.map_form())
}

pub(crate) fn run(
    context: &mut Context<'_>,
    engine: &mut Engine,
    decided: &Decided,
    outcome: &TrainOutcome,
    found: &Findings,
) -> Result<()> {
    context.stage("decode", &ground(decided, outcome, found), |context| {
        let centres = context.path("stages").join("centres.npy");
        npy::write(&centres, found.clusters.centers.view())?;
        let outputs = map_paths(context, found);
        let all = publish::volumes(found);
        let spec = spec(decided, outcome, centres, outputs.clone());
        context.results.change(|now| now.volumes.clear())?;
        maps(context, engine, spec, |context, index| context.results.change(|now| now.volumes.push(all[index].clone())))?;
        publish::cluster_nodes(context, found)?;
        Ok(outputs)
    })
}

/// Maps of latents in the job's own form, one file a row of `latents`.
pub(crate) fn spec(decided: &Decided, outcome: &TrainOutcome, latents: PathBuf, outputs: Vec<PathBuf>) -> DecodeSpec {
    DecodeSpec {
        checkpoint: outcome.checkpoint.clone(),
        latents,
        outputs,
        form: decided.map_form(),
        device: decided.grid.device.id.clone(),
        threads: decided.grid.threads_after_training(),
    }
}

/// Has the engine decode; `there` hears of every map once its file is whole, in order.
pub(crate) fn maps(
    context: &mut Context<'_>,
    engine: &mut Engine,
    spec: DecodeSpec,
    mut there: impl FnMut(&mut Context<'_>, usize) -> Result<()>,
) -> Result<()> {
    engine.send(&Command::Decode(spec))?;
    loop {
        let Some(event) = engine.next(PATIENCE)? else { continue };
        context.events.add(&event);
        match event {
            Event::Decoded { index, .. } => there(context, index)?,
            Event::DecodeDone => return Ok(()),
            Event::Failed { problem } => return Err(problem),
            Event::Warning { message } => context.warn(&message),
            Event::Log { message } => context.say(&message),
            Event::Stopped => return Err(Problem::failed("decoding was stopped")),
            _ => {}
        }
    }
}
