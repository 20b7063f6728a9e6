//! Which machine this is, and whether a process of it is still there.

use std::path::Path;

/// Longest name of a machine that is read, bytes (POSIX allows 255).
const NAME_BYTES: usize = 256;
/// Field of `/proc/PID/stat` that holds the start time, counted from the field after the command's name.
const START_FIELD: usize = 19;

/// The machine's name as the network knows it; empty where it has none.
pub(crate) fn host_name() -> String {
    let mut name = [0u8; NAME_BYTES];
    // SAFETY: the call writes at most the given number of bytes; the last one stays 0.
    let done = unsafe { libc::gethostname(name.as_mut_ptr().cast(), NAME_BYTES - 1) };
    let length = name.iter().position(|b| *b == 0).unwrap_or(0);
    if done == 0 { String::from_utf8_lossy(&name[..length]).into_owned() } else { String::new() }
}

/// Differs between machines, and between two starts of one machine.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|t| t.trim().to_owned()).unwrap_or_default()
}

/// When a process started, clock ticks since the machine did; tells a process from a later one of the same number.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in parentheses and may hold anything.
    stat.rsplit(')').next()?.split_whitespace().nth(START_FIELD)?.parse().ok()
}

/// Whether the process is there that once had this number and this start.
pub(crate) fn is_alive(pid: u32, ticks: u64) -> bool {
    start_ticks(pid) == Some(ticks)
}

/// Name and version of the operating system, for the record.
pub(crate) fn system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map_or("Linux", |n| n.trim_matches('"'));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{name}, kernel {}", kernel.trim())
}

/// The processor's name.
pub(crate) fn processor() -> String {
    cpu_field("model name").unwrap_or_else(|| "unknown processor".into())
}

/// Whether the processor has an instruction set, by the kernel's name for it.
pub(crate) fn has_instructions(flag: &str) -> bool {
    cpu_field("flags").is_some_and(|flags| flags.split_whitespace().any(|f| f == flag))
}

fn cpu_field(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/proc/cpuinfo")).ok()?;
    text.lines().find_map(|l| l.strip_prefix(name)?.split_once(':').map(|(_, v)| v.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_no_earlier_one_of_its_number() {
        let pid = std::process::id();
        let ticks = start_ticks(pid).unwrap();
        assert!(ticks > 0 && is_alive(pid, ticks) && !is_alive(pid, ticks + 1));
        assert_eq!(start_ticks(u32::MAX), None);
        assert!(!boot_id().is_empty());
    }
}
