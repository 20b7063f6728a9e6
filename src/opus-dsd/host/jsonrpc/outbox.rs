//! What waits to be written. A reader that is slow, or does not read at all, never holds up the job: answers and ends of jobs are kept, of
//! progress the latest is kept, and of lines and metrics a bounded number.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines and metrics that wait at most; the oldest are left out for newer ones.
const MOST_LOOSE: usize = 1000;
/// Answers that wait before no more requests are read: a client that floods without reading waits for itself.
const MOST_KEPT: usize = 1000;
/// The same in bytes: answers can be long (an introduction holds the manifest, an id is given back as it came).
const MOST_KEPT_BYTES: usize = 16 << 20;

/// What may happen to a message whose reader is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It is kept.
    Kept,
    /// It may be left out.
    Loose,
    /// A newer one takes its place.
    Latest,
}

/// Messages in the order in which they were said.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    said: u64,
    kept: VecDeque<(u64, Vec<u8>)>,
    kept_bytes: usize,
    loose: VecDeque<(u64, Vec<u8>)>,
    latest: Option<(u64, Vec<u8>)>,
    left_out: u64,
    writing: bool,
    closed: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.loose.is_empty() && self.latest.is_none()
    }

    fn has_room(&self) -> bool {
        self.closed || self.kept.len() < MOST_KEPT && self.kept_bytes < MOST_KEPT_BYTES
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let fronts = [self.kept.front().map(|m| m.0), self.loose.front().map(|m| m.0), self.latest.as_ref().map(|m| m.0)];
        let oldest = fronts.into_iter().flatten().min()?;
        let message = if fronts[0] == Some(oldest) {
            self.kept.pop_front().inspect(|m| self.kept_bytes -= m.1.len())
        } else if fronts[1] == Some(oldest) {
            self.loose.pop_front()
        } else {
            self.latest.take()
        };
        message.map(|m| m.1)
    }
}

impl Outbox {
    /// Adds a line (without its end); never waits.
    pub(super) fn push(&self, weight: Weight, mut line: Vec<u8>) {
        line.push(b'\n');
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.said += 1;
        let message = (state.said, line);
        match weight {
            Weight::Kept => {
                state.kept_bytes += message.1.len();
                state.kept.push_back(message);
            }
            Weight::Latest => state.latest = Some(message),
            Weight::Loose => {
                if state.loose.len() == MOST_LOOSE {
                    state.loose.pop_front();
                    state.left_out += 1;
                }
                state.loose.push_back(message);
            }
        }
        self.changed.notify_all();
    }

    /// How many messages were left out since this was asked last.
    pub(super) fn take_left_out(&self) -> u64 {
        std::mem::take(&mut self.lock().left_out)
    }

    /// Waits until there is room for answers, or nobody to answer.
    pub(super) fn wait_for_room(&self) {
        let mut state = self.lock();
        while !state.has_room() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all is written; not longer than `limit`.
    pub(super) fn wait_until_written(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.lock();
        while !state.closed && (state.writing || !state.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes what comes, until it cannot be written; for a thread of its own.
    pub(super) fn write_to(&self, output: &mut impl Write) {
        let mut state = self.lock();
        loop {
            let Some(line) = state.pop() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.writing = true;
            drop(state);
            let written = output.write_all(&line).and_then(|()| output.flush());
            state = self.lock();
            state.writing = false;
            state.closed |= written.is_err();
            self.changed.notify_all();
            if state.closed {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(outbox: &Outbox) -> Vec<String> {
        let mut state = outbox.lock();
        std::iter::from_fn(|| state.pop()).map(|l| String::from_utf8(l).unwrap().trim_end().to_owned()).collect()
    }

    #[test]
    fn a_slow_reader_gets_all_answers_the_latest_progress_and_the_last_lines() {
        let outbox = Outbox::default();
        for i in 0..MOST_LOOSE + 5 {
            outbox.push(Weight::Loose, format!("line {i}").into());
            outbox.push(Weight::Latest, format!("progress {i}").into());
        }
        outbox.push(Weight::Kept, "answer".into());
        assert_eq!(outbox.take_left_out(), 5);
        assert_eq!(outbox.take_left_out(), 0);
        let all = drained(&outbox);
        assert_eq!(all.len(), MOST_LOOSE + 2);
        assert_eq!(all[0], "line 5");
        assert_eq!(all[MOST_LOOSE..], [format!("progress {}", MOST_LOOSE + 4), "answer".into()]);
    }

    #[test]
    fn answers_that_nobody_reads_fill_the_room_by_number_or_by_size() {
        let outbox = Outbox::default();
        outbox.push(Weight::Kept, vec![b'x'; MOST_KEPT_BYTES]);
        assert!(!outbox.lock().has_room());
        drained(&outbox);
        for _ in 0..MOST_KEPT {
            assert!(outbox.lock().has_room());
            outbox.push(Weight::Kept, "answer".into());
        }
        assert!(!outbox.lock().has_room());
    }

    #[test]
    fn an_output_that_is_closed_ends_the_writing_and_lets_nobody_wait() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let outbox = Outbox::default();
        for _ in 0..MOST_KEPT {
            outbox.push(Weight::Kept, "answer".into());
        }
        outbox.write_to(&mut Closed);
        outbox.wait_for_room();
        outbox.wait_until_written(Duration::from_secs(60));
    }
}
