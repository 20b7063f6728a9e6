//! What surrounds a job: processor, memory, disks, limits, and the hosts that may start it.

use super::Finding;
use crate::machine::{disk, identity, limits, memory, programs};
use std::path::{Path, PathBuf};

const GB: u64 = 1_000_000_000;
/// libtorch, the tables and a preset-tiny job take about one; less than four leaves no room for a real one.
const MEMORY_NEEDED: u64 = GB;
const MEMORY_WISHED: u64 = 4 * GB;
/// A job of 100,000 particles at 128 pixels prepares 3.3 GB, and its checkpoints of full networks take 4 GB.
const DISK_NEEDED: u64 = GB;
const DISK_WISHED: u64 = 10 * GB;
/// Instructions that libtorch's fast kernels use.
const INSTRUCTIONS: &str = "avx2";

/// Programs of hosts: name for people, program, arguments that make it tell its version.
const HOSTS: [(&str, &[&str], &[&str]); 3] = [
    ("RELION", &["relion_refine", "relion"], &["--version"]),
    ("Scipion", &["scipion3", "scipion"], &[]),
    ("CCP-EM Pipeliner", &["pipeliner"], &[]),
];

pub(super) fn examine(scratch: Option<PathBuf>) -> Vec<Finding> {
    let mut all = vec![processor(), memory(memory::read())];
    all.push(folder("job folders", Path::new(".")));
    if let Some(scratch) = scratch.or_else(|| std::env::var_os("TMPDIR").map(PathBuf::from)) {
        all.push(folder("scratch", &scratch));
    }
    all.extend(limits::read().iter().map(limit));
    all.push(Finding::ok("display, internet", "neither is needed"));
    all.extend(HOSTS.iter().map(|(name, programs, version)| host(name, programs, version)));
    all
}

fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let what = format!("{}, {cores} cores for this process", identity::processor());
    if identity::has_instructions(INSTRUCTIONS) {
        return Finding::ok("processor", what);
    }
    Finding::warning(
        "processor",
        format!("{what}, without {INSTRUCTIONS}"),
        "training on this processor is slow; choose a newer machine or a GPU",
    )
}

fn memory(memory: memory::Memory) -> Finding {
    let usable = memory.usable();
    let limit = memory.allowed.map(|a| format!(", {} allowed by the queue system or container", disk::for_people(a))).unwrap_or_default();
    let what = format!("{} free of {}{limit}", disk::for_people(memory.available), disk::for_people(memory.total));
    let hint = "ask the queue system for more memory (`--mem=8G`), or end other programs";
    match usable {
        u if u < MEMORY_NEEDED => Finding::wrong("memory", what, hint),
        u if u < MEMORY_WISHED => Finding::warning("memory", what, hint),
        _ => Finding::ok("memory", what),
    }
}

fn folder(name: &str, path: &Path) -> Finding {
    let place = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let Some(free) = disk::free_bytes(path).filter(|_| path.is_dir()) else {
        return Finding::wrong(name, format!("{} is not a folder", place.display()), "make it, or name another one");
    };
    let what = format!("{} free in {}", disk::for_people(free), place.display());
    let room = "free space, or choose another disk with `--scratch`";
    if free < DISK_NEEDED {
        return Finding::wrong(name, what, room);
    }
    if free < DISK_WISHED {
        return Finding::warning(name, what, room);
    }
    if !disk::knows_locks(path) {
        let hint = "nothing keeps two jobs out of one folder there: let no two be started in one";
        return Finding::warning(name, format!("{what}; this disk knows no locks"), hint);
    }
    Finding::ok(name, what)
}

fn limit(limit: &limits::Limit) -> Finding {
    let name = format!("limit: {}", limit.name);
    let words = |v: u64| if limit.bytes { disk::for_people(v) } else { v.to_string() };
    match limit.value {
        None => Finding::ok(&name, "unlimited"),
        Some(value) if value >= limit.needed => Finding::ok(&name, words(value)),
        Some(value) => Finding::warning(
            &name,
            format!("{}: {}", words(value), limit.consequence),
            format!("raise it before the job starts: `ulimit {} unlimited`, or in the queue's configuration", limit.option),
        ),
    }
}

/// Hosts start this program; it does not start them. So none of them has to be there.
fn host(name: &str, names: &[&str], version: &[&str]) -> Finding {
    let Some(path) = names.iter().find_map(|n| programs::find(n)) else {
        return Finding::ok(name, "not on the search path (needed only where projects are opened)");
    };
    let line = if version.is_empty() { None } else { programs::first_line(&path, version) };
    Finding::ok(name, line.map_or_else(|| path.display().to_string(), |line| format!("{line}, {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::machine::memory::Memory;

    #[test]
    fn a_containers_memory_counts() {
        let level = |allowed| memory(Memory { total: 64 * GB, available: 32 * GB, allowed, addresses: None }).level;
        assert_eq!([level(None), level(Some(2 * GB)), level(Some(GB / 2))], [Level::Ok, Level::Warning, Level::Wrong]);
    }

    #[test]
    fn a_missing_scratch_is_wrong() {
        assert_eq!(folder("scratch", Path::new("/no/such/folder")).level, Level::Wrong);
    }

    #[test]
    fn a_low_limit_says_how_to_raise_it() {
        let low = limits::Limit { name: "open files", option: "-n", value: Some(64), needed: 512, bytes: false, consequence: "x" };
        let found = limit(&low);
        assert_eq!(found.level, Level::Warning);
        assert!(found.hint.unwrap().contains("ulimit -n"));
    }
}
