//! Random SIGKILLs of everybody in a served job's chain (client, server, guard, worker, engine) at random moments: no process, no lock and no
//! wrong status stays behind, and the job goes on to the same files as without.
//!
//! `OPUS_DSD_KILLS=1000` sets how many; the moments follow from `OPUS_DSD_KILLS_SEED`.

#[path = "support/job.rs"]
mod job;
#[path = "support/python.rs"]
mod python;
#[path = "support/random.rs"]
mod random;

use job::{Project, descendants, files, is_alive, signal};
use python::{client_folder, python};
use random::Random;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const JOB: &str = "Runs/job001";
/// Kills where nothing else is asked for.
const FEW: usize = 20;
/// Latest moment of a kill; early ones are more frequent, since a job that goes on has its first stages behind it.
const LATEST: Duration = Duration::from_secs(6);
/// Time in which everything must be gone. A guard that lost its server stops its job in order, which takes 4 s at most.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Those who can be killed, each the parent of the next.
const CHAIN: [&str; 5] = ["client", "server", "guard", "worker", "engine"];

/// A client that runs the job and prints how it ended.
const CLIENT: &str = r#"
import json, sys
sys.path.insert(0, sys.argv[1])
from client import Client, JobFailed
settings = {"in_parts": "sim/particles.star", "in_mask": "sim/mask.mrc", "preset": "tiny", "device": "cpu", "epochs": 2, "clusters": 2, "j": 1}
try:
    with Client(sys.argv[2]) as client:
        done = client.run_job("train", settings, sys.argv[3])
except JobFailed as error:
    done = {"state": error.state, "exit_status": error.exit_status, "what": str(error)}
print(json.dumps(done))
"#;

fn client(project: &Project) -> Child {
    let folder = project.path(".");
    let mut command = Command::new(python());
    command.args(["-B", "-c", CLIENT]).arg(client_folder()).args([job::program(), JOB]).current_dir(folder);
    command.env("OMP_NUM_THREADS", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Processes whose working folder is the project's: all of the chain.
fn inhabitants(project: &Project) -> Vec<u32> {
    let folder = project.path("sim").parent().unwrap().canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()));
    pids.filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder) && is_alive(*pid)).collect()
}

fn is_locked(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|f| matches!(f.try_lock(), Err(TryLockError::WouldBlock)))
}

fn is_complete(project: &Project) -> bool {
    let text = std::fs::read(project.path(JOB).join("results.json")).unwrap_or_default();
    serde_json::from_slice::<Value>(&text).is_ok_and(|r| r["complete"] == true)
}

/// What the folder says of the job's end must fit who was killed.
fn hold_status(project: &Project, victim: &str, round: &str) {
    let found = project.exit_files(JOB);
    assert!(found.len() <= 1, "{round}: {found:?}");
    match found.first().map(String::as_str) {
        Some("RELION_JOB_EXIT_SUCCESS") => assert!(is_complete(project), "{round}: success without complete results"),
        Some("RELION_JOB_EXIT_FAILURE") => assert_ne!(victim, "guard", "{round}: a killed guard cannot say how it ended"),
        Some(other) => panic!("{round}: {other}"),
        // A guard that was killed, or that had not begun; whoever asks finds the folder's lock free and the job lost.
        None => assert!(victim != "worker" && victim != "engine", "{round}: the guard did not say how the job ended"),
    }
}

/// What the client was told must fit who was killed.
fn hold_words(child: Child, victim: &str, round: &str) -> &'static str {
    let output = child.wait_with_output().unwrap();
    if victim == "client" {
        return "not heard";
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let done: Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{round}: {e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let what = done["what"].as_str().unwrap_or_default();
    match (done["state"].as_str(), victim) {
        (Some("done"), _) => "done",
        (Some("failed"), "server") => {
            assert!(what.contains("the server ended without an answer"), "{round}: {what}");
            "server gone"
        }
        (Some("failed"), "guard") => {
            assert!(done["exit_status"] == 137 && what.contains("guard process: was killed (SIGKILL)"), "{round}: {done}");
            "failed"
        }
        (Some("failed"), "worker" | "engine") => {
            assert!(done["exit_status"] == 1 && what.contains("process: was killed (SIGKILL)"), "{round}: {done}");
            "failed"
        }
        other => panic!("{round}: {other:?}: {done}"),
    }
}

#[test]
fn random_kills_leave_nothing_behind() {
    job::engine();
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse().expect("a number"));
    let kills = number("OPUS_DSD_KILLS").unwrap_or(FEW);
    let mut random = Random::new(number("OPUS_DSD_KILLS_SEED").unwrap_or(1) as u64);
    let calm = Project::new();
    assert_eq!(hold_words(client(&calm), "nobody", "the calm run"), "done");
    let expected = files(&calm.path(JOB));
    let project = Project::new();
    let (mut done, mut completed, mut slowest) = (0, 0, Duration::ZERO);
    let mut tally: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    while done < kills {
        for name in project.exit_files(JOB) {
            std::fs::remove_file(project.path(JOB).join(name)).unwrap();
        }
        let mut child = client(&project);
        let moment = LATEST.mul_f64(random.fraction().powi(2));
        let wanted = random.below(CHAIN.len());
        let began = Instant::now();
        while began.elapsed() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut all = vec![child.id()];
        all.extend(descendants(child.id()));
        // Early on not all of them are there.
        let index = wanted.min(all.len() - 1);
        let (victim, pid) = (CHAIN[index], all[index]);
        let round = format!("kill {done}: {victim} after {moment:?}");
        if is_alive(pid) {
            signal(pid, libc::SIGKILL);
            done += 1;
        }
        let killed = Instant::now();
        let heard = hold_words(child, victim, &round);
        while !inhabitants(&project).is_empty() {
            assert!(killed.elapsed() < GONE_WITHIN, "{round}: {:?} are still there", inhabitants(&project));
            std::thread::sleep(Duration::from_millis(5));
        }
        slowest = slowest.max(killed.elapsed());
        assert!(!is_locked(&project.path(JOB)), "{round}: the folder is still locked");
        *tally.entry((victim, heard)).or_default() += 1;
        hold_status(&project, victim, &round);
        if project.exit_files(JOB) == ["RELION_JOB_EXIT_SUCCESS"] {
            hold_files(&expected, &project, &round);
            completed += 1;
            std::fs::remove_dir_all(project.path(JOB)).unwrap();
        }
    }
    let last = hold_words(client(&project), "nobody", "the last run");
    assert_eq!(last, "done");
    hold_files(&expected, &project, "the last run");
    println!("{done} kills, {} jobs completed between them, all gone within {slowest:?} at most: {tally:?}", completed + 1);
}

fn hold_files(expected: &BTreeMap<String, Vec<u8>>, project: &Project, round: &str) {
    let found = files(&project.path(JOB));
    let names = |all: &BTreeMap<String, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(expected), "{round}");
    let other: Vec<&String> = found.iter().filter(|(name, content)| expected.get(*name) != Some(*content)).map(|(name, _)| name).collect();
    assert!(other.is_empty(), "{round}: {other:?} differ");
}
