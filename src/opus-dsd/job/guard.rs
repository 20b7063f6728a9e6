//! What the host starts. The guard reads no particles, so it is the last process that the kernel would end for memory; it owns the exit
//! files, looks for the abort file, passes signals on, and says in plain words what became of a worker that could not say it itself.

use super::console::Console;
use super::order::Job;
use super::presence::Presence;
use super::{atomic, lock, process, worker};
use crate::host::relion::exit_files::{self, Outcome};
use contract::{Kind, Problem, Result};
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the worker is looked after; short, so that a dead worker is reported well within 2 s.
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// How often the abort file is looked for (a call on a shared disk, so not more often).
const ABORT_POLL: Duration = Duration::from_secs(1);
/// Time that a job has after the abort file; a micro-batch of the largest networks takes less.
const ABORT_GRACE: Duration = Duration::from_secs(30);
/// Time that a job has after SIGTERM, before queue systems send SIGKILL (5 s where they are hasty).
const SIGNAL_GRACE: Duration = Duration::from_secs(4);

/// Runs a job to its end and returns the exit status. The exit file is written last.
pub(crate) fn run(job: &Job) -> u8 {
    // The lock is held until the guard ends.
    let (mut console, _lock, mut presence) = match open_folder(job) {
        Ok(open) => open,
        Err(problem) => {
            Console::detached().problem(&problem);
            return problem.kind.exit_status();
        }
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| supervise(job, &mut console, &mut presence)));
    let end = outcome.unwrap_or_else(|_| Err(Problem::failed("the guard itself failed (see the lines above)")));
    let status = match end {
        Ok(status) => status,
        Err(problem) => {
            console.problem(&problem);
            problem.kind.exit_status()
        }
    };
    atomic::sweep(&job.folder);
    let outcome = match status {
        0 => Outcome::Success,
        s if s == Kind::Aborted.exit_status() => Outcome::Aborted,
        _ => Outcome::Failure,
    };
    // The exit file says it too, and needs no space on a full disk.
    let _ = presence.end(status);
    if let Err(problem) = exit_files::write(&job.folder, outcome) {
        console.problem(&problem);
        return problem.kind.exit_status();
    }
    status
}

/// Makes the folder where it is missing, proves that it can be written, and that no other job runs in it.
fn open_folder(job: &Job) -> Result<(Console, lock::Held, Presence)> {
    let folder = &job.folder;
    let unwritable = |e: std::io::Error| {
        Problem::new(Kind::InputOutput, format!("the job folder cannot be written: {e}"))
            .at(format!("--o {}", folder.display()))
            .hint("choose a folder that you may write to, or free space on its disk")
    };
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    let probe = folder.join("probe.part");
    std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe)).map_err(unwritable)?;
    let held = lock::take(folder)?.ok_or_else(|| {
        Problem::input("another job is running in this folder")
            .at(format!("--o {}", folder.display()))
            .hint("wait for it, or stop it by a file named RELION_JOB_ABORT_NOW in the folder")
    })?;
    // Before the exit files go, so that at no moment the folder looks like one whose processes are gone.
    let presence = Presence::announce(folder, &job.command, Some(job.order.verb()))?;
    exit_files::clear(folder)?;
    exit_files::clear_abort(folder)?;
    atomic::sweep(folder);
    Ok((Console::open(folder).of_verb(job.order.verb()), held, presence))
}

fn supervise(job: &Job, console: &mut Console, presence: &mut Presence) -> Result<u8> {
    let signalled = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&signalled);
    ctrlc::set_handler(move || heard.store(true, Ordering::SeqCst))
        .map_err(|e| Problem::failed(format!("signals cannot be heard: {e}")))?;
    let mut worker = start_worker(job)?;
    let mut stopping: Option<Stopping> = None;
    let mut next_poll = Instant::now();
    loop {
        if let Some(status) = worker.try_wait().map_err(|e| Problem::failed(format!("the worker cannot be waited for: {e}")))? {
            // Whatever is left of its group (an engine that did not hear of its parent's death) must not outlive it.
            process::kill_group(worker.id());
            return conclude(status, stopping.as_ref(), console);
        }
        if stopping.is_none() {
            if signalled.load(Ordering::SeqCst) {
                stopping = Some(Stopping::begin(Kind::Terminated, SIGNAL_GRACE, &mut worker, console));
            } else if Instant::now() >= next_poll {
                next_poll = Instant::now() + ABORT_POLL;
                if exit_files::abort_requested(&job.folder) {
                    stopping = Some(Stopping::begin(Kind::Aborted, ABORT_GRACE, &mut worker, console));
                }
            }
        }
        if let Some(s) = &mut stopping
            && !s.forced
            && Instant::now() >= s.deadline
        {
            s.forced = true;
            process::kill_group(worker.id());
        }
        presence.beat();
        std::thread::sleep(LOOK_AFTER);
    }
}

/// A stop on its way.
struct Stopping {
    kind: Kind,
    deadline: Instant,
    grace: Duration,
    forced: bool,
}

impl Stopping {
    fn begin(kind: Kind, grace: Duration, worker: &mut Child, console: &mut Console) -> Self {
        let why = if kind == Kind::Aborted { "the host asks for an end (abort file)" } else { "a signal asks for an end" };
        console.say(&format!("{why}; stopping after the running micro-batch, at most {} s", grace.as_secs()));
        if let Some(stdin) = &mut worker.stdin {
            // A worker that is gone is noticed in the loop.
            let _ = stdin.write_all(worker::stop_line(kind).as_bytes());
        }
        Self { kind, deadline: Instant::now() + grace, grace, forced: false }
    }
}

fn start_worker(job: &Job) -> Result<Child> {
    let unstartable = |e: std::io::Error| Problem::failed(format!("the worker cannot be started: {e}"));
    let program = std::env::current_exe().map_err(unstartable)?;
    let mut command = Command::new(program);
    command.arg(worker::VERB).stdin(Stdio::piped());
    if let Some(threads) = job.order.threads() {
        // `--j` is the share of the machine that the host gives, also for what the worker computes itself.
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    process::tie_to_parent(&mut command, true);
    let mut worker = command.spawn().map_err(unstartable)?;
    let mut line = serde_json::to_string(job).map_err(|e| Problem::failed(format!("the job cannot be handed to the worker: {e}")))?;
    line.push('\n');
    if let Some(stdin) = &mut worker.stdin {
        // A worker that dies at once is noticed, with its cause, by the loop that follows.
        let _ = stdin.write_all(line.as_bytes());
    }
    Ok(worker)
}

/// Turns the worker's end into ours. A worker that ended by itself has said why; one that was ended could not.
fn conclude(status: ExitStatus, stopping: Option<&Stopping>, console: &mut Console) -> Result<u8> {
    if status.success() {
        return Ok(0);
    }
    if let Some(stop) = stopping {
        let by_wish = status.code() == Some(stop.kind.exit_status().into());
        if by_wish || stop.forced {
            let how = if stop.forced {
                format!(
                    "stopped; it was not ready within {} s and was ended; finished stages and the last checkpoint stand",
                    stop.grace.as_secs()
                )
            } else {
                "stopped in order; finished stages and the last checkpoint stand".into()
            };
            let who = if stop.kind == Kind::Aborted { "RELION_JOB_ABORT_NOW" } else { "SIGTERM, SIGINT or SIGHUP" };
            return Err(Problem::new(stop.kind, how).at(who).hint("start the same job again; it goes on from the last checkpoint"));
        }
    }
    match status.code().and_then(|c| u8::try_from(c).ok()) {
        Some(code) => Ok(code),
        None => {
            let (cause, hint) = process::plain_cause(status);
            console.say("the worker ended before its work was done; run.err says more");
            Err(Problem::failed(cause).at("worker process").hint(hint))
        }
    }
}
