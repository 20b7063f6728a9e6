//! Limits that a shell or a queue system puts on processes.

/// A limit that matters, as `ulimit` shows it.
pub(crate) struct Limit {
    /// For people.
    pub(crate) name: &'static str,
    /// How `ulimit` is asked for it.
    pub(crate) option: &'static str,
    /// `None` means unlimited.
    pub(crate) value: Option<u64>,
    /// Below this value a job can fail.
    pub(crate) needed: u64,
    /// Whether the value is bytes.
    pub(crate) bytes: bool,
    /// What goes wrong below.
    pub(crate) consequence: &'static str,
}

const GIB: u64 = 1 << 30;

/// All limits that matter.
pub(crate) fn read() -> Vec<Limit> {
    let limit =
        |name, option, resource, needed, bytes, consequence| Limit { name, option, value: soft(resource), needed, bytes, consequence };
    vec![
        // A few dozen files are open at a time, and every library and thread pool takes some.
        limit("open files", "-n", libc::RLIMIT_NOFILE, 512, false, "image stacks cannot be opened beside the libraries"),
        // libtorch with CUDA maps tens of gigabytes of addresses that are never filled.
        limit(
            "virtual memory",
            "-v",
            libc::RLIMIT_AS,
            64 * GIB,
            true,
            "libtorch cannot map its libraries; limit the memory by the queue system instead",
        ),
        // Page-locked buffers speed copies to the GPU up; without them copies are slower, nothing fails.
        limit("locked memory", "-l", libc::RLIMIT_MEMLOCK, 64 << 10, true, "copies to a GPU are slower"),
        limit("file size", "-f", libc::RLIMIT_FSIZE, 64 * GIB, true, "prepared images of large sets cannot be written"),
        limit("processes and threads", "-u", libc::RLIMIT_NPROC, 256, false, "threads cannot be started"),
    ]
}

/// A limit that holds; `None` means unlimited.
pub(super) fn soft(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills the struct that it is given.
    let done = unsafe { libc::getrlimit(resource, &raw mut limit) };
    (done == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_read() {
        let all = read();
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|l| l.value != Some(0)));
    }
}
