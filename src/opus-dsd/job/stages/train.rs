//! Stage `train`: the engine trains, and encodes all particles at the end.

use super::context::Context;
use super::prepare::Images;
use super::publish;
use crate::job::checkpoints::CHECKPOINTS;
use crate::job::crew::Crew;
use crate::job::engine_process::Engine;
use crate::job::muster::Muster;
use crate::job::progress::Progress;
use crate::job::stage::Fingerprint;
use crate::job::{atomic, drift};
use crate::settings::decided::Decided;
use crate::settings::values::JobEpoch;
use contract::{Event, Kind, Problem, Result, TrainOutcome, TrainSpec};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folder of the loss curves' numbers and image panels.
pub(crate) const MONITOR: &str = "monitor";
/// Latents of all particles in a checkpoint's folder.
pub(crate) const LATENTS: &str = "latents.npy";
/// What training left, for the stages that follow in a later run.
const OUTCOME: &str = "outcome.json";
/// How long to wait for an event before looking around.
const PATIENCE: Duration = Duration::from_secs(1);

/// Files that training starts from.
pub(crate) struct Ground {
    pub(crate) prepared: PathBuf,
    pub(crate) base: Option<PathBuf>,
    pub(crate) mask: PathBuf,
    /// Pixel size of the prepared images, Å.
    pub(crate) apix: f64,
    /// Of everything above.
    pub(crate) fingerprint: Fingerprint,
}

pub(crate) fn run(
    context: &mut Context<'_>,
    engine: &mut Engine,
    decided: &Decided,
    ground: &Ground,
    images: &Images<'_>,
    scores: Option<PathBuf>,
    muster: Option<&mut Muster>,
) -> Result<TrainOutcome> {
    let load = decided.load.as_ref().map(checkpoint_of).transpose()?;
    let fingerprint = ground.fingerprint.clone().and(&decided.train.shaping()).and(&decided.load);
    let spec = TrainSpec {
        prepared: ground.prepared.clone(),
        base: ground.base.clone(),
        mask: ground.mask.clone(),
        scores,
        checkpoints: context.path(CHECKPOINTS),
        load,
        preview: context.path(&format!("{}.mrc", decided.preview)),
        // The render grid's voxels, centre on centre with those of the maps.
        preview_origin_angstrom: decided.map_form().on_grid(decided.grid.size_px, ground.apix).origin_angstrom,
        monitor: context.path(MONITOR),
        settings: decided.train.clone(),
        device: decided.grid.device.id.clone(),
        threads: decided.grid.threads_an_engine(),
        world: None,
    };
    let written = context.path(CHECKPOINTS).join(OUTCOME);
    context.stage("train", &fingerprint, |context| {
        images.ensure(context)?;
        let crew = Crew::gather(context, engine, &decided.grid, muster)?;
        let outcome = train(context, crew, decided, spec)?;
        let latents = outcome.latents.clone();
        atomic::write_json(&written, &within(context.folder(), outcome))?;
        Ok(vec![written, latents])
    })?;
    read_outcome(context.folder())
}

/// The outcome with paths relative to the job folder, so that a copied job uses its own files.
fn within(folder: &Path, outcome: TrainOutcome) -> TrainOutcome {
    let relative = |path: PathBuf| path.strip_prefix(folder).map(Path::to_path_buf).unwrap_or(path);
    TrainOutcome { checkpoint: relative(outcome.checkpoint), latents: relative(outcome.latents), ..outcome }
}

/// What training left in a job folder.
///
/// # Errors
/// It is not there, or is not understood.
pub(crate) fn read_outcome(folder: &Path) -> Result<TrainOutcome> {
    let path = folder.join(CHECKPOINTS).join(OUTCOME);
    let outcome: TrainOutcome =
        atomic::read_json(&path)?.ok_or_else(|| Problem::failed("what training left is gone").at(path.display().to_string()))?;
    Ok(TrainOutcome { checkpoint: folder.join(outcome.checkpoint), latents: folder.join(outcome.latents), ..outcome })
}

fn train(context: &mut Context<'_>, mut crew: Crew<'_>, decided: &Decided, spec: TrainSpec) -> Result<TrainOutcome> {
    for folder in [&spec.checkpoints, &spec.monitor] {
        std::fs::create_dir_all(folder).map_err(|e| Problem::io(folder, &e))?;
    }
    let monitor = spec.monitor.clone();
    drift::update(context.folder(), &monitor, None)?;
    let mut progress = Progress::new(&crew.devices());
    let mut published = false;
    crew.begin(spec)?;
    context.stop.training_begins(crew.commands()?);
    loop {
        let Some(event) = crew.next(PATIENCE)? else { continue };
        context.events.add(&event);
        if let Some(line) = progress.line(&event) {
            context.say(&line);
        }
        match event {
            Event::Warning { message } => context.warn(&message),
            Event::Checkpoint { folder, epoch, images } => {
                if !published {
                    // A job that is ended from here on can still be marked as finished and hand on its preview.
                    publish::early_nodes(context, decided)?;
                    published = true;
                }
                if epoch > 0 && images == 0 {
                    drift::update(context.folder(), &monitor, Some(epoch))?;
                    show_epoch(context, decided, &folder, epoch)?;
                }
            }
            Event::Trained(outcome) => {
                context.stop.training_ended();
                return Ok(outcome);
            }
            Event::Stopped => {
                let kind = context.stop.wish().unwrap_or(Kind::Terminated);
                return Err(Problem::new(kind, "training was stopped"));
            }
            Event::Failed { problem } => return Err(problem),
            _ => {}
        }
    }
}

/// An epoch is done: its latents, weights and mean volume are there for whoever looks while the job runs.
fn show_epoch(context: &mut Context<'_>, decided: &Decided, checkpoint: &Path, epoch: usize) -> Result<()> {
    let inside = |path: &Path| path.strip_prefix(context.folder()).unwrap_or(path).to_string_lossy().into_owned();
    let (weights, latents) = (inside(checkpoint), inside(&checkpoint.join(LATENTS)));
    let preview = format!("{}.mrc", decided.preview);
    context.results.change(|now| {
        now.epoch = epoch;
        (now.apix, now.box_px, now.zdim) = (decided.map_apix, decided.map_box_px, decided.train.layout.zdim);
        now.origin_angstrom = decided.map_touch.origin_angstrom;
        (now.weights, now.latents, now.preview) = (Some(weights), Some(latents), Some(preview));
    })
}

/// The folder of another job's checkpoint.
fn checkpoint_of(load: &JobEpoch) -> Result<PathBuf> {
    let folder = Path::new(&load.job).join(CHECKPOINTS);
    let mut epochs: Vec<(usize, PathBuf)> = std::fs::read_dir(&folder)
        .map_err(|e| Problem::io(&folder, &e).hint("name the folder of a job that has trained: `--load External/job007`"))?
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.strip_prefix("epoch-")?.parse().ok()?, entry.path())))
        .collect();
    epochs.sort();
    let found = match load.epoch {
        Some(epoch) => epochs.iter().find(|(e, _)| *e == epoch),
        None => epochs.last(),
    };
    found.map(|(_, path)| path.clone()).ok_or_else(|| {
        let there: Vec<String> = epochs.iter().map(|(e, _)| e.to_string()).collect();
        let there = if there.is_empty() { "none".into() } else { there.join(", ") };
        let wanted = load.epoch.map_or("an epoch's checkpoint is not there".into(), |e| format!("no checkpoint of epoch {e}"));
        Problem::input(wanted).at(format!("`--load` {}", folder.display())).hint(format!("epochs that were kept: {there}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_jobs_epoch_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["epoch-002", "epoch-010", "epoch-010-00320"] {
            std::fs::create_dir_all(folder.path().join(CHECKPOINTS).join(name)).unwrap();
        }
        let job = folder.path().to_string_lossy().into_owned();
        let found = |epoch| checkpoint_of(&JobEpoch { job: job.clone(), epoch });
        assert!(found(None).unwrap().ends_with("epoch-010"));
        assert!(found(Some(2)).unwrap().ends_with("epoch-002"));
        let problem = found(Some(5)).unwrap_err();
        assert_eq!(problem.hint.unwrap(), "epochs that were kept: 2, 10");
    }
}
