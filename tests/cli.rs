//! The command line: help, versions and errors, fast and without libtorch.

#[path = "support/job.rs"]
mod job;

use job::{Project, program};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn output(arguments: &[&str]) -> (String, String, Option<i32>) {
    let done = Command::new(program()).args(arguments).output().unwrap();
    (String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned(), done.status.code())
}

#[test]
fn help_texts() {
    insta::assert_snapshot!("help", output(&["--help"]).0);
    for verb in [
        "train", "analyse", "decode", "encode", "select", "check", "import", "run", "simulate", "demo", "status", "doctor", "clean",
        "install", "manifest", "serve",
    ] {
        insta::assert_snapshot!(format!("help_{verb}"), output(&[verb, "--help"]).0);
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_nothing_badly() {
    for line in [
        &["--help"][..],
        &["--version"],
        &["train", "--help"],
        &["manifest"],
        &["manifest", "--for", "relion"],
        &["status", "."],
        &["status", "--json", "."],
        &["doctor"],
        &["doctor", "--json"],
        &["serve"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = Command::new(program()).args(line).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let err = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.code().is_some_and(|code| code < 2) && !err.contains("panicked"), "{line:?}: {:?} {err}", done.status);
    }
}

#[test]
fn errors() {
    let lines: [&[&str]; 12] = [
        &["--bogus", "3"],
        &["train", "--zdmi", "8"],
        &["trian"],
        &["train", "--zdim", "--j", "1"],
        &["train", "--zdim", "many"],
        &["train", "--preset", "huge"],
        &["train", "--in_parts", "a.star"],
        &["run"],
        &["train", "--load", "job:last"],
        &["simulate", "--o", "/tmp/x", "--optics", "48.5:1"],
        &["train", "--plot", "perhaps"],
        &["a.star"],
    ];
    let all: Vec<String> = lines
        .iter()
        .map(|line| {
            let (_, err, status) = output(line);
            assert!(err.trim_end().lines().last().unwrap().contains("hint: "), "{err}");
            format!("$ opus-dsd {}\n{}[status {}]", line.join(" "), err, status.unwrap())
        })
        .collect();
    insta::assert_snapshot!("errors", all.join("\n\n"));
}

#[test]
fn help_and_errors_are_quick() {
    for line in [&["--help"][..], &["train", "--help"], &["--version"], &["--bogus"], &["train", "--zdim"]] {
        // The best of several: a busy machine must not fail the test.
        let best = (0..7)
            .map(|_| {
                let began = Instant::now();
                output(line);
                began.elapsed()
            })
            .min()
            .unwrap();
        assert!(best < Duration::from_millis(50), "{line:?} took {best:?}");
    }
}

#[test]
fn no_tensor_library_is_linked() {
    let ldd = Command::new("ldd").arg(program()).output().unwrap();
    let text = String::from_utf8_lossy(&ldd.stdout).into_owned();
    assert!(text.contains("libc"), "{text}");
    assert!(!text.contains("torch") && !text.contains("libc10"), "{text}");
}

#[test]
fn an_argument_error_leaves_the_exit_file_and_the_reason() {
    let project = Project::new();
    let ended = project.run("--o External/job001/ --in_parts sim/particles.star --bogus 1");
    assert_eq!(ended.status, Some(2));
    assert_eq!(project.exit_files("External/job001"), ["RELION_JOB_EXIT_FAILURE"]);
    assert!(project.last_error("External/job001").starts_with("error: `--bogus`: unknown option; hint: "));
}
