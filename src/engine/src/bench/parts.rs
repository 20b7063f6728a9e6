//! The whole training step, and each of its parts by itself.

use super::clock::{Timing, cpu_seconds, measure, reset_peak, wait};
use super::fixture::Fixture;
use super::shapes::Shape;
use super::work;
use crate::assembly::kind_of;
use crate::data::Batch;
use crate::model::bank::LatentBank;
use crate::model::fourier;
use crate::model::loss::Fit;
use crate::training::ground;
use crate::training::inputs::Inputs;
use crate::training::optimiser::{AdamW, Parameter};
use crate::training::step::{Classes, Draws, Step, TermWeights};
use crate::world::Ranks;
use contract::{Problem, Result};
use cryoem::prepare::{ImageStream, Invert, PrepareOptions};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Names of the parts that are networks.
pub(super) const NETWORKS: [&str; 2] = ["encode", "decode"];

/// One part of a step, or of what is done once before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Forward, a step.
    pub forward: Timing,
    /// Backward, a step, where there is one.
    pub backward: Option<Timing>,
    /// Floating-point operations of both, a step; 0 where they are not what counts.
    pub flop: f64,
    /// Bytes of both at least, a step; 0 where they are not what counts.
    pub bytes: f64,
}

impl Part {
    /// Wall and CPU seconds of both.
    pub(super) fn seconds(&self) -> (f64, f64) {
        let back = self.backward.unwrap_or_default();
        (self.forward.wall_seconds + back.wall_seconds, self.forward.cpu_seconds + back.cpu_seconds)
    }
}

/// What it costs to be one of a group: a step of an engine that trains alone, and the same in a group of one, in turns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InGroup {
    /// Without a group.
    pub alone: Timing,
    /// With one: gradients and figures pass through Gloo, on a GPU through NCCL.
    pub group: Timing,
}

/// All that a step is made of.
pub(super) struct Runner<'a> {
    shape: &'a Shape,
    device: Device,
    fixture: &'a Fixture,
    inputs: Inputs,
    bank: LatentBank,
    optimiser: AdamW,
    classes: Option<Classes>,
    rows: Vec<usize>,
    repeat: (usize, usize),
}

impl<'a> Runner<'a> {
    /// `repeat`: unmeasured and measured repetitions.
    pub(super) fn new(shape: &'a Shape, device: Device, fixture: &'a Fixture, repeat: (usize, usize)) -> Result<Self> {
        let Fixture { particles, assembly, .. } = fixture;
        // Cubes do not fit into memory in runs worth their time: room for silhouettes only.
        let silhouettes = particles.len() * shape.crop_px * shape.crop_px + 1;
        let inputs = Inputs::within(assembly, particles, None, silhouettes as f64, &|| false)
            .ok_or_else(|| Problem::failed("the inputs were not looked at"))?;
        let parameters = assembly.weights().into_iter().map(|(name, value)| Parameter { name, value, rate: 1.0 }).collect();
        let everyone: Vec<usize> = (0..particles.len()).collect();
        Ok(Self {
            bank: LatentBank::new(&Tensor::randn([particles.len() as i64, assembly.latent_dimensions()], (Kind::Float, device))),
            optimiser: AdamW::new(parameters, 0.0),
            classes: (assembly.settings.lamb > 0.0).then(|| ground::view_classes(particles, &everyone)),
            rows: (0..shape.batch).map(|i| i * (particles.len() / shape.batch)).collect(),
            shape,
            device,
            fixture,
            inputs,
            repeat,
        })
    }

    fn batch(&self) -> Batch {
        self.fixture.particles.batch(&self.rows)
    }

    fn weights(&self) -> TermWeights {
        let settings = &self.fixture.assembly.settings;
        TermWeights {
            divergence: Tensor::full([], 0.1, (Kind::Double, self.device)),
            prior: settings.lamb,
            magnitude: settings.volume_l1,
            variation: settings.volume_tv,
            snr: Tensor::ones([], (Kind::Double, self.device)),
            warm: false,
        }
    }

    /// Reading, all terms, backward, optimiser: what an effective batch costs. The most memory is counted from the end of the warm-up on, in
    /// which a GPU's library tries algorithms with workspaces that no later step needs.
    pub(super) fn whole_step(&mut self) -> Timing {
        let (alone, mut number) = (Ranks::alone(), 0);
        let (device, (warm_up, measured)) = (self.device, self.repeat);
        let mut next = || {
            self.step(&alone, number);
            number += 1;
        };
        for _ in 0..warm_up {
            next();
        }
        reset_peak(device);
        measure(device, 0, measured, next)
    }

    /// The same step without a group and within `ranks`, in turns.
    pub(super) fn in_group(&mut self, ranks: &Ranks) -> InGroup {
        let (alone, mut seconds) = (Ranks::alone(), [Vec::new(), Vec::new()]);
        for turn in 0..self.repeat.0 + self.repeat.1 {
            for (ranks, seconds) in [&alone, ranks].into_iter().zip(&mut seconds) {
                let start = now(self.device);
                self.step(ranks, turn as u64);
                let end = now(self.device);
                if turn >= self.repeat.0 {
                    seconds.push((end.0 - start.0, end.1 - start.1));
                }
            }
        }
        let [alone, group] = seconds.map(|seconds| Timing::of(seconds.into_iter()));
        InGroup { alone, group }
    }

    /// One step on the same images; `number` keys its random numbers.
    fn step(&mut self, ranks: &Ranks, number: u64) {
        let Fixture { particles, assembly, .. } = self.fixture;
        let batch = particles.batch(&self.rows);
        self.optimiser.zero_grad();
        let step = Step {
            assembly,
            inputs: &self.inputs,
            bank: &self.bank,
            classes: self.classes.as_ref(),
            ranks,
            weights: &self.weights(),
            draws: Draws { seed: 1, epoch: 1, attempt: 0, batch: number },
            box_px: self.shape.box_px,
            injected: None,
        };
        if let Some(result) = step.gradients(&batch, &self.rows, &|_| false) {
            self.optimiser.step(1e-5);
            self.bank.update(&result.index, &result.means);
        }
    }

    /// The parts, one after the other.
    ///
    /// # Errors
    /// The raw images cannot be read.
    pub(super) fn parts(&mut self) -> Result<Vec<Part>> {
        let mut parts = vec![self.preprocess()?, self.forward_only("read", || drop(self.batch()))];
        let batch = self.batch();
        let assembly = &self.fixture.assembly;
        let scene = &assembly.scene;
        parts.push(self.forward_only("encoder's input", || drop(scene.cubes(&batch))));

        let cubes = scene.cubes(&batch);
        let [encoder, decoder] = NETWORKS;
        let Shape { batch: images, micro_batch, poses, template, precision, .. } = *self.shape;
        let number_bytes = kind_of(precision).elt_size_in_bytes();
        let encoder_flop = work::encoder_flop(assembly.encoder.config()) * images as f64;
        let encoder_bytes = work::network_bytes(&work::encoder_convolutions(assembly.encoder.config()), (images, images), number_bytes);
        let encode = self.both(encoder, &|| assembly.encode(&cubes, None).0);
        parts.push(Part { flop: 3.0 * encoder_flop, bytes: encoder_bytes, ..encode });

        let micro = batch.part(0, self.shape.micro_batch);
        let times = self.shape.batch as f64 / self.shape.micro_batch as f64;
        let latents = Tensor::randn([self.shape.micro_batch as i64, assembly.latent_dimensions()], (Kind::Float, self.device));
        let decoder_flop = work::decoder_flop(assembly.decoder.config(), template as i64) * images as f64;
        let convolutions = work::decoder_convolutions(assembly.decoder.config(), template as i64);
        let decoder_bytes = work::network_bytes(&convolutions, (images, micro_batch), number_bytes);
        let decode = self.both(decoder, &|| scene.volume.assemble(&assembly.net(&latents)));
        parts.push(Part { flop: 3.0 * decoder_flop, bytes: decoder_bytes, ..scaled(decode, times) });

        let volumes = tch::no_grad(|| scene.volume.assemble(&assembly.net(&latents))).set_requires_grad(true);
        let project = self.both("project", &|| scene.project(&volumes, &micro, None, None));
        // Backward reads and writes each corner's gradient.
        let (bytes, flop) = (3.0 * scene.projection_bytes(poses) * images as f64, 2.0 * scene.projection_flop(poses) * images as f64);
        parts.push(Part { flop, bytes, ..scaled(project, times) });

        let projections = tch::no_grad(|| scene.project(&volumes, &micro, None, None)).set_requires_grad(true);
        let weights = self.weights();
        let loss = self.both("loss", &|| {
            let rendered = fourier::filter(&projections, &scene.transfer(&micro, &scene.ctf(&micro)));
            let seen = scene.seen(&micro.images).unsqueeze(1);
            let silhouettes = self.inputs.silhouettes(assembly, &micro);
            let fit = Fit::new(&rendered, &seen, &silhouettes, &assembly.settings.numerics);
            fit.squared_error().sum(Kind::Float)
        });
        parts.push(scaled(loss, times));
        if weights.magnitude > 0.0 || weights.variation > 0.0 {
            let priors = self.both("volume priors", &|| {
                let [magnitude, variation] = scene.volume_priors.figures(&volumes).map(|figures| figures.sum(Kind::Float));
                magnitude * weights.magnitude + variation * weights.variation
            });
            parts.push(scaled(priors, times));
        }
        parts.push(self.optimise());
        Ok(parts)
    }

    /// Raw images of a batch centred, cropped in Fourier space and normalised, one after the other: what is done once, before training, where it
    /// is shared among all cores.
    fn preprocess(&self) -> Result<Part> {
        let raw = &self.fixture.raw;
        let options = PrepareOptions { size_px: self.shape.size_px, apix: None, invert: Invert::No, known: Vec::new() };
        let images = ImageStream::open(raw, &options)?;
        let mut image = vec![0f32; self.shape.size_px * self.shape.size_px];
        let mut problem = None;
        let part = self.forward_only("preprocess", || problem = (0..raw.len()).try_for_each(|i| images.image_into(i, &mut image)).err());
        problem.map_or(Ok(part), Err)
    }

    fn optimise(&mut self) -> Part {
        let weights = self.fixture.assembly.weights();
        let count: usize = weights.values().map(Tensor::numel).sum();
        self.optimiser.zero_grad();
        for weight in weights.values() {
            (weight * 1e-6).sum(Kind::Float).backward();
        }
        let forward = measure(self.device, self.repeat.0, self.repeat.1, || self.optimiser.step(0.0));
        // Weight and two moments are read and written, the gradient is read.
        let bytes = (7 * count * size_of::<f32>()) as f64;
        Part { name: "optimiser".into(), forward, backward: None, flop: 0.0, bytes }
    }

    fn forward_only(&self, name: &str, work: impl FnMut()) -> Part {
        let forward = measure(self.device, self.repeat.0, self.repeat.1, work);
        Part { name: name.into(), forward, backward: None, flop: 0.0, bytes: 0.0 }
    }

    fn both(&self, name: &str, work: &dyn Fn() -> Tensor) -> Part {
        both_ways(self.device, self.repeat, name, work)
    }
}

/// Forward, then backward from a fixed gradient of the output; `repeat` is how often unmeasured and measured.
pub(super) fn both_ways(device: Device, repeat: (usize, usize), name: &str, work: &dyn Fn() -> Tensor) -> Part {
    let mut gradient = None;
    let mut seconds: Vec<[(f64, f64); 2]> = Vec::new();
    for _ in 0..repeat.0 + repeat.1 {
        let start = now(device);
        let output = work();
        let middle = now(device);
        let gradient = gradient.get_or_insert_with(|| output.randn_like());
        (&output * &*gradient).sum(Kind::Float).backward();
        let end = now(device);
        seconds.push([(middle.0 - start.0, middle.1 - start.1), (end.0 - middle.0, end.1 - middle.1)]);
    }
    let timing = |which: usize| Timing::of(seconds[repeat.0..].iter().map(|pair| pair[which]));
    Part { name: name.into(), forward: timing(0), backward: Some(timing(1)), flop: 0.0, bytes: 0.0 }
}

/// CPU and wall seconds, after the device has finished.
fn now(device: Device) -> (f64, f64) {
    thread_local! { static BEGAN: Instant = Instant::now(); }
    wait(device);
    (cpu_seconds(), BEGAN.with(|began| began.elapsed().as_secs_f64()))
}

/// A part that runs several times a step.
pub(super) fn scaled(mut part: Part, times: f64) -> Part {
    let scale = |timing: &mut Timing| {
        timing.cpu_seconds *= times;
        timing.wall_seconds *= times;
        timing.wall_spread_seconds *= times;
    };
    scale(&mut part.forward);
    if let Some(backward) = &mut part.backward {
        scale(backward);
    }
    part
}
