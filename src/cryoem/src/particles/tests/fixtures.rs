//! Files of other programs. They are not the project's to give: they are read from a folder of their own where it is there.

use crate::particles::{ParticleSet, ReadOptions, Stack, StackSource, read, read_with};
use contract::Result;
use starfile::StarFile;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Box of the imagined stacks of tables that do not state one.
const DEFAULT_BOX_PX: usize = 64;

/// Stacks of any name, of the box that the table states: for tables whose images are not there.
struct Imagined {
    box_px: usize,
}

impl Imagined {
    fn of(table: &Path) -> Self {
        let stated = StarFile::read(table).ok().and_then(|file| file.find("optics")?.find("rlnImageSize")?.integer(0).ok());
        Self { box_px: stated.and_then(|size| usize::try_from(size).ok()).unwrap_or(DEFAULT_BOX_PX) }
    }
}

impl StackSource for Imagined {
    fn open(&self, name: &str) -> Result<Stack> {
        Ok(Stack { path: PathBuf::from(name), slices: usize::MAX, box_px: self.box_px })
    }
}

/// The collection of fixtures, where it is there.
fn extra_data() -> Option<PathBuf> {
    let folder = std::env::var_os("OPUS_DSD_EXTRA_DATA").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        crate::skip::skipped("no extra data; name their folder in OPUS_DSD_EXTRA_DATA");
    }
    folder
}

/// A set for people: notes, warnings, and the first and last particles.
fn outcome(result: Result<ParticleSet>) -> String {
    let set = match result {
        Ok(set) => set,
        Err(problem) => return format!("refused: {problem}\n"),
    };
    let mut text = String::new();
    let mut line = |text_line: String| writeln!(text, "{text_line}").expect("a string grows");
    set.notes.iter().for_each(|note| line(format!("note: {note}")));
    set.warnings.iter().for_each(|warning| line(format!("warning: {warning}")));
    line(format!("{} stacks, first {}", set.stacks.len(), set.stacks[0].display()));
    for index in [0, set.len() - 1] {
        let row = &set.rows[index];
        line(format!(
            "{index}: image {} group {} pose ({} {} {}) origin ({:.4} {:.4}) Å defocus ({} {} {}) phase {} B {} scale {} half {:?}",
            row.slice,
            row.group,
            row.rot_deg,
            row.tilt_deg,
            row.psi_deg,
            row.origin_x_angstrom,
            row.origin_y_angstrom,
            row.defocus_u_angstrom,
            row.defocus_v_angstrom,
            row.defocus_angle_deg,
            row.phase_shift_deg,
            row.ctf_bfactor_angstrom2,
            row.ctf_scale,
            row.random_subset
        ));
    }
    text
}

#[test]
fn every_fixture_is_read_right_or_refused_by_name() {
    let Some(data) = extra_data() else { return };
    let mut text = String::new();
    for folder in ["star/relion30", "star/relion31", "star/relion4", "star/relion5", "star/quirks", "particles"] {
        let entries = std::fs::read_dir(data.join(folder)).expect("a folder of the collection");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "star"));
        files.sort();
        for file in files {
            let options = ReadOptions::default();
            // Only these tables lie beside their images.
            let result = if folder == "particles" { read(&file, &options) } else { read_with(&file, &options, &Imagined::of(&file)) };
            writeln!(text, "== {folder}/{}\n{}", file.file_name().expect("a file").display(), outcome(result)).expect("a string grows");
        }
    }
    insta::assert_snapshot!(text.replace(&data.display().to_string(), "DATA"));
}

#[test]
fn real_stacks_with_archives_are_read() {
    let Some(data) = extra_data() else { return };
    let file = |name: &str| data.join("particles").join(name);
    let with = |poses: &str, ctf: &str| ReadOptions { poses: Some(file(poses)), ctf: Some(file(ctf)), ..ReadOptions::default() };
    let set = read(&file("sta_testing_bin8.star"), &with("sta_pose.pkl", "sta_ctf.pkl")).expect("archives of this table");
    let plain = read(&file("sta_testing_bin8.star"), &ReadOptions::default()).expect("a table with all it needs");
    for (row, other) in set.rows.iter().zip(&plain.rows) {
        for (a, b) in [(row.rot_deg, other.rot_deg), (row.tilt_deg, other.tilt_deg), (row.psi_deg, other.psi_deg)] {
            assert!(((a - b + 180.0).rem_euclid(360.0) - 180.0).abs() < 1e-4, "{row:?} {other:?}");
        }
        assert!((row.defocus_u_angstrom - other.defocus_u_angstrom).abs() < 0.01);
    }
    // The archive was made for a box of 512 at 1.82 Å, the images are 64 wide.
    assert!((set.groups[0].apix - 1.82 * 8.0).abs() < 1e-5);
    let toy = read(&file("toy_projections.star"), &with("toy_rot_trans.pkl", "toy_test_ctf.pkl")).expect("archives of this table");
    assert_eq!((toy.len(), toy.groups.len(), toy.groups[0].apix), (1000, 1, 1.0));
    let missing = read(&file("ay19102021_L3_position6_ribo_it09_bin8_1.82A.mrcs"), &with("sta_pose.pkl", "sta_ctf.pkl"))
        .expect_err("220 images, 219 rows");
    assert!(missing.to_string().contains("has 219 rows, there are 220 images"), "{missing}");
}

#[test]
fn simulated_sets_are_read_in_both_styles() {
    let Some(data) = extra_data() else { return };
    let folder = data.join("tiny/adk-path-tiny");
    let modern = read(&folder.join("particles.star"), &ReadOptions::default()).expect("a good table");
    let old = read(&folder.join("particles_30.star"), &ReadOptions::default()).expect("a good table");
    assert_eq!((modern.len(), modern.groups[0].apix, modern.groups[0].box_px), (1000, 2.3, 48));
    assert!(modern.check().expect("enough particles").is_empty(), "a thousand particles from all sides");
    for (a, b) in modern.rows.iter().zip(&old.rows) {
        assert!((a.origin_x_angstrom - b.origin_x_angstrom).abs() < 2e-6 && (a.origin_y_angstrom - b.origin_y_angstrom).abs() < 2e-6);
        assert_eq!((a.rot_deg, a.defocus_u_angstrom, a.random_subset), (b.rot_deg, b.defocus_u_angstrom, b.random_subset));
    }
}
