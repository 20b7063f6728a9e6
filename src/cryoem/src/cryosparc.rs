//! cryoSPARC's tables of particles (`.cs`): NumPy arrays of records with named fields (`uid`, `blob/path`, `alignments3D/pose` …).
//!
//! A table is kept as it lies on disk: rows that are written again are the same bytes, whatever their fields are. Fields are found by name; only
//! those that are asked for need to be numbers or texts.

mod header;
mod matching;

#[cfg(test)]
mod tests;

use crate::atomic::AtomicFile;
use contract::{Problem, Result};
use header::{Field, Form, Header};
use std::path::{Path, PathBuf};

/// The last letters of the files' names.
pub const EXTENSION: &str = "cs";

/// What begins tables in cryoSPARC's own packed format.
const PACKED: &[u8] = b"\x94CSDAT";

/// Whether a file is such a table, by its name.
#[must_use]
pub fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// A table, kept whole.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    header: Header,
    /// Whole file.
    bytes: Vec<u8>,
}

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, is no NumPy array of records, holds pickled objects, or is cut off.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Problem::io(path, &e).hint("give a particle table that cryoSPARC wrote (`.cs`)"))?;
        let at = |problem: Problem| problem.at(path.display().to_string());
        if bytes.starts_with(PACKED) {
            return Err(at(Problem::input("is in cryoSPARC's packed format, which is not read")
                .hint("write it as a NumPy file with cryosparc-tools: `Dataset.load(FILE).save(NEW_FILE)`")));
        }
        let header = header::parse(&bytes).map_err(at)?;
        let there = bytes.len() - header.data_start;
        let needed = header.row_bytes.checked_mul(header.rows);
        if needed != Some(there) {
            let needed = needed.map_or_else(|| "more".to_owned(), |n| n.to_string());
            return Err(at(Problem::input(format!("holds {there} bytes of rows, its header says {needed}"))
                .hint("copy the file again, or have the job that made it write it again")));
        }
        Ok(Self { path: path.to_path_buf(), header, bytes })
    }

    /// The file that was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.header.rows
    }

    /// A field; `None`: there is none of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Column<'_>> {
        self.header.fields.iter().find(|field| field.name == name).map(|field| Column { table: self, field })
    }

    /// Writes the chosen rows in the given order, every field as it was.
    ///
    /// # Errors
    /// A row is out of range, or the file cannot be written.
    pub fn write_rows(&self, path: &Path, rows: &[usize]) -> Result<()> {
        let mut file = AtomicFile::create(path)?;
        file.write(&self.header.of_rows(rows.len()))?;
        for &row in rows {
            if row >= self.rows() {
                return Err(Problem::failed(format!("row {row} of {}", self.rows())).at(path.display().to_string()));
            }
            file.write(self.row(row))?;
        }
        file.commit(None)
    }

    fn row(&self, row: usize) -> &[u8] {
        let start = self.header.data_start + row * self.header.row_bytes;
        &self.bytes[start..start + self.header.row_bytes]
    }
}

/// A field of all rows.
#[derive(Clone, Copy)]
pub struct Column<'t> {
    table: &'t Table,
    field: &'t Field,
}

impl<'t> Column<'t> {
    /// The cell's `part`-th number (0 for a plain field).
    ///
    /// # Errors
    /// The field holds no numbers, or fewer in a cell.
    pub fn number(&self, row: usize, part: usize) -> Result<f64> {
        let item = self.item(row, part)?;
        number(self.field.form, item).ok_or_else(|| self.refuse("numbers"))
    }

    /// The cell as a whole number from 0.
    ///
    /// # Errors
    /// The field holds none.
    pub fn unsigned(&self, row: usize) -> Result<u64> {
        match self.field.form {
            Form::Unsigned(_) => Ok(unsigned(self.field.form, self.item(row, 0)?)),
            _ => Err(self.refuse("whole numbers from 0")),
        }
    }

    /// The cell as a text, without the zeros that fill it.
    ///
    /// # Errors
    /// The field holds none.
    pub fn text(&self, row: usize) -> Result<&'t str> {
        let Form::Text = self.field.form else { return Err(self.refuse("texts")) };
        let item = self.item(row, 0)?;
        let end = item.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        std::str::from_utf8(&item[..end]).map_err(|_| self.refuse("texts in UTF-8"))
    }

    fn item(&self, row: usize, part: usize) -> Result<&'t [u8]> {
        if part >= self.field.items {
            return Err(self.refuse(&format!("{} numbers in a cell", part + 1)));
        }
        let start = self.field.offset + part * self.field.item_bytes;
        Ok(&self.table.row(row)[start..start + self.field.item_bytes])
    }

    fn refuse(&self, expected: &str) -> Problem {
        Problem::input(format!("`{}` is of type `{}`: expected {expected}", self.field.name, self.field.type_text))
            .at(self.table.path.display().to_string())
            .hint("give the table as cryoSPARC wrote it")
    }
}

/// The bytes of a number from the lowest to the highest.
fn low_first<const N: usize>(bytes: &[u8], big: bool) -> [u8; N] {
    let mut low = [0; N];
    low.copy_from_slice(bytes);
    if big {
        low.reverse();
    }
    low
}

fn unsigned(form: Form, item: &[u8]) -> u64 {
    let Form::Unsigned(big) = form else { return 0 };
    let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
    if big { item.iter().fold(0, add) } else { item.iter().rev().fold(0, add) }
}

fn number(form: Form, item: &[u8]) -> Option<f64> {
    match (form, item.len()) {
        (Form::Unsigned(_), _) => Some(unsigned(form, item) as f64),
        (Form::Signed(big), 4) => Some(i32::from_le_bytes(low_first(item, big)).into()),
        (Form::Signed(big), 8) => Some(i64::from_le_bytes(low_first(item, big)) as f64),
        (Form::Float(big), 4) => Some(f32::from_le_bytes(low_first(item, big)).into()),
        (Form::Float(big), 8) => Some(f64::from_le_bytes(low_first(item, big))),
        _ => None,
    }
}
