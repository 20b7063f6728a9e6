//! `opus-dsd serve`: whole conversations.
//!
//! Index: conversations as they stand in the reference, here · `ends` (of the input, the output, the server, an engine) · `floods`
//! (nonsense, slow readers) · `python_client`.

#[path = "serve/ends.rs"]
mod ends;
#[path = "serve/floods.rs"]
mod floods;
#[path = "support/job.rs"]
mod job;
#[path = "support/python.rs"]
mod python;
#[path = "serve/python_client.rs"]
mod python_client;
#[path = "support/random.rs"]
mod random;
#[path = "support/serve.rs"]
mod serve;

use job::{Project, wait_for};
use serde_json::{Value, json};
use serve::{Conversation, settings};
use std::collections::BTreeMap;
use std::time::Duration;

const JOB: &str = "Runs/job001";
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
    // A machine with other work to do may say that it trains before it has anything to show.
    wait_for("results of an epoch", Duration::from_secs(120), || project.path(JOB).join("results.json").exists());
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
