//! What CI holds against every change, beside the tests.

use crate::tasks::{cargo, cargo_with};
use std::process::ExitCode;

/// fmt, clippy with warnings as errors, documentation with warnings as errors.
///
/// Generated files and snapshots are held against the code by the tests themselves, so that `test` alone finds a stale one too.
pub(crate) fn check(args: &[String]) -> Result<ExitCode, String> {
    if !args.is_empty() {
        return Err("`check` takes no arguments".into());
    }
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo_with(
        &["doc", "--release", "--workspace", "--no-deps", "--document-private-items", "--keep-going"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    println!("check: all clean");
    Ok(ExitCode::SUCCESS)
}
