//! `serve`: the stdin/stdout protocol, and how its settings become a command line.

use super::{arguments, manifest};
use crate::host::jsonrpc::{self, Verbs};
use clap::Command;
use contract::{Problem, Result};
use serde_json::{Map, Value};
use std::io::IsTerminal;

/// Options that the protocol gives another way, or that do not start a job.
const NOT_SETTINGS: [&str; 4] = ["--o", "--pipeline-control", "--help", "--version"];

pub(super) fn command() -> Command {
    Command::new("serve").about("Speaks JSON-RPC 2.0 on stdin and stdout, one object a line, for programs that run jobs").after_help(
        "The end of the input stops the running job in order. docs/guides/protocol.md shows a first conversation.\n\n\
             Example:\n  echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}' | opus-dsd serve",
    )
}

pub(super) fn run() -> Result<u8> {
    if std::io::stdin().is_terminal() {
        eprintln!("opus-dsd serve: requests are read from here, one JSON object a line; the end of the input (Ctrl-D) ends it");
    }
    jsonrpc::serve(Verbs { manifest: manifest::manifest, command_line })
}

/// The command line of a job, read once as the job itself will read it, so that what is wrong is said before it is started.
fn command_line(verb: &str, folder: &str, settings: &Map<String, Value>) -> Result<Vec<String>> {
    let Some(spec) = super::job_command(verb) else {
        return Err(Problem::input(format!("`{verb}` is not a job")).at("verb").hint(format!("one of {}", manifest::verbs().join(", "))));
    };
    if folder.is_empty() || folder.contains('\0') {
        return Err(Problem::input("not a path").at("folder").hint("name the job folder, as `Runs/job001`"));
    }
    let mut line = vec![verb.to_owned(), format!("--o={}/", folder.trim_end_matches('/'))];
    for (name, value) in settings {
        line.extend(setting(name, value)?);
    }
    let normal = arguments::normalise(&spec, &line[1..])?;
    let order = super::order(verb, &arguments::parse(spec, verb, &normal)?)?;
    order.harm_to_folder().map_or(Ok(()), Err)?;
    order.check()?;
    Ok(line)
}

/// One setting as it stands on a command line; `None`: left out.
pub(super) fn setting(name: &str, value: &Value) -> Result<Option<String>> {
    let wrong = |what: &str, hint: &str| Err(Problem::input(what).at(format!("`{name}`")).hint(hint));
    let long = format!("--{}", name.to_ascii_lowercase().replace('_', "-"));
    if NOT_SETTINGS.contains(&long.as_str()) {
        return wrong("is not a setting", "the job folder is named by `folder`, not among the settings");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return wrong("not the name of a setting", "settings are named as options are, without their dashes");
    }
    let Some(text) = text(value) else {
        return wrong("not a value", "give a string, a number, true or false, or a list of these");
    };
    if text.contains('\0') {
        return wrong("holds a character that no file name and no number has", "leave the character of code 0 out");
    }
    Ok((!text.is_empty()).then(|| format!("{long}={text}")))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(on) => Some(if *on { "yes" } else { "no" }.into()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.iter().all(|i| !i.is_array()) => Some(items.iter().map(text).collect::<Option<Vec<_>>>()?.join(",")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(verb: &str, settings: Value) -> Result<Vec<String>> {
        let Value::Object(settings) = settings else { panic!("an object") };
        command_line(verb, "job1", &settings)
    }

    #[test]
    fn settings_become_options() {
        let settings = json!({"in_parts": "a b.star", "zdim": 8, "plot": false, "lr": 1e-4, "in_mask": null, "datadir": "", "gpu": [0, 1]});
        let mut found = line("train", settings).unwrap();
        found[2..].sort();
        assert_eq!(found, ["train", "--o=job1/", "--gpu=0,1", "--in-parts=a b.star", "--lr=0.0001", "--plot=no", "--zdim=8"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let culprit = |verb, settings| line(verb, settings).unwrap_err().culprit.unwrap();
        assert_eq!(culprit("serve", json!({})), "verb");
        assert_eq!(culprit("--worker", json!({})), "verb");
        assert_eq!(culprit("train", json!({"valfrac": 2})), "`--valfrac`");
        assert_eq!(culprit("train", json!({"o": "x"})), "`o`");
        assert_eq!(culprit("train", json!({"zdmi": 8})), "`--zdmi`");
        assert_eq!(culprit("train", json!({"zdim": "many"})), "`--zdim`");
        assert_eq!(culprit("train", json!({"zdim": {"a": 1}})), "`zdim`");
        assert_eq!(culprit("train", json!({"datadir": "a\u{0}b"})), "`datadir`");
        assert_eq!(culprit("train", json!({"zdim=8 --o": 1})), "`zdim=8 --o`");
        assert!(command_line("train", "", &Map::new()).is_err());
    }
}
