//! What a job folder is doing, seen from outside: nothing in it is changed and no job in it is disturbed.

mod history;
mod state;

use super::presence::{self, Record};
use super::{lock, settings_file};
use crate::host::relion::{exit_files, nodes};
use contract::{Kind, Problem, Result};
use serde::Serialize;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(crate) use state::State;

/// Raised when a field of the JSON form changes its meaning.
pub(crate) const SCHEMA: u32 = 1;
/// Warnings, and errors, that are shown: the last ones.
const LINES: usize = 5;
/// Of run.err no more than its end is read, bytes.
const TAIL_BYTES: u64 = 64 << 10;
/// How deep below a given folder jobs are looked for: a project holds `External/job007`.
const JOB_DEPTH: usize = 2;
/// Files that only a job of this program leaves.
const OWN_FILES: [&str; 3] = [presence::FILE, settings_file::SETTINGS_FILE, "events.jsonl"];
/// What the job's own lines begin with, and what stands before the hint.
const ERROR: &str = "error: ";
const WARNING: &str = "warning: ";
const HINT: &str = "; hint: ";

/// A job folder, looked at. Serialised as docs/reference/status.md says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Status {
    pub(crate) schema: u32,
    pub(crate) folder: PathBuf,
    pub(crate) state: State,
    /// What the state is taken from, where it is not plain.
    pub(crate) why: Option<String>,
    pub(crate) verb: Option<String>,
    /// Machine and process number of the job's guard.
    pub(crate) host: Option<String>,
    pub(crate) pid: Option<u32>,
    /// Unix seconds.
    pub(crate) began: Option<f64>,
    pub(crate) ended: Option<f64>,
    /// Wall seconds of this run, up to now or to its end.
    pub(crate) elapsed_seconds: Option<f64>,
    pub(crate) stage: Option<String>,
    pub(crate) epoch: Option<usize>,
    pub(crate) epochs: Option<usize>,
    /// Share of the training that is done, 0 to 1.
    pub(crate) progress: Option<f64>,
    pub(crate) images_per_second: Option<f64>,
    /// What training still takes.
    pub(crate) seconds_to_go: Option<f64>,
    /// The host asks for an end and the job has not ended yet.
    pub(crate) abort_requested: bool,
    pub(crate) exit_status: Option<u8>,
    pub(crate) cause: Option<String>,
    pub(crate) hint: Option<String>,
    /// The last lines of this run.
    pub(crate) warnings: Vec<String>,
    pub(crate) errors: Vec<String>,
    /// Registered outputs that are there, relative to the folder.
    pub(crate) outputs: Vec<String>,
}

/// Looks at a folder.
///
/// # Errors
/// It is not there or cannot be opened.
pub(crate) fn look(folder: &Path) -> Result<Status> {
    let found = presence::read(folder);
    let begun = is_ours(folder);
    let exit = exit_files::read(folder).filter(|_| begun || folder.join("run.err").exists());
    let (state, why) = state::of(&state::Signs { lock: lock::look(folder)?, exit, record: found.clone(), begun });
    let record = found.map(|(record, _)| record);
    let history = history::read(folder);
    let running = state == State::Running;
    let (warnings, errors) = last_lines(folder, record.as_ref().map_or(0, |r| r.errors_from));
    let began = record.as_ref().map(|r| r.began).or(history.began);
    let ended = if running { None } else { record.as_ref().and_then(|r| r.ended).or(history.last) };
    let until = if running { Some(presence::unix_seconds(SystemTime::now())) } else { ended };
    let (cause, hint) = cause(state, why.as_deref(), &errors);
    let command = record.as_ref().map_or(history.command.as_slice(), |r| r.command.as_slice());
    Ok(Status {
        schema: SCHEMA,
        folder: folder.to_path_buf(),
        state,
        why,
        verb: record.as_ref().and_then(|r| r.verb.clone()).or_else(|| verb(command)),
        host: record.as_ref().map(|r| r.host.clone()),
        pid: record.as_ref().map(|r| r.pid),
        began,
        ended,
        elapsed_seconds: began.zip(until).map(|(from, to)| (to - from).max(0.0)),
        stage: history.stage.clone(),
        epoch: history.epoch.map(|(epoch, _)| epoch),
        epochs: history.epoch.map(|(_, epochs)| epochs),
        progress: history.progress(),
        images_per_second: history.images_per_second.filter(|_| running && !history.trained),
        seconds_to_go: history.seconds_to_go().filter(|_| running),
        abort_requested: running && exit_files::abort_requested(folder),
        exit_status: exit_status(state, record.as_ref()),
        cause,
        hint,
        warnings,
        errors,
        outputs: nodes::read(folder),
    })
}

/// The folders to look at: each given one, or the jobs of this program below it where it is a project or a project's `External`.
///
/// # Errors
/// A folder is not there, or holds neither a job nor jobs.
pub(crate) fn folders(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in given {
        if !folder.is_dir() {
            let hint = "name a job folder: `External/job007`, or the folder of several";
            return Err(Problem::new(Kind::InputOutput, "there is no such folder").at(folder.display().to_string()).hint(hint));
        }
        if is_ours(folder) || folder.join("job.star").exists() {
            all.push(folder.clone());
            continue;
        }
        let before = all.len();
        jobs_below(folder, JOB_DEPTH, &mut all);
        if all.len() == before {
            all.push(folder.clone());
        }
    }
    Ok(all)
}

fn jobs_below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let mut below: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        // Aliases of a host are links to the same job.
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()) && !e.file_name().to_string_lossy().starts_with('.'))
        .map(|e| e.path())
        .collect();
    below.sort();
    for folder in below {
        if is_ours(&folder) || waits_for_us(&folder) {
            found.push(folder);
        } else if depth > 1 {
            jobs_below(&folder, depth - 1, found);
        }
    }
}

/// Whether a job of this program has begun in the folder.
fn is_ours(folder: &Path) -> bool {
    OWN_FILES.iter().any(|name| folder.join(name).exists())
}

/// Whether the host has scheduled a job of this program there.
fn waits_for_us(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("job.star")).is_ok_and(|text| text.contains("opus-dsd"))
}

fn verb(command: &[String]) -> Option<String> {
    let first = command.get(1)?;
    Some(if first.starts_with('-') { "train".into() } else { first.clone() })
}

fn exit_status(state: State, record: Option<&Record>) -> Option<u8> {
    let noted = record.and_then(|r| r.exit_status);
    match state {
        State::Done => Some(0),
        State::Aborted => Some(Kind::Aborted.exit_status()),
        State::Terminated | State::Failed => noted,
        _ => None,
    }
}

/// Why it ended, and what to do next.
fn cause(state: State, why: Option<&str>, errors: &[String]) -> (Option<String>, Option<String>) {
    match state {
        State::Failed | State::Aborted | State::Terminated => match errors.last() {
            Some(line) => match line.split_once(HINT) {
                Some((cause, hint)) => (Some(cause.into()), Some(hint.into())),
                None => (Some(line.clone()), None),
            },
            None => (None, Some("run.out and run.err say more".into())),
        },
        State::Lost => (why.map(String::from), Some("start the same job again; it goes on from the last checkpoint".into())),
        _ => (None, None),
    }
}

/// The last warnings and errors of run.err from a byte on.
fn last_lines(folder: &Path, from: u64) -> (Vec<String>, Vec<String>) {
    let text = tail(&folder.join("run.err"), from).unwrap_or_default();
    let last = |word: &str| {
        let mut lines: Vec<String> = text.lines().filter_map(|l| l.strip_prefix(word)).map(String::from).collect();
        lines.split_off(lines.len().saturating_sub(LINES))
    };
    (last(WARNING), last(ERROR))
}

fn tail(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    // A file that became shorter was written anew.
    let from = if from > length { 0 } else { from };
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_and_hint_are_of_this_run() {
        let folder = tempfile::tempdir().unwrap();
        let old = "error: old: gone; hint: nothing\n";
        std::fs::write(folder.path().join("run.err"), format!("{old}warning: odd\nnoise\nerror: `--x`: bad; hint: do this\n")).unwrap();
        let (warnings, errors) = last_lines(folder.path(), old.len() as u64);
        assert_eq!((warnings.len(), errors.len()), (1, 1));
        assert_eq!(cause(State::Failed, None, &errors), (Some("`--x`: bad".into()), Some("do this".into())));
        assert_eq!(last_lines(folder.path(), 1 << 20).1.len(), 2);
    }

    #[test]
    fn a_project_is_searched_for_its_jobs() {
        let project = tempfile::tempdir().unwrap();
        let make = |name: &str, file: &str, text: &str| {
            std::fs::create_dir_all(project.path().join(name)).unwrap();
            std::fs::write(project.path().join(name).join(file), text).unwrap();
        };
        make("External/job002", "events.jsonl", "");
        make("External/job003", "job.star", "fn_exe /opt/opus-dsd/bin/opus-dsd \n");
        make("External/job004", "job.star", "fn_exe other \n");
        make("Refine3D/job001", "run_data.star", "");
        std::os::unix::fs::symlink("job002", project.path().join("External/alias")).unwrap();
        let names = |given: &str| -> Vec<String> {
            let found = folders(&[project.path().join(given)]).unwrap();
            found.iter().map(|f| f.strip_prefix(project.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(""), ["External/job002", "External/job003"]);
        assert_eq!(names("External"), ["External/job002", "External/job003"]);
        assert_eq!(names("External/alias"), ["External/alias"]);
        assert_eq!(names("Refine3D"), ["Refine3D"]);
        assert_eq!(folders(&[project.path().join("none")]).unwrap_err().kind, Kind::InputOutput);
    }
}
