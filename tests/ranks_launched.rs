//! Jobs whose processes a cluster's launcher started: how they are planned, and what becomes of one that dies before training.

#[path = "support/job.rs"]
mod job;

use job::{Project, descendants, is_alive, launched, signal, wait_for};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const JOB: &str = "External/job001";
/// A loaded machine may take this long to come to a stage.
const PATIENCE: Duration = Duration::from_secs(240);

/// An engine that says nothing, so that rank 0 waits for it where it asks for nothing else.
fn silent_engine(project: &Project) -> PathBuf {
    let path = project.path("silent-engine");
    std::fs::write(&path, "#!/bin/sh\nexec sleep 600\n").unwrap();
    job::make_executable(&path);
    path
}

/// Each of two processes on this machine has half of the batch and of the memory.
fn assert_planned_for_two(project: &Project) {
    let written: serde_json::Value = serde_json::from_str(&project.text(JOB, "settings.json")).unwrap();
    let settings = &written["settings"];
    let launched = &settings["grid"]["launched"];
    assert_eq!((&launched["processes"], &launched["here"]), (&2.into(), &2.into()), "{launched}");
    let images = |name: &str| settings["train"][name].as_u64().unwrap();
    assert_eq!(images("batch"), 2 * images("micro_batch"));
    let memory = project.text(JOB, "run.out").lines().find(|line| line.contains("memory of a step")).unwrap().to_owned();
    assert!(memory.contains("each of 2 processes"), "{memory}");
}

#[test]
fn a_dry_run_counts_the_launched_processes() {
    job::engine();
    let project = Project::new();
    let [mut first, mut second] = launched(&project, JOB, "--dry-run");
    let [first, second, alone, two] = [
        first.stdout(Stdio::piped()).output().unwrap(),
        second.stdout(Stdio::piped()).output().unwrap(),
        project.command(&job::train_line(JOB, "--dry-run")).output().unwrap(),
        project.command(&job::train_line(JOB, "--dry-run --ranks 2")).output().unwrap(),
    ]
    .map(job::Ended::of);
    let memory = |ended: &job::Ended| {
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        let line = ended.out.lines().find(|line| line.starts_with("memory ")).unwrap();
        line.split(" of the host").next().unwrap().to_owned()
    };
    assert_eq!(memory(&first), memory(&two));
    assert_ne!(memory(&first), memory(&alone));
    assert!(first.out.contains("started by srun, 2 of them on this machine"), "{}", first.out);
    assert_eq!((second.status, second.out.as_str()), (Some(0), ""), "rank 0 says it for all");
}

/// Has a process keep to the first of the cores that it may use.
fn bind_to_one_core(command: &mut Command) {
    // SAFETY: plain system calls on a set of bits of its own, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let first = (0..libc::CPU_SETSIZE as usize).find(|&core| libc::CPU_ISSET(core, &set)).unwrap_or(0);
            libc::CPU_ZERO(&mut set);
            libc::CPU_SET(first, &mut set);
            if libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

#[test]
fn maps_get_the_cores_of_processes_that_stand_by_where_nobody_is_bound() {
    job::engine();
    let project = Project::new();
    let cores = std::thread::available_parallelism().unwrap().get();
    let threads = |more: &str, bound: bool| {
        let [told, _] = launched(&project, JOB, "");
        let mut first = project.command(&format!("{} --dry-run {more}", job::train_line(JOB, "").replace("--j 1", "")));
        first.envs(told.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if bound {
            bind_to_one_core(&mut first);
        }
        let ended = job::Ended::of(first.stdout(Stdio::piped()).output().unwrap());
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        ended.out.lines().find(|line| line.starts_with("  j ")).unwrap().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    let each = (cores / 2).max(1);
    let later = if cores > each { format!("; {cores} for maps, when training has ended") } else { String::new() };
    assert_eq!(threads("", false), format!("{each} the part of each of the 2 processes on this machine{later}"));
    assert_eq!(threads("", true), "1 the part of each of the 2 processes on this machine");
    assert_eq!(threads("--j 2", false), "2 as said");
}

#[test]
fn a_process_that_dies_before_training_ends_the_job() {
    for stage in ["read", "subspace"] {
        let project = Project::new();
        let engine = if stage == "read" { silent_engine(&project) } else { job::engine() };
        let [mut first, mut second] = launched(&project, JOB, "--epochs 4000 --clusters 2 --plot no")
            .map(|mut command| command.env("OPUS_DSD_ENGINE", &engine).spawn().unwrap());
        wait_for("the other process", PATIENCE, || project.text(JOB, "rank001.log").contains("rank 1 of 2"));
        if stage != "read" {
            wait_for(stage, PATIENCE, || project.text(JOB, "run.out").contains(&format!("{stage}: begins")));
        }
        wait_for("a worker and its engine", PATIENCE, || descendants(first.id()).len() >= 2);
        let below = descendants(first.id());
        let began = Instant::now();
        signal(second.id(), libc::SIGKILL);
        second.wait().unwrap();
        let status = first.wait().unwrap();
        println!("{stage}: ended after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10), "{stage}: {:?}", began.elapsed());
        assert_eq!(status.code(), Some(1), "{stage}");
        let error = project.last_error(JOB);
        assert!(error.contains("rank 1 on ") && error.contains("its process or machine is gone"), "{stage}: {error}");
        if stage != "read" {
            assert_planned_for_two(&project);
        }
        assert!(!project.text(JOB, "run.out").contains("epoch 1/"), "{stage}: it was training already");
        assert!(!below.into_iter().any(is_alive), "{stage}: a process was left behind");
        assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"], "{stage}");
    }
}
