//! A small set of two states for tests: spheres of which one moves, projected, with CTF and noise; prepared, with its mask and base.

use crate::model;
use contract::*;
use cryoem::geometry::{random_rotation, transpose};
use cryoem::mrc::write_volume;
use cryoem::prepare::{PreparedWriter, Row};
use cryoem::random::Random;
use cryoem::volume::Volume;
use opus_dsd_engine::link::Link;
use opus_dsd_engine::training::{self, Faults, Outcome};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::Tensor;

/// Side of images and volumes.
pub(crate) const SIZE: usize = 16;
/// Pixel size, Å.
pub(crate) const APIX: f64 = 4.0;
/// Particles.
pub(crate) const PARTICLES: usize = 60;

/// Centres (pixels from n/2), heights and width of a state's Gaussians.
fn blobs(state: f64) -> [([f64; 3], f64); 3] {
    [([-3.0, 0.0, 0.5], 1.0), ([2.5, 1.0, -1.0], 0.8), ([1.0 + 2.0 * state, -3.5 + 3.0 * state, 2.0], 0.9)]
}
const WIDTH: f64 = 1.5;

fn map(state: f64) -> Volume {
    let mut volume = Volume::zeros(SIZE, APIX);
    let half = (SIZE / 2) as f64;
    for ((z, y, x), value) in volume.data.indexed_iter_mut() {
        let p = [x as f64 - half, y as f64 - half, z as f64 - half];
        let density = |(c, h): &([f64; 3], f64)| {
            let d2: f64 = (0..3).map(|k| (p[k] - c[k]).powi(2)).sum();
            h * (-d2 / (2.0 * WIDTH * WIDTH)).exp()
        };
        *value = blobs(state).iter().map(density).sum::<f64>() as f32;
    }
    volume
}

/// Writes the set and gives the command that trains on it in `folder`.
pub(crate) fn command(folder: &Path) -> TrainSpec {
    command_of(folder, PARTICLES)
}

/// The same with another number of particles.
pub(crate) fn command_of(folder: &Path, particles: usize) -> TrainSpec {
    let mut random = Random::new(17, 3);
    let data = folder.join("data");
    let mut writer = PreparedWriter::create(&data, SIZE).unwrap();
    let (mut rows, mut states) = (Vec::new(), Vec::new());
    for _ in 0..particles {
        let state = f64::from(u8::from(random.uniform() < 0.5));
        let a = random_rotation(&mut random);
        let half = (SIZE / 2) as f64;
        let image: Vec<f32> = (0..SIZE * SIZE)
            .map(|i| {
                let (y, x) = ((i / SIZE) as f64 - half, (i % SIZE) as f64 - half);
                let shown: f64 = blobs(state)
                    .iter()
                    .map(|(c, h)| {
                        let at = cryoem::geometry::apply(&a, *c);
                        let d2 = (x - at[0]).powi(2) + (y - at[1]).powi(2);
                        h * WIDTH * (2.0 * std::f64::consts::PI).sqrt() * (-d2 / (2.0 * WIDTH * WIDTH)).exp()
                    })
                    .sum();
                (shown + random.normal()) as f32
            })
            .collect();
        writer.push(&image).unwrap();
        let rotation: Vec<f32> = a.as_flattened().iter().map(|&v| v as f32).collect();
        rows.push(Row {
            rotation: rotation.try_into().unwrap(),
            ctf: [15000.0, 15000.0, 0.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0],
            apix: APIX as f32,
            premultiplied: false,
            group: 0,
            ctf_known: false,
        });
        states.push(state as f32 * 2.0 - 1.0 + 0.3 * random.normal() as f32);
        assert!(transpose(&transpose(&a)) == a);
    }
    let group = GroupSummary {
        name: "one".into(),
        particles,
        box_px: SIZE,
        apix: APIX,
        voltage_kv: 300.0,
        noise_std: 1.0,
        background: 0.0,
        inverted: false,
        one_by_one: false,
    };
    writer.finish(&rows, vec![group], APIX, "test".into()).unwrap();
    let mut base = map(0.0);
    base.data = (&base.data + &map(1.0).data) * 0.25;
    write_volume(&folder.join("base.mrc"), &base).unwrap();
    let mut mask = map(0.0);
    mask.data = (&mask.data + &map(1.0).data).mapv(|v| (v * 4.0).min(1.0));
    mask.data.mapv_inplace(|v| if v < 0.1 { 0.0 } else { v });
    write_volume(&folder.join("mask.mrc"), &mask).unwrap();
    Tensor::from_slice(&states).view([particles as i64, 1]).write_npy(folder.join("scores.npy")).unwrap();
    TrainSpec {
        prepared: data.join("prepared.json"),
        base: Some(folder.join("base.mrc")),
        mask: folder.join("mask.mrc"),
        scores: Some(folder.join("scores.npy")),
        checkpoints: folder.join("checkpoint"),
        load: None,
        preview: folder.join("preview.mrc"),
        preview_origin_angstrom: [0.0; 3],
        monitor: folder.join("monitor"),
        settings: model::settings(model::layout(Width::Tiny, 3, SIZE)),
        device: "cpu".into(),
        threads: 1,
        world: None,
    }
}

/// Collects events; asks to stop when it has been asked that many times.
pub(crate) struct Recorder {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) stop_after: usize,
    asked: AtomicUsize,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self::stopping_after(usize::MAX)
    }

    pub(crate) fn stopping_after(stop_after: usize) -> Self {
        Self { events: Mutex::new(Vec::new()), stop_after, asked: AtomicUsize::new(0) }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let warning = |event: &Event| if let Event::Warning { message } = event { Some(message.clone()) } else { None };
        self.events.lock().unwrap().iter().filter_map(warning).collect()
    }
}

impl Link for Recorder {
    fn tell(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn stop_asked(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.stop_after
    }
}

/// Trains to the end.
pub(crate) fn trained(spec: &TrainSpec) -> TrainOutcome {
    match training::train(spec, &Recorder::new(), Faults::default()).unwrap() {
        Outcome::Complete(outcome) => outcome,
        Outcome::Stopped => panic!("nobody asked to stop"),
    }
}

/// Latents of a file, row by row.
pub(crate) fn latents(path: &Path) -> Vec<f32> {
    Vec::try_from(Tensor::read_npy(path).unwrap().reshape([-1])).unwrap()
}

/// Every file below a folder with its content, by relative path.
pub(crate) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(here) = folders.pop() {
        for item in std::fs::read_dir(&here).unwrap().flatten() {
            let path = item.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
