//! The particles that the original trained on. Their images need not be there: latents are known, and maps come from latents alone.

use super::files::Files;
use crate::settings::said::ImportSaid;
use contract::{Problem, Result};
use cryoem::legacy::original::Config;
use cryoem::particles::{self, ParticleSet, ReadOptions, Unseen};
use std::path::{Path, PathBuf};

/// The particles, and where they were read from.
pub(super) struct Found {
    pub(super) set: ParticleSet,
    /// The STAR file that was given; `None`: there is none.
    pub(super) star: Option<PathBuf>,
    /// Facts for the log.
    pub(super) notes: Vec<String>,
}

/// Finds and reads them: `--in_parts`, else the STAR file or the archives that `config.pkl` names. `rows` is the number of latents.
///
/// # Errors
/// Neither a STAR file nor archives are found, or they have another number of rows.
pub(super) fn find(said: &ImportSaid, files: &Files, config: &Config, rows: usize) -> Result<Found> {
    let named = config.particles.as_deref().and_then(|named| files.locate(named));
    let star = said.in_parts.clone().or_else(|| named.clone().filter(|path| path.extension().is_some_and(|e| e == "star")));
    let options = ReadOptions { unseen: Some(Unseen::of_box(config.box_px)), ..said.images.options() };
    let found = match star {
        Some(star) => Found { set: particles::read(&star, &options)?, star: Some(star), notes: Vec::new() },
        None => {
            let archive =
                |said: Option<PathBuf>, named: &Option<PathBuf>| said.or_else(|| named.as_deref().and_then(|path| files.locate(path)));
            let poses = archive(options.poses.clone(), &config.poses).or_else(|| own_poses(files));
            let ctf = if options.without_ctf { None } else { archive(options.ctf.clone(), &config.ctf) };
            of_archives(&ReadOptions { poses, ctf, ..options }, config, named.as_deref(), rows)?
        }
    };
    if found.set.len() == rows {
        return Ok(found);
    }
    Err(Problem::input(format!("has {} particles, the original's run has latents of {rows}", found.set.len()))
        .at(found.star.as_deref().map_or_else(|| "poses".to_owned(), |star| star.display().to_string()))
        .hint("give the particles that it was trained on, all of them, in their order, with `--in_parts`"))
}

/// The poses that the run itself wrote with its newest epoch.
fn own_poses(files: &Files) -> Option<PathBuf> {
    files.locate(Path::new(&format!("pose.{}.pkl", files.epochs.last()?.number)))
}

/// A set of poses and CTF alone; images have the names that `config.pkl` gives them, be they there or not.
fn of_archives(options: &ReadOptions, config: &Config, stack: Option<&Path>, rows: usize) -> Result<Found> {
    let missing = |what: &str, named: &Option<PathBuf>, option: &str| {
        let named = named.as_ref().map_or("names none".to_owned(), |path| format!("names {}", path.display()));
        Problem::input(format!("no {what}: `config.pkl` {named}, which is neither there nor beside the weights"))
            .at(format!("`{option}`"))
            .hint(format!("give the archive with `{option}`, or the particles as a STAR file with `--in_parts`"))
    };
    if options.poses.is_none() {
        return Err(missing("poses", &config.poses, "--poses"));
    }
    if options.ctf.is_none() && !options.without_ctf {
        return Err(missing("CTF", &config.ctf, "--ctf"));
    }
    // Without it nothing else says how large a pixel is.
    let apix = options.apix.or_else(|| options.without_ctf.then(|| config.apix * config.size_px as f64 / config.box_px as f64));
    if let Some(stack) = stack {
        let seen = ReadOptions { apix, unseen: None, ..options.clone() };
        match particles::read(stack, &seen) {
            Ok(set) => return Ok(Found { set, star: None, notes: Vec::new() }),
            Err(problem) if problem.culprit.as_deref().is_some_and(|culprit| culprit.contains(".pkl")) => return Err(problem),
            Err(_) => {}
        }
    }
    let name = config.particles.clone().unwrap_or_else(|| PathBuf::from("particles.mrcs")).with_extension("mrcs");
    let unseen = ReadOptions { apix, unseen: Some(Unseen { box_px: config.box_px, images: rows }), ..options.clone() };
    let set = particles::read(&name, &unseen)?;
    let note = format!(
        "the images ({}) are not there: particles.star names them all the same; maps and clusters need none",
        config.particles.as_deref().unwrap_or(&name).display()
    );
    Ok(Found { set, star: None, notes: vec![note] })
}
