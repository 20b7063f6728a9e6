//! `process.json`: which process works, or worked, in a job folder. Together with the folder's lock and the exit files it tells a job at
//! work from one whose processes are gone. Its time of change is a sign of life, renewed while the job runs.

use super::atomic;
use crate::machine::identity;
use contract::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The file's name in the job folder.
pub(crate) const FILE: &str = "process.json";
/// Raised when a field changes its meaning.
const SCHEMA: u32 = 1;
/// Between two signs of life; a call on a shared disk each.
const BEAT: Duration = Duration::from_secs(20);
/// Network disks show another machine's change of a file within a minute; a job that gave no sign for this long is not taken for alive.
pub(crate) const FRESH: Duration = Duration::from_secs(120);

/// Who works, or worked, in a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) schema: u32,
    /// The machine's name.
    pub(crate) host: String,
    /// The machine's start.
    pub(crate) boot_id: String,
    /// The guard's number.
    pub(crate) pid: u32,
    /// The guard's start, clock ticks after the machine's.
    pub(crate) start_ticks: u64,
    /// When it began, Unix seconds.
    pub(crate) began: f64,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// What the job does, where the command line was understood; `run` starts a job of any verb.
    #[serde(default)]
    pub(crate) verb: Option<String>,
    /// Length of run.err when it began, bytes: what follows is this run's.
    pub(crate) errors_from: u64,
    /// When it ended in order, Unix seconds.
    pub(crate) ended: Option<f64>,
    /// Its exit status.
    pub(crate) exit_status: Option<u8>,
}

/// The record of this process.
pub(crate) struct Presence {
    path: PathBuf,
    record: Record,
    next_beat: Instant,
}

impl Presence {
    /// Writes the record of a job that begins in this process.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn announce(folder: &Path, command: &[String], verb: Option<&str>) -> Result<Self> {
        let pid = std::process::id();
        let record = Record {
            schema: SCHEMA,
            host: identity::host_name(),
            boot_id: identity::boot_id(),
            pid,
            start_ticks: identity::start_ticks(pid).unwrap_or(0),
            began: unix_seconds(SystemTime::now()),
            command: command.to_vec(),
            verb: verb.map(String::from),
            errors_from: std::fs::metadata(folder.join("run.err")).map_or(0, |m| m.len()),
            ended: None,
            exit_status: None,
        };
        let path = folder.join(FILE);
        atomic::write_json(&path, &record)?;
        Ok(Self { path, record, next_beat: Instant::now() + BEAT })
    }

    /// A sign of life, where one is due. A disk that refuses it does not end a job.
    pub(crate) fn beat(&mut self) {
        if Instant::now() >= self.next_beat {
            self.next_beat = Instant::now() + BEAT;
            let _ = std::fs::File::options().write(true).open(&self.path).and_then(|f| f.set_modified(SystemTime::now()));
        }
    }

    /// Notes the end.
    pub(crate) fn end(mut self, exit_status: u8) -> Result<()> {
        self.record.ended = Some(unix_seconds(SystemTime::now()));
        self.record.exit_status = Some(exit_status);
        atomic::write_json(&self.path, &self.record)
    }
}

impl Record {
    /// Whether the process that wrote it is there, as far as this machine can see.
    pub(crate) fn is_alive_here(&self) -> bool {
        self.boot_id == identity::boot_id() && identity::is_alive(self.pid, self.start_ticks)
    }
}

/// The record in a folder, and the age of its last sign of life; `None` where there is none that is understood.
pub(crate) fn read(folder: &Path) -> Option<(Record, Duration)> {
    let path = folder.join(FILE);
    let record = atomic::read_json::<Record>(&path).ok().flatten().filter(|r| r.schema == SCHEMA)?;
    let changed = path.metadata().and_then(|m| m.modified()).ok()?;
    // A clock that is behind the disk's makes the sign younger than now.
    Some((record, SystemTime::now().duration_since(changed).unwrap_or_default()))
}

/// Seconds since 1970.
pub(crate) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_of_this_process_and_of_its_end() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).is_none());
        let presence = Presence::announce(folder.path(), &["opus-dsd".into()], Some("train")).unwrap();
        let (record, age) = read(folder.path()).unwrap();
        assert!(record.is_alive_here() && record.ended.is_none() && age < FRESH);
        presence.end(143).unwrap();
        let (record, _) = read(folder.path()).unwrap();
        assert!(record.ended.is_some() && record.exit_status == Some(143));
        std::fs::write(folder.path().join(FILE), b"{").unwrap();
        assert!(read(folder.path()).is_none());
    }
}
