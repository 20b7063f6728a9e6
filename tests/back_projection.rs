//! Back-projection against `relion_reconstruct` on the same particles: half maps of both programs must agree shell by shell.
//!
//! The particles are simulated ones whose folder is `OPUS_DSD_EXTRA_DATA`.

use cryoem::mrc::read_volume;
use cryoem::particles::{self, ReadOptions};
use cryoem::prepare::{Invert, PrepareOptions, PreparedSet, prepare};
use cryoem::subset;
use cryoem::volume::fourier_shell_correlation;
use reconstruction::{Options, back_project};
use std::path::PathBuf;
use std::process::Command;

/// Allowed loss of the half maps' correlation, mean over shells up to Nyquist.
const ALLOWED: f64 = 0.01;

#[test]
fn half_maps_correlate_as_relions_do() {
    let data = std::env::var_os("OPUS_DSD_EXTRA_DATA").map(|folder| PathBuf::from(folder).join("tiny/adk-path-tiny"));
    let Some(data) = data.filter(|folder| folder.is_dir()) else {
        println!("SKIPPED: no simulated set; name the folder of extra data in OPUS_DSD_EXTRA_DATA");
        return;
    };
    if Command::new("relion_reconstruct").arg("--help").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "RELION is not installed, and CI must not skip its tests");
        println!("SKIPPED: RELION (relion_reconstruct) is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let set = particles::read(&data.join("particles.star"), &ReadOptions::default()).unwrap();
    let options = PrepareOptions { size_px: 48, apix: None, invert: Invert::No };
    let prepared = prepare(&set, &options, &folder.path().join("prepared"), &mut |_, _| Ok(())).unwrap().prepared;
    let images = PreparedSet::open(&prepared).unwrap();
    let mut ours = Vec::new();
    let mut relions = Vec::new();
    for half in 0..2 {
        let rows: Vec<usize> = (half..set.len()).step_by(2).collect();
        ours.push(back_project(&images, &rows, None, &Options::default()).unwrap());
        let (star, map) = (folder.path().join(format!("half{half}.star")), folder.path().join(format!("half{half}.mrc")));
        subset::write_rows(&star, &set, &rows).unwrap();
        let done = Command::new("relion_reconstruct")
            .args(["--ctf", "--i", star.to_str().unwrap(), "--o", map.to_str().unwrap()])
            .current_dir(&data)
            .env("OMP_NUM_THREADS", "1")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        relions.push(read_volume(&map).unwrap());
    }
    let mask = read_volume(&data.join("mask.mrc")).unwrap();
    let fsc = |maps: &[cryoem::volume::Volume]| fourier_shell_correlation(&maps[0], &maps[1], Some(&mask)).unwrap();
    let (own, relion) = (fsc(&ours), fsc(&relions));
    let mean = |curve: &[f64]| curve[1..].iter().sum::<f64>() / (curve.len() - 1) as f64;
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
