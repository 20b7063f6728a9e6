//! Files come back as they were: whole, as subsets, and with a column set.

use starfile::{SetColumn, StarFile};
use std::io::Write;
use std::path::{Path, PathBuf};

/// All STAR files below a folder.
fn star_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a readable folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            star_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "star") {
            found.push(path);
        }
    }
}

/// The project's own files, and the larger collection where it is there.
fn fixtures() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    star_files(&workspace.join("tests/data/star"), &mut found);
    assert!(found.len() >= 16, "the project's own fixtures are there");
    match std::env::var_os("OPUS_DSD_EXTRA_DATA").map(PathBuf::from).filter(|extra| extra.is_dir()) {
        Some(extra) => star_files(&extra, &mut found),
        // Around the test harness, which keeps to itself what tests that pass have printed.
        None => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: no extra STAR files; name their folder in OPUS_DSD_EXTRA_DATA");
        }
    }
    found
}

fn cells(file: &StarFile, block: usize) -> Vec<Vec<String>> {
    let block = file.block_at(block);
    let columns: Vec<_> = block.labels().map(|label| block.column(label).expect("a label of the block")).collect();
    (0..block.rows()).map(|row| columns.iter().map(|column| column.raw(row).to_owned()).collect()).collect()
}

fn subset(file: &StarFile, block: usize, rows: &[usize], set: &[SetColumn<'_>]) -> String {
    let mut out = Vec::new();
    file.write_subset(&mut out, block, rows, set).expect("a vector takes everything");
    String::from_utf8(out).expect("text")
}

#[test]
fn every_fixture_comes_back_byte_for_byte() {
    for path in fixtures() {
        let file = StarFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let source = std::fs::read_to_string(&path).expect("a readable file");
        assert_eq!(file.text(), source, "{}", path.display());
        for block in file.blocks().filter(starfile::Block::is_loop) {
            let all: Vec<usize> = (0..block.rows()).collect();
            let written = subset(&file, block.index(), &all, &[]);
            let expected = if source.ends_with('\n') { source.clone() } else { source.clone() + "\n" };
            assert_eq!(written, expected, "{} data_{}", path.display(), block.name());
        }
    }
}

#[test]
fn a_subset_keeps_cells_order_and_other_blocks() {
    for path in fixtures() {
        let file = StarFile::read(&path).expect("a fixture");
        for block in file.blocks().filter(starfile::Block::is_loop) {
            let rows: Vec<usize> = (0..block.rows()).step_by(3).collect();
            let again =
                StarFile::parse(subset(&file, block.index(), &rows, &[])).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(again.blocks().len(), file.blocks().len());
            for other in file.blocks() {
                let there = again.block_at(other.index());
                assert_eq!((there.name(), there.version()), (other.name(), other.version()));
                assert!(there.labels().eq(other.labels()));
                let before = cells(&file, other.index());
                let kept: Vec<Vec<String>> =
                    if other.index() == block.index() { rows.iter().map(|row| before[*row].clone()).collect() } else { before };
                assert_eq!(cells(&again, other.index()), kept, "{} data_{}", path.display(), other.name());
            }
        }
    }
}

#[test]
fn a_set_column_changes_nothing_else() {
    for path in fixtures() {
        let file = StarFile::read(&path).expect("a fixture");
        for block in file.blocks().filter(starfile::Block::is_loop) {
            let rows: Vec<usize> = (0..block.rows()).collect();
            let value = |row: usize| format!("{}", row % 7 + 1);
            let text = subset(&file, block.index(), &rows, &[SetColumn { label: "rlnClassNumber", value: &value }]);
            let again = StarFile::parse(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let there = again.block_at(block.index());
            let class = there.column("rlnClassNumber").expect("the column was set");
            assert!(rows.iter().all(|row| class.text(*row) == value(*row)));
            for label in block.labels().filter(|label| *label != "rlnClassNumber") {
                let (before, after) = (block.column(label).expect("there"), there.column(label).expect("kept"));
                assert_eq!(before.index(), after.index());
                assert!(rows.iter().all(|row| before.raw(*row) == after.raw(*row)), "{} _{label}", path.display());
            }
        }
    }
}
