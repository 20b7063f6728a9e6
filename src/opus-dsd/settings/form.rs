//! What forms, bounds and reference pages need to know of an option beyond what clap holds. It is attached to the option where clap
//! defines it, so that an option is described in one place: [`crate::cli`] renders the manifests of all hosts from there.

use clap::builder::ArgExt;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use contract::{Problem, Result};

/// The kind of value, in the manifest's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Float,
    Bool,
    Text,
    Choice,
    File,
    Folder,
    Particles,
    Volume,
    Mask,
    Job,
    Gpu,
    Threads,
    Outdir,
}

impl Kind {
    /// The manifest's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Text => "text",
            Self::Choice => "choice",
            Self::File => "file",
            Self::Folder => "folder",
            Self::Particles => "particles",
            Self::Volume => "volume",
            Self::Mask => "mask",
            Self::Job => "job",
            Self::Gpu => "gpu",
            Self::Threads => "threads",
            Self::Outdir => "outdir",
        }
    }
}

/// Whom a form shows an option to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Normal,
    Advanced,
    Hidden,
}

impl Level {
    /// The manifest's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Advanced => "advanced",
            Self::Hidden => "hidden",
        }
    }
}

/// A value that is known without looking at the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Constant {
    Whole(usize),
    Number(f64),
    Word(&'static str),
    Switch(bool),
}

impl Constant {
    fn words(self) -> String {
        match self {
            Self::Whole(n) => n.to_string(),
            Self::Number(x) => x.to_string(),
            Self::Word(w) => w.to_owned(),
            Self::Switch(on) => if on { "yes" } else { "no" }.into(),
        }
    }
}

/// A value that stands for what the program decides, for forms that cannot leave a field empty.
pub(crate) const AUTOMATIC: &str = "auto";

/// What holds where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unsaid {
    /// Nothing: the option has no effect then.
    Nothing,
    /// This value.
    Is(Constant),
    /// What the program decides, in these words.
    Decided(&'static str),
}

/// Where an option has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Another option is given.
    Given(&'static str),
}

/// Scipion only: a switch that shows the option when it stands at `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) default: bool,
    pub(crate) open: bool,
}

/// An option as a form shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    /// A few words, without the unit.
    pub(crate) label: &'static str,
    pub(crate) unit: Option<&'static str>,
    /// Smallest value.
    pub(crate) least: Option<f64>,
    /// The value lies above this.
    pub(crate) above: Option<f64>,
    /// Largest value.
    pub(crate) most: Option<f64>,
    pub(crate) unsaid: Unsaid,
    pub(crate) level: Level,
    pub(crate) required: bool,
    /// A job that goes on cannot take another value.
    pub(crate) fixed: bool,
    pub(crate) when: Option<When>,
    /// Name in Scipion's forms, where users know it by another.
    pub(crate) scipion: Option<&'static str>,
    /// Value that Scipion's forms start with, where users know another.
    pub(crate) scipion_default: Option<Constant>,
    pub(crate) gate: Option<Gate>,
}

impl ArgExt for Field {}

/// A field of a kind; `label` in a few words.
pub(crate) fn field(kind: Kind, label: &'static str) -> Field {
    Field {
        kind,
        label,
        unit: None,
        least: None,
        above: None,
        most: None,
        unsaid: Unsaid::Nothing,
        level: Level::Normal,
        required: false,
        fixed: false,
        when: None,
        scipion: None,
        scipion_default: None,
        gate: None,
    }
}

impl Field {
    pub(crate) fn from(mut self, least: impl Into<f64>) -> Self {
        self.least = Some(least.into());
        self
    }

    pub(crate) fn above(mut self, bound: f64) -> Self {
        self.above = Some(bound);
        self
    }

    pub(crate) fn to(mut self, most: impl Into<f64>) -> Self {
        self.most = Some(most.into());
        self
    }

    pub(crate) fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    pub(crate) fn default(mut self, value: Constant) -> Self {
        self.unsaid = Unsaid::Is(value);
        self
    }

    /// The program decides; `whence` as in "from the preset".
    pub(crate) fn decided(mut self, whence: &'static str) -> Self {
        self.unsaid = Unsaid::Decided(whence);
        self
    }

    pub(crate) fn advanced(mut self) -> Self {
        self.level = Level::Advanced;
        self
    }

    pub(crate) fn hidden(mut self) -> Self {
        self.level = Level::Hidden;
        self
    }

    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// A job that goes on cannot take another value.
    pub(crate) fn fixed(mut self) -> Self {
        self.fixed = true;
        self
    }

    pub(crate) fn when(mut self, when: When) -> Self {
        self.when = Some(when);
        self
    }

    pub(crate) fn scipion(mut self, name: &'static str) -> Self {
        self.scipion = Some(name);
        self
    }

    pub(crate) fn scipion_default(mut self, value: Constant) -> Self {
        self.scipion_default = Some(value);
        self
    }

    pub(crate) fn gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// The range in words, where there is one.
    pub(crate) fn range(&self) -> Option<String> {
        match (self.least, self.above, self.most) {
            (Some(a), _, Some(b)) => Some(format!("from {a} to {b}")),
            (Some(a), _, None) => Some(format!("from {a} on")),
            (None, Some(a), Some(b)) => Some(format!("above {a}, at most {b}")),
            (None, Some(a), None) => Some(format!("above {a}")),
            (None, None, Some(b)) => Some(format!("at most {b}")),
            (None, None, None) => None,
        }
    }

    fn holds(&self, value: f64) -> bool {
        !value.is_nan()
            && self.least.is_none_or(|a| value >= a)
            && self.above.is_none_or(|a| value > a)
            && self.most.is_none_or(|b| value <= b)
    }
}

/// Whether a value only says that the program is to decide.
pub(crate) fn leaves_it_to_the_program(arg: &Arg, value: &str) -> bool {
    value.eq_ignore_ascii_case(AUTOMATIC) && of(arg).is_some_and(|f| matches!(f.unsaid, Unsaid::Decided(_)))
}

/// The field of an option, where it has one.
pub(crate) fn of(arg: &Arg) -> Option<&Field> {
    arg.get::<Field>()
}

/// Adds to every option's help what it is where nothing is said, and leaves advanced options out of the short help.
pub(crate) fn explained(command: Command) -> Command {
    command.mut_args(|arg| {
        let Some(field) = of(&arg) else { return arg };
        let (level, default) = (field.level, field.unsaid);
        let arg = match (level, default, arg.get_help().map(ToString::to_string)) {
            (Level::Hidden, ..) | (_, Unsaid::Nothing, _) | (_, _, None) => arg,
            (_, Unsaid::Is(value), Some(help)) => arg.help(format!("{help} [default: {}]", value.words())),
            (_, Unsaid::Decided(whence), Some(help)) => arg.help(format!("{help} [default: {whence}]")),
        };
        match level {
            Level::Normal => arg,
            Level::Advanced => arg.hide_short_help(true),
            Level::Hidden => arg.hide(true),
        }
    })
}

/// Holds what was said against bounds and conditions.
///
/// # Errors
/// The first value that is out of its range, or that has no effect.
pub(crate) fn check(command: &Command, matches: &ArgMatches) -> Result<()> {
    for arg in command.get_arguments() {
        let Some(field) = of(arg) else { continue };
        let id = arg.get_id().as_str();
        if !is_said(matches, id) {
            continue;
        }
        let name = format!("`--{}`", arg.get_long().unwrap_or(id));
        for raw in matches.get_raw(id).into_iter().flatten() {
            // Words among numbers (`--beta cos`) are their parser's business.
            if let Ok(value) = raw.to_string_lossy().parse::<f64>()
                && !field.holds(value)
                && let Some(range) = field.range()
            {
                return Err(Problem::input(format!("{value} is out of range")).at(name).hint(format!("give a value {range}")));
            }
        }
        if let Some(when) = field.when
            && let Err(hint) = holds(when, command, matches)
        {
            return Err(Problem::input("has no effect here").at(name).hint(hint));
        }
    }
    Ok(())
}

fn is_said(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// Whether a condition holds; else what would make it hold.
fn holds(when: When, command: &Command, matches: &ArgMatches) -> std::result::Result<(), String> {
    let long = |id: &str| command.get_arguments().find(|a| a.get_id() == id).and_then(Arg::get_long).unwrap_or(id).to_owned();
    match when {
        When::Given(id) if is_said(matches, id) => Ok(()),
        When::Given(id) => Err(format!("give `--{}` as well, or leave this out", long(id))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let arg = |name: &'static str, field: Field| Arg::new(name).long(name).help(name).num_args(1).add(field);
        explained(
            Command::new("test")
                .no_binary_name(true)
                .allow_negative_numbers(true)
                .arg(arg("n", field(Kind::Int, "N").from(1).to(9).default(Constant::Whole(3))))
                .arg(arg("x", field(Kind::Float, "X").above(0.0).decided("from the data").advanced()))
                .arg(arg("points", field(Kind::Int, "Points").when(When::Given("x")))),
        )
    }

    fn checked(line: &str) -> Result<()> {
        check(&command(), &command().try_get_matches_from(line.split_whitespace()).unwrap())
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(checked("--n 9 --x 0.1"), Ok(()));
        assert_eq!(checked("--n 10").unwrap_err().to_string(), "`--n`: 10 is out of range; hint: give a value from 1 to 9");
        assert!(checked("--x 0").is_err() && checked("--x nan").is_err() && checked("--n -1").is_err());
    }

    #[test]
    fn conditions_hold() {
        assert_eq!(checked("--points 3").unwrap_err().hint.unwrap(), "give `--x` as well, or leave this out");
        assert_eq!(checked("--points 3 --x 1"), Ok(()));
    }

    #[test]
    fn help_names_the_default() {
        let mut command = command();
        let long = command.render_long_help().to_string();
        assert!(long.contains("n [default: 3]") && long.contains("x [default: from the data]"), "{long}");
        assert!(!command.render_help().to_string().contains("from the data"));
    }
}
