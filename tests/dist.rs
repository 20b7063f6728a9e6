//! The release archive: unpacked in an empty folder, it runs jobs with nothing of the machine that built it.

#[path = "support/job.rs"]
mod job;

use job::{Project, program};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes an archive of the executables that are built, packed quickly, and unpacks it below `folder`.
fn unpacked(folder: &Path) -> PathBuf {
    job::engine();
    let bins = Path::new(program()).parent().unwrap();
    let made = Command::new(env!("CARGO"))
        .args(["xtask", "dist", "--quick", "--bins"])
        .arg(bins)
        .arg("--out")
        .arg(folder.join("out"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&made.stdout).into_owned(), String::from_utf8_lossy(&made.stderr).into_owned());
    assert!(made.status.success(), "{out}{err}");
    assert!(out.contains(" MB installed; needs glibc 2."), "{out}");
    let archive =
        std::fs::read_dir(folder.join("out")).unwrap().flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "zst"));
    let status =
        Command::new("tar").arg("--extract").arg("--file").arg(archive.expect(&out)).arg("--directory").arg(folder).status().unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).find(|p| p.is_dir()).unwrap()
}

#[test]
fn an_unpacked_archive_runs_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let root = unpacked(folder.path());
    for file in [
        "bin/opus-dsd",
        "lib/opus-dsd/torch/lib/libtorch_cpu.so",
        "share/opus-dsd/demo/particles.star",
        "share/opus-dsd/docs/guides/facility.md",
        "share/opus-dsd/plugin-manifests/manifest.json",
        "share/opus-dsd/scheme-templates",
        "share/opus-dsd/packaging/slurm/train.sbatch",
        "share/licenses/opus-dsd/LICENSE-MIT",
        "share/licenses/opus-dsd/torch-2.11.0/LICENSE",
        "share/licenses/opus-dsd/THIRD-PARTY-CRATES.txt",
        "apptainer.def",
        "README.md",
    ] {
        assert!(root.join(file).exists(), "{file}");
    }
    assert_eq!(modules(&root), [env!("CARGO_PKG_VERSION").to_owned(), format!("{}.lua", env!("CARGO_PKG_VERSION"))]);
    let engine = std::fs::read(root.join("bin/opus-dsd-engine")).unwrap();
    let built_against = std::fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/.libtorch")).unwrap();
    for place in [concat!(env!("CARGO_MANIFEST_DIR"), "/.libtorch/torch/lib").to_owned(), format!("{}/torch/lib", built_against.display())]
    {
        assert!(!engine.windows(place.len()).any(|w| w == place.as_bytes()), "the build's libraries are still named: {place}");
    }

    // Nothing of this environment but what every shell has.
    let project = Project::new();
    let run = |arguments: &str| {
        let mut command = Command::new(root.join("bin/opus-dsd"));
        command
            .args(arguments.split_whitespace())
            .current_dir(project.path(""))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("OMP_NUM_THREADS", "1");
        job::Ended::of(command.output().unwrap())
    };
    let doctor = run("doctor --json");
    assert_eq!(doctor.status, Some(0), "{}{}", doctor.out, doctor.err);
    let report: Value = serde_json::from_str(&doctor.out).unwrap();
    let libtorch = Path::new(report["libtorch"].as_str().unwrap());
    assert!(libtorch.starts_with(std::fs::canonicalize(&root).unwrap()), "{}", libtorch.display());
    let trained = run(&job::train_line("External/job001", "--epochs 1 --clusters 2"));
    assert_eq!(trained.status, Some(0), "{}", trained.err);
    assert_eq!(project.exit_files("External/job001"), ["RELION_JOB_EXIT_SUCCESS"]);

    // A library that is missing is named.
    std::fs::remove_file(root.join("lib/opus-dsd/torch/lib/libc10.so")).unwrap();
    let broken = run("doctor --json");
    assert_eq!(broken.status, Some(1));
    assert!(broken.out.contains("not found: libc10.so"), "{}", broken.out);
}

fn modules(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("share/modulefiles/opus-dsd")).unwrap();
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
