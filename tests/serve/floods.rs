//! Clients that say too much or read too little.

use super::job::{self, Project, wait_for};
use super::random::Random;
use super::serve::{self, Conversation, settings};
use super::{JOB, has_checkpoint, order, training};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Malformed lines of the flood.
const FLOOD: usize = 100_000;

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
