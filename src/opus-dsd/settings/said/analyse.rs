//! Every option of an analysis of a trained job.

use crate::settings::defaults::POINTS;
use crate::settings::form::{Constant, Kind, When, field};
use crate::settings::said::train::{MOST_CLUSTERS, MOST_THREADS};
use crate::settings::values::{Epoch, YesNo};
use clap::{ArgGroup, Args};
use contract::Result;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const INPUT: &str = "Input";
const STATES: &str = "States";
const RESULT: &str = "Result";
const MACHINE: &str = "Machine";

/// What is said of an analysis.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(group = ArgGroup::new("trained"))]
pub(crate) struct AnalyseSaid {
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
    /// Not used
    #[arg(long, value_name = "FILE", help_heading = INPUT, add = field(Kind::Mask, "Mask").hidden())]
    pub(crate) in_mask: Option<PathBuf>,
    /// Not used
    #[arg(long = "in-3dref", value_name = "FILE", help_heading = INPUT, add = field(Kind::Volume, "Map").hidden())]
    pub(crate) in_3dref: Option<PathBuf>,

    /// Clusters, each with a STAR file and a map
    #[arg(long, value_name = "K", help_heading = STATES,
        add = field(Kind::Int, "Clusters").from(1).to(MOST_CLUSTERS).decided("as the trained job").scipion("ksamples"))]
    pub(crate) clusters: Option<usize>,
    /// Volumes along the first principal components of the latents as well: how many components, each a folder pc1, pc2 …
    #[arg(long, value_name = "N", help_heading = STATES, add = field(Kind::Int, "Principal components").from(0).to(64).default(Constant::Whole(0)).scipion("numPCs"))]
    pub(crate) pcs: Option<usize>,
    /// Volumes along each component, from its 5th to its 95th percentile
    #[arg(long, value_name = "N", help_heading = STATES,
        add = field(Kind::Int, "Volumes a component").from(2).to(999).default(Constant::Whole(POINTS)).when(When::Given("pcs")).scipion("psamples"))]
    pub(crate) points: Option<usize>,
    /// Two independent half maps of every state from the particles themselves, at the images' pixel size, and the resolution to which they agree
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = STATES,
        add = field(Kind::Bool, "Half maps and resolution").default(Constant::Switch(false)))]
    pub(crate) halves: Option<YesNo>,
    /// Seed of the clusters
    #[arg(long, value_name = "N", help_heading = STATES, add = field(Kind::Int, "Seed").from(0).decided("as the trained job").advanced())]
    pub(crate) seed: Option<u64>,

    /// Voxel size of the maps, Å
    #[arg(long, value_name = "Å", help_heading = RESULT,
        add = field(Kind::Float, "Voxel size").unit("Å").above(0.0).to(1000).decided("as the job's maps, or so that --box spans the same").advanced())]
    pub(crate) apix: Option<f64>,
    /// Box of the maps, voxels
    #[arg(long = "box", value_name = "N", help_heading = RESULT,
        add = field(Kind::Int, "Box").unit("voxels").from(2).decided("as the job's maps, or so that --apix spans the same").advanced())]
    pub(crate) box_px: Option<usize>,
    /// Panels of images and reconstructions in the report
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = RESULT,
        add = field(Kind::Bool, "Panels of images").default(Constant::Switch(true)).advanced())]
    pub(crate) plot: Option<YesNo>,

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

impl AnalyseSaid {
    /// The trained job's folder.
    ///
    /// # Errors
    /// None is named.
    pub(crate) fn trained_job(&self) -> Result<PathBuf> {
        super::trained_job(self.job.as_ref(), self.in_parts.as_ref())
    }
}
