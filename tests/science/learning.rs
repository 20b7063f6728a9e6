//! Scores and costs of the defaults. The floors are those that a prototype reached; docs/benchmarks/learning-tiny.md has what this program reaches.

use crate::{runs, scores};
use std::collections::BTreeMap;

#[test]
fn latents_follow_a_continuous_motion() {
    let Some(run) = runs::adk() else { return };
    let score = scores::continuous(run);
    eprintln!("adk-path-tiny: {score:?}, {:.0} CPU s", run.cpu_seconds);
    assert!(score.knn_r2 >= 0.90, "{score:?}");
    assert!(run.cpu_seconds <= 150.0, "{} CPU s", run.cpu_seconds);
}

#[test]
fn latents_follow_a_continuous_motion_without_a_warm_start() {
    let Some(run) = runs::adk_from_scratch() else { return };
    let score = scores::continuous(run);
    eprintln!("adk-path-tiny, no warm start: {score:?}, {:.0} CPU s", run.cpu_seconds);
    assert!(score.knn_r2 >= 0.85, "{score:?}");
}

#[test]
fn latents_follow_a_continuous_motion_in_noise() {
    let Some(run) = runs::adk_noisy() else { return };
    let score = scores::continuous(run);
    eprintln!("adk-path-tiny-snr001: {score:?}, {:.0} CPU s", run.cpu_seconds);
    assert!(score.knn_r2 >= 0.45, "{score:?}");
}

#[test]
fn latents_tell_states_of_composition() {
    let Some(run) = runs::compose() else { return };
    let score = scores::discrete(run);
    eprintln!("compose-4-tiny: {score:?}, {:.0} CPU s", run.cpu_seconds);
    assert!(score.kmeans_ari >= 0.80, "{score:?}");
    assert!(score.knn_accuracy >= 0.92, "{score:?}");
    assert!(run.cpu_seconds <= 200.0, "{} CPU s", run.cpu_seconds);
}

#[test]
fn maps_show_their_particles_better_than_the_base_does() {
    for (run, molecule, least) in [(runs::adk(), "adk", 0.02), (runs::compose(), "compose", 0.03)] {
        let Some(run) = run else { return };
        let score = scores::maps(run, molecule);
        eprintln!("{molecule}: {score:?}");
        assert!(score.gain_mean >= least, "{molecule}: {score:?}");
    }
}

#[test]
fn every_cluster_map_is_that_of_its_majority() {
    let Some(run) = runs::compose() else { return };
    let (truth, labels) = (scores::truth("compose"), scores::labels(&run.set));
    let star = starfile::StarFile::read(&run.job.join("particles.star")).unwrap();
    let classes = star.block("particles").unwrap().column("rlnClassNumber").unwrap();
    let mut seen = Vec::new();
    for class in 1..=4 {
        let mut votes = BTreeMap::<usize, usize>::new();
        for (row, label) in labels.iter().enumerate() {
            if classes.text(row) == class.to_string() {
                *votes.entry(label.state).or_default() += 1;
            }
        }
        let majority = *votes.iter().max_by_key(|(_, votes)| **votes).unwrap().0;
        let best = scores::best_state(run, &run.job.join(format!("cluster{class:03}.mrc")), &truth);
        assert_eq!(best, majority, "cluster {class}: {votes:?}");
        seen.push(majority);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3], "each state has a cluster");
}

#[test]
fn the_first_component_runs_along_the_motion() {
    /// The outer parts of the path, where maps at the ends of the component belong.
    const ENDS: (f64, f64) = (0.35, 0.65);
    let Some(run) = runs::adk() else { return };
    let (truth, labels, latents) = (scores::truth("adk"), scores::labels(&run.set), scores::latents(run));
    let principal = analysis::pca(latents.view()).unwrap().project(latents.view());
    let along: Vec<f64> = principal.column(0).iter().map(|v| f64::from(*v)).collect();
    let positions: Vec<f64> = labels.iter().map(|l| l.position).collect();
    let forward = analysis::score::spearman(&along, &positions) > 0.0;
    let position_of = |state: usize| labels.iter().find(|l| l.state == state).unwrap().position;
    let folder = runs::decode(run, "along-first", "--pc 1 --points 2 --box 32").join("pc1");
    let [low, high] = ["vol_000.mrc", "vol_001.mrc"].map(|map| position_of(scores::best_state(run, &folder.join(map), &truth)));
    let (low, high) = if forward { (low, high) } else { (high, low) };
    eprintln!("adk-path-tiny: maps at the ends of the first component belong at {low:.2} and {high:.2}");
    assert!(low < ENDS.0 && high > ENDS.1, "{low} {high}");
}
