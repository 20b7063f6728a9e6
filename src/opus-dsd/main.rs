//! The front of `opus-dsd`: parse, resolve, run, exit status.
//!
//! What a host starts is the guard ([`job::guard`]); it starts this same executable again as the worker ([`job::worker`]), which runs the
//! stages and talks to the engine. No tensor library is linked here, so help and errors come at once.

// `println!` panics where the reader has gone; `job::console::print` does not.
#![deny(clippy::print_stdout)]

mod cli;
mod doctor;
mod host;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod hypot;
mod job;
mod machine;
mod settings;

use std::process::ExitCode;

/// Identifies the sources that this front was built from; the engine must carry the same one.
pub(crate) const BUILD_ID: &str = env!("OPUS_DSD_BUILD_ID");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    ExitCode::from(cli::run(&arguments))
}
