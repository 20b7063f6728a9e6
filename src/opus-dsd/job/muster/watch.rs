//! Looks after the other ranks while no stage does: one that goes before training would else be missed only when training begins.

use super::gone;
use contract::Problem;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time in which a rank that lost its connection may come again; with the kernel's own time for a vanished machine within 10 s.
const RETURN: Duration = Duration::from_millis(700);

/// What the connections' threads share. The loss of a rank ends the job, until somebody else looks after them.
#[derive(Clone)]
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
    ends: Arc<dyn Fn(Problem) + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// How often each rank has come.
    arrivals: HashMap<usize, usize>,
    is_over: bool,
}

impl Watch {
    /// `ends` is given the loss, and ends the job.
    pub(super) fn new(ends: impl Fn(Problem) + Send + Sync + 'static) -> Self {
        Self { state: Arc::default(), ends: Arc::new(ends) }
    }

    /// A rank has come; which time it is.
    pub(super) fn came(&self, rank: usize) -> usize {
        let mut state = self.lock();
        let times = state.arrivals.entry(rank).or_default();
        *times += 1;
        *times
    }

    /// The connection of a rank's `arrival` has ended. It is lost where it does not come again.
    pub(super) fn went(&self, rank: usize, name: String, arrival: usize) {
        if self.lock().is_over {
            return;
        }
        std::thread::sleep(RETURN);
        // Held to the end, so that nothing begins while the job is ended.
        let state = self.lock();
        if !state.is_over && state.arrivals.get(&rank) == Some(&arrival) {
            (self.ends)(gone().at(name));
        }
    }

    /// From now on somebody else looks after the ranks, or they may go.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn who_goes_and_does_not_come_again_is_lost() {
        let (sender, losses) = channel();
        let watch = Watch::new(move |problem| sender.send(problem.to_string()).unwrap());
        let first = watch.came(1);
        let second = watch.came(1);
        watch.went(1, "rank 1 on here".into(), first);
        assert!(losses.try_recv().is_err());
        watch.went(1, "rank 1 on here".into(), second);
        assert!(losses.try_recv().unwrap().starts_with("rank 1 on here: its process or machine is gone"));
        watch.end();
        watch.went(1, "rank 1 on here".into(), second);
        assert!(losses.try_recv().is_err());
    }
}
