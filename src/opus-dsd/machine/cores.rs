//! Processors, and how processes of one launch divide them.

/// Whose processors are asked for by process number: its own, and those of the system or container.
const THIS: libc::pid_t = 0;
const FIRST: libc::pid_t = 1;

/// Processors as this process sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// Those that this process is bound to.
    bound: usize,
    /// The same, or fewer where a control group has a quota.
    allowed: usize,
    /// Those of the machine or container.
    all: usize,
    /// Those that SLURM gave the job on this machine.
    allotted: Option<usize>,
}

impl Cores {
    /// Of this process.
    pub(crate) fn read() -> Self {
        let allowed = std::thread::available_parallelism().map_or(1, usize::from);
        let bound = affinity(THIS).unwrap_or(allowed);
        let all = affinity(FIRST).unwrap_or(bound);
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
        // A quota is one for all of them.
        let shared = if self.allowed < self.bound { self.allowed } else { self.all };
        let shared = self.allotted.map_or(shared, |allotted| allotted.min(shared));
        self.bound.min(shared / processes.max(1)).max(1)
    }
}

/// How many processors a process is bound to; `None`: the kernel does not say.
fn affinity(process: libc::pid_t) -> Option<usize> {
    // SAFETY: the set is plain bits, is written by the call and outlives it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let known = libc::sched_getaffinity(process, size_of::<libc::cpu_set_t>(), &raw mut set) == 0;
        known.then(|| usize::try_from(libc::CPU_COUNT(&set)).unwrap_or(0)).filter(|&number| number > 0)
    }
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
        // A container with a quota.
        assert_eq!(Cores { allowed: 8, ..free }.each_of(4), 2);
        let here = Cores::read();
        assert!(here.alone() >= 1 && here.each_of(1) <= here.bound);
    }
}
