//! Control groups, by which queue systems and containers limit processes.

/// Where the files of a controller lie for a process' group.
pub(super) struct Place<'a> {
    /// Folder of the controller's groups.
    pub(super) root: String,
    /// The group's, below that; empty: the root itself.
    pub(super) path: &'a str,
    /// Whether this is version 2, whose files have other names.
    pub(super) unified: bool,
}

/// This process' groups, a line each; none where the system has no control groups.
pub(super) fn of_this_process() -> String {
    std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// Where a line of [`of_this_process`] leads for a controller; `None`: it is of others.
pub(super) fn place<'a>(line: &'a str, controller: &str) -> Option<Place<'a>> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?.trim_end_matches('/'));
    let root = "/sys/fs/cgroup";
    match controllers {
        "" => Some(Place { root: root.into(), path, unified: true }),
        c if c.split(',').any(|c| c == controller) => Some(Place { root: format!("{root}/{controller}"), path, unified: false }),
        _ => None,
    }
}
