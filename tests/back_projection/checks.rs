//! The check of input: silent on good sets, and every fault is named.

use crate::sets;
use cryoem::mrc::{StackReader, Values, read_volume, write_stack};
use cryoem::particles::{self, ParticleSet, ReadOptions};
use cryoem::prepare::Invert;
use cryoem::random::Random;
use cryoem::volume::Volume;
use ndarray::Array3;
use reconstruction::check::{CheckOptions, Given, Report, Subject, Verdict, check_set};

fn run(what: &str, set: &ParticleSet, map: Option<&Volume>) -> Report {
    let report = check_set(set, Given { map, mask: None }, Invert::Auto, &CheckOptions::default()).unwrap();
    println!("== {what}: {}", report.verdict().word());
    for finding in &report.findings {
        println!("{} ({}): {}", finding.subject.word(), finding.verdict.word(), finding.text);
    }
    if let Some(map) = &report.map {
        println!("score {:.3} of {:.3}, mirrored {:.3}, others {:.3}", map.score, map.expected, map.mirrored_score, map.unmirrored_score);
    }
    report
}

fn named(report: &Report) -> Vec<Subject> {
    report.warnings().map(|f| f.subject).collect()
}

fn faults_are_named(name: &str) {
    let Some(data) = sets::tiny(name) else { return };
    let set = particles::read(&data.join("particles.star"), &ReadOptions::default()).unwrap();
    let map = read_volume(&data.join("consensus.mrc")).unwrap();
    let began = cpu_seconds();
    assert!(named(&run("good", &set, Some(&map))).is_empty());
    let spent = cpu_seconds() - began;
    println!("{spent:.1} CPU seconds");
    assert!(spent < 10.0, "{spent} CPU seconds");
    assert!(named(&run("no map", &set, None)).is_empty());

    let mut shuffled = set.clone();
    let order = Random::new(3, 3).permutation(set.len());
    for (row, &other) in shuffled.rows.iter_mut().zip(&order) {
        (row.rot_deg, row.tilt_deg, row.psi_deg) = (set.rows[other].rot_deg, set.rows[other].tilt_deg, set.rows[other].psi_deg);
        (row.origin_x_angstrom, row.origin_y_angstrom) = (set.rows[other].origin_x_angstrom, set.rows[other].origin_y_angstrom);
    }
    for map in [Some(&map), None] {
        let report = run("poses shuffled", &shuffled, map);
        assert_eq!((named(&report), report.verdict()), (vec![Subject::Poses], Verdict::Wrong));
    }

    let negative = Volume { data: -map.data.clone(), apix: map.apix };
    let report = run("map inverted", &set, Some(&negative));
    assert_eq!((named(&report), report.verdict()), (vec![Subject::Contrast], Verdict::Wrong));

    let n = map.box_px().unwrap();
    let mirrored = Volume { data: Array3::from_shape_fn((n, n, n), |(z, y, x)| map.data[[(n - z) % n, y, x]]), apix: map.apix };
    let report = run("map mirrored", &set, Some(&mirrored));
    assert_eq!((named(&report), report.verdict()), (vec![Subject::Hand], Verdict::Wrong));

    for off in [0.95, 1.05] {
        let report = run("header off", &set, Some(&Volume { apix: off * map.apix, ..map.clone() }));
        assert_eq!((named(&report), report.verdict()), (vec![Subject::PixelSize], Verdict::Wrong));
    }

    let folder = tempfile::tempdir().unwrap();
    let reader = StackReader::open(&data.join("particles.mrcs")).unwrap();
    let mut pixels = vec![0.0; reader.len() * n * n];
    pixels.chunks_exact_mut(n * n).enumerate().for_each(|(i, image)| reader.read_into(i, image).unwrap());
    pixels.iter_mut().for_each(|v| *v = -*v);
    let stack = folder.path().join("black.mrcs");
    write_stack(&stack, &pixels, n, 1.0, Values::Single).unwrap();
    let black = ParticleSet { stacks: vec![stack], ..set.clone() };
    let report = run("images black", &black, Some(&map));
    assert_eq!((named(&report), report.verdict()), (vec![], Verdict::Noted));
    assert!(report.findings.iter().any(|f| f.subject == Subject::Images));
    // Told to leave the sign, it is wrong.
    let report = check_set(&black, Given { map: Some(&map), mask: None }, Invert::No, &CheckOptions::default()).unwrap();
    assert_eq!((named(&report), report.verdict()), (vec![Subject::Contrast, Subject::Images], Verdict::Wrong));
}

/// Of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (after_name[11].parse::<f64>().unwrap() + after_name[12].parse::<f64>().unwrap()) / 100.0
}

#[test]
fn faults_of_the_adk_set_are_named() {
    faults_are_named("adk-path-tiny");
}

#[test]
fn faults_of_the_compose_set_are_named() {
    faults_are_named("compose-4-tiny");
}
