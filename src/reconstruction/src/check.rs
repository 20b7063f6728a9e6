//! Whether particles, poses and map belong together, found out before hours are spent on them.
//!
//! A subset of the particles is back-projected in two halves. How far the halves agree, beside what the same images give with their poses
//! dealt out anew, tells whether the poses belong to the images; no map is needed for that. A given map is then compared with the
//! back-projection: as it is, in all 48 positions that swap and flip its axes (of which 24 mirror it), and at pixel sizes within a tenth of its
//! own. Docs: concepts/resolution.md.

mod against_map;
mod findings;
mod sample;

pub use against_map::{AgainstMap, Position};
pub use findings::{ENOUGH_PARTICLES, Finding, Subject, Verdict};

use crate::{Options, Particles, Prior, back_project_halves};
use contract::{Problem, Result};
use cryoem::mask::{self, CubeGrid, soft_ball};
use cryoem::particles::ParticleSet;
use cryoem::prepare::{ImageStream, Invert, PrepareOptions};
use cryoem::random::Random;
use cryoem::volume::resolution::{HALF_MAPS, last_shell_above};
use cryoem::volume::{Volume, contour_levels};
use sample::Sample;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckOptions {
    /// Particles, at most: a random subset.
    pub particles: usize,
    /// Seed of the subset and of the dealt poses.
    pub seed: u64,
}

impl CheckOptions {
    /// A few thousand particles give a map to 10 Å or so, in which all that is asked here shows.
    pub const PARTICLES: usize = 3_000;
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { particles: Self::PARTICLES, seed: 0 }
    }
}

/// Side of the images that a check is made on, pixels, at most: it takes seconds, and tells hands and scales apart.
pub const SIZE_PX: usize = 64;
/// Particles below which nothing can be said.
pub const LEAST_PARTICLES: usize = 50;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Particles that were looked at.
    pub particles: usize,
    /// Side of the images, pixels.
    pub size_px: usize,
    /// Pixel size of the images, Å.
    pub apix: f64,
    /// Correlation of the two halves' maps in Fourier shells 0..=n/2.
    pub half_maps: Vec<f64>,
    /// The same with the poses dealt out anew among the images.
    pub dealt_poses: Vec<f64>,
    /// Resolution at which the halves' correlation falls below 0.143, Å; `None`: nowhere above.
    pub resolution_angstrom: Option<f64>,
    /// The comparison with the map, where one is given.
    pub map: Option<AgainstMap>,
    /// Part of the back-projection's density that lies outside the mask, where one is given.
    pub outside_mask: Option<f64>,
    /// Findings on what could be judged: one a subject.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The gravest verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Good)
    }

    /// Findings that are to be said even where nobody asks.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.verdict >= Verdict::Doubtful)
    }
}

/// What the random numbers are for.
mod purpose {
    pub(super) const SUBSET: u64 = 0xc4ec;
    pub(super) const POSES: u64 = 0xc4ed;
}

/// What the particles are compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// A map of them, of any box and pixel size, about the same centre.
    pub map: Option<&'a Volume>,
    /// A mask, likewise.
    pub mask: Option<&'a Volume>,
}

/// Checks particles as they lie on disk, down-sampled to at most [`SIZE_PX`], and what else is given. `invert` says how the images' sign is to be
/// found; that they are black is a finding of its own.
///
/// # Errors
/// As [`check`].
pub fn check_set(set: &ParticleSet, given: Given<'_>, invert: Invert, options: &CheckOptions) -> Result<Report> {
    let native = PrepareOptions::native(set);
    let size_px = native.size_px.min(SIZE_PX);
    let apix = native.apix.map(|apix| apix * native.size_px as f64 / size_px as f64);
    let images = ImageStream::open(set, &PrepareOptions { size_px, apix, invert, known: Vec::new() })?;
    let mut report = check(&images, given, options)?;
    // Found out and mended, or done against what the images say.
    let verdict = if invert == Invert::Auto { Verdict::Noted } else { Verdict::Doubtful };
    report.findings.extend(images.warnings().iter().map(|text| Finding::new(Subject::Images, verdict, text.as_str(), "")));
    Ok(report)
}

/// Checks particles, and a map and a mask of them where these are given.
///
/// # Errors
/// There are fewer than [`LEAST_PARTICLES`], an image cannot be read, or map or mask is no cube, has no voxel size or holds
/// nothing.
pub fn check(source: &dyn Particles, given: Given<'_>, options: &CheckOptions) -> Result<Report> {
    let chosen = Random::keyed(options.seed, &[purpose::SUBSET]).sample(source.len(), options.particles);
    if chosen.len() < LEAST_PARTICLES {
        return Err(Problem::input(format!("{} particles are too few to check them", chosen.len()))
            .hint(format!("give at least {LEAST_PARTICLES} particles")));
    }
    let sample = Sample::read(source, &chosen)?;
    let (n, apix) = (sample.size_px(), sample.apix());
    // A ball and not the user's mask: that may belong to a mirrored or wrongly scaled map.
    let radius = n as f64 / 2.0;
    let ball = soft_ball(n, apix, 0.8 * radius, 0.15 * radius);
    let rows: Vec<usize> = (0..sample.len()).collect();
    let second: Vec<bool> = rows.iter().map(|i| i % 2 == 1).collect();
    let how = Options { mask: Some(ball.clone()), prior: Prior::HalfSets };
    let halves = back_project_halves(&sample, &rows, None, Some(&second), &how)?;
    let dealt = back_project_halves(&sample.with_dealt_poses(options.seed), &rows, None, Some(&second), &how)?;
    let against = given.map.map(|map| against_map::compare(&halves, map, &ball)).transpose()?;
    let outside_mask = given.mask.map(|mask| outside(mask, &halves.full, &ball)).transpose()?;
    let mut report = Report {
        particles: sample.len(),
        size_px: n,
        apix,
        resolution_angstrom: last_shell_above(&halves.fsc, HALF_MAPS).map(|shell| n as f64 * apix / shell as f64),
        half_maps: halves.fsc,
        dealt_poses: dealt.fsc,
        map: against,
        outside_mask,
        findings: Vec::new(),
    };
    report.findings = findings::of(&report);
    Ok(report)
}

/// Part of the density's voxels that lie outside the mask.
fn outside(mask: &Volume, map: &Volume, ball: &Volume) -> Result<f64> {
    /// Low-pass, voxels: noise makes no density then.
    const SMOOTH_PX: f64 = 5.0;
    /// Density from this part of the core's on.
    const CONTOUR: f32 = 0.4;
    /// Mask value below which a voxel is outside.
    const OUTSIDE: f32 = 0.1;
    let n = map.box_px()?;
    let mask = mask::on_grid(mask, CubeGrid { box_px: n, apix: map.apix })?;
    let mut smooth = map.low_passed(SMOOTH_PX * map.apix)?;
    smooth.data *= &ball.data;
    let level = contour_levels(&smooth, &[CONTOUR])[0];
    let (mut all, mut cut) = (0usize, 0usize);
    ndarray::Zip::from(&smooth.data).and(&mask.data).for_each(|v, m| {
        all += usize::from(*v > level);
        cut += usize::from(*v > level && *m < OUTSIDE);
    });
    Ok(cut as f64 / all.max(1) as f64)
}

#[cfg(test)]
mod tests;
