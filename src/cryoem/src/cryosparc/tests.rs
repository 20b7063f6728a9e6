//! Tables are kept byte by byte, and refused where they are none.

use super::Table;
use contract::Result;
use std::path::Path;
use tempfile::TempDir;

/// A NumPy file with a header of version 1.
fn numpy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

const TYPES: &str = "[('uid', '<u8'), ('blob/path', '|S6'), ('blob/shape', '>u4', (2,)), ('', '|V3'), (('a title', 'x'), [('y', '<f8'), ('z', '<U2', (2,))]), \
                     ('s', '>f4'), ('when', '<M8[ns]')]";
/// Bytes of a row of [`TYPES`].
const ROW: usize = 8 + 6 + 8 + 3 + 24 + 4 + 8;

fn header(types: &str, rows: usize) -> String {
    format!("{{'descr': {types}, 'fortran_order': False, 'shape': ({rows},), }}   \n")
}

fn row(uid: u64, path: &[u8; 6]) -> Vec<u8> {
    let mut row = uid.to_le_bytes().to_vec();
    row.extend(path);
    row.extend([128_u32, 129].iter().flat_map(|side| side.to_be_bytes()));
    row.extend([7; 3 + 24]);
    row.extend((uid as f32 / 2.0).to_be_bytes());
    row.extend([9; 8]);
    row
}

fn table(folder: &Path, bytes: &[u8]) -> Result<Table> {
    let path = folder.join("t.cs");
    std::fs::write(&path, bytes).expect("a file");
    Table::read(&path)
}

#[test]
fn rows_are_the_same_bytes_whatever_their_fields() {
    let folder = TempDir::new().expect("a temporary folder");
    let rows = [row(11, b"a.mrc\0"), row(1 << 60, b"bc.mrc"), row(13, b"\0\0\0\0\0\0")];
    assert!(rows.iter().all(|row| row.len() == ROW));
    let table = table(folder.path(), &numpy(&header(TYPES, 3), &rows.concat())).expect("a table");
    assert_eq!(table.rows(), 3);
    let find = |name: &str| table.find(name).expect("there");
    assert_eq!([0, 1, 2].map(|row| find("uid").unsigned(row).expect("numbers")), [11, 1 << 60, 13]);
    assert_eq!([0, 1, 2].map(|row| find("blob/path").text(row).expect("texts")), ["a.mrc", "bc.mrc", ""]);
    assert_eq!([0, 1].map(|part| find("blob/shape").number(1, part).expect("numbers")), [128.0, 129.0]);
    assert_eq!(find("s").number(0, 0).expect("numbers"), 5.5);
    assert!(find("blob/shape").number(0, 2).is_err() && find("x").number(0, 0).is_err() && find("s").text(0).is_err());
    assert!(table.find("y").is_none());

    let out = folder.path().join("out.cs");
    table.write_rows(&out, &[2, 0]).expect("a writable folder");
    let written = std::fs::read(&out).expect("written");
    assert_eq!(&written[written.len() - 2 * ROW..], [rows[2].clone(), rows[0].clone()].concat());
    assert_eq!((written.len() - 2 * ROW) % 64, 0);
    let again = Table::read(&out).expect("what was written");
    assert_eq!((again.rows(), again.find("uid").expect("there").unsigned(0).expect("numbers")), (2, 13));
    assert!(table.write_rows(&folder.path().join("none.cs"), &[3]).is_err() && !folder.path().join("none.cs").exists());
}

#[test]
fn what_is_no_table_is_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let cases: [(&str, Vec<u8>); 9] = [
        ("is no NumPy file", b"hello".to_vec()),
        ("packed format", b"\x94CSDAT\x01".to_vec()),
        ("`notes` holds pickled objects", numpy(&header("[('uid', '<u8'), ('notes', '|O')]", 0), &[])),
        ("a plain array", numpy(&header("'<f4'", 1), &[0; 4])),
        ("its header says 61", numpy(&header(TYPES, 1), &[0; 60])),
        ("no dictionary", numpy("[1, 2", &[])),
        ("without types", numpy("{'shape': (1,)}", &[])),
        ("`q` is of type `<q9`", numpy(&header("[('q', '<q9')]", 0), &[])),
        ("cut off", numpy(&header(TYPES, 1), &[])[..40].to_vec()),
    ];
    for (part, bytes) in cases {
        let problem = table(folder.path(), &bytes).expect_err(part).to_string();
        assert!(problem.contains(part) && problem.contains("t.cs") && problem.contains("hint: "), "{part}: {problem}");
    }
}

#[test]
fn particles_are_recognised_by_uid_or_image() {
    let folder = TempDir::new().expect("a temporary folder");
    let types = "[('uid', '<u8'), ('blob/path', 'S20'), ('blob/idx', '<u4')]";
    let make = |rows: &[(u64, &str, u32)]| {
        let mut data = Vec::new();
        for (uid, path, index) in rows {
            data.extend(uid.to_le_bytes());
            data.extend(format!("{path:\0<20}").bytes());
            data.extend(index.to_le_bytes());
        }
        table(folder.path(), &numpy(&header(types, rows.len()), &data)).expect("a table")
    };
    let own = make(&[(5, ">J1/123_a.mrc", 0), (6, ">J1/123_a.mrc", 1), (7, ">J1/45_b.mrc", 0)]);
    let other = make(&[(7, "x", 0), (5, "x", 1)]);
    assert_eq!(own.rows_by_uid(&other).expect("all there"), [2, 0]);
    let missing = other.rows_by_uid(&own).expect_err("one is missing").to_string();
    assert!(missing.contains("1 of the 3 particles are not in it, such as uid 6") && !missing.contains("more than once"), "{missing}");
    let repeated = make(&[(5, "x", 0), (5, "x", 1), (7, "x", 2)]).rows_by_uid(&own).expect_err("one is there twice").to_string();
    assert!(
        repeated
            .contains("1 of the 3 particles are not in it, such as uid 6; 1 of the 3 particles are in it more than once, such as uid 5"),
        "{repeated}"
    );
    let by_image = |images: &[&str]| own.rows_by_image(images);
    assert_eq!(by_image(&["1@J1/45_b.mrc", "000002@J1/123_a.mrc"]).expect("whole paths"), [2, 1]);
    assert_eq!(by_image(&["1@other/45_b.mrc:mrcs", "2@other/123_a.mrc"]).expect("names"), [2, 1]);
    assert_eq!(by_image(&["1@Extract/b.mrcs"]).expect("names before the import"), [2]);
    let unknown = by_image(&["1@J1/45_b.mrc", "1@J9/c.mrc"]).expect_err("another stack").to_string();
    assert!(unknown.contains("1 of the 2 particles are not in it, such as `1@J9/c.mrc`"), "{unknown}");
    assert!(by_image(&["3@J1/123_a.mrc"]).is_err() && by_image(&["0@J1/123_a.mrc"]).is_err());
    // Repeated images: only rows that follow each other alike are surely the same.
    let expanded = make(&[(5, "a.mrc", 0), (6, "a.mrc", 0)]);
    assert_eq!(expanded.rows_by_image(&["1@a.mrc", "1@a.mrc"]).expect("row by row"), [0, 1]);
    assert!(expanded.rows_by_image(&["1@a.mrc"]).expect_err("either").to_string().contains("in it more than once, such as `1@a.mrc`"));
}
