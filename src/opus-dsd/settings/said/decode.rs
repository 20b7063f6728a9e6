//! Every option of a decoding job.

use crate::settings::defaults::POINTS;
use crate::settings::form::{Constant, Kind, When, field};
use crate::settings::said::train::MOST_THREADS;
use crate::settings::values::{Epoch, YesNo};
use clap::{ArgGroup, Args};
use contract::Result;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const INPUT: &str = "Input";
const WHICH: &str = "Which volumes";
const MAPS: &str = "Maps";
const MACHINE: &str = "Machine";

/// What is said of the volumes that are wanted.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(group = ArgGroup::new("what").required(true))]
#[command(group = ArgGroup::new("trained"))]
pub(crate) struct DecodeSaid {
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
    #[arg(long, value_name = "N|WORD", help_heading = INPUT, add = field(Kind::Text, "Epoch").default(Constant::Word("latest")))]
    pub(crate) epoch: Option<Epoch>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").hidden())]
    pub(crate) pipeline_control: Option<PathBuf>,

    /// Latents to decode, one a row: a NumPy file (.npy) or text with blanks or commas
    #[arg(long, value_name = "FILE", group = "what", help_heading = WHICH, add = field(Kind::File, "File of latents"))]
    pub(crate) zfile: Option<PathBuf>,
    /// Points along this principal component of all latents, from 1, between its 5th and 95th percentile
    #[arg(long, value_name = "K", group = "what", help_heading = WHICH, add = field(Kind::Int, "Principal component").from(1))]
    pub(crate) pc: Option<usize>,
    /// Number of points along the component
    #[arg(long, value_name = "N", help_heading = WHICH,
        add = field(Kind::Int, "Points along the component").from(1).default(Constant::Whole(POINTS)).when(When::Given("pc")))]
    pub(crate) points: Option<usize>,
    /// Particles whose latents are decoded, from 0: 0,25,50, or a file with one a line
    #[arg(long, value_name = "LIST|FILE", group = "what", help_heading = WHICH, add = field(Kind::Text, "Numbers of particles"))]
    pub(crate) particles: Option<String>,

    /// Voxel size of the maps, Å
    #[arg(long, value_name = "Å", help_heading = MAPS,
        add = field(Kind::Float, "Voxel size").unit("Å").above(0.0).to(1000).decided("as the job's maps, or so that --box spans the same").advanced())]
    pub(crate) apix: Option<f64>,
    /// Box of the maps, voxels
    #[arg(long = "box", value_name = "N", help_heading = MAPS,
        add = field(Kind::Int, "Box").unit("voxels").from(2).decided("as the job's maps, or so that --apix spans the same").advanced())]
    pub(crate) box_px: Option<usize>,
    /// Mirror the maps along z, which turns their hand
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = MAPS,
        add = field(Kind::Bool, "Mirror").default(Constant::Switch(false)).advanced())]
    pub(crate) flip: Option<YesNo>,
    /// Turn the maps' sign
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = MAPS,
        add = field(Kind::Bool, "Turn the sign").default(Constant::Switch(false)).advanced())]
    pub(crate) invert: Option<YesNo>,

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

impl DecodeSaid {
    /// The trained job's folder.
    ///
    /// # Errors
    /// None is named.
    pub(crate) fn trained_job(&self) -> Result<PathBuf> {
        super::trained_job(self.job.as_ref(), self.in_parts.as_ref())
    }
}
