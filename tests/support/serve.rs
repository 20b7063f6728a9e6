//! A server in a scratch project, and what is said to it and by it.

#![allow(dead_code, reason = "each test program uses a part")]

use crate::job::Project;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A loaded machine may take this long to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Settings of a job on the simulated set, and more.
pub(crate) fn settings(more: &[(&str, Value)]) -> Value {
    let mut all = json!({"in_parts": "sim/particles.star", "in_mask": "sim/mask.mrc", "preset": "tiny", "device": "cpu", "j": 1});
    for (name, value) in more {
        all[name] = value.clone();
    }
    all
}

/// A conversation with a server.
pub(crate) struct Conversation {
    pub(crate) server: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    last_id: u64,
    /// Both sides' messages in order, `true`: ours.
    pub(crate) said: Vec<(bool, Value)>,
}

impl Conversation {
    pub(crate) fn begin(project: &Project) -> Self {
        Self::of(&mut project.command("serve"))
    }

    /// With a server that is started by this command.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut server = spawn(command);
        let output = server.stdout.take().unwrap();
        Self::with(server, output)
    }

    /// Goes on reading what a server has said.
    pub(crate) fn with(mut server: Child, output: ChildStdout) -> Self {
        let input = server.stdin.take();
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let line = line.unwrap();
                let message = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self { server, input, messages, last_id: 0, said: Vec::new() }
    }

    /// Sends a line as it is.
    pub(crate) fn line(&mut self, line: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line).and_then(|()| input.write_all(b"\n")).unwrap();
    }

    /// Sends a request; its id.
    pub(crate) fn send(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut request = json!({"jsonrpc": "2.0", "id": self.last_id, "method": method});
        if !params.is_null() {
            request["params"] = params;
        }
        self.line(request.to_string().as_bytes());
        self.said.push((true, request));
        self.last_id.into()
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.until(|message| message["id"] == id && message.get("method").is_none())
    }

    /// The next message; `None` at the end.
    pub(crate) fn hear(&mut self) -> Option<Value> {
        match self.messages.recv_timeout(PATIENCE) {
            Ok(message) => {
                self.said.push((false, message.clone()));
                Some(message)
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(_) => panic!("nothing said for {PATIENCE:?}"),
        }
    }

    /// Waits for a message.
    pub(crate) fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let message = self.hear().expect("the server left before it said what is waited for");
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Waits for a job's end.
    pub(crate) fn done(&mut self) -> Value {
        self.until(|message| message["method"] == "job/done")["params"].clone()
    }

    /// Waits until the job trains.
    pub(crate) fn training(&mut self) {
        self.until(|message| message["method"] == "job/progress" && message["params"]["epoch"].is_u64());
    }

    /// Hands the input to another thread.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.input.take().unwrap()
    }

    /// Takes it back.
    pub(crate) fn give_input(&mut self, input: ChildStdin) {
        self.input = Some(input);
    }

    /// Ends the input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Hears all until the server has left; its exit status.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.input = None;
        while self.hear().is_some() {}
        self.server.wait().unwrap().code()
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A server whose pipes are ours.
pub(crate) fn start(project: &Project) -> Child {
    spawn(&mut project.command("serve"))
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}
