//! The engine as a process: hello, training, a stop in the middle, and an end when the pipe closes.

use crate::tiny_set::command;
use contract::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Engine {
    child: Child,
    commands: Option<File>,
    events: BufReader<File>,
}

fn pipe() -> (File, File) {
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: the array has room for both descriptors, which are owned from here on.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}

pub(crate) fn start() -> Engine {
    let ((command_end, commands), (events, event_end)) = (pipe(), pipe());
    let inherited = [command_end.as_raw_fd(), event_end.as_raw_fd()];
    let mut process = Process::new(env!("CARGO_BIN_EXE_opus-dsd-engine"));
    process.env(pipes::COMMANDS, inherited[0].to_string()).env(pipes::EVENTS, inherited[1].to_string()).stdin(Stdio::null());
    // SAFETY: fcntl is async-signal-safe.
    unsafe {
        process.pre_exec(move || {
            for descriptor in inherited {
                libc::fcntl(descriptor, libc::F_SETFD, 0);
            }
            Ok(())
        });
    }
    Engine { child: process.spawn().unwrap(), commands: Some(commands), events: BufReader::new(events) }
}

impl Engine {
    pub(crate) fn send(&mut self, command: &Command) {
        let text = serde_json::to_string(command).unwrap();
        writeln!(self.commands.as_mut().unwrap(), "{text}").unwrap();
    }

    fn next(&mut self) -> Option<Event> {
        let mut line = String::new();
        (self.events.read_line(&mut line).unwrap() > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    pub(crate) fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().expect("the engine left");
            if wanted(&event) {
                return event;
            }
        }
    }
}

impl Engine {
    /// The most memory that was resident so far.
    pub(crate) fn most_resident_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }
}

#[test]
fn trains_stops_and_leaves() {
    let place = tempfile::tempdir().unwrap();
    let mut spec = command(place.path());
    spec.settings.epochs = 500;
    let mut engine = start();
    let Some(Event::Hello { build_id, devices, .. }) = engine.next() else { panic!("no hello") };
    assert!(build_id == opus_dsd_engine::BUILD_ID && devices.last().unwrap().id == "cpu");
    engine.send(&Command::Train(Box::new(spec.clone())));
    engine.until(|event| matches!(event, Event::Epoch { .. }));
    let asked = Instant::now();
    engine.send(&Command::Stop);
    assert!(matches!(engine.until(|event| matches!(event, Event::Stopped | Event::Failed { .. })), Event::Stopped));
    assert!(asked.elapsed() < Duration::from_secs(5));
    // A failing command leaves the engine alive.
    spec.mask = place.path().join("missing.mrc");
    engine.send(&Command::Train(Box::new(spec.clone())));
    let Event::Failed { problem } = engine.until(|event| matches!(event, Event::Failed { .. })) else { unreachable!() };
    assert!(problem.to_string().contains("missing.mrc"), "{problem}");
    engine.send(&Command::Shutdown);
    assert!(engine.child.wait().unwrap().success());
}

#[test]
fn leaves_in_the_middle_when_nobody_commands_it_any_more() {
    let place = tempfile::tempdir().unwrap();
    let mut spec = command(place.path());
    spec.settings.epochs = 100_000;
    let mut engine = start();
    engine.send(&Command::Train(Box::new(spec)));
    engine.until(|event| matches!(event, Event::Checkpoint { .. }));
    engine.commands = None;
    let closed = Instant::now();
    while engine.child.try_wait().unwrap().is_none() {
        assert!(closed.elapsed() < Duration::from_secs(5), "the engine is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}
