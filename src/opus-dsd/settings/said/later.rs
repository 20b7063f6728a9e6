//! Options that all verbs share that work on a trained job with its model.

use crate::settings::form::{Constant, Kind, field};
use crate::settings::said::train::MOST_THREADS;
use crate::settings::values::{Epoch, YesNo};
use clap::{ArgGroup, Args};
use contract::Result;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const INPUT: &str = "Input";
const MACHINE: &str = "Machine";

/// The trained job, and the folder to write to.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(group = ArgGroup::new("trained"))]
pub(crate) struct Trained {
    /// Folder to write to
    #[arg(long = "o", short = 'o', value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").required())]
    pub(crate) o: PathBuf,
    /// Folder of the trained job
    #[arg(long, value_name = "DIR", group = "trained", help_heading = INPUT, add = field(Kind::Job, "Trained job"))]
    pub(crate) job: Option<PathBuf>,
    /// The trained job's particles.star, in place of --job (RELION then knows where this job comes from)
    #[arg(long, value_name = "FILE", group = "trained", help_heading = INPUT, add = field(Kind::Particles, "Particles of the trained job").scipion("inputParticles"))]
    pub(crate) in_parts: Option<PathBuf>,
    /// Epoch of the model: a number, latest or best
    #[arg(long, value_name = "N|WORD", help_heading = INPUT, add = field(Kind::Text, "Epoch").decided("the latest, or that of an analysis that is named"))]
    pub(crate) epoch: Option<Epoch>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").hidden())]
    pub(crate) pipeline_control: Option<PathBuf>,
}

impl Trained {
    /// The trained job's folder.
    ///
    /// # Errors
    /// None is named.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        super::trained_job(self.job.as_ref(), self.in_parts.as_ref())
    }
}

/// What maps look like; their heading is that of where they are used.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MapsSaid {
    /// Voxel size of the maps, Å
    #[arg(long, value_name = "Å",
        add = field(Kind::Float, "Voxel size").unit("Å").above(0.0).to(1000).decided("as the job's maps, or so that --box spans the same").advanced())]
    pub(crate) apix: Option<f64>,
    /// Box of the maps, voxels
    #[arg(long = "box", value_name = "N",
        add = field(Kind::Int, "Box").unit("voxels").from(2).decided("as the job's maps, or so that --apix spans the same").advanced())]
    pub(crate) box_px: Option<usize>,
    /// Low-pass of the maps, Å
    #[arg(long, value_name = "Å", add = field(Kind::Float, "Low-pass").unit("Å").above(0.0).to(1000).advanced())]
    pub(crate) lowpass: Option<f64>,
    /// Mirror the maps along z, which turns their hand
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes",
        add = field(Kind::Bool, "Mirror").default(Constant::Switch(false)).advanced())]
    pub(crate) flip: Option<YesNo>,
    /// Turn the maps' sign
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes",
        add = field(Kind::Bool, "Turn the sign").default(Constant::Switch(false)).advanced())]
    pub(crate) invert: Option<YesNo>,
}

/// What it runs on.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Threads
    #[arg(long = "j", short = 'j', alias = "threads", value_name = "N", help_heading = MACHINE,
        add = field(Kind::Threads, "Threads").from(1).to(MOST_THREADS).decided("all cores"))]
    pub(crate) threads: Option<usize>,
    /// GPU, as 0 or cuda:0 (the first of 0,1 or 0:1)
    #[arg(long, value_name = "ID", help_heading = MACHINE, add = field(Kind::Gpu, "GPU").decided("the first, else the CPU"))]
    pub(crate) gpu: Option<String>,
    /// Device: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", help_heading = MACHINE, add = field(Kind::Text, "Device").decided("the best there is").advanced())]
    pub(crate) device: Option<String>,
}

/// Whether what is there already counts; its heading is that of where it is used.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Redo {
    /// Make everything again, what is there already too
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes",
        add = field(Kind::Bool, "Make everything again").default(Constant::Switch(false)).advanced())]
    pub(crate) redo: Option<YesNo>,
}

impl Redo {
    /// Whether everything is made again.
    pub(crate) fn is_said(self) -> bool {
        self.redo.is_some_and(|yes| yes.0)
    }
}
