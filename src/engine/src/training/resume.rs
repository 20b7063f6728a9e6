//! Whether a run can go on from a checkpoint, and what changes when it does.

use super::checkpoint::{Checkpoint, DataFacts};
use crate::model::schedules;
use crate::scene::Maps;
use contract::{Problem, Result, TrainSettings};
use std::path::Path;
use tch::Tensor;

/// Refuses to go on with another model or other data.
///
/// # Errors
/// Names what changed.
pub fn require_same(checkpoint: &Checkpoint, folder: &Path, settings: &TrainSettings, data: &DataFacts, maps: &Maps) -> Result<()> {
    let refuse = |what: String, culprit: &str| {
        Err(Problem::input(format!("{what} since {} was written; the run cannot go on with it", folder.display()))
            .at(culprit)
            .hint("use the same input and architecture, or start a new job (`--load` takes weights over)"))
    };
    let (old, new) = (&checkpoint.settings, settings);
    if old.layout != new.layout {
        return refuse(format!("the networks' layout changed ({})", layout_difference(old, new)), "layout");
    }
    if old.numerics != new.numerics {
        return refuse("the numerics changed".into(), "numerics");
    }
    if old.base != new.base {
        return refuse(format!("the kind of base volume changed from {:?} to {:?}", old.base, new.base), "base");
    }
    if old.encoder_input != new.encoder_input {
        return refuse(format!("the encoder's input changed from {:?} to {:?}", old.encoder_input, new.encoder_input), "encoder_input");
    }
    if old.warm_start.map(|start| (start.components, start.particles)) != new.warm_start.map(|start| (start.components, start.particles)) {
        return refuse("the warm start changed".into(), "warm_start");
    }
    if old.seed != new.seed {
        return refuse(format!("the seed changed from {} to {}", old.seed, new.seed), "seed");
    }
    if old.validation_fraction.to_bits() != new.validation_fraction.to_bits() {
        return refuse("the validation fraction changed".into(), "validation_fraction");
    }
    let was = &checkpoint.data;
    if (was.particles, was.size_px) != (data.particles, data.size_px) {
        return refuse(
            format!(
                "the input changed from {} particles of {} pixels to {} of {}",
                was.particles, was.size_px, data.particles, data.size_px
            ),
            "particles",
        );
    }
    if was.fingerprint != data.fingerprint {
        return refuse("the input particles changed".into(), "particles");
    }
    if checkpoint.fixed.get("mask").is_none_or(|mask| !same(mask, &maps.mask)) {
        return refuse("the mask changed".into(), "mask");
    }
    let base_kept = match (checkpoint.fixed.get("base"), &maps.base) {
        (None, None) => true,
        (Some(old), Some(new)) => same(old, new),
        _ => false,
    };
    if !base_kept {
        return refuse("the base volume changed".into(), "base");
    }
    Ok(())
}

/// Lines for the log about settings that may change between two parts of a run.
#[must_use]
pub fn notes(checkpoint: &Checkpoint, settings: &TrainSettings) -> Vec<String> {
    let (old, new) = (&checkpoint.settings, settings);
    let mut notes = Vec::new();
    if old.precision != new.precision {
        notes.push(format!("convolutions go on in {:?} instead of {:?}", new.precision, old.precision).to_lowercase());
    }
    if old.epochs != new.epochs || old.learning_rate != new.learning_rate {
        let epoch = checkpoint.position.epoch;
        let rate = |s: &TrainSettings| {
            schedules::learning_rate(&s.learning_rate, epoch as f64 / s.epochs as f64, epoch, checkpoint.position.steps as usize)
        };
        let course = if new.learning_rate.cosine_to.is_some() { ", the cosine course now spans all of them" } else { "" };
        notes.push(format!(
            "going on from epoch {epoch} to {} (before: {}){course}: the learning rate goes on at {:.2e} where it was {:.2e}",
            new.epochs,
            old.epochs,
            rate(new),
            rate(old)
        ));
    }
    let compared = |s: &TrainSettings| {
        let mut s = s.clone();
        s.epochs = 0;
        s.learning_rate = new.learning_rate;
        s
    };
    if compared(old) != compared(new) {
        notes.push("some settings differ from those of the run so far; the new ones hold from here on (settings.json has both)".into());
    }
    notes
}

fn layout_difference(old: &TrainSettings, new: &TrainSettings) -> String {
    let (a, b) = (&old.layout, &new.layout);
    let mut changes = Vec::new();
    for (name, from, to) in [
        ("zdim", a.zdim, b.zdim),
        ("pose latents", a.z_affine_dim, b.z_affine_dim),
        ("template", a.template, b.template),
        ("crop", a.crop, b.crop),
    ] {
        if from != to {
            changes.push(format!("{name} {from} → {to}"));
        }
    }
    if a.width != b.width {
        changes.push(format!("width {:?} → {:?}", a.width, b.width));
    }
    if changes.is_empty() { "grids".into() } else { changes.join(", ") }
}

fn same(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && a.equal(b)
}
