//! What the server knows and decides: which job runs, who waits for what, when it may leave.

use super::child::{self, Order, Running};
use super::devices::{self, Devices, Next};
use super::lines::Line;
use super::message::{self, Params, Refusal, Request};
use super::outbox::{Outbox, Weight};
use super::{Input, Verbs};
use contract::protocol::{Done, ErrorCode, InitializeParams, Initialized, JobParams, Notification, PROTOCOL, StartParams, Status, method};
use contract::{Device, Kind, Problem, Result, VERSION};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Ended jobs that are remembered.
const MOST_ENDED: usize = 100;
/// Time that a job of an earlier server has to leave its folder: after a server was killed, its job needs about 4 s to stop in order.
const FOLDER_PATIENCE: Duration = Duration::from_secs(8);
/// Exit status where nobody hears the answers.
const UNHEARD_STATUS: u8 = 3;

pub(super) struct Server {
    verbs: Verbs,
    outbox: Arc<Outbox>,
    inputs: SyncSender<Input>,
    devices: Devices,
    jobs: u64,
    starting: Option<Starting>,
    running: Option<Running>,
    ended: VecDeque<Status>,
    leaving: Option<Leaving>,
}

/// A job whose folder another one has to leave first.
struct Starting {
    id: Option<Value>,
    order: Order,
    until: Instant,
}

/// Why and how the server leaves.
struct Leaving {
    status: u8,
    /// Requests for it, answered last.
    asked: Vec<Value>,
}

/// What comes of a request: an answer now, or later.
type Outcome = std::result::Result<Option<Value>, Refusal>;

impl Server {
    pub(super) fn new(verbs: Verbs, outbox: Arc<Outbox>, inputs: SyncSender<Input>) -> Self {
        Self {
            verbs,
            outbox,
            inputs,
            devices: Devices::default(),
            jobs: 0,
            starting: None,
            running: None,
            ended: VecDeque::new(),
            leaving: None,
        }
    }

    /// A line came, or the input's end.
    pub(super) fn line(&mut self, line: Line) {
        match line {
            // Whoever writes all requests at once and ends the input still wants the answers.
            Line::End => self.leave(0),
            Line::TooLong => self.answer(&Value::Null, Err::<(), _>(Refusal::too_long())),
            // Blank lines keep a connection alive.
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => {}
            Line::Whole(line) => match message::parse(&line) {
                Ok(request) => self.request(request),
                Err((id, refusal)) => self.answer(&id, Err::<(), _>(refusal)),
            },
        }
    }

    /// The engine has said what it can run on, or cannot.
    pub(super) fn devices(&mut self, outcome: Result<Vec<Device>>) {
        for id in self.devices.found(&outcome) {
            self.introduce(&id, Some(outcome.clone()));
        }
    }

    /// SIGTERM, SIGINT or SIGHUP.
    pub(super) fn signal(&mut self) {
        self.leave(Kind::Terminated.exit_status());
        self.give_up_devices(true);
    }

    /// Nobody reads what is written.
    pub(super) fn output_closed(&mut self) {
        self.leave(UNHEARD_STATUS);
        self.give_up_devices(true);
    }

    /// Whether something goes on that has to be looked at.
    pub(super) fn has_to_look(&self) -> bool {
        self.running.is_some() || self.starting.is_some() || self.devices.is_awaited()
    }

    /// Looks at what goes on.
    pub(super) fn look(&mut self) {
        self.give_up_devices(false);
        if let Some(starting) = self.starting.take_if(|s| Instant::now() >= s.until || !child::in_use(Path::new(&s.order.folder))) {
            let outcome = self.start(starting.order);
            self.answer_where_asked(starting.id.as_ref(), outcome);
        }
        let Some(running) = &mut self.running else { return };
        let look = running.look();
        for notification in &look.news {
            self.tell(notification);
        }
        if let Some((done, status)) = look.done {
            self.running = None;
            if self.ended.len() == MOST_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back(status);
            self.tell(&Notification::Done(Done { left_out: self.outbox.take_left_out(), ..done }));
        }
    }

    /// The exit status, once nothing is left to do.
    pub(super) fn may_leave(&mut self) -> Option<u8> {
        let leaving = self.leaving.as_ref()?;
        if self.running.is_some() || self.devices.is_awaited() {
            return None;
        }
        for id in &leaving.asked {
            self.answer(id, Ok(Value::Null));
        }
        Some(leaving.status)
    }

    fn request(&mut self, request: Request) {
        let Request { id, method, params } = request;
        let outcome = match method.as_str() {
            method::INITIALIZE => self.initialize(id.as_ref(), params),
            method::START => self.take_order(id.as_ref(), params),
            method::STATUS => self.job(params, |_| {}),
            method::CANCEL => self.job(params, Running::stop),
            method::SHUTDOWN => self.shutdown(id.as_ref(), params),
            _ => Err(Refusal::new(ErrorCode::MethodNotFound, "unknown method", format!("one of {}", method::ALL.join(", ")))
                .at(method.chars().take(LONGEST_NAME).collect::<String>())),
        };
        self.answer_where_asked(id.as_ref(), outcome);
    }

    fn initialize(&mut self, id: Option<&Value>, mut params: Params) -> Outcome {
        let said =
            InitializeParams { protocol: params.take("protocol")?, devices: params.take("devices")?, client: params.take("client")? };
        params.finish()?;
        if let Some(version) = said.protocol.filter(|v| *v != PROTOCOL) {
            return Err(Refusal::new(
                ErrorCode::Version,
                format!("version {version} of the protocol is not spoken here, version {PROTOCOL} is"),
                "take the client of the same release as this program",
            )
            .at("protocol"));
        }
        let Some(id) = id else { return Ok(None) };
        if !said.devices.unwrap_or(true) {
            self.introduce(id, None);
            return Ok(None);
        }
        match self.devices.want(id) {
            Next::Answer(outcome) => self.introduce(id, Some(outcome)),
            Next::Wait => {}
            Next::Ask => {
                let inputs = self.inputs.clone();
                std::thread::spawn(move || {
                    let _ = inputs.send(Input::Devices(devices::ask()));
                });
            }
        }
        Ok(None)
    }

    /// Answers `initialize`.
    fn introduce(&self, id: &Value, devices: Option<Result<Vec<Device>>>) {
        let (devices, devices_problem) = match devices {
            None => (None, None),
            Some(Ok(devices)) => (Some(devices), None),
            Some(Err(problem)) => (None, Some(problem)),
        };
        let manifest = (self.verbs.manifest)();
        let name = "opus-dsd".into();
        let result = Initialized { name, version: VERSION.into(), protocol: PROTOCOL, devices, devices_problem, manifest };
        self.answer(id, Ok(result));
    }

    fn take_order(&mut self, id: Option<&Value>, mut params: Params) -> Outcome {
        let said = StartParams {
            verb: params.require("verb")?,
            folder: params.require("folder")?,
            settings: params.take::<Map<String, Value>>("settings")?.unwrap_or_default(),
        };
        params.finish()?;
        if self.leaving.is_some() {
            return Err(Refusal::new(ErrorCode::Leaving, "the server is leaving", "start another one"));
        }
        let occupant = self.running.as_ref().map(Running::folder).or(self.starting.as_ref().map(|s| s.order.folder.as_str()));
        if let Some(folder) = occupant {
            return Err(Refusal::new(ErrorCode::Busy, "a job runs already", "wait for job/done, or send job/cancel").at(folder));
        }
        let arguments = (self.verbs.command_line)(&said.verb, &said.folder, &said.settings)
            .map_err(|problem| Refusal::of(ErrorCode::InvalidParams, problem))?;
        let order = Order { verb: said.verb, folder: said.folder, arguments };
        if child::in_use(Path::new(&order.folder)) {
            self.starting = Some(Starting { id: id.cloned(), order, until: Instant::now() + FOLDER_PATIENCE });
            return Ok(None);
        }
        self.start(order)
    }

    fn start(&mut self, order: Order) -> Outcome {
        if child::in_use(Path::new(&order.folder)) {
            let problem = Problem::input("another job is running in this folder").at(order.folder);
            return Err(Refusal::of(ErrorCode::Problem, problem.hint("wait for it, or stop it where it was started")));
        }
        let running = child::start(self.jobs + 1, order).map_err(|problem| Refusal::of(ErrorCode::Problem, problem))?;
        self.jobs += 1;
        let status = running.status();
        self.running = Some(running);
        result(&status)
    }

    /// The status of a job after something was done to it, where it runs.
    fn job(&mut self, mut params: Params, act: impl FnOnce(&mut Running)) -> Outcome {
        let said = JobParams { job: params.take("job")? };
        params.finish()?;
        if let Some(running) = self.running.as_mut().filter(|r| said.job.is_none_or(|job| job == r.number())) {
            act(running);
            return result(&running.status());
        }
        let found = match said.job {
            None => self.ended.back(),
            Some(job) => self.ended.iter().find(|s| s.job == job),
        };
        match found {
            Some(status) => result(status),
            None => Err(Refusal::new(ErrorCode::NoSuchJob, "there is no such job", "start one with job/start").at("job")),
        }
    }

    fn shutdown(&mut self, id: Option<&Value>, params: Params) -> Outcome {
        params.finish()?;
        self.leave(0);
        self.give_up_devices(true);
        if let Some(leaving) = &mut self.leaving {
            leaving.asked.extend(id.cloned());
        }
        Ok(None)
    }

    /// Stops what runs, and leaves when it has stopped.
    fn leave(&mut self, status: u8) {
        self.leaving.get_or_insert(Leaving { status, asked: Vec::new() });
        if let Some(starting) = self.starting.take() {
            let refusal = Refusal::new(ErrorCode::Leaving, "the server is leaving", "start another one");
            self.answer_where_asked(starting.id.as_ref(), Err(refusal));
        }
        if let Some(running) = &mut self.running {
            running.stop();
        }
    }

    /// Answers those who have waited too long for the devices (`all`: whoever waits).
    fn give_up_devices(&mut self, all: bool) {
        let (overdue, problem) = self.devices.overdue(all);
        for id in overdue {
            self.introduce(&id, Some(Err(problem.clone())));
        }
    }

    fn answer_where_asked(&self, id: Option<&Value>, outcome: Outcome) {
        match (id, outcome) {
            (Some(id), Ok(Some(result))) => self.answer(id, Ok(result)),
            (Some(id), Err(refusal)) => self.answer(id, Err::<(), _>(refusal)),
            _ => {}
        }
    }

    fn answer<T: Serialize>(&self, id: &Value, outcome: std::result::Result<T, Refusal>) {
        self.outbox.push(Weight::Kept, message::answer(id, outcome));
    }

    fn tell(&self, notification: &Notification) {
        let weight = match notification {
            Notification::Progress(_) => Weight::Latest,
            Notification::Log(_) | Notification::Metric(_) => Weight::Loose,
            Notification::Output(_) | Notification::Done(_) => Weight::Kept,
        };
        self.outbox.push(weight, message::notification(notification));
    }
}

/// Most characters of an unknown name that are said back.
const LONGEST_NAME: usize = 100;

fn result(status: &Status) -> Outcome {
    Ok(Some(json!(status)))
}
