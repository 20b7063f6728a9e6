use super::*;
use crate::tests::{Memory, N, molecule, set};
use cryoem::geometry::Matrix3;

fn truth() -> Volume {
    molecule().volume(N, crate::tests::APIX)
}

fn with(map: &Volume) -> Given<'_> {
    Given { map: Some(map), mask: None }
}

fn verdict(report: &Report, subject: Subject) -> Verdict {
    report.findings.iter().find(|f| f.subject == subject).map_or(Verdict::Good, |f| f.verdict)
}

fn named(report: &Report) -> Vec<Subject> {
    report.warnings().map(|f| f.subject).collect()
}

fn dealt(set: &Memory) -> Memory {
    let rotations: Vec<Matrix3> = set.particles.iter().map(|p| p.rotation).collect();
    let mut wrong = set.clone();
    let count = rotations.len();
    wrong.particles.iter_mut().enumerate().for_each(|(i, p)| p.rotation = rotations[(i + count / 3) % count]);
    wrong
}

#[test]
fn good_input_is_silent_and_each_fault_is_named() {
    let good = set(600, 21, 3.0, 1.0);
    let options = CheckOptions::default();
    let map = truth();
    let report = check(&good, with(&map), &options).expect("a report");
    assert!(named(&report).is_empty(), "{:?}", report.findings);
    assert!(check(&good, Given::default(), &options).expect("a report").findings.len() == 1);

    let shuffled = check(&dealt(&good), with(&map), &options).expect("a report");
    assert_eq!(named(&shuffled), [Subject::Poses], "{:?}", shuffled.findings);
    assert_eq!(shuffled.verdict(), Verdict::Wrong);

    let negative = Volume { data: -map.data.clone(), apix: map.apix };
    let inverted = check(&good, with(&negative), &options).expect("a report");
    assert_eq!(named(&inverted), [Subject::Contrast], "{:?}", inverted.findings);

    let flipped = Volume { data: ndarray::Array3::from_shape_fn((N, N, N), |(z, y, x)| map.data[[(N - z) % N, y, x]]), apix: map.apix };
    let mirrored = check(&good, with(&flipped), &options).expect("a report");
    assert_eq!(named(&mirrored), [Subject::Hand], "{:?}", mirrored.findings);

    for off in [0.95, 1.05] {
        let scaled = check(&good, with(&Volume { apix: off * map.apix, ..map.clone() }), &options).expect("a report");
        assert_eq!(named(&scaled), [Subject::PixelSize], "{off}: {:?}", scaled.findings);
        let found = scaled.map.expect("a comparison").best_apix / map.apix;
        assert!((found - 1.0).abs() < 0.012, "{found}");
    }

    let mut mask = map.low_passed(20.0).expect("a map").data.mapv(|v| f32::from(u8::from(v > 0.0)));
    let masked = |mask: &ndarray::Array3<f32>| {
        let mask = Volume { data: mask.clone(), apix: map.apix };
        verdict(&check(&good, Given { map: Some(&map), mask: Some(&mask) }, &options).expect("a report"), Subject::Mask)
    };
    assert_eq!(masked(&mask), Verdict::Good);
    mask.slice_mut(ndarray::s![.., .., 3..]).fill(0.0);
    assert_eq!(masked(&mask), Verdict::Doubtful);

    let other = cryoem::simulate::phantom::phantom(0.9, false, 0.3 * N as f64 * map.apix, 4.5).volume(N, map.apix);
    let mut elsewhere = Volume::zeros(N, map.apix);
    elsewhere.data.slice_mut(ndarray::s![8.., .., ..]).assign(&other.data.slice(ndarray::s![..N - 8, .., ..]));
    let foreign = check(&good, with(&elsewhere), &options).expect("a report");
    assert!(verdict(&foreign, Subject::Map) >= Verdict::Doubtful, "{:?}", foreign.findings);
}

#[test]
fn noise_and_few_particles_are_no_proof() {
    let blank = check(&set(600, 22, 0.0, 1.0), Given::default(), &CheckOptions::default()).expect("a report");
    assert_eq!(blank.verdict(), Verdict::Wrong);
    let few = check(&set(60, 23, 0.05, 1.0), Given::default(), &CheckOptions::default()).expect("a report");
    assert_eq!(few.verdict(), Verdict::Doubtful);
    assert!(check(&set(20, 24, 1.0, 1.0), Given::default(), &CheckOptions::default()).is_err());
}
