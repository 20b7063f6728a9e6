//! `install`: makes this program known to a RELION project; and checks Schemes.

use super::{arguments, job_command, manifest};
use crate::host::relion::install::{self, Wish};
use crate::host::relion::project::{self, Version};
use crate::host::relion::scheme;
use crate::job::console::Console;
use crate::job::order::Order;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use contract::{Problem, Result};
use std::path::{Path, PathBuf};

/// Folder that stands for a job's, where a command line is only looked at.
const ANY_FOLDER: &str = "External/job001/";

/// Hosts that have something to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Host {
    /// A RELION project
    Relion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VersionWord {
    #[value(name = "3.1")]
    Three,
    #[value(name = "4")]
    Four,
    #[value(name = "5")]
    Five,
}

/// What is said of an installation.
#[derive(Args, Clone, Debug)]
struct InstallSaid {
    /// Whose project it is
    #[arg(value_name = "HOST", value_enum)]
    host: Host,
    /// The project's folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// RELION's version, where the project does not tell [default: from the project, else from the PATH]
    #[arg(long, value_name = "VERSION", value_enum)]
    version: Option<VersionWord>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Install nothing: check the Scheme or Schedule in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["project", "version", "force"])]
    check: Option<PathBuf>,
}

pub(super) fn command() -> Command {
    InstallSaid::augment_args(Command::new("install"))
        .about("Puts job settings, queue templates and a Scheme into a RELION project, or checks a Scheme")
        .long_about(None)
        .after_help(
            "Nothing that is there is replaced without --force.\n\n\
             Examples:\n  opus-dsd install relion --project ~/data/ribosome\n  opus-dsd install relion --check Schemes/opus-dsd",
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8> {
    let said = InstallSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    match (said.host, &said.check) {
        (Host::Relion, Some(folder)) => check(folder),
        (Host::Relion, None) => relion(&said),
    }
}

fn relion(said: &InstallSaid) -> Result<u8> {
    let mut console = Console::detached();
    let found = project::read(&said.project)?;
    let version = match said.version {
        Some(VersionWord::Three) => Version::Three,
        Some(VersionWord::Four) => Version::Four,
        Some(VersionWord::Five) => Version::Five,
        None => found.version.or_else(project::version_on_path).ok_or_else(|| {
            Problem::input("does not tell which RELION it is of")
                .at(said.project.display().to_string())
                .hint("say it: `--version 3.1`, `--version 4` or `--version 5`")
        })?,
    };
    let path = std::env::current_exe().and_then(std::fs::canonicalize).map_err(|e| Problem::io(Path::new("the program itself"), &e))?;
    let executable = install::executable(&path)?;
    let done = install::install(&Wish {
        project: &said.project,
        version,
        executable: &executable,
        jobs: manifest::relion_jobs(version.word(), &executable),
        particles: found.refinement.as_deref(),
        force: said.force,
    })?;
    console.say(&format!("RELION {} project {}", version.word(), said.project.display()));
    for file in &done.written {
        console.say(&format!("written  {}", file.display()));
    }
    for file in &done.kept {
        console.say(&format!("kept     {} (there already; --force replaces it)", file.display()));
    }
    if let Some(command) = &done.left_to_do {
        console.say(&format!("to do    {command}   (relion_scheduler is not on the PATH here)"));
    }
    for line in next_steps(version, found.refinement.as_deref()) {
        console.say(&line);
    }
    Ok(0)
}

fn next_steps(version: Version, refinement: Option<&str>) -> Vec<String> {
    let particles = refinement.unwrap_or("the run_data.star of a refinement");
    let (run, set) = match version {
        Version::Three => (
            "relion_scheduler --schedule opus-dsd --run --pipeline_control Schedules/opus-dsd/",
            "relion_scheduler --schedule opus-dsd --set_var NAME --value VALUE --original_value VALUE",
        ),
        Version::Four | Version::Five => (
            "relion_schemer --scheme opus-dsd --run --pipeline_control Schemes/opus-dsd/",
            "relion_schemer --scheme opus-dsd --set_var NAME --value VALUE --original_value VALUE",
        ),
    };
    let window = match version {
        Version::Three => "in RELION's menu `Schedules`",
        Version::Four | Version::Five => "`relion_schemegui.py opus-dsd` is a window on it",
    };
    vec![
        "next, in RELION's window (start it anew in this folder, it reads its settings at start):".into(),
        "  1. choose `External` in the list of job types; executable and parameters are filled in".into(),
        format!("  2. in the tab `Input` choose {particles} as `Input particles`, and a mask if you have one"),
        "  3. press `Run!`; the report is `logfile.pdf` under `Display:`".into(),
        "  other jobs: `relion_pipeliner --addJobFromStar opus-dsd/analyse.job.star` adds one to `Scheduled jobs`; open it there, fill it in, `Run!`".into(),
        "  queue: choose opus-dsd/queue-slurm.sh or queue-sge.sh as `Standard submission script`, after a look at its GPUs and times".into(),
        format!("  without a window: {run}"),
        format!("    its variables: {set}; {window}"),
    ]
}

fn check(folder: &Path) -> Result<u8> {
    let mut console = Console::detached();
    let report = scheme::check(folder, &OurJobs)?;
    for note in &report.notes {
        console.warn(note);
    }
    let Some((last, others)) = report.problems.split_last() else {
        console.say(&format!("{}: nothing wrong; {}", folder.display(), report.summary));
        return Ok(0);
    };
    for problem in others {
        console.problem(problem);
    }
    Err(last.clone())
}

/// This program's jobs as a Scheme may start them.
struct OurJobs;

impl scheme::Jobs for OurJobs {
    fn verbs(&self) -> Vec<String> {
        manifest::verbs().into_iter().map(String::from).collect()
    }

    fn has_option(&self, verb: &str, label: &str) -> bool {
        job_command(verb).is_some_and(|command| arguments::has_option(&command, label))
    }

    fn check(&self, verb: &str, given: &[String]) -> Result<()> {
        let command = job_command(verb).ok_or_else(|| Problem::input("unknown verb").at(format!("`{verb}`")))?;
        let mut given = given.to_vec();
        given.extend(["--o".to_owned(), ANY_FOLDER.to_owned()]);
        let normal = arguments::normalise(&command, &given)?;
        let order = super::order(verb, &arguments::parse(command, verb, &normal)?)?;
        if let Order::Train(said) = &order
            && said.input().is_none()
        {
            return Err(Problem::input("missing").at("`--in_parts`").hint("write `in_part`"));
        }
        order.check()
    }

    fn outputs(&self, verb: &str) -> Vec<String> {
        manifest::output_files(verb)
    }
}

#[cfg(test)]
mod tests;
