//! The server's own ends of stdin and stdout. They are moved away from descriptors 0 and 1, so that nothing that a library or a child prints
//! can come between two messages, and no child can read the client's requests or keep its pipes open.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Takes both: (requests, messages). From now on descriptor 0 has nothing to read, and what is written to descriptor 1 goes to stderr.
///
/// # Errors
/// No descriptor is free, or there is no `/dev/null`.
pub(super) fn take() -> io::Result<(File, File)> {
    let requests = io::stdin().as_fd().try_clone_to_owned()?;
    let messages = io::stdout().as_fd().try_clone_to_owned()?;
    put(&File::open("/dev/null")?.into(), libc::STDIN_FILENO)?;
    put(&io::stderr().as_fd().try_clone_to_owned()?, libc::STDOUT_FILENO)?;
    Ok((File::from(requests), File::from(messages)))
}

fn put(from: &OwnedFd, to: i32) -> io::Result<()> {
    // SAFETY: a plain system call; `to` is one of the standard streams, which nobody owns.
    if unsafe { libc::dup2(from.as_raw_fd(), to) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
