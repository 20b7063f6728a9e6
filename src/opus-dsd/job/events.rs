//! `events.jsonl`: the facts of run.out for machines, one JSON object a line.

use contract::{Problem, Result};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// An append-only log; each line has `time` (Unix seconds) besides the event's own fields.
pub(crate) struct EventLog(File);

#[derive(Serialize)]
struct Stamped<'a, T> {
    time: f64,
    #[serde(flatten)]
    event: &'a T,
}

/// What the worker itself has to tell.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum OwnEvent<'a> {
    /// The worker began.
    Begin { version: &'a str, command: &'a [String] },
    /// A stage begins.
    Stage { name: &'a str },
    /// A stage's outputs are there already.
    Fresh { name: &'a str },
    /// A stage is done.
    Done { name: &'a str, seconds: f64 },
    /// The job is complete.
    End,
    /// Why the job ends before it is complete.
    Problem { problem: &'a Problem },
}

impl EventLog {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("events.jsonl");
        OpenOptions::new().create(true).append(true).open(&path).map(Self).map_err(|e| Problem::io(&path, &e))
    }

    /// Adds a line. A log that cannot be written does not end a job whose files can be.
    pub(crate) fn add<T: Serialize>(&mut self, event: &T) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        if let Ok(mut line) = serde_json::to_vec(&Stamped { time, event }) {
            line.push(b'\n');
            let _ = self.0.write_all(&line);
        }
    }
}
