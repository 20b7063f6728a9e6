//! What `install relion` puts into a project: the settings with which the External job's form opens, job files for RELION's pipeliner, queue
//! templates, and the Scheme (RELION 4, 5) or Schedule (3.1).

use super::project::Version;
use crate::job::atomic;
use contract::{Problem, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Settings that RELION's window gives the External job when it starts; RELION writes the file anew whenever an External job is run.
pub(crate) const FORM: &str = ".gui_externaljob.star";
/// Folder of what RELION itself does not look for.
pub(crate) const OURS: &str = "opus-dsd";
/// Name of the Scheme or Schedule, and its folder's.
pub(crate) const SCHEME: &str = "opus-dsd";
/// Text of a STAR file's `exe` and `parts` where nothing better is known.
const EXE: &str = "opus-dsd";
const PARTS: &str = "Refine3D/job019/run_data.star";

/// The Scheme's files below its folder.
const SCHEME_FILES: [(&str, &str); 4] = [
    ("scheme.star", include_str!("../../../../scheme-templates/Schemes/opus-dsd/scheme.star")),
    ("train/job.star", include_str!("../../../../scheme-templates/Schemes/opus-dsd/train/job.star")),
    ("analyse/job.star", include_str!("../../../../scheme-templates/Schemes/opus-dsd/analyse/job.star")),
    ("subset/job.star", include_str!("../../../../scheme-templates/Schemes/opus-dsd/subset/job.star")),
];
const SCHEDULE_SCRIPT: (&str, &str) = ("make-schedule.sh", include_str!("../../../../scheme-templates/relion31/make-schedule.sh"));
const QUEUE_TEMPLATES: [(&str, &str); 2] = [
    ("queue-slurm.sh", include_str!("../../../../plugin-manifests/relion/queue/slurm.sh")),
    ("queue-sge.sh", include_str!("../../../../plugin-manifests/relion/queue/sge.sh")),
];

/// What is to be put where.
#[derive(Debug)]
pub(crate) struct Wish<'w> {
    pub(crate) project: &'w Path,
    pub(crate) version: Version,
    /// The program as a shell finds it.
    pub(crate) executable: &'w str,
    /// A job file for each verb: verb and text, `train` first.
    pub(crate) jobs: Vec<(&'static str, String)>,
    /// Particles that the Scheme waits for, where the project has a refinement.
    pub(crate) particles: Option<&'w str>,
    pub(crate) force: bool,
}

/// What became of each file.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) written: Vec<PathBuf>,
    /// There before, and left alone.
    pub(crate) kept: Vec<PathBuf>,
    /// A command that could not be run here.
    pub(crate) left_to_do: Option<String>,
}

/// The program's path as it may stand in a field of RELION's, quoted for the shell where it must be.
///
/// # Errors
/// RELION would cut or change the path.
pub(crate) fn executable(path: &Path) -> Result<String> {
    let text = path.to_str().unwrap_or_default().to_owned();
    for (part, why) in [
        (">", "RELION then keeps no output of the job"),
        ("$", "RELION takes it for a variable"),
        ("\"", "it cannot be written to a STAR file"),
        ("'", "it cannot be quoted for the shell"),
        ("Schemes/", "RELION takes it for a file of a Scheme"),
        ("Schedules/", "RELION takes it for a file of a Schedule"),
    ] {
        if text.is_empty() || text.contains(part) {
            return Err(Problem::input(format!("the program's path holds `{part}`: {why}"))
                .at(format!("`{}`", path.display()))
                .hint("move the program, or make a link to it and start it by that"));
        }
    }
    Ok(if text.contains(|c: char| !(c.is_alphanumeric() || "/._-+@%:,=".contains(c))) { format!("'{text}'") } else { text })
}

/// Puts everything into the project.
///
/// # Errors
/// A file that cannot be written, or a Scheme that is running.
pub(crate) fn install(wish: &Wish<'_>) -> Result<Done> {
    let mut done = Done::default();
    for (i, (verb, text)) in wish.jobs.iter().enumerate() {
        if i == 0 {
            put(wish, FORM.into(), text, &mut done)?;
        }
        put(wish, format!("{OURS}/{verb}.job.star"), text, &mut done)?;
    }
    for (name, text) in QUEUE_TEMPLATES {
        put(wish, format!("{OURS}/{name}"), text, &mut done)?;
    }
    match wish.version {
        Version::Three => schedule(wish, &mut done)?,
        Version::Four | Version::Five => scheme(wish, &mut done)?,
    }
    Ok(done)
}

fn put(wish: &Wish<'_>, name: String, text: &str, done: &mut Done) -> Result<()> {
    let path = wish.project.join(&name);
    if path.exists() && !wish.force {
        done.kept.push(name.into());
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Problem::io(folder, &e))?;
    }
    atomic::write(&path, text.as_bytes())?;
    done.written.push(name.into());
    Ok(())
}

/// A Scheme is one thing: all its files, or none.
fn scheme(wish: &Wish<'_>, done: &mut Done) -> Result<()> {
    let folder = format!("Schemes/{SCHEME}");
    if wish.project.join(&folder).exists() && !wish.force {
        done.kept.push(folder.into());
        return Ok(());
    }
    refuse_running(wish, &format!(".relion_lock_scheme_{SCHEME}"), &folder)?;
    for (name, text) in SCHEME_FILES {
        let text = with_variable(text, "exe", EXE, wish.executable);
        let text = with_variable(&text, "parts", PARTS, wish.particles.unwrap_or(PARTS));
        put(wish, format!("{folder}/{name}"), &text, done)?;
    }
    Ok(())
}

/// Sets a string variable, its value and the one after a reset, in the text of `scheme.star`.
fn with_variable(text: &str, name: &str, old: &str, new: &str) -> String {
    let quoted = starfile::quoted(new);
    text.replace(&format!("\n{name} {old} {old} \n"), &format!("\n{name} {quoted} {quoted} \n"))
}

fn refuse_running(wish: &Wish<'_>, lock: &str, folder: &str) -> Result<()> {
    if wish.project.join(lock).exists() {
        return Err(Problem::input(format!("is running, as `{lock}` says"))
            .at(format!("`{folder}`"))
            .hint("wait for its end, or remove that folder if nothing runs any more"));
    }
    Ok(())
}

/// RELION 3.1 makes Schedules by its own program alone.
fn schedule(wish: &Wish<'_>, done: &mut Done) -> Result<()> {
    let (name, text) = SCHEDULE_SCRIPT;
    let script = format!("{OURS}/{name}");
    put(wish, script.clone(), text, done)?;
    let folder = format!("Schedules/{SCHEME}");
    let path = wish.project.join(&folder);
    if path.exists() && !wish.force {
        done.kept.push(folder.into());
        return Ok(());
    }
    refuse_running(wish, &format!(".relion_lock_schedule_{SCHEME}"), &folder)?;
    let mut arguments = vec![format!("exe={}", wish.executable)];
    arguments.extend(wish.particles.map(|p| format!("parts={p}")));
    if Command::new("relion_scheduler").arg("--version").output().is_err() {
        done.left_to_do = Some(format!("sh {script} {}", arguments.join(" ")));
        return Ok(());
    }
    if path.exists() {
        std::fs::remove_dir_all(&path).map_err(|e| Problem::io(&path, &e))?;
    }
    let ran = Command::new("sh")
        .arg(&script)
        .args(&arguments)
        .current_dir(wish.project)
        .output()
        .map_err(|e| Problem::io(Path::new("sh"), &e))?;
    if !ran.status.success() {
        let text = String::from_utf8_lossy(&ran.stderr);
        return Err(Problem::failed(format!("did not make the Schedule: {}", text.trim().lines().last().unwrap_or("without a word")))
            .at(format!("`{script}`"))
            .hint(format!("run it by hand in the project's folder: `sh {script} {}`", arguments.join(" "))));
    }
    done.written.push(folder.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_relion_would_change_are_refused() {
        assert_eq!(executable(Path::new("/opt/opus-dsd/bin/opus-dsd")).unwrap(), "/opt/opus-dsd/bin/opus-dsd");
        assert_eq!(executable(Path::new("/opt/cryo em/opus-dsd")).unwrap(), "'/opt/cryo em/opus-dsd'");
        for path in ["/a>b/opus-dsd", "/a/$x/opus-dsd", "/a/Schemes/opus-dsd", "/a'b/opus-dsd", ""] {
            assert!(executable(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn the_scheme_has_the_variables_that_are_filled_in() {
        let scheme = SCHEME_FILES[0].1;
        let filled = with_variable(&with_variable(scheme, "exe", EXE, "'/a b/opus-dsd'"), "parts", PARTS, "Refine3D/job003/run_data.star");
        assert!(filled.contains("\nexe \"'/a b/opus-dsd'\" \"'/a b/opus-dsd'\" \n"));
        assert!(filled.contains("\nparts Refine3D/job003/run_data.star Refine3D/job003/run_data.star \n"));
    }
}
