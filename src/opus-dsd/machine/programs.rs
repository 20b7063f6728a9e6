//! Programs of hosts on the search path.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time that a program has to tell its version; Python suites on shared disks are slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a program is, by the search path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |p: &PathBuf| p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(is_program)
}

/// First line of what a program prints; `None` where it fails or takes too long.
pub(crate) fn first_line(program: &PathBuf, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
    let output = child.wait_with_output().ok().filter(|o| o.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::trim).find(|l| !l.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_asked() {
        let shell = find("sh").unwrap();
        assert_eq!(first_line(&shell, &["-c", "echo; echo one; echo two"]).as_deref(), Some("one"));
        assert_eq!(first_line(&shell, &["-c", "exit 3"]), None);
        assert_eq!(find("no-such-program-of-that-name"), None);
    }
}
