//! Every option of the import of a run of the original.

use crate::settings::form::{Kind, field};
use crate::settings::said::images::ImagesSaid;
use crate::settings::said::train::MOST_THREADS;
use clap::Args;
use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const INPUT: &str = "Input";
const MACHINE: &str = "Machine";

/// What is said of a run of the original.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImportSaid {
    /// Folder to write to
    #[arg(long = "o", short = 'o', value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").required())]
    pub(crate) o: PathBuf,
    /// Folder of the original's run, with its weights.N.pkl, z.N.pkl and config.pkl
    #[arg(value_name = "DIR", conflicts_with = "original")]
    pub(crate) dir: Option<PathBuf>,
    /// The same as an option, for hosts
    #[arg(long, value_name = "DIR", help_heading = INPUT, add = field(Kind::Folder, "Folder of the original's run").required())]
    pub(crate) original: Option<PathBuf>,
    /// Only this epoch, by the original's number, which counts from 0
    #[arg(long, value_name = "N", help_heading = INPUT, add = field(Kind::Int, "Epoch").from(0).decided("every one that is there"))]
    pub(crate) epoch: Option<usize>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").hidden())]
    pub(crate) pipeline_control: Option<PathBuf>,

    /// The particles that it was trained on, as a STAR file with a row a latent (otherwise those that config.pkl names, or its archives)
    #[arg(long, value_name = "FILE", help_heading = INPUT, add = field(Kind::Particles, "Particles").scipion("inputParticles"))]
    pub(crate) in_parts: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) images: ImagesSaid,

    /// Threads
    #[arg(long = "j", short = 'j', alias = "threads", value_name = "N", help_heading = MACHINE,
        add = field(Kind::Threads, "Threads").from(1).to(MOST_THREADS).decided("all cores"))]
    pub(crate) threads: Option<usize>,
}

impl ImportSaid {
    /// The folder of the original's run.
    ///
    /// # Errors
    /// None is named.
    pub(crate) fn folder(&self) -> Result<&Path> {
        self.original.as_deref().or(self.dir.as_deref()).ok_or_else(|| {
            Problem::input("missing")
                .at("`--original`")
                .hint("name the folder that holds `weights.N.pkl`, `z.N.pkl` and `config.pkl`: `opus-dsd import DIR --o External/job007/`")
        })
    }
}
