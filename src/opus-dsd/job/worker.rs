//! The process that runs the stages: `opus-dsd` again, started by the guard.
//!
//! The guard's first line on stdin is the job; later lines are the wish to stop; the end of stdin means that the guard is gone.

use super::console::Console;
use super::courses;
use super::order::Job;
use super::stop::Stop;
use contract::{Kind, Problem, Result};
use std::io::BufRead;
use std::panic::PanicHookInfo;
use std::sync::Mutex;

/// The verb by which the guard starts its worker; not for people.
pub(crate) const VERB: &str = "--worker";

/// Exit status of a worker whose guard is gone; nobody sees it.
const ORPHAN_STATUS: i32 = 1;

/// The line by which the guard asks the worker to stop.
pub(crate) fn stop_line(kind: Kind) -> String {
    format!("{}\n", if kind == Kind::Aborted { ABORT_LINE } else { TERMINATE_LINE })
}

const ABORT_LINE: &str = "abort";
const TERMINATE_LINE: &str = "terminate";

/// The last panic's message and place, for the one line that people see.
static PANIC: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Runs the job that comes on stdin and returns the exit status.
pub(crate) fn main() -> u8 {
    let mut console = Console::detached();
    let stop = Stop::default();
    let job = match read_job() {
        Ok(job) => job,
        Err(problem) => {
            console.problem(&problem);
            return problem.kind.exit_status();
        }
    };
    console = Console::open(&job.folder).of_verb(job.order.verb());
    listen(stop.clone());
    std::panic::set_hook(Box::new(remember_panic));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| courses::run(&job, &mut console, &stop)));
    let outcome = outcome.unwrap_or_else(|_| Err(panic_problem()));
    match (outcome, stop.wish()) {
        (Ok(()), _) => 0,
        (Err(problem), Some(kind)) if problem.kind == kind => kind.exit_status(),
        (Err(problem), _) => {
            console.problem(&problem);
            problem.kind.exit_status()
        }
    }
}

fn read_job() -> Result<Job> {
    let mut line = String::new();
    let unread =
        |e: String| Problem::failed(format!("the guard's message was not understood: {e}")).hint("this verb is for the guard alone");
    std::io::stdin().lock().read_line(&mut line).map_err(|e| unread(e.to_string()))?;
    serde_json::from_str(&line).map_err(|e| unread(e.to_string()))
}

/// Hears the guard's wishes until it is gone.
fn listen(stop: Stop) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
            match line.as_str() {
                ABORT_LINE => stop.request(Kind::Aborted),
                TERMINATE_LINE => stop.request(Kind::Terminated),
                _ => {}
            }
        }
        std::process::exit(ORPHAN_STATUS);
    });
}

fn remember_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message").to_owned();
    let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
    if let Ok(mut last) = PANIC.lock() {
        *last = Some((message, place));
    }
}

fn panic_problem() -> Problem {
    let (message, place) = PANIC.lock().ok().and_then(|mut p| p.take()).unwrap_or_default();
    Problem::failed(format!("internal fault: {message}"))
        .at(place)
        .hint("this is a fault of the program; report it with run.out and run.err")
}
