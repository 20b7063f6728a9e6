//! Subsets keep what they do not change.

use super::{write_classes, write_rows};
use crate::mrc::{Values, write_stack};
use crate::particles::{ParticleSet, ReadOptions, read};
use starfile::StarFile;
use std::path::Path;
use tempfile::TempDir;

/// A table of three particles with a comment, a quoted cell, an unknown column and an unknown block.
const TABLE: &str = "# made by hand\n\n# version 50001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n_rlnVoltage #3\n\
                     _rlnSphericalAberration #4\n_rlnAmplitudeContrast #5\n_rlnImagePixelSize #6\n1 a 300 2.7 0.1 2.0\n2 unused 200 2.7 0.1 2.0\n\n\
                     # version 50001\n\ndata_particles\n\nloop_\n_rlnImageName #1\n_rlnOpticsGroup #2\n_rlnAngleRot #3\n_rlnAngleTilt #4\n\
                     _rlnAnglePsi #5\n_rlnDefocusU #6\n_rlnDefocusV #7\n_rlnDefocusAngle #8\n_myNote #9\n\
                     1@s.mrcs 1 1.50 2.0 3 10000 9000 45 \"first one\"\n2@s.mrcs 1 4e0 5 6 10000 9000 45 ''\n3@s.mrcs 1 7 8 9 10000 9000 45 x\n\n\
                     data_mine\n\n_rlnKept yes\n";

fn set(folder: &Path, table: &str) -> ParticleSet {
    write_stack(&folder.join("s.mrcs"), &[0.0; 3 * 16], 4, 2.0, Values::Single).expect("a stack");
    let star = folder.join("in.star");
    std::fs::write(&star, table).expect("a file");
    read(&star, &ReadOptions { project: Some(folder.to_owned()), ..ReadOptions::default() }).expect("a good table")
}

#[test]
fn rows_are_chosen_and_nothing_else_changes() {
    let folder = TempDir::new().expect("a temporary folder");
    let set = set(folder.path(), TABLE);
    let out = folder.path().join("out.star");
    write_rows(&out, &set, &[0, 2]).expect("a writable folder");
    let text = std::fs::read_to_string(&out).expect("written");
    assert_eq!(text, TABLE.replace("2@s.mrcs 1 4e0 5 6 10000 9000 45 ''\n", ""));
    write_rows(&out, &set, &[0, 1, 2]).expect("a writable folder");
    assert_eq!(std::fs::read_to_string(&out).expect("written"), TABLE);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 3, "no temporary file stays");
}

#[test]
fn classes_are_added_or_replaced() {
    let folder = TempDir::new().expect("a temporary folder");
    let out = folder.path().join("out.star");
    write_classes(&out, &set(folder.path(), TABLE), &[3, 1, 12]).expect("a writable folder");
    let text = std::fs::read_to_string(&out).expect("written");
    let expected = TABLE
        .replace("_myNote #9\n", "_myNote #9\n_rlnClassNumber #10 \n")
        .replace("one\"\n", "one\" 3\n")
        .replace("''\n", "'' 1\n")
        .replace(" x\n", " x 12\n");
    assert_eq!(text, expected);
    let with_classes =
        TABLE.replace("_myNote", "_rlnClassNumber").replace("\"first one\"", "7").replace("''", "  8").replace(" x\n", " 9 \n");
    write_classes(&out, &set(folder.path(), &with_classes), &[3, 1, 12]).expect("a writable folder");
    let expected = with_classes.replace("45 7\n", "45 3\n").replace("  8\n", "  1\n").replace(" 9 \n", " 12 \n");
    assert_eq!(std::fs::read_to_string(&out).expect("written"), expected);
    assert!(write_classes(&out, &set(folder.path(), TABLE), &[1]).is_err());
    assert!(write_rows(&out, &set(folder.path(), TABLE), &[3]).is_err());
}

#[test]
fn an_old_table_stays_old() {
    let folder = TempDir::new().expect("a temporary folder");
    let old = "data_\nloop_\n_rlnImageName\n_rlnVoltage\n_rlnSphericalAberration\n_rlnAmplitudeContrast\n_rlnMagnification\n_rlnDetectorPixelSize\n\
               _rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnDefocusU\n_rlnDefocusV\n_rlnDefocusAngle\n1@s.mrcs 300 2.7 .1 10000 2 1 2 3 9000 9000 0";
    let out = folder.path().join("out.star");
    write_classes(&out, &set(folder.path(), old), &[2]).expect("a writable folder");
    assert_eq!(std::fs::read_to_string(&out).expect("written"), old.replace("Angle\n1@", "Angle\n_rlnClassNumber\n1@") + " 2\n");
}

#[test]
fn stacks_with_archives_become_a_modern_table() {
    let folder = TempDir::new().expect("a temporary folder");
    let stack = folder.path().join("images.mrcs");
    write_stack(&stack, &vec![0.0; 40 * 64], 8, 2.0, Values::Single).expect("a stack");
    let legacy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/legacy");
    let options =
        ReadOptions { poses: Some(legacy.join("pose_tuple3_p4.pkl")), ctf: Some(legacy.join("ctf_p5.pkl")), ..ReadOptions::default() };
    let set = read(&stack, &options).expect("a stack with archives");
    let out = folder.path().join("out.star");
    let classes: Vec<u32> = (1..=40).collect();
    write_classes(&out, &set, &classes).expect("a writable folder");
    let again = read(&out, &ReadOptions::default()).expect("a table that was just written");
    assert_eq!(again.groups, set.groups);
    assert_eq!(again.rows, set.rows, "all numbers of this set have six decimals at most");
    let star = StarFile::read(&out).expect("STAR");
    let particles = star.block("particles").expect("there");
    assert_eq!(particles.version(), Some(30001));
    assert_eq!(particles.column("rlnClassNumber").expect("there").integers().expect("numbers"), (1..=40).collect::<Vec<i64>>());
}
