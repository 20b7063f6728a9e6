//! Particles that the model never saw, encoded with it.

use crate::{runs, scores};
use ndarray::{Array2, ArrayView1};
use starfile::StarFile;
use std::path::Path;

/// One particle of so many is kept from training.
const EVERY: usize = 5;
/// Neighbours among the trained particles that tell a position.
const NEIGHBOURS: usize = 20;

/// Writes chosen rows of a set, with its mask beside them.
fn part(set: &Path, name: &str, rows: &[usize]) -> std::path::PathBuf {
    let folder = runs::scratch(name);
    let star = StarFile::read(&set.join("particles.star")).unwrap();
    let mut out = std::fs::File::create(folder.join("particles.star")).unwrap();
    star.write_subset(&mut out, star.block("particles").unwrap().index(), rows, &[]).unwrap();
    std::fs::copy(set.join("mask.mrc"), folder.join("mask.mrc")).unwrap();
    folder
}

/// R² of the position that the neighbours among `known` tell; `but` leaves a particle itself out.
fn r2(known: (&Array2<f32>, &[f64]), asked: (&Array2<f32>, &[f64]), but: bool) -> f64 {
    let distance = |a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let predicted = asked.0.rows().into_iter().enumerate().map(|(i, row)| {
        let others = (0..known.1.len()).filter(|&k| !but || k != i);
        let mut near: Vec<(f32, usize)> = others.map(|k| (distance(row, known.0.row(k)), k)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near[..NEIGHBOURS].iter().map(|(_, k)| known.1[*k]).sum::<f64>() / NEIGHBOURS as f64
    });
    let mean = asked.1.iter().sum::<f64>() / asked.1.len() as f64;
    let left: f64 = predicted.zip(asked.1).map(|(p, t)| (p - t).powi(2)).sum();
    1.0 - left / asked.1.iter().map(|t| (t - mean).powi(2)).sum::<f64>()
}

#[test]
fn particles_that_were_never_seen_are_told_as_well_as_those_that_were() {
    let Some(set) = runs::tiny("adk-path-tiny") else { return };
    let labels = scores::labels(&set);
    let (unseen, seen): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|row| row % EVERY == 2);
    let datadir = format!("--datadir {}", set.display());
    let run = runs::train("held-out", &part(&set, "held-out-seen", &seen), &format!("{datadir} --plot no"));
    let folder = runs::encode(&run, "held-out-encoded", &part(&set, "held-out-unseen", &unseen).join("particles.star"));
    let positions = |rows: &[usize]| rows.iter().map(|&row| labels[row].position).collect::<Vec<f64>>();
    let (known, found) = (scores::latents(&run), scores::read_npy(&folder.join("latents.npy")));
    assert_eq!((known.nrows(), found.nrows()), (seen.len(), unseen.len()));
    let (seen, unseen) = (positions(&seen), positions(&unseen));
    let of_seen = r2((&known, &seen), (&known, &seen), true);
    let of_unseen = r2((&known, &seen), (&found, &unseen), false);
    eprintln!("adk-path-tiny: R² {of_seen:.3} of the {} trained particles, {of_unseen:.3} of {} others", seen.len(), unseen.len());
    assert!(of_unseen >= 0.88 && of_unseen >= of_seen - 0.04, "{of_seen} {of_unseen}");
}
