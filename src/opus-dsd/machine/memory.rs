//! Host memory: what there is, what is free, and what a queue system or container allows.

use super::group::{self, Place};
use super::limits;

/// Bytes of host memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    /// What programs can get now without swapping.
    pub(crate) available: u64,
    /// What the control group of this process may use, where it is limited (SLURM and containers do).
    pub(crate) allowed: Option<u64>,
    /// The most that this process, and each that it starts, may map (`ulimit -v`).
    pub(crate) addresses: Option<u64>,
}

impl Memory {
    /// What a new job can have.
    pub(crate) fn usable(&self) -> u64 {
        self.allowed.map_or(self.available, |allowed| allowed.min(self.available))
    }

    /// What each of so many processes can have.
    pub(crate) fn of_each(&self, processes: usize) -> u64 {
        let part = self.usable() / processes.max(1) as u64;
        self.addresses.map_or(part, |addresses| addresses.min(part))
    }
}

/// Reads it from `/proc` and `/sys`.
pub(crate) fn read() -> Memory {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = field(&text, "MemTotal:");
    Memory {
        total,
        available: field(&text, "MemAvailable:"),
        allowed: allowed().filter(|a| *a < total),
        addresses: limits::soft(libc::RLIMIT_AS),
    }
}

fn field(text: &str, name: &str) -> u64 {
    let kibibytes = text.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// The smallest limit on the way up from this process' control group, of either version.
fn allowed() -> Option<u64> {
    group::of_this_process().lines().filter_map(|line| limit_of(line, |path| std::fs::read_to_string(path).ok())).min()
}

/// The limit that a line of `/proc/self/cgroup` leads to; `read` gives a file's content.
fn limit_of(line: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let Place { root, mut path, unified } = group::place(line, "memory")?;
    let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
    let mut smallest = None;
    loop {
        // `max` means that there is none.
        if let Some(limit) = read(&format!("{root}{path}/{file}")).and_then(|t| t.trim().parse::<u64>().ok()) {
            smallest = Some(smallest.map_or(limit, |s: u64| s.min(limit)));
        }
        match path.rfind('/') {
            Some(end) => path = &path[..end],
            None => return smallest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory() {
        let memory = read();
        assert!(memory.total >= memory.available && memory.usable() > 0);
    }

    #[test]
    fn addresses_are_those_of_each_process() {
        let memory = Memory { total: 64, available: 32, allowed: Some(24), addresses: Some(10) };
        assert_eq!((memory.usable(), memory.of_each(1), memory.of_each(4)), (24, 10, 6));
    }

    #[test]
    fn the_tightest_group_counts() {
        let files = |path: &str| match path {
            "/sys/fs/cgroup/system.slice/job_7/step_0/memory.max" => Some("max\n".to_owned()),
            "/sys/fs/cgroup/system.slice/job_7/memory.max" => Some("4096\n".into()),
            "/sys/fs/cgroup/system.slice/memory.max" => Some("8192\n".into()),
            "/sys/fs/cgroup/memory/slurm/memory.limit_in_bytes" => Some("512\n".into()),
            _ => None,
        };
        assert_eq!(limit_of("0::/system.slice/job_7/step_0", files), Some(4096));
        assert_eq!(limit_of("9:memory:/slurm", files), Some(512));
        assert_eq!(limit_of("3:cpuset:/slurm", files), None);
    }
}
