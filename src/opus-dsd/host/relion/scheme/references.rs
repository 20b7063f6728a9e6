//! Paths like `Schemes/NAME/JOB/FILE`, which RELION replaces by the folder that the job really got: that there is such a job, that it has run
//! by then, and that it writes such a file.

use super::jobs::{self, Told, Uses};
use super::model::{Dialect, Holds, Place, Scheme};
use super::{Jobs, Report, graph, operators};
use starfile::StarFile;
use std::path::Path;

/// The table of figures that our jobs write for Schemes.
const SUMMARY: &str = "summary.star";
/// Its tables and labels, each known to RELION.
const SUMMARY_LABELS: &[(&str, &[&str])] = &[
    ("general", &["rlnCurrentIteration", "rlnNrClasses"]),
    ("classes", &["rlnClassNumber", "rlnGroupNrParticles", "rlnClassDistribution"]),
];

/// Files that RELION's own jobs write, with `*` for any text; jobs that are not here are not checked.
const RELIONS_OUTPUTS: &[(&str, &[&str])] = &[
    ("relion.extract", &["particles.star", "logfile.pdf"]),
    ("relion.class2d", &["run*", "class_averages.star"]),
    ("relion.class3d", &["run*"]),
    ("relion.refine3d", &["run*"]),
    ("relion.maskcreate", &["mask.mrc"]),
    ("relion.joinstar", &["join_*"]),
    ("relion.subtract", &["particles_subtracted.star", "original.star"]),
    ("relion.postprocess", &["postprocess*", "logfile.pdf"]),
    ("relion.initialmodel", &["initial_model.mrc", "run*"]),
    ("relion.multibody", &["run*", "analyse*"]),
    ("relion.polish", &["shiny.star", "opt_params_all_groups.txt", "logfile.pdf"]),
    ("relion.ctfrefine", &["particles_ctf_refine.star", "logfile.pdf"]),
];

/// A file of a job of a Scheme.
struct Reference<'t> {
    job: &'t str,
    file: &'t str,
}

pub(super) fn check(folder: &Path, scheme: &Scheme, uses: &Uses, ours: &dyn Jobs, report: &mut Report) {
    for told in &uses.jobs {
        for option in &told.options {
            follow(folder, scheme, uses, ours, (&told.job, &option.place), &option.value, report);
        }
        if let Some(option) = jobs::linked_too_late(told, scheme) {
            let what = format!("RELION 3.1 does not resolve `{}` here, as an input before it is of no job of the Schedule", option.value);
            report.problem(&option.place, what, "give the other input by `other_args`");
        }
    }
    for operator in &scheme.operators {
        for (which, name) in [(1, &operator.first), (2, &operator.second)] {
            let Some(variable) = scheme.variable(name).filter(|v| v.holds == Holds::Text && !scheme.is_computed(&v.name)) else { continue };
            let reads = which == 1 && operators::reads_table(&operator.kind);
            if reads {
                table_and_label(scheme, uses, &variable.value, &variable.place, report);
            }
            follow(folder, scheme, uses, ours, (&operator.name, &variable.place), &variable.value, report);
            let inside = variable.value.contains(scheme.dialect.home());
            if scheme.dialect == Dialect::Scheme && which == 2 && inside {
                let what = format!("the second input `{name}` points into a Scheme, and RELION then takes it for the first one");
                report.problem(&operator.place, what, "let only the first input point into a Scheme");
            }
            let named = scheme.jobs.iter().filter(|j| variable.value.contains(&j.name)).count();
            if scheme.dialect == Dialect::Schedule && named > 1 {
                let what = format!("`{}` holds the names of {named} jobs, at which RELION 3.1 stops", variable.value);
                report.problem(&variable.place, what, "name the jobs so that no name is part of another path");
            }
        }
    }
}

/// Follows every path of a text that leads into a Scheme; `user` is the node that will read it.
fn follow(folder: &Path, scheme: &Scheme, uses: &Uses, ours: &dyn Jobs, (user, place): (&str, &Place), text: &str, report: &mut Report) {
    let home = scheme.dialect.home();
    if !text.contains(home) {
        return;
    }
    let own = text.split_once(scheme.name.as_str()).map(|(_, rest)| rest);
    let Some(rest) = own else { return other_scheme(folder, scheme, place, text, report) };
    let Some(reference) = split(scheme.dialect, rest) else {
        let what = format!("`{text}` does not name a file at the top of one job's folder, which is all that RELION resolves");
        return report.problem(place, what, format!("write `{}JOB/FILE`", scheme.name));
    };
    if scheme.job(reference.job).is_none() {
        let jobs: Vec<_> = scheme.jobs.iter().map(|j| format!("`{}`", j.name)).collect();
        let what = format!("`{text}` is of a job `{}` that the Scheme does not have", reference.job);
        return report.problem(place, what, format!("its jobs are {}", jobs.join(", ")));
    }
    if graph::reached(scheme, Some(reference.job)).contains(user) && user != reference.job {
        let what = format!("`{user}` needs `{text}` and can be come to before `{}` has run", reference.job);
        report.problem(place, what, format!("let all ways to `{user}` lead through `{}`", reference.job));
    }
    if user == reference.job {
        report.problem(place, format!("`{user}` needs `{text}`, which is its own"), "name the job before it");
    }
    let Some(told) = uses.jobs.iter().find(|t| t.job == reference.job) else { return };
    let Some(outputs) = outputs(told, ours) else {
        report.notes.push(format!("{place}: not checked whether `{}` writes `{}`", reference.job, reference.file));
        return;
    };
    if !outputs.iter().any(|pattern| matches(pattern, reference.file)) {
        let names: Vec<_> = outputs.iter().map(|o| format!("`{o}`")).collect();
        let what = format!("`{}` writes no file `{}`", reference.job, reference.file);
        report.problem(place, what, format!("it writes {}", names.join(", ")));
    } else if let Some(cluster) = cluster_of(reference.file) {
        let clusters = told.options.iter().position(|o| o.value == "clusters").and_then(|i| {
            let value = told.options[i].name.replace("_label", "_value");
            told.value(&value).parse::<usize>().ok()
        });
        if let Some(clusters) = clusters.filter(|&k| cluster > k) {
            report.problem(
                place,
                format!("`{}` makes {clusters} clusters, so there is no cluster {cluster}", reference.job),
                "ask for more clusters",
            );
        }
    }
}

/// A path into another Scheme of the same project.
fn other_scheme(folder: &Path, scheme: &Scheme, place: &Place, text: &str, report: &mut Report) {
    let home = scheme.dialect.home();
    let after = text.split_once(home).map_or("", |(_, rest)| rest);
    let parts: Vec<&str> = after.splitn(3, '/').collect();
    let (name, job) = (parts.first().copied().unwrap_or_default(), parts.get(1).copied().unwrap_or_default());
    let file = folder.join("..").join(name).join(scheme.dialect.file());
    let jobs = format!("{}_jobs", scheme.dialect.file().trim_end_matches(".star"));
    let there = StarFile::read(&file).ok().and_then(|star| {
        let label = if scheme.dialect == Dialect::Scheme { "rlnSchemeJobNameOriginal" } else { "rlnScheduleJobNameOriginal" };
        star.find(&jobs).and_then(|block| block.find(label).map(|column| column.texts().any(|t| t == job)))
    });
    match there {
        Some(true) => report.notes.push(format!("{place}: not checked whether `{text}` is written")),
        Some(false) => report.problem(place, format!("`{text}`: `{home}{name}` has no job `{job}`"), "name one of its jobs"),
        None => report.problem(place, format!("`{text}`: there is no `{home}{name}`"), format!("this one is called `{}`", scheme.name)),
    }
}

/// Job and file of what follows the Scheme's name. RELION 4 and 5 take everything up to the last slash of the text for the job.
fn split(dialect: Dialect, rest: &str) -> Option<Reference<'_>> {
    let (job, tail) = match dialect {
        Dialect::Scheme => rest.rsplit_once('/')?,
        Dialect::Schedule => rest.split_once('/')?,
    };
    let file = tail.split([',', ' ']).next().unwrap_or_default();
    let plain = !job.is_empty() && !job.contains([' ', '/']) && !file.is_empty();
    plain.then_some(Reference { job, file })
}

/// A text `FILE,TABLE,LABEL` of an operator that reads figures.
fn table_and_label(scheme: &Scheme, uses: &Uses, text: &str, place: &Place, report: &mut Report) {
    let parts: Vec<&str> = text.split(',').collect();
    let [file, table, label, ..] = parts[..] else {
        return report.problem(place, format!("`{text}` does not name file, table and label"), "write `FILE,TABLE,LABEL`, without blanks");
    };
    if !label.starts_with("rln") {
        return report.problem(
            place,
            format!("RELION does not know the label `{label}` and would read anything"),
            "labels of RELION begin with `rln`, and are written without `_`",
        );
    }
    let job = file.strip_prefix(&scheme.name).and_then(|rest| split(scheme.dialect, rest));
    let ours = job.as_ref().is_some_and(|r| uses.jobs.iter().any(|t| t.job == r.job && t.verb.is_some()));
    if !ours || job.is_none_or(|r| r.file != SUMMARY) {
        return;
    }
    let named = |labels: &[&str]| labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
    match SUMMARY_LABELS.iter().find(|(name, _)| *name == table) {
        None => {
            let tables: Vec<&str> = SUMMARY_LABELS.iter().map(|(name, _)| *name).collect();
            report.problem(place, format!("`{SUMMARY}` has no table `{table}`"), format!("its tables are {}", named(&tables)));
        }
        Some((_, labels)) if !labels.contains(&label) => {
            report.problem(
                place,
                format!("table `{table}` of `{SUMMARY}` has no label `{label}`"),
                format!("its labels are {}", named(labels)),
            );
        }
        Some(_) => {}
    }
}

/// What a job writes; `None` where that is not known.
fn outputs(told: &Told, ours: &dyn Jobs) -> Option<Vec<String>> {
    if let Some(verb) = &told.verb {
        return Some(ours.outputs(verb));
    }
    if told.label == Some("relion.select") {
        let split = told.value("do_split") == "Yes";
        let parts = told.value("nr_split").parse::<i64>().ok().filter(|&n| n > 0);
        let star = |stem: &str| match parts {
            Some(n) => (1..=n).map(|i| format!("{stem}_split{i}.star")).collect(),
            None => vec![format!("{stem}_split*.star")],
        };
        let whole = ["particles.star", "micrographs.star", "class_averages.star"].map(String::from).to_vec();
        return Some(if split { [star("particles"), star("micrographs")].concat() } else { whole });
    }
    RELIONS_OUTPUTS.iter().find(|(label, _)| told.label == Some(label)).map(|(_, files)| files.iter().map(|f| (*f).to_owned()).collect())
}

/// Whether a name is of a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => {
            name.strip_prefix(start).is_some_and(|tail| (0..=tail.len()).any(|i| tail.is_char_boundary(i) && matches(rest, &tail[i..])))
        }
    }
}

/// The cluster that a file is of.
fn cluster_of(file: &str) -> Option<usize> {
    let digits = file.strip_prefix("cluster")?;
    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("cluster*.mrc", "cluster001.mrc"));
        assert!(!matches("cluster*.mrc", "cluster001.star"));
        assert!(matches("run*", "run_data.star"));
        assert_eq!(cluster_of("cluster012_particles.star"), Some(12));
        assert_eq!(cluster_of("clusters.star"), None);
    }

    #[test]
    fn relion_takes_the_last_slash() {
        assert!(split(Dialect::Scheme, "train/particles.star").is_some_and(|r| r.job == "train" && r.file == "particles.star"));
        assert!(split(Dialect::Scheme, "train/summary.star,classes,rlnClassNumber").is_some_and(|r| r.file == "summary.star"));
        assert!(split(Dialect::Scheme, "train/pc1/vol_000.mrc").is_none());
        assert!(split(Dialect::Scheme, "train/x.star --in_mask a/b.mrc").is_none());
        assert!(split(Dialect::Schedule, "train/pc1/vol_000.mrc").is_some_and(|r| r.file == "pc1/vol_000.mrc"));
        assert!(split(Dialect::Scheme, "particles.star").is_none());
    }
}
