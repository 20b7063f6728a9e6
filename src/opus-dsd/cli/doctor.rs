//! `doctor`: what this machine lacks, if anything, and what to do about it.

use crate::doctor::{self, Level, Report};
use crate::job::console;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Kind, Problem, Result};
use std::fmt::Write as _;
use std::path::PathBuf;

/// What is said of it.
#[derive(Args, Clone, Debug)]
struct DoctorSaid {
    /// Folder in which prepared images are to lie [default: TMPDIR, where it is set]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// As JSON (docs/reference/status.md)
    #[arg(long)]
    json: bool,
}

pub(super) fn command() -> Command {
    DoctorSaid::augment_args(Command::new("doctor"))
        .about("Looks at this machine: parts of the program, devices, driver, memory, disks, limits, hosts; says what to do")
        .long_about(None)
        .after_help("Exit status 0: nothing is wrong (there may be warnings); 1: jobs would fail; 2: wrong use.")
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8> {
    let said = DoctorSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    let report = doctor::examine(said.scratch);
    if said.json {
        console::print(&serde_json::to_string_pretty(&report).map_err(|e| Problem::failed(e.to_string()))?)?;
    } else {
        console::print(for_people(&report).trim_end())?;
    }
    Ok(if report.healthy { 0 } else { Kind::Failed.exit_status() })
}

fn for_people(report: &Report) -> String {
    let width = report.findings.iter().map(|f| f.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in &report.findings {
        let _ = writeln!(text, "{:<7}  {:<width$}  {}", finding.level.word(), finding.name, finding.what);
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "{:<7}  {:<width$}  → {hint}", "", "");
        }
    }
    let count = |level| report.findings.iter().filter(|f| f.level == level).count();
    let _ = match (count(Level::Wrong), count(Level::Warning)) {
        (0, 0) => writeln!(text, "all well"),
        (0, warnings) => writeln!(text, "jobs run here; {warnings} to look at"),
        (wrong, _) => writeln!(text, "jobs would fail here: {wrong} wrong"),
    };
    text
}
