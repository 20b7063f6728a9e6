//! `cargo xtask`: one entry for everything that a fresh clone needs.
//!
//! Standard library only: it must build in seconds, before anything else is there.

mod check;
mod dist;
mod pins;
mod setup;
mod tasks;

use std::process::ExitCode;

const USAGE: &str = "cargo xtask <task>

  setup [--cuda | --python PY]  fetch libtorch 2.11.0 into the user's cache (default: the CPU set)
                                --cuda: all CUDA 13 libraries; --python: use an installed PyTorch 2.11.0
  build                         release executables in target/release
  run -- ARGS                   build, then run `opus-dsd ARGS` (for instance: cargo xtask run -- demo)
  test [ARGS]                   all tests; ARGS go to `cargo test` (for instance a test's name)
  generate                      manifests, job settings and reference pages anew from the option table
  dist [--cuda] [--gzip]        a release archive in target/dist: executables, libtorch, plugins, docs, licences
                                --cuda: with all CUDA libraries; --gzip: .tar.gz instead of .tar.zst
  check                         fmt, clippy with warnings as errors, docs, stale generated files";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let task = args.first().map(String::as_str);
    let rest = args.get(1..).unwrap_or_default();
    let outcome = match task {
        Some("setup") => setup::setup(rest),
        Some("build") => setup::ensure().and_then(|()| tasks::build()),
        Some("run") => setup::ensure().and_then(|()| tasks::build()).and_then(|_| tasks::run(rest)),
        Some("test") => setup::ensure().and_then(|()| tasks::test(rest)),
        Some("check") => setup::ensure().and_then(|()| check::check(rest)),
        Some("generate") => setup::ensure().and_then(|()| tasks::build()).and_then(|_| tasks::generate()),
        Some("dist") => dist::dist(rest),
        Some("help" | "--help" | "-h") | None => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(format!("unknown task `{other}`\n\n{USAGE}")),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
