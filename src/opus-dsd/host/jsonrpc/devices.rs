//! What a job can run on. Only the engine knows, and to start it takes seconds, so it is asked once, on a thread of its own, when a client
//! first wants to know.

use crate::job::engine_process::Engine;
use contract::{Device, Problem, Result};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Time that a client waits for the list; a slow shared disk takes long to give the engine's libraries.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clients' questions that wait at a time.
const MOST_WAITING: usize = 64;
/// The engine answers with its devices before it computes anything.
const THREADS: usize = 1;

/// Asks the engine; takes seconds.
pub(super) fn ask() -> Result<Vec<Device>> {
    let mut engine = Engine::start(THREADS, |_| {})?;
    engine.greet()?;
    Ok(engine.devices.clone())
}

/// The list, once it is known, and who waits for it.
#[derive(Default)]
pub(super) struct Devices {
    known: Option<Vec<Device>>,
    asked: bool,
    waiting: Vec<(Value, Instant)>,
}

/// What to do for a client that wants the list.
pub(super) enum Next {
    /// Answer at once.
    Answer(std::result::Result<Vec<Device>, Problem>),
    /// Ask the engine; the answer comes later.
    Ask,
    /// The engine is asked already; the answer comes later.
    Wait,
}

impl Devices {
    /// A client wants the list.
    pub(super) fn want(&mut self, id: &Value) -> Next {
        if let Some(known) = &self.known {
            return Next::Answer(Ok(known.clone()));
        }
        if self.waiting.len() >= MOST_WAITING {
            return Next::Answer(Err(late()));
        }
        self.waiting.push((id.clone(), Instant::now()));
        if std::mem::replace(&mut self.asked, true) { Next::Wait } else { Next::Ask }
    }

    /// The engine has answered; who waited for it. A failure is not kept, so that the next client asks again.
    pub(super) fn found(&mut self, outcome: &Result<Vec<Device>>) -> Vec<Value> {
        self.asked = false;
        self.known = outcome.as_ref().ok().cloned();
        self.waiting.drain(..).map(|(id, _)| id).collect()
    }

    /// Who has waited too long (`all`: whoever waits), and what to tell them.
    pub(super) fn overdue(&mut self, all: bool) -> (Vec<Value>, Problem) {
        let late_ones = self.waiting.extract_if(.., |(_, since)| all || since.elapsed() > PATIENCE);
        (late_ones.map(|(id, _)| id).collect(), late())
    }

    /// Whether anybody waits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }
}

fn late() -> Problem {
    Problem::failed("the engine has not yet said what it can run on")
        .at("devices")
        .hint("ask again; the disk that holds libtorch may be slow")
}
