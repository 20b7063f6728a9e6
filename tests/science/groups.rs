//! Optics groups are how particles were seen, not what they are.

use crate::{runs, scores};
use analysis::score::adjusted_rand_index;
use cryoem::prepare::PreparedSet;

/// Particles of each set.
const PARTICLES: usize = 600;
/// Enough for the scores to stand: the warm start gives most of them.
const EPOCHS: usize = 2;

#[test]
fn clusters_do_not_know_the_optics_group() {
    let train = |name: &str, optics: &str| {
        let set = runs::simulate(name, &format!("-n {PARTICLES} --optics {optics} --seed 5"));
        runs::train(name, &set, &format!("--epochs {EPOCHS} --clusters 4 --plot no"))
    };
    let one = train("one-group", "48:2.3:300");
    let two = train("two-groups", "48:2.3:300,60:2.0:200");
    let (r2_one, r2_two) = (scores::continuous(&one).knn_r2, scores::continuous(&two).knn_r2);
    let prepared = PreparedSet::load(&two.job.join("prepared/prepared.json")).unwrap();
    let groups: Vec<usize> = prepared.group().iter().map(|g| *g as usize).collect();
    assert!(groups.contains(&0) && groups.contains(&1));
    let star = starfile::StarFile::read(&two.job.join("particles.star")).unwrap();
    let classes = star.block("particles").unwrap().column("rlnClassNumber").unwrap();
    let clusters: Vec<usize> = (0..PARTICLES).map(|row| classes.text(row).parse().unwrap()).collect();
    let known = adjusted_rand_index(&clusters, &groups);
    eprintln!(
        "one group: R² {r2_one:.3}, {:.0} CPU s; two: R² {r2_two:.3}, {:.0} CPU s; clusters and groups: ARI {known:.3}",
        one.cpu_seconds, two.cpu_seconds
    );
    assert!(known < 0.05, "{known}");
    assert!((r2_one - r2_two).abs() <= 0.03, "{r2_one} {r2_two}");
}
