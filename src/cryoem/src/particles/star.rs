//! A particle STAR file to a [`ParticleSet`].

use super::optics::Optics;
use super::rows::{self, Images};
use super::{Particle, ParticleSet, ReadOptions, Source, StackSource, identify, optics, stacks};
use contract::{Kind, Problem, Result};
use starfile::{Block, Error, ErrorKind, StarFile};
use std::path::Path;

/// A STAR file's error for people, with the hint that fits it.
#[must_use]
pub fn star_problem(error: &Error) -> Problem {
    let kind = if matches!(error.kind, ErrorKind::Io(_)) { Kind::InputOutput } else { Kind::Input };
    let mut problem = Problem::new(kind, error.kind.to_string());
    let culprit = error.culprit();
    if !culprit.is_empty() {
        problem = problem.at(culprit);
    }
    let hint = match error.kind {
        ErrorKind::ColumnCount { .. } => "the file was cut short or edited: have the job that made it write it again",
        ErrorKind::RowAfterBlank => "RELION reads no further than the blank line: remove it, or the rows behind it",
        ErrorKind::NoBlockYet { .. } | ErrorKind::NotText | ErrorKind::Empty => {
            "give a RELION particle STAR file, such as the `run_data.star` of a Refine3D job"
        }
        ErrorKind::DuplicateLabel { .. } => "remove one of the two columns",
        ErrorKind::Io(_) => "look at the file's path and rights: paths are relative to the project's folder",
        ErrorKind::NotANumber { .. } | ErrorKind::NotAnInteger { .. } => "correct or remove the row, and look at the job that wrote it",
        _ => "correct the file, or have the job that made it write it again",
    };
    problem.hint(hint)
}

/// `FILE, line N`.
pub(super) fn culprit(file: &StarFile, line: Option<usize>) -> String {
    let path = file.path().map_or_else(|| "STAR file".to_owned(), |path| path.display().to_string());
    match line {
        Some(line) => format!("{path}, line {line}"),
        None => path,
    }
}

/// Reads a STAR file's particles.
pub(super) fn read(path: &Path, options: &ReadOptions, source: &dyn StackSource) -> Result<ParticleSet> {
    let file = StarFile::read(path).map_err(|error| star_problem(&error))?;
    let opening = opening_note(path, &file, &identify::particles(&file)?);
    read_file(file, opening, options, source)
}

/// Reads the particles of a table; `opening` is the first line for the log.
pub(super) fn read_file(file: StarFile, opening: String, options: &ReadOptions, source: &dyn StackSource) -> Result<ParticleSet> {
    let block = identify::particles(&file)?;
    let mut notes = vec![opening];
    let mut warnings = Vec::new();
    let poses = options.poses.as_deref().map(crate::legacy::read_poses).transpose()?;
    let ctf = options.ctf.as_deref().map(crate::legacy::read_ctf).transpose()?;

    let columns = rows::Columns::find(&file, &block, options, &mut notes)?;
    let Optics { mut groups, of_row, declared_box_px } = optics::read(&file, &block, options, ctf.as_deref(), &mut notes, &mut warnings)?;
    let images = Images::read(&file, &block, source)?;
    rows::boxes(&file, &block, &images, &of_row, &declared_box_px, &mut groups)?;
    if let Some(ctf) = &ctf {
        // The archive's pixel sizes hold for the archive's box.
        stacks::rescale_apix(&mut groups, &of_row, ctf, options);
    }
    let mut particles: Vec<Particle> = columns.particles(&block, &images, &of_row, &groups)?;
    if let Some(poses) = &poses {
        stacks::set_poses(&mut particles, poses, &groups, options)?;
    }
    if let Some(ctf) = &ctf {
        stacks::set_ctf(&mut particles, ctf, options)?;
    }
    if let Some(phase_shift_deg) = options.phase_shift_deg {
        particles.iter_mut().for_each(|particle| particle.phase_shift_deg = phase_shift_deg);
    }

    optics::describe(&groups, &particles, &mut notes);
    rows::remark(&particles, &groups, &mut notes, &mut warnings);
    let index = block.index();
    Ok(ParticleSet {
        rows: particles,
        groups,
        stacks: images.stacks.into_iter().map(|stack| stack.path).collect(),
        source: Source::Star { file, block: index },
        notes,
        warnings,
    })
}

/// The log's first line about the file.
fn opening_note(path: &Path, file: &StarFile, block: &Block<'_>) -> String {
    let style = match (file.find("optics").is_some(), block.version()) {
        (false, None) => "RELION 3.0 or older style".to_owned(),
        (true, Some(version)) => format!("RELION STAR version {version}"),
        (true, None) => "RELION 3.1 style".to_owned(),
        (false, Some(version)) => format!("RELION STAR version {version} without an optics table"),
    };
    let rows = block.rows();
    format!("{}: {style}, `data_{}`: {rows} rows, {rows} used", path.display(), block.name())
}
