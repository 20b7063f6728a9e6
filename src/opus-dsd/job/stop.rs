//! The wish to stop, from the guard to wherever the worker is.
//!
//! The guard writes a line to the worker's stdin. While the engine trains, the wish is passed on as a command and the worker ends when the
//! engine has left a checkpoint; at any other moment the worker ends at once, since every file that it writes is whole or not there.

use contract::{Command, Kind};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared between the worker's thread that listens and the one that works.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    wish: Option<Kind>,
    training: Option<File>,
}

impl Stop {
    /// The wish, where there is one.
    pub(crate) fn wish(&self) -> Option<Kind> {
        self.lock().wish
    }

    /// Passes the wish on, or ends the process where nothing has to be brought to an end in order.
    pub(crate) fn request(&self, kind: Kind) {
        let mut state = self.lock();
        if state.wish.is_some() {
            return;
        }
        state.wish = Some(kind);
        match &mut state.training {
            Some(commands) => send_stop(commands),
            None => std::process::exit(kind.exit_status().into()),
        }
    }

    /// From now on a wish goes to the engine; one that came before goes there at once.
    pub(crate) fn training_begins(&self, mut commands: File) {
        let mut state = self.lock();
        if state.wish.is_some() {
            send_stop(&mut commands);
        }
        state.training = Some(commands);
    }

    /// From now on a wish ends the process; one that came meanwhile, and was too late for the engine, does so now.
    pub(crate) fn training_ended(&self) {
        let mut state = self.lock();
        state.training = None;
        if let Some(kind) = state.wish {
            std::process::exit(kind.exit_status().into());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_stop(commands: &mut File) {
    // An engine that is gone is noticed where its events are read.
    if let Ok(mut line) = serde_json::to_vec(&Command::Stop) {
        line.push(b'\n');
        let _ = commands.write_all(&line);
    }
}
