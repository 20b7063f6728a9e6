//! The engine as a process: found, started, greeted, spoken to. Commands and events are JSON lines on two pipes of their own, since
//! libraries print on stdout.

use super::process;
use crate::BUILD_ID;
use contract::{Command, Device, Event, Kind, Problem, Result, VERSION, pipes};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Overrides where the engine is.
const ENGINE_VARIABLE: &str = "OPUS_DSD_ENGINE";
const ENGINE_NAME: &str = "opus-dsd-engine";
/// Loading libtorch with CUDA from a slow shared disk takes minutes the first time.
const GREETING_TIMEOUT: Duration = Duration::from_secs(300);
/// Time that the engine has to leave when asked.
const FAREWELL: Duration = Duration::from_secs(2);
/// Time that the worker has to notice the engine's end by itself.
const HEARING: Duration = Duration::from_millis(500);
/// Who is to blame for an end of the engine.
const CULPRIT: &str = "engine process";

/// A running engine.
pub(crate) struct Engine {
    child: Child,
    commands: File,
    events: Receiver<std::result::Result<Event, String>>,
    /// Somebody has noticed the engine's end, or asked for it.
    heard: Arc<AtomicBool>,
    /// libtorch's version.
    pub(crate) torch: String,
    /// What it can run on, best first.
    pub(crate) devices: Vec<Device>,
}

impl Engine {
    /// Starts the engine; it loads while the caller goes on. Call [`Engine::greet`] before the first command.
    ///
    /// An end of the engine that nobody waits for (the worker is at a stage of its own) is told to `unheard` after a moment.
    /// Must be called from a thread that lives as long as the process: the engine dies with it.
    pub(crate) fn start(threads: usize, unheard: impl FnOnce(Problem) + Send + 'static) -> Result<Self> {
        let program = locate()?;
        let (commands_read, commands_write) = pipe()?;
        let (events_read, events_write) = pipe()?;
        let mut command = std::process::Command::new(&program);
        let inherited = [commands_read.as_raw_fd(), events_write.as_raw_fd()];
        command.env(pipes::COMMANDS, inherited[0].to_string()).env(pipes::EVENTS, inherited[1].to_string());
        command.stdin(std::process::Stdio::null());
        for (name, value) in [("OMP_NUM_THREADS", threads.to_string()), ("OMP_WAIT_POLICY", "passive".into())] {
            // Busy waiting costs many times the work where cores are shared.
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        process::tie_to_parent(&mut command, false);
        // SAFETY: fcntl is async-signal-safe; both descriptors are open in the child.
        unsafe {
            command.pre_exec(move || {
                for descriptor in inherited {
                    if libc::fcntl(descriptor, libc::F_SETFD, 0) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn().map_err(|e| {
            Problem::failed(format!("the engine cannot be started: {e}"))
                .at(program.display().to_string())
                .hint(format!("build it with `cargo xtask build`, or name it in `{ENGINE_VARIABLE}`"))
        })?;
        // Our copies of the engine's ends must close, or its death would not end the pipes.
        drop((commands_read, events_write));
        let (sender, events) = channel();
        let heard = Arc::new(AtomicBool::new(false));
        let (pid, heard_by_worker) = (child.id(), Arc::clone(&heard));
        std::thread::spawn(move || {
            for line in BufReader::new(File::from(events_read)).lines().map_while(std::result::Result::ok) {
                let event = serde_json::from_str(&line).map_err(|e| format!("{e}: {line}"));
                if sender.send(event).is_err() {
                    break;
                }
            }
            drop(sender);
            std::thread::sleep(HEARING);
            if !heard.load(Ordering::SeqCst) {
                let (cause, hint) = process::cause_of_child(pid);
                unheard(Problem::failed(cause).at(CULPRIT).hint(hint));
            }
        });
        Ok(Self { child, commands: File::from(commands_write), events, heard: heard_by_worker, torch: String::new(), devices: Vec::new() })
    }

    /// Waits for the engine's first message and refuses one of another build.
    pub(crate) fn greet(&mut self) -> Result<()> {
        if !self.devices.is_empty() {
            return Ok(());
        }
        match self.next(GREETING_TIMEOUT)? {
            Some(Event::Hello { version, build_id, torch, devices }) => {
                if build_id != BUILD_ID {
                    return Err(Problem::failed(format!(
                        "the engine is of another build ({version}, `{build_id}`) than this program ({VERSION}, `{BUILD_ID}`)"
                    ))
                    .at(locate()?.display().to_string())
                    .hint("build both together with `cargo xtask build`, or unpack one release"));
                }
                if devices.is_empty() {
                    return Err(Problem::new(Kind::Device, "the engine found nothing to run on")
                        .hint("set up libtorch again with `cargo xtask setup`"));
                }
                self.torch = torch;
                self.devices = devices;
                Ok(())
            }
            Some(Event::Failed { problem }) => Err(problem),
            Some(other) => Err(Problem::failed(format!("the engine did not greet: {other:?}")).at(ENGINE_NAME)),
            None => Err(Problem::failed(format!("the engine did not answer within {} s", GREETING_TIMEOUT.as_secs()))
                .at(ENGINE_NAME)
                .hint("the disk that holds libtorch may be very slow; start the same job again")),
        }
    }

    /// Sends a command. A broken pipe is the engine's death and is reported as such.
    pub(crate) fn send(&mut self, command: &Command) -> Result<()> {
        let mut line = serde_json::to_vec(command).map_err(|e| Problem::failed(format!("a command cannot be written: {e}")))?;
        line.push(b'\n');
        if self.commands.write_all(&line).is_err() {
            return Err(self.post_mortem());
        }
        Ok(())
    }

    /// A second handle on the command pipe, for the wish to stop.
    pub(crate) fn commands(&self) -> Result<File> {
        self.commands.try_clone().map_err(|e| Problem::failed(format!("the engine's pipe cannot be doubled: {e}")))
    }

    /// The next event; `None` after `timeout`.
    ///
    /// # Errors
    /// The engine's death, with its cause.
    pub(crate) fn next(&mut self, timeout: Duration) -> Result<Option<Event>> {
        match self.events.recv_timeout(timeout) {
            Ok(Ok(event)) => Ok(Some(event)),
            Ok(Err(what)) => Err(Problem::failed(format!("the engine's message was not understood: {what}")).at(ENGINE_NAME)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.post_mortem()),
        }
    }

    /// Number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once; for an engine that has nothing to bring to an end.
    pub(crate) fn kill(&mut self) {
        self.heard.store(true, Ordering::SeqCst);
        // One that is gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn post_mortem(&mut self) -> Problem {
        self.heard.store(true, Ordering::SeqCst);
        match self.child.wait() {
            Ok(status) => {
                let (cause, hint) = process::plain_cause(status);
                Problem::failed(cause).at(CULPRIT).hint(hint)
            }
            Err(e) => Problem::failed(format!("the engine is gone: {e}")).at(CULPRIT),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.heard.store(true, Ordering::SeqCst);
        let _ = self.commands.write_all(b"{\"command\":\"shutdown\"}\n");
        let until = std::time::Instant::now() + FAREWELL;
        while std::time::Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The engine beside the real path of this executable, or where the environment says.
///
/// # Errors
/// It is not there.
pub(crate) fn locate() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(ENGINE_VARIABLE) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Problem::failed("no such file")
                .at(format!("{ENGINE_VARIABLE}={}", path.display()))
                .hint("name the engine's executable, or unset the variable"))
        };
    }
    let own = std::env::current_exe().and_then(std::fs::canonicalize).map_err(|e| Problem::failed(format!("own path unknown: {e}")))?;
    let engine = own.with_file_name(ENGINE_NAME);
    if engine.is_file() {
        return Ok(engine);
    }
    Err(Problem::failed("the engine's executable is missing")
        .at(engine.display().to_string())
        .hint(format!("build it with `cargo xtask build`, keep both executables in one folder, or name it in `{ENGINE_VARIABLE}`")))
}

/// A pipe that no other child inherits: (read end, write end).
fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors; both are owned from here on.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(Problem::failed(format!("no pipe: {}", std::io::Error::last_os_error())));
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}
