//! Forms of files: a number that a file says of itself, raised when the meaning of a field changes.

use crate::{Problem, Result};
use std::path::Path;

/// What to do with a file that this version does not read.
pub const OTHER_FORM: &str = "`version` in the job's `settings.json` names the version that wrote it: use that one, or a later one";

/// Refuses a file of a form that this version does not read; `found` is what the file says of itself.
///
/// # Errors
/// It is not the `known` one.
///
/// ```
/// let newer = opus_dsd_contract::require_form("results.json".as_ref(), 3, 2).unwrap_err();
/// assert!(newer.what.contains("a newer version") && newer.hint.unwrap().contains("settings.json"));
/// ```
pub fn require_form(path: &Path, found: u32, known: u32) -> Result<()> {
    if found == known {
        return Ok(());
    }
    let age = if found > known { "a newer" } else { "another" };
    Err(Problem::input(format!("was written by {age} version of the program (form {found}, this version reads form {known})"))
        .at(path.display().to_string())
        .hint(OTHER_FORM))
}
