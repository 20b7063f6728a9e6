//! Writing what was read: all of it, or chosen rows with single columns set.

use crate::parse::{cell_end, line_end};
use crate::{Block, StarFile, quoted};
use std::io::{self, Write};

/// A column that gets new values when rows are written; it is added at the end where the block lacks it.
pub struct SetColumn<'a> {
    /// Without underscore.
    pub label: &'a str,
    /// The plain text for a row (its number in the file that was read, from 0); quoted where it must be.
    pub value: &'a dyn Fn(usize) -> String,
}

impl StarFile {
    /// Writes the file as it was read (with LF line ends).
    ///
    /// # Errors
    /// The writer fails.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(self.text.as_bytes())
    }

    /// Writes the whole file, but of one loop only the given rows in the given order, with `set` columns set. Other cells, comments,
    /// version lines and blocks keep their exact text.
    ///
    /// # Errors
    /// The writer fails.
    ///
    /// # Panics
    /// The block is not a loop, or a row is out of range.
    pub fn write_subset(&self, out: &mut impl Write, block: usize, rows: &[usize], set: &[SetColumn<'_>]) -> io::Result<()> {
        let block = self.block_at(block);
        let data = block.data();
        assert!(data.looped, "rows are chosen of a loop");
        let text = self.text.as_bytes();
        let (present, added): (Vec<_>, Vec<_>) =
            set.iter().map(|column| (block.find(column.label), column)).partition(|(there, _)| there.is_some());
        let mut replaced: Vec<(usize, &SetColumn<'_>)> =
            present.into_iter().filter_map(|(there, column)| Some((there?.index(), column))).collect();
        replaced.sort_by_key(|(index, _)| *index);
        let added: Vec<&SetColumn<'_>> = added.into_iter().map(|(_, column)| column).collect();

        let rows_start = first_line(&block).unwrap_or(data.header_end);
        out.write_all(&text[..data.header_end])?;
        end_line(out, &text[..data.header_end])?;
        self.write_labels(out, &block, &added)?;
        out.write_all(&text[data.header_end..rows_start])?;
        for &row in rows {
            self.write_row(out, &block, row, &replaced, &added)?;
        }
        let tail = &text[data.region.end..];
        out.write_all(tail)?;
        end_line(out, tail)
    }

    /// The added columns' label lines, numbered if the others are.
    fn write_labels(&self, out: &mut impl Write, block: &Block<'_>, added: &[&SetColumn<'_>]) -> io::Result<()> {
        let data = block.data();
        let numbered = data.labels.last().is_some_and(|label| {
            let end = line_end(self.text.as_bytes(), label.end);
            self.text[label.end..end].contains('#')
        });
        for (extra, column) in added.iter().enumerate() {
            let label = column.label.strip_prefix('_').unwrap_or(column.label);
            if numbered {
                writeln!(out, "_{label} #{} ", data.labels.len() + extra + 1)?;
            } else {
                writeln!(out, "_{label}")?;
            }
        }
        Ok(())
    }

    fn write_row(
        &self,
        out: &mut impl Write,
        block: &Block<'_>,
        row: usize,
        replaced: &[(usize, &SetColumn<'_>)],
        added: &[&SetColumn<'_>],
    ) -> io::Result<()> {
        let data = block.data();
        let text = self.text.as_bytes();
        let line = data.rows[row];
        // A comment between two rows goes with the row below it.
        let mut from = if row == 0 { line } else { line_end(text, data.rows[row - 1]) };
        let end = line_end(text, line);
        let cells = &data.cells[row * data.labels.len()..(row + 1) * data.labels.len()];
        for (column, setting) in replaced {
            let cell = line + cells[*column] as usize;
            out.write_all(&text[from..cell])?;
            out.write_all(quoted(&(setting.value)(row)).as_bytes())?;
            from = cell_end(text, cell).unwrap_or(end);
        }
        if !added.is_empty() {
            let last = line + cells[cells.len() - 1] as usize;
            let last_end = cell_end(text, last).unwrap_or(end);
            out.write_all(&text[from..last_end])?;
            for setting in added {
                write!(out, " {}", quoted(&(setting.value)(row)))?;
            }
            from = last_end;
        }
        out.write_all(&text[from..end])?;
        end_line(out, &text[..end])
    }
}

/// Ends a line that the file's end cut off.
fn end_line(out: &mut impl Write, written: &[u8]) -> io::Result<()> {
    if matches!(written.last(), None | Some(b'\n')) { Ok(()) } else { out.write_all(b"\n") }
}

/// Start of the first row's line.
fn first_line(block: &Block<'_>) -> Option<usize> {
    block.data().rows.first().copied()
}
