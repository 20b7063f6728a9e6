//! Front and engine are of one build, and another engine is refused.

#[path = "support/job.rs"]
mod job;

use job::Project;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_engine_that_was_built_is_of_this_build() {
    job::engine();
    let project = Project::new();
    let ended = project.train("External/job001", "--epochs 1 --clusters 2");
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    // A front that started with an engine of another build would have refused it; run.out says which build both are of.
    let said = ended.out.lines().find_map(|line| line.strip_prefix(&format!("opus-dsd {} (", contract::VERSION))).unwrap_or_default();
    let id = said.split(')').next().unwrap_or_default();
    assert!(id.starts_with(contract::VERSION) && id.len() > contract::VERSION.len() + 16, "{}", ended.out);
}

#[test]
fn an_engine_of_another_build_is_refused() {
    let project = Project::new();
    let other = project.path("engine");
    let hello =
        r#"{"event":"hello","version":"9.9.9","build_id":"other","torch":"2.11.0","devices":[{"id":"cpu","name":"CPU","memory_bytes":1}]}"#;
    std::fs::write(&other, format!("#!/bin/sh\necho '{hello}' >&\"$OPUS_DSD_EVENTS_FD\"\nsleep 5\n")).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = project.command(&job::train_line("External/job001", ""));
    let ended = job::Ended::of(command.env("OPUS_DSD_ENGINE", &other).output().unwrap());
    assert_eq!(ended.status, Some(1));
    assert!(ended.last_error().contains("the engine is of another build (9.9.9, `other`)"), "{}", ended.err);
    assert!(ended.last_error().contains("hint: "), "{}", ended.err);
    assert_eq!(project.exit_files("External/job001"), ["RELION_JOB_EXIT_FAILURE"]);
}

#[test]
fn a_missing_engine_is_named() {
    let project = Project::new();
    let mut command = project.command(&job::train_line("External/job001", ""));
    let ended = job::Ended::of(command.env("OPUS_DSD_ENGINE", "/nowhere/engine").output().unwrap());
    assert_eq!(ended.status, Some(1));
    assert!(ended.last_error().starts_with("error: OPUS_DSD_ENGINE=/nowhere/engine: no such file; hint: "), "{}", ended.err);
}
