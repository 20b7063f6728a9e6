//! The tables of `scheme.star` and `schedule.star`, row by row with their lines.

use super::Report;
use contract::{Problem, Result};
use starfile::{Block, StarFile};
use std::fmt;
use std::path::{Path, PathBuf};

/// What RELION writes where nothing belongs.
pub(crate) const UNDEFINED: &str = "undefined";

/// The two forms of the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// RELION 4 and 5.
    Scheme,
    /// RELION 3.1.
    Schedule,
}

impl Dialect {
    pub(crate) const ALL: [Self; 2] = [Self::Scheme, Self::Schedule];

    /// The file's name.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Scheme => "scheme.star",
            Self::Schedule => "schedule.star",
        }
    }

    /// Folder of all Schemes of a project, with its slash.
    pub(crate) fn home(self) -> &'static str {
        match self {
            Self::Scheme => "Schemes/",
            Self::Schedule => "Schedules/",
        }
    }

    fn table(self, rest: &str) -> String {
        match self {
            Self::Scheme => format!("scheme_{rest}"),
            Self::Schedule => format!("schedule_{rest}"),
        }
    }

    fn label(self, rest: &str) -> String {
        match self {
            Self::Scheme => format!("rlnScheme{rest}"),
            Self::Schedule => format!("rlnSchedule{rest}"),
        }
    }

    /// How a job may be run when the Scheme comes to it again.
    fn modes(self) -> &'static [&'static str] {
        match self {
            Self::Scheme => &["new", "continue"],
            Self::Schedule => &["new", "continue", "overwrite"],
        }
    }
}

/// Where something stands, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) table: String,
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, table `{}`, line {}", self.path.display(), self.table, self.line)
    }
}

/// What a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Number,
    Boolean,
    Text,
}

impl Holds {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Text => "a text",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) holds: Holds,
    pub(crate) value: String,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct Operator {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) output: String,
    pub(crate) first: String,
    pub(crate) second: String,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Its name in the Scheme, and its folder's.
    pub(crate) name: String,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) fork: bool,
    pub(crate) to_if_true: String,
    pub(crate) boolean: String,
    pub(crate) place: Place,
}

/// A Scheme or Schedule.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    pub(crate) dialect: Dialect,
    /// As RELION names it: `Schemes/opus-dsd/`.
    pub(crate) name: String,
    pub(crate) variables: Vec<Variable>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) edges: Vec<Edge>,
}

impl Scheme {
    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|v| v.name == name)
    }

    pub(crate) fn operator(&self, name: &str) -> Option<&Operator> {
        self.operators.iter().find(|o| o.name == name)
    }

    pub(crate) fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|j| j.name == name)
    }

    pub(crate) fn is_node(&self, name: &str) -> bool {
        self.operator(name).is_some() || self.job(name).is_some()
    }

    /// Whether an operator sets a variable, so that its value in the file says nothing.
    pub(crate) fn is_computed(&self, name: &str) -> bool {
        self.operators.iter().any(|o| o.output == name)
    }

    /// Names of the variables that hold something, for hints.
    pub(crate) fn names(&self, holds: Option<Holds>) -> String {
        let names: Vec<_> = self.variables.iter().filter(|v| holds.is_none_or(|h| v.holds == h)).map(|v| format!("`{}`", v.name)).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}

/// One table, read row by row.
struct Table<'f> {
    path: PathBuf,
    block: Block<'f>,
    dialect: Dialect,
}

impl Table<'_> {
    fn place(&self, row: usize) -> Place {
        Place { path: self.path.clone(), table: self.block.name().to_owned(), line: self.block.row_line(row) }
    }

    /// The cells of a row under these labels, given without `rlnScheme`.
    fn cells<const N: usize>(&self, row: usize, labels: [&str; N]) -> Result<[String; N]> {
        let mut cells = [const { String::new() }; N];
        for (cell, label) in cells.iter_mut().zip(labels) {
            let column = self.block.column(&self.dialect.label(label)).map_err(|e| wrong(&e))?;
            *cell = column.text(row).to_owned();
        }
        Ok(cells)
    }
}

fn wrong(error: &starfile::Error) -> Problem {
    Problem::input(error.to_string()).hint("take the file that `opus-dsd install relion` writes and change that")
}

/// Reads the file; what is odd in single rows goes to the report.
///
/// # Errors
/// A file that is not a STAR file, or whose tables lack columns.
pub(crate) fn read(folder: &Path, dialect: Dialect, report: &mut Report) -> Result<Scheme> {
    let path = folder.join(dialect.file());
    let star = StarFile::read(&path).map_err(|e| wrong(&e))?;
    let table = |rest: &str| {
        let name = dialect.table(rest);
        star.find(&name).map(|block| Table { path: path.clone(), block, dialect })
    };
    let missing = |rest: &str| {
        Problem::input(format!("no table `{}`", dialect.table(rest))).at(path.display().to_string()).hint("a Scheme has a name and edges")
    };
    let general = table("general").ok_or_else(|| missing("general"))?;
    let [name, current] = general.cells(0, ["Name", "CurrentNodeName"])?;
    let mut scheme = Scheme { dialect, name, variables: vec![], operators: vec![], jobs: vec![], edges: vec![] };
    for (rest, word, holds) in
        [("floats", "Float", Holds::Number), ("bools", "Boolean", Holds::Boolean), ("strings", "String", Holds::Text)]
    {
        let Some(table) = table(rest) else { continue };
        let labels = ["Name", "Value", "ResetValue"].map(|l| format!("{word}Variable{l}"));
        for row in 0..table.block.rows() {
            let [name, value, reset] = table.cells(row, [&labels[0], &labels[1], &labels[2]])?;
            let place = table.place(row);
            for (what, text) in [("value", &value), ("reset value", &reset)] {
                check_value(holds, what, text, &place, report);
            }
            scheme.variables.push(Variable { name, holds, value, place });
        }
    }
    if let Some(table) = table("operators") {
        for row in 0..table.block.rows() {
            let [name, kind, output, first, second] =
                table.cells(row, ["OperatorName", "OperatorType", "OperatorOutput", "OperatorInput1", "OperatorInput2"])?;
            scheme.operators.push(Operator { name, kind, output, first, second, place: table.place(row) });
        }
    }
    // RELION leaves an empty table out.
    if let Some(table) = table("jobs") {
        for row in 0..table.block.rows() {
            let [original, now, mode, started] = table.cells(row, ["JobNameOriginal", "JobName", "JobMode", "JobHasStarted"])?;
            let place = table.place(row);
            if !dialect.modes().contains(&mode.as_str()) {
                report.problem(&place, format!("`{mode}` is not a mode of a job"), format!("one of {}", quoted(dialect.modes())));
            }
            if !["0", "1"].contains(&started.as_str()) {
                report.problem(&place, format!("`{started}` does not say whether the job has started"), "0 or 1");
            } else if started == "0" && now != original {
                report.problem(
                    &place,
                    format!("`{original}` has not started and yet is `{now}`"),
                    "the two names are equal in a Scheme that has not run",
                );
            }
            scheme.jobs.push(Job { name: original, place });
        }
    }
    let edges = table("edges").ok_or_else(|| missing("edges"))?;
    for row in 0..edges.block.rows() {
        let [from, to, fork, to_if_true, boolean] = edges
            .cells(row, ["EdgeInputNodeName", "EdgeOutputNodeName", "EdgeIsFork", "EdgeOutputNodeNameIfTrue", "EdgeBooleanVariable"])?;
        let place = edges.place(row);
        if !["0", "1"].contains(&fork.as_str()) {
            report.problem(&place, format!("`{fork}` does not say whether the edge is a fork"), "0 or 1");
        }
        scheme.edges.push(Edge { from, to, fork: fork == "1", to_if_true, boolean, place });
    }
    check_names(folder, &scheme, &general.place(0), &current, report);
    Ok(scheme)
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

fn check_value(holds: Holds, what: &str, text: &str, place: &Place, report: &mut Report) {
    match holds {
        Holds::Number if text.parse::<f64>().map_or(true, |v| !v.is_finite()) => {
            report.problem(place, format!("the {what} `{text}` is not a number"), "texts stand in the table of strings");
        }
        Holds::Boolean if !["0", "1"].contains(&text) => {
            report.problem(place, format!("the {what} `{text}` is not a boolean"), "0 or 1");
        }
        _ => {}
    }
}

fn check_names(folder: &Path, scheme: &Scheme, place: &Place, current: &str, report: &mut Report) {
    let own = folder.canonicalize().ok().and_then(|f| f.file_name().map(|n| n.to_string_lossy().into_owned()));
    let expected = own.map(|own| format!("{}{own}", scheme.dialect.home()));
    if let Some(expected) = expected.filter(|e| scheme.name.trim_end_matches('/') != e) {
        let what = format!("the name is `{}`, the folder says `{expected}/`: RELION would write elsewhere", scheme.name);
        report.problem(place, what, format!("write `{expected}/`; to copy a Scheme use RELION's own `--copy`"));
    }
    if current != UNDEFINED && !scheme.is_node(current) {
        report.problem(place, format!("the current node `{current}` is neither an operator nor a job"), "name the first node");
    }
    let mut names: Vec<(&str, &Place)> = scheme.operators.iter().map(|o| (o.name.as_str(), &o.place)).collect();
    names.extend(scheme.jobs.iter().map(|j| (j.name.as_str(), &j.place)));
    twice("node", &names, report);
    let names: Vec<_> = scheme.variables.iter().map(|v| (v.name.as_str(), &v.place)).collect();
    twice("variable", &names, report);
}

fn twice(what: &str, names: &[(&str, &Place)], report: &mut Report) {
    for (i, (name, place)) in names.iter().enumerate() {
        if names[..i].iter().any(|(earlier, _)| earlier == name) {
            report.problem(place, format!("a second {what} `{name}`"), "names must differ, over all tables");
        }
    }
}
