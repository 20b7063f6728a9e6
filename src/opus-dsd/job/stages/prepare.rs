//! Stage `prepare`: images on one grid, centred, white, with unit noise; and the mask on the same grid.

use super::context::Context;
use super::read::Input;
use crate::job::atomic;
use crate::job::stage::Fingerprint;
use crate::machine::disk;
use crate::settings::decided::DataFacts;
use crate::settings::grid::Grid;
use crate::settings::said::TrainSaid;
use crate::settings::values::InvertData;
use contract::{Prepared, Problem, Result};
use cryoem::mask::{self, CubeGrid, MapMask};
use cryoem::particles::ParticleSet;
use cryoem::prepare::PrepareOptions;
use cryoem::volume::Volume;
use std::path::{Path, PathBuf};

/// Its name in the ledger.
pub(crate) const STAGE: &str = "prepare";
/// Folder of the prepared images in a job without scratch.
pub(crate) const FOLDER: &str = "prepared";
/// Describes the prepared folder; written last.
const DESCRIPTION: &str = "prepared.json";
/// What the images were that a job which is done left its scratch without.
const LEFT: &str = "stages/prepared-left.json";
/// Part of the box's radius that a ball takes where there is neither mask nor map.
const BALL: f64 = 0.85;
/// Width of the ball's soft edge, pixels.
const BALL_EDGE_PX: f64 = 3.0;
/// Raised when the stage leaves more than before with the same input.
const FORM: u32 = 2;
/// Times that progress is said while preparing.
const PROGRESS_LINES: usize = 10;

/// A mask on the render grid, and where it came from.
pub(crate) struct GridMask {
    pub(crate) volume: Volume,
    pub(crate) whence: String,
}

/// What a training job's images are to be.
pub(crate) fn options(said: &TrainSaid, grid: &Grid) -> PrepareOptions {
    PrepareOptions { size_px: grid.size_px, apix: None, invert: said.invert_data.unwrap_or(InvertData::Auto).into(), known: Vec::new() }
}

/// What the prepared images depend on.
pub(crate) fn fingerprint(said: &TrainSaid, input: &Input, grid: &Grid) -> Result<String> {
    cryoem::prepare::fingerprint(&input.particles, &options(said, grid))
}

/// The mask on the render grid: the given one, else one around the reference, else a ball.
pub(crate) fn mask(input: &Input, facts: &DataFacts, grid: &Grid) -> Result<GridMask> {
    let render = CubeGrid { box_px: grid.size_px, apix: facts.box_px as f64 * facts.apix / grid.size_px as f64 };
    if let Some(given) = &input.mask {
        let volume = mask::on_grid(&given.volume, render).map_err(|p| p.at(given.path.display().to_string()))?;
        return Ok(GridMask { volume, whence: given.path.display().to_string() });
    }
    if let Some(reference) = &input.reference {
        let (made, how) = mask::from_map(&reference.volume, &MapMask::default()).map_err(|p| p.at(reference.path.display().to_string()))?;
        return Ok(GridMask { volume: mask::on_grid(&made, render)?, whence: how });
    }
    let radius_px = BALL * grid.size_px as f64 / 2.0;
    let volume = mask::soft_ball(grid.size_px, render.apix, radius_px, BALL_EDGE_PX);
    Ok(GridMask {
        volume, whence: format!("a ball of {:.0} Å across, since neither mask nor map is given", 2.0 * radius_px * render.apix)
    })
}

/// Side of the region that holds the mask, pixels.
pub(crate) fn crop_px(mask: &GridMask, grid: &Grid) -> usize {
    mask::window(Some(mask.volume.data.view()), grid.size_px).crop_px
}

/// Prepared images, and what makes them where they are gone.
pub(crate) struct Images<'a> {
    /// What they are; it is known where they are gone, too.
    pub(crate) prepared: Prepared,
    /// Their description, for the engine.
    pub(crate) description: PathBuf,
    particles: &'a ParticleSet,
    options: &'a PrepareOptions,
    folder: PathBuf,
    fingerprint: &'a str,
}

impl Images<'_> {
    /// Makes images that a job which was done left its scratch without: what looks at them calls this first.
    ///
    /// # Errors
    /// They cannot be made.
    pub(crate) fn ensure(&self, context: &mut Context<'_>) -> Result<()> {
        if self.prepared.images.exists() { Ok(()) } else { make(context, self.particles, self.options, &self.folder, self.fingerprint) }
    }
}

/// The prepared set. Of a job that was done and left its scratch the images are made only once something asks for them ([`Images::ensure`]).
pub(crate) fn run<'a>(
    context: &mut Context<'_>,
    particles: &'a ParticleSet,
    options: &'a PrepareOptions,
    scratch: Option<&Path>,
    fingerprint: &'a str,
) -> Result<Images<'a>> {
    let folder = folder(context.folder(), scratch)?;
    let description = folder.join(DESCRIPTION);
    let left: Option<Prepared> = if scratch.is_some() { atomic::read_json(&context.path(LEFT))? } else { None };
    let left = left.filter(|left| left.fingerprint == fingerprint && left.images.starts_with(&folder) && !left.images.exists());
    let prepared = match left {
        Some(left) if !context.ledger.is_redone() => {
            context.done_before(STAGE);
            left
        }
        _ => {
            make(context, particles, options, &folder, fingerprint)?;
            atomic::read_json(&description)?.ok_or_else(|| Problem::failed("is gone").at(description.display().to_string()))?
        }
    };
    Ok(Images { prepared, description, particles, options, folder, fingerprint })
}

fn make(context: &mut Context<'_>, particles: &ParticleSet, options: &PrepareOptions, folder: &Path, fingerprint: &str) -> Result<()> {
    let description = folder.join(DESCRIPTION);
    let ground = Fingerprint::new(STAGE).and(&FORM).and(&fingerprint).and(&folder);
    context.stage(STAGE, &ground, |context| {
        let mut said = 0;
        let console = &mut *context.console;
        let made = cryoem::prepare::prepare(particles, options, folder, &mut |done, all| {
            let tenth = done * PROGRESS_LINES / all.max(1);
            if tenth > said {
                said = tenth;
                console.say(&format!("prepare: {done} of {all} images"));
            }
            Ok(())
        })?;
        made.notes.iter().for_each(|note| context.say(note));
        made.warnings.iter().for_each(|warning| context.warn(warning));
        Ok(vec![description, made.prepared.images, made.prepared.table])
    })
}

/// Removes the prepared images of a job that is done from its scratch, and keeps what they were; those in the job folder stay until it is
/// cleaned.
///
/// # Errors
/// What they were cannot be written.
pub(crate) fn leave_scratch(context: &mut Context<'_>, said: &TrainSaid, prepared: &Prepared) -> Result<()> {
    let Some(scratch) = &said.scratch else { return Ok(()) };
    let folder = folder(context.folder(), Some(scratch))?;
    if !folder.exists() {
        return Ok(());
    }
    atomic::write_json(&context.path(LEFT), prepared)?;
    let bytes = disk::bytes_below(&folder);
    match std::fs::remove_dir_all(&folder) {
        Ok(()) => context.say(&format!("prepared images ({}) removed from {}", disk::for_people(bytes), scratch.display())),
        // The job is done: what a scratch keeps is no reason to fail.
        Err(e) => context.warn(&format!("prepared images stay in {}: {e}", folder.display())),
    }
    Ok(())
}

/// Where the prepared images of a job lie. Below `--scratch` each job has a folder of its own, named after the job's place.
pub(crate) fn folder(job: &Path, scratch: Option<&Path>) -> Result<PathBuf> {
    match scratch {
        None => Ok(job.join(FOLDER)),
        Some(scratch) => {
            let place = std::fs::canonicalize(job).map_err(|e| Problem::io(job, &e))?;
            // The record of the stage names its files by this path, wherever a later run is started.
            let scratch = std::path::absolute(scratch).map_err(|e| Problem::io(scratch, &e))?;
            Ok(scratch.join(format!("opus-dsd-{}", Fingerprint::new("scratch").and(&place).text())))
        }
    }
}
