//! What the report and the last lines of a job say to do next can be done as it is printed.

#[path = "support/job.rs"]
mod job;
#[path = "support/page.rs"]
mod page;
#[path = "support/skip.rs"]
mod skip;

use contract::Results;
use job::{Ended, Project, program};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs a line as a shell takes it, in the project's folder.
fn shell(project: &Project, line: &str) -> Ended {
    let path = format!("{}:{}", Path::new(program()).parent().unwrap().display(), std::env::var("PATH").unwrap());
    Ended::of(
        Command::new("sh").args(["-c", line]).current_dir(project.path("")).env("PATH", path).env("OMP_NUM_THREADS", "1").output().unwrap(),
    )
}

/// The steps in a job's report.
fn steps(project: &Project, job: &str) -> Vec<Value> {
    page::data(&project.path(job))["next_steps"].as_array().unwrap().clone()
}

fn commands(project: &Project, job: &str) -> Vec<String> {
    steps(project, job).iter().map(|step| step["command"].as_str().unwrap().to_owned()).collect()
}

/// Commands of the lines that a job ended with.
fn printed(ended: &Ended) -> Vec<String> {
    let lines = ended.out.lines().filter(|line| line.starts_with("next: "));
    lines.map(|line| line.rsplit('`').nth(1).unwrap().to_owned()).collect()
}

/// Does what a command says, or what can be done of it here.
fn follow(project: &Project, command: &str) -> Ended {
    if let Some(script) = command.strip_prefix("chimerax ") {
        let text = std::fs::read_to_string(project.path(script)).unwrap_or_else(|e| panic!("{script}: {e}"));
        let opened: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("open ")).collect();
        assert!(opened.len() > 1, "{text}");
        for map in opened {
            assert!(project.path(script).with_file_name("").join(map).exists(), "{script} opens {map}");
        }
        return Ended { status: Some(0), out: String::new(), err: String::new() };
    }
    let ended = shell(project, command);
    assert_eq!(ended.status, Some(0), "{command}: {}", ended.err);
    ended
}

/// Files between backticks that are this job's.
fn named_files(project: &Project, job: &str) {
    for step in steps(project, job) {
        for host in ["relion", "scipion", "pipeliner"] {
            let words = step[host].as_str().unwrap();
            assert!(!words.is_empty());
            for file in
                words.split('`').skip(1).step_by(2).filter(|word| word.starts_with("External/") && !word.ends_with("continue_job.star"))
            {
                assert!(project.path(file).exists(), "{host}: {file}");
            }
        }
    }
}

fn results(project: &Project, job: &str) -> Results {
    serde_json::from_str(&std::fs::read_to_string(project.path(job).join("results.json")).unwrap()).unwrap()
}

fn sizes(project: &Project, job: &str) -> Vec<usize> {
    results(project, job).volumes.iter().map(|v| v.n).collect()
}

#[test]
fn every_command_runs_as_it_stands() {
    let project = Project::new();
    let made = project.train(job::TRAINED, "--epochs 2 --clusters 2 --plot no --keep-every 1");
    assert_eq!(made.status, Some(0), "{}", made.err);
    assert_eq!(printed(&made), commands(&project, job::TRAINED));
    let project = &project;
    let all = commands(project, job::TRAINED);
    assert_eq!(
        all[..4],
        [
            "chimerax External/job001/states.cxc",
            &all[1],
            "opus-dsd analyse --job External/job001 --epoch 2 --clusters 2 --halves yes --o External/job001-halves/",
            "opus-dsd decode --job External/job001 --epoch 2 --pc 1 --o External/job001-pc1/",
        ]
    );
    named_files(project, job::TRAINED);
    let (more, rest): (Vec<_>, Vec<_>) = all.iter().partition(|command| command.starts_with("opus-dsd train"));
    for command in &rest {
        let ended = follow(project, command);
        if command.contains(" decode ") {
            follow(project, &printed(&ended)[0]);
        }
    }
    // The largest cluster, row for row.
    let largest = results(project, job::TRAINED).volumes.into_iter().max_by_key(|v| v.n).unwrap();
    assert!(rest[1].contains(&format!("--clusters {} ", largest.class)), "{}", rest[1]);
    let chosen = starfile::StarFile::read(&project.path(&format!("External/job001-state{}/particles.star", largest.class))).unwrap();
    assert_eq!(chosen.block("particles").unwrap().rows(), largest.n);
    // The analysis has the same clusters, and its report leads on to RELION.
    assert_eq!(sizes(project, "External/job001-halves"), sizes(project, job::TRAINED));
    named_files(project, "External/job001-halves");
    let then = commands(project, "External/job001-halves");
    let post = then.iter().find(|command| command.starts_with("relion_mask_create ")).unwrap();
    assert!(
        post.contains("&& relion_postprocess --i External/job001-halves/halves/cluster") && post.contains("_half1_unfil.mrc --mask "),
        "{post}"
    );
    if Command::new("relion_postprocess").arg("--version").output().is_ok() {
        let ended = follow(project, post);
        assert!(ended.out.contains("FINAL RESOLUTION"), "{}", ended.out);
    } else {
        skip::skipped_outside_ci("RELION (relion_postprocess) is not installed");
    }
    // Last, as it changes the job that the others look at.
    assert_eq!(more.len(), 1);
    let ended = follow(project, more[0]);
    assert_eq!(results(project, job::TRAINED).epoch, 4);
    assert!(ended.out.contains("epoch 4"), "{}", ended.out);
    // The analysis of the second epoch, made again, knows that there are newer ones now.
    follow(project, rest[2]);
    let then = commands(project, "External/job001-halves");
    assert!(
        then.iter()
            .any(|c| c
                == "opus-dsd analyse --job External/job001 --epoch 4 --compare External/job001-halves --o External/job001-halves-epoch4/"),
        "{then:?}"
    );
}

#[test]
fn what_an_encoding_ends_with_runs_too() {
    let project = Project::new();
    let made = project.train("External/job001", "--epochs 1 --clusters 2 --plot no");
    assert_eq!(made.status, Some(0), "{}", made.err);
    let ended = project.run("encode --in_parts sim/particles.star --job External/job001 --o External/job002/ --device cpu --j 1");
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let all = printed(&ended);
    assert_eq!(all[0], "opus-dsd analyse --job External/job002 --o External/job002-analysis/");
    for command in &all {
        follow(&project, command);
    }
    named_files(&project, "External/job002-analysis");
    for command in commands(&project, "External/job002-analysis").iter().filter(|c| !c.contains("--halves")) {
        follow(&project, command);
    }
}
