//! Ends: of the input, the output, the server, an engine that is not there. Each stops the job in order, and nothing outlives it.

use super::job::{self, Project, descendants, is_alive, signal, wait_for};
use super::serve::{self, Conversation};
use super::{JOB, STOPS_WITHIN, has_checkpoint, long, order, training};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn the_end_of_the_input_stops_the_job_in_order() {
    let project = Project::new();
    let mut c = training(&project);
    let below = descendants(c.server.id());
    assert_eq!(below.len(), 3, "guard, worker, engine");
    c.end_input();
    assert_eq!(c.done()["state"], "stopped");
    assert!(below.iter().all(|pid| !is_alive(*pid)), "all are gone when the end is told");
    assert_eq!(c.end(), Some(0));
    assert!(has_checkpoint(&project));
}

#[test]
fn a_signal_stops_job_and_server_in_order() {
    let project = Project::new();
    let mut c = training(&project);
    signal(c.server.id(), libc::SIGTERM);
    assert_eq!(c.done()["exit_status"], 143);
    assert_eq!(c.end(), Some(143));
    assert!(has_checkpoint(&project));
}

#[test]
fn a_closed_output_stops_the_job_in_order() {
    let project = Project::new();
    job::engine();
    let mut server = serve::start(&project);
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "job/start", "params": order(long())});
    std::io::Write::write_all(server.stdin.as_mut().unwrap(), format!("{request}\n").as_bytes()).unwrap();
    drop(server.stdout.take());
    wait_for("the server's end", Duration::from_secs(120), || server.try_wait().unwrap().is_some());
    assert_eq!(server.wait().unwrap().code(), Some(3));
    assert_ne!(project.exit_files(JOB), ["RELION_JOB_EXIT_SUCCESS"]);
}

#[test]
fn a_killed_server_takes_its_job_along_and_the_next_one_goes_on() {
    let project = Project::new();
    let mut c = training(&project);
    let below = descendants(c.server.id());
    signal(c.server.id(), libc::SIGKILL);
    // The next server is there before the job has left its folder.
    let mut next = Conversation::begin(&project);
    let answer = next.ask("job/start", order(long()));
    assert_eq!(answer["result"]["state"], "running", "{answer}");
    assert!(below.iter().all(|pid| !is_alive(*pid)), "the folder had been left");
    assert!(has_checkpoint(&project), "the job was stopped in order");
    assert!(c.hear().is_none_or(|m| m["method"] != "job/done"));
    next.training();
    next.ask("job/cancel", Value::Null);
    assert_eq!(next.done()["state"], "stopped");
}

#[test]
fn a_folder_that_another_guard_holds_is_refused() {
    let project = Project::new();
    let _running = training(&project);
    let mut other = Conversation::begin(&project);
    let answer = other.ask("job/start", order(long()));
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    assert_eq!(answer["error"]["message"], "another job is running in this folder");
}

#[test]
fn devices_that_cannot_be_listed_are_said_why() {
    let project = Project::new();
    let mut c = Conversation::of(project.command("serve").env("OPUS_DSD_ENGINE", "/nowhere/engine"));
    let answer = c.ask("initialize", Value::Null);
    assert_eq!(answer["result"]["devices_problem"]["culprit"], "OPUS_DSD_ENGINE=/nowhere/engine", "{answer}");
    assert_eq!(answer["result"].get("devices"), None);
    // An engine that says nothing holds up neither other requests nor the end.
    let silent = project.path("engine");
    std::fs::write(&silent, "#!/bin/sh\nexec sleep 100\n").unwrap();
    std::fs::set_permissions(&silent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut c = Conversation::of(project.command("serve").env("OPUS_DSD_ENGINE", &silent));
    let began = Instant::now();
    let first = c.send("initialize", Value::Null);
    assert_eq!(c.ask("job/status", Value::Null)["error"]["code"], -32002);
    c.send("shutdown", Value::Null);
    let answer = c.hear().unwrap();
    assert_eq!(answer["id"], first);
    assert!(answer["result"]["devices_problem"]["hint"].is_string(), "{answer}");
    let engine = descendants(c.server.id());
    assert_eq!(c.end(), Some(0));
    assert!(began.elapsed() < STOPS_WITHIN, "{:?}", began.elapsed());
    wait_for("the engine's end", Duration::from_secs(5), || engine.iter().all(|pid| !is_alive(*pid)));
}
