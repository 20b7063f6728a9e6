//! A check of RELION Schemes (4 and 5) and Schedules (3.1) before they run.
//!
//! RELION looks at a Scheme only while it runs it, hours in, and much that is wrong it takes in silence: an operator's literal number counts
//! as 0, an option that a job does not have is dropped, an edge into nothing ends the run. Here every node, edge, operator, `$$` name,
//! variable and job option is resolved by RELION's own rules, and what External jobs of this program are told is read by the command line
//! itself, through [`Jobs`].

mod graph;
mod job_options;
mod jobs;
mod model;
mod operators;
mod references;

use contract::{Problem, Result};
use model::Dialect;
use std::path::Path;

/// What a check needs to know of this program's own jobs.
pub(crate) trait Jobs {
    /// The jobs that RELION can start, for messages.
    fn verbs(&self) -> Vec<String>;
    /// Whether a job has an option, as a parameter's label names it.
    fn has_option(&self, verb: &str, label: &str) -> bool;
    /// Whether a job takes these arguments.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self, verb: &str, arguments: &[String]) -> Result<()>;
    /// Files at the top of the job's folder, with `*` for any text.
    fn outputs(&self, verb: &str) -> Vec<String>;
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What will go wrong.
    pub(crate) problems: Vec<Problem>,
    /// What is worth a look, or could not be checked.
    pub(crate) notes: Vec<String>,
    /// What was checked, in numbers.
    pub(crate) summary: String,
}

impl Report {
    fn problem(&mut self, place: &model::Place, what: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::input(what).at(place.to_string()).hint(hint));
    }
}

/// Checks the Scheme or Schedule in a folder.
///
/// # Errors
/// The folder holds none, or its file cannot be read as a STAR file. What is wrong inside is in the report.
pub(crate) fn check(folder: &Path, ours: &dyn Jobs) -> Result<Report> {
    let Some(dialect) = Dialect::ALL.into_iter().find(|d| folder.join(d.file()).is_file()) else {
        return Err(Problem::input("holds neither a `scheme.star` nor a `schedule.star`")
            .at(folder.display().to_string())
            .hint("name the folder of a Scheme: `Schemes/opus-dsd`"));
    };
    let mut report = Report::default();
    let scheme = model::read(folder, dialect, &mut report)?;
    operators::check(&scheme, &mut report);
    graph::check(&scheme, &mut report);
    let uses = jobs::check(folder, &scheme, ours, &mut report);
    references::check(folder, &scheme, &uses, ours, &mut report);
    unused_variables(&scheme, &uses, &mut report);
    report.summary = format!(
        "{} variables, {} operators, {} jobs, {} edges",
        scheme.variables.len(),
        scheme.operators.len(),
        scheme.jobs.len(),
        scheme.edges.len()
    );
    Ok(report)
}

/// Names of variables that RELION itself looks for.
const KNOWN_TO_RELION: [&str; 1] = ["email"];

fn unused_variables(scheme: &model::Scheme, uses: &jobs::Uses, report: &mut Report) {
    for variable in &scheme.variables {
        let name = variable.name.as_str();
        let used = scheme.operators.iter().any(|o| [&o.output, &o.first, &o.second].into_iter().any(|slot| slot == name))
            || scheme.edges.iter().any(|e| e.boolean == name)
            || uses.variables.contains(name)
            || KNOWN_TO_RELION.contains(&name);
        if !used {
            report.notes.push(format!("{}: nothing uses `{name}`", variable.place));
        }
    }
}
