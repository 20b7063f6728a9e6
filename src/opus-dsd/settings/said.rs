//! What the user said: every option of a training job, all optional.

use super::values::{Base, BetaWish, InvertData, JobEpoch, Preset, WarmStartWish, YesNo};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const INPUT: &str = "Input";
const OVERRIDES: &str = "Input that lacks something";
const MODEL: &str = "Model";
const TRAINING: &str = "Training";
const RESULT: &str = "Result";
const MACHINE: &str = "Machine";

/// Options of `train`. Names may be written with dashes or underscores.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainSaid {
    /// Job folder
    #[arg(long = "o", short = 'o', value_name = "DIR/", help_heading = INPUT)]
    pub(crate) o: Option<PathBuf>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", help_heading = INPUT, hide = true)]
    pub(crate) pipeline_control: Option<PathBuf>,
    /// Particles with poses and CTF: a STAR file, or a stack (.mrcs) or list of stacks (.txt) with --poses and --ctf
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub(crate) in_parts: Option<PathBuf>,
    /// The same, as the original takes it
    #[arg(value_name = "PARTICLES", conflicts_with = "in_parts", hide = true)]
    pub(crate) particles: Option<PathBuf>,
    /// Solvent mask (made from the map where none is given)
    #[arg(long, short = 'r', value_name = "FILE", help_heading = INPUT)]
    pub(crate) in_mask: Option<PathBuf>,
    /// Map of the consensus; the result takes its box and pixel size
    #[arg(long = "in-3dref", value_name = "FILE", help_heading = INPUT)]
    pub(crate) in_3dref: Option<PathBuf>,
    /// Not used
    #[arg(long, value_name = "FILE", help_heading = INPUT, hide = true)]
    pub(crate) in_mics: Option<PathBuf>,
    /// Not used
    #[arg(long, value_name = "FILE", help_heading = INPUT, hide = true)]
    pub(crate) in_movies: Option<PathBuf>,
    /// Not used
    #[arg(long, value_name = "FILE", help_heading = INPUT, hide = true)]
    pub(crate) in_coords: Option<PathBuf>,
    /// Folder in which image stacks are looked for
    #[arg(long, value_name = "DIR", help_heading = INPUT)]
    pub(crate) datadir: Option<PathBuf>,
    /// Sign of the images [default: auto]
    #[arg(long, value_name = "WORD", value_enum, help_heading = INPUT)]
    pub(crate) invert_data: Option<InvertData>,

    /// Poses as the original keeps them (.pkl)
    #[arg(long, value_name = "FILE", help_heading = OVERRIDES)]
    pub(crate) poses: Option<PathBuf>,
    /// CTF parameters as the original keeps them (.pkl)
    #[arg(long, value_name = "FILE", help_heading = OVERRIDES)]
    pub(crate) ctf: Option<PathBuf>,
    /// Pixel size, Å
    #[arg(long, value_name = "Å", help_heading = OVERRIDES)]
    pub(crate) apix: Option<f64>,
    /// Voltage, kV
    #[arg(long, alias = "kv", value_name = "kV", help_heading = OVERRIDES)]
    pub(crate) voltage: Option<f64>,
    /// Spherical aberration, mm
    #[arg(long, value_name = "mm", help_heading = OVERRIDES)]
    pub(crate) cs: Option<f64>,
    /// Amplitude contrast, 0 to 1
    #[arg(long, short = 'w', value_name = "FRACTION", help_heading = OVERRIDES)]
    pub(crate) amplitude_contrast: Option<f64>,
    /// Phase shift of a phase plate, degrees
    #[arg(long, alias = "ps", value_name = "DEGREES", help_heading = OVERRIDES)]
    pub(crate) phase_shift: Option<f64>,

    /// Size of networks and the defaults that go with it [default: from particles and device]
    #[arg(long, value_name = "WORD", value_enum, help_heading = MODEL)]
    pub(crate) preset: Option<Preset>,
    /// Latent dimensions [default: 8]
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) zdim: Option<usize>,
    /// Fraction of the box that images are down-sampled to [default: from the preset]
    #[arg(long, value_name = "FRACTION", help_heading = MODEL)]
    pub(crate) downfrac: Option<f64>,
    /// Side of the decoded volume, voxels [default: from the preset]
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) templateres: Option<usize>,
    /// What the decoder adds to [default: auto]
    #[arg(long, value_name = "WORD", value_enum, help_heading = MODEL)]
    pub(crate) base: Option<Base>,

    /// Passes over all training images [default: from the preset]
    #[arg(long, short = 'n', alias = "num-epochs", value_name = "N", help_heading = TRAINING)]
    pub(crate) epochs: Option<usize>,
    /// Images an optimiser step [default: 16]
    #[arg(long, short = 'b', alias = "batch-size", value_name = "N", help_heading = TRAINING)]
    pub(crate) batch: Option<usize>,
    /// Learning rate at the start [default: from the preset]
    #[arg(long, value_name = "RATE", help_heading = TRAINING)]
    pub(crate) lr: Option<f64>,
    /// Weight of the Kullback-Leibler term in nats, or `cos` for the cyclic schedule [default: 0.1]
    #[arg(long, value_name = "NUMBER|cos", help_heading = TRAINING)]
    pub(crate) beta: Option<BetaWish>,
    /// Let the estimated signal-to-noise ratio steer the weight, as the original, with this strength [default: off]
    #[arg(long, value_name = "NUMBER", help_heading = TRAINING)]
    pub(crate) beta_control: Option<f64>,
    /// Weight of the structural-disentanglement prior [default: from the preset]
    #[arg(long, value_name = "NUMBER", help_heading = TRAINING)]
    pub(crate) lamb: Option<f64>,
    /// Dampening of the rendered images, exp(-B/4 s² 4π²) [default: from the preset]
    #[arg(long, value_name = "B", help_heading = TRAINING)]
    pub(crate) bfactor: Option<f64>,
    /// Epochs of the warm start of the latents, or yes or no [default: from the preset]
    #[arg(long, value_name = "WORD|N", help_heading = TRAINING)]
    pub(crate) warm_start: Option<WarmStartWish>,
    /// Fraction of the particles kept for validation [default: 0.1; tiny 0]
    #[arg(long, value_name = "FRACTION", help_heading = TRAINING)]
    pub(crate) valfrac: Option<f64>,
    /// Start from another job's weights and latents
    #[arg(long, value_name = "JOB[:EPOCH]", help_heading = TRAINING)]
    pub(crate) load: Option<JobEpoch>,
    /// Seed of all random numbers [default: 0]
    #[arg(long, value_name = "N", help_heading = TRAINING)]
    pub(crate) seed: Option<u64>,

    /// Clusters, each with a STAR file and a map [default: from the number of particles]
    #[arg(long, value_name = "K", help_heading = RESULT)]
    pub(crate) clusters: Option<usize>,
    /// Panels of images and reconstructions in the report [default: yes]
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = RESULT)]
    pub(crate) plot: Option<YesNo>,
    /// Name of the volume that is rewritten while training, without .mrc [default: preview]
    #[arg(long, value_name = "NAME", help_heading = RESULT)]
    pub(crate) tmp_prefix: Option<String>,
    /// Images between two measurements of the loss [default: 2000]
    #[arg(long, value_name = "N", help_heading = RESULT)]
    pub(crate) log_interval: Option<usize>,

    /// Threads
    #[arg(long = "j", short = 'j', alias = "threads", value_name = "N", help_heading = MACHINE)]
    pub(crate) threads: Option<usize>,
    /// GPU, as 0 or cuda:0 (the first of 0,1 or 0:1) [default: the first, else the CPU]
    #[arg(long, value_name = "ID", help_heading = MACHINE)]
    pub(crate) gpu: Option<String>,
    /// Number of GPUs; 0 runs on the CPU, and one is used of several
    #[arg(long, value_name = "N", help_heading = MACHINE)]
    pub(crate) num_gpus: Option<usize>,
    /// Device: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", help_heading = MACHINE)]
    pub(crate) device: Option<String>,
    /// Fast local folder for the prepared images [default: the job folder]
    #[arg(long, value_name = "DIR", help_heading = MACHINE)]
    pub(crate) scratch: Option<PathBuf>,
    /// Minutes between checkpoints inside an epoch [default: 10]
    #[arg(long, value_name = "MINUTES", help_heading = MACHINE)]
    pub(crate) checkpoint_minutes: Option<f64>,
    /// Images decoded at a time; no result depends on it [default: from the device's memory]
    #[arg(long, value_name = "N", help_heading = MACHINE)]
    pub(crate) micro_batch: Option<usize>,
    /// Keep every N-th epoch's checkpoint besides the last three and the best [default: 0, none]
    #[arg(long, value_name = "N", help_heading = MACHINE)]
    pub(crate) keep_every: Option<usize>,
}

impl TrainSaid {
    /// The job folder, by either name.
    pub(crate) fn folder(&self) -> Option<&PathBuf> {
        self.o.as_ref().or(self.pipeline_control.as_ref())
    }

    /// The particles, by either name.
    pub(crate) fn input(&self) -> Option<&PathBuf> {
        self.in_parts.as_ref().or(self.particles.as_ref())
    }
}
