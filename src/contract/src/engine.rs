//! The engine's language: commands and events, one JSON object a line, on pipes of their own.

use crate::{Problem, TrainSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the worker tells the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Train (or go on training) and encode all particles at the end.
    Train(Box<TrainSpec>),
    /// Latents of all particles of a prepared set.
    Encode(EncodeSpec),
    /// Volumes of given latents.
    Decode(DecodeSpec),
    /// A checkpoint of a model that another program trained; answered by `checkpoint`.
    Adopt(Box<AdoptSpec>),
    /// Checkpoint, then answer `stopped`. Read at any time, honoured after the running micro-batch.
    Stop,
    /// Leave.
    Shutdown,
}

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// The prepared set's `prepared.json`.
    pub prepared: PathBuf,
    /// Base volume (MRC, `size_px`³ at the prepared pixel size), unless the settings say none.
    pub base: Option<PathBuf>,
    /// Mask (MRC, `size_px`³ at the prepared pixel size, 0..1).
    pub mask: PathBuf,
    /// `[particles, k]` f32 npy, k ≤ `zdim`: scores that the latents start from (unit prior variance, strongest first), made by the
    /// worker's `subspace` stage (`reconstruction::subspace::fit`, EM on Fourier slices: adk-path-tiny R² 0.94, compose-4-tiny ARI 0.89,
    /// adk SNR 0.01 R² 0.57 within 5 CPU s, before any network). Required where the settings have a warm start.
    pub scores: Option<PathBuf>,
    /// Folder of checkpoints; training goes on from the newest valid one in it.
    pub checkpoints: PathBuf,
    /// A checkpoint folder's epoch to start a new run from (`--load`): weights and latents, not the optimiser.
    pub load: Option<PathBuf>,
    /// The current mean volume, rewritten every epoch.
    pub preview: PathBuf,
    /// Where viewers find voxel 0 of the preview (x, y, z), Å.
    #[serde(default)]
    pub preview_origin_angstrom: [f64; 3],
    /// Folder where image panels and loss curves' numbers go (safetensors, JSON lines).
    pub monitor: PathBuf,
    /// Decided settings.
    pub settings: TrainSettings,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the tensor library.
    pub threads: usize,
    /// The engines that train together; `None`: this one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<World>,
}

/// An engine's place among those that train together, one process a device. Rank 0 writes all files and speaks for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// Which one, from 0.
    pub rank: usize,
    /// How many.
    pub size: usize,
    /// How many on this machine; they share its memory.
    pub here: usize,
    /// Where they meet. Rank 0: the address (without a port) that the others reach it at; it answers with [`Event::Meeting`]. The others:
    /// that event's address.
    pub meeting: String,
}

impl World {
    /// What the problem of a rank begins with whose only trouble is that another one is gone: that one's end is the cause.
    pub const LOST: &str = "the ranks lost each other";
}

/// Encoding all particles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodeSpec {
    /// The prepared set's `prepared.json`.
    pub prepared: PathBuf,
    /// A checkpoint's folder.
    pub checkpoint: PathBuf,
    /// Scores that the latents of these particles start from (as [`TrainSpec::scores`]), where the model had a warm start and these are
    /// other particles than those it was trained on.
    pub scores: Option<PathBuf>,
    /// `[particles, zdim]` f32 npy to write.
    pub latents: PathBuf,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the tensor library.
    pub threads: usize,
}

/// What maps look like: their grid and where it lies, hand, sign, resolution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapForm {
    /// Box, voxels.
    pub box_px: usize,
    /// Voxel size, Å.
    pub apix: f64,
    /// Where viewers find voxel 0 (x, y, z), Å: the map lies over the one that the job was given.
    pub origin_angstrom: [f64; 3],
    /// Mirror along z.
    pub flip: bool,
    /// Turn the sign.
    pub invert: bool,
    /// Low-pass, Å.
    pub lowpass_angstrom: Option<f64>,
}

impl MapForm {
    /// A map on a grid, as it comes.
    #[must_use]
    pub fn plain(box_px: usize, apix: f64) -> Self {
        Self { box_px, apix, origin_angstrom: [0.0; 3], flip: false, invert: false, lowpass_angstrom: None }
    }

    /// The same on another grid, voxel n/2 at the same place.
    #[must_use]
    pub fn on_grid(self, box_px: usize, apix: f64) -> Self {
        /// Headers are told the place to this step, Å: rounding must not pass for a shift.
        const STEP: f64 = 1e-4;
        let centre = |box_px: usize, apix: f64| (box_px / 2) as f64 * apix;
        let moved = centre(self.box_px, self.apix) - centre(box_px, apix);
        let origin_angstrom = self.origin_angstrom.map(|v| ((v + moved) / STEP).round() * STEP);
        Self { box_px, apix, origin_angstrom, ..self }
    }
}

/// Decoding latents to maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeSpec {
    /// A checkpoint's folder.
    pub checkpoint: PathBuf,
    /// `[n, zdim]` f32 npy.
    pub latents: PathBuf,
    /// One MRC file a row.
    pub outputs: Vec<PathBuf>,
    /// What the maps look like.
    pub form: MapForm,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the tensor library.
    pub threads: usize,
}

/// A model that another program trained, to become a checkpoint that decodes and encodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdoptSpec {
    /// safetensors file with every learned tensor under the name that it has in a checkpoint.
    pub weights: PathBuf,
    /// safetensors file with what is not learned: `mask` (`[size_px, size_px, size_px]` f32), and, where the encoder has its own,
    /// `encoder_mask` on its grid; `image_scale` (`[1]` f64), the factor on images in their own grey scale that the encoder was trained with.
    pub fixed: PathBuf,
    /// `[particles, zdim]` f32 npy.
    pub latents: PathBuf,
    /// Epoch that the checkpoint is known by.
    pub epoch: usize,
    /// Side of the down-sampled images, pixels.
    pub size_px: usize,
    /// Their pixel size, Å.
    pub apix: f64,
    /// Layout and numerics; the rest says how it would be trained on.
    pub settings: TrainSettings,
    /// Folder of checkpoints.
    pub checkpoints: PathBuf,
}

/// A device that the engine can run on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// `cpu` or `cuda:N`.
    pub id: String,
    /// For people.
    pub name: String,
    /// Memory in bytes (host memory for the CPU).
    pub memory_bytes: u64,
    /// Of a GPU's memory, the bytes that nobody had taken when the engine was started; missing where the driver does not tell, and for the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
}

/// Mean loss terms over an interval, each as it enters the total (weights applied).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LossTerms {
    /// Reconstruction.
    pub reconstruction: f64,
    /// Kullback–Leibler.
    pub kl: f64,
    /// Structural-disentanglement prior.
    pub prior: f64,
    /// Mean |v| and total variation.
    pub volume: f64,
    /// Fit of the encoder to the warm-start scores.
    pub warm_start: f64,
    /// Their sum.
    pub total: f64,
}

/// What the engine tells the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First message.
    Hello {
        /// Program version.
        version: String,
        /// Identifies the sources that the engine was built from; the front carries the same one or refuses it.
        build_id: String,
        /// libtorch's version.
        torch: String,
        /// What can be run on, best first.
        devices: Vec<Device>,
    },
    /// Rank 0 of several listens; the others may be told to train now.
    Meeting {
        /// Address and port.
        address: String,
    },
    /// At least once a second while training.
    Progress {
        /// Epoch, from 1.
        epoch: usize,
        /// Epochs in all.
        epochs: usize,
        /// Images done in this epoch.
        images: usize,
        /// Images an epoch.
        of: usize,
        /// Images a second, over the last interval.
        images_per_second: f64,
    },
    /// An interval's loss terms.
    Metric {
        /// Epoch, from 1.
        epoch: usize,
        /// Images done in this epoch.
        images: usize,
        /// Mean terms since the last metric.
        terms: LossTerms,
        /// Mean KL in nats, unweighted.
        kl_nats: f64,
        /// Estimated signal-to-noise ratio.
        snr: f64,
        /// Learning rate.
        learning_rate: f64,
    },
    /// An epoch ended.
    Epoch {
        /// Epoch, from 1.
        epoch: usize,
        /// Epochs in all.
        epochs: usize,
        /// Mean terms over the training images.
        terms: LossTerms,
        /// Mean reconstruction loss over the validation images, where there are any.
        validation: Option<f64>,
        /// Mean KL in nats.
        kl_nats: f64,
        /// Latent dimensions whose means vary over particles (variance above 0.02).
        active_dimensions: usize,
        /// Estimated signal-to-noise ratio.
        snr: f64,
        /// Learning rate at the end.
        learning_rate: f64,
        /// Wall seconds.
        seconds: f64,
    },
    /// A checkpoint is safe on disk.
    Checkpoint {
        /// Its folder.
        folder: PathBuf,
        /// Epochs completed.
        epoch: usize,
        /// Images done in the running epoch.
        images: usize,
    },
    /// For the log.
    Log {
        /// One line.
        message: String,
    },
    /// For the log and the report.
    Warning {
        /// One line.
        message: String,
    },
    /// Training ended.
    Trained(TrainOutcome),
    /// Latents are written.
    Encoded {
        /// The npy file.
        latents: PathBuf,
    },
    /// A volume is written.
    Decoded {
        /// Row of the latents.
        index: usize,
        /// The map.
        output: PathBuf,
    },
    /// A decode command is complete.
    DecodeDone,
    /// Stopped as asked; the newest checkpoint is complete.
    Stopped,
    /// The command failed; the engine lives on.
    Failed {
        /// Why.
        problem: Problem,
    },
}

/// What training left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOutcome {
    /// Final checkpoint.
    pub checkpoint: PathBuf,
    /// Epochs completed.
    pub epochs: usize,
    /// `[particles, zdim]` f32 npy: plain encoder means of all particles, in their order.
    pub latents: PathBuf,
    /// R-less figures for the log: variance explained by the warm-start components, grey scale of the base.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_grid_keeps_the_centre_where_it_is() {
        let given = MapForm { origin_angstrom: [10.0, 0.0, -3.0], ..MapForm::plain(64, 1.5) };
        assert_eq!(given.on_grid(32, 3.0).origin_angstrom, given.origin_angstrom);
        assert_eq!(given.on_grid(48, 1.5).origin_angstrom, [22.0, 12.0, 9.0]);
        // Nothing is moved by rounding.
        assert_eq!(MapForm::plain(48, 2.3).on_grid(64, 2.3 * 48.0 / 64.0).origin_angstrom, [0.0; 3]);
    }
}
