//! Every option of a training job, all optional.

use crate::machine::launch::Launch;
use crate::settings::defaults::{BATCH, BETA, CHECKPOINT_MINUTES, PREVIEW, SEED, ZDIM};
use crate::settings::form::{Constant, Gate, Kind, field};
use crate::settings::said::ImagesSaid;
use crate::settings::said::grouping::Grouping;
use crate::settings::values::{Base, BetaWish, InvertData, JobEpoch, PrecisionWish, Preset, WarmStartWish, YesNo};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Most latent dimensions: beyond it nothing is learned but noise, and the analysis' neighbours lose their meaning.
const MOST_ZDIM: u32 = 128;
/// Three digits name a cluster's files.
pub(crate) const MOST_CLUSTERS: u32 = 999;
/// The decoder doubles its volume four times from a sixteenth of it.
pub(crate) const LEAST_TEMPLATE: u32 = 16;
/// The largest decoded volume that any GPU holds with its gradients.
const MOST_TEMPLATE: u32 = 512;
/// Beyond these a number is a slip of the finger.
const MOST_EPOCHS: u32 = 100_000;
const MOST_BATCH: u32 = 65_536;
pub(crate) const MOST_THREADS: u32 = 4096;
const MOST_MEMORY_GB: u32 = 100_000;
/// A batch is shared among all processes; more than this are a slip.
const MOST_RANKS: u32 = 256;

/// Switches that users of Scipion's older plugin know.
const USE_MASK: Gate = Gate { name: "useMask", label: "Use a mask?", default: false, open: true };
const AB_INITIO: Gate = Gate { name: "abInitio", label: "Train from scratch?", default: true, open: false };

const INPUT: &str = "Input";
const MODEL: &str = "Model";
const TRAINING: &str = "Training";
const RESULT: &str = "Result";
const MACHINE: &str = "Machine";

/// Options of `train`. Names may be written with dashes or underscores.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainSaid {
    /// Job folder
    #[arg(long = "o", short = 'o', value_name = "DIR/", help_heading = INPUT,
        add = field(Kind::Outdir, "Job folder").required())]
    pub(crate) o: Option<PathBuf>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", help_heading = INPUT,
        add = field(Kind::Outdir, "Job folder").hidden())]
    pub(crate) pipeline_control: Option<PathBuf>,
    /// Particles with poses and CTF: a STAR file, or a stack (.mrcs) or list of stacks (.txt) with --poses and --ctf
    #[arg(long, value_name = "FILE", help_heading = INPUT,
        add = field(Kind::Particles, "Particles").required().fixed().scipion("inputParticles"))]
    pub(crate) in_parts: Option<PathBuf>,
    /// The same, as the original takes it
    #[arg(value_name = "PARTICLES", conflicts_with = "in_parts", hide = true)]
    pub(crate) particles: Option<PathBuf>,
    /// Solvent mask (made from the map where none is given)
    #[arg(long, short = 'r', value_name = "FILE", help_heading = INPUT,
        add = field(Kind::Mask, "Solvent mask").fixed().scipion("inputMask").gate(USE_MASK))]
    pub(crate) in_mask: Option<PathBuf>,
    /// Map of the consensus; the result takes its box and pixel size
    #[arg(long = "in-3dref", value_name = "FILE", help_heading = INPUT,
        add = field(Kind::Volume, "Consensus map").fixed().scipion("inputVolume"))]
    pub(crate) in_3dref: Option<PathBuf>,
    /// Sign of the images
    #[arg(long, value_name = "WORD", value_enum, help_heading = INPUT,
        add = field(Kind::Choice, "Sign of the images").default(Constant::Word("auto")).advanced())]
    pub(crate) invert_data: Option<InvertData>,

    /// Before anything else, check that poses, contrast, hand and pixel size fit, and stop where one is surely wrong
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = INPUT,
        add = field(Kind::Bool, "Check the input first").default(Constant::Switch(true)).advanced())]
    pub(crate) check: Option<YesNo>,

    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) images: ImagesSaid,

    /// Size of networks and the defaults that go with it
    #[arg(long, value_name = "WORD", value_enum, help_heading = MODEL,
        add = field(Kind::Choice, "Preset").fixed().decided("from particles and device"))]
    pub(crate) preset: Option<Preset>,
    /// Latent dimensions
    #[arg(long, value_name = "N", help_heading = MODEL,
        add = field(Kind::Int, "Latent dimensions").fixed().from(1).to(MOST_ZDIM).default(Constant::Whole(ZDIM)).scipion("zDim").scipion_default(Constant::Whole(12)))]
    pub(crate) zdim: Option<usize>,
    /// Fraction of the box that images are down-sampled to
    #[arg(long, value_name = "FRACTION", help_heading = MODEL,
        add = field(Kind::Float, "Down-sampling").fixed().above(0.0).to(1).decided("from the preset").advanced().scipion("downFrac"))]
    pub(crate) downfrac: Option<f64>,
    /// Side of the decoded volume, voxels
    #[arg(long, value_name = "N", help_heading = MODEL,
        add = field(Kind::Int, "Decoded volume").fixed().unit("voxels").from(LEAST_TEMPLATE).to(MOST_TEMPLATE).decided("from the preset").advanced().scipion("templateres"))]
    pub(crate) templateres: Option<usize>,
    /// What the decoder adds to
    #[arg(long, value_name = "WORD", value_enum, help_heading = MODEL,
        add = field(Kind::Choice, "Base volume").fixed().default(Constant::Word("auto")).advanced())]
    pub(crate) base: Option<Base>,

    /// Passes over all training images
    #[arg(long, short = 'n', alias = "num-epochs", value_name = "N", help_heading = TRAINING,
        add = field(Kind::Int, "Epochs").from(1).to(MOST_EPOCHS).decided("from the preset").scipion("numEpochs").scipion_default(Constant::Whole(20)))]
    pub(crate) epochs: Option<usize>,
    /// Images an optimiser step; `auto` is the default, whatever the device: only --micro-batch follows the memory
    #[arg(long, short = 'b', alias = "batch-size", value_name = "N|auto", value_parser = batch, help_heading = TRAINING,
        add = field(Kind::Int, "Batch size").unit("images").from(1).to(MOST_BATCH).default(Constant::Whole(BATCH)).advanced().scipion("batchSize"))]
    pub(crate) batch: Option<usize>,
    /// Learning rate at the start
    #[arg(long, value_name = "RATE", help_heading = TRAINING,
        add = field(Kind::Float, "Learning rate").above(0.0).to(1).decided("from the preset").advanced().scipion("learningRate"))]
    pub(crate) lr: Option<f64>,
    /// Weight of the Kullback-Leibler term in nats, or `cos` for the cyclic schedule
    #[arg(long, value_name = "NUMBER|cos", help_heading = TRAINING,
        add = field(Kind::Text, "Weight of the KL term").from(0).to(1000).default(Constant::Number(BETA)).advanced())]
    pub(crate) beta: Option<BetaWish>,
    /// Let the estimated signal-to-noise ratio steer the weight, as the original, with this strength
    #[arg(long, value_name = "NUMBER", help_heading = TRAINING,
        add = field(Kind::Float, "Steering of the KL term").from(0).to(1000).decided("off").advanced().scipion("betaControl"))]
    pub(crate) beta_control: Option<f64>,
    /// Weight of the structural-disentanglement prior
    #[arg(long, value_name = "NUMBER", help_heading = TRAINING,
        add = field(Kind::Float, "Weight of the disentanglement prior").from(0).to(1000).decided("from the preset").advanced().scipion("lamb"))]
    pub(crate) lamb: Option<f64>,
    /// Dampening of the rendered images, exp(-B/4 s² 4π²)
    #[arg(long, value_name = "B", help_heading = TRAINING,
        add = field(Kind::Float, "B-factor of rendered images").unit("Å²").from(0).to(1000).decided("from the preset").advanced().scipion("bfactor"))]
    pub(crate) bfactor: Option<f64>,
    /// Epochs of the warm start of the latents, or yes or no
    #[arg(long, value_name = "WORD|N", help_heading = TRAINING,
        add = field(Kind::Text, "Warm start").fixed().from(0).to(1000).decided("from the preset").advanced())]
    pub(crate) warm_start: Option<WarmStartWish>,
    /// Fraction of the particles kept for validation
    #[arg(long, value_name = "FRACTION", help_heading = TRAINING,
        add = field(Kind::Float, "Fraction for validation").fixed().from(0).to(0.5).decided("0.1; tiny 0").advanced().scipion("valFrac"))]
    pub(crate) valfrac: Option<f64>,
    /// Start from another job's weights and latents
    #[arg(long, value_name = "JOB[:EPOCH]", help_heading = TRAINING,
        add = field(Kind::Job, "Start from another job").scipion("opusDSDTrainingProtocol").gate(AB_INITIO))]
    pub(crate) load: Option<JobEpoch>,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", help_heading = TRAINING,
        add = field(Kind::Int, "Seed").fixed().from(0).default(Constant::Whole(SEED as usize)).advanced())]
    pub(crate) seed: Option<u64>,

    #[command(flatten, next_help_heading = RESULT)]
    #[serde(flatten)]
    pub(crate) grouping: Grouping,
    /// Panels of images and reconstructions in the report
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = RESULT,
        add = field(Kind::Bool, "Panels of images").default(Constant::Switch(true)).advanced())]
    pub(crate) plot: Option<YesNo>,
    /// Name of the volume that is rewritten while training, without .mrc
    #[arg(long, value_name = "NAME", help_heading = RESULT,
        add = field(Kind::Text, "Name of the preview").default(Constant::Word(PREVIEW)).advanced())]
    pub(crate) tmp_prefix: Option<String>,
    /// Images between two measurements of the loss
    #[arg(long, value_name = "N", help_heading = RESULT,
        add = field(Kind::Int, "Loss interval").unit("images").from(1).decided("2000").advanced())]
    pub(crate) log_interval: Option<usize>,

    /// Threads
    #[arg(long = "j", short = 'j', alias = "threads", value_name = "N", help_heading = MACHINE,
        add = field(Kind::Threads, "Threads").from(1).to(MOST_THREADS).decided("all cores"))]
    pub(crate) threads: Option<usize>,
    /// GPU, as 0 or cuda:0; several, as 0,1, train together
    #[arg(long, value_name = "ID", help_heading = MACHINE,
        add = field(Kind::Gpu, "GPU").decided("the first, else the CPU"))]
    pub(crate) gpu: Option<String>,
    /// Number of GPUs that train together, from the first on; 0 runs on the CPU
    #[arg(long, value_name = "N", help_heading = MACHINE,
        add = field(Kind::Int, "Number of GPUs").from(0).advanced())]
    pub(crate) num_gpus: Option<usize>,
    /// Device: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", help_heading = MACHINE,
        add = field(Kind::Text, "Device").decided("the best there is").advanced())]
    pub(crate) device: Option<String>,
    /// Processes that train together on the CPU; 1 also takes no notice of srun, mpirun or torchrun
    #[arg(long, value_name = "N", help_heading = MACHINE,
        add = field(Kind::Int, "Processes on the CPU").from(1).to(MOST_RANKS).decided("1").advanced())]
    pub(crate) ranks: Option<usize>,
    /// Fast local folder for the prepared images
    #[arg(long, value_name = "DIR", help_heading = MACHINE,
        add = field(Kind::Folder, "Scratch folder").decided("the job folder"))]
    pub(crate) scratch: Option<PathBuf>,
    /// Minutes between checkpoints inside an epoch
    #[arg(long, value_name = "MINUTES", help_heading = MACHINE,
        add = field(Kind::Float, "Time between checkpoints").unit("minutes").above(0.0).to(100_000).default(Constant::Number(CHECKPOINT_MINUTES)).advanced())]
    pub(crate) checkpoint_minutes: Option<f64>,
    /// Memory of the device that a training step may take, gigabytes; the micro-batch follows it, no result depends on it
    #[arg(long, value_name = "GB", help_heading = MACHINE,
        add = field(Kind::Float, "Memory for training").unit("GB").above(0.0).to(MOST_MEMORY_GB).decided("most of what the device has").advanced())]
    pub(crate) gpu_memory: Option<f64>,
    /// Images decoded at a time; no result depends on it
    #[arg(long, value_name = "N", help_heading = MACHINE,
        add = field(Kind::Int, "Micro-batch").unit("images").from(1).to(MOST_BATCH).decided("from the device's memory").advanced())]
    pub(crate) micro_batch: Option<usize>,
    /// Numbers of the networks' convolutions: f32 (on a GPU multiplied as TF32, as in PyTorch; `NVIDIA_TF32_OVERRIDE=0` forbids it), or bf16 (faster on GPUs since Ampere; sums and everything else stay f32)
    #[arg(long, value_name = "WORD", value_enum, help_heading = MACHINE,
        add = field(Kind::Choice, "Precision").default(Constant::Word("f32")).advanced())]
    pub(crate) precision: Option<PrecisionWish>,
    /// Keep every N-th epoch's checkpoint besides the last three and the best
    #[arg(long, value_name = "N", help_heading = MACHINE,
        add = field(Kind::Int, "Keep every N-th checkpoint").from(0).default(Constant::Whole(0)).advanced())]
    pub(crate) keep_every: Option<usize>,
}

/// A number, or `auto`.
fn batch(text: &str) -> Result<usize, String> {
    if text == "auto" { Ok(BATCH) } else { text.parse().map_err(|_| "neither `auto` nor a whole number".into()) }
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

    /// This process among those that a cluster's launcher started for the job; `None`: it stands for itself, as where `--ranks` is said.
    ///
    /// # Errors
    /// The launcher's variables contradict each other.
    pub(crate) fn launch(&self) -> contract::Result<Option<Launch>> {
        if self.ranks.is_some() { Ok(None) } else { Launch::of_this_process() }
    }
}
