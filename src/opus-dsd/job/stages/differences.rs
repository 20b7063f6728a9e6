//! Stage `differences`: the states beside their consensus: what each has more and less, how much of a given part is there and how it moves, and
//! how much every voxel varies over the particles.

use super::cluster::{Findings, largest};
use super::context::Context;
use super::decode;
use super::maps::{density, density_like, mask_like, write_density};
use crate::job::engine_process::Engine;
use crate::job::{atomic, npy};
use crate::settings::decided::Decided;
use contract::{
    Differences, LevelOccupancy, MapForm, Motion, Problem, Region, Result, StateDifference, StateOccupancy, TrainOutcome, VoxelVariability,
};
use cryoem::mask::{self, CubeGrid};
use cryoem::mrc::{read_volume, write_volume_at};
use cryoem::random::Random;
use cryoem::volume::{Occupancy, ShellScale, Variability, Volume, contour_levels, occupancy, rigid_change};
use ndarray::Axis;
use std::path::{Path, PathBuf};

/// Folders of the maps in a job.
const DIFFERENCES: &str = "differences";
const VARIABILITY: &str = "variability";
/// Contour levels at which a part is looked for, as parts of the density in the consensus' midst: from where noise begins to show to the
/// densest core.
const LEVELS: [f32; 7] = [0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6];
/// A part fills at least this share in both states of what it fills in the fullest, over all levels, where its motion is told: one that is missing can be
/// laid over anything.
const SAME_PART: f64 = 0.5;
/// Raised when the same ground gives other files or numbers.
const FORM: u32 = 2;
/// What the random numbers of the drawn particles are for.
const PURPOSE: u64 = 0x5a3e;

/// What is compared besides the states' maps.
pub(crate) struct Ground {
    /// The consensus; none: the mean of the states.
    pub(crate) base: Option<PathBuf>,
    /// Solvent mask, on the grid of the images that were trained on.
    pub(crate) solvent: PathBuf,
    /// Mask of the part that is asked about.
    pub(crate) region: Option<PathBuf>,
    /// Pairs of states, from 1, between which the part's motion is asked for.
    pub(crate) pairs: Vec<(usize, usize)>,
    /// Particles at which maps are decoded for the variability.
    pub(crate) samples: usize,
}

pub(crate) fn run(
    context: &mut Context<'_>,
    engine: &mut Engine,
    decided: &Decided,
    outcome: &TrainOutcome,
    found: &Findings,
    ground: &Ground,
) -> Result<()> {
    let numbers = context.path("stages").join("differences-numbers.json");
    let mut fingerprint = decode::ground(decided, outcome, found).and(&("differences", FORM));
    fingerprint = fingerprint.and(&(&ground.pairs, ground.samples, &ground.region)).and_content(&ground.solvent)?;
    for file in ground.base.iter().chain(&ground.region) {
        fingerprint = fingerprint.and_content(file)?;
    }
    context.stage("differences", &fingerprint, |context| {
        context.make_folder(DIFFERENCES)?;
        let stage = Stage::new(context, decided, found, ground)?;
        let (states, scaled) = stage.differences(context)?;
        let region = match &ground.region {
            Some(path) => Some(stage.region(context, path, &scaled, &pairs(found, ground))?),
            None => None,
        };
        drop(scaled);
        let variability = match ground.samples.min(found.latents.nrows()) {
            0 => None,
            samples => Some(stage.variability(context, engine, outcome, samples)?),
        };
        let differences = Differences { consensus: consensus_file(), detail_angstrom: stage.detail_angstrom, states, region, variability };
        atomic::write_json(&numbers, &differences)?;
        let files = differences.states.iter().map(|s| &s.map).chain([&differences.consensus]);
        let files = files.chain(differences.variability.iter().flat_map(|v| [&v.mean, &v.deviation]));
        Ok(files.map(|file| context.path(file)).chain([numbers.clone()]).collect())
    })?;
    let differences: Differences =
        atomic::read_json(&numbers)?.ok_or_else(|| Problem::failed("is missing").at(numbers.display().to_string()))?;
    context.results.change(|now| now.differences = Some(differences))
}

/// The mask of a part on the grid of the maps, and what is to be said of it.
///
/// # Errors
/// The file is no mask, or nothing of it is left on that grid.
pub(crate) fn part(path: &Path, form: &MapForm) -> Result<(Volume, Vec<String>)> {
    let mut notes = Vec::new();
    let mut read = || {
        let given = mask::read(path, CubeGrid { box_px: form.box_px, apix: form.apix }, &mut notes)?;
        let region = mask_like(&given, form)?;
        // At no level, it only looks whether there is a part.
        occupancy(&region, &region, &[])?;
        Ok(region)
    };
    let region = read().map_err(|p| of_mask(path, p))?;
    Ok((region, notes))
}

fn of_mask(path: &Path, problem: Problem) -> Problem {
    let told = problem.at(format!("`--in_mask` {}", path.display()));
    if told.hint.is_some() { told } else { told.hint("give a mask of the part as an MRC map with values from 0 to 1") }
}

fn consensus_file() -> String {
    format!("{DIFFERENCES}/consensus.mrc")
}

/// Every state against the largest one, and what was asked for besides.
fn pairs(found: &Findings, ground: &Ground) -> Vec<(usize, usize)> {
    let first = found.clusters.class_number(largest(&found.clusters));
    let others = (0..found.clusters.len()).map(|c| found.clusters.class_number(c)).filter(|class| *class != first);
    let mut all: Vec<(usize, usize)> = others.map(|class| (first, class)).collect();
    // Back is the same motion.
    for &(a, b) in ground.pairs.iter().filter(|(a, b)| a != b) {
        if !all.contains(&(a, b)) && !all.contains(&(b, a)) {
            all.push((a, b));
        }
    }
    all
}

struct Stage<'a> {
    decided: &'a Decided,
    found: &'a Findings,
    form: MapForm,
    mask: Volume,
    consensus: Volume,
    /// From the decoder's grey scale to the consensus'.
    scale: ShellScale,
    detail_angstrom: f64,
}

impl<'a> Stage<'a> {
    fn new(context: &Context<'_>, decided: &'a Decided, found: &'a Findings, ground: &Ground) -> Result<Self> {
        let form = decided.map_form();
        let solvent = read_volume(&ground.solvent)?;
        let mask = mask_like(&solvent, &form)?;
        // Beyond what the network's grid can hold, decoded maps are empty.
        let layout = &decided.train.layout;
        let held = 2.0 * solvent.apix * layout.crop as f64 / layout.template as f64;
        let detail_angstrom = form.lowpass_angstrom.unwrap_or(0.0).max(held).max(2.0 * form.apix);
        let mut mean = Volume::zeros(form.box_px, form.apix);
        for (path, size) in decode::map_paths(context, found).iter().zip(&found.clusters.sizes) {
            mean.data.scaled_add(*size as f32 / found.latents.nrows() as f32, &density(path, &form)?.data);
        }
        mean.data *= &mask.data;
        let mut consensus = match &ground.base {
            Some(path) => density_like(&read_volume(path)?.or_apix(form.apix), &form)?,
            None => mean.clone(),
        };
        consensus.data *= &mask.data;
        let scale = ShellScale::between(&mean, &consensus)?;
        let consensus = consensus.low_passed(detail_angstrom)?;
        Ok(Self { decided, found, form, mask, consensus, scale, detail_angstrom })
    }

    fn write(&self, context: &Context<'_>, file: &str, map: &Volume) -> Result<()> {
        write_density(&context.path(file), map, &self.form)
    }

    /// Difference maps, written; and the states in the consensus' grey scale.
    fn differences(&self, context: &Context<'_>) -> Result<(Vec<StateDifference>, Vec<Volume>)> {
        self.write(context, &consensus_file(), &self.consensus)?;
        let square = |map: &Volume| map.data.iter().zip(&self.mask.data).map(|(v, m)| f64::from(v * m).powi(2)).sum::<f64>();
        let whole = square(&self.consensus).max(f64::MIN_POSITIVE);
        let mut told = Vec::new();
        let mut maps = Vec::new();
        for (cluster, path) in decode::map_paths(context, self.found).iter().enumerate() {
            let class = self.found.clusters.class_number(cluster);
            let mut state = density(path, &self.form)?;
            state.data *= &self.mask.data;
            let scaled = self.scale.apply(&state, self.detail_angstrom)?;
            let map = Volume { data: (&scaled.data - &self.consensus.data) * &self.mask.data, apix: self.form.apix };
            let file = format!("{DIFFERENCES}/cluster{class:03}.mrc");
            self.write(context, &file, &map)?;
            told.push(StateDifference { class, map: file, of_consensus: (square(&map) / whole).sqrt() });
            maps.push(scaled);
        }
        Ok((told, maps))
    }

    /// Occupancy and motion of a part; `states` are in the consensus' grey scale, in order.
    fn region(&self, context: &mut Context<'_>, path: &Path, states: &[Volume], pairs: &[(usize, usize)]) -> Result<Region> {
        let of_option = |p: Problem| of_mask(path, p);
        let (region, notes) = part(path, &self.form)?;
        notes.iter().for_each(|note| context.say(note));
        let levels = contour_levels(&self.consensus, &LEVELS);
        let mut told = Region { mask: path.to_string_lossy().into_owned(), ..Region::default() };
        let found = states.iter().map(|state| occupancy(state, &region, &levels)).collect::<Result<Vec<_>>>().map_err(of_option)?;
        let filled: Vec<f64> = found.iter().map(|levels| levels.iter().map(|o| o.of_region).sum()).collect();
        let fullest = (0..filled.len()).max_by(|a, b| filled[*a].total_cmp(&filled[*b])).unwrap_or(0);
        told.fullest = self.found.clusters.class_number(fullest);
        for (cluster, own) in found.iter().enumerate() {
            let level = |((part, own), most): ((&f32, &Occupancy), &Occupancy)| LevelOccupancy {
                of_core: f64::from(*part),
                level: f64::from(own.level),
                volume_angstrom3: own.volume_angstrom3,
                of_region: own.of_region,
                of_fullest: (most.of_region > 0.0).then(|| own.of_region / most.of_region),
            };
            let levels = LEVELS.iter().zip(own).zip(&found[fullest]).map(level).collect();
            told.occupancy.push(StateOccupancy { class: self.found.clusters.class_number(cluster), levels });
        }
        let is_there = |class: &usize| filled[class - 1] >= SAME_PART * filled[fullest] && filled[fullest] > 0.0;
        let (there, missing): (Vec<_>, Vec<_>) = pairs.iter().copied().partition(|(a, b)| is_there(a) && is_there(b));
        for (from, to) in missing {
            let (which, be) = match (is_there(&from), is_there(&to)) {
                (true, _) => (format!("state {to}"), "is"),
                (_, true) => (format!("state {from}"), "is"),
                _ => (format!("states {from} and {to}"), "are"),
            };
            context.say(&format!("{which} {be} without most of the part: no motion is told from state {from} to state {to}"));
        }
        for (from, to) in there {
            match rigid_change(&states[from - 1], &states[to - 1], &region) {
                Ok(change) => told.motions.push(Motion {
                    from,
                    to,
                    angle_deg: change.angle_deg,
                    axis: change.axis,
                    shift_angstrom: change.shift_angstrom,
                    centre_angstrom: change.centre_angstrom,
                    correlation_before: change.correlation_before,
                    correlation_after: change.correlation_after,
                }),
                Err(problem) => context.warn(&format!("motion of the part from state {from} to state {to}: {problem}")),
            }
        }
        for motion in &told.motions {
            context.say(&in_words(motion));
        }
        Ok(told)
    }

    /// Moments over maps at particles drawn at random, each map taken up and removed as it comes.
    fn variability(
        &self,
        context: &mut Context<'_>,
        engine: &mut Engine,
        outcome: &TrainOutcome,
        samples: usize,
    ) -> Result<VoxelVariability> {
        context.make_folder(VARIABILITY)?;
        let rows = Random::keyed(self.decided.train.seed, &[PURPOSE]).sample(self.found.latents.nrows(), samples);
        let scratch = context.path("stages");
        let latents = scratch.join("variability.npy");
        npy::write(&latents, self.found.latents.select(Axis(0), &rows).view())?;
        let parts: Vec<PathBuf> = (0..samples).map(|i| scratch.join(format!("variability-{i:03}.mrc"))).collect();
        let spec = decode::spec(self.decided, outcome, latents, parts.clone());
        let mut all = Variability::new(self.form.box_px, self.form.apix);
        decode::maps(context, engine, spec, |_, index| {
            let part = &parts[index];
            all.push(&density(part, &self.form)?, 1.0)?;
            std::fs::remove_file(part).map_err(|e| Problem::io(part, &e))
        })?;
        let [mean, deviation] = ["mean", "deviation"].map(|name| format!("{VARIABILITY}/{name}.mrc"));
        self.write(context, &mean, &all.mean()?)?;
        // A width, which has no sign to turn.
        write_volume_at(&context.path(&deviation), &all.deviation()?, self.form.origin_angstrom)?;
        Ok(VoxelVariability { maps: samples, mean, deviation })
    }
}

/// A motion for people.
pub(crate) fn in_words(motion: &Motion) -> String {
    let shift = motion.shift_angstrom.iter().map(|v| v * v).sum::<f64>().sqrt();
    format!(
        "the part turns by {:.1}° and moves by {shift:.1} Å from state {} to state {} (correlation {:.3} before, {:.3} after)",
        motion.angle_deg, motion.from, motion.to, motion.correlation_before, motion.correlation_after
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motions_are_put_in_words() {
        let motion = Motion { from: 2, to: 1, angle_deg: 12.34, shift_angstrom: [3.0, 0.0, 4.0], ..Motion::default() };
        assert!(
            in_words(&motion).starts_with("the part turns by 12.3° and moves by 5.0 Å from state 2 to state 1"),
            "{}",
            in_words(&motion)
        );
    }
}
