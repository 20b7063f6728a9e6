//! A model that another program trained, as a checkpoint of ours.

use crate::assembly::Assembly;
use crate::training::checkpoint::{Checkpoint, DataFacts, Position, read_npy, read_tensors};
use contract::{AdoptSpec, Problem, Result};
use std::collections::HashMap;
use std::path::PathBuf;
use tch::{Device, Kind};

/// Stands for a fingerprint of prepared images: nothing is known of those that the model was trained on.
const UNKNOWN_DATA: &str = "unknown";

/// Writes the checkpoint once the whole model was made from it, and gives its folder. It has neither optimiser state nor latent bank nor
/// score: training cannot go on from it as if it had never stopped, nor be called the best.
///
/// # Errors
/// A tensor is missing, unknown or of another shape than the layout has, the latents do not fit, or the folder cannot be written.
pub fn adopt(spec: &AdoptSpec) -> Result<PathBuf> {
    let latents = read_npy(&spec.latents)?.to_kind(Kind::Float);
    let zdim = spec.settings.layout.zdim as i64;
    let particles = match latents.size()[..] {
        [rows, columns] if rows > 0 && columns == zdim => rows as usize,
        ref shape => {
            return Err(Problem::input(format!("holds {shape:?}, expected rows of {zdim} latent dimensions"))
                .at(spec.latents.display().to_string()));
        }
    };
    let checkpoint = Checkpoint {
        position: Position { epoch: spec.epoch, step_factor: 1.0, ..Position::default() },
        settings: spec.settings.clone(),
        data: DataFacts { fingerprint: UNKNOWN_DATA.into(), particles, size_px: spec.size_px, apix: spec.apix, base_scale: 1.0 },
        weights: read_tensors(&spec.weights)?,
        moments: HashMap::new(),
        fixed: read_tensors(&spec.fixed)?,
        latents,
        bank: None,
    };
    let model = Assembly::of_checkpoint(&checkpoint, Device::Cpu)?;
    let mut unknown: Vec<&String> = checkpoint.weights.keys().filter(|name| !model.weights().contains_key(*name)).collect();
    unknown.sort();
    if let Some(name) = unknown.first() {
        return Err(Problem::input(format!("tensor `{name}` belongs to no layer of the networks")).at("weights"));
    }
    checkpoint.save(&spec.checkpoints)
}
