//! Where lines for people go: stdout and stderr, and the job's `run.out` and `run.err` as well where these are not the same files already
//! (RELION redirects, a terminal does not).

use super::events::{EventLog, OwnEvent};
use contract::{Kind, Problem, Result};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Two streams of plain, flushed lines, and the reason of an end for machines.
pub(crate) struct Console {
    folder: Option<PathBuf>,
    verb: Option<&'static str>,
    out: Option<File>,
    err: Option<File>,
}

impl Console {
    /// Lines of a job.
    pub(crate) fn open(folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_path_buf()),
            verb: None,
            out: beside(folder, "run.out", libc::STDOUT_FILENO),
            err: beside(folder, "run.err", libc::STDERR_FILENO),
        }
    }

    /// Lines of something that has no job folder.
    pub(crate) fn detached() -> Self {
        Self { folder: None, verb: None, out: None, err: None }
    }

    /// The same, with hints that name the verb whose help to look at.
    pub(crate) fn of_verb(self, verb: &'static str) -> Self {
        Self { verb: Some(verb), ..self }
    }

    /// A line of progress.
    pub(crate) fn say(&mut self, line: &str) {
        // A closed terminal must not end a job that has hours behind it.
        let _ = print(line);
        if let Some(file) = &mut self.out {
            let _ = writeln!(file, "{line}");
        }
    }

    /// A line about something that is odd but not wrong.
    pub(crate) fn warn(&mut self, line: &str) {
        self.error_line(&format!("warning: {line}"));
    }

    /// The reason of an end: one line, the culprit first, the hint last.
    pub(crate) fn problem(&mut self, problem: &Problem) {
        let problem = with_hint(problem, self.verb);
        self.error_line(&format!("error: {problem}"));
        if let Some(mut events) = self.folder.as_deref().and_then(|folder| EventLog::open(folder).ok()) {
            events.add(&OwnEvent::Problem { problem: &problem });
        }
    }

    fn error_line(&mut self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
        if let Some(file) = &mut self.err {
            let _ = writeln!(file, "{line}");
        }
    }
}

/// Writes text and the end of its line to stdout. A reader that has seen enough (`| head -1`) is no problem.
///
/// # Errors
/// It cannot be written for any other reason, such as a full disk.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Problem::io(Path::new("/dev/stdout"), &e)),
        _ => Ok(()),
    }
}

/// Every problem ends with what to do next; where it was raised without, its kind says the usual.
fn with_hint(problem: &Problem, verb: Option<&str>) -> Problem {
    if problem.hint.is_some() {
        return problem.clone();
    }
    problem.clone().hint(match problem.kind {
        Kind::Input => format!("`opus-dsd {} --help` lists what is expected", verb.unwrap_or("VERB")),
        Kind::InputOutput => {
            "look at the path, its permissions and the free space of its disk, then start the same job again; it goes on".into()
        }
        Kind::Device => "choose another device with `--device`, or lower `--micro-batch`".into(),
        Kind::Numerical => "lower `--lr`, or start again from an earlier epoch with `--load JOB:EPOCH`".into(),
        Kind::Aborted | Kind::Terminated => "start the same job again; it goes on from the last checkpoint".into(),
        _ => "run.out above says how far it came; start the same job again, and report it with run.out and run.err if it comes back".into(),
    })
}

/// The named file of the job, unless the descriptor leads there already.
fn beside(folder: &Path, name: &str, descriptor: RawFd) -> Option<File> {
    let file = OpenOptions::new().create(true).append(true).open(folder.join(name)).ok()?;
    if same_file(file.as_raw_fd(), descriptor) { None } else { Some(file) }
}

fn same_file(a: RawFd, b: RawFd) -> bool {
    let identity = |fd: RawFd| std::fs::metadata(format!("/proc/self/fd/{fd}")).ok().map(|m| (m.dev(), m.ino()));
    matches!((identity(a), identity(b)), (Some(x), Some(y)) if x == y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_is_known_by_its_inode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.out");
        let a = File::create(&path).unwrap();
        let b = File::open(&path).unwrap();
        let c = File::create(folder.path().join("other")).unwrap();
        assert!(same_file(a.as_raw_fd(), b.as_raw_fd()));
        assert!(!same_file(a.as_raw_fd(), c.as_raw_fd()));
    }

    #[test]
    fn every_problem_ends_with_a_hint() {
        let text = with_hint(&Problem::failed("it broke").at("here"), None).to_string();
        assert!(text.starts_with("here: it broke; hint: "), "{text}");
        let text = with_hint(&Problem::input("too many").at("here"), Some("analyse")).to_string();
        assert!(text.ends_with("`opus-dsd analyse --help` lists what is expected"), "{text}");
    }
}
