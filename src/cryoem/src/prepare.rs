//! From a refinement's particles to images that the rest of the program can use as they are.
//!
//! The stacks are read once, in the order of the particles. Each image is moved so that its particle's centre lies at pixel n/2, cut or
//! padded and Fourier-cropped to one grid (`grid`), made white on dark (`sign`), and its background is brought to mean 0 and standard
//! deviation 1 (`background`). Memory does not grow with the number of particles, and no result depends on the number of threads.

use crate::particles::{Particle, ParticleSet};
use contract::{GroupSummary, Kind, Prepared, Problem, Result};
use rayon::prelude::*;
use std::path::Path;

mod background;
mod fingerprint;
mod grid;
mod known;
mod set;
mod sign;
mod source;
mod stream;

pub use fingerprint::fingerprint;
pub use set::{DESCRIPTION, PreparedSet, PreparedWriter, Row, bytes_on_disk};
pub use stream::ImageStream;

use background::Level;
use grid::Grid;
use source::Source;

/// Images of a group from which background and sign are estimated, at most.
const SAMPLE: usize = 512;
/// Bytes of original images that are in memory at a time, roughly.
const CHUNK_BYTES: usize = 64 << 20;

/// Whether the images' sign is to be turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Invert {
    /// Find out from the images.
    #[default]
    Auto,
    /// Protein is black: turn.
    Yes,
    /// Protein is white already.
    No,
}

/// What preparation is to make.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareOptions {
    /// Side of the prepared images, pixels; even.
    pub size_px: usize,
    /// Pixel size of the prepared images, Å; `None`: such that the images keep the extent of the optics group with the most particles.
    pub apix: Option<f64>,
    /// Sign.
    pub invert: Invert,
    /// Optics groups as an earlier preparation found them: images of these are made as then, so that those of a part of the group, or of more
    /// of it, come out alike. A group whose images have become others is measured anew, and a note says so.
    pub known: Vec<GroupSummary>,
}

/// A prepared set and what is to be said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    /// Describes the folder.
    pub prepared: Prepared,
    /// Lines for the log.
    pub notes: Vec<String>,
    /// What people should know before they go on.
    pub warnings: Vec<String>,
}

/// What there is to be said of the images.
#[derive(Clone, Debug, Default)]
struct Remarks {
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// Pixel size of the prepared grid, Å.
///
/// # Errors
/// The set is empty, a size makes no sense, or (without a pixel size of its own) the grid is finer than the images of the optics group with
/// the most particles.
pub fn grid_apix(set: &ParticleSet, options: &PrepareOptions) -> Result<f64> {
    if options.size_px < 8 || !options.size_px.is_multiple_of(2) {
        return Err(Problem::input(format!("image size {} is not an even number of at least 8 pixels", options.size_px)));
    }
    match options.apix {
        Some(apix) if apix > 0.0 && apix.is_finite() => Ok(apix),
        Some(apix) => Err(Problem::input(format!("pixel size {apix} Å is not positive"))),
        None => {
            let counts = counts(set);
            let largest = (0..set.groups.len()).max_by_key(|&g| (counts[g], std::cmp::Reverse(g)));
            let group = largest.map(|g| &set.groups[g]).ok_or_else(|| Problem::input("there are no particles"))?;
            if options.size_px > group.box_px + group.box_px % 2 {
                let what = format!("images of {} pixels cannot be made of {} pixels", options.size_px, group.box_px);
                return Err(Problem::input(what)
                    .at("image size")
                    .hint("finer pixels than the images' own hold nothing: ask for no more than their box"));
            }
            Ok(group.apix * group.box_px as f64 / options.size_px as f64)
        }
    }
}

/// Prepares a set into `folder` (see [`Prepared`] for what it holds). `progress` is called with (images done, images in all) before the first
/// image and after every few; its error ends the preparation and leaves nothing behind.
///
/// # Errors
/// A stack is missing, truncated or of another box than its group; an image has a pixel that is no number (the problem names image and stack);
/// the disk is too small or full; `progress` said so.
pub fn prepare(
    set: &ParticleSet,
    options: &PrepareOptions,
    folder: &Path,
    progress: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Preparation> {
    let apix = grid_apix(set, options)?;
    let total = set.rows.len();
    if total == 0 {
        return Err(Problem::input("there are no particles"));
    }
    progress(0, total)?;
    let fingerprint = fingerprint(set, options)?;
    let mut writer = PreparedWriter::create(folder, options.size_px)?;
    check_space(folder, bytes_on_disk(total, options.size_px))?;

    let grids: Vec<Grid> = set.groups.iter().map(|g| Grid::new(g.box_px, g.apix, options.size_px, apix)).collect();
    let counts = counts(set);
    let mut remarks = Remarks::default();
    let used: Vec<usize> = (0..grids.len()).filter(|&g| counts[g] > 0).collect();
    for &g in &used {
        // One line for all groups of the same box and pixel size.
        let alike: Vec<usize> = used.iter().copied().filter(|&other| grids[other] == grids[g]).collect();
        match alike.as_slice() {
            [only] => remarks.notes.push(grids[g].note(&format!("optics group `{}`", set.groups[*only].name))),
            [first, ..] if *first == g => remarks.notes.push(grids[g].note(&format!("{} optics groups", alike.len()))),
            _ => {}
        }
    }
    let mut source = Source::new(set);
    let levels = levels(set, options, &grids, &counts, &mut source, &mut remarks)?;

    let largest_box = set.groups.iter().map(|g| g.box_px).max().unwrap_or(1);
    let chunk = (CHUNK_BYTES / (4 * largest_box * largest_box)).clamp(8, 1024);
    let mut done = 0;
    for rows in set.rows.chunks(chunk) {
        source.open(rows)?;
        let images: Vec<Result<Vec<f32>>> = rows
            .par_iter()
            .map(|row| {
                let group = row.group as usize;
                let mut image = source.prepared(row, &grids[group])?.into_raw_vec_and_offset().0;
                levels[group].apply(&mut image, &grids[group]);
                Ok(image)
            })
            .collect();
        // In order, so that of several bad images always the first is named.
        for image in images {
            writer.push(&image?)?;
        }
        done += rows.len();
        progress(done, total)?;
    }
    let rows: Vec<Row> = set.rows.iter().map(|row| table_row(set, row, &grids)).collect();
    let groups = set.groups.iter().zip(&levels).zip(&counts).map(|((g, level), &n)| summary(g, level, n)).collect();
    let prepared = writer.finish(&rows, groups, apix, fingerprint)?;
    Ok(Preparation { prepared, notes: remarks.notes, warnings: remarks.warnings })
}

/// Particles in each group.
fn counts(set: &ParticleSet) -> Vec<usize> {
    let mut counts = vec![0; set.groups.len()];
    for row in &set.rows {
        counts[row.group as usize] += 1;
    }
    counts
}

/// Background, noise and sign of every group: as they are known, else from an even sample of its images.
fn levels(
    set: &ParticleSet,
    options: &PrepareOptions,
    grids: &[Grid],
    counts: &[usize],
    source: &mut Source,
    remarks: &mut Remarks,
) -> Result<Vec<Level>> {
    let mut levels = Vec::with_capacity(grids.len());
    let mut signs = Vec::with_capacity(grids.len());
    // Particles of groups whose sign is to be found.
    let mut open = counts.to_vec();
    for (g, grid) in grids.iter().enumerate() {
        if counts[g] == 0 {
            levels.push(Level::empty());
            signs.push(0.0);
            continue;
        }
        let members: Vec<&Particle> = set.rows.iter().filter(|row| row.group as usize == g).collect();
        let take = members.len().min(SAMPLE);
        let sample: Vec<Particle> = (0..take).map(|i| *members[i * members.len() / take]).collect();
        let measured = measure(set, g, grid, source, &sample)?;
        let mut notes = Vec::new();
        let found = Level::estimate(&measured.backgrounds, &set.groups[g].name, &mut notes);
        let vote = sign::vote(&measured.contrasts);
        let (level, settled) = known::level(&set.groups[g], options, found, known::Sample { images: take, vote }, &mut notes);
        if settled {
            open[g] = 0;
        }
        remarks.notes.append(&mut notes);
        levels.push(level);
        signs.push(vote);
    }
    sign::settle(set, options.invert, &open, &signs, &mut levels, remarks);
    Ok(levels)
}

/// What a sample of images says.
struct Measured {
    backgrounds: Vec<background::Sample>,
    contrasts: Vec<sign::Contrast>,
}

fn measure(set: &ParticleSet, g: usize, grid: &Grid, source: &mut Source, sample: &[Particle]) -> Result<Measured> {
    let group = &set.groups[g];
    let mut measured = Measured { backgrounds: Vec::with_capacity(sample.len()), contrasts: Vec::with_capacity(sample.len()) };
    let chunk = (CHUNK_BYTES / (4 * group.box_px * group.box_px)).clamp(8, SAMPLE);
    for rows in sample.chunks(chunk) {
        source.open(rows)?;
        let each: Vec<Result<_>> = rows
            .par_iter()
            .map(|row| {
                let image = source.prepared(row, grid)?;
                let ctf = (group.ctf_known && !group.premultiplied).then(|| source::ctf(group, row));
                Ok((background::Sample::of(image.view(), grid), sign::Contrast::of(image.view(), grid, ctf)))
            })
            .collect();
        for pair in each {
            let (background, contrast) = pair?;
            measured.backgrounds.push(background);
            measured.contrasts.push(contrast);
        }
    }
    Ok(measured)
}

fn table_row(set: &ParticleSet, row: &Particle, grids: &[Grid]) -> Row {
    let group = &set.groups[row.group as usize];
    let rotation = crate::geometry::Euler::new(row.rot_deg, row.tilt_deg, row.psi_deg).matrix();
    let rotation = std::array::from_fn(|i| rotation[i / 3][i % 3] as f32);
    Row {
        rotation,
        ctf: source::ctf(group, row).row(),
        apix: grids[row.group as usize].image_apix as f32,
        premultiplied: group.premultiplied,
        group: i64::from(row.group),
        ctf_known: group.ctf_known,
    }
}

fn summary(group: &crate::particles::OpticsGroup, level: &Level, particles: usize) -> GroupSummary {
    GroupSummary {
        name: group.name.clone(),
        particles,
        box_px: group.box_px,
        apix: group.apix,
        voltage_kv: group.voltage_kv,
        noise_std: level.noise_std,
        background: level.background,
        inverted: level.inverted,
        one_by_one: level.one_by_one,
    }
}

/// Refuses to start what the disk cannot hold.
fn check_space(folder: &Path, needed: u64) -> Result<()> {
    // A file system that does not say how much it holds is tried.
    let Ok(facts) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    if free >= needed || facts.f_blocks == 0 {
        return Ok(());
    }
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let what = format!("the prepared images need {:.2} GB, {:.2} GB are free", gigabytes(needed), gigabytes(free));
    Err(Problem::new(Kind::InputOutput, what)
        .at(folder.display().to_string())
        .hint("free some space, or choose another folder with `--scratch`"))
}

#[cfg(test)]
mod tests;
