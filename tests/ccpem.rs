//! The real CCP-EM Pipeliner installs our package, builds its forms, and runs its jobs on a small set. The steps are Python, beside the
//! package; here they get an interpreter that has `ccpem-pipeliner` (`OPUS_DSD_CCPEM_PYTHON`) and the programs that were just built. Without
//! it the tests fail under CI and say loudly elsewhere that they were skipped.

#[path = "support/skip.rs"]
mod skip;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names the interpreter.
const INTERPRETER: &str = "OPUS_DSD_CCPEM_PYTHON";

fn interpreter() -> Option<OsString> {
    let found = std::env::var_os(INTERPRETER);
    if found.is_none() {
        skip::skipped_outside_ci(format_args!("{INTERPRETER} is not set (a Python that has ccpem-pipeliner and flit_core)"));
    }
    found
}

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-manifests/ccpem")
}

/// A folder with the package as a user's `pip install` makes it, so that what a wheel leaves out is missed.
fn installed(python: &OsString) -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let site = folder.path().join("site");
            let mut pip = Command::new(python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--target"]);
            succeeds(pip.arg(&site).arg(package()));
            folder
        })
        .path()
}

/// Runs one file or class of the Python tests.
fn run(tests: &str) {
    let Some(python) = interpreter() else { return };
    let front = Path::new(env!("CARGO_BIN_EXE_opus-dsd"));
    let engine = front.with_file_name("opus-dsd-engine");
    assert!(engine.exists(), "{} is missing: run `cargo xtask build` first", engine.display());
    let folder = installed(&python);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(front.parent().unwrap().to_path_buf()).chain(std::env::split_paths(&paths));
    let mut unittest = Command::new(&python);
    unittest
        .args(["-m", "unittest", "--verbose", tests])
        .current_dir(package().join("tests"))
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("PYTHONPATH", folder.join("site"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // The host keeps a settings file below this folder.
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("OMP_NUM_THREADS", "1");
    succeeds(&mut unittest);
}

fn succeeds(command: &mut Command) {
    let done = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&done.stderr).lines().filter_map(|line| line.strip_prefix("SKIPPED: ")).for_each(skip::skipped);
    assert!(done.status.success(), "{command:?}\n{}\n{}", text(&done.stdout), text(&done.stderr));
}

#[test]
fn forms_and_command_lines_come_from_the_manifest() {
    run("test_forms");
}

#[test]
fn jobs_run_continue_abort_and_hand_on() {
    run("test_project.Story");
}

#[test]
fn mistakes_are_told() {
    run("test_project.Mistakes");
}
