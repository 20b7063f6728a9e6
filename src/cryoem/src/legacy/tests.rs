//! Archives of every protocol are read, and nothing else is.

use super::{CtfRow, Value, parse, read, read_ctf, read_poses};
use std::path::{Path, PathBuf};

fn archive(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/legacy").join(name)
}

fn refusal(name: &str) -> String {
    let message = match read_poses(&archive(name)) {
        Ok(poses) => panic!("{name} was read: {poses:?}"),
        Err(problem) => problem.to_string(),
    };
    message.split_once(": ").map_or(String::new(), |(_, what)| what.to_owned())
}

#[test]
fn poses_of_all_protocols_agree() {
    for (name, shifts) in [
        ("pose_tuple3_p4.pkl", true),
        ("pose_tuple2_p2.pkl", true),
        ("pose_bodies_p5.pkl", true),
        ("pose_fortran_p3.pkl", true),
        ("pose_big_endian_p4.pkl", false),
    ] {
        let poses = read_poses(&archive(name)).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(poses.euler.len(), 40);
        for (i, euler) in poses.euler.iter().enumerate() {
            let i = i as f64;
            for (angle, expected) in [(euler.rot_deg, 9.0 * i - 170.0), (euler.tilt_deg, 4.0 * i + 10.0), (euler.psi_deg, 120.0 - 5.0 * i)]
            {
                assert!(((angle - expected + 180.0).rem_euclid(360.0) - 180.0).abs() < 1e-3, "{name} {i}: {angle} {expected}");
            }
        }
        assert_eq!(poses.shifts.as_ref().map(|shifts| shifts[10]), shifts.then_some([0.025, -0.0125]), "{name}");
    }
}

#[test]
fn ctf_rows_are_read() {
    let rows = read_ctf(&archive("ctf_p5.pkl")).expect("a CTF archive");
    let expected = CtfRow {
        box_px: 8.0,
        apix: 2.0,
        defocus_u_angstrom: 10350.0,
        defocus_v_angstrom: 10150.0,
        defocus_angle_deg: 30.0,
        voltage_kv: 200.0,
        cs_mm: 2.7,
        amplitude_contrast: 0.1,
        phase_shift_deg: 35.0,
    };
    assert_eq!(rows[35], expected);
    assert_eq!(read_ctf(&archive("ctf_p4.pkl")).expect("a CTF archive")[35].defocus_u_angstrom, 10350.0);
}

#[test]
fn what_is_no_plain_archive_is_refused_and_not_run() {
    let said = refusal("refused_call.pkl");
    assert!(said.starts_with("not a plain archive: it asks for `posix.system`; nothing in it was run"), "{said}");
    assert!(!Path::new("pickle-was-run").exists());
    let said = refusal("refused_objects.pkl");
    assert!(said.starts_with("not a plain archive: it holds an array of type `O8`"), "{said}");
    assert!(refusal("refused_dict.pkl").starts_with("no pose archive: it does not begin with an array"));
    assert!(refusal("refused_mirror.pkl").starts_with("the matrix of image 1 is no rotation"));
    assert!(refusal("refused_pixels.pkl").starts_with("the shift of image 1 is [5.0, 5.0]: expected fractions of the box"));
}

#[test]
fn damage_of_any_kind_is_an_error_and_never_a_panic() {
    for name in ["pose_tuple3_p4.pkl", "pose_tuple2_p2.pkl", "pose_fortran_p3.pkl", "ctf_p5.pkl", "refused_call.pkl"] {
        let bytes = std::fs::read(archive(name)).expect("a fixture");
        for length in 0..bytes.len().min(400) {
            assert!(parse(&bytes[..length]).is_err(), "{name} cut after {length}");
        }
        // Every byte of the instructions at the beginning and the end, turned in four ways.
        let places = (0..bytes.len()).filter(|place| *place < 250 || *place + 60 > bytes.len());
        for place in places {
            for turn in [0x01, 0x10, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] ^= turn;
                if let Ok(Value::Array(array)) = parse(&damaged) {
                    assert!(array.check().is_ok());
                }
            }
        }
    }
    // Tuples of twice the tuple before: 2^60 values from a few hundred bytes.
    let mut bomb = vec![0x80, 4, b'N'];
    bomb.extend([b'2', 0x86].repeat(60));
    bomb.push(b'.');
    assert!(parse(&bomb).is_err());
    // A million nested lists.
    let mut deep = b"(".repeat(1_000_000);
    deep.extend(b"l".repeat(1_000_000));
    deep.push(b'.');
    assert!(parse(&deep).is_err());
    assert!(read(&archive("make.py")).is_err());
    assert!(parse(b"PK\x03\x04").expect_err("zip").to_string().contains("PyTorch"));
}

#[test]
fn plain_values_are_read() {
    // (None, True, -2, 300, 'a', [1.5]) as protocol 2 writes it.
    let bytes = b"\x80\x02(N\x88J\xfe\xff\xff\xffM\x2c\x01X\x01\x00\x00\x00a]G\x3f\xf8\x00\x00\x00\x00\x00\x00at.";
    let expected = vec![
        Value::None,
        Value::Bool(true),
        Value::Int(-2),
        Value::Int(300),
        Value::Text("a".to_owned()),
        Value::List(vec![Value::Float(1.5)]),
    ];
    assert_eq!(parse(bytes).expect("plain values"), Value::Tuple(expected));
}
