//! Every option of a check of input.

use crate::settings::form::{Constant, Kind, field};
use crate::settings::said::ImagesSaid;
use crate::settings::said::train::MOST_THREADS;
use crate::settings::values::InvertData;
use clap::Args;
use reconstruction::check::CheckOptions;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const INPUT: &str = "Input";
const CHECK: &str = "Check";
const MACHINE: &str = "Machine";

/// What is said of a check.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CheckSaid {
    /// Folder to write check.json to; without one nothing is written
    #[arg(long = "o", short = 'o', value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder"))]
    pub(crate) o: Option<PathBuf>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").hidden())]
    pub(crate) pipeline_control: Option<PathBuf>,
    /// Particles with poses and CTF: a STAR file, or a stack (.mrcs) or list of stacks (.txt) with --poses and --ctf
    #[arg(long, value_name = "FILE", help_heading = INPUT, add = field(Kind::Particles, "Particles").required())]
    pub(crate) in_parts: PathBuf,
    /// Map of the consensus
    #[arg(long = "in-3dref", value_name = "FILE", help_heading = INPUT, add = field(Kind::Volume, "Consensus map"))]
    pub(crate) in_3dref: Option<PathBuf>,
    /// Solvent mask
    #[arg(long, short = 'r', value_name = "FILE", help_heading = INPUT, add = field(Kind::Mask, "Solvent mask"))]
    pub(crate) in_mask: Option<PathBuf>,
    /// Sign of the images
    #[arg(long, value_name = "WORD", value_enum, help_heading = INPUT,
        add = field(Kind::Choice, "Sign of the images").default(Constant::Word("auto")).advanced())]
    pub(crate) invert_data: Option<InvertData>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) images: ImagesSaid,

    /// Particles to look at, at most: a random part of them
    #[arg(long, short = 'n', value_name = "N", help_heading = CHECK,
        add = field(Kind::Int, "Particles to look at").from(1).default(Constant::Whole(PARTICLES)))]
    pub(crate) particles: Option<usize>,
    /// Seed of what is drawn
    #[arg(long, value_name = "N", help_heading = CHECK, add = field(Kind::Int, "Seed").from(0).default(Constant::Whole(0)).advanced())]
    pub(crate) seed: Option<u64>,

    /// Threads
    #[arg(long = "j", short = 'j', alias = "threads", value_name = "N", help_heading = MACHINE,
        add = field(Kind::Threads, "Threads").from(1).to(MOST_THREADS).decided("all cores"))]
    pub(crate) threads: Option<usize>,
}

/// Particles that are looked at where nothing is said.
const PARTICLES: usize = CheckOptions::PARTICLES;

impl CheckSaid {
    /// The folder to write to, by either name.
    pub(crate) fn folder(&self) -> Option<&PathBuf> {
        self.o.as_ref().or(self.pipeline_control.as_ref())
    }

    /// How much is looked at.
    pub(crate) fn options(&self) -> CheckOptions {
        CheckOptions { particles: self.particles.unwrap_or(PARTICLES), seed: self.seed.unwrap_or(0) }
    }
}
