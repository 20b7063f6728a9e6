//! The `job.star` of every job: its type, its options, the `$$` names in them, and the command line that an External job comes to.

use super::job_options::{self, Takes, Type};
use super::model::{Dialect, Holds, Job, Place, Scheme};
use super::{Jobs, Report};
use crate::host::relion::job_star;
use contract::{Problem, Result};
use starfile::StarFile;
use std::collections::BTreeSet;
use std::path::Path;

/// Label of External jobs.
const EXTERNAL: &str = "relion.external";
/// By which an executable of ours is known, whatever it was renamed or linked to.
const OUR_NAMES: [&str; 2] = ["opus-dsd", "opusdsd"];
/// Parameters of an External job.
const PARAMETERS: usize = 10;

/// An option as a job will have it.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) name: String,
    /// With its variables put in.
    pub(super) value: String,
    pub(super) place: Place,
}

/// A job whose file could be read.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) job: String,
    /// RELION's label, where the type is in the table of options.
    pub(super) label: Option<&'static str>,
    /// The verb, where it is a job of this program.
    pub(super) verb: Option<String>,
    pub(super) options: Vec<Setting>,
}

impl Told {
    /// An option's value; empty where nothing is said.
    pub(super) fn value(&self, name: &str) -> &str {
        self.options.iter().find(|o| o.name == name).map_or("", |o| &o.value)
    }
}

/// What the jobs of a Scheme are told.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Variables that are named after `$$`.
    pub(super) variables: BTreeSet<String>,
    pub(super) jobs: Vec<Told>,
}

pub(super) fn check(folder: &Path, scheme: &Scheme, ours: &dyn Jobs, report: &mut Report) -> Uses {
    let mut uses = Uses::default();
    for job in &scheme.jobs {
        match read(folder, scheme, job, &mut uses, report) {
            Ok(mut told) => {
                if told.label == Some(EXTERNAL) {
                    external(&folder.join(&told.job).join("job.star"), &mut told, ours, report);
                }
                uses.jobs.push(told);
            }
            Err(problem) => report.problems.push(problem),
        }
    }
    uses
}

fn read(folder: &Path, scheme: &Scheme, job: &Job, uses: &mut Uses, report: &mut Report) -> Result<Told> {
    let path = folder.join(&job.name).join("job.star");
    if !path.is_file() {
        return Err(Problem::input(format!("job `{}` has no file `{}`", job.name, path.display()))
            .at(job.place.to_string())
            .hint("every job has a folder of its name with a `job.star`"));
    }
    let wrong = |e: starfile::Error| {
        Problem::input(e.to_string()).hint("let RELION write the job again, or take the one that `opus-dsd install relion` writes")
    };
    let star = StarFile::read(&path).map_err(wrong)?;
    let head = star.block("job").map_err(wrong)?;
    let word = ["rlnJobTypeLabel", "rlnJobType"].into_iter().find_map(|label| head.find(label)).filter(|_| head.rows() > 0);
    let word = word.map(|column| column.text(0)).unwrap_or_default();
    let place_of_type = Place { path: path.clone(), table: "job".into(), line: head.line() };
    let (label, names) = match job_options::type_of(word) {
        Type::Known(label, names) => (Some(label), names),
        Type::Unlisted => {
            report.notes.push(format!("{place_of_type}: options of `{word}` are not checked"));
            (None, "")
        }
        Type::Unknown => {
            report.problem(&place_of_type, format!("`{word}` is not a type of job"), format!("`{EXTERNAL}` and `relion.select` are types"));
            (None, "")
        }
    };
    let mut told = Told { job: job.name.clone(), label, verb: None, options: Vec::new() };
    let Some(values) = star.find("joboptions_values") else { return Ok(told) };
    let (variables, texts) = (values.column("rlnJobOptionVariable").map_err(wrong)?, values.column("rlnJobOptionValue").map_err(wrong)?);
    for row in 0..values.rows() {
        let (name, text) = (variables.text(row), texts.text(row));
        let place = Place { path: path.clone(), table: values.name().into(), line: values.row_line(row) };
        let takes = label.map_or(Some(Takes::Text), |_| job_options::takes(names, name, scheme.dialect));
        let Some(takes) = takes else {
            let what = format!("`{}` has no option `{name}`, and RELION drops it without a word", label.unwrap_or(word));
            report.problem(&place, what, format!("its options are {}", job_options::names(names, scheme.dialect)));
            continue;
        };
        if told.options.iter().any(|o| o.name == name) {
            report.problem(&place, format!("a second `{name}`: RELION takes the last one only"), "take one away");
        }
        let value = put_in(scheme, text, (label.is_some()).then_some(takes), &place, uses, report);
        if label.is_some() && !text.contains("$$") {
            check_value(takes, name, &value, &place, report);
        }
        told.options.push(Setting { name: name.into(), value, place });
    }
    Ok(told)
}

fn check_value(takes: Takes, name: &str, value: &str, place: &Place, report: &mut Report) {
    match takes {
        Takes::YesOrNo if !["Yes", "No"].contains(&value) => report.problem(place, format!("`{name}` is `{value}`"), "`Yes` or `No`"),
        Takes::Number if value.parse::<f64>().is_err() => {
            report.problem(place, format!("`{name}` is `{value}`, not a number"), "give a number");
        }
        _ => {}
    }
}

/// Puts variables in, as RELION does: a name runs from `$$` to the next blank, and blanks between words become one.
fn put_in(scheme: &Scheme, text: &str, takes: Option<Takes>, place: &Place, uses: &mut Uses, report: &mut Report) -> String {
    let mut text = text.to_owned();
    while let Some((before, after)) = text.split_once("$$") {
        let mut words = after.split_whitespace();
        let Some(name) = words.next() else {
            report.problem(place, format!("no name follows the `$$` of `{text}`"), format!("variables are {}", scheme.names(None)));
            return before.to_owned();
        };
        uses.variables.insert(name.to_owned());
        let value = match scheme.variable(name) {
            Some(variable) => {
                check_kind(variable.holds, name, takes, place, report);
                match variable.holds {
                    Holds::Number => number_as_relion_writes(&variable.value),
                    Holds::Boolean => if variable.value == "1" { "Yes" } else { "No" }.into(),
                    Holds::Text => variable.value.clone(),
                }
            }
            None => {
                report.problem(
                    place,
                    format!("`$${name}` is not a variable"),
                    format!("variables are {}; a name ends at the next blank", scheme.names(None)),
                );
                String::new()
            }
        };
        let rest: String = words.map(|word| format!(" {word}")).collect();
        text = format!("{before}{value}{rest}");
    }
    text
}

/// Numbers of a STAR file as `8.000000` come to `8` on a command line.
fn number_as_relion_writes(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |v| v.to_string())
}

fn check_kind(holds: Holds, name: &str, takes: Option<Takes>, place: &Place, report: &mut Report) {
    let fits = match takes {
        None => true,
        Some(Takes::YesOrNo) => holds == Holds::Boolean,
        Some(Takes::Number) => holds == Holds::Number,
        Some(Takes::Text) => holds != Holds::Boolean,
    };
    if !fits {
        let wanted = match takes {
            Some(Takes::YesOrNo) => "yes or no, which only booleans give",
            Some(Takes::Number) => "a number",
            _ => "a text or a number",
        };
        report.problem(
            place,
            format!("`$${name}` holds {}, and the option takes {wanted}", holds.words()),
            "RELION stops here with an error",
        );
    }
}

/// An External job: whose program it is, and whether that takes the command line.
fn external(path: &Path, told: &mut Told, ours: &dyn Jobs, report: &mut Report) {
    let place = |name: &str| {
        let default = Place { path: path.into(), table: "joboptions_values".into(), line: 1 };
        told.options.iter().find(|o| o.name == name).map_or(default, |o| o.place.clone())
    };
    let at_exe = place("fn_exe");
    if let Some(option) = told.options.iter().find(|o| o.value.contains('>')) {
        let what = format!("`{}` holds `>`: RELION then keeps no run.out and run.err", option.name);
        report.problem(&option.place, what, "write it without");
    }
    let mut star = match job_star::read(path) {
        Ok(star) => star,
        Err(problem) => return report.problems.push(problem),
    };
    star.options = told.options.iter().map(|o| (o.name.clone(), o.value.clone())).collect();
    let words = star.words_of_executable();
    let Some(program) = words.first().map(Path::new) else {
        return report.problem(&at_exe, "an External job without an executable", "write `fn_exe`");
    };
    if program.components().count() > 1 && !program.is_file() {
        report.problem(
            &at_exe,
            format!("the executable `{}` is not there", program.display()),
            "give its absolute path, or a name on the PATH",
        );
    }
    let file = program.file_name().unwrap_or_default().to_string_lossy().to_lowercase().replace('_', "-");
    if !OUR_NAMES.iter().any(|name| file.contains(name)) {
        report.notes.push(format!("{at_exe}: `{}` is another program; its options are not checked", program.display()));
        return;
    }
    let verb = words.get(1).filter(|w| !w.starts_with('-')).cloned().unwrap_or_else(|| "train".into());
    if !ours.verbs().contains(&verb) {
        let verbs: Vec<_> = ours.verbs().iter().map(|v| format!("`{v}`")).collect();
        return report.problem(&at_exe, format!("`{verb}` is not a job of this program"), format!("its jobs are {}", verbs.join(", ")));
    }
    if parameters(told, &verb, ours, report) {
        let checked = star.arguments(path).and_then(|arguments| ours.check(&verb, &arguments));
        if let Err(problem) = checked {
            let culprit =
                problem.culprit.clone().map_or_else(|| at_exe.path.display().to_string(), |c| format!("{}, {c}", at_exe.path.display()));
            report.problems.push(problem.at(culprit));
        }
    }
    told.verb = Some(verb);
}

/// Whether all parameters are options of the verb.
fn parameters(told: &Told, verb: &str, ours: &dyn Jobs, report: &mut Report) -> bool {
    let mut good = true;
    for i in 1..=PARAMETERS {
        let value = told.options.iter().find(|o| o.name == format!("param{i}_value")).filter(|o| !o.value.is_empty());
        match told.options.iter().find(|o| o.name == format!("param{i}_label")).filter(|o| !o.value.is_empty()) {
            Some(label) if !ours.has_option(verb, &label.value) => {
                let what = format!("`{}` is not an option of `opus-dsd {verb}`", label.value);
                report.problem(&label.place, what, format!("`opus-dsd {verb} --help` lists all options"));
                good = false;
            }
            Some(_) => {}
            None => {
                if let Some(value) = value {
                    let what = format!("`{}` has a value and no label, so RELION leaves it out", value.name);
                    report.problem(&value.place, what, format!("write `param{i}_label`"));
                    good = false;
                }
            }
        }
    }
    good
}

/// Inputs of an External job in the order in which RELION 3.1 links them.
pub(super) const LINKED_INPUTS: [&str; 6] = ["in_mov", "in_mic", "in_part", "in_coords", "in_3dref", "in_mask"];

/// RELION 3.1 stops looking for files of its own jobs at the first input that is of none.
pub(super) fn linked_too_late<'t>(told: &'t Told, scheme: &Scheme) -> Option<&'t Setting> {
    if scheme.dialect != Dialect::Schedule || told.label != Some(EXTERNAL) {
        return None;
    }
    let inputs = LINKED_INPUTS.iter().filter_map(|name| told.options.iter().find(|o| o.name == *name && !o.value.is_empty()));
    inputs.skip_while(|o| o.value.contains(&scheme.name)).find(|o| o.value.contains(&scheme.name))
}
