//! Jobs whose processes a cluster's launcher started: how they are planned, and what becomes of one that dies before training.

#[path = "support/job.rs"]
mod job;

use job::{Project, descendants, is_alive, launched, signal, wait_for};
use std::path::PathBuf;
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
        let below = descendants(first.id());
        assert!(below.len() >= 2, "a worker and its engine: {below:?}");
        let began = Instant::now();
        signal(second.id(), libc::SIGKILL);
        second.wait().unwrap();
        let status = first.wait().unwrap();
        println!("{stage}: ended after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10), "{stage}: {:?}", began.elapsed());
        assert_eq!(status.code(), Some(1), "{stage}");
        let error = project.last_error(JOB);
        assert!(error.contains("rank 1 on ") && error.contains("its process or machine is gone"), "{stage}: {error}");
        assert!(!project.text(JOB, "run.out").contains("epoch 1/"), "{stage}: it was training already");
        assert!(!below.into_iter().any(is_alive), "{stage}: a process was left behind");
        assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"], "{stage}");
    }
}
