//! `status`: what a job folder is doing, for people or as JSON.

use crate::job::console;
use crate::job::progress::duration;
use crate::job::status::{self, State, Status};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};
use std::fmt::Write as _;
use std::path::PathBuf;

/// What is said of it.
#[derive(Args, Clone, Debug)]
struct StatusSaid {
    /// Job folders, or folders of jobs: External/job007, External/, a whole project
    #[arg(value_name = "DIR", default_value = ".")]
    folders: Vec<PathBuf>,
    /// As JSON (docs/reference/status.md)
    #[arg(long)]
    json: bool,
}

/// Columns of the table.
const COLUMNS: [&str; 7] = ["folder", "state", "stage", "epoch", "done", "images/s", "to go"];

pub(super) fn command() -> Command {
    StatusSaid::augment_args(Command::new("status"))
        .about("Says what a job folder is doing, or every job of a project")
        .long_about(None)
        .after_help(
            "States: running, done, failed, aborted, terminated, lost (its processes are gone), unknown (begun on another machine), empty.\n\
             Exit status 0: the folders were looked at, whatever their state; 2: wrong use; 3: a folder is not there.",
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8> {
    let said = StatusSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    let folders = status::folders(&said.folders)?;
    let all: Vec<Status> = folders.iter().map(|f| status::look(f)).collect::<Result<_>>()?;
    // One job folder that was named is answered by itself, everything else by a list.
    let one = (folders == said.folders && all.len() == 1).then(|| &all[0]);
    let text = match (said.json, one) {
        (true, Some(status)) => json(status)?,
        (true, None) => json(&serde_json::json!({ "schema": status::SCHEMA, "jobs": all }))?,
        (false, Some(status)) => for_people(status),
        (false, None) => table(&all),
    };
    console::print(text.trim_end()).map(|()| 0)
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|e| Problem::failed(e.to_string()))
}

fn for_people(status: &Status) -> String {
    let mut text = format!("{}: {}\n", status.folder.display(), headline(status));
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "  {name:<10} {what}");
    };
    if let (Some(elapsed), Some(host), Some(pid)) = (status.elapsed_seconds, &status.host, status.pid) {
        let verb = status.verb.as_deref().unwrap_or("a job");
        line("run", format!("{verb}, {} on {host} (process {pid})", duration(elapsed)));
    }
    if let Some(why) = status.why.as_ref().filter(|_| status.cause.is_none()) {
        line("because", why.clone());
    }
    if status.state == State::Running
        && let Some(progress) = status.progress
    {
        line("training", training(status, progress));
    }
    if status.abort_requested {
        line("stopping", "the host asks for an end".into());
    }
    for (name, value) in [("cause", &status.cause), ("hint", &status.hint)] {
        if let Some(value) = value {
            line(name, value.clone());
        }
    }
    for warning in &status.warnings {
        line("warning", warning.clone());
    }
    if !status.outputs.is_empty() {
        line("outputs", status.outputs.join(" "));
    }
    text
}

fn headline(status: &Status) -> String {
    let mut details = Vec::new();
    if matches!(status.state, State::Running | State::Lost | State::Unknown | State::Failed | State::Terminated | State::Aborted) {
        details.extend(status.stage.as_ref().map(|s| format!("stage {s}")));
        details.extend(status.epoch.zip(status.epochs).map(|(e, all)| format!("epoch {e} of {all}")));
    }
    details.extend(status.exit_status.filter(|s| *s != 0).map(|s| format!("exit status {s}")));
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
    format!("{}{details}", status.state.word())
}

fn training(status: &Status, progress: f64) -> String {
    let speed = status.images_per_second.map(|r| format!(", {r:.0} images/s")).unwrap_or_default();
    let to_go = status.seconds_to_go.map(|s| format!(", about {} to go", duration(s))).unwrap_or_default();
    format!("{:.0}%{speed}{to_go}", 100.0 * progress)
}

/// A row a job; the cause of an end stands last, where it may be long.
fn table(all: &[Status]) -> String {
    let mut rows = vec![COLUMNS.map(String::from)];
    rows.extend(all.iter().map(cells));
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let end = i.checked_sub(1).and_then(|i| all[i].cause.as_deref().or(all[i].why.as_deref())).unwrap_or_default();
        let _ = writeln!(text, "{}", format!("{}  {end}", padded.join("  ")).trim_end());
    }
    text
}

fn cells(status: &Status) -> [String; 7] {
    let running = status.state == State::Running;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    [
        status.folder.display().to_string(),
        status.state.word().into(),
        or_dash(status.stage.clone().filter(|_| status.state != State::Done)),
        or_dash(status.epoch.zip(status.epochs).map(|(e, all)| format!("{e}/{all}"))),
        or_dash(status.progress.map(|p| format!("{:.0}%", 100.0 * p))),
        or_dash(status.images_per_second.filter(|_| running).map(|r| format!("{r:.0}"))),
        or_dash(status.seconds_to_go.map(duration)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: State) -> Status {
        Status {
            schema: status::SCHEMA,
            folder: "External/job007".into(),
            state,
            why: None,
            verb: Some("train".into()),
            host: Some("node17".into()),
            pid: Some(4711),
            began: Some(100.0),
            ended: None,
            elapsed_seconds: Some(7200.0),
            stage: Some("train".into()),
            epoch: Some(3),
            epochs: Some(20),
            progress: Some(0.125),
            images_per_second: Some(812.4),
            seconds_to_go: Some(3600.0),
            abort_requested: false,
            exit_status: None,
            cause: None,
            hint: None,
            warnings: vec!["odd".into()],
            errors: Vec::new(),
            outputs: vec!["preview.mrc".into()],
        }
    }

    #[test]
    fn people_see_where_it_stands() {
        insta::assert_snapshot!(for_people(&status(State::Running)), @r"
        External/job007: running (stage train, epoch 3 of 20)
          run        train, 2.0 h on node17 (process 4711)
          training   12%, 812 images/s, about 60.0 min to go
          warning    odd
          outputs    preview.mrc
        ");
        let failed = Status {
            exit_status: Some(4),
            cause: Some("device: out of memory".into()),
            hint: Some("lower `--micro-batch`".into()),
            images_per_second: None,
            seconds_to_go: None,
            ..status(State::Failed)
        };
        insta::assert_snapshot!(for_people(&failed), @r"
        External/job007: failed (stage train, epoch 3 of 20, exit status 4)
          run        train, 2.0 h on node17 (process 4711)
          cause      device: out of memory
          hint       lower `--micro-batch`
          warning    odd
          outputs    preview.mrc
        ");
        insta::assert_snapshot!(table(&[status(State::Running), failed]), @r"
        folder           state    stage  epoch  done  images/s  to go
        External/job007  running  train  3/20   12%   812       60.0 min
        External/job007  failed   train  3/20   12%   -         -         device: out of memory
        ");
    }
}
