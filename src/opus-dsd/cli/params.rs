//! `--params FILE.json`: options of a job from a file, `{"zdim": 8, "in-mask": "mask.mrc", "plot": false}`. Options on the command line count more.

use super::arguments::{find, is_option, names, nearest};
use super::serve;
use clap::{Arg, Command, value_parser};
use contract::{Problem, Result};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The option's name, and clap's for it.
const OPTION: &str = "--params";
const ID: &str = "params";
/// The job's folder is each job's own; a file may serve many.
const FOLDERS: [&str; 2] = ["--o", "--pipeline-control"];

/// An option that came from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// `--zdim`.
    option: String,
    /// The key as it stands in the file.
    key: String,
    file: PathBuf,
}

/// What verbs that are jobs take beside their own options.
pub(super) fn arg() -> Arg {
    Arg::new(ID)
        .long(ID)
        .value_name("FILE.json")
        .value_parser(value_parser!(PathBuf))
        .help_heading("Machine")
        .help("Options from a file, {\"zdim\": 8, …}; those on the command line count more")
}

/// A command line with the file's options in front of it, and where they come from. Without `--params` it stays as it is.
///
/// # Errors
/// The file cannot be read, is no JSON object, or names an option that the verb does not have.
pub(super) fn expand(spec: &Command, argv: &[String]) -> Result<(Vec<String>, Vec<Origin>)> {
    let Some(file) = file(spec, argv).map(PathBuf::from) else { return Ok((argv.to_vec(), Vec::new())) };
    let given: Vec<&clap::Id> = argv.iter().filter(|t| is_option(t)).filter_map(|t| Some(find(spec, &spelled(t))?.get_id())).collect();
    let (mut line, mut origins) = (Vec::new(), Vec::new());
    for (key, value) in read(&file)? {
        let at = || format!("{}, `{key}`", file.display());
        let option = spelled(&format!("--{}", key.trim_start_matches('-')));
        let Some(arg) = find(spec, &option).filter(|_| option != OPTION) else {
            let near =
                nearest(&option, &names(spec)).map(|n| format!("did you mean `{}`? ", n.trim_start_matches('-'))).unwrap_or_default();
            let hint = format!("{near}`opus-dsd {} --help` lists all options", spec.get_name());
            return Err(Problem::input("unknown option").at(at()).hint(hint));
        };
        if FOLDERS.contains(&option.as_str()) {
            return Err(Problem::input("the job folder does not come from a file")
                .at(at())
                .hint("name it on the command line: `--o External/job007/`"));
        }
        if given.contains(&arg.get_id()) {
            continue;
        }
        line.extend(serve::setting(option.trim_start_matches('-'), &value).map_err(|p| p.at(at()))?);
        origins.push(Origin { option, key, file: file.clone() });
    }
    line.extend(argv.iter().cloned());
    Ok((line, origins))
}

/// What run.out says of them.
pub(super) fn note(origins: &[Origin]) -> Option<String> {
    let names: Vec<&str> = origins.iter().map(|o| o.option.as_str()).collect();
    origins.first().map(|o| format!("from {}: {}", o.file.display(), names.join(", ")))
}

/// An error of an option that came from a file names the file.
pub(super) fn blame(origins: &[Origin], mut problem: Problem) -> Problem {
    let culprit = problem.culprit.clone().unwrap_or_default();
    if let Some(origin) = origins.iter().find(|o| culprit == format!("`{}`", o.option)) {
        problem = problem.at(format!("{}, `{}`", origin.file.display(), origin.key));
    }
    problem
}

/// The value of the last `--params`.
fn file<'a>(spec: &Command, argv: &'a [String]) -> Option<&'a str> {
    find(spec, OPTION)?;
    let value = |i: usize, token: &'a String| match token.split_once('=') {
        Some((_, value)) => Some(value),
        None => argv.get(i + 1).filter(|t| !is_option(t)).map(String::as_str),
    };
    let places = argv.iter().enumerate().filter(|(_, t)| spelled(t) == OPTION);
    places.filter_map(|(i, t)| value(i, t)).rfind(|v| !v.is_empty())
}

/// An option's name as clap knows it.
fn spelled(token: &str) -> String {
    let name = token.split('=').next().unwrap_or_default();
    if name.starts_with("--") { name.to_ascii_lowercase().replace('_', "-") } else { name.to_owned() }
}

fn read(file: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(file).map_err(|e| Problem::io(file, &e).hint("name a file of options: `--params options.json`"))?;
    let hint = "write it as `{\"zdim\": 8, \"epochs\": 20}`";
    match serde_json::from_str(&text) {
        Ok(Value::Object(options)) => Ok(options),
        Ok(_) => Err(Problem::input("not an object of options").at(file.display().to_string()).hint(hint)),
        Err(e) => Err(Problem::input(format!("not JSON: {e}")).at(file.display().to_string()).hint(hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(json: &str, line: &str) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("options.json");
        std::fs::write(&path, json).unwrap();
        let argv: Vec<String> = line.replace("FILE", &path.to_string_lossy()).split_whitespace().map(String::from).collect();
        let (line, _) = expand(&super::super::train::command(), &argv)?;
        let before = line.len() - argv.len();
        Ok(line[..before].join(" "))
    }

    #[test]
    fn the_command_line_counts_more_than_the_file() {
        let json = r#"{"zdim": 8, "num_epochs": 4, "in-mask": "a b.mrc", "plot": false, "lr": null}"#;
        assert_eq!(expanded(json, "--params FILE --o x").unwrap(), "--in-mask=a b.mrc --num-epochs=4 --plot=no --zdim=8");
        assert_eq!(expanded(json, "--PARAMS=FILE --epochs 2 -r m.mrc").unwrap(), "--plot=no --zdim=8");
        assert_eq!(expanded(json, "--o x").unwrap(), "");
    }

    #[test]
    fn mistakes_name_file_and_key() {
        let error = |json: &str| expanded(json, "--params FILE").unwrap_err();
        let unknown = error(r#"{"zdmi": 8}"#);
        assert!(unknown.culprit.unwrap().ends_with("options.json, `zdmi`"));
        assert!(unknown.hint.unwrap().contains("did you mean `zdim`?"));
        assert!(error(r#"{"zdim": {"a": 1}}"#).culprit.unwrap().ends_with("`zdim`"));
        assert!(error(r#"{"o": "x"}"#).to_string().contains("job folder"));
        assert!(error("[1]").to_string().contains("not an object"));
        assert!(error("{").to_string().contains("not JSON"));
        assert_eq!(
            expand(&super::super::train::command(), &["--params".into(), "none.json".into()]).unwrap_err().kind,
            contract::Kind::InputOutput
        );
    }

    #[test]
    fn a_wrong_value_is_the_files() {
        let origin = Origin { option: "--zdim".into(), key: "zdim".into(), file: "o.json".into() };
        assert_eq!(blame(&[origin], Problem::input("bad").at("`--zdim`")).culprit.unwrap(), "o.json, `zdim`");
    }
}
