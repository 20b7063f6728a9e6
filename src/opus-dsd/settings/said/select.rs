//! Every option of a selection of particles.

use crate::settings::form::{Constant, Kind, When, field};
use crate::settings::said::train::MOST_THREADS;
use crate::settings::values::{Epoch, YesNo};
use clap::{ArgGroup, Args};
use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a job of any kind calls all its particles.
const PARTICLES: &str = "particles.star";
/// Names that the chosen particles have themselves.
const RESERVED: [&str; 2] = [PARTICLES, "particles_passthrough.star"];
const INPUT: &str = "Input";
const WHICH: &str = "Which particles";
const FEWER: &str = "Fewer of them";
const RESULT: &str = "Result";

/// What is said of the particles that are wanted. What is said of them must hold together; `--where` joins conditions in any other way.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(group = ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct SelectSaid {
    /// Folder to write to
    #[arg(long = "o", short = 'o', value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").required())]
    pub(crate) o: PathBuf,
    /// Folder of a trained or analysed job
    #[arg(long, value_name = "DIR", conflicts_with = "in_parts", help_heading = INPUT, add = field(Kind::Job, "Trained job"))]
    pub(crate) job: Option<PathBuf>,
    /// That job's particles.star, in place of --job (RELION then knows where this job comes from)
    #[arg(long, value_name = "FILE", help_heading = INPUT, add = field(Kind::Particles, "Particles of the trained job").scipion("inputParticles"))]
    pub(crate) in_parts: Option<PathBuf>,
    /// Epoch of the latents: a number, latest or best; clusters are those of the job's own epoch alone
    #[arg(long, value_name = "N|WORD", help_heading = INPUT, add = field(Kind::Text, "Epoch").decided("the job's own").advanced())]
    pub(crate) epoch: Option<Epoch>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", help_heading = INPUT, add = field(Kind::Outdir, "Job folder").hidden())]
    pub(crate) pipeline_control: Option<PathBuf>,

    /// Clusters: 1,3-5
    #[arg(long, value_name = "LIST", group = "which", help_heading = WHICH, add = field(Kind::Text, "Clusters"))]
    pub(crate) clusters: Option<String>,
    /// Region drawn in the report: the file that it exports
    #[arg(long, value_name = "FILE", group = "which", help_heading = WHICH, add = field(Kind::File, "Region drawn in the report"))]
    pub(crate) region: Option<PathBuf>,
    /// Particles, from 1 as their rows in particles.star: 1,25,50, or a file with one a line
    #[arg(long, value_name = "LIST|FILE", group = "which", help_heading = WHICH, add = field(Kind::Text, "Numbers of particles"))]
    pub(crate) particles: Option<String>,
    /// Conditions with and, or, not and parentheses: cluster 1,3-5; z2 -1..0.5; pc1 0..; near 0.1,-2,... within 1.5; density 0.1..;
    /// region FILE; particles LIST|FILE
    #[arg(long = "where", value_name = "CONDITIONS", group = "which", help_heading = WHICH, add = field(Kind::Text, "Conditions"))]
    pub(crate) condition: Option<String>,

    /// Thin them out so that all views are seen alike
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", group = "which", help_heading = FEWER,
        add = field(Kind::Bool, "Balance the views").default(Constant::Switch(false)))]
    pub(crate) balance: Option<YesNo>,
    /// Draw this many of them at random
    #[arg(long, value_name = "N", group = "which", help_heading = FEWER, add = field(Kind::Int, "Random particles").from(1))]
    pub(crate) random: Option<usize>,
    /// Seed of what is drawn
    #[arg(long, value_name = "N", help_heading = FEWER,
        add = field(Kind::Int, "Seed").from(0).default(Constant::Whole(0)).when(When::Given("random")).advanced())]
    pub(crate) seed: Option<u64>,

    /// Write all other particles too, to this file in the job folder
    #[arg(long, value_name = "NAME.star", help_heading = RESULT, add = field(Kind::Text, "File of all others"))]
    pub(crate) rest: Option<String>,
    /// Write the chosen rows of this cryoSPARC table too; its particles are recognised by uid, or by stack and image
    #[arg(long, value_name = "FILE.cs", help_heading = RESULT, add = field(Kind::File, "cryoSPARC particles (.cs)").advanced())]
    pub(crate) cs: Option<PathBuf>,
    /// Threads
    #[arg(long = "j", short = 'j', alias = "threads", value_name = "N", help_heading = RESULT,
        add = field(Kind::Threads, "Threads").from(1).to(MOST_THREADS).decided("all cores"))]
    pub(crate) threads: Option<usize>,
}

impl SelectSaid {
    /// The job's folder that is chosen from.
    ///
    /// # Errors
    /// None is named.
    pub(crate) fn trained_job(&self) -> Result<PathBuf> {
        super::trained_job(self.job.as_ref(), self.in_parts.as_ref())
    }

    /// # Errors
    /// What can be told wrong before any file is read.
    pub(crate) fn check(&self) -> Result<()> {
        self.trained_job()?;
        if let Some(file) = self.in_parts.as_ref().filter(|f| f.file_name().is_none_or(|name| name != PARTICLES)) {
            return Err(Problem::input(format!("is not a job's `{PARTICLES}`; what is chosen from is the whole job"))
                .at(format!("`--in_parts` {}", file.display()))
                .hint(format!("give `{}`, and name a cluster with `--clusters`", file.with_file_name(PARTICLES).display())));
        }
        match self.rest.as_deref() {
            Some(name) if !name.ends_with(".star") || name.contains(['/', ' ']) || RESERVED.contains(&name) => {
                Err(Problem::input(format!("`{name}` cannot hold the other particles"))
                    .at("`--rest`")
                    .hint("give a name in the job folder such as `rest.star`, without blanks and slashes"))
            }
            _ => Ok(()),
        }
    }
}
