//! What can be wrong with a STAR file.

use std::fmt;
use std::path::{Path, PathBuf};

/// A STAR file that cannot be read as wished: which file, which line, and why.
#[derive(Debug)]
pub struct Error {
    path: Option<PathBuf>,
    line: Option<usize>,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file could not be read or written.
    Io(std::io::Error),
    /// Not UTF-8, or a zero byte.
    NotText,
    /// Something that is neither a comment nor a block stands before the first `data_`.
    NoBlockYet {
        /// The line's beginning.
        found: String,
    },
    /// There is no `data_` line at all.
    Empty,
    /// A row has another number of cells than the loop has labels.
    ColumnCount {
        /// Cells in the row.
        found: usize,
        /// Labels of the loop.
        expected: usize,
    },
    /// A label stands twice in a block.
    DuplicateLabel {
        /// Without underscore.
        label: String,
        /// Line of the first.
        first_line: usize,
    },
    /// A quote is not closed on its line.
    OpenQuote,
    /// A row follows a blank line, where RELION has stopped reading.
    RowAfterBlank,
    /// A row before any label.
    RowWithoutLabels,
    /// A `_label value` line with several values.
    PairCells {
        /// Without underscore.
        label: String,
        /// Values found.
        found: usize,
    },
    /// A second `loop_`, or a `loop_` after `_label value` lines, in one block.
    SecondLoop,
    /// A `loop_` without labels.
    LoopWithoutLabels,
    /// A label without a name.
    EmptyLabel,
    /// Text over several lines, between semicolons.
    MultiLineText,
    /// A line is too long to be a row.
    LongLine,
    /// No block of that name.
    NoBlock {
        /// Asked for.
        name: String,
        /// Present.
        there: Vec<String>,
    },
    /// Two blocks of that name.
    TwoBlocks {
        /// Asked for.
        name: String,
    },
    /// No such label in the block.
    NoLabel {
        /// Asked for.
        label: String,
        /// The block.
        block: String,
        /// Present.
        there: Vec<String>,
    },
    /// A cell that should hold a number.
    NotANumber {
        /// The column.
        label: String,
        /// The cell.
        found: String,
    },
    /// A cell that should hold a whole number.
    NotAnInteger {
        /// The column.
        label: String,
        /// The cell.
        found: String,
    },
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { path: None, line: None, kind }
    }

    pub(crate) fn with_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    pub(crate) fn with_path(mut self, path: Option<&Path>) -> Self {
        self.path = path.map(Path::to_owned);
        self
    }

    /// Line of the file, from 1, where there is one to blame.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// File and line, as `particles.star, line 31`; empty when neither is known.
    #[must_use]
    pub fn culprit(&self) -> String {
        match (&self.path, self.line) {
            (Some(path), Some(line)) => format!("{}, line {line}", path.display()),
            (Some(path), None) => path.display().to_string(),
            (None, Some(line)) => format!("line {line}"),
            (None, None) => String::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let culprit = self.culprit();
        if !culprit.is_empty() {
            write!(f, "{culprit}: ")?;
        }
        write!(f, "{}", self.kind)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotText => f.write_str("not a text file in UTF-8"),
            Self::NoBlockYet { found } => write!(f, "`{found}` stands before the first `data_` line: not a STAR file"),
            Self::Empty => f.write_str("no `data_` line: not a STAR file, or an empty one"),
            Self::ColumnCount { found, expected } => write!(f, "the row has {found} cells, the loop names {expected} columns"),
            Self::DuplicateLabel { label, first_line } => {
                write!(f, "label `_{label}` stands twice in the block, first on line {first_line}")
            }
            Self::OpenQuote => f.write_str("a quote is not closed on its line"),
            Self::RowAfterBlank => f.write_str("a row follows a blank line, where the table has ended"),
            Self::RowWithoutLabels => f.write_str("a row without a `loop_` and labels above it"),
            Self::PairCells { label, found } => write!(f, "`_{label}` has {found} values where one belongs"),
            Self::SecondLoop => f.write_str("a block holds more than one table"),
            Self::LoopWithoutLabels => f.write_str("a `loop_` without labels"),
            Self::EmptyLabel => f.write_str("a label without a name"),
            Self::MultiLineText => f.write_str("text over several lines (between semicolons) is not read"),
            Self::LongLine => f.write_str("the line is longer than 4 GiB"),
            Self::NoBlock { name, there } => write!(f, "no block `data_{name}`; there are {}", listed(there)),
            Self::TwoBlocks { name } => write!(f, "a second block `data_{name}`"),
            Self::NoLabel { label, block, there } => write!(f, "no label `_{label}` in `data_{block}`; there are {}", listed(there)),
            Self::NotANumber { label, found } => write!(f, "`_{label}` is `{found}`, not a number"),
            Self::NotAnInteger { label, found } => write!(f, "`_{label}` is `{found}`, not a whole number"),
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ") }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}
