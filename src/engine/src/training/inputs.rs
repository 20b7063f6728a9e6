//! What the networks are fed with and does not change during a run: kept in memory where it fits, made anew for every batch elsewhere.

use crate::assembly::Assembly;
use crate::data::{Batch, Particles, runs};
use crate::devices;
use crate::model::fourier;
use crate::scene::Scene;
use contract::memory::{Cache, MOST_CACHED_BYTES};
use tch::{Device, Kind, Tensor};

/// Fraction of the free memory that the caches may take. Whatever is free they take [`MOST_CACHED_BYTES`] at most: memory is flat in the number
/// of particles, and making a cube anew costs a few hundredths of a step.
const SHARE_OF_MEMORY: f64 = 0.25;
/// Images worked on at a time.
const AT_ONCE: usize = 64;
/// Particles that the scale of the encoder's input is measured on, at most.
const SCALE_SAMPLE: usize = 512;
/// Particles that the mean area of the silhouettes and the base's grey scale are measured on, at most: both are means over as many pixels each.
const MEAN_SAMPLE: usize = 4096;

/// Lifted cubes, silhouettes and linear scores of all particles.
pub struct Inputs {
    /// `[n, 1, e, e, e]`, on the CPU.
    cubes: Option<Tensor>,
    /// `[n, crop, crop]` u8, on the CPU.
    silhouettes: Option<Tensor>,
    /// `[n, d]`, on the device.
    anchors: Option<Tensor>,
    /// Mean number of pixels inside a silhouette: what every term of the loss is divided by.
    pub mean_area: f64,
}

impl Inputs {
    /// Keeps of all particles what fits into a part of the free memory, which `processes` share; `None` when `stop` said so.
    #[must_use]
    pub fn new(
        assembly: &Assembly,
        particles: &Particles,
        anchors: Option<Tensor>,
        processes: usize,
        stop: &dyn Fn() -> bool,
    ) -> Option<Self> {
        let room = (SHARE_OF_MEMORY * devices::host_memory_free_bytes() as f64).min(MOST_CACHED_BYTES as f64) / processes.max(1) as f64;
        Self::within(assembly, particles, anchors, room, stop)
    }

    /// The same with room for so many bytes.
    #[must_use]
    pub fn within(assembly: &Assembly, particles: &Particles, anchors: Option<Tensor>, room: f64, stop: &dyn Fn() -> bool) -> Option<Self> {
        let (n, e, crop) = (particles.len(), assembly.encoder.config().grid, assembly.scene.crop());
        let keep = Cache::within(&assembly.settings.layout, n, room as u64);
        let host = |rest: &[i64], kind| Tensor::zeros([&[n as i64], rest].concat(), (kind, Device::Cpu));
        let mut cubes = keep.cubes.then(|| host(&[1, e, e, e], Kind::Float));
        let mut silhouettes = keep.silhouettes.then(|| host(&[crop, crop], Kind::Uint8));
        let kept = if keep.silhouettes { runs(n, AT_ONCE) } else { Vec::new() };
        for run in kept {
            if stop() {
                return None;
            }
            let batch = particles.batch(&run);
            let place = |all: &mut Option<Tensor>, rows: Tensor| {
                if let Some(all) = all {
                    all.narrow(0, run[0] as i64, run.len() as i64).copy_(&rows);
                }
            };
            place(&mut silhouettes, assembly.scene.silhouettes(&batch));
            if keep.cubes {
                place(&mut cubes, assembly.scene.cubes(&batch));
            }
        }
        let mut area = 0.0;
        let sample = evenly(n, MEAN_SAMPLE);
        for run in sample.chunks(AT_ONCE) {
            if stop() {
                return None;
            }
            area += assembly.scene.silhouettes(&particles.batch(run)).sum(Kind::Double).double_value(&[]);
        }
        Some(Self { cubes, silhouettes, anchors, mean_area: (area / sample.len().max(1) as f64).max(1.0) })
    }

    /// The encoder's input of a batch, `[b, 1, e, e, e]`.
    pub fn cubes(&self, assembly: &Assembly, batch: &Batch) -> Tensor {
        match &self.cubes {
            Some(cubes) => rows(cubes, batch),
            None => assembly.scene.cubes(batch),
        }
    }

    /// Pixels that count, `[b, 1, crop, crop]`.
    pub fn silhouettes(&self, assembly: &Assembly, batch: &Batch) -> Tensor {
        match &self.silhouettes {
            Some(silhouettes) => rows(silhouettes, batch).to_kind(Kind::Float),
            None => assembly.scene.silhouettes(batch),
        }
        .unsqueeze(1)
    }

    /// Scores in the linear model, `[b, d]`; `None` without a warm start.
    #[must_use]
    pub fn anchors(&self, batch: &Batch) -> Option<Tensor> {
        self.anchors.as_ref().map(|anchors| anchors.index_select(0, &batch.index))
    }

    /// The same of all particles.
    #[must_use]
    pub fn all_anchors(&self) -> Option<&Tensor> {
        self.anchors.as_ref()
    }
}

/// Rows of a tensor in host memory, on the batch's device.
fn rows(all: &Tensor, batch: &Batch) -> Tensor {
    let index: Vec<i64> = batch.particles.iter().map(|&i| i as i64).collect();
    devices::send(&all.index_select(0, &Tensor::from_slice(&index)), batch.images.device())
}

/// The factor that gives the encoder's input unit variance inside the mask, measured on evenly spaced particles.
#[must_use]
pub fn input_scale(assembly: &Assembly, particles: &Particles) -> f64 {
    let sample = evenly(particles.len(), SCALE_SAMPLE);
    let mut sum = 0.0;
    for run in sample.chunks(AT_ONCE) {
        let batch = particles.batch(run);
        sum += assembly.scene.cube_variance(&assembly.scene.cubes(&batch)) * batch.len() as f64;
    }
    let variance = sum / sample.len().max(1) as f64;
    let before = assembly.scene.input_scale;
    if variance > 0.0 && variance.is_finite() { before / variance.sqrt() } else { before }
}

/// At most `most` of 0..n, evenly spaced.
fn evenly(n: usize, most: usize) -> Vec<usize> {
    (0..n).step_by(n.div_ceil(most).max(1)).collect()
}

/// Ratio of two sums over images: Σ⟨CTF P V0, y⟩ / Σ|CTF P V0|², the base's grey scale in the images, for a scene whose
/// base is as given. `None` when `stop` said so.
#[must_use]
pub fn base_scale(particles: &Particles, scene: &Scene, stop: &dyn Fn() -> bool) -> Option<f64> {
    let (mut upper, mut lower) = (0.0, 0.0);
    for run in evenly(particles.len(), MEAN_SAMPLE).chunks(AT_ONCE) {
        if stop() {
            return None;
        }
        let batch = particles.batch(run);
        let ctf = scene.ctf(&batch);
        let Some(projections) = scene.base_projections(&batch) else { return Some(1.0) };
        let shown = fourier::filter(&projections, &scene.transfer(&batch, &ctf)).squeeze_dim(1);
        upper += (&shown * scene.seen(&batch.images)).sum(Kind::Double).double_value(&[]);
        lower += shown.square().sum(Kind::Double).double_value(&[]);
    }
    Some(upper / lower)
}
