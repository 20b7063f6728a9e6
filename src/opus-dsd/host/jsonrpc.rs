//! Any program as host, over stdin and stdout: JSON-RPC 2.0, one object a line (`docs/reference/protocol.md`).
//!
//! The server holds nothing that can be lost: a job is the same guard process that other hosts start, and what the server tells of it comes
//! from the files that it writes. One thread reads requests, one writes messages; the rest happens here, on the main thread, which never
//! waits for a client.

mod child;
mod devices;
mod follow;
mod lines;
mod message;
mod outbox;
mod reference;
mod server;
mod streams;
mod tail;

pub(crate) use reference::page as reference_page;

use contract::protocol::LONGEST_LINE;
use contract::{Device, Problem, Result};
use outbox::Outbox;
use serde_json::{Map, Value};
use server::Server;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Requests that are read ahead.
const READ_AHEAD: usize = 64;
/// How often a running job is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Time that a slow reader has for the last messages.
const LAST_MESSAGES: Duration = Duration::from_secs(5);
/// Size of the buffer that requests are read through, bytes.
const BUFFER: usize = 64 * 1024;

/// From a verb, a folder and settings to a command line without the program's name, or what is wrong with them.
pub(crate) type CommandLine = fn(&str, &str, &Map<String, Value>) -> Result<Vec<String>>;

/// What the server needs to know of the command line.
pub(crate) struct Verbs {
    /// All jobs and their settings.
    pub(crate) manifest: fn() -> Value,
    /// How a job is started.
    pub(crate) command_line: CommandLine,
}

/// What the main thread waits for.
enum Input {
    Line(lines::Line),
    Devices(Result<Vec<Device>>),
    Signal,
    OutputClosed,
}

/// Serves one client until its input ends, it asks for the end, or a signal does; returns the exit status.
///
/// # Errors
/// There are no streams, or signals cannot be heard.
pub(crate) fn serve(verbs: Verbs) -> Result<u8> {
    let (requests, mut messages) = streams::take().map_err(|e| Problem::failed(format!("stdin and stdout cannot be used: {e}")))?;
    let outbox = Arc::new(Outbox::default());
    let (sender, inputs) = sync_channel(READ_AHEAD);
    let signals = sender.clone();
    ctrlc::set_handler(move || {
        let _ = signals.send(Input::Signal);
    })
    .map_err(|e| Problem::failed(format!("signals cannot be heard: {e}")))?;
    let (writing, closed) = (Arc::clone(&outbox), sender.clone());
    std::thread::spawn(move || {
        writing.write_to(&mut messages);
        let _ = closed.send(Input::OutputClosed);
    });
    let (reading, read) = (Arc::clone(&outbox), sender.clone());
    std::thread::spawn(move || read_requests(requests, &reading, &read));
    let mut server = Server::new(verbs, Arc::clone(&outbox), sender);
    let status = attend(&mut server, &inputs);
    outbox.wait_until_written(LAST_MESSAGES);
    Ok(status)
}

fn read_requests(requests: File, outbox: &Outbox, read: &SyncSender<Input>) {
    let mut requests = BufReader::with_capacity(BUFFER, requests);
    loop {
        outbox.wait_for_room();
        let line = lines::next(&mut requests, LONGEST_LINE);
        let is_end = line == lines::Line::End;
        if read.send(Input::Line(line)).is_err() || is_end {
            return;
        }
    }
}

/// Takes inputs, and looks at the running job between them, until the server may leave.
fn attend(server: &mut Server, inputs: &Receiver<Input>) -> u8 {
    let mut looked = Instant::now();
    loop {
        let input = if server.has_to_look() {
            inputs.recv_timeout(LOOK.saturating_sub(looked.elapsed()))
        } else {
            inputs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match input {
            Ok(Input::Line(line)) => server.line(line),
            Ok(Input::Devices(outcome)) => server.devices(outcome),
            Ok(Input::Signal) => server.signal(),
            Ok(Input::OutputClosed) => server.output_closed(),
            Err(_) => {}
        }
        if server.has_to_look() && looked.elapsed() >= LOOK {
            looked = Instant::now();
            server.look();
        }
        if let Some(status) = server.may_leave() {
            return status;
        }
    }
}
