//! Lines of any input, none longer than a limit: the rest of a longer one is read and forgotten.

use std::io::{BufRead, ErrorKind};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end; the last one may have had none.
    Whole(Vec<u8>),
    /// A line longer than the limit.
    TooLong,
    /// The input's end, or an input that cannot be read any more.
    End,
}

/// The next line; `limit` in bytes.
pub(super) fn next(input: &mut impl BufRead, limit: usize) -> Line {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let available = match input.fill_buf() {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Line::End,
        };
        if available.is_empty() {
            return match (too_long, line.is_empty()) {
                (true, _) => Line::TooLong,
                (false, true) => Line::End,
                (false, false) => Line::Whole(line),
            };
        }
        let end = available.iter().position(|&b| b == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let consumed = part.len() + usize::from(end.is_some());
        if line.len() + part.len() > limit {
            too_long = true;
            line = Vec::new();
        }
        if !too_long {
            line.extend_from_slice(part);
        }
        input.consume(consumed);
        if end.is_some() {
            return if too_long { Line::TooLong } else { Line::Whole(line) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn all(text: &[u8], limit: usize) -> Vec<Line> {
        // A small buffer, so that lines come in pieces.
        let mut input = BufReader::with_capacity(3, text);
        let mut lines = Vec::new();
        loop {
            match next(&mut input, limit) {
                Line::End => return lines,
                line => lines.push(line),
            }
        }
    }

    #[test]
    fn lines_come_whole_or_are_said_to_be_too_long() {
        let whole = |text: &str| Line::Whole(text.into());
        assert_eq!(all(b"abcd\n\nabcde\nab", 4), [whole("abcd"), whole(""), Line::TooLong, whole("ab")]);
        assert_eq!(all(b"abcdefgh", 4), [Line::TooLong]);
        assert_eq!(all(b"", 4), []);
    }
}
