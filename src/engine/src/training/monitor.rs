//! What people look at while it trains: loss figures as JSON lines, image panels, the current volume.

use super::checkpoint::write_tensors;
use super::inputs::Inputs;
use super::meters::Meter;
use crate::assembly::Assembly;
use crate::data::{Batch, Particles, runs};
use contract::{LossTerms, Problem, Result};
use serde::Serialize;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Particles shown.
const SHOWN: usize = 4;
const LOSSES: &str = "losses.jsonl";
const PANELS: &str = "panels.safetensors";

/// A line of `losses.jsonl`.
#[derive(Serialize)]
pub struct Line {
    /// `interval` or `epoch`.
    pub of: &'static str,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Images done in this epoch.
    pub images: usize,
    /// Mean terms, weights applied.
    pub terms: LossTerms,
    /// Mean KL in nats.
    pub kl_nats: f64,
    /// Estimated signal-to-noise ratio.
    pub snr: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Mean reconstruction loss of the validation images.
    pub validation: Option<f64>,
    /// Latent dimensions in use, of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_dimensions: Option<usize>,
}

impl Line {
    /// A line of a meter's means.
    #[must_use]
    pub fn new(of: &'static str, epoch: usize, images: usize, meter: &Meter, learning_rate: f64, validation: Option<f64>) -> Self {
        Self {
            of,
            epoch,
            images,
            terms: meter.terms(),
            kl_nats: meter.kl_nats(),
            snr: meter.snr(),
            learning_rate,
            validation,
            active_dimensions: None,
        }
    }

    /// The same with the number of latent dimensions in use.
    #[must_use]
    pub fn with_active_dimensions(self, active: usize) -> Self {
        Self { active_dimensions: Some(active), ..self }
    }
}

/// The monitor folder.
pub struct Monitor {
    folder: PathBuf,
    losses: File,
    bytes: u64,
}

impl Monitor {
    /// Opens the folder; lines beyond the first `bytes` belong to a state that was lost, and are removed.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(folder: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| Problem::io(folder, &error))?;
        let path = folder.join(LOSSES);
        let losses = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(|error| Problem::io(&path, &error))?;
        let mut monitor = Self { folder: folder.to_path_buf(), losses, bytes: 0 };
        monitor.rewind(bytes)?;
        Ok(monitor)
    }

    /// Forgets all lines beyond the first `bytes`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn rewind(&mut self, bytes: u64) -> Result<()> {
        let fail = |error: std::io::Error| Problem::io(&self.folder.join(LOSSES), &error);
        let length = self.losses.metadata().map_err(fail)?.len();
        self.losses.set_len(bytes.min(length)).map_err(fail)?;
        self.bytes = self.losses.seek(SeekFrom::End(0)).map_err(fail)?;
        Ok(())
    }

    /// Appends a line.
    ///
    /// # Errors
    /// The disk is full.
    pub fn line(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|error| Problem::failed(error.to_string()))?;
        text.push(b'\n');
        self.losses.write_all(&text).map_err(|error| Problem::io(&self.folder.join(LOSSES), &error))?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rewrites the panels of the shown particles from their latents (`[n, d]`, all particles).
    ///
    /// # Errors
    /// The disk is full.
    pub fn panels(&self, assembly: &Assembly, particles: &Particles, inputs: &Inputs, latents: &Tensor, box_px: usize) -> Result<()> {
        let count = SHOWN.min(particles.len());
        let shown: Vec<usize> = (0..count).map(|i| i * particles.len() / count).collect();
        let batch = particles.batch(&shown);
        // As many at a time as training has found room for.
        let parts: Vec<HashMap<String, Tensor>> = runs(count, assembly.settings.micro_batch)
            .iter()
            .map(|run| {
                let part = batch.part(run[0], run.len());
                tch::no_grad(|| panels(assembly, inputs, &part, &latents.index_select(0, &part.index), box_px))
            })
            .collect();
        let together = |name: &String| Tensor::cat(&parts.iter().map(|part| &part[name]).collect::<Vec<_>>(), 0);
        let panels: HashMap<String, Tensor> = parts[0].keys().map(|name| (name.clone(), together(name))).collect();
        let temporary = self.folder.join(format!(".{PANELS}.{}.tmp", std::process::id()));
        write_tensors(&temporary, &panels)?;
        let target = self.folder.join(PANELS);
        fs::rename(&temporary, &target).map_err(|error| Problem::io(&target, &error))
    }
}

/// The six panels of the original's plot mode, `[b, c, c]` each, and which particles they show.
fn panels(assembly: &Assembly, inputs: &Inputs, batch: &Batch, latents: &Tensor, box_px: usize) -> HashMap<String, Tensor> {
    let scene = &assembly.scene;
    let volumes = scene.volume.assemble(&assembly.net(latents));
    let first = |t: &Tensor| t.select(1, 0);
    let mask = first(&inputs.silhouettes(assembly, batch));
    let seen = scene.seen(&batch.images);
    let projection = first(&scene.project(&volumes, batch, None, None));
    let blurred = first(&assembly.render(&volumes, latents, batch, box_px));
    [
        ("particles", batch.index.shallow_clone()),
        ("reconstruction", &blurred * &mask),
        ("projection", projection),
        ("projection_ctf", blurred),
        ("masked_image", &seen * &mask),
        ("encoder_input", scene.encoder_images(batch)),
        ("image", seen),
    ]
    .into_iter()
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .collect()
}
