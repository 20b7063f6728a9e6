//! Back-projection, resolution and the check of input against RELION's own programs and the known truth.
//!
//! The particles are simulated ones whose folder is `OPUS_DSD_EXTRA_DATA`.

#[path = "back_projection/checks.rs"]
mod checks;
#[path = "back_projection/learned.rs"]
mod learned;
#[path = "back_projection/post_process.rs"]
mod post_process;
#[path = "back_projection/sets.rs"]
mod sets;
#[path = "support/skip.rs"]
mod skip;
#[path = "back_projection/truth.rs"]
mod truth;

use cryoem::mrc::read_volume;
use cryoem::particles::{self, ReadOptions};
use cryoem::prepare::{Invert, PrepareOptions, PreparedSet, prepare};
use cryoem::volume::{Volume, fourier_shell_correlation};
use reconstruction::{Options, back_project};

/// Allowed loss of a correlation, mean over shells up to Nyquist.
const ALLOWED: f64 = 0.01;

fn mean(curve: &[f64]) -> f64 {
    curve[1..].iter().sum::<f64>() / (curve.len() - 1) as f64
}

/// Half maps of both programs on the same prepared particles agree shell by shell.
#[test]
fn half_maps_correlate_as_relions_do() {
    let Some(set) = sets::relion_readable("adk-path-tiny") else { return };
    let folder = tempfile::tempdir().unwrap();
    let particles = particles::read(&set.star(), &ReadOptions::default()).unwrap();
    let options = PrepareOptions { size_px: 48, apix: None, invert: Invert::No, known: Vec::new() };
    let prepared = prepare(&particles, &options, &folder.path().join("prepared"), &mut |_, _| Ok(())).unwrap().prepared;
    let images = PreparedSet::open(&prepared).unwrap();
    let (mut ours, mut relions) = (Vec::new(), Vec::new());
    for half in 0..2 {
        let rows: Vec<usize> = (half..particles.len()).step_by(2).collect();
        ours.push(back_project(&images, &rows, None, &Options::default()).unwrap());
        relions.push(set.relion_reconstruct(&particles, &rows));
    }
    let mask = read_volume(&set.data.join("mask.mrc")).unwrap();
    let fsc = |maps: &[Volume]| fourier_shell_correlation(&maps[0], &maps[1], Some(&mask)).unwrap();
    let (own, relion) = (fsc(&ours), fsc(&relions));
    println!("half maps' FSC, mean over shells: {:.4}, RELION's {:.4}", mean(&own), mean(&relion));
    println!("ours   {own:.3?}\nRELION {relion:.3?}");
    assert!(mean(&own) > mean(&relion) - ALLOWED);
    // The same map, not another that is as reproducible.
    for half in 0..2 {
        let between = fourier_shell_correlation(&ours[half], &relions[half], Some(&mask)).unwrap();
        let (inner, _) = between.split_at(between.len() / 2);
        assert!(inner.iter().skip(1).all(|&c| c > 0.9), "half {half}: {between:.3?}");
    }
}
