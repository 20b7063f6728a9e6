//! The ledger of a job: which stages are done, on what ground, with which outputs. A stage whose ground is the same and whose outputs are
//! there is fresh and is not run again; to continue a job is to start at the first stale stage.

use super::atomic;
use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Raised when stages do something else than before with the same ground.
const LEDGER_SCHEMA: u32 = 1;
/// Folder of the records in a job.
const FOLDER: &str = "stages";

/// A stage that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    schema: u32,
    fingerprint: String,
    outputs: Vec<Output>,
    /// What it warned of.
    #[serde(default)]
    warnings: Vec<String>,
}

/// A file that a stage left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Output {
    /// Relative to the job folder where it lies in it, so that a copied or moved job looks at its own files.
    path: PathBuf,
    bytes: u64,
}

/// Records of stages, one file each below `stages/`.
pub(crate) struct Ledger {
    job_folder: PathBuf,
    folder: PathBuf,
    /// Whether nothing that was done before counts.
    redo: bool,
}

impl Ledger {
    pub(crate) fn open(job_folder: &Path) -> Result<Self> {
        let folder = job_folder.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|e| Problem::io(&folder, &e))?;
        Ok(Self { job_folder: job_folder.to_path_buf(), folder, redo: false })
    }

    /// From here on nothing that was done before counts, where that is wished.
    pub(crate) fn redo_if(&mut self, wished: bool) {
        self.redo = wished;
    }

    /// Whether nothing that was done before counts.
    pub(crate) fn is_redone(&self) -> bool {
        self.redo
    }

    /// Whether a stage was done on this ground, and all that it left is there.
    pub(crate) fn is_fresh(&self, stage: &str, fingerprint: &str) -> bool {
        if self.redo {
            return false;
        }
        // A record that is not understood is a stage that has to run again.
        let Ok(Some(record)) = atomic::read_json::<Record>(&self.path(stage)) else { return false };
        record.schema == LEDGER_SCHEMA
            && record.fingerprint == fingerprint
            && record.outputs.iter().all(|o| std::fs::metadata(self.job_folder.join(&o.path)).is_ok_and(|m| m.len() == o.bytes))
    }

    /// Notes that a stage is done, and what it warned of.
    ///
    /// # Errors
    /// An output is missing, or the record cannot be written.
    pub(crate) fn done(&self, stage: &str, fingerprint: &str, outputs: &[PathBuf], warnings: &[String]) -> Result<()> {
        let outputs = outputs
            .iter()
            .map(|path| {
                let metadata = std::fs::metadata(path).map_err(|e| Problem::io(path, &e))?;
                let path = path.strip_prefix(&self.job_folder).unwrap_or(path).to_path_buf();
                Ok(Output { path, bytes: metadata.len() })
            })
            .collect::<Result<Vec<_>>>()?;
        atomic::write_json(
            &self.path(stage),
            &Record { schema: LEDGER_SCHEMA, fingerprint: fingerprint.into(), outputs, warnings: warnings.to_vec() },
        )
    }

    /// What a stage left, whatever its ground; nothing where it was never done.
    pub(crate) fn outputs(job_folder: &Path, stage: &str) -> Vec<PathBuf> {
        Self::record(job_folder, stage).into_iter().flat_map(|r| r.outputs).map(|o| job_folder.join(o.path)).collect()
    }

    /// What a stage warned of when it was done; nothing where it never was.
    pub(crate) fn warnings(job_folder: &Path, stage: &str) -> Vec<String> {
        Self::record(job_folder, stage).map(|r| r.warnings).unwrap_or_default()
    }

    fn record(job_folder: &Path, stage: &str) -> Option<Record> {
        let ledger = Self { job_folder: job_folder.to_path_buf(), folder: job_folder.join(FOLDER), redo: false };
        atomic::read_json(&ledger.path(stage)).ok().flatten()
    }

    fn path(&self, stage: &str) -> PathBuf {
        self.folder.join(format!("{stage}.json"))
    }
}

/// A fingerprint of values: equal values, equal fingerprint, on every machine and version of the compiler.
#[derive(Clone)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// FNV-1a, 64 bits: enough to notice a change, and no secret is kept.
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;

    pub(crate) fn new(stage: &str) -> Self {
        Self(Self::OFFSET).and_bytes(stage.as_bytes())
    }

    pub(crate) fn and_bytes(self, bytes: &[u8]) -> Self {
        let length = (bytes.len() as u64).to_le_bytes();
        Self(length.iter().chain(bytes).fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(Self::PRIME)))
    }

    /// Adds a value by its JSON.
    pub(crate) fn and<T: Serialize>(self, value: &T) -> Self {
        // Plain data always has a JSON form; a value without one would only make the stage run again.
        self.and_bytes(&serde_json::to_vec(value).unwrap_or_default())
    }

    /// Adds a file by its content.
    pub(crate) fn and_content(self, path: &Path) -> Result<Self> {
        std::fs::read(path).map(|bytes| self.and_bytes(&bytes)).map_err(|e| Problem::io(path, &e))
    }

    pub(crate) fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_fresh_on_the_same_ground_with_all_outputs() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path()).unwrap();
        let output = folder.path().join("out.mrc");
        assert!(!ledger.is_fresh("base", "a"));
        assert!(ledger.done("base", "a", std::slice::from_ref(&output), &[]).is_err());
        std::fs::write(&output, b"map").unwrap();
        ledger.done("base", "a", std::slice::from_ref(&output), &["take care".into()]).unwrap();
        assert_eq!((Ledger::warnings(folder.path(), "base"), Ledger::warnings(folder.path(), "check")), (vec!["take care".into()], vec![]));
        assert!(ledger.is_fresh("base", "a"));
        assert!(!ledger.is_fresh("base", "b"));
        std::fs::write(&output, b"half").unwrap();
        assert!(!ledger.is_fresh("base", "a"));
        ledger.done("base", "a", std::slice::from_ref(&output), &[]).unwrap();
        ledger.redo_if(true);
        assert!(!ledger.is_fresh("base", "a"), "everything is to be made again");
    }

    #[test]
    fn a_copied_job_looks_at_its_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("job001"), folder.path().join("job002"));
        let ledger = Ledger::open(&first).unwrap();
        std::fs::write(first.join("out.mrc"), b"map").unwrap();
        ledger.done("base", "a", &[first.join("out.mrc")], &[]).unwrap();
        let copy = Ledger::open(&second).unwrap();
        std::fs::copy(first.join("stages/base.json"), second.join("stages/base.json")).unwrap();
        assert!(!copy.is_fresh("base", "a"), "its own file is not there");
        std::fs::copy(first.join("out.mrc"), second.join("out.mrc")).unwrap();
        assert!(copy.is_fresh("base", "a"));
    }

    #[test]
    fn fingerprints_tell_values_and_their_borders_apart() {
        let of = |a: &str, b: &str| Fingerprint::new("s").and(&a).and(&b).text();
        assert_eq!(of("x", "y"), of("x", "y"));
        assert_ne!(of("xy", ""), of("x", "y"));
    }
}
