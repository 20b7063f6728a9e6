//! `check`: whether particles, poses, map and mask belong together, before hours are spent on them.

use crate::host::relion::exit_files::{self, Outcome};
use crate::job::atomic;
use crate::job::console::Console;
use crate::job::stages::check::surely_wrong;
use crate::settings::values::InvertData;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result, VERSION};
use cryoem::mask::{self, CubeGrid};
use cryoem::mrc::read_volume;
use cryoem::particles::{self, ParticleSet, ReadOptions};
use cryoem::prepare::PrepareOptions;
use cryoem::volume::Volume;
use reconstruction::check::{self, CheckOptions, Given, Report, Verdict};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The numbers, for machines, in the folder of `--o`.
const NUMBERS: &str = "check.json";
/// Raised when a field of them changes its meaning.
const SCHEMA: u32 = 1;
/// Word that `--ctf` takes where the images have none.
const NO_CTF: &str = "none";

/// What is said of a check.
#[derive(Args, Clone, Debug)]
struct CheckSaid {
    /// Folder to write check.json to [default: nothing is written]
    #[arg(long = "o", short = 'o', value_name = "DIR/")]
    o: Option<PathBuf>,
    /// Particles with poses and CTF: a STAR file, or a stack (.mrcs) or list of stacks (.txt) with --poses and --ctf
    #[arg(long, value_name = "FILE")]
    in_parts: PathBuf,
    /// Map of the consensus
    #[arg(long = "in-3dref", value_name = "FILE")]
    in_3dref: Option<PathBuf>,
    /// Solvent mask
    #[arg(long, short = 'r', value_name = "FILE")]
    in_mask: Option<PathBuf>,
    /// Particles to look at, at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = CheckOptions::default().particles)]
    particles: usize,
    /// Sign of the images [default: auto]
    #[arg(long, value_name = "WORD", value_enum)]
    invert_data: Option<InvertData>,
    /// Folder in which image stacks are looked for
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,
    /// Pixel size of the images, Å [default: from the particles' file]
    #[arg(long, value_name = "Å")]
    apix: Option<f64>,
    /// Poses as the original keeps them (.pkl)
    #[arg(long, value_name = "FILE")]
    poses: Option<PathBuf>,
    /// CTF parameters as the original keeps them (.pkl), or none
    #[arg(long, value_name = "FILE|none")]
    ctf: Option<PathBuf>,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", hide = true)]
    pipeline_control: Option<PathBuf>,
}

pub(super) fn command() -> Command {
    CheckSaid::augment_args(Command::new("check"))
        .about("Whether particles, poses, map and mask belong together: contrast, hand, pixel size; in seconds")
        .long_about(None)
        .after_help(
            "Back-projects some of the particles and compares. Exit status 0: nothing is surely wrong; 2: something is.\n\n\
             Example:\n  opus-dsd check --in_parts Refine3D/job020/run_data.star --in_3dref Refine3D/job020/run_class001.mrc",
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8> {
    let said = CheckSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    let mut console = match &said.o {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|e| Problem::io(folder, &e))?;
            exit_files::clear(folder)?;
            Console::open(folder)
        }
        None => Console::detached(),
    };
    let report = look(&said, &mut console)?;
    if let Some(folder) = &said.o {
        atomic::write_json(&folder.join(NUMBERS), &numbers(&said, &report))?;
    }
    for finding in &report.findings {
        console.say(&format!("{:<9} {:<11} {}", finding.verdict.word(), finding.subject.word(), finding.text));
    }
    for finding in report.warnings().filter(|f| f.verdict < Verdict::Wrong) {
        console.warn(&format!("{}: {}: {}", finding.subject.word(), finding.text, finding.hint));
    }
    let problem = surely_wrong(&report, |_| true);
    let outcome = if let Some(problem) = &problem {
        console.problem(problem);
        Outcome::Failure
    } else {
        console.say(if report.verdict() >= Verdict::Doubtful { "nothing is surely wrong" } else { "all is well" });
        Outcome::Success
    };
    if let Some(folder) = &said.o {
        exit_files::write(folder, outcome)?;
    }
    Ok(problem.map_or(0, |p| p.kind.exit_status()))
}

fn look(said: &CheckSaid, console: &mut Console) -> Result<Report> {
    let without_ctf = said.ctf.as_ref().is_some_and(|c| c.as_os_str() == NO_CTF);
    let options = ReadOptions {
        apix: said.apix,
        datadir: said.datadir.clone(),
        poses: said.poses.clone(),
        ctf: said.ctf.clone().filter(|_| !without_ctf),
        without_ctf,
        ..ReadOptions::default()
    };
    let set = particles::read(&said.in_parts, &options)?;
    let native = PrepareOptions::native(&set);
    let grid = CubeGrid { box_px: native.size_px, apix: native.apix.unwrap_or(1.0) };
    let mut notes = set.notes.clone();
    let map = said.in_3dref.as_deref().map(|path| reference(path, grid, &mut notes)).transpose()?;
    let mask = said.in_mask.as_deref().map(|path| mask::read(path, grid, &mut notes)).transpose()?;
    console.say(&format!("{} particles of {} pixels of {:.4} Å", set.len(), grid.box_px, grid.apix));
    for note in &notes {
        console.say(note);
    }
    let invert = said.invert_data.unwrap_or(InvertData::Auto).into();
    let given = Given { map: map.as_ref(), mask: mask.as_ref() };
    let options = CheckOptions { particles: said.particles, seed: said.seed };
    check::check_set(&set, given, invert, &options).map_err(|problem| named(problem, said, &set))
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
