//! `opus-dsd serve`: whole conversations, floods of nonsense, slow and vanishing clients, the Python client.

#[path = "support/job.rs"]
mod job;
#[path = "support/python.rs"]
mod python;
#[path = "support/random.rs"]
mod random;
#[path = "support/serve.rs"]
mod serve;

use job::{Project, descendants, is_alive, signal, wait_for};
use python::{client_folder, python};
use random::Random;
use serde_json::{Value, json};
use serve::{Conversation, settings};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

const JOB: &str = "Runs/job001";
/// Malformed lines of the flood.
const FLOOD: usize = 100_000;
/// A guard stops its job within 4 s; a loaded machine may take longer.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

fn short() -> Value {
    settings(&[("epochs", json!(2)), ("clusters", json!(2))])
}

fn long() -> Value {
    settings(&[("epochs", json!(400))])
}

fn order(settings: Value) -> Value {
    json!({"verb": "train", "folder": JOB, "settings": settings})
}

/// A job that trains.
fn training(project: &Project) -> Conversation {
    job::engine();
    let mut conversation = Conversation::begin(project);
    let answer = conversation.ask("job/start", order(long()));
    assert_eq!(answer["result"]["state"], "running", "{answer}");
    conversation.training();
    conversation
}

fn has_checkpoint(project: &Project) -> bool {
    let entries = project.path(JOB).join("checkpoint").read_dir().unwrap().flatten();
    entries.into_iter().any(|e| e.file_name().to_string_lossy().starts_with("epoch-"))
}

/// As it stands in the reference: numbers that differ from run to run are the same, lists are short, and of notifications between two
/// requests those of `shown` are there, one of each kind, in the order of `shown`.
fn transcript(title: &str, conversation: &Conversation, shown: &[&str]) -> String {
    let mut lines = vec![format!("{title}\n")];
    let mut since: BTreeMap<(usize, String), String> = BTreeMap::new();
    for (ours, message) in &conversation.said {
        let method = message["method"].as_str().filter(|_| !ours);
        let mut steadied = message.clone();
        steady(&mut steadied, "");
        let text = steadied.as_str().map_or_else(|| steadied.to_string(), String::from);
        let Some(method) = method.filter(|m| *m != "job/done") else {
            lines.extend(std::mem::take(&mut since).into_values());
            lines.push(format!("{} {text}", if *ours { "-->" } else { "<--" }));
            continue;
        };
        let params = &message["params"];
        let worth = match method {
            "job/progress" => params["images"].is_u64(),
            "job/metric" => params["over"] == "epoch",
            "job/log" => params["line"] == "train: begins",
            _ => true,
        };
        if let Some(rank) = shown.iter().position(|m| *m == method).filter(|_| worth) {
            since.entry((rank, params["kind"].to_string())).or_insert(format!("<-- {text}"));
        }
    }
    lines.join("\n")
}

fn steady(value: &mut Value, name: &str) {
    match value {
        Value::Number(number) if number.is_f64() => *value = json!(0.5),
        Value::Number(_) if name == "memory_bytes" => *value = json!(1u64 << 34),
        Value::Number(_) if name == "images" => *value = json!(64),
        Value::Number(_) if name == "epoch" => *value = json!(2),
        Value::Number(_) if name == "n" => *value = json!(48),
        Value::Number(_) if name == "active_dimensions" => *value = json!(3),
        // On a loaded machine a stop may take longer than a queue system would wait.
        Value::String(text) if name == "what" && text.starts_with("stopped; it was not ready") => {
            *text = "stopped in order; finished stages and the last checkpoint stand".into();
        }
        // Its numbers follow the rounding of the machine's convolutions.
        Value::String(text) if name == "reason" && text.starts_with("2 clusters, as said; by the curve, ") => {
            *text =
                "2 clusters, as said; by the curve, 2 clusters have a silhouette of 0.54 (best of 1 to 12: 0.54); the clusters are parted"
                    .into();
        }
        Value::String(text) if text.starts_with("checkpoint/epoch-") => text.replace_range(17..20, "002"),
        Value::String(text) if name == "version" => *text = "0.1.0".into(),
        Value::Array(items) if name == "jobs" || name == "plots" => items.truncate(0),
        Value::Array(items) if name == "z" => items.truncate(2),
        _ => {}
    }
    if name == "devices" && value.is_array() {
        *value = json!([{"id": "cpu", "name": "AMD EPYC", "memory_bytes": 1u64 << 34}]);
    }
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| steady(value, name)),
        Value::Array(items) => items.iter_mut().for_each(|item| steady(item, name)),
        _ => {}
    }
}

#[test]
fn a_job_from_start_to_end() {
    job::engine();
    let project = Project::new();
    let mut c = Conversation::begin(&project);
    let first = c.ask("initialize", json!({"protocol": 1, "client": "example 1.0"}));
    assert!(!first["result"]["devices"].as_array().unwrap().is_empty(), "{first}");
    assert!(first["result"]["manifest"]["jobs"].as_array().unwrap().len() >= 3);
    assert_eq!(c.ask("initialize", json!({"devices": false}))["result"].get("devices"), None);
    c.said.truncate(2);
    // Long enough to hear of its progress, which comes once a second.
    let mut settings = short();
    settings["epochs"] = json!(12);
    c.ask("job/start", order(settings));
    let done = c.done();
    assert_eq!((&done["state"], &done["exit_status"]), (&json!("done"), &json!(0)), "{done}");
    assert_eq!(c.ask("job/status", Value::Null)["result"]["state"], "done");
    c.ask("shutdown", Value::Null);
    assert_eq!(c.end(), Some(0));
    assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_SUCCESS"]);
    // Every file that was named is there, and what results.json names was named.
    let outputs: Vec<String> =
        c.said.iter().filter(|(_, m)| m["method"] == "job/output").map(|(_, m)| m["params"]["file"].as_str().unwrap().to_owned()).collect();
    for volume in done["results"]["volumes"].as_array().unwrap() {
        assert!(outputs.iter().any(|o| volume["file"] == **o), "{outputs:?}");
    }
    // Of earlier epochs only the last few are kept.
    let kept = |o: &&String| !o.starts_with("checkpoint/") || o.contains("epoch-012");
    assert!(outputs.iter().filter(kept).all(|o| project.path(JOB).join(o).exists()), "{outputs:?}");
    let order: Vec<&str> = c.said.iter().filter_map(|(ours, m)| if *ours { None } else { m["method"].as_str() }).collect();
    assert_eq!(order.iter().position(|m| *m == "job/done"), Some(order.len() - 1), "the end of a job is the last that is said of it");
    insta::assert_snapshot!("job", transcript("A job from start to end", &c, &["job/log", "job/progress", "job/metric", "job/output"]));
}

#[test]
fn what_goes_wrong_is_answered() {
    job::engine();
    let project = Project::new();
    let mut c = Conversation::begin(&project);
    for line in [
        r#"{"jsonrpc": "2.0", "id": 1, "method"#,
        r#"[{"jsonrpc": "2.0", "id": 1, "method": "job/status"}]"#,
        r#"{"jsonrpc": "1.0", "id": 1, "method": "job/status"}"#,
        r#"{"jsonrpc": "2.0", "id": {}, "method": "job/status"}"#,
        r#"{"jsonrpc": "2.0", "id": "a", "method": "job/stop"}"#,
        r#"{"jsonrpc": "2.0", "id": "a", "method": "job/status", "params": [1]}"#,
    ] {
        c.said.push((true, Value::String(line.into())));
        c.line(line.as_bytes());
        let answer = c.hear().unwrap();
        assert!(answer["error"]["code"].is_i64(), "{answer}");
    }
    c.ask("initialize", json!({"protocol": 7}));
    c.ask("job/status", json!({"jbo": 1}));
    c.ask("job/cancel", Value::Null);
    c.ask("job/start", json!({"verb": "train"}));
    c.ask("job/start", json!({"verb": "serve", "folder": JOB}));
    c.ask("job/start", order(settings(&[("zdmi", json!(8))])));
    c.ask("job/start", order(settings(&[("zdim", json!("many"))])));
    c.ask("job/start", order(settings(&[("o", json!("elsewhere"))])));
    assert!(!project.path(JOB).exists(), "a job that is refused leaves nothing");
    std::fs::write(project.path("file"), b"").unwrap();
    let answer = c.ask("job/start", json!({"verb": "train", "folder": "file/job", "settings": short()}));
    assert_eq!((&answer["error"]["code"], &answer["error"]["data"]["exit_status"]), (&json!(-32000), &json!(3)), "{answer}");
    c.ask("job/start", order(settings(&[("in_parts", json!("nowhere.star"))])));
    let done = c.done();
    assert_eq!((&done["state"], &done["exit_status"]), (&json!("failed"), &json!(3)), "{done}");
    assert_eq!(done["problem"]["culprit"], "nowhere.star", "{done}");
    assert_eq!(c.end(), Some(0));
    insta::assert_snapshot!("wrong", transcript("What goes wrong", &c, &[]));
}

#[test]
fn a_job_is_stopped_and_goes_on() {
    let project = Project::new();
    let mut c = training(&project);
    let busy = c.ask("job/start", json!({"verb": "train", "folder": "Runs/job002", "settings": short()}));
    assert_eq!(busy["error"]["code"], -32001, "{busy}");
    assert_eq!(c.ask("job/cancel", Value::Null)["result"]["state"], "stopping");
    assert_eq!(c.done()["state"], "stopped");
    assert!(has_checkpoint(&project));
    assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"]);
    c.ask("job/start", order(long()));
    c.training();
    c.ask("job/status", json!({"job": 1}));
    c.ask("shutdown", Value::Null);
    assert_eq!(c.end(), Some(0));
    let last = c.said.iter().rev().take(2).map(|(_, m)| m.clone()).collect::<Vec<_>>();
    assert_eq!((&last[1]["method"], &last[0]["result"]), (&json!("job/done"), &Value::Null), "the answer comes when the job has ended");
    insta::assert_snapshot!("stop", transcript("A job is stopped, goes on, and is stopped with the server", &c, &[]));
}

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
fn a_slow_reader_holds_nothing_up_and_gets_what_counts() {
    let project = Project::new();
    job::engine();
    let mut server = serve::start(&project);
    let output = server.stdout.take().unwrap();
    // A page: some twenty messages.
    // SAFETY: a plain system call on a descriptor that is ours.
    assert!(unsafe { libc::fcntl(output.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) } >= 0);
    let settings = settings(&[("epochs", json!(2)), ("clusters", json!(2)), ("log_interval", json!(1))]);
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "job/start", "params": order(settings)});
    std::io::Write::write_all(server.stdin.as_mut().unwrap(), format!("{request}\n").as_bytes()).unwrap();
    wait_for("the job's end", Duration::from_secs(120), || !project.exit_files(JOB).is_empty());
    assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_SUCCESS"]);
    let mut c = Conversation::with(server, output);
    let done = c.done();
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(c.said[0].1["result"]["state"], "running");
    let outputs = c.said.iter().filter(|(_, m)| m["params"]["kind"] == "volume").count();
    assert!(outputs >= 2, "{:?}", c.said);
    assert_eq!(c.end(), Some(0));
}

/// Bytes of any kind, JSON of other shapes, requests that are cut off, doubled or have a byte changed.
fn nonsense(random: &mut Random) -> Vec<u8> {
    const REQUESTS: [&str; 5] = [
        r#"{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocol":1,"devices":false,"client":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":"b","method":"job/status","params":{"job":1}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"job/start","params":{"verb":"train","folder":"other","settings":{"zdim":[1,"a",null]}}}"#,
        r#"{"jsonrpc":"2.0","method":"job/status","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":9,"result":{"a":[true,false,1e308,-0.0]}}"#,
    ];
    const PIECES: [&str; 16] =
        ["{", "}", "[", "]", "\"", ":", ",", "null", "1e999", "-", "\\ud800", "\"id\"", "\"method\"", "\"jsonrpc\":\"2.0\"", "\u{0}", "é"];
    let mut line = REQUESTS[random.below(REQUESTS.len())].as_bytes().to_vec();
    match random.below(6) {
        0 => line = (0..random.below(200)).map(|_| random.below(256) as u8).collect(),
        1 => line = (0..random.below(30)).flat_map(|_| PIECES[random.below(PIECES.len())].bytes()).collect(),
        2 => line.truncate(random.below(line.len())),
        3 => {
            let at = random.below(line.len());
            line[at] = random.below(256) as u8;
        }
        4 => {
            let at = random.below(line.len());
            let piece = PIECES[random.below(PIECES.len())];
            line.splice(at..at, piece.bytes());
        }
        _ => {
            let (from, to) = (random.below(line.len()), random.below(line.len()));
            line.drain(from.min(to)..from.max(to));
        }
    }
    line.retain(|b| *b != b'\n');
    line
}

#[test]
fn a_flood_of_nonsense_is_answered_and_leaves_the_job_alone() {
    let project = Project::new();
    let mut c = training(&project);
    let began = Instant::now();
    let mut random = Random::new(2026);
    let mut input = c.take_input();
    let flood = std::thread::spawn(move || {
        for i in 0..FLOOD {
            let mut line = match i {
                // Longer than is read, nested deeper than is read.
                1000 => vec![b'x'; 3 << 20],
                2000 => vec![b'['; 500_000],
                _ => nonsense(&mut random),
            };
            line.push(b'\n');
            std::io::Write::write_all(&mut input, &line).unwrap();
        }
        input
    });
    let (mut codes, mut results, last) = (BTreeMap::<i64, usize>::new(), 0, json!("last"));
    let mut input = None;
    let mut flood = Some(flood);
    loop {
        if flood.as_ref().is_some_and(std::thread::JoinHandle::is_finished) {
            let mut done = flood.take().unwrap().join().unwrap();
            std::io::Write::write_all(&mut done, b"{\"jsonrpc\":\"2.0\",\"id\":\"last\",\"method\":\"job/status\"}\n").unwrap();
            input = Some(done);
        }
        let message = c.hear().expect("the server is there");
        if message["id"] == last && message.get("method").is_none() {
            assert_eq!(message["result"]["state"], "running", "{message}");
            break;
        }
        match (message["error"]["code"].as_i64(), message.get("result")) {
            (Some(code), _) => *codes.entry(code).or_default() += 1,
            (None, Some(_)) => results += 1,
            _ => assert!(message["method"].is_string(), "{message}"),
        }
    }
    println!("{FLOOD} lines in {:?}: {codes:?}, {results} results", began.elapsed());
    assert!(codes.get(&-32700).is_some_and(|n| *n > FLOOD / 4), "{codes:?}");
    assert!([-32600, -32601, -32602, -32001, -32002].iter().all(|code| codes.contains_key(code)), "{codes:?}");
    assert!(!codes.contains_key(&-32603) && results > 0, "{codes:?}");
    c.give_input(input.unwrap());
    assert_eq!(c.ask("initialize", json!({"devices": false}))["result"]["name"], "opus-dsd");
    assert_eq!(c.ask("job/cancel", Value::Null)["result"]["state"], "stopping");
    assert_eq!(c.done()["state"], "stopped");
    assert_eq!(c.end(), Some(0));
    assert!(has_checkpoint(&project) && !project.path("other").exists());
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

#[test]
fn answers_that_are_not_read_are_waited_with() {
    let project = Project::new();
    let mut server = serve::start(&project);
    let mut input = server.stdin.take().unwrap();
    // Each answer gives the long id back: 200 MB in all, were they kept.
    const LINES: usize = 400;
    let flood = std::thread::spawn(move || {
        for i in 0..LINES {
            let request = json!({"jsonrpc": "2.0", "id": format!("{i}{}", "x".repeat(500_000)), "method": "job/status"});
            std::io::Write::write_all(&mut input, format!("{request}\n").as_bytes()).unwrap();
        }
    });
    std::thread::sleep(Duration::from_secs(2));
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").parse::<usize>().unwrap();
    assert!(!flood.is_finished() && peak < 120_000, "{peak} kB");
    let output = server.stdout.take().unwrap();
    let mut c = Conversation::with(server, output);
    for i in 0..LINES {
        assert!(c.hear().unwrap()["id"].as_str().unwrap().starts_with(&format!("{i}x")));
    }
    flood.join().unwrap();
    assert_eq!(c.end(), Some(0));
}

#[test]
fn ids_are_given_back_as_they_came_and_notifications_are_not_answered() {
    let project = Project::new();
    let mut c = Conversation::begin(&project);
    let ids = [json!(1), json!(1), json!("1"), json!(null), json!(-5), json!(u64::MAX), json!("\u{1F980}")];
    for id in &ids {
        c.line(br#"{"jsonrpc":"2.0","method":"job/status"}"#);
        c.line(b"");
        c.line(json!({"jsonrpc": "2.0", "id": id, "method": "job/status"}).to_string().as_bytes());
    }
    let answered: Vec<Value> = ids.iter().map(|_| c.hear().unwrap()["id"].clone()).collect();
    assert_eq!(answered, ids);
    // The last line needs no end.
    c.line(br#"{"jsonrpc":"2.0","id":"end","method":"shutdown"}"#);
    assert_eq!(c.hear().unwrap()["id"], "end");
    assert_eq!(c.end(), Some(0));
}

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
