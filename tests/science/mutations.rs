//! Faults that the floors must catch, each beside the same short run without it.
//!
//! To the program a fault of its own and the opposite fault in what it is told are the same, so the first three are made in the STAR file and
//! the stack. Scores without a fault and with it, when the floors were set: docs/benchmarks/learning-tiny.md.

use crate::edits::{self, Row};
use crate::runs::{self, Run};
use crate::{engine, scores};
use analysis::score::{self, MapScore};
use contract::{EncoderInput, TrainSettings};
use std::sync::OnceLock;

/// Particles of the short runs.
const PARTICLES: usize = 400;
/// Options of the short runs; the warm start is on.
const SHORT: &str = "--epochs 1 --clusters 2 --plot no";
/// Epochs of the short runs without a warm start, which tell what the networks learn.
const EPOCHS_FROM_SCRATCH: usize = 2;
/// What a short run without a fault reaches, and one with a fault must not: R², gain of the maps, R² without a warm start.
const LEAST_R2: f64 = 0.85;
const LEAST_GAIN: f64 = 0.01;
const LEAST_R2_FROM_SCRATCH: f64 = 0.50;

/// The short run without a fault and without a warm start.
fn sound_from_scratch() -> Option<&'static Run> {
    static RUN: OnceLock<Option<Run>> = OnceLock::new();
    let options = format!("--epochs {EPOCHS_FROM_SCRATCH} --warm-start no --clusters 2 --plot no");
    RUN.get_or_init(|| {
        let set = edits::copy(&runs::tiny("adk-path-tiny")?, "sound-from-scratch-set", PARTICLES, |_| {});
        Some(runs::train("sound-from-scratch", &set, &options))
    })
    .as_ref()
}

fn short(name: &str, edit: impl Fn(&mut Row<'_>)) -> Option<Run> {
    let set = edits::copy(&runs::tiny("adk-path-tiny")?, &format!("{name}-set"), PARTICLES, edit);
    Some(runs::train(name, &set, SHORT))
}

/// R² and maps of a short run.
fn scored(name: &str, run: &Run) -> (f64, MapScore) {
    let (r2, maps) = (scores::continuous(run).knn_r2, scores::maps(run, "adk"));
    eprintln!(
        "{name}: R² {r2:.3}, FSC area of the maps {:.3}, of the base {:.3}, {:.0} CPU s",
        maps.area_mean, maps.reference_area_mean, run.cpu_seconds
    );
    (r2, maps)
}

/// R² of the short training without a warm start, with its settings changed.
fn changed(sound: &Run, name: &str, change: impl FnOnce(&mut TrainSettings)) -> f64 {
    let outcome = engine::train(sound, name, change);
    let positions: Vec<f64> = scores::labels(&sound.set).iter().map(|l| l.position).collect();
    let r2 = score::continuous(scores::read_npy(&outcome.latents).view(), &positions).unwrap().knn_r2;
    eprintln!("{name}: R² {r2:.3} without a warm start");
    r2
}

#[test]
fn a_short_run_without_a_fault_passes() {
    let (Some(run), Some(from_scratch)) = (short("sound", |_| {}), sound_from_scratch()) else { return };
    let (r2, maps) = scored("sound", &run);
    assert!(r2 >= LEAST_R2 && maps.gain_mean >= LEAST_GAIN, "{r2} {maps:?}");
    let r2 = scores::continuous(from_scratch).knn_r2;
    eprintln!("sound: R² {r2:.3} without a warm start, {:.0} CPU s", from_scratch.cpu_seconds);
    assert!(r2 >= LEAST_R2_FROM_SCRATCH, "{r2}");
}

#[test]
fn transposed_rotations_are_caught() {
    let faulty = short("transposed", |row| {
        let [rot, tilt, psi] = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"].map(|label| row.number(label));
        row.set("rlnAngleRot", -psi);
        row.set("rlnAngleTilt", -tilt);
        row.set("rlnAnglePsi", -rot);
    });
    let Some(run) = faulty else { return };
    let (r2, maps) = scored("transposed", &run);
    assert!(r2 < LEAST_R2 && maps.gain_mean < LEAST_GAIN, "{r2} {maps:?}");
}

#[test]
fn origins_of_the_wrong_sign_are_caught() {
    let faulty = short("origin", |row| {
        for label in ["rlnOriginXAngst", "rlnOriginYAngst"] {
            row.set(label, -row.number(label));
        }
    });
    let Some(run) = faulty else { return };
    let (r2, maps) = scored("origin", &run);
    assert!(r2 < LEAST_R2 && maps.gain_mean < LEAST_GAIN, "{r2} {maps:?}");
}

/// Latents cannot tell: everything is turned, the map as well. Maps can.
#[test]
fn a_transfer_function_of_the_wrong_sign_is_caught() {
    let Some(original) = runs::tiny("adk-path-tiny") else { return };
    let set = edits::copy(&original, "sign-set", PARTICLES, |_| {});
    edits::turn_sign(&set);
    let run = runs::train("sign", &set, &format!("{SHORT} --invert-data no"));
    let (_, maps) = scored("sign", &run);
    assert!(maps.gain_mean < LEAST_GAIN && maps.area_mean < 0.0, "{maps:?}");
}

#[test]
fn rotations_about_half_a_pixel_off_are_caught() {
    let Some(run) = sound_from_scratch() else { return };
    let r2 = changed(run, "centre", |settings| settings.numerics.rotate_about_half_pixel = true);
    assert!(r2 < LEAST_R2_FROM_SCRATCH, "{r2}");
}

#[test]
fn an_encoder_that_does_not_see_residuals_is_caught() {
    let Some(run) = sound_from_scratch() else { return };
    let r2 = changed(run, "no-residual", |settings| settings.encoder_input = EncoderInput::Image);
    assert!(r2 < LEAST_R2_FROM_SCRATCH, "{r2}");
}
