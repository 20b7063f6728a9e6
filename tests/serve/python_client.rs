//! The Python client: jobs one after another, a cancelled one, a server and a client that are killed.

use super::job::{self, Project, descendants, is_alive, signal, wait_for};
use super::python::{client_folder, python};
use super::{JOB, STOPS_WITHIN, has_checkpoint};
use std::process::Command;
use std::time::Duration;

/// Runs a script with the Python client, the front's path and a job folder as arguments; what it prints.
fn script(project: &Project, text: &str) -> String {
    job::engine();
    let mut command = Command::new(python());
    command.args(["-B", "-c", &format!("{PRELUDE}{text}")]).arg(client_folder()).args([job::program(), JOB]);
    let output = command.current_dir(project.path(".")).env("OMP_NUM_THREADS", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const PRELUDE: &str = r#"
import os, signal, sys, threading
sys.path.insert(0, sys.argv[1])
from client import Client, JobFailed, ServerError, ServerGone
program, folder = sys.argv[2:]
base = {"in_parts": "sim/particles.star", "in_mask": "sim/mask.mrc", "preset": "tiny", "device": "cpu", "j": 1}
short, long = dict(base, epochs=2, clusters=2), dict(base, epochs=400)
"#;

#[test]
fn the_python_client_runs_a_job_after_another() {
    let project = Project::new();
    let said = script(
        &project,
        r#"
seen = {"progress": [], "output": [], "log": [], "metric": []}
with Client(program) as client:
    assert client.initialize(devices=False)["protocol"] == 1
    assert client.initialize()["devices"]
    try:
        client.run_job("train", dict(base, zdmi=8), folder)
    except JobFailed as error:
        print(error.code, error.culprit, error.exit_status)
    done = client.run_job("train", short, folder, *(seen[k].append for k in ("progress", "output", "log", "metric")))
    print(done["state"], done["results"]["complete"], len(done["results"]["volumes"]))
    again = client.run_job("train", short, folder)
    print(again["job"], again["state"], client.status(1)["state"])
print(sorted({o["kind"] for o in seen["output"]}), [o["class"] for o in seen["output"] if o["kind"] == "volume"])
print(seen["progress"][-1]["stage"], any("all done" in l["line"] for l in seen["log"]), seen["metric"][0]["over"], client.pid)
"#,
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..3], ["-32602 `--zdmi` 2", "done True 2", "2 done done"], "{said}");
    assert!(lines[3].contains("'particles'") && lines[3].contains("'volume'") && lines[3].ends_with("[1, 2]"), "{said}");
    assert!(lines[4].ends_with(" True interval None"), "{said}");
}

#[test]
fn the_python_client_cancels_and_survives_the_servers_death() {
    let project = Project::new();
    let said = script(
        &project,
        r#"
with Client(program) as client:
    try:
        client.run_job("train", long, folder, on_progress=lambda p: p.get("epoch") and client.cancel())
    except JobFailed as error:
        print(error.state, error.exit_status, error.kind, "hint" if error.hint else "")
    class Mine(Exception): pass
    def stumble(progress):
        if progress.get("epoch"): raise Mine()
    try:
        client.run_job("train", long, folder, on_progress=stumble)
    except Mine:
        print("own", client.status()["state"])
    try:
        client.run_job("train", long, folder, on_progress=lambda p: p.get("epoch") and os.kill(client.pid, signal.SIGKILL))
    except ServerGone as error:
        print("gone", error.culprit)
    try:
        client.status()
    except ServerGone:
        print("still gone")
with Client(program) as client:
    print(client.start_job("train", long, folder)["state"])
try:
    Client("/nowhere/opus-dsd").start()
except ServerGone as error:
    print("no program", error.culprit)
"#,
    );
    let lines: Vec<&str> = said.lines().collect();
    let expected =
        ["stopped 143 terminated hint", "own stopped", "gone opus-dsd serve", "still gone", "running", "no program /nowhere/opus-dsd"];
    assert_eq!(lines, expected, "{said}");
}

#[test]
fn nothing_outlives_a_killed_client() {
    let project = Project::new();
    job::engine();
    let mut command = Command::new(python());
    command.args(["-B", "-c", &format!("{PRELUDE}Client(program).__enter__().run_job('train', long, folder)")]);
    command.arg(client_folder()).args([job::program(), JOB]).current_dir(project.path(".")).env("OMP_NUM_THREADS", "1");
    let mut client = command.spawn().unwrap();
    wait_for("training", Duration::from_secs(120), || {
        std::fs::read_to_string(project.path(JOB).join("run.out")).is_ok_and(|t| t.contains("epoch 1/"))
    });
    let all = descendants(client.id());
    assert_eq!(all.len(), 4, "server, guard, worker, engine");
    signal(client.id(), libc::SIGKILL);
    client.wait().unwrap();
    wait_for("the end of all", STOPS_WITHIN, || all.iter().all(|pid| !is_alive(*pid)));
    assert!(has_checkpoint(&project));
    assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"]);
}
