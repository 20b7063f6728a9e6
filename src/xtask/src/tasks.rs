//! Build, run and test: one profile for all of them.

use crate::pins::root;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Builds every executable of the product.
pub(crate) fn build() -> Result<ExitCode, String> {
    cargo(&["build", "--release", "--bins", "--package", "opus-dsd", "--package", "opus-dsd-engine"])
}

/// Where cargo builds.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where the executables are.
pub(crate) fn release_folder() -> PathBuf {
    target_folder().join("release")
}

/// Runs the front with the arguments after `--`.
pub(crate) fn run(args: &[String]) -> Result<ExitCode, String> {
    let args = match args.first().map(String::as_str) {
        Some("--") => &args[1..],
        _ => args,
    };
    let front = release_folder().join("opus-dsd");
    let status = Command::new(&front).args(args).status().map_err(|e| format!("{}: {e}", front.display()))?;
    Ok(ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)))
}

/// Rewrites the files that are made from the option table.
pub(crate) fn generate() -> Result<ExitCode, String> {
    run(&["manifest".to_owned(), "--write".into(), root().display().to_string()])
}

/// Runs all tests of the workspace: one thread for each torch program, parallelism from the runner. Without `args` also every bench once,
/// unmeasured.
pub(crate) fn test(args: &[String]) -> Result<ExitCode, String> {
    build()?;
    let mut all = vec!["test", "--release", "--workspace", "--no-fail-fast"];
    all.extend(args.iter().map(String::as_str));
    let tested = cargo(&all)?;
    if args.is_empty() {
        let named = ["kernels", "slices", "images", "parse"].into_iter().flat_map(|name| ["--bench", name]);
        let once: Vec<&str> = ["bench", "--workspace"].into_iter().chain(named).chain(["--", "--test"]).collect();
        cargo(&once)?;
    }
    Ok(tested)
}

/// Runs cargo in the workspace; its failure is an error that names the command.
pub(crate) fn cargo(args: &[&str]) -> Result<ExitCode, String> {
    cargo_with(args, &[])
}

/// The same with further environment variables.
pub(crate) fn cargo_with(args: &[&str], environment: &[(&str, &str)]) -> Result<ExitCode, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    // Busy waiting of several OpenMP pools on few cores costs many times the work itself.
    command.args(args).current_dir(root()).env("OMP_NUM_THREADS", "1").env("INSTA_UPDATE", "no");
    command.envs(environment.iter().copied());
    let status = command.status().map_err(|e| format!("cargo could not be started: {e}"))?;
    if status.success() { Ok(ExitCode::SUCCESS) } else { Err(format!("`cargo {}` failed", args.join(" "))) }
}
