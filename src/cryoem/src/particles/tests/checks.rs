//! Too few particles, and views that do not cover the sphere.

use super::{Project, modern};
use crate::geometry::Euler;
use crate::geometry::random_rotation;
use crate::particles::{FEW_PARTICLES, MINIMUM_PARTICLES, ParticleSet, check_count};
use crate::random::Random;

/// A set with the views of random rotations, turned by `confine`.
fn views(count: usize, confine: impl Fn(Euler) -> Euler) -> ParticleSet {
    let mut set = Project::new().read(&modern()).expect("a good table");
    let mut random = Random::new(5, 0);
    let bare = set.rows[0];
    set.rows = (0..count)
        .map(|_| {
            let euler = confine(Euler::of_matrix(&random_rotation(&mut random)));
            crate::particles::Particle { rot_deg: euler.rot_deg, tilt_deg: euler.tilt_deg, psi_deg: euler.psi_deg, ..bare }
        })
        .collect();
    set
}

#[test]
fn numbers_are_judged() {
    assert!(check_count(MINIMUM_PARTICLES - 1).expect_err("too few").to_string().starts_with("31 particles are too few: at least 32"));
    assert!(check_count(MINIMUM_PARTICLES).expect("enough to run").is_some());
    assert!(check_count(FEW_PARTICLES - 1).expect("enough to run").is_some());
    assert!(check_count(FEW_PARTICLES).expect("enough").is_none());
}

#[test]
fn views_from_all_sides_are_not_remarked() {
    for count in [1000, 5000] {
        assert_eq!(views(count, |euler| euler).check().expect("enough"), Vec::<String>::new());
        // The same rotations as other programs may write them.
        let turned = views(count, |euler| Euler::new(euler.rot_deg + 180.0, -euler.tilt_deg, euler.psi_deg + 180.0));
        assert_eq!(turned.check().expect("enough"), Vec::<String>::new());
    }
}

#[test]
fn views_of_an_asymmetric_unit_are_remarked() {
    for (fold, expected) in [(2.0, 50), (3.0, 33), (7.0, 14)] {
        let warnings = views(5000, |euler| Euler::new(euler.rot_deg / fold, euler.tilt_deg, euler.psi_deg)).check().expect("enough");
        let [warning] = &warnings[..] else { panic!("one warning for C{fold}: {warnings:?}") };
        let part: i32 =
            warning.strip_prefix("views fill ").and_then(|rest| rest.split('%').next()).and_then(|part| part.parse().ok()).expect("a part");
        // Pixels that the unit's edge cuts are counted whole.
        assert!((expected - 2..=expected + 10).contains(&part), "{warning}");
    }
    let half = views(5000, |euler| {
        Euler::new(euler.rot_deg, if euler.tilt_deg > 90.0 { 180.0 - euler.tilt_deg } else { euler.tilt_deg }, euler.psi_deg)
    });
    assert_eq!(half.check().expect("enough").len(), 1);
}

#[test]
fn constant_views_are_remarked() {
    let flat = views(2000, |euler| Euler::new(euler.rot_deg, 90.0, euler.psi_deg)).check().expect("enough");
    assert!(flat[0].starts_with("every particle has the same tilt, 90°"), "{flat:?}");
    let same = views(2000, |_| Euler::new(0.0, 0.0, 0.0)).check().expect("enough");
    assert!(same[0].starts_with("every particle has the same orientation"), "{same:?}");
}
