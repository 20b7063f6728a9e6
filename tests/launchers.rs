//! Jobs whose processes mpirun and torchrun start, the real ones, on the CPU of this machine.

#[path = "support/job.rs"]
mod job;
#[path = "support/skip.rs"]
mod skip;

use job::{Project, descendants, is_alive, signal, wait_for};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const JOB: &str = "External/job001";
/// A loaded machine may take this long to come to a stage.
const PATIENCE: Duration = Duration::from_secs(240);

/// A launcher of two processes.
struct Launcher {
    name: &'static str,
    program: PathBuf,
    arguments: &'static [&'static str],
    /// What it sets for the second process.
    second: &'static str,
}

/// Those that are installed.
fn launchers() -> Vec<Launcher> {
    // Of the tests' Python, which is no virtual environment where it is the system's.
    let beside = std::env::var_os("OPUS_DSD_TEST_PYTHON").map(|python| Path::new(&python).with_file_name("torchrun"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    let known = [
        // A container's user is often root, and its processors may be fewer than two.
        ("mpirun", found("mpirun"), &["--allow-run-as-root", "--oversubscribe", "-n", "2"] as &[&str], "OMPI_COMM_WORLD_RANK=1"),
        (
            "torchrun",
            beside.filter(|program| program.is_file()).or_else(|| found("torchrun")),
            &["--standalone", "--no-python", "--nproc-per-node", "2"],
            "RANK=1",
        ),
    ];
    let mut launchers = Vec::new();
    for (name, program, arguments, second) in known {
        match program {
            Some(program) => launchers.push(Launcher { name, program, arguments, second }),
            None => skip::skipped_outside_ci(format_args!(
                "no `{name}` on PATH or beside OPUS_DSD_TEST_PYTHON: jobs that it starts were not tried"
            )),
        }
    }
    launchers
}

impl Launcher {
    fn start(&self, project: &Project, more: &str) -> Child {
        job::engine();
        let one = project.command(&job::train_line(JOB, more));
        let mut command = Command::new(&self.program);
        command.args(self.arguments).arg(one.get_program()).args(one.get_args()).current_dir(project.path(""));
        // In a group of its own: a launcher may signal all of its group.
        command
            .env("OMP_NUM_THREADS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap()
    }

    /// The engine of the second process.
    fn second_engine(&self, below: &[u32]) -> u32 {
        let is_it = |pid: u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            name.starts_with("opus-dsd-engine") && environment.split(|&byte| byte == 0).any(|variable| variable == self.second.as_bytes())
        };
        below.iter().copied().find(|&pid| is_it(pid)).expect("the second process has an engine")
    }
}

#[test]
fn processes_of_a_launcher_write_one_job() {
    for launcher in launchers() {
        let name = launcher.name;
        let project = Project::new();
        let mut process = launcher.start(&project, "--epochs 2 --clusters 2 --plot no");
        wait_for("the launcher", PATIENCE, || process.try_wait().unwrap().is_some());
        let status = process.wait().unwrap();
        let log = project.text(JOB, "rank001.log");
        assert_eq!(status.code(), Some(0), "{name}: {}{log}", project.text(JOB, "run.err"));
        let out = project.text(JOB, "run.out");
        assert!(out.contains(&format!("2 processes train together, started by {name}")), "{name}: {out}");
        assert_eq!(out.matches("epoch 2/2").count(), 1, "{name}: {out}");
        assert!(log.contains("trains on cpu") && log.contains("the job has ended well"), "{name}: {log}");
        assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_SUCCESS"], "{name}");
        assert!(!project.path(JOB).join("launch.json").exists(), "{name}");
    }
}

#[test]
fn a_killed_engine_ends_the_launch_with_its_cause() {
    for launcher in launchers() {
        let name = launcher.name;
        let project = Project::new();
        let mut process = launcher.start(&project, "--epochs 4000 --clusters 2 --plot no");
        wait_for("training", PATIENCE, || project.text(JOB, "run.out").contains("epoch 1/"));
        let below = descendants(process.id());
        let began = Instant::now();
        signal(launcher.second_engine(&below), libc::SIGKILL);
        wait_for("the launcher", PATIENCE, || process.try_wait().unwrap().is_some());
        let status = process.wait().unwrap();
        let took = began.elapsed();
        println!("{name}: ended after {took:?} with {status}");
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
        assert!(!status.success(), "{name}: {status}");
        let error = project.last_error(JOB);
        assert!(error.contains("rank 1 on ") && error.contains("was killed (SIGKILL)"), "{name}: {error}");
        assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"], "{name}");
        let left: Vec<u32> = below.into_iter().filter(|&pid| is_alive(pid)).collect();
        assert!(left.is_empty(), "{name}: left behind: {left:?}");
    }
}
