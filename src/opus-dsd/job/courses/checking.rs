//! `check`: whether particles, poses, map and mask belong together, before hours are spent on them. A job where a folder is named, and a plain
//! command where none is.

use crate::job::atomic;
use crate::job::stages::check::surely_wrong;
use crate::job::stages::context::Context;
use crate::settings::said::CheckSaid;
use crate::settings::values::InvertData;
use contract::{Problem, Result, VERSION};
use cryoem::mask::{self, CubeGrid};
use cryoem::mrc::read_volume;
use cryoem::particles::{self, ParticleSet};
use cryoem::prepare::PrepareOptions;
use cryoem::volume::Volume;
use reconstruction::check::{self, Given, Report, Verdict};
use serde_json::{Value, json};
use std::path::Path;

/// The numbers, for machines.
pub(crate) const NUMBERS: &str = "check.json";
/// Raised when a field of them changes its meaning.
const SCHEMA: u32 = 1;

/// Where lines for people go.
pub(crate) trait Listener {
    /// A fact.
    fn say(&mut self, line: &str);
    /// Something that is odd but not wrong.
    fn warn(&mut self, line: &str);
}

impl Listener for Context<'_> {
    fn say(&mut self, line: &str) {
        Context::say(self, line);
    }

    fn warn(&mut self, line: &str) {
        Context::warn(self, line);
    }
}

pub(super) fn run(context: &mut Context<'_>, said: &CheckSaid) -> Result<()> {
    context.results.change(|now| now.complete = false)?;
    let report = look(said, context)?;
    atomic::write_json(&context.path(NUMBERS), &numbers(said, &report))?;
    tell(&report, context)?;
    context.results.change(|now| now.complete = true)
}

/// Says what was found.
///
/// # Errors
/// What is surely wrong.
pub(crate) fn tell(report: &Report, listener: &mut dyn Listener) -> Result<()> {
    for finding in &report.findings {
        listener.say(&format!("{:<9} {:<11} {}", finding.verdict.word(), finding.subject.word(), finding.text));
    }
    for finding in report.warnings().filter(|f| f.verdict < Verdict::Wrong) {
        listener.warn(&format!("{}: {}: {}", finding.subject.word(), finding.text, finding.hint));
    }
    surely_wrong(report, |_| true).map_or(Ok(()), Err)?;
    listener.say(if report.verdict() >= Verdict::Doubtful { "nothing is surely wrong" } else { "all is well" });
    Ok(())
}

/// Reads everything and compares.
///
/// # Errors
/// A file that cannot be read or understood, or too few particles.
pub(crate) fn look(said: &CheckSaid, listener: &mut dyn Listener) -> Result<Report> {
    let set = particles::read(&said.in_parts, &said.images.options())?;
    let native = PrepareOptions::native(&set);
    let grid = CubeGrid { box_px: native.size_px, apix: native.apix.unwrap_or(1.0) };
    let mut notes = set.notes.clone();
    let map = said.in_3dref.as_deref().map(|path| reference(path, grid, &mut notes)).transpose()?;
    let mask = said.in_mask.as_deref().map(|path| mask::read(path, grid, &mut notes)).transpose()?;
    listener.say(&format!("{} particles of {} pixels of {:.4} Å", set.len(), grid.box_px, grid.apix));
    for note in &notes {
        listener.say(note);
    }
    let invert = said.invert_data.unwrap_or(InvertData::Auto).into();
    let given = Given { map: map.as_ref(), mask: mask.as_ref() };
    check::check_set(&set, given, invert, &said.options()).map_err(|problem| named(problem, said, &set))
}

/// A problem without a culprit is one of the particles' file.
fn named(problem: Problem, said: &CheckSaid, set: &ParticleSet) -> Problem {
    if problem.culprit.is_some() { problem } else { problem.at(format!("{} ({} particles)", said.in_parts.display(), set.len())) }
}

fn reference(path: &Path, particles: CubeGrid, notes: &mut Vec<String>) -> Result<Volume> {
    let map = read_volume(path)?;
    let box_px = map.box_px().map_err(|p| p.at(path.display().to_string()))?;
    if map.apix > 0.0 {
        return Ok(map);
    }
    let apix = particles.extent_angstrom() / box_px as f64;
    notes.push(format!("map `{}`: no pixel size in its header; taken to span the particles' box ({apix:.4} Å)", path.display()));
    Ok(map.or_apix(apix))
}

/// All numbers, for machines.
fn numbers(said: &CheckSaid, report: &Report) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|f| json!({ "subject": f.subject.word(), "verdict": f.verdict.word(), "text": f.text, "hint": f.hint }))
        .collect();
    let map = report.map.as_ref().map(|m| {
        json!({
            "fsc": m.fsc, "last_shell": m.last_shell, "score": m.score, "expected_score": m.expected, "mirrored_score": m.mirrored_score,
            "unmirrored_score": m.unmirrored_score, "best_axes_zyx": m.best_position.axes, "best_flipped_zyx": m.best_position.flipped,
            "best_is_mirrored": m.best_position.mirrors(), "best_position_score": m.best_position_score, "apix": m.apix,
            "best_apix": m.best_apix, "best_score": m.best_score, "scores_by_scale": m.scales,
        })
    });
    json!({
        "schema": SCHEMA, "version": VERSION, "verdict": report.verdict().word(), "in_parts": said.in_parts, "in_3dref": said.in_3dref,
        "in_mask": said.in_mask, "particles": report.particles, "size_px": report.size_px, "apix": report.apix, "half_maps_fsc": report.half_maps,
        "dealt_poses_fsc": report.dealt_poses, "resolution_angstrom": report.resolution_angstrom, "map": map,
        "outside_mask": report.outside_mask, "findings": findings,
    })
}
