//! What a run warns of: nothing where all is well, and every fault by its name, in run.err and in the report, with what to do.
//!
//! Runs of the real executables on small simulated sets from the folder that `OPUS_DSD_EXTRA_DATA` names; without it the tests say SKIPPED.

#[path = "science/edits.rs"]
mod edits;
#[path = "support/page.rs"]
mod page;
#[path = "science/runs.rs"]
mod runs;
#[path = "support/skip.rs"]
mod skip;

use cryoem::mrc::{read_volume, write_volume};
use cryoem::particles::{self, ParticleSet, ReadOptions};
use cryoem::volume::Volume;
use ndarray::Array3;
use runs::Run;
use std::path::Path;
use std::process::Command;

/// For faults that show before training has done much.
const SHORT: &str = "--epochs 1 --clusters 2 --plot no";

/// Lines of run.err, less the word that marks them.
fn said(job: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(job.join("run.err")).unwrap();
    text.lines().map(|line| line.strip_prefix("warning: ").unwrap_or(line).to_owned()).collect()
}

/// What the top of a report warns of: the verdict on the training, unless it is good, and the warnings.
fn reported(job: &Path) -> Vec<String> {
    let report = page::data(job);
    let bad = report["verdict"]["good"] == false;
    let verdict = bad.then(|| report["verdict"]["text"].as_str().unwrap().to_owned());
    let warnings = report["warnings"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
    verdict.into_iter().chain(warnings).collect()
}

/// Holds that the run warns once of what these words name, both in run.err and in the report, and returns what else it warns of.
fn named(run: &Run, words: &[&str]) -> Vec<String> {
    let (mut said, mut reported) = (said(&run.job), reported(&run.job));
    println!("{}: {said:#?}, {:.0} CPU seconds", run.job.display(), run.cpu_seconds);
    said.sort();
    reported.sort();
    assert_eq!(said, reported, "run.err and the report tell the same");
    let (meant, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|line| words.iter().all(|word| line.contains(word)));
    assert_eq!(meant.len(), 1, "{words:?} once: {meant:?}; {others:?}");
    others
}

/// The words of the verdict on a run of one epoch, which is one of few whatever else is wrong.
fn is_of_few_epochs(line: &str) -> bool {
    line.contains("1 epoch, too few to say whether it has arrived") && line.contains("a larger `--epochs`")
}

fn read(set: &Path) -> ParticleSet {
    particles::read(&set.join("particles.star"), &ReadOptions::default()).unwrap()
}

fn silent(run: Option<&Run>) {
    let Some(run) = run else { return };
    println!("{:.0} CPU seconds", run.cpu_seconds);
    assert_eq!((said(&run.job), reported(&run.job)), (vec![], vec![]));
    assert_eq!(page::data(&run.job)["verdict"]["good"], true);
}

#[test]
fn a_good_run_of_the_adk_set_is_silent() {
    silent(runs::adk());
}

#[test]
fn a_good_run_of_the_compose_set_is_silent() {
    silent(runs::compose());
}

#[test]
fn too_few_epochs_are_named() {
    let Some(set) = runs::tiny("adk-path-tiny") else { return };
    let run = runs::train("few", &set, SHORT);
    assert_eq!(named(&run, &["1 epoch, too few to say whether it has arrived", "a larger `--epochs`"]), Vec::<String>::new());
}

/// Every image has another's pose.
fn shuffled(original: &Path) -> std::path::PathBuf {
    const LABELS: [&str; 5] = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"];
    let poses: Vec<[f64; 5]> =
        read(original).rows.iter().map(|r| [r.rot_deg, r.tilt_deg, r.psi_deg, r.origin_x_angstrom, r.origin_y_angstrom]).collect();
    edits::chosen(
        original,
        "shuffled-set",
        |_| true,
        |number, row| {
            let other = poses[(number + poses.len() / 3) % poses.len()];
            LABELS.iter().zip(other).for_each(|(label, value)| row.set(label, value));
        },
    )
}

#[test]
fn shuffled_poses_are_named_in_continued_jobs_and_analyses_too() {
    let Some(original) = runs::tiny("adk-path-tiny") else { return };
    let set = shuffled(&original);
    const WORDS: [&str; 3] =
        ["the poses do not belong to the images", "with the poses dealt out at random", "check that the rows of the STAR file"];
    let run = runs::train("shuffled", &set, SHORT);
    let others = named(&run, &WORDS);
    assert!(others.iter().all(|line| is_of_few_epochs(line)), "{others:?}");

    // Nothing is left to be done, and yet it is said again.
    std::fs::remove_file(run.job.join("run.err")).unwrap();
    let again = runs::train("shuffled", &set, SHORT);
    assert!(std::fs::read_to_string(run.job.join("run.out")).unwrap().contains("check: done before"));
    assert_eq!(named(&again, &WORDS), others);

    let job = run.job.with_file_name("analysis");
    let mut command = Command::new(runs::program());
    command.args(["analyse", "--device", "cpu", "--j", "1", "--plot", "no", "--job"]).arg(&run.job).arg("--o").arg(&job);
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(named(&Run { job, ..run }, &WORDS), others);
}

#[test]
fn inverted_images_are_named() {
    let Some(original) = runs::tiny("adk-path-tiny") else { return };
    let set = edits::copy(&original, "inverted-set", usize::MAX, |_| {});
    edits::turn_sign(&set);
    let turned = runs::train("inverted", &set, SHORT);
    let words = ["the contrast of the images is inverted", "black where white is expected", "their sign is turned", "`--invert-data no`"];
    let others = named(&turned, &words);
    assert!(others.iter().all(|line| is_of_few_epochs(line)), "{others:?}");

    let left = runs::train("inverted-left", &set, &format!("{SHORT} --invert-data no"));
    let words = ["the contrast of the images is inverted", "look black", "left as `--invert-data no` says", "leave `--invert-data` out"];
    let others = named(&left, &words);
    assert!(others.iter().all(|line| is_of_few_epochs(line)), "{others:?}");
}

/// That a run with this map ends before anything is prepared, and says so with these words.
fn refused(set: &Path, name: &str, map: &Volume, words: &[&str]) {
    let path = runs::scratch(name).join("map.mrc");
    write_volume(&path, map).unwrap();
    let (status, run) = runs::attempt(name, set, &format!("{SHORT} --in_3dref {}", path.display()));
    let lines = said(&run.job);
    println!("{name}: {lines:#?}, {:.0} CPU seconds", run.cpu_seconds);
    assert_eq!(status, 2, "{name}: {lines:?}");
    let last = lines.last().unwrap();
    assert!(words.iter().chain(&["hint: ", "`--check no`"]).all(|word| last.contains(word)), "{name}: {last}");
    assert!(!run.job.join("prepared").exists() && run.job.join("RELION_JOB_EXIT_FAILURE").exists(), "{name}");
}

#[test]
fn a_map_of_other_contrast_hand_or_pixel_size_is_named() {
    for name in ["adk-path-tiny", "compose-4-tiny"] {
        let Some(set) = runs::tiny(name) else { return };
        let map = read_volume(&set.join("consensus.mrc")).unwrap();
        let n = map.box_px().unwrap();
        let negative = Volume { data: -map.data.clone(), apix: map.apix };
        refused(&set, &format!("{name}-negative"), &negative, &["the map's contrast is inverted", "multiply it by −1"]);
        let mirrored = Volume { data: Array3::from_shape_fn((n, n, n), |(z, y, x)| map.data[[(n - z) % n, y, x]]), apix: map.apix };
        refused(&set, &format!("{name}-mirrored"), &mirrored, &["the map is a mirror image", "of the same hand as the poses"]);
        for (percent, word) in [(-5, "smaller"), (5, "larger")] {
            let scaled = Volume { apix: map.apix * (1.0 + f64::from(percent) / 100.0), ..map.clone() };
            refused(&set, &format!("{name}-{word}"), &scaled, &["the pixel size is wrong", "which of map header and STAR file is right"]);
        }
    }
}

#[test]
fn latents_that_encode_defocus_are_named() {
    /// How far a particle's place in the motion and the rank of its defocus may be apart.
    const APART: f64 = 0.2;
    let Some(original) = runs::tiny("adk-path-tiny") else { return };
    let particles = read(&original);
    let defocus = |row: usize| particles.rows[row].defocus_u_angstrom;
    let mut order: Vec<usize> = (0..particles.len()).collect();
    order.sort_by(|&a, &b| defocus(a).total_cmp(&defocus(b)));
    let mut rank = vec![0.0; order.len()];
    order.iter().enumerate().for_each(|(place, &row)| rank[row] = place as f64 / order.len() as f64);
    let truth = std::fs::read_to_string(original.join("labels.csv")).unwrap();
    let motion: Vec<f64> = truth.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    let set = edits::chosen(&original, "defocus-set", |row| (motion[row] - rank[row]).abs() < APART, |_, _| {});
    let run = runs::train("defocus", &set, "--clusters 2 --plot no");
    let others = named(&run, &["latents tell the defocus", "check CTF parameters and pixel size"]);
    // The set is what is left of a small one, and each of its micrographs has a defocus of its own.
    let right = ["particles are few", "latents tell the micrograph"];
    assert!(others.iter().all(|line| right.iter().any(|words| line.contains(words))), "{others:?}");
}
