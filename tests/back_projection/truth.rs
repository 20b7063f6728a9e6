//! Maps of single states, with true labels, against the true maps: as near to them as `relion_reconstruct --ctf` gets.

use crate::{ALLOWED, mean, sets};
use cryoem::mrc::read_volume;
use cryoem::particles::{self, ReadOptions};
use cryoem::prepare::{ImageStream, PrepareOptions};
use cryoem::volume::{Volume, fourier_shell_correlation};
use reconstruction::{Options, back_project};

/// Compares on subsets given by ranges of the true state; a subset's truth is the mean of its particles' true maps.
fn compare(name: &str, model: &str, box_px: usize, apix: f64, ranges: &[std::ops::Range<usize>]) {
    let Some(set) = sets::relion_readable(name) else { return };
    let Some(truth) = set.true_maps(model, box_px, apix) else { return };
    let labels = set.labels();
    let particles = particles::read(&set.star(), &ReadOptions::default()).unwrap();
    let images = ImageStream::open(&particles, &PrepareOptions::native(&particles)).unwrap();
    assert_eq!(images.size_px(), box_px);
    let mask = read_volume(&set.data.join("mask.mrc")).unwrap();
    for range in ranges {
        let rows: Vec<usize> = (0..labels.len()).filter(|i| range.contains(&labels[*i])).collect();
        let mut average = Volume::zeros(box_px, apix);
        rows.iter().for_each(|i| average.data.scaled_add(1.0 / rows.len() as f32, &truth[labels[*i]].data));
        let ours = back_project(&images, &rows, None, &Options { mask: Some(mask.clone()), ..Options::default() }).unwrap();
        let relions = set.relion_reconstruct(&particles, &rows);
        for (what, mask) in [("whole", None), ("masked", Some(&mask))] {
            let [own, relion] = [&ours, &relions].map(|map| mean(&fourier_shell_correlation(map, &average, mask).unwrap()));
            println!("{name}, states {range:?}, {} particles, {what}: {own:.4}, RELION {relion:.4}", rows.len());
            assert!(own > relion - ALLOWED, "{name} {range:?} {what}: {own:.4} against {relion:.4}");
        }
    }
}

#[test]
fn states_of_compose_4_are_as_near_the_truth_as_relions() {
    compare("compose-4-tiny", "rrna16s_compose4.npz", 48, 6.0, &[0..1, 1..2, 2..3, 3..4]);
}

#[test]
fn stretches_of_the_adk_path_are_as_near_the_truth_as_relions() {
    compare("adk-path-tiny", "adk_path.npz", 48, 2.3, &[0..10, 20..30, 40..50, 0..50]);
}
