//! Real Scipion (pyworkflow and pwem, headless) runs our plugin, installed as a user's `pip install` makes it, on a small set. The steps are
//! Python, in the plugin; here they get an interpreter that has the host (`OPUS_DSD_SCIPION_PYTHON`) and the programs that were just built.
//! Without it the tests fail under CI and say loudly elsewhere that they were skipped.

#[path = "support/skip.rs"]
mod skip;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names the interpreter.
const INTERPRETER: &str = "OPUS_DSD_SCIPION_PYTHON";

/// Without it Scipion ends when a project is made.
const HOSTS: &str = "[localhost]\nPARALLEL_COMMAND = mpirun -np %_(JOB_NODES)d %_(COMMAND)s\n";

fn interpreter() -> Option<OsString> {
    let found = std::env::var_os(INTERPRETER);
    if found.is_none() {
        skip::skipped_outside_ci(format_args!(
            "{INTERPRETER} is not set (a Python that has plugin-manifests/scipion/requirements-test.txt)"
        ));
    }
    found
}

/// The installed plugin.
fn site(python: &OsString) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--target"]);
        succeeds(pip.arg(folder.path()).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-manifests/scipion")));
        folder
    });
    folder.path().to_path_buf()
}

/// Runs one module of the plugin's tests, in a Scipion of its own.
fn run(module: &str) {
    let Some(python) = interpreter() else { return };
    let front = Path::new(env!("CARGO_BIN_EXE_opus-dsd"));
    let engine = front.with_file_name("opus-dsd-engine");
    assert!(engine.exists(), "{} is missing: run `cargo xtask build` first", engine.display());
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("config")).unwrap();
    std::fs::write(home.path().join("config/hosts.conf"), HOSTS).unwrap();
    let mut unittest = Command::new(&python);
    unittest
        .args(["-W", "ignore", "-m", "unittest", "--verbose", &format!("opusdsdrs.tests.{module}")])
        .current_dir(home.path())
        .env("SCIPION_HOME", home.path())
        .env("SCIPION_USER_DATA", home.path().join("data"))
        .env("SCIPION_DOMAIN", "pwem")
        .env("SCIPION_PYTHON", &python)
        .env("SCIPION_NOTIFY", "False")
        .env("OPUSDSD_RS_BIN", front)
        .env("PYTHONPATH", site(&python))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("OMP_NUM_THREADS", "1");
    succeeds(&mut unittest);
}

fn succeeds(command: &mut Command) {
    let done = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{command:?}\n{}\n{}", text(&done.stdout), text(&done.stderr));
}

#[test]
fn forms_and_command_lines_come_from_the_manifest() {
    run("test_form");
}

#[test]
fn jobs_hand_on_to_other_protocols() {
    run("test_workflow");
}

#[test]
fn stop_continue_and_changed_values_leave_the_right_outputs() {
    run("test_life");
}

#[test]
fn steps_go_through_a_queue() {
    run("test_queue");
}
