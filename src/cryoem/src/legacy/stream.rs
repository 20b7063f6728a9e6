//! PyTorch's format before 1.6, in which plain pickles still keep their tensors: a row of pickles, then the storages.

use super::pickle::{Machine, Trust, Value};
use contract::{Problem, Result};
use std::collections::HashMap;
use std::ops::Range;

/// The pickled number that such a file begins with.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/// The only version of the format.
const PROTOCOL: Value = Value::Int(1001);
/// Bytes of the number of elements before a storage's bytes.
const COUNT_BYTES: usize = 8;

/// A file's value, and where its storages lie in it.
pub(super) struct Stream {
    pub(super) value: Value,
    pub(super) storages: HashMap<String, Range<usize>>,
}

/// Whether a file is of this format.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads a whole file.
///
/// # Errors
/// It is damaged, of another version or byte order, or holds something else than plain values and tensors.
pub(super) fn read(bytes: &[u8], trust: Trust) -> Result<Stream> {
    let damaged = |what: &str| Problem::input(format!("a damaged file of PyTorch: {what}")).hint("copy or write the file again");
    if !is_one(bytes) {
        return Err(damaged("it does not begin as one"));
    }
    let mut at = MAGIC.len();
    let mut storages = Vec::new();
    let mut next = |at: &mut usize| -> Result<Value> {
        let mut machine = Machine::new(&bytes[*at..], trust);
        let value = machine.finished()?;
        *at += machine.at;
        storages.extend(machine.storages);
        Ok(value)
    };
    if next(&mut at)? != PROTOCOL {
        return Err(damaged("its version is unknown"));
    }
    if next(&mut at)?.get("little_endian") != Some(&Value::Bool(true)) {
        return Err(damaged("it was not written on a little-endian machine"));
    }
    let value = next(&mut at)?;
    let Value::List(keys) = next(&mut at)? else { return Err(damaged("its list of storages is missing")) };
    let named: HashMap<_, _> = storages.into_iter().collect();
    let mut found = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else { return Err(damaged("a storage's name is no text")) };
        let (elements, count) = named.get(&key).ok_or_else(|| damaged("a storage belongs to no tensor"))?;
        let length = count.checked_mul(elements.bytes()).ok_or_else(|| damaged("a storage is too long"))?;
        let start = at + COUNT_BYTES;
        let end = start.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(|| damaged("it ends too early"))?;
        if bytes[at..start] != (*count as u64).to_le_bytes() {
            return Err(damaged("a storage has another length than its tensor says"));
        }
        found.insert(key, start..end);
        at = end;
    }
    Ok(Stream { value, storages: found })
}
