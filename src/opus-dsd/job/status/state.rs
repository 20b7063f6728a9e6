//! From signs to a job's state.

use crate::host::relion::exit_files::Outcome;
use crate::job::lock::Lock;
use crate::job::presence::{FRESH, Record};
use crate::job::progress::duration;
use crate::machine::identity;
use contract::Kind;
use serde::Serialize;
use std::time::Duration;

/// What a job folder is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// A process works in it.
    Running,
    /// Ended with success.
    Done,
    /// Ended with an error.
    Failed,
    /// Ended by the host's abort file.
    Aborted,
    /// Ended in order by a signal: a queue's time limit, most often.
    Terminated,
    /// Its processes are gone and could not say why.
    Lost,
    /// Begun on another machine, which alone could tell.
    Unknown,
    /// Not begun, or not a job of this program.
    Empty,
}

impl State {
    /// As it is written.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Terminated => "terminated",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
            Self::Empty => "empty",
        }
    }
}

/// What there is to see from outside.
pub(crate) struct Signs {
    pub(crate) lock: Lock,
    pub(crate) exit: Option<Outcome>,
    /// Who worked in it, and how long ago it last gave a sign of life.
    pub(crate) record: Option<(Record, Duration)>,
    /// Whether the folder holds anything that a job of this program leaves.
    pub(crate) begun: bool,
}

/// The state, and why it is taken to be this where that is not plain.
pub(crate) fn of(signs: &Signs) -> (State, Option<String>) {
    let record = signs.record.as_ref().map(|(record, _)| record);
    let open = record.is_some_and(|r| r.ended.is_none());
    let alive = open && record.is_some_and(Record::is_alive_here);
    if alive || (signs.lock == Lock::Taken && signs.exit.is_none()) {
        return (State::Running, None);
    }
    if let Some(state) = ended(signs.exit, record.and_then(|r| r.exit_status)) {
        return (state, None);
    }
    match &signs.record {
        Some((record, age)) => gone(record, *age, signs.lock),
        None if !signs.begun => (State::Empty, None),
        None if signs.lock == Lock::Free => (State::Lost, Some("no process holds the folder, and no end was noted".into())),
        None => (State::Unknown, Some("this disk knows no locks, and no process noted itself".into())),
    }
}

fn ended(exit: Option<Outcome>, status: Option<u8>) -> Option<State> {
    let terminated = status == Some(Kind::Terminated.exit_status());
    match (exit, status) {
        (Some(Outcome::Success), _) | (None, Some(0)) => Some(State::Done),
        (Some(Outcome::Aborted), _) => Some(State::Aborted),
        (Some(Outcome::Failure), _) if terminated => Some(State::Terminated),
        (Some(Outcome::Failure), _) => Some(State::Failed),
        (None, Some(_)) if terminated => Some(State::Terminated),
        (None, Some(s)) if s == Kind::Aborted.exit_status() => Some(State::Aborted),
        (None, Some(_)) => Some(State::Failed),
        (None, None) => None,
    }
}

/// A job without an end whose process is not seen here.
fn gone(record: &Record, age: Duration, lock: Lock) -> (State, Option<String>) {
    let ago = duration(age.as_secs_f64());
    let here = record.boot_id == identity::boot_id();
    if here && lock == Lock::Free {
        return (State::Lost, Some(format!("process {} is gone and left no exit file", record.pid)));
    }
    // Another machine, or a container with process numbers of its own on a disk without locks.
    if age < FRESH {
        return (State::Running, Some(format!("its last sign of life on `{}` was {ago} ago", record.host)));
    }
    if here || record.host == identity::host_name() {
        let why = if here { format!("process {} is gone", record.pid) } else { "the machine was started anew since".into() };
        return (State::Lost, Some(format!("{why}; the last sign of life was {ago} ago")));
    }
    (State::Unknown, Some(format!("it was begun on `{}`, whose last sign of life was {ago} ago; ask there", record.host)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::presence::{self, Presence};

    /// The record of a process of this machine.
    fn record() -> Record {
        let folder = tempfile::tempdir().unwrap();
        Presence::announce(folder.path(), &[], None).unwrap();
        presence::read(folder.path()).unwrap().0
    }

    fn state(lock: Lock, exit: Option<Outcome>, record: Option<Record>, age_s: u64) -> State {
        let record = record.map(|r| (r, Duration::from_secs(age_s)));
        of(&Signs { lock, exit, record, begun: true }).0
    }

    #[test]
    fn a_living_process_runs_whatever_the_disk_says() {
        assert_eq!(state(Lock::Taken, None, Some(record()), 0), State::Running);
        assert_eq!(state(Lock::Unsupported, None, Some(record()), 9999), State::Running);
        // A wrong command line in the folder of a running job leaves an exit file that is not the job's.
        assert_eq!(state(Lock::Taken, Some(Outcome::Failure), Some(record()), 0), State::Running);
        assert_eq!(state(Lock::Taken, None, None, 0), State::Running);
    }

    #[test]
    fn processes_that_are_gone_are_lost() {
        let dead = Record { start_ticks: 1, ..record() };
        assert_eq!(state(Lock::Free, None, Some(dead.clone()), 1), State::Lost);
        assert_eq!(state(Lock::Unsupported, None, Some(dead.clone()), 9999), State::Lost);
        let before_restart = Record { boot_id: "another".into(), ..dead };
        assert_eq!(state(Lock::Free, None, Some(before_restart), 9999), State::Lost);
        assert_eq!(state(Lock::Free, None, None, 0), State::Lost);
    }

    #[test]
    fn another_machine_is_asked_for_a_sign_of_life() {
        let elsewhere = Record { host: "node17".into(), boot_id: "another".into(), ..record() };
        assert_eq!(state(Lock::Free, None, Some(elsewhere.clone()), 30), State::Running);
        assert_eq!(state(Lock::Free, None, Some(elsewhere.clone()), 600), State::Unknown);
        assert_eq!(state(Lock::Taken, None, Some(elsewhere.clone()), 600), State::Running);
        assert_eq!(state(Lock::Free, Some(Outcome::Success), Some(elsewhere), 600), State::Done);
    }

    #[test]
    fn ends_are_told_apart() {
        let with = |status| Some(Record { ended: Some(0.0), exit_status: Some(status), ..record() });
        assert_eq!(state(Lock::Free, Some(Outcome::Failure), with(143), 0), State::Terminated);
        assert_eq!(state(Lock::Free, Some(Outcome::Failure), with(2), 0), State::Failed);
        assert_eq!(state(Lock::Free, Some(Outcome::Aborted), with(130), 0), State::Aborted);
        assert_eq!(state(Lock::Free, None, with(0), 0), State::Done);
        assert_eq!(state(Lock::Free, Some(Outcome::Failure), None, 0), State::Failed);
    }

    #[test]
    fn a_folder_without_a_job_is_empty() {
        assert_eq!(of(&Signs { lock: Lock::Free, exit: None, record: None, begun: false }), (State::Empty, None));
    }
}
