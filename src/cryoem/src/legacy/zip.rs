//! Zip archives as PyTorch writes them: every entry stored as it is, so that nothing is ever unpacked.

use contract::{Problem, Result};
use std::collections::HashMap;
use std::ops::Range;

const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const LONG_END_LOCATOR: &[u8] = b"PK\x06\x07";
const LONG_END_LOCATOR_LENGTH: usize = 20;
const LONG_END: &[u8] = b"PK\x06\x06";
const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";
const DIRECTORY_ENTRY_LENGTH: usize = 46;
const LOCAL_ENTRY: &[u8] = b"PK\x03\x04";
const LOCAL_ENTRY_LENGTH: usize = 30;
/// Longest comment behind the end.
const LONGEST_COMMENT: usize = 0xffff;
/// Stands for a number that a field of 64 bits holds.
const ELSEWHERE: u64 = 0xffff_ffff;
/// Number of the field with the 64-bit numbers.
const LONG_FIELD: u64 = 1;

fn damaged(what: &str) -> Problem {
    Problem::input(format!("a damaged zip archive: {what}")).hint("copy or download the file again")
}

/// Numbers at places in the file.
#[derive(Clone, Copy)]
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn range(self, start: usize, length: usize) -> Result<&'b [u8]> {
        start.checked_add(length).and_then(|end| self.0.get(start..end)).ok_or_else(|| damaged("it ends too early"))
    }

    /// A little-endian number of up to eight bytes.
    fn number(self, start: usize, length: usize) -> Result<u64> {
        Ok(self.range(start, length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The same as an index.
    fn index(self, start: usize, length: usize) -> Result<usize> {
        usize::try_from(self.number(start, length)?).map_err(|_| damaged("a number is too large"))
    }

    fn expect(self, start: usize, mark: &[u8], what: &str) -> Result<()> {
        if self.range(start, mark.len())? == mark { Ok(()) } else { Err(damaged(what)) }
    }
}

/// Where the bytes of each entry lie, by its name.
///
/// # Errors
/// The archive is cut off or damaged, or holds compressed or encrypted entries.
pub(super) fn entries(file: &[u8]) -> Result<HashMap<String, Range<usize>>> {
    let bytes = Bytes(file);
    let (mut at, end, count) = directory(bytes)?;
    let mut entries = HashMap::new();
    while at < end {
        bytes.expect(at, DIRECTORY_ENTRY, "its table of contents cannot be read")?;
        let name_length = bytes.index(at + 28, 2)?;
        let extra_length = bytes.index(at + 30, 2)?;
        let comment_length = bytes.index(at + 32, 2)?;
        let name = bytes.range(at + DIRECTORY_ENTRY_LENGTH, name_length)?;
        let name = std::str::from_utf8(name).map_err(|_| damaged("a name is no text"))?.to_owned();
        let range = entry(bytes, at, &name, (at + DIRECTORY_ENTRY_LENGTH + name_length, extra_length))?;
        if entries.insert(name.clone(), range).is_some() {
            return Err(damaged(&format!("`{name}` is in it twice")));
        }
        at += DIRECTORY_ENTRY_LENGTH + name_length + extra_length + comment_length;
    }
    if entries.len() as u64 == count { Ok(entries) } else { Err(damaged("its table of contents has another length than it says")) }
}

/// Start and end of the table of contents, and the number of its entries.
fn directory(bytes: Bytes<'_>) -> Result<(usize, usize, u64)> {
    let last = bytes.0.len().checked_sub(END_LENGTH).ok_or_else(|| damaged("it ends too early"))?;
    let first = last.saturating_sub(LONGEST_COMMENT);
    let found = (first..=last).rev().find(|at| bytes.0[*at..].starts_with(END));
    let at = found.ok_or_else(|| damaged("its end is missing: the file was cut off"))?;
    let long = at.checked_sub(LONG_END_LOCATOR_LENGTH).filter(|locator| bytes.0[*locator..].starts_with(LONG_END_LOCATOR));
    let (count, length, start) = match long {
        Some(locator) => {
            let long = bytes.index(locator + 8, 8)?;
            bytes.expect(long, LONG_END, "its end cannot be read")?;
            (bytes.number(long + 32, 8)?, bytes.index(long + 40, 8)?, bytes.index(long + 48, 8)?)
        }
        None => (bytes.number(at + 10, 2)?, bytes.index(at + 12, 4)?, bytes.index(at + 16, 4)?),
    };
    let end = start.checked_add(length).filter(|end| *end <= at).ok_or_else(|| damaged("its table of contents is not there"))?;
    Ok((start, end, count))
}

/// Where an entry's bytes lie; `at` is its place in the table of contents, `extra` start and length of its further fields.
fn entry(bytes: Bytes<'_>, at: usize, name: &str, extra: (usize, usize)) -> Result<Range<usize>> {
    let (flags, method) = (bytes.number(at + 8, 2)?, bytes.number(at + 10, 2)?);
    if method != 0 || flags & 1 != 0 {
        return Err(Problem::input(format!("a zip archive whose `{name}` is compressed or encrypted: PyTorch writes none of the two"))
            .hint("write the file again with `torch.save`"));
    }
    let [mut stored, mut unpacked, mut start] = [(20, 4), (24, 4), (42, 4)].map(|(field, length)| bytes.number(at + field, length));
    let (mut field, end) = (extra.0, extra.0 + extra.1);
    while field + 4 <= end {
        let (kind, length) = (bytes.number(field, 2)?, bytes.index(field + 2, 2)?);
        if kind == LONG_FIELD {
            let mut place = field + 4;
            for number in [&mut unpacked, &mut stored, &mut start] {
                if matches!(number, Ok(ELSEWHERE)) {
                    *number = bytes.number(place, 8);
                    place += 8;
                }
            }
        }
        field += 4 + length;
    }
    let (stored, unpacked) = (stored?, unpacked?);
    if stored != unpacked {
        return Err(damaged(&format!("`{name}` takes {stored} bytes and claims {unpacked}")));
    }
    let local = usize::try_from(start?).map_err(|_| damaged("a number is too large"))?;
    bytes.expect(local, LOCAL_ENTRY, &format!("`{name}` is not where its table of contents says"))?;
    let start = local + LOCAL_ENTRY_LENGTH + bytes.index(local + 26, 2)? + bytes.index(local + 28, 2)?;
    let length = usize::try_from(stored).map_err(|_| damaged("a number is too large"))?;
    bytes.range(start, length)?;
    Ok(start..start + length)
}
