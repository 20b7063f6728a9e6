//! What the networks are fed with and does not change during a run: kept in memory where it fits, made anew for every batch elsewhere.

use crate::assembly::Assembly;
use crate::data::{Batch, Particles, runs};
use crate::devices;
use crate::model::fourier;
use crate::scene::Scene;
use tch::{Device, Kind, Tensor};

/// Fraction of the free memory that the caches may take.
const SHARE_OF_MEMORY: f64 = 0.25;
/// Images worked on at a time.
const AT_ONCE: usize = 64;
/// Particles that the scale of the encoder's input is measured on, at most.
const SCALE_SAMPLE: usize = 512;

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
    /// Looks at all particles once and keeps what fits into a part of the free memory, which `processes` share; `None` when `stop` said so.
    #[must_use]
    pub fn new(
        assembly: &Assembly,
        particles: &Particles,
        anchors: Option<Tensor>,
        processes: usize,
        stop: &dyn Fn() -> bool,
    ) -> Option<Self> {
        let room = SHARE_OF_MEMORY * devices::host_memory_free_bytes() as f64 / processes.max(1) as f64;
        Self::within(assembly, particles, anchors, room, stop)
    }

    /// The same with room for so many bytes.
    #[must_use]
    pub fn within(assembly: &Assembly, particles: &Particles, anchors: Option<Tensor>, room: f64, stop: &dyn Fn() -> bool) -> Option<Self> {
        let (n, e, crop) = (particles.len(), assembly.encoder.config().grid as usize, assembly.scene.crop() as usize);
        let cube_bytes = (n * e * e * e * size_of::<f32>()) as f64;
        let silhouette_bytes = (n * crop * crop) as f64;
        let keep_silhouettes = silhouette_bytes < room;
        let keep_cubes = cube_bytes + silhouette_bytes < room;
        let (mut cubes, mut silhouettes, mut area) = (Vec::new(), Vec::new(), 0.0);
        for run in runs(n, AT_ONCE) {
            if stop() {
                return None;
            }
            let batch = particles.batch(&run);
            let silhouette = assembly.scene.silhouettes(&batch);
            area += silhouette.sum(Kind::Double).double_value(&[]);
            if keep_silhouettes {
                silhouettes.push(silhouette.to_kind(Kind::Uint8).to_device(Device::Cpu));
            }
            if keep_cubes {
                cubes.push(assembly.scene.cubes(&batch).to_device(Device::Cpu));
            }
        }
        Some(Self {
            cubes: keep_cubes.then(|| Tensor::cat(&cubes, 0)),
            silhouettes: keep_silhouettes.then(|| Tensor::cat(&silhouettes, 0)),
            anchors,
            mean_area: (area / n.max(1) as f64).max(1.0),
        })
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
    let device = batch.images.device();
    all.index_select(0, &batch.index.to_device(Device::Cpu)).to_device(device)
}

/// The factor that gives the encoder's input unit variance inside the mask, measured on evenly spaced particles.
#[must_use]
pub fn input_scale(assembly: &Assembly, particles: &Particles) -> f64 {
    let n = particles.len();
    let step = n.div_ceil(SCALE_SAMPLE).max(1);
    let sample: Vec<usize> = (0..n).step_by(step).collect();
    let mut sum = 0.0;
    for run in runs(sample.len(), AT_ONCE) {
        let chosen: Vec<usize> = run.iter().map(|&i| sample[i]).collect();
        let batch = particles.batch(&chosen);
        sum += assembly.scene.cube_variance(&assembly.scene.cubes(&batch)) * batch.len() as f64;
    }
    let variance = sum / sample.len().max(1) as f64;
    let before = assembly.scene.input_scale;
    if variance > 0.0 && variance.is_finite() { before / variance.sqrt() } else { before }
}

/// Ratio of two sums over all images: Σ⟨CTF P V0, y⟩ / Σ|CTF P V0|², the base's grey scale in the images, for a scene whose
/// base is as given. `None` when `stop` said so.
#[must_use]
pub fn base_scale(particles: &Particles, scene: &Scene, stop: &dyn Fn() -> bool) -> Option<f64> {
    let (mut upper, mut lower) = (0.0, 0.0);
    for run in runs(particles.len(), AT_ONCE) {
        if stop() {
            return None;
        }
        let batch = particles.batch(&run);
        let ctf = scene.ctf(&batch);
        let Some(projections) = scene.base_projections(&batch) else { return Some(1.0) };
        let shown = fourier::filter(&projections, &scene.transfer(&batch, &ctf)).squeeze_dim(1);
        upper += (&shown * scene.seen(&batch.images)).sum(Kind::Double).double_value(&[]);
        lower += shown.square().sum(Kind::Double).double_value(&[]);
    }
    Some(upper / lower)
}
