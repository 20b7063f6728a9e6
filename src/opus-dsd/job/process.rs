//! What std lacks about child processes: parent-death signal, ignored signals, plain words for an end.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

/// Makes a child that dies with its parent's thread, is out of reach of the terminal's signals and leads its own process group.
///
/// The ignored signals are inherited over exec: only the guard hears SIGTERM, SIGINT and SIGHUP and passes the wish on in order; a queue
/// system that signals every process of a job must not end the engine before its checkpoint. SIGXFSZ is ignored so that a file size
/// limit is a write error with a path instead of a silent death.
pub(crate) fn tie_to_parent(command: &mut Command, own_group: bool) {
    let parent = std::process::id();
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(move || {
            die_with(parent, libc::SIGKILL)?;
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGXFSZ] {
                libc::signal(signal, libc::SIG_IGN);
            }
            if own_group && libc::setpgid(0, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Makes a child that is asked to stop (SIGTERM) when its parent's thread ends, and leads its own process group, so that a terminal's
/// interrupt reaches it only through its parent.
pub(crate) fn stop_with_parent(command: &mut Command) {
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(move || die_with(parent, libc::SIGTERM));
    }
}

/// Between fork and exec: the kernel sends this process `signal` when its parent's thread ends.
fn die_with(parent: u32, signal: i32) -> io::Result<()> {
    // SAFETY: both calls are async-signal-safe.
    let (set, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, signal), libc::getppid()) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    // The parent may have died before the call above.
    if u32::try_from(now).unwrap_or(0) != parent {
        return Err(io::Error::other("the parent process is gone"));
    }
    Ok(())
}

/// Ends a whole process group that this process started.
pub(crate) fn kill_group(leader: u32) {
    if let Ok(leader) = i32::try_from(leader) {
        // SAFETY: plain system call; `leader` is our own child, not yet waited for.
        unsafe { libc::killpg(leader, libc::SIGKILL) };
    }
}

/// As [`plain_cause`], of an own child that ended and that nobody has waited for; it is not waited for here either.
pub(crate) fn cause_of_child(pid: u32) -> (String, &'static str) {
    // SAFETY: `info` is plain data that the call fills.
    let (code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT);
        (info.si_code, info.si_status())
    };
    // The encoding of wait(2): the exit status in the second byte, a signal in the first.
    plain_cause(ExitStatus::from_raw(if code == libc::CLD_EXITED { status << 8 } else { status }))
}

/// How a process ended, in plain words, where it did not end by itself.
pub(crate) fn plain_cause(status: ExitStatus) -> (String, &'static str) {
    match status.signal() {
        Some(libc::SIGKILL) => (
            "was killed (SIGKILL), most often because the machine or the queue's limit ran out of memory".into(),
            "give the job more memory, or lower `--micro-batch` and `--threads`, then start the same job again; it goes on from the last checkpoint",
        ),
        Some(signal @ (libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGABRT)) => (
            format!("crashed ({})", name(signal)),
            "start the same job again; it goes on from the last checkpoint; if it comes back, report it with run.out and run.err",
        ),
        Some(signal) => (format!("was ended by signal {signal}"), "start the same job again; it goes on from the last checkpoint"),
        None => (
            format!("ended unexpectedly with status {}", status.code().unwrap_or(-1)),
            "the lines above may say why; start the same job again, and report it with run.out and run.err if it comes back",
        ),
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS: a file that was mapped became shorter, or its disk is gone",
        libc::SIGILL => "SIGILL: this processor lacks an instruction",
        libc::SIGFPE => "SIGFPE",
        _ => "SIGABRT",
    }
}
