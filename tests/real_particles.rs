//! Real image stacks of other programs: each runs to the end, or is refused with a reason that names the culprit, and leaves nothing behind.
//!
//! The stacks cannot be part of the repository: their folder is `OPUS_DSD_EXTRA_DATA`.

#[path = "support/job.rs"]
mod job;
#[path = "support/skip.rs"]
mod skip;

use cryoem::mrc::read_volume;
use job::{Ended, Project};
use std::path::{Path, PathBuf};

const JOB: &str = "External/job001";
/// One epoch and two clusters: enough to pass through every stage.
const SHORT: &str = "--preset tiny --epochs 1 --clusters 2 --device cpu --j 1";

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("OPUS_DSD_EXTRA_DATA").map(PathBuf::from).filter(|folder| folder.join("particles").is_dir());
    let Some(folder) = folder else {
        skip::skipped("no real stacks; name the folder of extra data in OPUS_DSD_EXTRA_DATA");
        return None;
    };
    job::engine();
    Some(folder.canonicalize().unwrap())
}

/// A project in which `p/`, `maps/` and `tiny/` are the data.
fn project(data: &Path) -> Project {
    let project = Project::new();
    for (name, folder) in [("p", "particles"), ("maps", "maps"), ("tiny", "tiny")] {
        std::os::unix::fs::symlink(data.join(folder), project.path(name)).unwrap();
    }
    project
}

fn train(project: &Project, input: &str) -> Ended {
    project.run(&format!("train --o {JOB}/ --in_parts {input} {SHORT}"))
}

/// The rows of a particle file several times over, other views for the copies of those that have none: real noise in a set that is large
/// enough to be taken.
fn repeated(data: &Path, name: &str, times: usize, with_views: bool) -> String {
    let text = std::fs::read_to_string(data.join("particles").join(name)).unwrap();
    let is_row = |line: &&str| line.contains('@');
    let mut lines: Vec<String> = text.trim_end().lines().filter(|l| !is_row(l)).map(String::from).collect();
    lines.truncate(lines.iter().rposition(|l| !l.trim().is_empty()).unwrap() + 1);
    if with_views {
        lines.extend(["_rlnAngleRot", "_rlnAngleTilt", "_rlnAnglePsi"].map(String::from));
    }
    for time in 0..times {
        for (i, row) in text.lines().filter(is_row).enumerate() {
            let k = (time * 97 + i * 31) as f64;
            let views =
                if with_views { format!(" {} {} {}", k * 137.5 % 360.0, k * 61.8 % 180.0, k * 29.3 % 360.0) } else { String::new() };
            // The file says .mrc, the stack's name ends in .mrcs.
            let row = if row.contains(".mrcs") { row.to_owned() } else { row.replace(".mrc", ".mrcs") };
            lines.push(format!("{}{views}", row.trim_end()));
        }
    }
    lines.join("\n") + "\n\n"
}

/// A run that ended well, with these words in run.out or run.err, and all rows in the clusters.
fn succeeded(project: &Project, ended: &Ended, rows: usize, words: &[&str]) {
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_SUCCESS"]);
    let all = format!("{}{}", ended.out, ended.err);
    for word in words.iter().copied().chain([format!("{rows} used").as_str()]) {
        assert!(all.contains(word), "no `{word}` in:\n{all}");
    }
    let count = |name: &str| {
        let text = std::fs::read_to_string(project.path(JOB).join(name)).unwrap();
        text.lines().filter(|l| l.contains('@')).count()
    };
    assert_eq!(count("particles.star"), rows);
    assert_eq!(count("cluster001_particles.star") + count("cluster002_particles.star"), rows);
    for map in ["cluster001.mrc", "cluster002.mrc"] {
        let statistics = read_volume(&project.path(JOB).join(map)).unwrap().statistics();
        assert!(statistics.non_finite == 0 && statistics.std > 0.0, "{map}: {statistics:?}");
    }
}

#[test]
fn refusals_name_file_and_reason() {
    let Some(data) = data() else { return };
    let mut lines = Vec::new();
    for input in [
        // Too few particles.
        "p/sample_relion30.star",
        "p/sample_relion31.star",
        "p/relion31.star",
        // No poses; no CTF; no pixel size.
        "p/empiar_10076_7.star",
        "p/toy_projections.star",
        "p/rln_proj_64.star",
        "p/rln_proj_64_shifted.star",
        "p/rln_proj_64.star --ctf none",
        "p/toy_projections.star --poses p/toy_angles.pkl",
        // Image stacks without what an archive must bring, and with archives of others.
        "p/toy_projections.mrcs",
        "p/toy_projections.mrcs --poses p/toy_angles.pkl",
        "p/ay19102021_L3_position6_ribo_it09_bin8_1.82A.mrcs --poses p/sta_pose.pkl --ctf p/sta_ctf.pkl",
        "p/toy_projections.mrcs --poses p/sta_pose.pkl --ctf p/toy_test_ctf.pkl",
        // Masks and references that are none.
        "tiny/adk-path-tiny/particles.star --in_mask tiny/adk-path-tiny/particles.star",
        "tiny/adk-path-tiny/particles.star --in_mask p/sample.mrcs",
        "tiny/adk-path-tiny/particles.star --in_mask maps/EMD-3001.map",
        "tiny/adk-path-tiny/particles.star --in_mask maps/hand-vol.mrc",
        "tiny/adk-path-tiny/particles.star --in_3dref maps/50S-vol.mrc",
        "tiny/adk-path-tiny/particles.star --in_3dref p/toy_angles.pkl",
        "tiny/adk-path-tiny/particles.star --in_mask nowhere.mrc",
    ] {
        let project = project(&data);
        let ended = train(&project, input);
        assert!(matches!(ended.status, Some(2 | 3)), "{input}: {}", ended.err);
        assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"], "{input}");
        assert!(ended.last_error().contains("; hint: "), "{input}: {}", ended.err);
        let mut left: Vec<String> =
            std::fs::read_dir(project.path(JOB)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["RELION_JOB_EXIT_FAILURE", "events.jsonl", "process.json", "run.err", "run.out", "stages"], "{input}");
        assert_eq!(std::fs::read_dir(project.path(JOB).join("stages")).unwrap().count(), 0, "{input}");
        lines.push(format!("$ train --in_parts {input}\n{}", ended.last_error()));
    }
    insta::assert_snapshot!("refusals", lines.join("\n\n"));
}

#[test]
fn tilt_images_of_ribosomes_in_situ() {
    let Some(data) = data() else { return };
    let project = project(&data);
    // 219 rows for 220 images: rows count.
    let ended = train(&project, "p/sta_testing_bin8.star");
    succeeded(&project, &ended, 219, &["negative `_rlnCtfBfactor`", "219 particles are few", "taken to be centred"]);
}

#[test]
fn two_optics_groups_in_both_generations_of_star_files() {
    let Some(data) = data() else { return };
    for (name, apix) in [("sample_relion30.star", "1.338"), ("sample_relion31.star", "1.4")] {
        let project = project(&data);
        std::fs::write(project.path("repeated.star"), repeated(&data, name, 3, false)).unwrap();
        let ended = train(&project, "repeated.star --datadir p");
        let size = format!("{apix} Å/px, box 200 px");
        succeeded(&project, &ended, 51, &["300 kV", "200 kV", &size, "34 rows name an image that another row names too"]);
    }
}

#[test]
fn black_particles_and_headers_of_zeros() {
    let Some(data) = data() else { return };
    for (name, times, with_views, rows) in [("empiar_10076_7.star", 5, true, 35), ("relion31.star", 7, false, 35)] {
        let project = project(&data);
        std::fs::write(project.path("repeated.star"), repeated(&data, name, times, with_views)).unwrap();
        let ended = train(&project, "repeated.star --datadir p");
        succeeded(&project, &ended, rows, &["particles are black", "the sign is turned"]);
    }
}

#[test]
fn poses_from_an_archive_give_the_map_back() {
    let Some(data) = data() else { return };
    let project = project(&data);
    std::fs::write(project.path("list.txt"), format!("{}\n", data.join("particles/toy_projections.mrcs").display())).unwrap();
    let ended = train(&project, "list.txt --poses p/toy_angles.pkl --ctf none --apix 1");
    succeeded(&project, &ended, 1000, &["no CTF", "no noise in the corners"]);
    let found = read_volume(&project.path(JOB).join("base.mrc")).unwrap();
    let truth = read_volume(&data.join("maps/toymodel_small_nocenter.mrc")).unwrap();
    let correlation = |a: &ndarray::Array3<f32>, b: &ndarray::Array3<f32>| {
        let (a, b) = (a.mapv(f64::from), b.mapv(f64::from));
        let (a, b) = (&a - a.mean().unwrap(), &b - b.mean().unwrap());
        (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt()
    };
    let c = correlation(&found.data, &truth.data);
    assert!(c > 0.95, "correlation with the true map: {c}");
}
