//! Jobs that train with several processes: started by the worker on one machine, or by a cluster's launcher. Every test runs the built
//! executables on the CPU.

#[path = "support/job.rs"]
mod job;

use job::{Project, descendants, is_alive, launched, signal, wait_for};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const JOB: &str = "External/job001";
const SHORT: &str = "--epochs 2 --clusters 2 --plot no";
const LONG: &str = "--epochs 4000 --clusters 2 --plot no";
/// A loaded machine may take this long to come to a stage.
const PATIENCE: Duration = Duration::from_secs(240);

/// Mean reconstruction loss of each epoch.
fn losses(project: &Project, job: &str) -> Vec<f64> {
    let text = project.text(job, "monitor/losses.jsonl");
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["of"] == "epoch").map(|line| line["terms"]["reconstruction"].as_f64().unwrap()).collect()
}

/// The loss of every epoch is the same to rounding. (Weights and latents, too, unless a unit's sign is decided by it: the engine's tests hold
/// these against each other, to the last bit.)
fn assert_same_course(project: &Project, one: &str, other: &str) {
    let (one, other) = (losses(project, one), losses(project, other));
    println!("losses {one:?} and {other:?}");
    assert!(one.len() == 2 && one.len() == other.len(), "{one:?}, {other:?}");
    assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5 * a), "{one:?}, {other:?}");
}

/// A job of two ranks on this machine that trains: guard, worker, its two engines.
fn training(project: &Project) -> (Child, u32, Vec<u32>) {
    job::engine();
    let guard = project.start(JOB, &format!("{LONG} --ranks 2"));
    wait_for("training", PATIENCE, || project.text(JOB, "run.out").contains("epoch 1/"));
    let below = descendants(guard.id());
    let [worker, first, second] = below[..] else { panic!("a worker and two engines: {below:?}") };
    (guard, worker, vec![first, second])
}

#[test]
fn two_processes_train_as_one_does() {
    let project = Project::new();
    let one = project.train("External/job002", SHORT);
    assert_eq!(one.status, Some(0), "{}", one.err);
    let two = project.train(JOB, &format!("{SHORT} --ranks 2"));
    assert_eq!(two.status, Some(0), "{}", two.err);
    assert!(two.out.contains("2 (cpu, cpu)"), "{}", two.out);
    assert_same_course(&project, "External/job002", JOB);
}

#[test]
fn a_killed_rank_ends_the_job_with_its_cause() {
    for victim in [1, 0] {
        let project = Project::new();
        let (mut guard, worker, engines) = training(&project);
        let began = Instant::now();
        signal(engines[victim], libc::SIGKILL);
        let status = guard.wait().unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(status.code(), Some(1));
        let error = project.last_error(JOB);
        assert!(error.contains(&format!("rank {victim}")) && error.contains("was killed (SIGKILL)"), "{error}");
        assert!(!is_alive(worker) && engines.iter().all(|&engine| !is_alive(engine)), "a process was left behind");
        assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"]);
    }
}

#[test]
fn a_job_of_two_ranks_stops_in_order() {
    let project = Project::new();
    let (mut guard, worker, engines) = training(&project);
    let began = Instant::now();
    signal(guard.id(), libc::SIGTERM);
    assert_eq!(guard.wait().unwrap().code(), Some(143));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(project.last_error(JOB).contains("stopped in order"), "{}", project.last_error(JOB));
    assert!(!is_alive(worker) && engines.iter().all(|&engine| !is_alive(engine)), "a process was left behind");
}

#[test]
fn processes_that_a_launcher_started_train_together() {
    job::engine();
    let project = Project::new();
    let [mut first, mut second] = launched(&project, JOB, SHORT).map(|mut command| command.spawn().unwrap());
    assert_eq!(first.wait().unwrap().code(), Some(0), "{}", project.text(JOB, "run.err"));
    let left = wait_for("the other process to leave", Duration::from_secs(10), || second.try_wait().unwrap().is_some());
    assert_eq!(second.wait().unwrap().code(), Some(0), "{left:?}: {}", project.text(JOB, "rank001.log"));
    assert!(project.text(JOB, "run.out").contains("2 processes train together, started by srun"));
    let log = project.text(JOB, "rank001.log");
    assert!(log.contains("trains on cpu") && log.contains("the job has ended well"), "{log}");
    assert!(!project.path(JOB).join("launch.json").exists());
    let alone = project.train("External/job002", SHORT);
    assert_eq!(alone.status, Some(0), "{}", alone.err);
    assert_same_course(&project, "External/job002", JOB);
    // Nothing is left to be trained: the others leave with rank 0.
    let again = launched(&project, JOB, SHORT).map(|mut command| command.spawn().unwrap());
    for mut process in again {
        assert_eq!(process.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_launched_process_that_dies_ends_the_job() {
    job::engine();
    for victim in ["process", "engine"] {
        let project = Project::new();
        let [mut first, mut second] = launched(&project, JOB, LONG).map(|mut command| command.spawn().unwrap());
        wait_for("training", PATIENCE, || project.text(JOB, "run.out").contains("epoch 1/"));
        let engine = descendants(second.id())[0];
        let began = Instant::now();
        signal(if victim == "process" { second.id() } else { engine }, libc::SIGKILL);
        assert_eq!(first.wait().unwrap().code(), Some(1));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let error = project.last_error(JOB);
        let cause = if victim == "process" { "its process or machine is gone" } else { "was killed (SIGKILL)" };
        assert!(error.contains("rank 1 on ") && error.contains(cause), "{error}");
        second.wait().unwrap();
        wait_for("its engine to end", Duration::from_secs(5), || !is_alive(engine));
    }
}

/// An engine that warns once a file is there, beside what the real one says.
fn warning_engine(project: &Project) -> PathBuf {
    let (path, sign) = (project.path("warning-engine"), project.path("now"));
    let warning = r#"{"event":"warning","message":"something is the matter"}"#;
    let script = format!(
        "#!/bin/sh\n(for turn in $(seq 2400); do [ -e '{}' ] && break; sleep 0.1; done; echo '{warning}' >/proc/self/fd/$OPUS_DSD_EVENTS_FD) &\nexec '{}'\n",
        sign.display(),
        job::engine().display()
    );
    std::fs::write(&path, script).unwrap();
    job::make_executable(&path);
    path
}

#[test]
fn warnings_of_every_rank_are_told() {
    for by in ["worker", "launcher"] {
        let project = Project::new();
        let engine = warning_engine(&project);
        let mut processes = match by {
            "worker" => {
                vec![
                    project
                        .command(&job::train_line(JOB, &format!("{LONG} --ranks 2")))
                        .env("OPUS_DSD_ENGINE", engine)
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .spawn()
                        .unwrap(),
                ]
            }
            _ => launched(&project, JOB, LONG)
                .into_iter()
                .map(|mut command| command.env("OPUS_DSD_ENGINE", &engine).spawn().unwrap())
                .collect(),
        };
        wait_for("training", PATIENCE, || project.text(JOB, "run.out").contains("epoch 1/"));
        std::fs::write(project.path("now"), "").unwrap();
        let other = if by == "worker" { "rank 1 (cpu): ".to_owned() } else { "rank 1 on ".to_owned() };
        let told = || {
            let out = project.text(JOB, "run.out") + &project.text(JOB, "run.err");
            let warnings: Vec<String> = out.lines().filter(|line| line.contains("something is the matter")).map(str::to_owned).collect();
            warnings.iter().any(|line| line.contains(&other)) && warnings.iter().any(|line| !line.contains("rank 1"))
        };
        wait_for("both warnings", Duration::from_secs(20), told);
        signal(processes[0].id(), libc::SIGTERM);
        for process in &mut processes {
            process.wait().unwrap();
        }
        assert!(by == "worker" || project.text(JOB, "rank001.log").contains("something is the matter"));
    }
}

#[test]
fn the_others_leave_when_the_first_cannot_begin() {
    job::engine();
    let project = Project::new();
    let [mut first, mut second] = launched(&project, JOB, "--zdim 3 --in_3dref nothing.mrc").map(|mut command| command.spawn().unwrap());
    assert_ne!(first.wait().unwrap().code(), Some(0));
    wait_for("the other process to leave", Duration::from_secs(20), || second.try_wait().unwrap().is_some());
    assert_ne!(second.wait().unwrap().code(), Some(0));
}

#[test]
fn a_process_alone_in_an_allocation_waits_for_nobody() {
    job::engine();
    let project = Project::new();
    // A batch script of a job with four tasks; a step of one; and several, of which one is to be alone.
    for (job, variables, more) in [
        ("External/job011", "SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_PROCID=0 SLURM_LOCALID=0", ""),
        ("External/job012", "SLURM_JOB_ID=7 SLURM_STEP_ID=1 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0", ""),
        ("External/job013", "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_LOCAL_RANK=0", "--ranks 1"),
    ] {
        let mut command = project.command(&job::train_line(job, &format!("--epochs 1 --clusters 2 --plot no {more}")));
        command.envs(variables.split(' ').filter_map(|pair| pair.split_once('=')));
        let ended = job::Ended::of(command.output().unwrap());
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        assert!(!ended.out.contains("train together"), "{}", ended.out);
    }
}
