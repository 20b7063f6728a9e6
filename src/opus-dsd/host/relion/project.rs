//! A RELION project as a folder: which RELION made it, and its newest refinement.

use contract::{Problem, Result};
use starfile::StarFile;
use std::path::Path;
use std::process::Command;

/// RELION's list of jobs.
const PIPELINE: &str = "default_pipeline.star";
/// `# version` of RELION 5's tables.
const VERSION_FIVE: u32 = 50001;

/// The RELIONs that differ for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Three,
    Four,
    Five,
}

impl Version {
    /// As people and folders name it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Three => "3.1",
            Self::Four => "4",
            Self::Five => "5",
        }
    }
}

/// What a project tells.
#[derive(Debug)]
pub(crate) struct Project {
    /// `None`: its files do not say.
    pub(crate) version: Option<Version>,
    /// Particles of the newest auto-refinement, finished or not.
    pub(crate) refinement: Option<String>,
}

/// Reads a project's folder.
///
/// # Errors
/// It is none, or its list of jobs cannot be understood.
pub(crate) fn read(folder: &Path) -> Result<Project> {
    let path = folder.join(PIPELINE);
    if !path.is_file() {
        return Err(Problem::input(format!("no `{PIPELINE}` in it: not the folder of a RELION project"))
            .at(folder.display().to_string())
            .hint("name the folder by `--project DIR`, or start RELION there once"));
    }
    let wrong = |e: starfile::Error| Problem::input(e.to_string()).hint("let RELION write it: open the project in RELION once");
    let star = StarFile::read(&path).map_err(wrong)?;
    let five = star.blocks().any(|block| block.version().is_some_and(|v| v >= VERSION_FIVE));
    let processes = star.find("pipeline_processes");
    let version = match &processes {
        Some(table) if table.has("rlnPipeLineProcessType") => Some(Version::Three),
        Some(table) if table.has("rlnPipeLineProcessTypeLabel") => Some(if five { Version::Five } else { Version::Four }),
        _ => five.then_some(Version::Five),
    };
    let names = processes.and_then(|table| table.find("rlnPipeLineProcessName"));
    let refinements = names.iter().flat_map(starfile::Column::texts).filter(|name| name.starts_with("Refine3D/"));
    let refinement = refinements.max_by_key(|name| number(name)).map(|name| format!("{name}run_data.star"));
    Ok(Project { version, refinement })
}

/// Number of a job's folder, as in `Refine3D/job019/`.
fn number(name: &str) -> usize {
    name.trim_end_matches('/').rsplit("job").next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The RELION on the PATH.
pub(crate) fn version_on_path() -> Option<Version> {
    // RELION 4 and 5 have the schemer, 3.1 has the scheduler.
    let told =
        |program: &str| Command::new(program).arg("--version").output().ok().map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let text = told("relion_schemer").or_else(|| told("relion_scheduler"))?;
    let number = text.split("version:").nth(1)?.trim_start();
    [("3.1", Version::Three), ("4", Version::Four), ("5", Version::Five)]
        .into_iter()
        .find(|(start, _)| number.starts_with(start))
        .map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Project {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(PIPELINE), text).unwrap();
        read(folder.path()).unwrap()
    }

    const EMPTY: &str = "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter                       1\n \n";

    fn with_jobs(version: u32, kind: &str, jobs: &[&str]) -> Project {
        let rows: String = jobs.iter().map(|j| format!("{j} None 10 2 \n")).collect();
        project(&format!(
            "{EMPTY}\n# version {version}\n\ndata_pipeline_processes\n\nloop_ \n_rlnPipeLineProcessName #1 \n_rlnPipeLineProcessAlias #2 \n\
             _rlnPipeLineProcess{kind} #3 \n_rlnPipeLineProcessStatus #4 \n{rows} \n"
        ))
    }

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(project(EMPTY).version, None);
        assert_eq!(with_jobs(30001, "Type", &["Import/job001/"]).version, Some(Version::Three));
        assert_eq!(with_jobs(30001, "TypeLabel", &["Import/job001/"]).version, Some(Version::Four));
        assert_eq!(with_jobs(50001, "TypeLabel", &["Import/job001/"]).version, Some(Version::Five));
    }

    #[test]
    fn the_newest_refinement_counts() {
        let jobs = ["Refine3D/job9/", "Refine3D/job019/", "Class3D/job030/", "Refine3D/job010/"];
        assert_eq!(with_jobs(30001, "Type", &jobs).refinement.as_deref(), Some("Refine3D/job019/run_data.star"));
        assert_eq!(with_jobs(30001, "Type", &["Import/job001/"]).refinement, None);
    }

    #[test]
    fn a_folder_without_a_pipeline_is_refused() {
        assert!(read(tempfile::tempdir().unwrap().path()).is_err());
    }
}
