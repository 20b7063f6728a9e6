//! Blocks and columns as they are asked for.

use crate::parse::cell_end;
use crate::{BlockData, Error, ErrorKind, StarFile};

/// A block of a [`StarFile`]. `_label value` lines are one row.
#[derive(Clone, Copy, Debug)]
pub struct Block<'f> {
    file: &'f StarFile,
    index: usize,
}

impl<'f> Block<'f> {
    pub(crate) fn new(file: &'f StarFile, index: usize) -> Self {
        Self { file, index }
    }

    pub(crate) fn data(&self) -> &'f BlockData {
        &self.file.blocks[self.index]
    }

    /// Its place among the file's blocks.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its name without `data_`; often empty.
    #[must_use]
    pub fn name(&self) -> &'f str {
        &self.file.text[self.data().name.clone()]
    }

    /// First byte of its name, for messages.
    pub(crate) fn start(&self) -> usize {
        self.data().name.start
    }

    /// Line of its `data_`.
    #[must_use]
    pub fn line(&self) -> usize {
        crate::parse::line_number(&self.file.text.as_bytes()[..self.start()])
    }

    /// Whether it is a `loop_`.
    #[must_use]
    pub fn is_loop(&self) -> bool {
        self.data().looped
    }

    /// The number of the `# version` line above it (30001, 50001 …).
    #[must_use]
    pub fn version(&self) -> Option<u32> {
        let data = self.data();
        let above = &self.file.text[data.region.start..data.name.start];
        above.lines().rev().find_map(|line| line.trim().strip_prefix('#')?.trim_start().strip_prefix("version")?.trim().parse().ok())
    }

    /// Labels without underscore, in column order.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &'f str> {
        let file = self.file;
        self.data().labels.iter().map(move |label| &file.text[label.clone()])
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.data().rows.len()
    }

    /// Line of a row in the file, from 1.
    #[must_use]
    pub fn row_line(&self, row: usize) -> usize {
        crate::parse::line_number(&self.file.text.as_bytes()[..self.data().rows[row]])
    }

    /// Whether it has a label (with or without underscore).
    #[must_use]
    pub fn has(&self, label: &str) -> bool {
        self.find(label).is_some()
    }

    /// A column, if it is there.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<Column<'f>> {
        let label = label.strip_prefix('_').unwrap_or(label);
        let column = self.labels().position(|there| there == label)?;
        Some(Column { block: *self, column })
    }

    /// A column.
    ///
    /// # Errors
    /// The label is not there; the error lists those that are.
    pub fn column(&self, label: &str) -> Result<Column<'f>, Error> {
        self.find(label).ok_or_else(|| {
            let there = self.labels().map(|there| format!("_{there}")).collect();
            let kind =
                ErrorKind::NoLabel { label: label.strip_prefix('_').unwrap_or(label).to_owned(), block: self.name().to_owned(), there };
            self.file.error_at(self.start(), kind)
        })
    }

    /// The one value of a label in a block of pairs or a table of one row.
    ///
    /// # Errors
    /// The label is not there, or the block has no row.
    pub fn value(&self, label: &str) -> Result<&'f str, Error> {
        let column = self.column(label)?;
        if self.rows() == 0 {
            return Err(self.file.error_at(self.start(), ErrorKind::ColumnCount { found: 0, expected: self.labels().len() }));
        }
        Ok(column.text(0))
    }
}

/// A column of a [`Block`].
#[derive(Clone, Copy, Debug)]
pub struct Column<'f> {
    block: Block<'f>,
    column: usize,
}

impl<'f> Column<'f> {
    /// Its label without underscore.
    #[must_use]
    pub fn label(&self) -> &'f str {
        &self.block.file.text[self.block.data().labels[self.column].clone()]
    }

    /// Its place among the block's columns.
    #[must_use]
    pub fn index(&self) -> usize {
        self.column
    }

    /// The cell exactly as it stands in the file, quotes included.
    #[must_use]
    pub fn raw(&self, row: usize) -> &'f str {
        let start = self.cell_start(row);
        let text = &self.block.file.text;
        // Quotes were checked when the file was parsed.
        let end = cell_end(text.as_bytes(), start).unwrap_or(text.len());
        &text[start..end]
    }

    /// The cell's text without its quotes.
    #[must_use]
    pub fn text(&self, row: usize) -> &'f str {
        let raw = self.raw(row);
        match raw.as_bytes() {
            [first @ (b'"' | b'\''), .., last] if first == last => &raw[1..raw.len() - 1],
            _ => raw,
        }
    }

    /// The cell as a number; `nan` and `inf` are numbers here.
    ///
    /// # Errors
    /// The cell is something else; the error names line and label.
    pub fn number(&self, row: usize) -> Result<f64, Error> {
        let text = self.text(row);
        text.parse().map_err(|_| self.error(row, ErrorKind::NotANumber { label: self.label().to_owned(), found: text.to_owned() }))
    }

    /// The cell as a whole number; `3.000` is one.
    ///
    /// # Errors
    /// The cell is something else; the error names line and label.
    pub fn integer(&self, row: usize) -> Result<i64, Error> {
        let text = self.text(row);
        if let Ok(integer) = text.parse() {
            return Ok(integer);
        }
        match text.parse::<f64>() {
            // f64 holds whole numbers exactly to 2⁵³.
            #[allow(clippy::cast_possible_truncation)]
            Ok(number) if number.fract() == 0.0 && number.abs() < 9e15 => Ok(number as i64),
            _ => Err(self.error(row, ErrorKind::NotAnInteger { label: self.label().to_owned(), found: text.to_owned() })),
        }
    }

    /// All cells as numbers.
    ///
    /// # Errors
    /// As [`Column::number`].
    pub fn numbers(&self) -> Result<Vec<f64>, Error> {
        (0..self.block.rows()).map(|row| self.number(row)).collect()
    }

    /// All cells as whole numbers.
    ///
    /// # Errors
    /// As [`Column::integer`].
    pub fn integers(&self) -> Result<Vec<i64>, Error> {
        (0..self.block.rows()).map(|row| self.integer(row)).collect()
    }

    /// All cells' texts without quotes.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &'f str> {
        let column = *self;
        (0..self.block.rows()).map(move |row| column.text(row))
    }

    /// Line of this column's cell in a row, from 1.
    #[must_use]
    pub fn line(&self, row: usize) -> usize {
        crate::parse::line_number(&self.block.file.text.as_bytes()[..self.cell_start(row)])
    }

    fn cell_start(&self, row: usize) -> usize {
        let data = self.block.data();
        data.rows[row] + data.cells[row * data.labels.len() + self.column] as usize
    }

    fn error(&self, row: usize, kind: ErrorKind) -> Error {
        self.block.file.error_at(self.cell_start(row), kind)
    }
}
