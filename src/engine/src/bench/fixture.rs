//! A synthetic prepared set, and the model of a shape on it.

use super::shapes::{APIX, Shape};
use crate::assembly::Assembly;
use crate::data::Particles;
use crate::model::geometry::Centre;
use crate::scene::Maps;
use contract::{GroupSummary, Problem, Result};
use cryoem::geometry::random_rotation;
use cryoem::mrc::{Values, write_stack};
use cryoem::particles::{OpticsGroup, Particle, ParticleSet, Source};
use cryoem::prepare::{PreparedWriter, Row};
use cryoem::random::Random;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Particles for one of a batch: the prior draws from the others.
const BATCHES: usize = 4;
/// Radius of the mask over the compared region's side.
const MASK_RADIUS: f64 = 0.46;

/// A folder that goes when it is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("opus-dsd-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| Problem::io(&path, &e))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind where it cannot be removed; it lies among temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Particles of noise with random poses and CTFs, and a model for them.
pub(super) struct Fixture {
    pub(super) particles: Particles,
    pub(super) assembly: Assembly,
    /// As many images of the box as a batch has, as a microscope's programs leave them.
    pub(super) raw: ParticleSet,
    _scratch: Scratch,
}

impl Fixture {
    /// Writes the set to a temporary folder and makes the model.
    pub(super) fn new(shape: &Shape, device: Device) -> Result<Self> {
        let scratch = Scratch::new()?;
        let description = write_set(shape, &scratch.0)?;
        let particles = Particles::open(&description, device)?;
        let mut assembly = Assembly::new(&shape.settings(), maps(shape), device)?;
        let sample = particles.batch(&[0]);
        let variance = assembly.scene.cube_variance(&assembly.scene.cubes(&sample));
        if variance > 0.0 {
            assembly.scene.input_scale = 1.0 / variance.sqrt();
        }
        Ok(Self { particles, assembly, raw: write_raw(shape, &scratch.0)?, _scratch: scratch })
    }
}

/// Noise off the centre of its boxes.
fn write_raw(shape: &Shape, folder: &Path) -> Result<ParticleSet> {
    let mut pixels = vec![0f32; shape.batch * shape.box_px * shape.box_px];
    let mut random = Random::new(4, 1);
    random.fill_normal(&mut pixels);
    let stack = folder.join("raw.mrcs");
    write_stack(&stack, &pixels, shape.box_px, APIX, Values::Single)?;
    let mut row = |slice: usize| Particle {
        origin_x_angstrom: random.range(-3.0, 3.0),
        origin_y_angstrom: random.range(-3.0, 3.0),
        ..Particle::of_image((0, slice as u32), 0)
    };
    let group = OpticsGroup {
        name: "synthetic".into(),
        number: 1,
        voltage_kv: 300.0,
        cs_mm: 2.7,
        amplitude_contrast: 0.1,
        apix: APIX,
        box_px: shape.box_px,
        premultiplied: false,
        ctf_known: false,
    };
    Ok(ParticleSet {
        rows: (0..shape.batch).map(&mut row).collect(),
        groups: vec![group],
        stacks: vec![stack],
        source: Source::Stacks,
        notes: Vec::new(),
        warnings: Vec::new(),
    })
}

fn write_set(shape: &Shape, folder: &Path) -> Result<PathBuf> {
    let mut random = Random::new(3, 1);
    let mut writer = PreparedWriter::create(folder, shape.size_px)?;
    let count = BATCHES * shape.batch;
    let mut image = vec![0f32; shape.size_px * shape.size_px];
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        random.fill_normal(&mut image);
        writer.push(&image)?;
        let mut rotation = [0f32; 9];
        for (to, from) in rotation.iter_mut().zip(random_rotation(&mut random).as_flattened()) {
            *to = *from as f32;
        }
        let defocus = random.range(8_000.0, 20_000.0) as f32;
        rows.push(Row {
            rotation,
            ctf: [defocus, defocus - 300.0, 30.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0],
            apix: shape.apix() as f32,
            premultiplied: false,
            group: 0,
            ctf_known: true,
        });
    }
    let group = GroupSummary {
        name: "synthetic".into(),
        particles: count,
        box_px: shape.box_px,
        apix: APIX,
        voltage_kv: 300.0,
        noise_std: 1.0,
        background: 0.0,
        inverted: false,
        one_by_one: false,
    };
    writer.finish(&rows, vec![group], shape.apix(), "bench".into())?;
    Ok(folder.join("prepared.json"))
}

/// A ball as the mask, a blurred one as the base.
fn maps(shape: &Shape) -> Maps {
    let side = shape.size_px as i64;
    let points = Centre::Voxel.cube(side, Device::Cpu);
    let distance2 = points.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float).view([side; 3]);
    let radius = MASK_RADIUS * shape.crop_px as f64;
    let mask = distance2.le(radius * radius).to_kind(Kind::Float);
    let base: Tensor = (&distance2 * (-4.0 / (radius * radius))).exp();
    Maps { mask, encoder_mask: None, base: Some(base * 0.1), base_scale: 1.0, size_px: shape.size_px, apix: shape.apix() }
}
