//! What CI holds against every change, beside the tests.

use crate::tasks::cargo;
use std::process::ExitCode;

/// fmt, clippy with warnings as errors, documentation with warnings as errors.
pub(crate) fn check(args: &[String]) -> Result<ExitCode, String> {
    if !args.is_empty() {
        return Err("`check` takes no arguments".into());
    }
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    // One rustdoc at a time of the crates that a reader opens; private items included, since the house is read as one.
    cargo(&["rustdoc", "--release", "--package", "opus-dsd-contract", "--lib", "--", "-D", "warnings"])?;
    println!("check: all clean");
    Ok(ExitCode::SUCCESS)
}
