//! The process of another rank than 0, as a cluster's launcher started it: it finds rank 0's worker, runs an engine for it, and leaves with the
//! job. It writes nothing into the job folder but its own log.

use super::engine_process::Engine;
use super::muster::{CALL_FILE, Call, GREETING, Greeting, PATIENCE, WELCOME, keep_alive};
use super::order::{Job, Order};
use super::{atomic, presence};
use crate::BUILD_ID;
use crate::machine::identity;
use crate::machine::launch::Launch;
use crate::settings::devices;
use crate::settings::said::TrainSaid;
use contract::{Command, Event, Problem, Result, TrainSpec};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

/// Between two looks for rank 0; each is a call or two on a shared disk.
const LOOK: Duration = Duration::from_millis(500);
/// How long the engine is listened to before rank 0 is.
const TURN: Duration = Duration::from_millis(50);
/// Time that rank 0 has to end the job after a failure here: some launchers end all processes when one ends badly, and rank 0 is to say why.
const LAST_WORDS: Duration = Duration::from_secs(8);
/// Time that rank 0's guard has, after that, to write down how the job ended.
const RECORDED: Duration = Duration::from_secs(2);
/// Processes of one launch start within this time of each other, clocks of the machines included.
const SAME_LAUNCH: Duration = Duration::from_secs(30);

/// What became of rank 0's job.
enum End {
    /// It ended well.
    Well,
    /// It is over, for a reason that rank 0 has said.
    Over(u8),
}

/// Runs this rank's part of a job and returns the exit status.
pub(crate) fn run(job: &Job, launch: &Launch) -> u8 {
    let Order::Train(said) = &job.order else { return 0 };
    // The queue system's wish to stop reaches rank 0 as well, which leaves a checkpoint first; then this process ends with it.
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: a plain setting of this process.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let came = presence::unix_seconds(SystemTime::now());
    let mut log = Log { folder: job.folder.clone(), rank: launch.rank, file: None };
    let followed = follow(&job.folder, said, launch, came, &mut log);
    if !matches!(followed, Ok(End::Well)) {
        // A launcher may signal rank 0 as soon as this process ends badly; what it would say then is not why.
        let until = Instant::now() + RECORDED;
        while ended(&job.folder, came).is_none() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }
    match followed {
        Ok(End::Well) => {
            log.say("the job has ended well");
            0
        }
        Ok(End::Over(status)) => {
            log.say("the job has ended; rank 0's run.out and run.err say why");
            status
        }
        Err(problem) => {
            log.say(&format!("error: {problem}"));
            problem.kind.exit_status()
        }
    }
}

/// Lines of this rank, in a file that is made when the folder is there.
struct Log {
    folder: std::path::PathBuf,
    rank: usize,
    file: Option<File>,
}

impl Log {
    fn say(&mut self, line: &str) {
        if self.file.is_none() {
            self.file = OpenOptions::new().create(true).append(true).open(self.folder.join(format!("rank{:03}.log", self.rank))).ok();
        }
        let written = self.file.as_mut().map(|file| writeln!(file, "{line}"));
        if !matches!(written, Some(Ok(()))) {
            // The launcher's stream, where the folder is not to be written.
            eprintln!("rank {}: {line}", self.rank);
        }
    }
}

fn follow(folder: &Path, said: &TrainSaid, launch: &Launch, came: f64, log: &mut Log) -> Result<End> {
    let Some(socket) = find_first(folder, launch, came)? else { return Ok(ended(folder, came).unwrap_or(End::Over(1))) };
    log.say(&format!("rank {} of {} on {}, started by {}", launch.rank, launch.size, identity::host_name(), launch.by));
    let commands = hear(&socket)?;
    let mut engine: Option<Engine> = None;
    loop {
        match commands.recv_timeout(TURN) {
            Ok(Command::Train(spec)) => match begin(said, launch, *spec) {
                Ok((started, device)) => {
                    log.say(&format!("trains on {device}"));
                    engine = Some(started);
                }
                Err(problem) => return Err(last_words(&socket, &commands, problem)),
            },
            Ok(Command::Shutdown) => return Ok(End::Well),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(End::Over(1)),
        }
        while let Some(running) = &mut engine {
            match running.next(Duration::ZERO) {
                Ok(None) => break,
                Ok(Some(Event::Failed { problem })) | Err(problem) => return Err(last_words(&socket, &commands, problem)),
                Ok(Some(Event::Trained(_))) => {
                    log.say("training has ended");
                    // Its device is free from here on; the process stays until the job ends, which some launchers want.
                    engine = None;
                }
                Ok(Some(Event::Warning { message })) => {
                    log.say(&message);
                    tell_first(&socket, &Event::Warning { message });
                }
                // Rank 0 says the rest.
                Ok(Some(_)) => {}
            }
        }
    }
}

/// Starts an engine on this rank's device and has it train.
fn begin(said: &TrainSaid, launch: &Launch, spec: TrainSpec) -> Result<(Engine, String)> {
    let mut engine = Engine::start(spec.threads, |_| {})?;
    engine.greet()?;
    let device = devices::launched_device(said, launch.local, &engine.devices)?;
    engine.send(&Command::Train(Box::new(TrainSpec { device: device.id.clone(), ..spec })))?;
    Ok((engine, format!("{} ({})", device.id, device.name)))
}

fn tell_first(mut socket: &TcpStream, event: &Event) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        // Rank 0 may be gone already; that shows where its commands are heard.
        let _ = socket.write_all(&line);
    }
}

/// Tells rank 0 why this rank fails, and waits until it has ended the job.
fn last_words(socket: &TcpStream, commands: &Receiver<Command>, problem: Problem) -> Problem {
    tell_first(socket, &Event::Failed { problem: problem.clone() });
    let until = Instant::now() + LAST_WORDS;
    while Instant::now() < until && !matches!(commands.recv_timeout(TURN), Err(RecvTimeoutError::Disconnected)) {}
    problem
}

/// Rank 0's commands until it is gone.
fn hear(socket: &TcpStream) -> Result<Receiver<Command>> {
    let reader = socket.try_clone().map_err(|e| Problem::failed(format!("the connection to rank 0 cannot be doubled: {e}")))?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(std::result::Result::ok) {
            let Ok(command) = serde_json::from_str(&line) else { break };
            if sender.send(command).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// Waits for rank 0's call and follows it; `None`: its job is over already.
fn find_first(folder: &Path, launch: &Launch, came: f64) -> Result<Option<TcpStream>> {
    let until = Instant::now() + PATIENCE;
    let mut last = format!("no {CALL_FILE} in {}", folder.display());
    while Instant::now() < until {
        // Another launch's file may be left over from a job that was killed.
        if let Ok(Some(call)) = atomic::read_json::<Call>(&folder.join(CALL_FILE))
            && call.key == launch.key
        {
            match connect(&call, launch) {
                Ok(socket) => return Ok(Some(socket)),
                Err(Refusal::Unreached(what)) => last = what,
                Err(Refusal::Refused(what)) => return Err(Problem::failed(what).at("rank 0")),
            }
        }
        if ended(folder, came).is_some() {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
    Err(Problem::failed(format!("rank 0 was not found within {} s: {last}", PATIENCE.as_secs()))
        .at(launch.by)
        .hint("all processes need the same job folder and must reach each other by TCP; `--ranks 1` trains without other processes"))
}

enum Refusal {
    Unreached(String),
    Refused(String),
}

fn connect(call: &Call, launch: &Launch) -> std::result::Result<TcpStream, Refusal> {
    let own = identity::host_name();
    let near = (call.host == own).then(|| "localhost".to_owned());
    let hosts = near.into_iter().chain(launch.first_host.clone()).chain([call.host.clone()]);
    let mut why = String::new();
    for host in hosts {
        match TcpStream::connect((host.as_str(), call.port)) {
            Ok(socket) => return greet(socket, call, launch, own),
            Err(e) => why = format!("{host}:{}: {e}", call.port),
        }
    }
    Err(Refusal::Unreached(why))
}

fn greet(socket: TcpStream, call: &Call, launch: &Launch, host: String) -> std::result::Result<TcpStream, Refusal> {
    let unreached = |e: std::io::Error| Refusal::Unreached(format!("rank 0 does not answer: {e}"));
    keep_alive(&socket);
    socket.set_read_timeout(Some(GREETING)).map_err(unreached)?;
    let greeting = Greeting { token: call.token.clone(), rank: launch.rank, host, build_id: BUILD_ID.into() };
    let mut line = serde_json::to_vec(&greeting).map_err(|e| unreached(e.into()))?;
    line.push(b'\n');
    (&socket).write_all(&line).map_err(unreached)?;
    // Byte after byte: what follows belongs to whoever reads the commands.
    let mut answer = Vec::new();
    for byte in std::io::Read::bytes(&socket) {
        match byte.map_err(unreached)? {
            b'\n' => break,
            byte => answer.push(byte),
        }
    }
    socket.set_read_timeout(None).map_err(unreached)?;
    match String::from_utf8_lossy(&answer).as_ref() {
        WELCOME => Ok(socket),
        // Closed without a word: somebody else has the port now.
        "" => Err(Refusal::Unreached("rank 0 does not answer".into())),
        refusal => Err(Refusal::Refused(refusal.to_owned())),
    }
}

/// How rank 0's job ended, where one has that began about when this process `came`, Unix seconds.
fn ended(folder: &Path, came: f64) -> Option<End> {
    let (record, _) = presence::read(folder)?;
    record.ended?;
    if record.began + SAME_LAUNCH.as_secs_f64() < came {
        return None;
    }
    Some(match record.exit_status {
        Some(0) => End::Well,
        status => End::Over(status.unwrap_or(1)),
    })
}
