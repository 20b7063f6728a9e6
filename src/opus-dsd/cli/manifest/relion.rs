//! The `job.star` of an External job for each verb and version of RELION, with the parameters that matter most in its ten fields.

use super::{Job, id};
use crate::settings::form::{self, Constant, Kind, Level, Unsaid};
use std::fmt::Write as _;

/// Fields that RELION's External job has for parameters.
const PARAMETERS: usize = 10;
/// The program's name; `opus-dsd install relion` writes its whole path.
const EXECUTABLE: &str = "opus-dsd";

/// What a job cannot do without, where one of several options must be given: verb, option, and a value to start from.
const NEEDED: [(&str, &str, &str); 5] = [
    ("select", "clusters", "1"),
    ("decode", "pc", "1"),
    ("decode", "points", "10"),
    ("encode", "job", "External/job001/"),
    ("import", "original", "FOLDER"),
];

/// A version of RELION: folder, version line, and the head that names the job's type.
const VERSIONS: [(&str, u32, &str); 3] = [
    ("3.1", 30001, "_rlnJobType                            99\n_rlnJobIsContinue                       0\n"),
    (
        "4",
        30001,
        "_rlnJobTypeLabel             relion.external\n_rlnJobIsContinue                       0\n_rlnJobIsTomo                           0\n",
    ),
    (
        "5",
        50001,
        "_rlnJobTypeLabel             relion.external\n_rlnJobIsContinue                       0\n_rlnJobIsTomo                           0\n",
    ),
];

/// Name below `plugin-manifests/relion` and text of every file.
pub(super) fn job_stars(jobs: &[Job]) -> Vec<(String, String)> {
    let of = |(folder, version, head): (&'static str, u32, &'static str)| {
        jobs.iter().map(move |job| (format!("{folder}/{}.job.star", job.id), job_star(job, version, head, EXECUTABLE)))
    };
    VERSIONS.into_iter().flat_map(of).collect()
}

/// The file of one job for one version, with another executable; `None` for a version that is not known.
pub(super) fn job_star_of(job: &Job, version: &str, executable: &str) -> Option<String> {
    let (_, number, head) = VERSIONS.into_iter().find(|(folder, ..)| *folder == version)?;
    Some(job_star(job, number, head, executable))
}

/// What is not said here (the queue, the number of threads) keeps the default of the site's RELION.
fn job_star(job: &Job, version: u32, head: &str, executable: &str) -> String {
    let executable = if job.id == "train" { executable.to_owned() } else { format!("{executable} {}", job.id) };
    let inputs = ["in_3dref", "in_coords", "in_mask", "in_mic", "in_mov", "in_part", "other_args"];
    let mut values: Vec<(String, String)> = inputs.map(|name| (name.to_owned(), String::new())).into();
    values.push(("fn_exe".into(), executable));
    let shown = parameters(job);
    for i in 0..PARAMETERS {
        let (label, value) = shown.get(i).cloned().unwrap_or_default();
        values.push((format!("param{}_label", i + 1), label));
        values.push((format!("param{}_value", i + 1), value));
    }
    values.sort();
    let mut text = format!("\n# version {version}\n\ndata_job\n\n{head} \n\n# version {version}\n\ndata_joboptions_values\n\nloop_ \n");
    text.push_str("_rlnJobOptionVariable #1 \n_rlnJobOptionValue #2 \n");
    for (name, value) in values {
        let _ = writeln!(text, "{name:>16} {} ", starfile::quoted(&value));
    }
    text.push_str(" \n");
    text
}

/// The options that everybody may want to change, each with the value that it has anyway (RELION takes a label without a value for a flag).
fn parameters(job: &Job) -> Vec<(String, String)> {
    let own = |kind: Kind| !matches!(kind, Kind::Outdir | Kind::Particles | Kind::Volume | Kind::Mask | Kind::Threads | Kind::Job);
    let shown = job.command.get_arguments().filter_map(|arg| Some((arg, form::of(arg)?)));
    shown
        .filter(|(_, field)| field.level == Level::Normal && field.when.is_none() && own(field.kind))
        .filter_map(|(arg, field)| match field.unsaid {
            Unsaid::Is(value) => Some((id(arg), word(value))),
            Unsaid::Decided(_) => Some((id(arg), form::AUTOMATIC.to_owned())),
            Unsaid::Nothing => None,
        })
        .chain(NEEDED.iter().filter(|(verb, ..)| *verb == job.id).map(|(_, name, value)| ((*name).to_owned(), (*value).to_owned())))
        .take(PARAMETERS)
        .collect()
}

fn word(value: Constant) -> String {
    match value {
        Constant::Whole(n) => n.to_string(),
        Constant::Number(x) => x.to_string(),
        Constant::Word(w) => w.to_owned(),
        Constant::Switch(on) => if on { "Yes" } else { "No" }.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::relion::job_star::{self, HostVersion};

    #[test]
    fn our_own_reader_takes_them() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in job_stars(&super::super::jobs()) {
            let path = folder.path().join("job.star");
            std::fs::write(&path, &text).unwrap();
            let star = job_star::read(&path).unwrap();
            let expected = match name.split('/').next().unwrap() {
                "3.1" => HostVersion::Three,
                "4" => HostVersion::Four,
                _ => HostVersion::Five,
            };
            assert_eq!(star.version, expected, "{name}");
            let verb = star.words_of_executable().get(1).cloned().unwrap_or_else(|| "train".into());
            assert!(name.ends_with(&format!("{verb}.job.star")), "{name}");
            let arguments = star.arguments(&path).unwrap();
            let normal = crate::cli::arguments::normalise(&crate::cli::job_command(&verb).unwrap(), &arguments);
            assert!(normal.is_ok(), "{name}: {:?}", normal.err());
        }
    }
}
