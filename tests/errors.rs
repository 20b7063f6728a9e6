//! Errors that users make or meet: each leaves the exit file FAILURE, a last line in run.err that names the culprit and ends with a hint, and
//! no half-written output.

#[path = "support/job.rs"]
mod job;

use job::{Ended, Project};
use std::os::unix::process::CommandExt;
use std::path::Path;

const JOB: &str = "External/job001";

/// Files that a job may leave when it fails before its first result.
fn is_whole(folder: &Path) -> bool {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if name.ends_with(".part") || name.ends_with(".tmp") || name == "results.json" || name == "particles.star" {
                return false;
            }
        }
    }
    true
}

fn expect(project: &Project, ended: &Ended, status: i32, words: &[&str]) {
    assert_eq!(ended.status, Some(status), "{}", ended.err);
    assert_eq!(project.exit_files(JOB), ["RELION_JOB_EXIT_FAILURE"]);
    let line = project.last_error(JOB);
    assert_eq!(line, ended.last_error());
    assert!(line.starts_with("error: ") && line.contains("; hint: "), "{line}");
    for word in words {
        assert!(line.contains(word), "no `{word}` in: {line}");
    }
    assert!(is_whole(&project.path(JOB)));
}

/// Runs on the named particles (and mask) and expects a failure with these words.
fn fails(project: &Project, more: &str, words: &[&str]) {
    job::engine();
    let ended = project.run(&format!("--o {JOB}/ --preset tiny --device cpu --j 1 {more}"));
    expect(project, &ended, 2, words);
}

fn star(project: &Project) -> String {
    std::fs::read_to_string(project.path("sim/particles.star")).unwrap()
}

/// A particle file with another text, beside a link to its stack.
fn with_star(text: &str) -> Project {
    let project = Project::new();
    std::fs::write(project.path("changed.star"), text).unwrap();
    project
}

/// The stack with its bytes changed.
fn with_stack(change: impl FnOnce(&mut Vec<u8>)) -> Project {
    let project = Project::new();
    let mut bytes = std::fs::read(project.path("sim/particles.mrcs")).unwrap();
    change(&mut bytes);
    std::fs::create_dir(project.path("other")).unwrap();
    std::fs::write(project.path("other/particles.mrcs"), bytes).unwrap();
    std::fs::copy(project.path("sim/particles.star"), project.path("other/particles.star")).unwrap();
    project
}

const CHANGED: &str = "--in_parts changed.star --datadir sim --in_mask sim/mask.mrc";

#[test]
fn missing_file() {
    fails_with_status(&Project::new(), "--in_parts nowhere.star", 3, &["nowhere.star"]);
    fails_with_status(&Project::new(), "--in_parts sim/particles.star --in_mask nowhere.mrc", 3, &["nowhere.mrc"]);
}

fn fails_with_status(project: &Project, more: &str, status: i32, words: &[&str]) {
    let ended = project.run(&format!("--o {JOB}/ --preset tiny --device cpu --j 1 {more}"));
    expect(project, &ended, status, words);
}

#[test]
fn missing_stack() {
    let project = Project::new();
    std::fs::create_dir(project.path("lonely")).unwrap();
    std::fs::copy(project.path("sim/particles.star"), project.path("lonely/particles.star")).unwrap();
    let ended = project.run(&format!("--o {JOB}/ --in_parts lonely/particles.star --device cpu"));
    assert!(ended.status == Some(2) || ended.status == Some(3));
    expect(&project, &ended, ended.status.unwrap(), &["particles.mrcs"]);
}

#[test]
fn truncated_stack() {
    let project = with_stack(|bytes| bytes.truncate(bytes.len() / 2));
    let ended = project.run(&format!("--o {JOB}/ --in_parts other/particles.star --preset tiny --device cpu"));
    expect(&project, &ended, ended.status.unwrap(), &["particles.mrcs"]);
}

#[test]
fn all_nan_image() {
    // The first image, after a header of 1024 bytes.
    let project =
        with_stack(|bytes| bytes[1024..1024 + 4 * 32 * 32].chunks_exact_mut(4).for_each(|v| v.copy_from_slice(&f32::NAN.to_le_bytes())));
    fails(&project, "--in_parts other/particles.star", &["particles.mrcs", "1"]);
}

#[test]
fn wrong_column_count() {
    let project = Project::new();
    let mut lines: Vec<String> = star(&project).lines().map(String::from).collect();
    let row = lines.iter().rposition(|l| l.contains(".mrcs")).unwrap();
    lines[row] = lines[row].split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    let project = with_star(&format!("{}\n\n", lines.join("\n")));
    fails(&project, CHANGED, &["changed.star", &format!("line {}", row + 1)]);
}

#[test]
fn negative_pixel_size() {
    let project = Project::new();
    let text = star(&project);
    let changed: Vec<String> = text
        .lines()
        .map(|l| {
            if l.starts_with("opticsGroup1") || l.contains(" opticsGroup1 ") && !l.contains(".mrcs") {
                l.replace("3.000000", "-3.000000")
            } else {
                l.to_owned()
            }
        })
        .collect();
    let changed = changed.join("\n");
    assert!(changed.contains("-3.0"), "{}", &text[..600]);
    fails(&with_star(&format!("{changed}\n\n")), CHANGED, &["changed.star", "-3"]);
    fails(&Project::new(), "--in_parts sim/particles.star --apix -1", &["`--apix`"]);
}

#[test]
fn mask_that_is_no_cube() {
    let project = Project::new();
    let mut bytes = std::fs::read(project.path("sim/mask.mrc")).unwrap();
    // One plane less: nz (word 3), mz (word 10) and the cell's third side (word 13).
    let planes = i32::from_le_bytes(bytes[8..12].try_into().unwrap()) - 1;
    for word in [2, 9] {
        bytes[4 * word..4 * word + 4].copy_from_slice(&planes.to_le_bytes());
    }
    bytes[48..52].copy_from_slice(&(planes as f32 * 3.0).to_le_bytes());
    bytes.truncate(bytes.len() - 4 * 32 * 32);
    std::fs::write(project.path("slab.mrc"), bytes).unwrap();
    fails(&project, "--in_parts sim/particles.star --in_mask slab.mrc", &["slab.mrc", "not a cube"]);
}

#[test]
fn zero_particles() {
    let project = Project::new();
    let header: Vec<String> = star(&project).lines().filter(|l| !l.contains(".mrcs")).map(String::from).collect();
    fails(&with_star(&format!("{}\n\n", header.join("\n"))), CHANGED, &["changed.star"]);
}

/// The file without some columns.
fn without(project: &Project, labels: &[&str]) -> String {
    let mut text = String::new();
    let mut gone = Vec::new();
    let mut column = 0;
    for line in star(project).lines() {
        if line.starts_with("loop_") {
            (column, gone) = (0, Vec::new());
        }
        if line.starts_with("_rln") {
            if labels.iter().any(|l| line.starts_with(l)) {
                gone.push(column);
            } else {
                text.push_str(line.split(" #").next().unwrap());
                text.push('\n');
            }
            column += 1;
        } else if line.contains(".mrcs") {
            let cells: Vec<&str> = line.split_whitespace().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, c)| c).collect();
            text.push_str(&format!("{}\n", cells.join(" ")));
        } else {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

#[test]
fn no_poses() {
    let text = without(&Project::new(), &["_rlnAngleRot", "_rlnAngleTilt", "_rlnAnglePsi"]);
    fails(&with_star(&text), CHANGED, &["changed.star", "rlnAngleRot"]);
}

#[test]
fn no_ctf() {
    let text = without(&Project::new(), &["_rlnDefocusU", "_rlnDefocusV", "_rlnDefocusAngle"]);
    fails(&with_star(&text), CHANGED, &["changed.star", "rlnDefocusU"]);
}

#[test]
fn disk_full() {
    let project = Project::new();
    let mut command = project.command(&job::train_line(JOB, "--epochs 1"));
    // Any file larger than 64 kB meets a full disk: the prepared images are.
    // SAFETY: one system call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 65_536, rlim_max: 65_536 };
            if libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let ended = Ended::of(command.output().unwrap());
    expect(&project, &ended, 3, &["prepared/"]);
}

#[test]
fn unknown_option_and_value_out_of_range() {
    fails(&Project::new(), "--in_parts sim/particles.star --zdmi 8", &["`--zdmi`", "did you mean `--zdim`?"]);
    fails(&Project::new(), "--in_parts sim/particles.star --valfrac 2", &["`--valfrac`", "from 0 to 0.5"]);
    fails(&Project::new(), "--in_parts sim/particles.star --zdim 0", &["`--zdim`", "from 1 to"]);
    fails(&Project::new(), "--in_parts sim/particles.star --zdim --epochs 2", &["`--zdim`", "empty"]);
}

#[test]
fn too_few_particles() {
    let project = Project::new();
    let text = star(&project);
    let mut rows = 0;
    let kept: Vec<&str> = text
        .lines()
        .filter(|l| {
            !l.contains(".mrcs") || {
                rows += 1;
                rows <= 20
            }
        })
        .collect();
    fails(&with_star(&format!("{}\n\n", kept.join("\n"))), CHANGED, &["20 particles"]);
}

#[test]
fn a_folder_that_cannot_be_written() {
    let project = Project::new();
    std::fs::write(project.path("file"), b"").unwrap();
    let ended = project.run("--o file/job001/ --in_parts sim/particles.star");
    assert_eq!(ended.status, Some(3));
    assert!(
        ended.last_error().contains("--o file/job001/: the job folder cannot be written") && ended.last_error().contains("hint: "),
        "{}",
        ended.err
    );
}

#[test]
fn a_device_that_is_not_there() {
    let project = Project::new();
    let ended = project.run(&format!("--o {JOB}/ --in_parts sim/particles.star --gpu 63"));
    expect(&project, &ended, 4, &["`--gpu`", "`cuda:63` is not here"]);
}
