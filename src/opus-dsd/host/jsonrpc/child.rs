//! A job as a child process: this executable with the job's command line, as any other host starts it, with run.out and run.err as its
//! streams. It hears SIGTERM when the server dies, so that the job stops in order then too.

use super::follow::Follow;
use crate::job::process;
use contract::protocol::{Done, Notification, State, Status};
use contract::{Kind, Problem, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{PipeReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Time that a guard has to stop its job and leave; it needs about 4 s.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// Time that the processes below a guard have to be gone after it; the kernel takes a moment to give a GPU's memory back.
const LAST_BREATH: Duration = Duration::from_secs(10);
/// Added to a signal's number where a signal ended the guard, as shells do.
const BY_SIGNAL: i32 = 128;

/// What is to be run.
pub(super) struct Order {
    pub(super) verb: String,
    /// As the client named it.
    pub(super) folder: String,
    /// The command line without the program's name.
    pub(super) arguments: Vec<String>,
}

/// A job that runs.
pub(super) struct Running {
    number: u64,
    order: Order,
    child: Child,
    /// Ends when no process of the job is left: all of them hold its other end.
    alive: PipeReader,
    began: Instant,
    stopping: Option<Instant>,
    ended: Option<(ExitStatus, Instant)>,
    follow: Follow,
}

/// What a look at a job brought.
pub(super) struct Look {
    pub(super) news: Vec<Notification>,
    /// The end of the job; after all else.
    pub(super) done: Option<(Done, Status)>,
}

/// Whether a job runs in a folder, started by whomever.
pub(super) fn in_use(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Starts a job. Must be called from a thread that lives as long as the process: the job is told to stop when the thread ends.
///
/// # Errors
/// The folder cannot be written, or the process cannot be started.
pub(super) fn start(number: u64, order: Order) -> Result<Running> {
    let folder = PathBuf::from(&order.folder);
    let unwritable = |e: std::io::Error| {
        Problem::new(Kind::InputOutput, format!("the job folder cannot be written: {e}"))
            .at(order.folder.clone())
            .hint("choose a folder that you may write to, or free space on its disk")
    };
    let unstartable = |e: std::io::Error| Problem::failed(format!("the job cannot be started: {e}")).at(order.verb.clone());
    std::fs::create_dir_all(&folder).map_err(unwritable)?;
    let follow = Follow::new(number, &folder);
    let append = |name: &str| OpenOptions::new().create(true).append(true).open(folder.join(name)).map_err(unwritable);
    let (out, err) = (append("run.out")?, append("run.err")?);
    let (alive, held) = std::io::pipe().map_err(unstartable)?;
    let mut command = Command::new(std::env::current_exe().map_err(unstartable)?);
    command.args(&order.arguments).stdin(Stdio::null()).stdout(out).stderr(err);
    process::stop_with_parent(&mut command);
    let descriptor = held.as_raw_fd();
    // SAFETY: fcntl is async-signal-safe; the descriptor is open in the child.
    unsafe {
        command.pre_exec(move || if libc::fcntl(descriptor, libc::F_SETFD, 0) < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) });
    }
    let child = command.spawn().map_err(unstartable)?;
    set_nonblocking(&alive).map_err(unstartable)?;
    Ok(Running { number, order, child, alive, began: Instant::now(), stopping: None, ended: None, follow })
}

fn set_nonblocking(pipe: &PipeReader) -> std::io::Result<()> {
    // SAFETY: a plain system call on a descriptor that is ours.
    let done = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

impl Running {
    /// Its number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Its folder, as the client named it.
    pub(super) fn folder(&self) -> &str {
        &self.order.folder
    }

    /// Asks it to stop in order.
    pub(super) fn stop(&mut self) {
        if self.stopping.is_none() {
            self.stopping = Some(Instant::now());
            self.signal(libc::SIGTERM);
        }
    }

    /// What it does.
    pub(super) fn status(&self) -> Status {
        Status {
            job: self.number,
            verb: self.order.verb.clone(),
            folder: self.order.folder.clone(),
            state: if self.stopping.is_some() { State::Stopping } else { State::Running },
            seconds: self.began.elapsed().as_secs_f64(),
            progress: self.follow.progress.stage.is_some().then(|| self.follow.progress.clone()),
            exit_status: None,
            problem: None,
        }
    }

    /// Looks what is new, and whether it has ended.
    pub(super) fn look(&mut self) -> Look {
        if self.ended.is_none() {
            match self.child.try_wait() {
                Ok(Some(status)) => self.ended = Some((status, Instant::now())),
                // Nobody else waits for it, so its end cannot be missed for long.
                Ok(None) | Err(_) => {
                    if self.stopping.is_some_and(|since| since.elapsed() > STOP_GRACE) {
                        self.signal(libc::SIGKILL);
                    }
                }
            }
        }
        // All processes of the job hold the other end of the pipe.
        let all_gone = matches!(self.alive.read(&mut [0]), Ok(0));
        match self.ended {
            Some((status, since)) if all_gone || since.elapsed() > LAST_BREATH => self.conclude(status),
            _ => Look { news: self.follow.look(), done: None },
        }
    }

    fn conclude(&mut self, ended: ExitStatus) -> Look {
        let good = ended.success();
        let news = self.follow.conclude(good);
        let code = ended.code().unwrap_or_else(|| BY_SIGNAL + ended.signal().unwrap_or(0));
        let exit_status = u8::try_from(code).unwrap_or(u8::MAX);
        let by_wish = [Kind::Aborted, Kind::Terminated].iter().any(|kind| kind.exit_status() == exit_status);
        let state = match (good, by_wish) {
            (true, _) => State::Done,
            (false, true) => State::Stopped,
            (false, false) => State::Failed,
        };
        let problem = (!good).then(|| self.problem(ended));
        let done = Done {
            job: self.number,
            state,
            exit_status,
            seconds: self.began.elapsed().as_secs_f64(),
            problem: problem.clone(),
            results: self.follow.results(),
            left_out: 0,
        };
        let status = Status { state, seconds: done.seconds, exit_status: Some(exit_status), problem, ..self.status() };
        Look { news, done: Some((done, status)) }
    }

    /// Why it ended badly: what it wrote down itself, unless it was ended before it could.
    fn problem(&mut self, ended: ExitStatus) -> Problem {
        if ended.signal() == Some(libc::SIGTERM) && self.stopping.is_some() {
            return Problem::new(Kind::Terminated, "stopped").at("job/cancel").hint("start the same job again");
        }
        match (ended.signal(), self.follow.problem.take()) {
            (None, Some(problem)) => problem,
            _ => {
                let (cause, hint) = process::plain_cause(ended);
                Problem::failed(cause).at("guard process").hint(hint)
            }
        }
    }

    fn signal(&self, signal: i32) {
        if let (Ok(pid), None) = (i32::try_from(self.child.id()), self.ended) {
            // SAFETY: plain system call; the child is ours and not yet waited for.
            unsafe { libc::kill(pid, signal) };
        }
    }
}
