//! `clean`: frees the disk space of jobs that have ended.

use crate::job::clean::{self, Plan, Wish};
use crate::job::console::{self, Console};
use crate::job::status;
use crate::machine::disk;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Raised when a field of the JSON form changes its meaning.
const SCHEMA: u32 = 1;

/// What is said of it.
#[derive(Args, Clone, Debug)]
struct CleanSaid {
    /// Job folders, or folders of jobs, in which jobs that run are left alone
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Say what would go and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave the prepared images, so that continuing the job is quick
    #[arg(long)]
    keep_prepared: bool,
    /// Keep every N-th epoch's checkpoint besides the last and the best; 0 keeps none [default: as the job was told]
    #[arg(long, value_name = "N")]
    keep_every: Option<usize>,
    /// Remove everything that analysis, decoding and encoding can do without
    #[arg(long)]
    all_intermediates: bool,
    /// As JSON (docs/reference/status.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    folder: PathBuf,
    freed_bytes: u64,
    removed: Vec<clean::Item>,
    kept_checkpoints: Vec<String>,
    made_again: Vec<&'static str>,
}

pub(super) fn command() -> Command {
    CleanSaid::augment_args(Command::new("clean"))
        .about("Frees the disk space of jobs that have ended: prepared images, old checkpoints, unfinished files")
        .long_about(None)
        .after_help(
            "Registered outputs are never removed, and a cleaned job can still be analysed, decoded and continued.\n\
             Exit status 0: done; 2: a folder that was named holds a running job or none; 3: a file cannot be removed.",
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8> {
    let said = CleanSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    let wish = Wish { keep_prepared: said.keep_prepared, keep_every: said.keep_every, all_intermediates: said.all_intermediates };
    let mut console = Console::detached();
    let (mut reports, mut status) = (Vec::new(), 0);
    for folder in status::folders(&said.folders)? {
        match clean(&folder, wish, said.dry_run) {
            Ok(report) => reports.push(report),
            Err(problem) => {
                console.problem(&problem);
                // A running job among those of a project is no mistake; one that was named is.
                if said.folders.contains(&folder) || problem.kind != contract::Kind::Input {
                    status = status.max(problem.kind.exit_status());
                }
            }
        }
    }
    if said.json {
        let all = serde_json::json!({ "schema": SCHEMA, "dry_run": said.dry_run, "jobs": reports });
        console::print(&serde_json::to_string_pretty(&all).map_err(|e| Problem::failed(e.to_string()))?)?;
    } else {
        for report in &reports {
            console.say(for_people(report, said.dry_run).trim_end());
        }
    }
    Ok(status)
}

fn clean(folder: &Path, wish: Wish, dry_run: bool) -> Result<Report> {
    let plan = clean::plan(folder, wish)?;
    if !dry_run {
        plan.carry_out()?;
    }
    let freed_bytes = plan.bytes();
    let Plan { folder, items, kept, made_again, .. } = plan;
    Ok(Report { folder, freed_bytes, removed: items, kept_checkpoints: kept, made_again })
}

fn for_people(report: &Report, dry_run: bool) -> String {
    let verb = if dry_run { "would free" } else { "freed" };
    let mut text = format!("{}: {verb} {}\n", report.folder.display(), disk::for_people(report.freed_bytes));
    for item in &report.removed {
        let _ = writeln!(text, "  {:<16} {:>9}  {}", item.what, disk::for_people(item.bytes), item.path.display());
    }
    if !report.kept_checkpoints.is_empty() {
        let _ = writeln!(text, "  kept: {}", report.kept_checkpoints.join(", "));
    }
    if !report.made_again.is_empty() {
        let _ = writeln!(text, "  continuing this job makes {} again", report.made_again.join(" and "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_goes() {
        let report = Report {
            folder: "External/job007".into(),
            freed_bytes: 1_150_000_000,
            removed: vec![
                clean::Item { what: "prepared images", path: "External/job007/prepared".into(), bytes: 1_100_000_000 },
                clean::Item { what: "checkpoint", path: "External/job007/checkpoint/epoch-001".into(), bytes: 50_000_000 },
            ],
            kept_checkpoints: vec!["epoch-019".into(), "epoch-020".into()],
            made_again: vec!["the prepared images"],
        };
        insta::assert_snapshot!(for_people(&report, true), @r"
        External/job007: would free 1.1 GB
          prepared images     1.1 GB  External/job007/prepared
          checkpoint         50.0 MB  External/job007/checkpoint/epoch-001
          kept: epoch-019, epoch-020
          continuing this job makes the prepared images again
        ");
    }
}
