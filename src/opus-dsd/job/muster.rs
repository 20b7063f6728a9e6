//! The processes of other ranks that a cluster's launcher started: rank 0's worker calls them by a file in the job folder, they come by TCP,
//! and each brings an engine of its own. Lines of JSON go both ways: the engine's commands and events.

mod watch;

use self::watch::Watch;
use super::atomic;
use super::stages::context::Context;
use crate::BUILD_ID;
use crate::machine::identity;
use crate::machine::launch::Launch;
use contract::{Command, Event, Problem, Result};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// The file by which rank 0 calls the others, in the job folder; readable by the user alone.
pub(crate) const CALL_FILE: &str = "launch.json";
/// Launchers start processes within seconds; a machine that has to be booted takes minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// Time in which a connection must say who it is, and is answered.
pub(crate) const GREETING: Duration = Duration::from_secs(10);
/// A longer first line is not one of ours, bytes.
const GREETING_BYTES: u64 = 4096;
/// Between two looks for arrivals.
const PAUSE: Duration = Duration::from_millis(100);
/// A machine that vanishes is noticed after idle + probes · interval, seconds: within 10.
const KEEPALIVE: [(libc::c_int, libc::c_int); 3] = [(libc::TCP_KEEPIDLE, 3), (libc::TCP_KEEPINTVL, 2), (libc::TCP_KEEPCNT, 3)];
/// Where ranks of one machine meet.
const LOOPBACK: &str = "127.0.0.1";
/// The answer to a greeting.
pub(crate) const WELCOME: &str = "welcome";

/// What rank 0 tells the others in [`CALL_FILE`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// [`Launch::key`].
    pub(crate) key: String,
    /// Rank 0's machine.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Known only to who may read the file.
    pub(crate) token: String,
}

/// Who comes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Greeting {
    pub(crate) token: String,
    pub(crate) rank: usize,
    pub(crate) host: String,
    pub(crate) build_id: String,
}

/// Another rank's process.
pub(crate) struct Member {
    rank: usize,
    host: String,
    socket: Arc<TcpStream>,
    events: Receiver<std::result::Result<Event, String>>,
}

/// The others, as they come.
pub(crate) struct Muster {
    size: usize,
    by: &'static str,
    file: PathBuf,
    arrivals: Receiver<Member>,
    come: Vec<Member>,
    /// Of all that have come, for the farewell.
    sockets: Vec<Arc<TcpStream>>,
    watch: Watch,
}

impl Muster {
    /// Calls the other ranks into a job's folder. `ends` is told of one that has come and is gone before they are gathered, and ends the job.
    ///
    /// # Errors
    /// No port is to be had, or the folder cannot be written.
    pub(crate) fn call(folder: &Path, launch: &Launch, ends: impl Fn(Problem) + Send + Sync + 'static) -> Result<Self> {
        let unheard = |e: std::io::Error| {
            Problem::failed(format!("cannot listen for the other processes: {e}"))
                .at(format!("rank 0 of {}", launch.size))
                .hint("give `--ranks 1` to train without other processes")
        };
        // Both kinds of addresses where the machine has them.
        let listener =
            TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))).map_err(unheard)?;
        let port = listener.local_addr().map_err(unheard)?.port();
        let call = Call { key: launch.key.clone(), host: identity::host_name(), port, token: token().map_err(unheard)? };
        let file = folder.join(CALL_FILE);
        atomic::write_private_json(&file, &call)?;
        let (sender, arrivals) = channel();
        let (token, size) = (call.token, launch.size);
        let watch = Watch::new(ends);
        let watches = watch.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (token, sender, watch) = (token.clone(), sender.clone(), watches.clone());
                // Somebody who says nothing must not keep the others waiting.
                std::thread::spawn(move || admit(socket, &token, size, &sender, &watch));
            }
        });
        Ok(Self { size, by: launch.by, file, arrivals, come: Vec::new(), sockets: Vec::new(), watch })
    }

    /// Waits until all have come; they are given in order of rank, and from then on their own connections tell of their end.
    ///
    /// # Errors
    /// Some do not come.
    pub(crate) fn gather(&mut self, context: &mut Context<'_>) -> Result<Vec<Member>> {
        let until = Instant::now() + PATIENCE;
        let mut said = false;
        loop {
            self.admit_all();
            let missing = self.size - 1 - self.come.len();
            if missing == 0 {
                let mut members = std::mem::take(&mut self.come);
                members.sort_by_key(|member| member.rank);
                self.watch.end();
                context.say(&format!("{} processes train together, started by {}", self.size, self.by));
                return Ok(members);
            }
            if !said {
                context.say(&format!("waiting for {missing} of {} processes that {} started", self.size, self.by));
                said = true;
            }
            if Instant::now() >= until {
                return Err(Problem::failed(format!("{missing} of {} processes did not come within {} s", self.size, PATIENCE.as_secs()))
                    .at(self.by)
                    .hint("look at the files rank*.log in the job folder; all machines must reach each other by TCP; `--ranks 1` trains without other processes"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The address of this machine at which the members reach it: of one on another machine, where there is one.
    pub(crate) fn address_for(&self, members: &[Member]) -> String {
        let elsewhere = members.iter().find(|member| !member.is_here());
        let address = elsewhere.and_then(|member| member.socket.local_addr().ok()).map(|address| plain(address.ip()).to_string());
        address.unwrap_or_else(|| LOOPBACK.into())
    }

    /// Nothing is left to be trained: the job does not need the others any more.
    pub(crate) fn excuse(&self) {
        self.watch.end();
    }

    /// The job has ended well: the others may leave.
    pub(crate) fn farewell(mut self) {
        self.watch.end();
        self.admit_all();
        for socket in &self.sockets {
            // One that is gone has left already.
            let _ = send(socket, &Command::Shutdown);
        }
    }

    fn admit_all(&mut self) {
        while let Ok(member) = self.arrivals.try_recv() {
            self.sockets.push(Arc::clone(&member.socket));
            // One that comes again has lost its first connection.
            self.come.retain(|other| other.rank != member.rank);
            self.come.push(member);
        }
    }
}

impl Drop for Muster {
    fn drop(&mut self) {
        self.watch.end();
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Member {
    /// For people.
    pub(crate) fn name(&self) -> String {
        format!("rank {} on {}", self.rank, self.host)
    }

    /// Whether it runs on this machine.
    pub(crate) fn is_here(&self) -> bool {
        self.host == identity::host_name()
    }

    /// Has its engine do something.
    pub(crate) fn send(&self, command: &Command) -> Result<()> {
        send(&self.socket, command).map_err(|_| gone())
    }

    /// An event that is there already.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn next(&self) -> Result<Option<Event>> {
        match self.events.try_recv() {
            Ok(Ok(event)) => Ok(Some(event)),
            Ok(Err(what)) => Err(Problem::failed(format!("its message was not understood: {what}"))),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(gone()),
        }
    }
}

fn gone() -> Problem {
    Problem::failed("its process or machine is gone")
        .hint("its log in the job folder and the queue system's may say why; start the same job again, it goes on from the last checkpoint")
}

fn send(mut socket: &TcpStream, command: &Command) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    socket.write_all(&line)
}

/// Lets somebody in who knows the token.
fn admit(socket: TcpStream, token: &str, size: usize, arrivals: &Sender<Member>, watch: &Watch) {
    let Some((greeting, reader)) = greeted(&socket).filter(|(greeting, _)| greeting.token == token) else { return };
    let answer = if greeting.build_id != BUILD_ID {
        format!("this process is of another build (`{}`) than rank 0 (`{BUILD_ID}`)", greeting.build_id)
    } else if greeting.rank == 0 || greeting.rank >= size {
        format!("there is no rank {} besides rank 0 among {size}", greeting.rank)
    } else {
        WELCOME.to_owned()
    };
    let admitted = answer == WELCOME;
    if (&socket).write_all(format!("{answer}\n").as_bytes()).is_err() || !admitted {
        return;
    }
    let (sender, events) = channel();
    let member = Member { rank: greeting.rank, host: greeting.host, socket: Arc::new(socket), events };
    let (rank, name) = (member.rank, member.name());
    let arrival = watch.came(rank);
    if arrivals.send(member).is_err() {
        return;
    }
    for line in reader.lines().map_while(std::result::Result::ok) {
        if sender.send(serde_json::from_str(&line).map_err(|e| format!("{e}: {line}"))).is_err() {
            break;
        }
    }
    // Whoever asks for its events hears of the end at once.
    drop(sender);
    watch.went(rank, name, arrival);
}

/// The first line of a connection, and what follows it.
fn greeted(socket: &TcpStream) -> Option<(Greeting, BufReader<TcpStream>)> {
    keep_alive(socket);
    socket.set_read_timeout(Some(GREETING)).ok()?;
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let mut line = String::new();
    (&mut reader).take(GREETING_BYTES).read_line(&mut line).ok()?;
    let greeting = serde_json::from_str(&line).ok()?;
    socket.set_read_timeout(None).ok()?;
    Some((greeting, reader))
}

/// Has the kernel notice a machine that vanished without a word.
pub(crate) fn keep_alive(socket: &TcpStream) {
    let set = |level: libc::c_int, option: libc::c_int, value: libc::c_int| {
        // SAFETY: `value` outlives the call. Where an option is not known, a vanished machine is noticed later.
        unsafe {
            let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
            libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size);
        }
    };
    set(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    for (option, seconds) in KEEPALIVE {
        set(libc::IPPROTO_TCP, option, seconds);
    }
}

/// IPv4 addresses as such, also where they come through an IPv6 socket.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn token() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn launch() -> Launch {
        Launch { rank: 0, size: 3, local: 0, here: 3, by: "srun", key: "7.0".into(), first_host: None }
    }

    fn come(call: &Call, change: impl FnOnce(&mut Greeting)) -> (TcpStream, String) {
        let mut greeting = Greeting { token: call.token.clone(), rank: 1, host: identity::host_name(), build_id: BUILD_ID.into() };
        change(&mut greeting);
        let mut socket = TcpStream::connect((LOOPBACK, call.port)).unwrap();
        socket.write_all((serde_json::to_string(&greeting).unwrap() + "\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(socket.try_clone().unwrap()).read_line(&mut answer).unwrap();
        (socket, answer.trim().to_owned())
    }

    #[test]
    fn only_who_belongs_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut muster = Muster::call(folder.path(), &launch(), |problem| panic!("{problem}")).unwrap();
        let file = folder.path().join(CALL_FILE);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let call: Call = atomic::read_json(&file).unwrap().unwrap();
        assert_eq!(call.key, "7.0");
        assert_eq!(come(&call, |g| g.token = "guess".into()).1, "");
        assert!(come(&call, |g| g.build_id = "other".into()).1.contains("another build"));
        assert!(come(&call, |g| g.rank = 3).1.contains("no rank 3"));
        let (mut socket, answer) = come(&call, |_| {});
        assert_eq!(answer, WELCOME);
        while muster.come.is_empty() {
            muster.admit_all();
        }
        assert_eq!((muster.come.len(), muster.address_for(&muster.come).as_str()), (1, LOOPBACK));
        socket.write_all(b"{\"event\":\"stopped\"}\n").unwrap();
        let next = |muster: &Muster| loop {
            match muster.come[0].next() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                other => break other,
            }
        };
        assert_eq!(next(&muster).unwrap(), Some(Event::Stopped));
        muster.excuse();
        drop(socket);
        assert!(next(&muster).unwrap_err().what.contains("gone"));
        muster.farewell();
        assert!(!file.exists());
    }
}
