//! The engines that train together. The first one speaks for all; the others warn of what befalls them alone, and the bad end of one ends
//! the job with its cause.

use super::engine_process::Engine;
use super::muster::{Member, Muster};
use super::stages::context::Context;
use crate::settings::grid::Grid;
use contract::{Command, Event, Problem, Result, TrainSpec, World};
use std::collections::VecDeque;
use std::fs::File;
use std::time::{Duration, Instant};

/// How long the first engine is listened to before the others are looked after.
const LOOK_AROUND: Duration = Duration::from_millis(200);
/// An engine that lost another one waits so long for the other's own end, which is the cause.
const CAUSE_WITHIN: Duration = Duration::from_secs(4);
/// Between two looks for a cause.
const PAUSE: Duration = Duration::from_millis(20);
/// Where engines of one machine meet.
const LOOPBACK: &str = "127.0.0.1";

/// Engines that train together; the others than the first end with it.
pub(crate) struct Crew<'a> {
    first: &'a mut Engine,
    others: Vec<Other>,
    /// What the others are told once the first one listens.
    waiting: Option<TrainSpec>,
    /// An other's loss of somebody who has not been found yet.
    lost: Option<(Instant, Problem)>,
    /// What nobody has been given yet: warnings of the others, with their names, and the end after them.
    heard: VecDeque<Result<Event>>,
    devices: String,
    meet_at: String,
    here: usize,
}

/// An engine besides the first.
struct Other {
    /// For people: `rank 1 (cuda:1)`.
    name: String,
    /// `None`: it chooses where it runs.
    device: Option<String>,
    process: Process,
}

enum Process {
    Own(Box<Engine>),
    Launched(Member),
}

impl<'a> Crew<'a> {
    /// Starts an engine a device of this machine besides the first, or waits for those that a cluster's launcher started.
    ///
    /// # Errors
    /// One cannot be started, or does not come.
    pub(crate) fn gather(context: &mut Context<'_>, first: &'a mut Engine, grid: &Grid, muster: Option<&mut Muster>) -> Result<Self> {
        if let Some(muster) = muster {
            let members = muster.gather(context)?;
            let meet_at = muster.address_for(&members);
            let here = members.iter().filter(|member| member.is_here()).count() + 1;
            let devices = format!("{} processes", members.len() + 1);
            let other = |member: Member| Other { name: member.name(), device: None, process: Process::Launched(member) };
            let others = members.into_iter().map(other).collect();
            return Ok(Self { first, others, waiting: None, lost: None, heard: VecDeque::new(), devices, meet_at, here });
        }
        let mut others = Vec::new();
        for (rank, device) in grid.engines.iter().enumerate().skip(1) {
            // Its end is noticed where its events are read, or does not matter any more.
            let engine = Engine::start(grid.threads_an_engine(), |_| {})?;
            let process = Process::Own(Box::new(engine));
            others.push(Other { name: format!("rank {rank} ({device})"), device: Some(device.clone()), process });
        }
        for other in &mut others {
            if let Process::Own(engine) = &mut other.process {
                engine.greet().map_err(|problem| named(problem, &other.name))?;
            }
        }
        let devices = if others.is_empty() { grid.device.id.clone() } else { grid.engines.join(", ") };
        let here = others.len() + 1;
        Ok(Self { first, others, waiting: None, lost: None, heard: VecDeque::new(), devices, meet_at: LOOPBACK.into(), here })
    }

    /// What they run on, for people.
    pub(crate) fn devices(&self) -> String {
        self.devices.clone()
    }

    /// Has all of them train.
    pub(crate) fn begin(&mut self, spec: TrainSpec) -> Result<()> {
        if self.others.is_empty() {
            return self.first.send(&Command::Train(Box::new(spec)));
        }
        let first = TrainSpec { world: Some(self.world(0, self.meet_at.clone())), ..spec.clone() };
        self.waiting = Some(spec);
        self.first.send(&Command::Train(Box::new(first)))
    }

    /// A second handle on the first engine's command pipe, for the wish to stop.
    pub(crate) fn commands(&self) -> Result<File> {
        self.first.commands()
    }

    /// The first engine's next event, or another's warning; `None` after `timeout`.
    ///
    /// # Errors
    /// The end or failure of any of them, with its cause.
    pub(crate) fn next(&mut self, timeout: Duration) -> Result<Option<Event>> {
        if self.others.is_empty() {
            return self.first.next(timeout);
        }
        let until = Instant::now() + timeout;
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard.map(Some);
            }
            match self.first.next(LOOK_AROUND) {
                Ok(None) => self.look_around(),
                Ok(Some(Event::Meeting { address })) => self.call(&address)?,
                Ok(Some(Event::Failed { problem })) => self.end(problem),
                Ok(Some(end @ Event::Trained(_))) => {
                    // What the others warned of before; they end as they like from here on.
                    let _ = self.look_at_others();
                    self.heard.push_back(Ok(end));
                }
                Ok(Some(event)) => {
                    self.heard.push_back(Ok(event));
                    // Also where the first one is never silent for long.
                    self.look_around();
                }
                Err(problem) => self.end(named(problem, "rank 0")),
            }
            if self.heard.is_empty() && Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    /// The first one listens: the others may come.
    fn call(&mut self, address: &str) -> Result<()> {
        let Some(spec) = self.waiting.take() else { return Ok(()) };
        for index in 0..self.others.len() {
            let world = Some(self.world(index + 1, address.to_owned()));
            let other = &mut self.others[index];
            let device = other.device.clone().unwrap_or_default();
            let command = Command::Train(Box::new(TrainSpec { world, device, ..spec.clone() }));
            other.process.send(&command).map_err(|problem| named(problem, &other.name))?;
        }
        Ok(())
    }

    fn world(&self, rank: usize, meeting: String) -> World {
        World { rank, size: self.others.len() + 1, here: self.here, meeting }
    }

    /// Notes what the others have to say, and the loss of one whose cause has not come to light.
    fn look_around(&mut self) {
        if let Err(problem) = self.look_at_others() {
            self.heard.push_back(Err(problem));
        } else if let Some((_, problem)) = self.lost.take_if(|(since, _)| since.elapsed() > CAUSE_WITHIN) {
            self.heard.push_back(Err(problem));
        }
    }

    /// Looks whether one of the others has ended badly, and hears what they warn of. One that merely lost somebody is noted.
    fn look_at_others(&mut self) -> Result<()> {
        for other in &mut self.others {
            let problem = loop {
                match other.process.next() {
                    Ok(None) => break None,
                    Ok(Some(Event::Failed { problem })) | Err(problem) => break Some(problem),
                    Ok(Some(Event::Warning { message })) => {
                        self.heard.push_back(Ok(Event::Warning { message: format!("{}: {message}", other.name) }));
                    }
                    Ok(Some(_)) => {}
                }
            };
            match problem {
                Some(problem) if is_loss(&problem) => {
                    self.lost.get_or_insert((Instant::now(), named(problem, &other.name)));
                }
                Some(problem) => return Err(named(problem, &other.name)),
                None => {}
            }
        }
        Ok(())
    }

    /// The first engine failed: its reason comes after what the others warned of.
    fn end(&mut self, problem: Problem) {
        let cause = self.cause(problem);
        self.heard.push_back(Err(cause));
    }

    /// Why the first engine failed: where it lost another one, that one's end.
    fn cause(&mut self, problem: Problem) -> Problem {
        let until = Instant::now() + CAUSE_WITHIN;
        while is_loss(&problem) && Instant::now() < until {
            if let Err(cause) = self.look_at_others() {
                return cause;
            }
            std::thread::sleep(PAUSE);
        }
        problem
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        for other in &mut self.others {
            if let Process::Own(engine) = &mut other.process {
                engine.kill();
            }
        }
    }
}

impl Process {
    fn send(&mut self, command: &Command) -> Result<()> {
        match self {
            Self::Own(engine) => engine.send(command),
            Self::Launched(member) => member.send(command),
        }
    }

    /// An event that is there already.
    fn next(&mut self) -> Result<Option<Event>> {
        match self {
            Self::Own(engine) => engine.next(Duration::ZERO),
            Self::Launched(member) => member.next(),
        }
    }
}

fn is_loss(problem: &Problem) -> bool {
    problem.what.starts_with(World::LOST)
}

/// The same problem of a rank.
fn named(problem: Problem, rank: &str) -> Problem {
    let culprit = problem.culprit.as_ref().map_or_else(|| rank.to_owned(), |culprit| format!("{rank}, {culprit}"));
    problem.at(culprit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_is_named_before_its_culprit() {
        assert_eq!(named(Problem::failed("it broke"), "rank 2").to_string(), "rank 2: it broke");
        assert_eq!(named(Problem::failed("it broke").at("there"), "rank 2").to_string(), "rank 2, there: it broke");
        assert!(is_loss(&Problem::failed(format!("{}: connection reset", World::LOST))) && !is_loss(&Problem::failed("it broke")));
    }
}
