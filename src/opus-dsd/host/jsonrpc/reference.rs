//! The reference of the protocol, rendered from the types that speak it.

use contract::protocol::{
    Done, ErrorCode, ErrorData, InitializeParams, Initialized, JobParams, LONGEST_LINE, Log, Metric, Output, PROTOCOL, Progress,
    StartParams, Status, method,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;
use std::fmt::Write as _;

/// What comes before the tables.
const RULES: &str = "\
One client starts one server: `opus-dsd serve` reads requests from its stdin and writes answers and notifications to its stdout, each a JSON
object of [JSON-RPC 2.0](https://www.jsonrpc.org/specification) in UTF-8 on a line of its own. Its stderr is for people. A first conversation
is in [guides/protocol.md](../guides/protocol.md).

- A request has `jsonrpc` (`\"2.0\"`), `id` (a string or a whole number), `method` and, where the method has any, `params` by name. One without
  `id` is done and not answered. An `id` that is used again is answered again. Batches (arrays) are refused; blank lines are passed over.
- Requests may come in any order and at any time; `initialize` is not needed before the others. Answers come in the order of the requests, but for
  `initialize` with devices, `shutdown`, and a `job/start` whose folder is just being left by another job: these may come later.
- Jobs run one after another. A `job/start` while a job runs is refused, not queued.
- A job is the same process that `opus-dsd VERB` is: its folder holds all that the server tells, and the same `job/start` goes on where a job was
  stopped, whoever stopped it.
- The end of the input, and SIGTERM, SIGINT or SIGHUP, stop the running job in order (it leaves a checkpoint) and end the server. So does an output
  that nobody reads any more. A server that is killed takes its job along, in order, within 5 s.
- A client that reads slowly does not hold up the job: of `job/progress` the latest is kept, of `job/log` and `job/metric` the last 1000, of all else
  everything. A client that sends requests without reading answers is read no further until it does.
- Fields may be added in any release; a client passes over what it does not know. The version of the protocol is raised when a field or a method
  changes its meaning.
";

/// What was really said, as the tests keep it.
const CONVERSATIONS: [&str; 3] = [
    include_str!("../../../../tests/snapshots/serve__job.snap"),
    include_str!("../../../../tests/snapshots/serve__stop.snap"),
    include_str!("../../../../tests/snapshots/serve__wrong.snap"),
];

/// `docs/reference/protocol.md`.
pub(crate) fn page() -> String {
    let mut generator = SchemaGenerator::default();
    let status = type_words(generator.subschema_for::<Status>().as_value());
    let methods = [
        (
            method::INITIALIZE,
            "Introduces both. The result says what the program is, what it can run on, and which jobs and settings it has.",
            fields::<InitializeParams>(&mut generator),
            fields::<Initialized>(&mut generator),
        ),
        (
            method::START,
            "Starts a job, or goes on with one. Settings are read before the answer; what only shows when the input is read comes with `job/done`. \
             A folder that another job is just leaving is waited for, 8 s at most.",
            fields::<StartParams>(&mut generator),
            format!(" {status}"),
        ),
        (
            method::STATUS,
            "What a job does. The last 100 jobs of the conversation are remembered.",
            fields::<JobParams>(&mut generator),
            format!(" {status}"),
        ),
        (
            method::CANCEL,
            "Asks a job to stop in order: it leaves a checkpoint and ends with status 143, within about 5 s. The answer comes at once; `job/done` says when \
             it has ended. Of a job that has ended it is its status.",
            fields::<JobParams>(&mut generator),
            format!(" {status}"),
        ),
        (
            method::SHUTDOWN,
            "Stops the running job in order, then answers (`null`), then ends the server.",
            String::from(" none"),
            String::from(" `null`"),
        ),
    ];
    let notifications = [
        ("job/progress", "How far the job is. A slow reader gets the latest only.", fields::<Progress>(&mut generator)),
        ("job/metric", "Measurements of training.", fields::<Metric>(&mut generator)),
        (
            "job/output",
            "A file of the result is there, whole. It is named again when a later epoch rewrites it. After a job that ended well, all of its result has been named.",
            fields::<Output>(&mut generator),
        ),
        ("job/log", "A line of `run.out` or `run.err`.", fields::<Log>(&mut generator)),
        (
            "job/done",
            "The job has ended and all its processes are gone. Sent once a job, after all else of the job, and never left out.",
            fields::<Done>(&mut generator),
        ),
    ];
    let error = fields::<ErrorData>(&mut generator);
    let mut page = format!("# The protocol of `opus-dsd serve`, version {PROTOCOL}\n\n{RULES}");
    // Writing to a string cannot fail.
    let _ = write!(page, "\nThe longest line that is read has {LONGEST_LINE} bytes.\n\n## Methods\n");
    for (name, about, params, result) in methods {
        let _ = write!(page, "\n### `{name}`\n\n{about}\n\nParams:{params}\n\nResult:{result}\n");
    }
    page.push_str("\n## Notifications\n");
    for (name, about, params) in notifications {
        let _ = write!(page, "\n### `{name}`\n\n{about}\n\nParams:{params}\n");
    }
    let _ = write!(page, "\n## Errors\n\nAn answer with an `error` has its `code`, a `message` and `data`:{error}\n");
    page.push_str("\n| code | when |\n|---|---|\n");
    for code in ErrorCode::ALL {
        let _ = writeln!(page, "| {} | {} |", code.number(), code.meaning());
    }
    page.push_str("\n## Types\n");
    for (name, schema) in generator.definitions() {
        let _ = write!(page, "\n### {name}\n\n{}{}\n", words(schema), table(schema));
    }
    page.push_str(
        "\n## Conversations\n\nThese were really held; the tests hold them again. `-->` is the client, `<--` the server. Numbers that differ from run to \
         run are 0.5 here, long lists are cut short (so are the manifest's jobs), and of notifications one of a kind is shown, or none.\n",
    );
    for conversation in CONVERSATIONS {
        // The file begins with a header between two lines of dashes.
        let text = conversation.splitn(3, "---\n").last().unwrap_or_default();
        let (title, lines) = text.split_once("\n\n").unwrap_or(("", text));
        let _ = write!(page, "\n### {}\n\n```\n{}\n```\n", title.trim(), lines.trim_end());
    }
    page
}

/// The fields of a type.
fn fields<T: JsonSchema>(generator: &mut SchemaGenerator) -> String {
    let schema = T::json_schema(generator);
    table(schema.as_value())
}

/// A type's fields or values.
fn table(schema: &Value) -> String {
    let mut text = String::from("\n\n");
    if let Some(values) = schema.get("oneOf").and_then(Value::as_array) {
        text.push_str("| value | meaning |\n|---|---|\n");
        for value in values {
            let _ = writeln!(text, "| `{}` | {} |", value["const"].as_str().unwrap_or_default(), words(value));
        }
        return text.trim_end().into();
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    text.push_str("| field | type | meaning |\n|---|---|---|\n");
    let fields = schema["properties"].as_object();
    let (needed, optional): (Vec<_>, Vec<_>) = fields.into_iter().flatten().partition(|(name, _)| required.contains(&name.as_str()));
    for (name, field) in needed.iter().chain(&optional) {
        let absent = if required.contains(&name.as_str()) { "" } else { ", may be absent" };
        let _ = writeln!(text, "| `{name}` | {}{absent} | {} |", type_words(field), words(field));
    }
    text.trim_end().into()
}

fn type_words(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let words: Vec<String> = any.iter().filter(|s| s["type"] != "null").map(type_words).collect();
        return words.join(" or ");
    }
    let name = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|n| *n != "null"),
        name => name.as_str(),
    };
    match name {
        Some("integer") => "whole number".into(),
        Some("boolean") => "true or false".into(),
        Some("array") => format!("list of {}", type_words(&schema["items"])),
        Some(name) => name.into(),
        None => "any".into(),
    }
}

fn words(schema: &Value) -> String {
    schema["description"].as_str().map(one_line).unwrap_or_default()
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_said_in_words() {
        let mut generator = SchemaGenerator::default();
        let done = fields::<Done>(&mut generator);
        assert!(done.contains("| `job` | whole number | Number of the job. |"), "{done}");
        assert!(done.contains("| `problem` | [Problem](#problem), may be absent |"), "{done}");
        assert!(fields::<Output>(&mut generator).contains("| `z` | list of number, may be absent |"));
        let state = table(&generator.definitions()["State"]);
        assert!(state.contains("| `stopping` | It was asked to stop"), "{state}");
    }

    #[test]
    fn every_method_notification_and_code_has_its_place() {
        let page = page();
        for name in method::ALL.iter().chain(&["job/progress", "job/metric", "job/output", "job/log", "job/done"]) {
            assert!(page.contains(&format!("### `{name}`")), "{name}");
        }
        assert!(ErrorCode::ALL.iter().all(|c| page.contains(&format!("| {} |", c.number()))));
    }
}
