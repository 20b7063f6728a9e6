//! From text to places of cells, in one pass over the bytes.

use crate::{BlockData, Error, ErrorKind, StarFile};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

/// Characters of an offending line that a message shows.
const SHOWN: usize = 40;

/// Number (from 1) of the line that follows `before`.
pub(crate) fn line_number(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// Whether a byte separates cells.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// End of the raw cell (quotes included) that starts at `start` of `bytes`; `None` when its quote is not closed on the line.
pub(crate) fn cell_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start..];
    match rest.first() {
        Some(&quote @ (b'"' | b'\'')) => {
            // A quote ends where the same mark stands before a blank, so that 5'-3' and the like may stand inside.
            let mut at = 1;
            while let Some(&byte) = rest.get(at) {
                if byte == b'\n' {
                    return None;
                }
                if byte == quote && rest.get(at + 1).is_none_or(|next| is_blank(*next) || *next == b'\n') {
                    return Some(start + at + 1);
                }
                at += 1;
            }
            None
        }
        _ => Some(rest.iter().position(|byte| is_blank(*byte) || *byte == b'\n').map_or(bytes.len(), |length| start + length)),
    }
}

/// What stands in the block that is being read.
enum State {
    /// No `data_` yet.
    Start,
    /// After `data_`, before a label, `loop_` or pair.
    Open,
    /// `_label value` lines.
    Pairs,
    /// Labels of a loop.
    Labels,
    /// Rows of a loop.
    Rows,
    /// After the blank line that ends the rows.
    Ended,
}

/// Parses a whole text.
pub(crate) fn parse(text: String, path: Option<&Path>) -> Result<StarFile, Error> {
    let text = plain_lines(text);
    let mut parser = Parser { text: &text, blocks: Vec::new(), state: State::Start, seen: HashMap::new(), last_end: 0 };
    let outcome = parser.run();
    let blocks = std::mem::take(&mut parser.blocks);
    match outcome {
        Ok(()) => Ok(StarFile { path: path.map(Path::to_owned), blocks, text }),
        Err((byte, kind)) => Err(Error::new(kind).with_line(line_number(&text.as_bytes()[..byte])).with_path(path)),
    }
}

/// LF line ends, no byte order mark.
fn plain_lines(mut text: String) -> String {
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text }
}

type Refusal = (usize, ErrorKind);

struct Parser<'t> {
    text: &'t str,
    blocks: Vec<BlockData>,
    state: State,
    /// Labels of the running block and their places.
    seen: HashMap<&'t str, usize>,
    /// End of the last line that belongs to a block's contents.
    last_end: usize,
}

impl<'t> Parser<'t> {
    fn run(&mut self) -> Result<(), Refusal> {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let start = at;
            let mut first = at;
            while first < bytes.len() && is_blank(bytes[first]) {
                first += 1;
            }
            at = match bytes.get(first) {
                None => bytes.len(),
                Some(b'\n') => {
                    if matches!(self.state, State::Rows) {
                        self.state = State::Ended;
                    }
                    first + 1
                }
                // In a loop's rows a line of cells is by far the commonest: look for the rarer ones by their first byte only.
                Some(b'#') => line_end(bytes, first),
                Some(b'd') if bytes[first..].starts_with(b"data_") => self.block(start, first)?,
                Some(b'l') if self.is_loop(first) => self.start_loop(first)?,
                Some(b'_') if !matches!(self.state, State::Rows) => self.label(start, first)?,
                Some(b';') if first == start && matches!(self.state, State::Pairs | State::Open) => {
                    return Err((start, ErrorKind::MultiLineText));
                }
                Some(0) => return Err((start, ErrorKind::NotText)),
                Some(_) => self.row(start, first)?,
            };
        }
        if self.blocks.is_empty() {
            return Err((0, ErrorKind::Empty));
        }
        self.end_block()
    }

    fn is_loop(&self, first: usize) -> bool {
        let bytes = &self.text.as_bytes()[first..];
        bytes.starts_with(b"loop_") && bytes.get(5).is_none_or(|byte| is_blank(*byte) || *byte == b'\n')
    }

    /// Closes the running block.
    fn end_block(&mut self) -> Result<(), Refusal> {
        if let Some(block) = self.blocks.last_mut() {
            if block.looped && block.labels.is_empty() {
                return Err((block.name.start, ErrorKind::LoopWithoutLabels));
            }
            if !block.looped && !block.labels.is_empty() {
                block.rows = vec![block.region.start];
            }
            block.region.end = self.last_end;
            block.rows.shrink_to_fit();
            block.cells.shrink_to_fit();
        }
        Ok(())
    }

    fn block(&mut self, start: usize, first: usize) -> Result<usize, Refusal> {
        self.end_block()?;
        let bytes = self.text.as_bytes();
        let name_start = first + b"data_".len();
        let name_end =
            bytes[name_start..].iter().position(|byte| is_blank(*byte) || *byte == b'\n').map_or(bytes.len(), |length| name_start + length);
        let end = line_end(bytes, start);
        let region_start = self.last_end;
        self.last_end = end;
        self.seen.clear();
        self.state = State::Open;
        self.blocks.push(BlockData {
            name: name_start..name_end,
            region: region_start..end,
            looped: false,
            labels: Vec::new(),
            header_end: end,
            rows: Vec::new(),
            cells: Vec::new(),
        });
        Ok(end)
    }

    fn start_loop(&mut self, first: usize) -> Result<usize, Refusal> {
        match self.state {
            State::Start => return Err((first, self.no_block_yet(first))),
            State::Open => {}
            _ => return Err((first, ErrorKind::SecondLoop)),
        }
        let end = line_end(self.text.as_bytes(), first);
        if let Some(block) = self.blocks.last_mut() {
            block.looped = true;
            block.header_end = end;
        }
        self.state = State::Labels;
        self.last_end = end;
        Ok(end)
    }

    fn no_block_yet(&self, first: usize) -> ErrorKind {
        let line = self.text[first..].lines().next().unwrap_or_default();
        ErrorKind::NoBlockYet { found: line.chars().filter(|character| !character.is_control()).take(SHOWN).collect() }
    }

    /// A label of a loop, or a `_label value` line.
    fn label(&mut self, start: usize, first: usize) -> Result<usize, Refusal> {
        match self.state {
            State::Start => return Err((start, self.no_block_yet(first))),
            State::Ended => return Err((start, ErrorKind::SecondLoop)),
            State::Open => self.state = State::Pairs,
            State::Pairs | State::Labels | State::Rows => {}
        }
        let bytes = self.text.as_bytes();
        let end = line_end(bytes, first);
        let token_end = cell_end(bytes, first).unwrap_or(end);
        // `_name#1` is not proper, but seen: the name ends before the mark.
        let name_end = bytes[first..token_end].iter().position(|byte| *byte == b'#').map_or(token_end, |length| first + length);
        let name: Range<usize> = first + 1..name_end;
        if name.is_empty() {
            return Err((start, ErrorKind::EmptyLabel));
        }
        let text = self.text;
        if let Some(earlier) = self.seen.insert(&text[name.clone()], start) {
            let first_line = line_number(&bytes[..earlier]);
            return Err((start, ErrorKind::DuplicateLabel { label: text[name].to_owned(), first_line }));
        }
        let pair = matches!(self.state, State::Pairs);
        if let Some(block) = self.blocks.last_mut() {
            if pair {
                let (cell, found) = pair_cell(bytes, token_end).ok_or((start, ErrorKind::OpenQuote))?;
                if found > 1 {
                    return Err((start, ErrorKind::PairCells { label: text[name].to_owned(), found }));
                }
                let offset = u32::try_from(cell - block.region.start).map_err(|_| (start, ErrorKind::LongLine))?;
                block.cells.push(offset);
            }
            block.labels.push(name);
            block.header_end = end;
        }
        self.last_end = end;
        Ok(end)
    }

    /// A row of a loop.
    fn row(&mut self, start: usize, first: usize) -> Result<usize, Refusal> {
        match self.state {
            State::Start => return Err((start, self.no_block_yet(first))),
            State::Ended => return Err((start, ErrorKind::RowAfterBlank)),
            State::Open | State::Pairs => return Err((start, ErrorKind::RowWithoutLabels)),
            State::Labels => self.state = State::Rows,
            State::Rows => {}
        }
        let bytes = self.text.as_bytes();
        let Some(block) = self.blocks.last_mut() else { return Err((start, ErrorKind::Empty)) };
        let expected = block.labels.len();
        if expected == 0 {
            return Err((start, ErrorKind::LoopWithoutLabels));
        }
        let mut at = first;
        let mut found = 0;
        loop {
            match bytes.get(at) {
                None => break,
                Some(b'\n') => break,
                // A comment behind the last cell; before it, a cell may begin with the mark.
                Some(b'#') if found == expected => {
                    at = line_end(bytes, at);
                    if bytes[at - 1] == b'\n' {
                        at -= 1;
                    }
                    break;
                }
                Some(byte) if is_blank(*byte) => at += 1,
                Some(0) => return Err((start, ErrorKind::NotText)),
                Some(_) => {
                    if found < expected {
                        block.cells.push(u32::try_from(at - start).map_err(|_| (start, ErrorKind::LongLine))?);
                    }
                    found += 1;
                    at = cell_end(bytes, at).ok_or((start, ErrorKind::OpenQuote))?;
                }
            }
        }
        if found != expected {
            return Err((start, ErrorKind::ColumnCount { found, expected }));
        }
        block.rows.push(start);
        let end = (at + 1).min(bytes.len());
        self.last_end = end;
        Ok(end)
    }
}

/// First byte behind the line that `at` lies on.
pub(crate) fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length + 1)
}

/// Place of a pair's value and the number of values; the value may be missing (then it is empty, at the line's end).
fn pair_cell(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut first = None;
    let mut found = 0;
    loop {
        match bytes.get(at) {
            None | Some(b'\n') => return Some((first.unwrap_or(at), found)),
            Some(b'#') if found > 0 => return Some((first.unwrap_or(at), found)),
            Some(byte) if is_blank(*byte) => at += 1,
            Some(_) => {
                first.get_or_insert(at);
                found += 1;
                at = cell_end(bytes, at)?;
            }
        }
    }
}
