//! STAR files without loss.
//!
//! A parsed [`StarFile`] is the file's text and the places of its cells, nothing else: unknown labels and blocks, quotes, comments,
//! `# version` lines and the order of everything stay because they are never taken apart. What is written is that same text: all of it,
//! or with chosen rows of one block and single columns set ([`StarFile::write_subset`]).
//!
//! The dialect is that of RELION and its kin, which is a small part of STAR: a block is `data_NAME` and then either `_label value` lines
//! or one `loop_` of labels and rows; a row is one line; a table ends at its first blank line. Values with blanks are quoted by `"` or
//! `'`. Files are UTF-8. CR LF line ends are read, and written as LF, because RELION reads nothing else.
//!
//! ```
//! let star = starfile::StarFile::parse("data_particles\n\nloop_\n_rlnImageName #1\n_rlnVoltage #2\n1@a.mrcs 300\n2@a.mrcs 200\n\n")?;
//! let particles = star.block("particles")?;
//! assert_eq!(particles.column("rlnImageName")?.text(1), "2@a.mrcs");
//! assert_eq!(particles.column("rlnVoltage")?.number(0)?, 300.0);
//! let mut out = Vec::new();
//! star.write_subset(&mut out, particles.index(), &[1], &[])?;
//! assert!(String::from_utf8_lossy(&out).ends_with("#2\n2@a.mrcs 200\n\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod error;
mod parse;
mod table;
mod write;

pub use build::{Builder, quoted};
pub use error::{Error, ErrorKind};
pub use table::{Block, Column};
pub use write::SetColumn;

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A parsed STAR file.
#[derive(Clone, Debug)]
pub struct StarFile {
    /// Where it came from, for messages.
    path: Option<PathBuf>,
    /// The whole text, LF line ends.
    text: String,
    blocks: Vec<BlockData>,
}

/// The places of a block's parts in the text.
#[derive(Clone, Debug)]
struct BlockData {
    name: Range<usize>,
    /// From the end of the previous block's last line (so comments above `data_` belong to it) to the end of this block's last line.
    region: Range<usize>,
    /// Whether it has a `loop_`; else it is `_label value` lines, kept as one row.
    looped: bool,
    /// Labels without their underscore.
    labels: Vec<Range<usize>>,
    /// End of the last label's line (loops).
    header_end: usize,
    /// Start of each row's line.
    rows: Vec<usize>,
    /// First byte of each cell, counted from its row's start; `labels.len()` a row.
    cells: Vec<u32>,
}

impl StarFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8, or breaks the dialect; the error names the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|error| Error::new(ErrorKind::Io(error)).with_path(Some(path)))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let start = error.utf8_error().valid_up_to();
            let line = parse::line_number(&error.as_bytes()[..start]);
            Error::new(ErrorKind::NotText).with_line(line).with_path(Some(path))
        })?;
        parse::parse(text, Some(path))
    }

    /// Parses a text.
    ///
    /// # Errors
    /// The text breaks the dialect; the error names the line.
    pub fn parse(text: impl Into<String>) -> Result<Self, Error> {
        parse::parse(text.into(), None)
    }

    /// Where the file was read from.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The whole text (LF line ends).
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All blocks, in file order.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = Block<'_>> {
        (0..self.blocks.len()).map(|index| Block::new(self, index))
    }

    /// The block at a place in the file.
    ///
    /// # Panics
    /// There is no such place.
    #[must_use]
    pub fn block_at(&self, index: usize) -> Block<'_> {
        assert!(index < self.blocks.len(), "block {index} of {}", self.blocks.len());
        Block::new(self, index)
    }

    /// The first block of a name (without `data_`).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Block<'_>> {
        self.blocks().find(|block| block.name() == name)
    }

    /// The block of a name (without `data_`).
    ///
    /// # Errors
    /// There is none, or there are two; the error lists what there is.
    pub fn block(&self, name: &str) -> Result<Block<'_>, Error> {
        let mut found = self.blocks().filter(|block| block.name() == name);
        match (found.next(), found.next()) {
            (Some(block), None) => Ok(block),
            (Some(_), Some(second)) => Err(self.error_at(second.start(), ErrorKind::TwoBlocks { name: name.to_owned() })),
            (None, _) => {
                let there = self.blocks().map(|block| format!("data_{}", block.name())).collect();
                Err(Error::new(ErrorKind::NoBlock { name: name.to_owned(), there }).with_path(self.path()))
            }
        }
    }

    /// An error about the line that a byte lies on.
    fn error_at(&self, byte: usize, kind: ErrorKind) -> Error {
        Error::new(kind).with_line(parse::line_number(&self.text.as_bytes()[..byte])).with_path(self.path())
    }
}
