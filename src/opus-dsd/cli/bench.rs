//! `bench`: starts the engine with its own argument line; the engine measures itself.

use crate::job::engine_process;
use clap::{Arg, Command};
use contract::{Kind, Problem, Result};
use std::os::unix::process::ExitStatusExt;

pub(super) fn command() -> Command {
    Command::new("bench")
        .about("Measures a training step and its parts on this machine; `bench --help` for its options")
        .arg(Arg::new("options").num_args(..).trailing_var_arg(true).allow_hyphen_values(true))
}

/// Runs the engine's `bench` on the words after the verb and returns its exit status.
pub(super) fn run(words: &[String]) -> Result<u8> {
    let program = engine_process::locate()?;
    let mut engine = std::process::Command::new(&program);
    engine.arg("bench").args(words);
    // As for a job; libtorch reads it before it reads the engine's own options.
    if std::env::var_os("OMP_WAIT_POLICY").is_none() {
        engine.env("OMP_WAIT_POLICY", "passive");
    }
    let status =
        engine.status().map_err(|e| Problem::failed(format!("the engine cannot be started: {e}")).at(program.display().to_string()))?;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(1)),
        (None, signal) => {
            Err(Problem::new(Kind::Failed, format!("ended by signal {}", signal.unwrap_or(0))).at(program.display().to_string()))
        }
    }
}
