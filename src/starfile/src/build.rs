//! New STAR files, in RELION's own manner.

use std::borrow::Cow;
use std::fmt::Write;

/// Builds the text of a new STAR file.
///
/// ```
/// let text = starfile::Builder::new(Some(50001))
///     .table("output_nodes", &["rlnPipeLineNodeName", "rlnPipeLineNodeTypeLabel"], [["External/job002/cluster001.mrc", "DensityMap.mrc"]])
///     .finish();
/// assert_eq!(starfile::StarFile::parse(text)?.block("output_nodes")?.rows(), 1);
/// # Ok::<(), starfile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    text: String,
    version: Option<u32>,
}

impl Builder {
    /// An empty file; `version` goes above every block as `# version N` (RELION takes a file without it for one of 3.0 or older).
    #[must_use]
    pub fn new(version: Option<u32>) -> Self {
        Self { text: String::new(), version }
    }

    fn start(&mut self, name: &str) {
        self.text.push('\n');
        if let Some(version) = self.version {
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "# version {version}\n");
        }
        let _ = writeln!(self.text, "data_{name}\n");
    }

    /// Adds a block of `_label value` lines.
    #[must_use]
    pub fn pairs<L: AsRef<str>, V: AsRef<str>>(mut self, name: &str, pairs: impl IntoIterator<Item = (L, V)>) -> Self {
        self.start(name);
        for (label, value) in pairs {
            let _ = writeln!(self.text, "_{:<35} {:>12}", label.as_ref(), quoted(value.as_ref()));
        }
        self.text.push_str(" \n");
        self
    }

    /// Adds a table.
    #[must_use]
    pub fn table<R, V>(mut self, name: &str, labels: &[&str], rows: impl IntoIterator<Item = R>) -> Self
    where
        R: IntoIterator<Item = V>,
        V: AsRef<str>,
    {
        self.start(name);
        self.text.push_str("loop_ \n");
        for (index, label) in labels.iter().enumerate() {
            let _ = writeln!(self.text, "_{label} #{} ", index + 1);
        }
        for row in rows {
            let mut count = 0;
            for cell in row {
                let _ = write!(self.text, "{} ", quoted(cell.as_ref()));
                count += 1;
            }
            debug_assert_eq!(count, labels.len(), "cells and labels of `data_{name}`");
            self.text.push('\n');
        }
        self.text.push_str(" \n");
        self
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

/// A cell's text as it must stand in a file: quoted if it is empty, holds blanks, or begins like something else.
#[must_use]
pub fn quoted(text: &str) -> Cow<'_, str> {
    let plain = !text.is_empty()
        && !text.contains(char::is_whitespace)
        && !text.starts_with(['"', '\'', '#', '_', ';'])
        && !text.starts_with("data_")
        && !text.starts_with("loop_");
    if plain {
        return Cow::Borrowed(text);
    }
    // No escape exists in STAR: line ends become blanks, and the mark is the one that the text lacks.
    let line = text.replace(['\n', '\r'], " ");
    Cow::Owned(if line.contains('"') { format!("'{line}'") } else { format!("\"{line}\"") })
}
