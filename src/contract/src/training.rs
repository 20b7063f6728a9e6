//! Decided training settings: nothing optional is left open, nothing is looked up later. Layouts and numerics are values, so that
//! the original's networks of both revisions and its numerics are settings of one implementation.

use serde::{Deserialize, Serialize};

/// All that shapes a training run. Equal settings, data and seed give equal results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// The networks' shapes.
    pub layout: ModelLayout,
    /// Mended (default) or original numerics.
    pub numerics: Numerics,
    /// Whether the decoder learns what to add to a base volume.
    pub base: BaseVolume,
    /// Start of the latents from a principal component analysis of lifted residuals.
    pub warm_start: Option<WarmStart>,
    /// What the encoder sees.
    pub encoder_input: EncoderInput,
    /// Pose hypotheses a particle.
    pub hypotheses: Hypotheses,
    /// How decoded volumes are projected. (Settings of before it existed: along rays.)
    #[serde(default)]
    pub projection: ProjectionRoute,
    /// Total number of epochs.
    pub epochs: usize,
    /// Effective batch: images an optimiser step.
    pub batch: usize,
    /// Images decoded at a time; no result depends on it (to rounding).
    pub micro_batch: usize,
    /// Work the encoder out again in the backward pass, `micro_batch` images at a time, instead of keeping what it needs of the whole batch;
    /// no result depends on it (to rounding).
    #[serde(default)]
    pub recompute_encoder: bool,
    /// Learning rate and its course.
    pub learning_rate: LearningRate,
    /// Decoupled weight decay of AdamW.
    pub weight_decay: f64,
    /// Weight of the Kullback–Leibler term in nats.
    pub beta: Schedule,
    /// The original's SNR control of the KL weight (`--beta-control`); `None`: the weight is `beta` alone.
    pub beta_control: Option<f64>,
    /// Weight of the structural-disentanglement prior.
    pub lamb: f64,
    /// Draw batches of one view class (nside 2) instead of at random.
    pub view_class_batches: bool,
    /// B-factor of the rendered images, in the original's unit: exp(−bfactor/4 · s² · 4π²).
    pub bfactor: f64,
    /// Weights of mean |v| and of total variation of the decoded volume.
    pub volume_l1: f64,
    /// See `volume_l1`.
    pub volume_tv: f64,
    /// Fraction of the particles kept for validation (they are still encoded at the end).
    pub validation_fraction: f64,
    /// Seed of every random number.
    pub seed: u64,
    /// Bounds on the predicted log standard deviation.
    pub logstd_bounds: (f64, f64),
    /// Thresholds of the guards.
    pub guards: Guards,
    /// Minutes between checkpoints inside an epoch.
    pub checkpoint_minutes: f64,
    /// Keep every k-th epoch's checkpoint besides the last three and the best; 0: none.
    pub keep_every: usize,
    /// Images between two progress messages.
    pub log_interval: usize,
    /// Numbers that the networks' convolutions are computed in. (Settings of before it existed: single precision.)
    #[serde(default)]
    pub precision: Precision,
}

impl TrainSettings {
    /// These settings as far as they have a say in the result. How a step is split has none, and may differ from machine to machine and from
    /// day to day, with the memory that is free.
    #[must_use]
    pub fn shaping(&self) -> Self {
        Self { micro_batch: self.batch, recompute_encoder: false, ..self.clone() }
    }
}

/// Numbers of the networks' convolutions. Weights, their gradients' sums, projections, Fourier transforms, losses and the latent bank are
/// single precision in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision, 32 bits.
    #[default]
    F32,
    /// bfloat16: the range of single precision with 8 bits of it.
    Bf16,
}

/// How decoded volumes are projected for the poses of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionRoute {
    /// Trilinear samples of the volume, added along rays, as in the original.
    #[default]
    Rays,
    /// Central slices of the volume's padded Fourier transform. Learned poses get no gradient.
    Slices,
}

impl ProjectionRoute {
    /// Poses from which on slices take less time than rays at every size, and are more exact (docs/benchmarks/speed-cpu.md).
    pub const FEWEST_FOR_SLICES: usize = 4;

    /// The one that takes less time for so many poses an image.
    #[must_use]
    pub fn quicker(poses: usize) -> Self {
        if poses < Self::FEWEST_FOR_SLICES { Self::Rays } else { Self::Slices }
    }
}

/// Shapes of encoder and decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelLayout {
    /// Latent dimensions of structure.
    pub zdim: usize,
    /// Latent dimensions of the learned pose correction (0; the original's HEAD has 4).
    pub z_affine_dim: usize,
    /// Channel widths.
    pub width: Width,
    /// Side of the cubic grid that images are lifted to.
    pub encoder_grid: EncoderGrid,
    /// Where the decoder's ladder is resampled to fit `template`.
    pub resize_at: ResizeAt,
    /// Side of the decoded volume, voxels.
    pub template: usize,
    /// Side of the cropped render region, pixels (even); the template spans it.
    pub crop: usize,
}

/// How wide the networks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    /// The original's shapes and parameter names.
    Full,
    /// The same ladder, channels divided by 4.
    Small,
    /// Four levels and 8, 16, 32, 64 channels, for 32³ on a CPU (docs/concepts/learning.md).
    Tiny,
}

/// The lifted grid's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderGrid {
    /// The crop size, as the original's HEAD.
    Native,
    /// The crop size, at most 128.
    Capped,
    /// 110, as the original's SEED.
    Fixed110,
}

/// Where the decoder resamples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeAt {
    /// At 16³ (HEAD).
    Side16,
    /// At 32³ (SEED).
    Side32,
}

/// Numerics that differ between the original and its mended form; the default is mended throughout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Numerics {
    /// Rotate about (n−1)/2 as the original does; mended: n/2, where RELION and the FFT have their centre.
    pub rotate_about_half_pixel: bool,
    /// Leave out the given pose from the hypotheses.
    pub exclude_given_pose: bool,
    /// Leave the CTF unturned although the image was turned in plane.
    pub ctf_unturned: bool,
    /// Multiply only the particle image by the 2D mask, not the rendering.
    pub mask_target_only: bool,
    /// Let the estimated SNR (and with it the KL weight) be negative.
    pub snr_unclamped: bool,
    /// Write maps with what the decoder says outside the mask, as the original's first revision does.
    #[serde(default)]
    pub maps_unmasked: bool,
}

/// The volume that the decoder adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseVolume {
    /// Nothing: the decoder makes the whole volume, as the original.
    None,
    /// A fixed volume, back-projected from the same images or given by the user.
    Fixed,
    /// The same, learned as well.
    Learned,
}

/// Warm start of the latents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmStart {
    /// Epochs in which the encoder is fitted to the scores.
    pub epochs: f64,
    /// Principal components used (at most `zdim`).
    pub components: usize,
    /// Particles that the components are computed from, at most.
    pub particles: usize,
}

/// What the encoder sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderInput {
    /// The image less the base's projection, times the CTF (matched filter).
    ResidualTimesCtf,
    /// The image less the base's projection, Wiener-filtered.
    ResidualWiener,
    /// The image as it is.
    Image,
}

/// Pose hypotheses of the reconstruction loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hypotheses {
    /// Poses on a symmetric ring about the given one; 0: the given pose only.
    pub ring: usize,
    /// Tilt of the ring, degrees.
    pub angle_deg: f64,
}

/// Course of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearningRate {
    /// Starting value.
    pub start: f64,
    /// Factor an epoch (the original: 0.97); 1 with `cosine_to`.
    pub decay: f64,
    /// Fraction of the start that a cosine over the whole run ends at; `None`: no cosine.
    pub cosine_to: Option<f64>,
    /// Steps of linear warm-up.
    pub warm_up_steps: usize,
}

/// A weight over the run, in fractions of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same throughout.
    Constant(f64),
    /// The original's saw-tooth ("cos"): linear from 0.001 to 1 in 80% of a period, flat for the rest.
    Cyclic {
        /// Number of periods in the run.
        periods: f64,
        /// Factor on the saw-tooth.
        scale: f64,
    },
}

/// When training is called ill.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guards {
    /// Roll-backs to the last good state before the run is stopped with the cause.
    pub roll_backs: usize,
    /// Factor on the learning rate at each roll-back.
    pub step_factor: f64,
    /// Batch loss over its running mean that counts as an explosion.
    pub loss_ratio: f64,
    /// Decoded volume's standard deviation over its running mean that counts as an explosion.
    pub volume_ratio: f64,
    /// Mean KL (nats) below which latents are called dead after the warm start.
    pub dead_kl: f64,
}
