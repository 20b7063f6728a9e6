//! Stage `read`: the particles' table, the mask and the reference as files. Quick, so it is never skipped: what follows depends on it.

use super::context::Context;
use crate::job::chosen::Chosen;
use crate::job::stage::Fingerprint;
use crate::settings::decided::DataFacts;
use crate::settings::said::TrainSaid;
use crate::settings::values::Base;
use contract::{Problem, Result};
use cryoem::mask::CubeGrid;
use cryoem::mrc::{read_origin, read_volume};
use cryoem::particles::{self, ParticleSet};
use cryoem::volume::Volume;
use std::path::{Path, PathBuf};

/// A map that was given, and a fingerprint of its file.
pub(crate) struct Given {
    pub(crate) path: PathBuf,
    pub(crate) volume: Volume,
    pub(crate) fingerprint: String,
}

/// The optics group with the most particles.
#[derive(Clone, Copy)]
struct Largest {
    box_px: usize,
    apix: f64,
}

/// All input of a job.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) particles: ParticleSet,
    /// Which of a trained job's these are, where a selection took them; none: all of a file.
    pub(crate) chosen: Option<Chosen>,
    pub(crate) mask: Option<Given>,
    pub(crate) reference: Option<Given>,
}

/// Boxes of maps and images differ by trimming and padding; beyond this ratio of their extents something is wrong.
const EXTENT_RATIO: f64 = 2.0;

/// Input, and what there is to remark of it.
pub(crate) struct Gathered {
    pub(crate) input: Input,
    pub(crate) notes: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

pub(crate) fn run(context: &mut Context<'_>, said: &TrainSaid) -> Result<Input> {
    let Gathered { input, notes, warnings } = gather(said)?;
    notes.iter().for_each(|note| context.say(note));
    warnings.iter().for_each(|warning| context.warn(warning));
    Ok(input)
}

/// Reads everything, and says nothing.
///
/// # Errors
/// A file that cannot be read or understood, or files that do not fit together.
pub(crate) fn gather(said: &TrainSaid) -> Result<Gathered> {
    let path = said.input().cloned().ok_or_else(|| Problem::input("missing").at("`--in_parts`"))?;
    let particles = particles::read(&path, &said.images.options())?;
    let largest = largest_group(&particles, &path)?;
    let mut notes = Vec::new();
    let reference = said.in_3dref.as_deref().map(|p| reference(p, largest).map_err(|e| of_option("--in_3dref", e))).transpose()?;
    let mask = said.in_mask.as_deref().map(|p| mask(p, largest, &mut notes).map_err(|e| of_option("--in_mask", e))).transpose()?;
    if said.base == Some(Base::Reference) && reference.is_none() {
        return Err(Problem::input("there is no reference map")
            .at("`--base reference`")
            .hint("give the map with `--in_3dref`, or leave `--base` out"));
    }
    let notes = particles.notes.iter().cloned().chain(notes).collect();
    let extents = [("--in_mask", &mask), ("--in_3dref", &reference)];
    let mut warnings: Vec<String> =
        extents.into_iter().filter_map(|(option, given)| other_extent(option, given.as_ref()?, largest)).collect();
    warnings.extend(particles.warnings.clone());
    warnings.extend(particles.check().map_err(|p| p.at(path.display().to_string()))?);
    Ok(Gathered { input: Input { path, particles, chosen: None, mask, reference }, notes, warnings })
}

impl Input {
    /// What decisions rest on.
    pub(crate) fn facts(&self) -> Result<DataFacts> {
        let largest = largest_group(&self.particles, &self.path)?;
        let shape = |given: &Option<Given>| given.as_ref().map(|g| Ok((g.volume.box_px()?, g.volume.apix))).transpose();
        Ok(DataFacts {
            particles: self.particles.len(),
            box_px: largest.box_px,
            apix: largest.apix,
            reference: shape(&self.reference)?,
            mask: shape(&self.mask)?,
            origin_angstrom: match self.reference.as_ref().or(self.mask.as_ref()) {
                Some(given) => read_origin(&given.path)?,
                None => [0.0; 3],
            },
        })
    }
}

fn largest_group(particles: &ParticleSet, path: &Path) -> Result<Largest> {
    let sizes = group_sizes(particles);
    let largest = (0..sizes.len()).max_by_key(|&g| (sizes[g], std::cmp::Reverse(g)));
    let group = largest.map(|g| &particles.groups[g]).ok_or_else(|| Problem::input("holds no particles").at(path.display().to_string()))?;
    Ok(Largest { box_px: group.box_px, apix: group.apix })
}

fn reference(path: &Path, largest: Largest) -> Result<Given> {
    let volume = read_volume(path)?;
    let box_px = volume.box_px().map_err(|p| p.at(path.display().to_string()))?;
    // A map without a voxel size is taken to span the particles' box.
    let volume = volume.or_apix(largest.box_px as f64 * largest.apix / box_px as f64);
    given(path, volume)
}

/// A map of a file, with its fingerprint.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn given(path: &Path, volume: Volume) -> Result<Given> {
    Ok(Given { path: path.to_path_buf(), volume, fingerprint: Fingerprint::new("file").and_content(path)?.text() })
}

fn mask(path: &Path, largest: Largest, notes: &mut Vec<String>) -> Result<Given> {
    let volume = cryoem::mask::read(path, CubeGrid { box_px: largest.box_px, apix: largest.apix }, notes)?;
    given(path, volume)
}

/// A map that spans much more or less than the images has most often a wrong pixel size in its header.
fn other_extent(option: &str, given: &Given, images: Largest) -> Option<String> {
    let own = given.volume.data.dim().0 as f64 * given.volume.apix;
    let expected = images.box_px as f64 * images.apix;
    (!(1.0 / EXTENT_RATIO..=EXTENT_RATIO).contains(&(own / expected))).then(|| {
        format!(
            "`{option} {}` spans {own:.0} Å, the images span {expected:.0} Å: look at the pixel size in its header",
            given.path.display()
        )
    })
}

/// Names the option that brought a file in, before the file.
fn of_option(option: &str, mut problem: Problem) -> Problem {
    let culprit = problem.culprit.take().unwrap_or_default();
    problem.at(format!("`{option}` {culprit}"))
}

fn group_sizes(particles: &ParticleSet) -> Vec<usize> {
    let mut sizes = vec![0; particles.groups.len()];
    for row in &particles.rows {
        sizes[row.group as usize] += 1;
    }
    sizes
}
