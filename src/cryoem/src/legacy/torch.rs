//! Files that PyTorch saves: a pickle of values and, beside it, the storages that its tensors are parts of.

use super::array::Array;
use super::pickle::{self, Trust, Value};
use super::tensor::{StorageName, View};
use super::{stream, zip};
use contract::{Problem, Result};
use memmap2::Mmap;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a zip archive begins with.
const ZIP: &[u8] = b"PK\x03\x04";
/// The pickle of a zip archive, in its only folder.
const PICKLE: &str = "/data.pkl";

/// A file of PyTorch, open. Its tensors are read from the disk when they are asked for.
pub struct TorchFile {
    path: PathBuf,
    bytes: Mmap,
    value: Value,
    storages: HashMap<String, Range<usize>>,
}

impl TorchFile {
    /// Opens a file that `torch.save` wrote: a zip archive (PyTorch 1.6 and later), or a row of pickles (before).
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or holds anything but plain values, arrays and tensors. Nothing in it is run.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Problem::io(path, &error))?;
        // SAFETY: read-only; an archive that another process cuts short while it is read ends this one, as any mapped file.
        let bytes = unsafe { Mmap::map(&file) }.map_err(|error| Problem::io(path, &error))?;
        let (value, storages) = contents(&bytes).map_err(|problem| problem.at(path.display().to_string()))?;
        Ok(Self { path: path.to_owned(), bytes, value, storages })
    }

    /// The file's value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The elements of one of its tensors, in C order.
    ///
    /// # Errors
    /// The tensor's storage is not in the file, or has another length than the tensor says.
    pub fn array(&self, view: &View) -> Result<Array> {
        let storage = match &view.storage {
            StorageName::Here(bytes) => bytes.as_slice(),
            StorageName::Named(name) => self
                .storages
                .get(name)
                .map(|range| &self.bytes[range.clone()])
                .ok_or_else(|| Problem::input(format!("storage `{name}` is missing")).at(self.path.display().to_string()))?,
        };
        view.gather(storage).map_err(|problem| problem.at(self.path.display().to_string()))
    }
}

fn contents(bytes: &[u8]) -> Result<(Value, HashMap<String, Range<usize>>)> {
    if bytes.starts_with(ZIP) {
        return zipped(bytes);
    }
    if stream::is_one(bytes) {
        let read = stream::read(bytes, Trust { storages: true, nested: true })?;
        return Ok((read.value, read.storages));
    }
    Err(Problem::input("no file that `torch.save` wrote").hint("give the original's `weights.N.pkl` and `z.N.pkl` as they are"))
}

fn zipped(bytes: &[u8]) -> Result<(Value, HashMap<String, Range<usize>>)> {
    let entries = zip::entries(bytes)?;
    let damaged = |what: String| Problem::input(format!("a damaged file of PyTorch: {what}")).hint("copy or write the file again");
    let mut folders = entries.keys().filter_map(|name| name.strip_suffix(PICKLE)).filter(|folder| !folder.contains('/'));
    let (Some(folder), None) = (folders.next(), folders.next()) else {
        return Err(Problem::input("a zip archive, but none that `torch.save` wrote: no `data.pkl` in one folder")
            .hint("give the original's `weights.N.pkl` and `z.N.pkl` as they are"));
    };
    let entry = |name: &str| entries.get(&format!("{folder}/{name}")).cloned();
    if let Some(order) = entry("byteorder")
        && &bytes[order.clone()] != b"little"
    {
        return Err(damaged("it was not written on a little-endian machine".into()));
    }
    let range = entry("data.pkl").unwrap_or_default();
    let read = pickle::parse_with_storages(&bytes[range])?;
    let mut storages = HashMap::new();
    for (key, (elements, count)) in read.storages {
        let range = entry(&format!("data/{key}")).ok_or_else(|| damaged(format!("storage `{key}` is missing")))?;
        if count.checked_mul(elements.bytes()) != Some(range.len()) {
            return Err(damaged(format!("storage `{key}` has {} bytes, its tensor speaks of {count} elements", range.len())));
        }
        storages.insert(key, range);
    }
    Ok((read.value, storages))
}

#[cfg(test)]
mod tests;
