//! What this machine lacks, if anything, for jobs of this program: a list of findings, each with what to do.

mod parts;
mod surroundings;

use contract::Device;
use serde::Serialize;
use std::path::PathBuf;

/// How good or bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Jobs run, but slower, or not all of them.
    Warning,
    /// Jobs fail.
    Wrong,
}

impl Level {
    /// As it is written.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) level: Level,
    pub(crate) what: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Finding {
    fn ok(name: &str, what: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Ok, what: what.into(), hint: None }
    }

    fn warning(name: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Warning, what: what.into(), hint: Some(hint.into()) }
    }

    fn wrong(name: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Wrong, what: what.into(), hint: Some(hint.into()) }
    }
}

/// What is known of the engine and its libraries, for machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Parts {
    /// Where the engine is.
    pub(crate) engine: Option<PathBuf>,
    /// libtorch's version, and the file that was loaded.
    pub(crate) torch: Option<String>,
    pub(crate) libtorch: Option<PathBuf>,
    /// CUDA's major version that libtorch was built for; `None` where its CUDA part is not installed.
    pub(crate) cuda: Option<u32>,
    /// The NVIDIA driver's version.
    pub(crate) driver: Option<String>,
    /// What jobs can run on, best first.
    pub(crate) devices: Vec<Device>,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) version: &'static str,
    pub(crate) build_id: &'static str,
    /// Nothing is wrong; there may be warnings.
    pub(crate) healthy: bool,
    #[serde(flatten)]
    pub(crate) parts: Parts,
    pub(crate) findings: Vec<Finding>,
}

/// Raised when a field of the JSON form changes its meaning.
const SCHEMA: u32 = 1;

/// Looks at everything. `scratch` is where prepared images are to lie, where that is not the job folder.
pub(crate) fn examine(scratch: Option<PathBuf>) -> Report {
    let (parts, mut findings) = parts::examine();
    findings.extend(surroundings::examine(scratch));
    let healthy = findings.iter().all(|f| f.level != Level::Wrong);
    Report { schema: SCHEMA, version: contract::VERSION, build_id: crate::BUILD_ID, healthy, parts, findings }
}
