//! The one error type that people see: what went wrong, who is the culprit, what to do next.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// A fallible outcome.
pub type Result<T> = std::result::Result<T, Problem>;

/// What sort of problem it is; decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Anything that has no better word.
    Failed,
    /// Wrong use or wrong input.
    Input,
    /// A file could not be read or written.
    InputOutput,
    /// No device, or not enough memory.
    Device,
    /// The numbers went wrong.
    Numerical,
    /// Stopped by the host's abort file.
    Aborted,
    /// Stopped by SIGTERM, SIGINT or SIGHUP.
    Terminated,
}

impl Kind {
    /// The process' exit status.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Input => 2,
            Self::InputOutput => 3,
            Self::Device => 4,
            Self::Numerical => 5,
            Self::Aborted => 130,
            Self::Terminated => 143,
        }
    }
}

/// An error for people: lower case, no full stop, names in backticks; the culprit first, the hint last.
///
/// ```
/// use opus_dsd_contract::Problem;
/// let p = Problem::input("row has 14 cells, the loop names 15 columns").at("particles.star, line 31").hint("write the file again with its own program");
/// assert_eq!(p.to_string(), "particles.star, line 31: row has 14 cells, the loop names 15 columns; hint: write the file again with its own program");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Decides the exit status.
    pub kind: Kind,
    /// The setting, path, line or label that is to blame.
    pub culprit: Option<String>,
    /// What is wrong, and what was expected.
    pub what: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the given kind.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, culprit: None, what: what.into(), hint: None }
    }

    /// Wrong use or input (exit status 2).
    pub fn input(what: impl Into<String>) -> Self {
        Self::new(Kind::Input, what)
    }

    /// A file that could not be read or written (exit status 3).
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::new(Kind::InputOutput, error.to_string()).at(path.display().to_string())
    }

    /// Anything else (exit status 1).
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what)
    }

    /// Names the culprit.
    #[must_use]
    pub fn at(mut self, culprit: impl Into<String>) -> Self {
        self.culprit = Some(culprit.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(culprit) = &self.culprit {
            write!(f, "{culprit}: ")?;
        }
        f.write_str(&self.what)?;
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
