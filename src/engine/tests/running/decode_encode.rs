//! From a checkpoint alone: maps at exact physical scale and in the base's grey scale, latents of all particles.

use crate::tiny_set::{APIX, Recorder, SIZE, command, latents, trained};
use contract::*;
use cryoem::mrc::read_volume;
use cryoem::volume::Volume;
use opus_dsd_engine::torch::init_torch;
use opus_dsd_engine::{decode, encode};
use std::path::Path;
use tch::Tensor;

fn decoded(folder: &Path, checkpoint: &Path, box_px: usize, apix: f64, flip: bool, invert: bool) -> Volume {
    let z = folder.join("z.npy");
    Tensor::from_slice(&[0.4f32, -0.2, 0.1]).view([1, 3]).write_npy(&z).unwrap();
    let output = folder.join("map.mrc");
    let spec = DecodeSpec {
        checkpoint: checkpoint.to_path_buf(),
        latents: z,
        outputs: vec![output.clone()],
        form: MapForm { flip, invert, ..MapForm::plain(box_px, apix) },
        device: "cpu".into(),
        threads: 1,
    };
    assert!(decode::decode(&spec, &Recorder::new()).unwrap());
    read_volume(&output).unwrap()
}

/// Centre of mass (x, y, z) in Å from voxel n/2, and the total.
fn moments(volume: &Volume) -> ([f64; 3], f64) {
    let half = (volume.data.dim().0 / 2) as f64;
    let (mut centre, mut total) = ([0.0; 3], 0.0);
    for ((z, y, x), &value) in volume.data.indexed_iter() {
        let value = f64::from(value);
        for (sum, index) in centre.iter_mut().zip([x, y, z]) {
            *sum += value * (index as f64 - half) * volume.apix;
        }
        total += value;
    }
    (centre.map(|c| c / total), total * volume.apix.powi(3))
}

#[test]
fn maps_have_the_asked_box_and_the_physical_size_of_the_model() {
    init_torch().unwrap();
    let place = tempfile::tempdir().unwrap();
    let spec = command(place.path());
    let checkpoint = trained(&spec).checkpoint;
    let own = decoded(place.path(), &checkpoint, SIZE, APIX, false, false);
    let (centre, mass) = moments(&own);
    assert!(own.data.dim() == (SIZE, SIZE, SIZE) && mass > 0.0);
    for (box_px, apix) in [(2 * SIZE, APIX / 2.0), (24, 3.1), (40, APIX)] {
        let other = decoded(place.path(), &checkpoint, box_px, apix, false, false);
        assert!(other.data.dim().0 == box_px && (other.apix - apix).abs() < 1e-4);
        let (there, other_mass) = moments(&other);
        let apart = (0..3).map(|k| (centre[k] - there[k]).powi(2)).sum::<f64>().sqrt();
        assert!(apart < 0.15, "{box_px} voxels of {apix} Å: {apart} Å off");
        assert!((other_mass / mass - 1.0).abs() < 0.02, "{box_px} voxels of {apix} Å: mass {other_mass} for {mass}");
    }
    let flipped = decoded(place.path(), &checkpoint, SIZE, APIX, true, false);
    let (mirror, _) = moments(&flipped);
    assert!((mirror[0] - centre[0]).abs() < 0.05 && (mirror[2] + centre[2]).abs() < 0.05, "{centre:?} {mirror:?}");
    let inverted = decoded(place.path(), &checkpoint, SIZE, APIX, false, true);
    assert!(own.data.iter().zip(&inverted.data).all(|(a, b)| (a + b).abs() < 1e-6));
}

#[test]
fn maps_come_in_the_grey_scale_of_the_base() {
    init_torch().unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut spec = command(place.path());
    spec.settings.epochs = 1;
    let base = read_volume(spec.base.as_ref().unwrap()).unwrap();
    let mass = moments(&decoded(place.path(), &trained(&spec).checkpoint, SIZE, APIX, false, false)).1;
    // The same base a hundred times brighter: so is the map.
    let bright = Volume { data: base.data.mapv(|v| v * 100.0), apix: base.apix };
    let path = place.path().join("bright.mrc");
    cryoem::mrc::write_volume(&path, &bright).unwrap();
    spec.base = Some(path);
    spec.checkpoints = place.path().join("bright");
    let other = moments(&decoded(place.path(), &trained(&spec).checkpoint, SIZE, APIX, false, false)).1;
    assert!((other / mass / 100.0 - 1.0).abs() < 0.02, "{mass} {other}");
}

#[test]
fn encoding_again_gives_the_final_latents() {
    init_torch().unwrap();
    let place = tempfile::tempdir().unwrap();
    let spec = command(place.path());
    let outcome = trained(&spec);
    let path = place.path().join("again.npy");
    let encode = EncodeSpec {
        prepared: spec.prepared.clone(),
        checkpoint: outcome.checkpoint.clone(),
        scores: None,
        latents: path.clone(),
        device: "cpu".into(),
        threads: 1,
    };
    assert!(encode::encode(&encode, &Recorder::new()).unwrap());
    assert_eq!(latents(&path), latents(&outcome.latents));
}
