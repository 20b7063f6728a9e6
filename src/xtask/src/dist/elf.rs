//! What an executable says to the loader: where libraries are looked for, and which C library it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tags of the dynamic section.
const DT_NULL: u64 = 0;
const DT_STRTAB_SECTION: &[u8] = b".dynstr\0";
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
/// Section type of the dynamic section, and sizes of what the file holds (ELF, 64 bits).
const SHT_DYNAMIC: u32 = 6;
const SECTION_BYTES: usize = 64;
const ENTRY_BYTES: usize = 16;

/// Replaces the folders that libraries are looked for in. The new ones take no more room than the old ones, since the build puts them first.
///
/// # Errors
/// The file is no such executable, names no folders, or has no room.
pub(super) fn set_run_path(file: &Path, run_path: &str) -> Result<(), String> {
    let wrong = |what: &str| format!("{}: {what}", file.display());
    let mut bytes = fs::read(file).map_err(|e| wrong(&e.to_string()))?;
    let (at, length) = find(&bytes).ok_or_else(|| wrong("no run path was found"))?;
    if run_path.len() > length {
        return Err(wrong("the run path has no room for the installed folders"));
    }
    bytes[at..at + length].fill(0);
    bytes[at..at + run_path.len()].copy_from_slice(run_path.as_bytes());
    fs::write(file, bytes).map_err(|e| wrong(&e.to_string()))
}

/// Place and length of the run path's text.
fn find(bytes: &[u8]) -> Option<(usize, usize)> {
    let number = |at: usize, width: usize| -> Option<u64> {
        let mut eight = [0; 8];
        eight[..width].copy_from_slice(bytes.get(at..at + width)?);
        Some(u64::from_le_bytes(eight))
    };
    let size = |at: usize, width: usize| number(at, width).and_then(|n| usize::try_from(n).ok());
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (sections, count, names) = (size(40, 8)?, size(60, 2)?, size(62, 2)?);
    let section = |i: usize| sections + i * SECTION_BYTES;
    let offset = |i: usize| size(section(i) + 24, 8);
    let name_table = offset(names)?;
    let mut strings = None;
    let mut dynamic = None;
    for i in 0..count {
        let name = name_table + size(section(i), 4)?;
        if bytes.get(name..name + DT_STRTAB_SECTION.len()) == Some(DT_STRTAB_SECTION) {
            strings = offset(i);
        }
        if number(section(i) + 4, 4)? == u64::from(SHT_DYNAMIC) {
            dynamic = Some((offset(i)?, size(section(i) + 32, 8)?));
        }
    }
    let (strings, (start, length)) = (strings?, dynamic?);
    for entry in (start..start + length).step_by(ENTRY_BYTES) {
        match number(entry, 8)? {
            DT_NULL => break,
            DT_RPATH | DT_RUNPATH => {
                let at = strings + size(entry + 8, 8)?;
                return Some((at, bytes.get(at..)?.iter().position(|b| *b == 0)?));
            }
            _ => {}
        }
    }
    None
}

/// The newest version of the C library that any of the files asks for.
///
/// # Errors
/// `objdump` is missing or does not understand a file.
pub(super) fn newest_glibc(files: &[PathBuf]) -> Result<String, String> {
    let mut newest = (0, 0);
    for file in files {
        let output = Command::new("objdump").arg("-T").arg(file).output().map_err(|e| format!("`objdump` could not be started: {e}"))?;
        if !output.status.success() {
            return Err(format!("{}: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim()));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let versions = text.split("GLIBC_").skip(1).filter_map(|rest| {
            let word: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let mut parts = word.split('.').map(|p| p.parse::<u32>().ok());
            Some((parts.next()??, parts.next()??))
        });
        newest = versions.fold(newest, Ord::max);
    }
    Ok(format!("{}.{}", newest.0, newest.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_executable_is_refused() {
        assert_eq!(find(b"#!/bin/sh"), None);
        assert_eq!(find(&[0; 200]), None);
        assert_eq!(find(b"\x7fELF\x02\x01"), None);
    }
}
