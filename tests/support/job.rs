//! A scratch project with a small simulated set, and jobs in it, run through the built executables.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Particles of the simulated set: few, so that an epoch takes seconds.
pub(crate) const PARTICLES: usize = 96;

/// The front's executable.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_opus-dsd")
}

/// The engine beside it, which `cargo xtask test` builds first.
pub(crate) fn engine() -> PathBuf {
    let engine = Path::new(program()).with_file_name("opus-dsd-engine");
    assert!(engine.exists(), "{} is missing: run `cargo xtask build` first", engine.display());
    engine
}

/// A folder like a host's project: `sim/` holds particles, mask and map.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(simulated(), folder.path().join("sim")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same files in another folder.
    pub(crate) fn moved(self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.folder.path()).unwrap().flatten() {
            std::fs::rename(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Self { folder }
    }

    /// A command of the front in the project's folder; arguments are separated by blanks.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(program());
        command.args(arguments.split_whitespace()).current_dir(self.folder.path()).env("OMP_NUM_THREADS", "1");
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// A training job on the simulated set.
    pub(crate) fn train(&self, job: &str, more: &str) -> Ended {
        self.run(&train_line(job, more))
    }

    pub(crate) fn start(&self, job: &str, more: &str) -> Child {
        self.command(&train_line(job, more)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Which exit files a job has.
    pub(crate) fn exit_files(&self, job: &str) -> Vec<String> {
        let entries =
            std::fs::read_dir(self.path(job)).map(|d| d.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect());
        let mut names: Vec<String> = entries.unwrap_or_default();
        names.retain(|n| n.starts_with("RELION_JOB_EXIT_"));
        names.sort();
        names
    }

    /// A file of a job; empty where it is not there.
    pub(crate) fn text(&self, job: &str, file: &str) -> String {
        std::fs::read_to_string(self.path(job).join(file)).unwrap_or_default()
    }

    /// Last line of a job's run.err.
    pub(crate) fn last_error(&self, job: &str) -> String {
        let text = self.text(job, "run.err");
        text.lines().last().unwrap_or_default().to_owned()
    }
}

/// The job of [`trained`].
pub(crate) const TRAINED: &str = "External/job001";

/// A project with a trained job of two clusters, made once a test program.
pub(crate) fn trained() -> &'static Project {
    static PROJECT: OnceLock<Project> = OnceLock::new();
    PROJECT.get_or_init(|| {
        let project = Project::new();
        let ended = project.train(TRAINED, "--epochs 2 --clusters 2 --plot no");
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        project
    })
}

/// How `train` is called on the simulated set.
pub(crate) fn train_line(job: &str, more: &str) -> String {
    format!("train --o {job}/ --in_parts sim/particles.star --in_mask sim/mask.mrc --preset tiny --device cpu --j 1 {more}")
}

/// Two processes as srun would start them on this machine.
pub(crate) fn launched(project: &Project, job: &str, more: &str) -> [Command; 2] {
    [0, 1].map(|rank| {
        let mut command = project.command(&train_line(job, more));
        command.env("SLURM_JOB_ID", "71").env("SLURM_STEP_ID", "0").env("SLURM_STEP_NUM_TASKS", "2");
        command.env("SLURM_NODEID", "0").env("SLURM_STEP_TASKS_PER_NODE", "2");
        command.env("SLURM_PROCID", rank.to_string()).env("SLURM_LOCALID", rank.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    })
}

/// Lets a script that a test wrote be run.
pub(crate) fn make_executable(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A process that ended.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn last_error(&self) -> &str {
        self.err.lines().last().unwrap_or_default()
    }
}

/// The set, made once a test program.
fn simulated() -> &'static Path {
    static SET: OnceLock<tempfile::TempDir> = OnceLock::new();
    SET.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_string_lossy().into_owned();
        let particles = PARTICLES.to_string();
        let made = Command::new(program())
            .args(["simulate", "--o", &out, "-n", &particles, "--optics", "32:3.0", "--seed", "7"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        folder
    })
    .path()
}

/// Processes below one, from /proc.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).and_then(|p| p.parse::<u32>().ok());
        parents.insert(child, parent.unwrap_or(0));
    }
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, p)| **p == parent).map(|(c, _)| *c));
        next += 1;
    }
    found.split_off(1)
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| !s.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

pub(crate) fn signal(pid: u32, signal: i32) {
    // SAFETY: plain system call on a process that the test started.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Waits until something holds; how long it took.
pub(crate) fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}

/// Content of all files of a job but logs and what names the command.
pub(crate) fn files(job: &Path) -> BTreeMap<String, Vec<u8>> {
    const LOGS: [&str; 6] = ["run.out", "run.err", "events.jsonl", "note.txt", "settings.json", "process.json"];
    let mut all = BTreeMap::new();
    let mut folders = vec![job.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(job).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !LOGS.contains(&name.as_str()) {
                all.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    all
}
