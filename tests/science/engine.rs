//! The engine, driven as the worker drives it, with settings that the command line does not offer.

use crate::runs::{self, Run};
use contract::{Command, Event, TrainOutcome, TrainSettings, TrainSpec, pipes};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;

/// Trains on what a job has prepared, with its settings changed; the job's folder stays as it is.
pub(crate) fn train(from: &Run, name: &str, change: impl FnOnce(&mut TrainSettings)) -> TrainOutcome {
    let text = std::fs::read_to_string(from.job.join("settings.json")).unwrap();
    let provenance: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut settings: TrainSettings = serde_json::from_value(provenance["settings"]["train"].clone()).unwrap();
    change(&mut settings);
    let folder = runs::scratch(name);
    for inner in ["checkpoint", "monitor"] {
        std::fs::create_dir_all(folder.join(inner)).unwrap();
    }
    let spec = TrainSpec {
        prepared: from.job.join("prepared/prepared.json"),
        base: Some(from.job.join("base.mrc")),
        mask: from.job.join("mask.mrc"),
        scores: settings.warm_start.map(|_| from.job.join("subspace/scores.npy")),
        checkpoints: folder.join("checkpoint"),
        load: None,
        preview: folder.join("preview.mrc"),
        preview_origin_angstrom: [0.0; 3],
        monitor: folder.join("monitor"),
        settings,
        device: "cpu".into(),
        threads: 1,
        world: None,
    };
    command(&Command::Train(Box::new(spec)))
}

/// Sends one command to a fresh engine and waits until it has trained.
fn command(command: &Command) -> TrainOutcome {
    let (commands_read, commands_write) = pipe();
    let (events_read, events_write) = pipe();
    let inherited = [commands_read.as_raw_fd(), events_write.as_raw_fd()];
    let mut process = std::process::Command::new(Path::new(runs::program()).with_file_name("opus-dsd-engine"));
    process.env(pipes::COMMANDS, inherited[0].to_string()).env(pipes::EVENTS, inherited[1].to_string()).env("OMP_NUM_THREADS", "1");
    // SAFETY: fcntl is async-signal-safe; both descriptors are open in the child.
    unsafe {
        process.pre_exec(move || {
            inherited.iter().for_each(|fd| {
                libc::fcntl(*fd, libc::F_SETFD, 0);
            });
            Ok(())
        });
    }
    let mut child = process.spawn().unwrap();
    drop((commands_read, events_write));
    let mut commands = File::from(commands_write);
    writeln!(commands, "{}", serde_json::to_string(command).unwrap()).unwrap();
    let mut outcome = None;
    for line in BufReader::new(File::from(events_read)).lines().map_while(Result::ok) {
        match serde_json::from_str::<Event>(&line).unwrap() {
            Event::Trained(trained) => {
                outcome = Some(trained);
                break;
            }
            Event::Failed { problem } => panic!("{problem}"),
            _ => {}
        }
    }
    writeln!(commands, "{}", serde_json::to_string(&Command::Shutdown).unwrap()).unwrap();
    child.wait().unwrap();
    outcome.expect("the engine trained")
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: two fresh descriptors, each owned once.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}
