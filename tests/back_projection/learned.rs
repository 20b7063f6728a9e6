//! Maps of learned states against the true maps, beside RELION's of the same particles: the figures of `docs/benchmarks/learned-halves.md`.

use crate::{mean, sets};
use contract::Results;
use cryoem::mrc::read_volume;
use cryoem::particles::{self, ReadOptions};
use cryoem::prepare::{ImageStream, PrepareOptions};
use cryoem::volume::{Volume, fourier_shell_correlation};
use reconstruction::{Options, back_project};
use starfile::StarFile;
use std::path::PathBuf;

/// `OPUS_DSD_LEARNED` names a folder of a simulated set (`particles.star`, `mask.mrc`, `labels.csv`, `gt/`) with an analysis of a job trained on
/// it, with half maps, in `halves/`.
#[test]
#[ignore = "a benchmark: needs a job trained on a set that takes minutes to make"]
fn learned_states_beside_relions_maps_of_the_same_particles() {
    let data = PathBuf::from(std::env::var_os("OPUS_DSD_LEARNED").expect("OPUS_DSD_LEARNED names the folder"));
    let set = sets::Set::beside(&data);
    let labels = set.labels();
    let truth: Vec<Volume> = (0..=labels.iter().copied().max().unwrap())
        .map(|state| read_volume(&data.join(format!("gt/vol_{state:03}.mrc"))).unwrap())
        .collect();
    let mask = read_volume(&data.join("mask.mrc")).unwrap();
    let particles = particles::read(&set.star(), &ReadOptions::default()).unwrap();
    let images = ImageStream::open(&particles, &PrepareOptions::native(&particles)).unwrap();
    let text = std::fs::read_to_string(data.join("halves/results.json")).unwrap();
    let found: Results = serde_json::from_str(&text).unwrap();
    let star = StarFile::read(&data.join("halves/particles.star")).unwrap();
    let column = star.block("particles").unwrap().find("rlnClassNumber").unwrap();
    println!(
        "cluster, particles, state, of that state | inside the mask: back-projection, RELION, halves' mean, decoded | whole: the first three"
    );
    for halves in &found.halves {
        let rows: Vec<usize> = (0..labels.len()).filter(|row| column.text(*row) == halves.class.to_string()).collect();
        let count = |state: usize| rows.iter().filter(|row| labels[**row] == state).count();
        let state = (0..truth.len()).max_by_key(|state| count(*state)).unwrap();
        let ours = back_project(&images, &rows, None, &Options { mask: Some(mask.clone()), ..Options::default() }).unwrap();
        let relions = set.relion_reconstruct(&particles, &rows);
        let [first, second] = [&halves.first, &halves.second].map(|file| read_volume(&data.join("halves").join(file)).unwrap());
        let near = Volume { data: 0.5 * (&first.data + &second.data), apix: first.apix };
        let decoded = read_volume(&data.join(format!("halves/cluster{:03}.mrc", halves.class))).unwrap();
        let score = |map: &Volume, mask: Option<&Volume>| mean(&fourier_shell_correlation(map, &truth[state], mask).unwrap());
        let [a, b, c, d] = [&ours, &relions, &near, &decoded].map(|map| score(map, Some(&mask)));
        let [e, f, g] = [&ours, &relions, &near].map(|map| score(map, None));
        let pure = 100.0 * count(state) as f64 / rows.len() as f64;
        println!("{}, {}, {state}, {pure:.1}% | {a:.4}, {b:.4}, {c:.4}, {d:.4} | {e:.4}, {f:.4}, {g:.4}", halves.class, rows.len());
        assert!(a > b - crate::ALLOWED && e > f - crate::ALLOWED, "farther from the truth than RELION's");
    }
}
