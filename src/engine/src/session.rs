//! The protocol loop: commands come in on one pipe, events go out on another, one JSON object a line.
//!
//! A thread of its own reads the commands, so that [`Command::Stop`] is seen while a batch is running. When the command pipe closes, the
//! worker is gone and nobody waits for an answer: the process leaves at once. (The newest checkpoint on disk is what counts; it was
//! renamed into place and cannot be half written.)

use crate::link::Link;
use crate::{adopt, decode, devices, encode, torch, training};
use contract::{Command, Event, Problem, Result, VERSION, pipes};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{FromRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// The two pipes.
struct Pipes {
    events: Mutex<File>,
    stop: Arc<AtomicBool>,
}

impl Link for Pipes {
    fn tell(&self, event: Event) {
        let mut line = serde_json::to_vec(&event).expect("events are plain data");
        line.push(b'\n');
        let written = self.events.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        if written.is_err() {
            // Nobody reads any more.
            std::process::exit(1);
        }
    }

    fn stop_asked(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Runs the protocol until the command pipe closes or [`Command::Shutdown`] arrives.
///
/// # Errors
/// When the environment does not name the pipes, or the tensor library cannot be started.
pub fn serve() -> Result<()> {
    die_with_parent();
    let commands = inherited(pipes::COMMANDS)?;
    let events = inherited(pipes::EVENTS)?;
    let stop = Arc::new(AtomicBool::new(false));
    let link = Pipes { events: Mutex::new(events), stop: Arc::clone(&stop) };
    torch::init_torch()?;
    link.tell(Event::Hello {
        version: VERSION.into(),
        build_id: crate::BUILD_ID.into(),
        torch: devices::TORCH_VERSION.into(),
        devices: devices::list(),
    });
    for command in read_in_background(commands, stop) {
        if matches!(command, Ok(Command::Shutdown)) {
            break;
        }
        if let Err(problem) = command.and_then(|command| guarded(&link, &command)) {
            link.tell(Event::Failed { problem });
        }
    }
    Ok(())
}

/// Runs a command; a panic of the tensor library becomes a problem.
fn guarded(link: &Pipes, command: &Command) -> Result<()> {
    catch_unwind(AssertUnwindSafe(|| execute(link, command))).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "the engine panicked".into());
        Err(devices::problem(&what))
    })
}

fn execute(link: &Pipes, command: &Command) -> Result<()> {
    match command {
        Command::Train(spec) => match training::train(spec, link, training::Faults::default())? {
            training::Outcome::Complete(outcome) => link.tell(Event::Trained(outcome)),
            training::Outcome::Stopped => link.tell(Event::Stopped),
        },
        Command::Encode(spec) => {
            if encode::encode(spec, link)? {
                link.tell(Event::Encoded { latents: spec.latents.clone() });
            } else {
                link.tell(Event::Stopped);
            }
        }
        Command::Decode(spec) => {
            if decode::decode(spec, link)? {
                link.tell(Event::DecodeDone);
            } else {
                link.tell(Event::Stopped);
            }
        }
        Command::Adopt(spec) => {
            let folder = adopt::adopt(spec)?;
            link.tell(Event::Checkpoint { folder, epoch: spec.epoch, images: 0 });
        }
        // A stop that arrives between commands has nothing to stop.
        Command::Stop => link.tell(Event::Stopped),
        Command::Shutdown => {}
    }
    Ok(())
}

/// Reads commands in a thread. A stop raises the flag as soon as it is read and is not queued, unless nothing else is under way.
fn read_in_background(commands: File, stop: Arc<AtomicBool>) -> Receiver<Result<Command>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut shutdown = false;
        for line in BufReader::new(commands).lines() {
            let Ok(line) = line else { break };
            if line.trim().is_empty() {
                continue;
            }
            let command = serde_json::from_str::<Command>(&line)
                .map_err(|error| Problem::failed(format!("cannot understand a command: {error}")).at("command pipe"));
            match command {
                Ok(Command::Stop) => stop.store(true, Ordering::Relaxed),
                command => {
                    // Here and not where it is executed: a stop that follows at once must not be lost.
                    stop.store(false, Ordering::Relaxed);
                    shutdown = matches!(command, Ok(Command::Shutdown));
                    if sender.send(command).is_err() {
                        break;
                    }
                }
            }
            if shutdown {
                break;
            }
        }
        if !shutdown {
            // Without the tensor library's destructors, which would pull the ground from under the running batch.
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) };
        }
    });
    receiver
}

/// Takes over the descriptor that an environment variable names.
fn inherited(variable: &str) -> Result<File> {
    let number =
        std::env::var(variable).ok().and_then(|text| text.parse::<RawFd>().ok()).filter(|&descriptor| descriptor > 2).ok_or_else(|| {
            Problem::input("names no file descriptor").at(variable).hint("the engine is started by `opus-dsd`, not by hand")
        })?;
    // SAFETY: F_GETFD only asks whether the descriptor is open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(Problem::input(format!("file descriptor {number} is not open")).at(variable));
    }
    // SAFETY: the descriptor is open, was handed over to this process, and is taken once.
    Ok(unsafe { File::from_raw_fd(number) })
}

/// Asks the kernel to end this process when the thread that started it ends, whatever it dies of.
fn die_with_parent() {
    // SAFETY: a plain request without pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}
