//! A job's life: abort, signals, kills, going on. Every test runs the built executables.

#[path = "support/job.rs"]
mod job;

use job::{Project, descendants, files, is_alive, signal, wait_for};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

const JOB: &str = "External/job001";
/// Enough epochs for a test to come in between.
const LONG: &str = "--epochs 400";
const SHORT: &str = "--epochs 2 --clusters 2";
/// A loaded machine may take this long to come to a stage.
const PATIENCE: Duration = Duration::from_secs(120);

fn has_line(project: &Project, words: &str) -> bool {
    std::fs::read_to_string(project.path(JOB).join("run.out")).is_ok_and(|t| t.contains(words))
}

/// A job that is training: guard, worker, engine.
fn training(project: &Project) -> (Child, u32, u32) {
    job::engine();
    let guard = project.start(JOB, LONG);
    wait_for("training", PATIENCE, || has_line(project, "epoch 1/"));
    let below = descendants(guard.id());
    let [worker, engine] = below[..] else { panic!("a guard has one worker and one engine: {below:?}") };
    (guard, worker, engine)
}

#[test]
fn the_abort_file_is_honoured() {
    let project = Project::new();
    let (mut guard, worker, engine) = training(&project);
    let began = Instant::now();
    std::fs::write(project.path(JOB).join("RELION_JOB_ABORT_NOW"), b"").unwrap();
    let status = guard.wait().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(status.code(), Some(130));
    assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_ABORTED"]);
    assert!(!is_alive(worker) && !is_alive(engine));
    assert!(project.last_error(JOB).contains("hint: start the same job again"));
}

#[test]
fn sigterm_leaves_a_checkpoint_and_a_reason() {
    let project = Project::new();
    let (mut guard, ..) = training(&project);
    let began = Instant::now();
    signal(guard.id(), libc::SIGTERM);
    assert_eq!(guard.wait().unwrap().code(), Some(143));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"]);
    assert!(project.last_error(JOB).contains("SIGTERM"));
    assert!(
        project.path(JOB).join("checkpoint").read_dir().unwrap().flatten().any(|e| e.file_name().to_string_lossy().starts_with("epoch-00"))
    );
}

#[test]
fn a_folder_has_one_job_at_a_time() {
    let project = Project::new();
    let (mut guard, worker, engine) = training(&project);
    let second = project.train(JOB, LONG);
    assert_eq!(second.status, Some(2), "{}", second.err);
    assert!(second.err.contains("another job is running in this folder; hint: "), "{}", second.err);
    assert!(project.exit_files(JOB).is_empty() && is_alive(worker) && is_alive(engine), "the first job is left alone");
    signal(guard.id(), libc::SIGTERM);
    assert_eq!(guard.wait().unwrap().code(), Some(143));
}

#[test]
fn a_killed_engine_or_worker_is_reported_at_once() {
    for victim in ["engine", "worker"] {
        let project = Project::new();
        let (mut guard, worker, engine) = training(&project);
        signal(if victim == "engine" { engine } else { worker }, libc::SIGKILL);
        let took = wait_for("exit file", Duration::from_secs(2), || project.exit_files(JOB) == ["RELION_JOB_EXIT_FAILURE"]);
        assert_eq!(guard.wait().unwrap().code(), Some(1));
        let line = project.last_error(JOB);
        assert!(line.contains(&format!("{victim} process: was killed (SIGKILL)")) && line.contains("hint: "), "{line} after {took:?}");
        // They are killed before the exit file is written; the kernel takes a moment to give their memory back.
        wait_for("the end of all", Duration::from_secs(2), || !is_alive(worker) && !is_alive(engine));
    }
}

#[test]
fn an_engine_killed_between_commands_is_reported_too() {
    let project = Project::new();
    let mut guard = project.start(JOB, LONG);
    wait_for("the engine", PATIENCE, || descendants(guard.id()).len() == 2);
    signal(descendants(guard.id())[1], libc::SIGKILL);
    wait_for("exit file", Duration::from_secs(2), || project.exit_files(JOB) == ["RELION_JOB_EXIT_FAILURE"]);
    assert_eq!(guard.wait().unwrap().code(), Some(1));
    assert!(project.last_error(JOB).contains("engine process: was killed (SIGKILL)"), "{}", project.last_error(JOB));
}

#[test]
fn nothing_outlives_a_killed_guard() {
    let project = Project::new();
    let (mut guard, worker, engine) = training(&project);
    signal(guard.id(), libc::SIGKILL);
    guard.wait().unwrap();
    wait_for("worker and engine are gone", Duration::from_secs(5), || !is_alive(worker) && !is_alive(engine));
    assert!(project.exit_files(JOB).is_empty());
}

/// Kills at many moments, then the same command to the end: the same files as without.
#[test]
fn killed_and_continued_is_the_same_bit_for_bit() {
    let calm = Project::new();
    assert_eq!(calm.train(JOB, SHORT).status, Some(0));
    let expected = files(&calm.path(JOB));
    let project = Project::new();
    // Moments by what run.out has said, and who is killed then.
    let moments = [
        ("prepare: done", 2),
        ("train: begins", 1),
        ("epoch 1/2", 0),
        ("epoch 2/2", 2),
        ("cluster: done", 0),
        ("decode: begins", 1),
        ("report: begins", 0),
        ("report: done", 1),
    ];
    for (words, victim) in moments {
        let mut guard = project.start(JOB, SHORT);
        wait_for(words, PATIENCE, || has_line(&project, words) || guard.try_wait().unwrap().is_some());
        let mut all = vec![guard.id()];
        all.extend(descendants(guard.id()));
        if let Some(pid) = all.get(victim) {
            signal(*pid, libc::SIGKILL);
        }
        guard.wait().unwrap();
        wait_for("all are gone", Duration::from_secs(5), || all.iter().all(|p| !is_alive(*p)));
    }
    let last = project.train(JOB, SHORT);
    assert_eq!(last.status, Some(0), "{}", last.err);
    let found = files(&project.path(JOB));
    let differing: Vec<&String> = expected.keys().chain(found.keys()).filter(|k| expected.get(*k) != found.get(*k)).collect();
    assert!(differing.is_empty(), "{differing:?}");
    assert!(!found.keys().any(|k| k.ends_with(".part") || k.ends_with(".tmp")));
}

#[test]
fn complete_work_ends_at_once_and_more_epochs_go_on() {
    let project = Project::new();
    assert_eq!(project.train(JOB, SHORT).status, Some(0));
    let before = files(&project.path(JOB));
    let again = project.train(JOB, SHORT);
    assert_eq!(again.status, Some(0));
    assert!(!again.out.contains(": begins"), "{}", again.out);
    // Nor where a machine with less memory would split a step otherwise.
    let elsewhere = project.train(JOB, &format!("{SHORT} --micro-batch 3"));
    assert_eq!(elsewhere.status, Some(0), "{}", elsewhere.err);
    assert!(elsewhere.out.contains("micro-batch was ") && !elsewhere.out.contains(": begins"), "{}", elsewhere.out);
    assert!(before == files(&project.path(JOB)));

    let more = project.train(JOB, "--epochs 3 --clusters 2");
    assert_eq!(more.status, Some(0), "{}", more.err);
    assert!(more.out.contains("changed since this job ran before: epochs was 2, is 3"), "{}", more.out);
    assert!(more.out.contains("epoch 3/3") && !more.out.contains("epoch 2/3"), "{}", more.out);
    let results = std::fs::read_to_string(project.path(JOB).join("results.json")).unwrap();
    assert!(results.contains("\"epoch\": 3"), "{results}");
}

#[test]
fn what_would_make_another_job_is_refused() {
    let project = Project::new();
    assert_eq!(project.train(JOB, SHORT).status, Some(0));
    let before = files(&project.path(JOB));
    let other_network = project.train(JOB, "--epochs 2 --clusters 2 --zdim 3");
    assert_eq!(other_network.status, Some(2));
    assert!(
        other_network.last_error().starts_with("error: `--zdim`: this job was begun with 8, now it is 3; hint: "),
        "{}",
        other_network.err
    );
    // The particles without their last one.
    let text = std::fs::read_to_string(project.path("sim/particles.star")).unwrap();
    let rows: Vec<&str> = text.trim_end().lines().collect();
    std::fs::write(project.path("fewer.star"), format!("{}\n\n", rows[..rows.len() - 1].join("\n"))).unwrap();
    let other_input = project.run(&format!(
        "train --o {JOB}/ --in_parts fewer.star --datadir sim --in_mask sim/mask.mrc --preset tiny --device cpu --j 1 {SHORT}"
    ));
    assert_eq!(other_input.status, Some(2));
    assert!(other_input.last_error().contains("fewer.star: the particles or their images are not those"), "{}", other_input.err);
    let mut after = files(&project.path(JOB));
    assert!(after.remove("RELION_JOB_EXIT_FAILURE").is_some());
    assert!(after.iter().all(|(name, content)| before.get(name) == Some(content)), "a refusal changes nothing");
}

#[test]
fn a_new_job_starts_from_anothers_weights() {
    let project = Project::new();
    assert_eq!(project.train(JOB, SHORT).status, Some(0));
    for load in [JOB.to_owned(), format!("{JOB}:1")] {
        let ended = project.train("External/job002", &format!("{SHORT} --load {load}"));
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        std::fs::remove_dir_all(project.path("External/job002")).unwrap();
    }
    let missing = project.train("External/job003", &format!("{SHORT} --load {JOB}:9"));
    assert_eq!(missing.status, Some(2));
    assert!(missing.last_error().contains("no checkpoint of epoch 9"), "{}", missing.err);
}

#[test]
fn a_job_folder_holds_what_it_should() {
    let project = Project::new();
    assert_eq!(project.train(JOB, SHORT).status, Some(0));
    let folder = project.path(JOB);
    for name in [
        "settings.json",
        "particles.star",
        "latents.npy",
        "latents.star",
        "results.json",
        "preview.mrc",
        "cluster001_particles.star",
        "cluster002.mrc",
        "selected_particles.star",
        "largest_particles.star",
        "logfile.pdf",
        "summary.star",
        "RELION_OUTPUT_NODES.star",
        "note.txt",
    ] {
        assert!(folder.join(name).exists(), "{name}");
    }
    every_cell_is_kept(&project.path("sim/particles.star"), &folder);
}

/// Rows of a cluster's file are rows of the input, in its order; all clusters together are the input.
fn every_cell_is_kept(input: &Path, folder: &Path) {
    let rows = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().filter(|l| l.contains(".mrcs")).map(String::from).collect()
    };
    let all = rows(input);
    assert_eq!(all.len(), job::PARTICLES);
    let mut found = Vec::new();
    for class in 1..=2 {
        let cluster = rows(&folder.join(format!("cluster{class:03}_particles.star")));
        let places: Vec<usize> =
            cluster.iter().map(|row| all.iter().position(|r| r == row).expect("a row of the input, unchanged")).collect();
        assert!(places.is_sorted());
        found.extend(places);
    }
    found.sort_unstable();
    assert_eq!(found, (0..job::PARTICLES).collect::<Vec<_>>());
}
