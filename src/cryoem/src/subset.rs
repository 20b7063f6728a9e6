//! Writing particles back: the whole set with its clusters, or chosen rows of it.
//!
//! A set that came from a STAR file is written as that file: every cell, label, comment, version line and optics group as it was, only rows
//! left out and the class set where that is asked for. A set from stacks and archives is written in RELION 3.1 style.

use crate::atomic::AtomicFile;
use crate::particles::{OpticsGroup, Particle, ParticleSet, Source, star_problem};
use contract::{Problem, Result};
use starfile::{Builder, SetColumn, StarFile};
use std::io;
use std::path::Path;

/// The version line of files made here: RELION 3.1 and newer read it.
const STAR_VERSION: u32 = 30001;

/// The label of the class.
const CLASS_LABEL: &str = "rlnClassNumber";

/// Writes all particles, their cluster in `rlnClassNumber` (the column is added where it is missing).
///
/// `classes` has one entry a particle, from 1.
///
/// # Errors
/// The number of classes is wrong, or the file cannot be written.
pub fn write_classes(path: &Path, set: &ParticleSet, classes: &[u32]) -> Result<()> {
    if classes.len() != set.len() {
        return Err(Problem::failed(format!("{} classes for {} particles", classes.len(), set.len())).at(path.display().to_string()));
    }
    let rows: Vec<usize> = (0..set.len()).collect();
    write(path, set, &rows, Some(&|row| classes[row].to_string()))
}

/// Writes the chosen particles in the given order, all cells as they were.
///
/// # Errors
/// A row is out of range, or the file cannot be written.
pub fn write_rows(path: &Path, set: &ParticleSet, rows: &[usize]) -> Result<()> {
    write(path, set, rows, None)
}

/// Writes the chosen rows of a table as it was read, in the given order, without looking at its images.
///
/// `block` is the index of the particles' block ([`crate::particles::particles_block`]).
///
/// # Errors
/// A row is out of range, or the file cannot be written.
pub fn write_table_rows(path: &Path, file: &StarFile, block: usize, rows: &[usize]) -> Result<()> {
    check_rows(path, rows, file.block_at(block).rows())?;
    write_file(path, |out| file.write_subset(out, block, rows, &[]))
}

/// The chosen particles as a set of their own, in the given order; optics groups and stacks stay, with or without particles.
///
/// # Errors
/// A row is out of range.
pub fn only(set: ParticleSet, rows: &[usize]) -> Result<ParticleSet> {
    check_rows(Path::new("selection"), rows, set.len())?;
    let source = match set.source {
        Source::Star { file, block } => {
            let mut text = Vec::new();
            file.write_subset(&mut text, block, rows, &[]).map_err(|e| Problem::failed(e.to_string()))?;
            let text = String::from_utf8(text).map_err(|e| Problem::failed(e.to_string()))?;
            Source::Star { file: StarFile::parse(text).map_err(|e| star_problem(&e))?, block }
        }
        Source::Stacks => Source::Stacks,
    };
    Ok(ParticleSet { rows: rows.iter().map(|&row| set.rows[row]).collect(), source, ..set })
}

fn check_rows(path: &Path, rows: &[usize], there: usize) -> Result<()> {
    match rows.iter().find(|row| **row >= there) {
        Some(row) => Err(Problem::failed(format!("row {row} of {there} particles")).at(path.display().to_string())),
        None => Ok(()),
    }
}

fn write(path: &Path, set: &ParticleSet, rows: &[usize], class: Option<&dyn Fn(usize) -> String>) -> Result<()> {
    check_rows(path, rows, set.len())?;
    write_file(path, |out| match &set.source {
        Source::Star { file, block } => {
            let set_columns: Vec<SetColumn<'_>> = class.into_iter().map(|value| SetColumn { label: CLASS_LABEL, value }).collect();
            file.write_subset(out, *block, rows, &set_columns)
        }
        Source::Stacks => io::Write::write_all(out, new_file(set, rows, class).as_bytes()),
    })
}

/// Writes under a temporary name and renames.
fn write_file(path: &Path, content: impl FnOnce(&mut Output) -> io::Result<()>) -> Result<()> {
    let mut out = Output { file: AtomicFile::create(path)?, problem: None };
    match (content(&mut out), out.problem) {
        (Ok(()), _) => out.file.commit(None),
        (Err(_), Some(problem)) => Err(problem),
        (Err(error), None) => Err(Problem::io(path, &error)),
    }
}

/// A file under construction as `io::Write`; keeps the problem, which says more than an `io::Error`.
struct Output {
    file: AtomicFile,
    problem: Option<Problem>,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(problem) => {
                let error = io::Error::other(problem.to_string());
                self.problem = Some(problem);
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A 3.1-style file of what is known.
fn new_file(set: &ParticleSet, rows: &[usize], class: Option<&dyn Fn(usize) -> String>) -> String {
    let with_ctf = set.groups.iter().any(|group| group.ctf_known);
    let mut optics_labels = vec!["rlnOpticsGroup", "rlnOpticsGroupName"];
    if with_ctf {
        optics_labels.extend(["rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"]);
    }
    optics_labels.extend(["rlnImagePixelSize", "rlnImageSize", "rlnImageDimensionality"]);
    let mut labels =
        vec!["rlnImageName", "rlnOpticsGroup", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"];
    if with_ctf {
        labels.extend(["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift"]);
    }
    if class.is_some() {
        labels.push(CLASS_LABEL);
    }
    let particles = rows.iter().map(|&row| {
        let mut cells = particle_cells(set, &set.rows[row], with_ctf);
        cells.extend(class.map(|class| class(row)));
        cells
    });
    Builder::new(Some(STAR_VERSION))
        .table("optics", &optics_labels, set.groups.iter().map(|group| optics_cells(group, with_ctf)))
        .table("particles", &labels, particles)
        .finish()
}

fn optics_cells(group: &OpticsGroup, with_ctf: bool) -> Vec<String> {
    let mut cells = vec![group.number.to_string(), group.name.clone()];
    if with_ctf {
        cells.extend([group.voltage_kv, group.cs_mm, group.amplitude_contrast].map(number));
    }
    cells.extend([number(group.apix), group.box_px.to_string(), "2".to_owned()]);
    cells
}

fn particle_cells(set: &ParticleSet, row: &Particle, with_ctf: bool) -> Vec<String> {
    let image = format!("{:06}@{}", row.slice + 1, set.stacks[row.stack as usize].display());
    let mut cells = vec![image, set.groups[row.group as usize].number.to_string()];
    cells.extend([row.rot_deg, row.tilt_deg, row.psi_deg, row.origin_x_angstrom, row.origin_y_angstrom].map(number));
    if with_ctf {
        cells.extend([row.defocus_u_angstrom, row.defocus_v_angstrom, row.defocus_angle_deg, row.phase_shift_deg].map(number));
    }
    cells
}

/// Six decimals, as RELION writes.
fn number(value: f64) -> String {
    format!("{value:.6}")
}

#[cfg(test)]
mod tests;
