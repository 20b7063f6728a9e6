//! Sets and trained jobs. Tests share them: each is run once.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

/// The front's executable.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_opus-dsd")
}

/// A job that has ended well.
pub(crate) struct Run {
    /// The set's folder: `particles.star`, `mask.mrc`, `labels.csv`.
    pub(crate) set: PathBuf,
    /// The job's folder.
    pub(crate) job: PathBuf,
    /// CPU time of all its processes.
    pub(crate) cpu_seconds: f64,
}

/// adk-path-tiny with the defaults.
pub(crate) fn adk() -> Option<&'static Run> {
    static RUN: OnceLock<Option<Run>> = OnceLock::new();
    RUN.get_or_init(|| tiny("adk-path-tiny").map(|set| train("adk", &set, ""))).as_ref()
}

/// adk-path-tiny without a warm start.
pub(crate) fn adk_from_scratch() -> Option<&'static Run> {
    static RUN: OnceLock<Option<Run>> = OnceLock::new();
    RUN.get_or_init(|| tiny("adk-path-tiny").map(|set| train("adk-from-scratch", &set, "--warm-start no"))).as_ref()
}

/// adk-path-tiny at a tenth of the signal, with the defaults.
pub(crate) fn adk_noisy() -> Option<&'static Run> {
    static RUN: OnceLock<Option<Run>> = OnceLock::new();
    RUN.get_or_init(|| noisy_set().map(|set| train("adk-noisy", &set, ""))).as_ref()
}

/// compose-4-tiny with the defaults and as many clusters as it has states.
pub(crate) fn compose() -> Option<&'static Run> {
    static RUN: OnceLock<Option<Run>> = OnceLock::new();
    RUN.get_or_init(|| tiny("compose-4-tiny").map(|set| train("compose", &set, "--clusters 4"))).as_ref()
}

/// A set of the extra data's `tiny` folder.
pub(crate) fn tiny(name: &str) -> Option<PathBuf> {
    Some(extra_data()?.join("tiny").join(name)).filter(|set| {
        let there = set.join("particles.star").exists();
        if !there {
            crate::skip::skipped(format_args!("{} is missing", set.display()));
        }
        there
    })
}

fn extra_data() -> Option<PathBuf> {
    let found = std::env::var_os("OPUS_DSD_EXTRA_DATA").and_then(|folder| PathBuf::from(folder).canonicalize().ok());
    if found.is_none() {
        crate::skip::skipped("no extra data; name their folder in OPUS_DSD_EXTRA_DATA");
    }
    found
}

/// Made by the reference simulator beside the extra data, where Python with numpy and scipy can run it.
fn noisy_set() -> Option<PathBuf> {
    const NAME: &str = "adk-path-tiny-snr001";
    let data = extra_data()?;
    let script = data.join("../tools/make-data.sh");
    let python = std::env::var("OPUS_DSD_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let able = Command::new(&python).args(["-c", "import numpy, scipy"]).output().is_ok_and(|o| o.status.success());
    if !able || !script.exists() {
        crate::skip::skipped(format_args!(
            "{NAME} cannot be made: it needs {} and numpy and scipy for {python} (OPUS_DSD_TEST_PYTHON)",
            script.display()
        ));
        return None;
    }
    let folder = scratch("made");
    let mut command = Command::new("bash");
    command.arg(&script).arg(&folder).arg(NAME).env("PY", python).env("MODELS", data.join("models")).env("OMP_NUM_THREADS", "1");
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(folder.join(NAME))
}

/// A folder for one test program's run, below the build folder; those of programs that are gone are removed.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("science");
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            if !Path::new("/proc").join(entry.file_name()).exists() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        all.join(std::process::id().to_string())
    });
    let folder = root.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A set made by `simulate`.
pub(crate) fn simulate(name: &str, options: &str) -> PathBuf {
    let folder = scratch(name);
    let made = Command::new(program()).arg("simulate").arg("--o").arg(&folder).args(options.split_whitespace()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

/// Trains on a set with preset tiny on the CPU, with one thread.
pub(crate) fn train(name: &str, set: &Path, more: &str) -> Run {
    let (status, run) = attempt(name, set, more);
    let errors = std::fs::read_to_string(run.job.join("run.err")).unwrap_or_default();
    assert_eq!(status, 0, "{name}: {errors}");
    run
}

/// The same, which may fail, and its exit status.
pub(crate) fn attempt(name: &str, set: &Path, more: &str) -> (i32, Run) {
    let job = scratch(name).join("job");
    let mut command = Command::new(program());
    command.args(["train", "--preset", "tiny", "--device", "cpu", "--j", "1"]);
    command.arg("--o").arg(&job).arg("--in_parts").arg(set.join("particles.star")).arg("--in_mask").arg(set.join("mask.mrc"));
    command.args(more.split_whitespace()).env("OMP_NUM_THREADS", "1");
    let (status, cpu_seconds) = timed(command, &scratch(name).join("console"));
    (status, Run { set: set.to_path_buf(), job, cpu_seconds })
}

/// Decodes maps of a job into a folder beside it; `what` is the rest of the command line.
pub(crate) fn decode(run: &Run, name: &str, what: &str) -> PathBuf {
    let folder = run.job.with_file_name(name);
    let mut command = Command::new(program());
    command.args(["decode", "--device", "cpu", "--j", "1", "--job"]).arg(&run.job).arg("--o").arg(&folder).args(what.split_whitespace());
    let ended = command.env("OMP_NUM_THREADS", "1").output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    folder
}

/// Encodes particles with a job's model into a folder beside it.
pub(crate) fn encode(run: &Run, name: &str, particles: &Path) -> PathBuf {
    let folder = run.job.with_file_name(name);
    let mut command = Command::new(program());
    command.args(["encode", "--device", "cpu", "--j", "1", "--job"]).arg(&run.job).arg("--o").arg(&folder).arg("--in_parts").arg(particles);
    let ended = command.env("OMP_NUM_THREADS", "1").output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    folder
}

/// Exit status and CPU seconds of a process and of all that it waited for.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it, since std gives no usage")]
fn timed(mut command: Command, console: &Path) -> (i32, f64) {
    let lines = File::create(console).unwrap();
    let child = command.stdout(lines.try_clone().unwrap()).stderr(lines).spawn().unwrap();
    let mut status = 0;
    // SAFETY: plain system call on a child of this process that nothing else waits for; both places are valid.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage), child.id() as i32);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + 1e-6 * t.tv_usec as f64;
    let exit_status = ExitStatus::from_raw(status).code().unwrap_or_else(|| panic!("ended by a signal: {status}"));
    (exit_status, seconds(usage.ru_utime) + seconds(usage.ru_stime))
}
