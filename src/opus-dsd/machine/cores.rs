//! Processors, and how processes of one launch divide them.

use super::group::{self, Place};

/// Those of the machine.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Processors as this process sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// Those that this process is bound to.
    bound: usize,
    /// The same, or fewer where a control group has a quota.
    allowed: usize,
    /// Those of the control group that it shares with others, else of the machine.
    all: usize,
    /// Those that SLURM gave the job on this machine.
    allotted: Option<usize>,
}

impl Cores {
    /// Of this process.
    pub(crate) fn read() -> Self {
        let allowed = std::thread::available_parallelism().map_or(1, usize::from);
        let bound = affinity().unwrap_or(allowed);
        let all = of_group().or_else(|| counted(ONLINE)).unwrap_or(bound);
        let allotted = std::env::var("SLURM_CPUS_ON_NODE").ok().and_then(|text| text.trim().parse().ok());
        Self { bound, allowed, all, allotted }
    }

    /// Those that a process by itself may use.
    pub(crate) fn alone(self) -> usize {
        self.allowed
    }

    /// Those that each of so many processes of a launch on this machine may use: what this one is bound to where the launcher divided
    /// them, else its part of what they share.
    pub(crate) fn each_of(self, processes: usize) -> usize {
        self.bound.min(self.shared() / processes.max(1)).max(1)
    }

    /// Those that one of them may use while the others of this machine stand by: all that they share, within what this one is bound to.
    pub(crate) fn of_all(self) -> usize {
        self.bound.min(self.shared()).max(1)
    }

    /// Those of all processes of a launch on this machine.
    fn shared(self) -> usize {
        // A quota is one for all of them.
        let shared = if self.allowed < self.bound { self.allowed } else { self.all };
        self.allotted.map_or(shared, |allotted| allotted.min(shared))
    }
}

/// How many processors this process is bound to; `None`: the kernel does not say.
fn affinity() -> Option<usize> {
    // SAFETY: the set is plain bits, is written by the call and outlives it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let known = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) == 0;
        known.then(|| usize::try_from(libc::CPU_COUNT(&set)).unwrap_or(0)).filter(|&number| number > 0)
    }
}

/// How many processors this process' control group has, of either version.
fn of_group() -> Option<usize> {
    group::of_this_process().lines().filter_map(set_of).find_map(|file| counted(&file))
}

/// The file that says the processors of the group in a line of `/proc/self/cgroup`.
fn set_of(line: &str) -> Option<String> {
    let Place { root, path, unified } = group::place(line, "cpuset")?;
    Some(format!("{root}{path}/{}", if unified { "cpuset.cpus.effective" } else { "cpuset.effective_cpus" }))
}

/// How many processors a list such as `0-3,8` in a file has.
fn counted(file: &str) -> Option<usize> {
    number_in(std::fs::read_to_string(file).ok()?.trim())
}

fn number_in(list: &str) -> Option<usize> {
    let of = |range: &str| -> Option<usize> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        (last.parse::<usize>().ok()? + 1).checked_sub(first.parse().ok()?)
    };
    list.split(',').map(of).sum::<Option<usize>>().filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_a_machine_divide_its_processors_once() {
        let free = Cores { bound: 64, allowed: 64, all: 64, allotted: None };
        assert_eq!((free.alone(), free.each_of(1), free.each_of(4), free.each_of(100)), (64, 64, 16, 1));
        // Bound by the launcher: `srun --cpus-per-task=6`, `mpirun --map-by slot:PE=6`.
        assert_eq!(Cores { bound: 6, allowed: 6, ..free }.each_of(4), 6);
        // Bound to a socket that four of eight share.
        assert_eq!(Cores { bound: 32, allowed: 32, ..free }.each_of(8), 8);
        // A part of the machine for the job, nobody bound by himself.
        assert_eq!(Cores { bound: 16, allowed: 16, allotted: Some(16), ..free }.each_of(4), 4);
        // A part of 24 for the job, by a control group or without one.
        assert_eq!(Cores { bound: 24, allowed: 24, all: 24, allotted: None }.each_of(4), 6);
        // A container with a quota.
        assert_eq!(Cores { allowed: 8, ..free }.each_of(4), 2);
        // More processes than cores.
        assert_eq!(Cores { bound: 2, allowed: 2, all: 2, allotted: None }.each_of(4), 1);
        let here = Cores::read();
        assert!(here.alone() >= 1 && here.all >= 1, "{here:?}");
    }

    #[test]
    fn one_process_takes_the_cores_of_those_that_stand_by() {
        let free = Cores { bound: 64, allowed: 64, all: 64, allotted: None };
        assert_eq!(free.of_all(), 64);
        // What the launcher bound it to is all that it can use: to its own cores, to a socket.
        assert_eq!([6, 32].map(|bound| Cores { bound, allowed: bound, ..free }.of_all()), [6, 32]);
        // The job has a part of the machine, nobody is held to it.
        assert_eq!(Cores { allotted: Some(16), ..free }.of_all(), 16);
        // A quota of eight for all.
        assert_eq!(Cores { allowed: 8, ..free }.of_all(), 8);
        let here = Cores::read();
        assert!((1..=here.bound).contains(&here.of_all()), "{here:?}");
    }

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!([number_in("0-3,8,10-11"), number_in("5"), number_in(""), number_in("3-1")], [Some(7), Some(1), None, None]);
        assert_eq!(set_of("0::/job_7/step_0").unwrap(), "/sys/fs/cgroup/job_7/step_0/cpuset.cpus.effective");
        assert_eq!(set_of("4:cpuset,cpu:/slurm").unwrap(), "/sys/fs/cgroup/cpuset/slurm/cpuset.effective_cpus");
        assert_eq!(set_of("1:name=systemd:/"), None);
    }
}
