//! `manifest`: the options and outputs of every verb that is a job, as hosts want to read them. Nothing is said here that clap's definitions
//! ([`crate::settings::said`]) and the job's own file names do not say.

mod outputs;
mod reference;
mod relion;

use super::{analyse, check, decode, encode, import, select, train};
use crate::host::jsonrpc;
use crate::job::console;
use crate::settings::form::{self, Constant, Field, Gate, Kind, Level, Unsaid, When};
use clap::{Arg, ArgGroup, ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use contract::{Problem, Result, VERSION};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Raised when a field of the manifest changes its meaning.
const SCHEMA: u32 = 1;

/// The jobs that Scipion's plugin has protocols for: subsets are chosen in Scipion's own way, and what its protocols give on is of the
/// particles of the training.
const SCIPION: [&str; 3] = ["train", "analyse", "decode"];
/// Verbs that run without the networks.
const WITHOUT_NETWORKS: [&str; 3] = ["select", "check", "import"];

/// Whom the manifest is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Host {
    /// All that is known, for any program
    Json,
    /// A job.star for each verb and version of RELION
    Relion,
    /// What the Scipion plugin builds its forms from
    Scipion,
    /// What the CCP-EM Pipeliner plugin builds its jobs from
    Ccpem,
    /// The page of all options, for people
    Docs,
    /// The page of the protocol that `serve` speaks, for people
    Protocol,
}

/// What is said of the manifest that is wanted.
#[derive(Args, Clone, Debug)]
struct ManifestSaid {
    /// Whom it is for
    #[arg(long = "for", value_name = "HOST", value_enum, default_value = "json")]
    host: Host,
    /// Write every generated file of the project below this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "host")]
    write: Option<PathBuf>,
}

pub(super) fn command() -> Command {
    ManifestSaid::augment_args(Command::new("manifest"))
        .about("The options and outputs of all jobs, for a host: json, relion, scipion, ccpem")
        .long_about(None)
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8> {
    let said = ManifestSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    if let Some(root) = said.write {
        for (name, text) in generated()? {
            let path = root.join(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(|e| Problem::io(folder, &e))?;
            }
            crate::job::atomic::write(&path, text.as_bytes())?;
        }
        return Ok(0);
    }
    let text = match said.host {
        Host::Json => pretty(&manifest())?,
        Host::Scipion => pretty(&for_host("scipion"))?,
        Host::Ccpem => pretty(&for_host("ccpem"))?,
        Host::Docs => reference::page(&jobs()),
        Host::Protocol => jsonrpc::reference_page(),
        Host::Relion => relion::job_stars(&jobs()).iter().map(|(name, text)| format!("# {name}\n{text}\n")).collect(),
    };
    console::print(text.trim_end()).map(|()| 0)
}

/// Every file of the project that is made from the option table, with its place in it.
fn generated() -> Result<Vec<(String, String)>> {
    let mut files = vec![
        ("plugin-manifests/manifest.json".to_owned(), pretty(&manifest())?),
        ("plugin-manifests/scipion/opusdsdrs/manifest.json".into(), pretty(&for_host("scipion"))?),
        ("plugin-manifests/ccpem/pipeliner_opusdsd/manifest.json".into(), pretty(&for_host("ccpem"))?),
        ("docs/reference/options.md".into(), reference::page(&jobs())),
        ("docs/reference/protocol.md".into(), jsonrpc::reference_page()),
    ];
    files.extend(relion::job_stars(&jobs()).into_iter().map(|(name, text)| (format!("plugin-manifests/relion/{name}"), text)));
    Ok(files)
}

fn pretty(value: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Problem::failed(e.to_string()).at("manifest"))?;
    Ok(format!("{text}\n"))
}

/// A verb that is a job, as hosts see it.
struct Job {
    /// The verb.
    id: &'static str,
    title: &'static str,
    command: Command,
}

/// All verbs that are jobs.
fn jobs() -> Vec<Job> {
    vec![
        Job { id: "train", title: "Train", command: train::command() },
        Job { id: "analyse", title: "Analyse", command: analyse::command() },
        Job { id: "decode", title: "Generate volumes", command: decode::command() },
        Job { id: "encode", title: "Encode particles", command: encode::command() },
        Job { id: "select", title: "Select particles", command: select::command() },
        Job { id: "check", title: "Check the input", command: check::command() },
        Job { id: "import", title: "Import from the original", command: import::command() },
    ]
}

/// The verbs that are jobs.
pub(super) fn verbs() -> Vec<&'static str> {
    jobs().iter().map(|job| job.id).collect()
}

/// The `job.star` of every verb for a version of RELION (`3.1`, `4`, `5`), as it calls this executable.
pub(super) fn relion_jobs(version: &str, executable: &str) -> Vec<(&'static str, String)> {
    jobs().iter().filter_map(|job| Some((job.id, relion::job_star_of(job, version, executable)?))).collect()
}

/// Files that a verb leaves for others, relative to the job folder; `*` stands for any text.
pub(super) fn output_files(verb: &str) -> Vec<String> {
    let outputs = outputs::of(verb);
    outputs.as_array().into_iter().flatten().filter_map(|output| output["path"].as_str().map(String::from)).collect()
}

/// The neutral form: everything that is known.
pub(crate) fn manifest() -> Value {
    let jobs: Vec<Value> = jobs().iter().map(job).collect();
    json!({ "schema": SCHEMA, "program": "opus-dsd", "version": VERSION, "jobs": jobs })
}

/// The neutral form without what the host has no use for: hidden options, and names and defaults of other hosts.
fn for_host(host: &str) -> Value {
    let mut whole = manifest();
    if let Some(jobs) = whole["jobs"].as_array_mut().filter(|_| host == "scipion") {
        jobs.retain(|job| SCIPION.contains(&job["id"].as_str().unwrap_or_default()));
    }
    let jobs = whole["jobs"].as_array_mut().into_iter().flatten();
    for section in jobs.flat_map(|j| j["sections"].as_array_mut().into_iter().flatten()) {
        if let Some(params) = section["params"].as_array_mut() {
            params.retain(|p| p["level"] != Level::Hidden.word());
            for param in params.iter_mut().filter_map(Value::as_object_mut) {
                if host != "scipion" {
                    param.retain(|key, _| !["names", "defaults", "gate"].contains(&key.as_str()));
                }
            }
        }
    }
    whole
}

fn job(job: &Job) -> Value {
    let mut sections: Vec<(String, Vec<Value>)> = Vec::new();
    for arg in job.command.get_arguments() {
        let (Some(field), Some(heading)) = (form::of(arg), arg.get_help_heading()) else { continue };
        let param = param(arg, field, &job.command);
        match sections.iter_mut().find(|(title, _)| title == heading) {
            Some((_, params)) => params.push(param),
            None => sections.push((heading.to_owned(), vec![param])),
        }
    }
    let sections: Vec<Value> = sections.into_iter().map(|(title, params)| json!({ "title": title, "params": params })).collect();
    json!({
        "id": job.id,
        "command": [job.id],
        "title": job.title,
        "help": job.command.get_about().map(ToString::to_string),
        "needs_gpu": !WITHOUT_NETWORKS.contains(&job.id),
        "resumable": true,
        "one_of": one_of(&job.command),
        "sections": sections,
        "outputs": outputs::of(job.id),
    })
}

fn param(arg: &Arg, field: &Field, command: &Command) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("id", id(arg).into());
    put("option", format!("--{}", arg.get_long().unwrap_or_default()).into());
    if let Some(name) = field.scipion {
        put("names", json!({ "scipion": name }));
    }
    put("type", field.kind.word().into());
    put("default", if let Unsaid::Is(value) = field.unsaid { constant(value) } else { Value::Null });
    if let Unsaid::Decided(whence) = field.unsaid {
        put("automatic", whence.into());
    }
    if let Some(value) = field.scipion_default {
        put("defaults", json!({ "scipion": constant(value) }));
    }
    for (key, bound) in [("min", field.least), ("above", field.above), ("max", field.most)] {
        if let Some(bound) = bound {
            put(key, number(field.kind, bound));
        }
    }
    if field.kind == Kind::Choice {
        let words: Vec<String> = arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
        let about: Vec<String> =
            arg.get_possible_values().iter().map(|v| v.get_help().map(ToString::to_string).unwrap_or_default()).collect();
        put("choices", json!(words));
        put("choices_help", json!(about));
    }
    put("required", field.required.into());
    if field.fixed {
        put("fixed_on_continue", true.into());
    }
    put("level", field.level.word().into());
    if let Some(unit) = field.unit {
        put("unit", unit.into());
    }
    put("label", field.label.into());
    put("help", arg.get_help().map(ToString::to_string).unwrap_or_default().into());
    if let Some(When::Given(other)) = field.when {
        put("when", json!({ "param": other_id(command, other), "given": true }));
    }
    if let Some(Gate { name, label, default, open }) = field.gate {
        put("gate", json!({ "name": name, "label": label, "default": default, "open": open }));
    }
    Value::Object(map)
}

/// Groups of options of which one is to be given. Groups that clap makes for its own use are named after types.
fn one_of(command: &Command) -> Vec<Vec<String>> {
    let own = |group: &&ArgGroup| group.get_id().as_str().starts_with(char::is_lowercase);
    // Only a built command knows which options belong to a group.
    let mut built = command.clone();
    built.build();
    // A group of which several may be given demands one, but forbids no second.
    built
        .get_groups()
        .filter(own)
        .filter(|group| !ArgGroup::clone(group).is_multiple())
        .map(|group| group.get_args().map(|name| other_id(command, name.as_str())).collect())
        .collect()
}

/// The option's name without dashes, as hosts use it for a key.
fn id(arg: &Arg) -> String {
    arg.get_long().unwrap_or_else(|| arg.get_id().as_str()).replace('-', "_")
}

fn other_id(command: &Command, name: &str) -> String {
    command.get_arguments().find(|a| a.get_id() == name).map_or_else(|| name.to_owned(), id)
}

fn constant(value: Constant) -> Value {
    match value {
        Constant::Whole(n) => n.into(),
        Constant::Number(x) => x.into(),
        Constant::Word(w) => w.into(),
        Constant::Switch(on) => on.into(),
    }
}

/// Bounds of whole numbers are whole numbers.
fn number(kind: Kind, bound: f64) -> Value {
    match kind {
        Kind::Int | Kind::Threads => (bound as i64).into(),
        _ => bound.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn params(manifest: &Value) -> Vec<(String, Value)> {
        let jobs = manifest["jobs"].as_array().unwrap();
        let of = |job: &Value| {
            let id = job["id"].as_str().unwrap().to_owned();
            let sections = job["sections"].as_array().unwrap().iter();
            sections.flat_map(|s| s["params"].as_array().unwrap().clone()).map(move |p| (id.clone(), p)).collect::<Vec<_>>()
        };
        jobs.iter().flat_map(of).collect()
    }

    /// Options of a command line alone: a host has its own form, and no use for a job that does nothing.
    const NOT_IN_FORMS: [&str; 2] = ["params", "dry-run"];

    #[test]
    fn every_option_of_every_job_is_described() {
        for job in jobs() {
            for arg in job.command.get_arguments().filter(|a| a.get_long().is_some_and(|l| !NOT_IN_FORMS.contains(&l))) {
                assert!(form::of(arg).is_some(), "`{} --{}` has no field", job.id, arg.get_long().unwrap());
                assert!(arg.get_help_heading().is_some(), "`{} --{}` has no heading", job.id, arg.get_long().unwrap());
            }
        }
    }

    #[test]
    fn names_are_unique_and_conditions_resolve() {
        for host in ["json", "scipion", "ccpem"] {
            let manifest = if host == "json" { manifest() } else { for_host(host) };
            let all = params(&manifest);
            let mut seen = BTreeSet::new();
            for (job, p) in &all {
                assert!(seen.insert((job.clone(), p["id"].to_string())), "{job} {p}");
                if let Some(when) = p.get("when") {
                    assert!(all.iter().any(|(j, q)| j == job && q["id"] == when["param"]), "{p}");
                }
                if p["level"] != "hidden" {
                    assert!(!p["label"].as_str().unwrap().is_empty() && p["label"].as_str().unwrap().len() < 48, "{p}");
                }
                if host == "ccpem" {
                    assert!(p.get("names").is_none() && p["level"] != "hidden", "{p}");
                }
            }
        }
    }

    #[test]
    fn sets_of_which_one_is_given_are_named() {
        let manifest = manifest();
        let decode = manifest["jobs"].as_array().unwrap().iter().find(|j| j["id"] == "decode").unwrap();
        assert_eq!(decode["one_of"], json!([["job", "in_parts"], ["zfile", "pc", "path", "particles"]]));
    }

    #[test]
    fn bounds_and_defaults_agree() {
        for (job, p) in params(&manifest()) {
            for default in [p["default"].as_f64(), p["defaults"]["scipion"].as_f64()].into_iter().flatten() {
                assert!(p["min"].as_f64().is_none_or(|least| default >= least), "{job} {p}");
                assert!(p["max"].as_f64().is_none_or(|most| default <= most), "{job} {p}");
            }
        }
    }
}
