//! Every option of an encoding of particles.

use crate::job::results::RESULTS;
use crate::settings::form::{Constant, Kind, field};
use crate::settings::said::ImagesSaid;
use crate::settings::said::later::{Machine, Redo};
use crate::settings::values::{Epoch, YesNo};
use clap::{ArgGroup, Args};
use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const INPUT: &str = "Input";
const MACHINE: &str = "Machine";
/// A job's maps lie in its folder or in one below it.
const DEPTH_OF_MAPS: usize = 2;

/// What is said of particles that a trained model is to look at.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(group = ArgGroup::new("trained"))]
pub(crate) struct EncodeSaid {
    /// Folder to write to
    #[arg(long = "o", short = 'o', value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").required())]
    pub(crate) o: PathBuf,
    /// Particles with poses and CTF in the frame of the trained job's map: those that it was trained on, or any others
    #[arg(long, value_name = "FILE", help_heading = INPUT, add = field(Kind::Particles, "Particles").required().scipion("inputParticles"))]
    pub(crate) in_parts: PathBuf,
    /// Folder of the trained job, or of an analysis of it, whose clusters are taken then
    #[arg(long, value_name = "DIR", group = "trained", help_heading = INPUT, add = field(Kind::Job, "Trained job"))]
    pub(crate) job: Option<PathBuf>,
    /// A map of that job, in place of --job (RELION then knows where this job comes from)
    #[arg(long = "in-3dref", value_name = "FILE", group = "trained", help_heading = INPUT, add = field(Kind::Volume, "Map of the trained job"))]
    pub(crate) in_3dref: Option<PathBuf>,
    /// Epoch of the model: a number, latest or best
    #[arg(long, value_name = "N|WORD", help_heading = INPUT, add = field(Kind::Text, "Epoch").decided("that of the job's clusters"))]
    pub(crate) epoch: Option<Epoch>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").hidden())]
    pub(crate) pipeline_control: Option<PathBuf>,
    /// Before anything else, hold the particles against the trained job's map: poses, contrast, hand and pixel size
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = INPUT,
        add = field(Kind::Bool, "Check the input first").default(Constant::Switch(true)).advanced())]
    pub(crate) check: Option<YesNo>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) images: ImagesSaid,
    #[command(flatten, next_help_heading = INPUT)]
    #[serde(flatten)]
    pub(crate) redo: Redo,

    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) machine: Machine,
    /// Fast local folder for the prepared images
    #[arg(long, value_name = "DIR", help_heading = MACHINE, add = field(Kind::Folder, "Scratch folder").decided("the job folder"))]
    pub(crate) scratch: Option<PathBuf>,
}

impl EncodeSaid {
    /// The folder of the job that is named, trained or not.
    ///
    /// # Errors
    /// None is named.
    pub(crate) fn trained_job(&self) -> Result<PathBuf> {
        let holds_results = |folder: &&Path| folder.join(RESULTS).exists();
        match (&self.job, &self.in_3dref) {
            (Some(job), _) => Ok(job.clone()),
            (None, Some(map)) => {
                let above = map.ancestors().skip(1).take(DEPTH_OF_MAPS).find(holds_results);
                above.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_path_buf()).ok_or_else(|| {
                    Problem::input("lies in no trained job")
                        .at(format!("`--in_3dref` {}", map.display()))
                        .hint("give a map that the trained job made, or name its folder: `--job External/job007`")
                })
            }
            (None, None) => Err(Problem::input("missing")
                .at("`--job`")
                .hint("name the trained job: `--job External/job007`, or a map of it as `--in_3dref External/job007/cluster001.mrc`")),
        }
    }
}
