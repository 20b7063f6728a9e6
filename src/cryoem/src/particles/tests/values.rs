//! What is read from tables of every style.

use super::{BOX_PX, IMAGES, Project, archive, modern, old};
use crate::particles::{ReadOptions, Source, read};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn a_modern_table_has_its_groups_and_rows() {
    let project = Project::new();
    let set = project.read(&modern()).expect("a good table");
    assert_eq!(set.len(), IMAGES);
    assert_eq!(set.stacks, [project.path("Extract/job001/images.mrcs")]);
    let [krios, glacios] = &set.groups[..] else { panic!("two groups") };
    assert_eq!((krios.number, krios.name.as_str(), krios.box_px, krios.premultiplied, krios.ctf_known), (7, "krios", BOX_PX, false, true));
    assert_eq!((krios.voltage_kv, krios.cs_mm, krios.amplitude_contrast, krios.apix), (300.0, 2.7, 0.1, 2.0));
    assert_eq!((glacios.number, glacios.name.as_str(), glacios.premultiplied), (3, "the glacios", true));
    assert_eq!((glacios.voltage_kv, glacios.cs_mm, glacios.amplitude_contrast, glacios.apix), (200.0, 2.5, 0.07, 2.1));
    for (i, row) in set.rows.iter().enumerate() {
        assert_eq!((row.stack, row.slice as usize, row.group), (0, i, u32::from(i >= 30)));
        assert!(
            close(row.rot_deg, 9.0 * i as f64 - 170.0)
                && close(row.tilt_deg, 4.0 * i as f64 + 10.0)
                && close(row.psi_deg, 120.0 - 5.0 * i as f64)
        );
        assert!(close(row.origin_x_angstrom, 0.04 * i as f64) && close(row.origin_y_angstrom, -0.02 * i as f64));
        assert!(close(row.defocus_u_angstrom, 10000.0 + 10.0 * i as f64) && close(row.defocus_v_angstrom, 9800.0 + 10.0 * i as f64));
        assert_eq!((row.defocus_angle_deg, row.phase_shift_deg, row.ctf_bfactor_angstrom2, row.ctf_scale), (30.0, i as f64, 50.0, 0.9));
        assert_eq!(row.random_subset, Some((i % 2 + 1) as u8));
    }
    assert!(set.notes[0].ends_with("RELION STAR version 30001, `data_particles`: 40 rows, 40 used"), "{}", set.notes[0]);
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
}

#[test]
fn an_old_table_makes_groups_of_its_rows_and_shifts_of_its_pixels() {
    let project = Project::new();
    let (set, modern) = (project.read(&old()).expect("a good table"), project.read(&modern()).expect("a good table"));
    let [first, second] = &set.groups[..] else { panic!("two groups") };
    assert_eq!((first.voltage_kv, first.apix, first.number), (300.0, 2.0, 1));
    assert_eq!((second.voltage_kv, second.apix, second.number), (200.0, 2.0, 2));
    for (row, other) in set.rows.iter().zip(&modern.rows) {
        assert!(close(row.origin_x_angstrom, other.origin_x_angstrom) && close(row.origin_y_angstrom, other.origin_y_angstrom));
        assert_eq!(
            (row.slice, row.group, row.rot_deg, row.defocus_u_angstrom),
            (other.slice, other.group, other.rot_deg, other.defocus_u_angstrom)
        );
        assert_eq!((row.ctf_scale, row.ctf_bfactor_angstrom2, row.phase_shift_deg, row.random_subset), (1.0, 0.0, 0.0, None));
    }
}

#[test]
fn origins_in_angstrom_win() {
    let project = Project::new();
    let both = old()
        .replace("_rlnDefocusAngle #14 \n", "_rlnDefocusAngle #14 \n_rlnOriginXAngst #15 \n_rlnOriginYAngst #16 \n")
        .replace(" 30.000000\n", " 30.000000 1.5 -2.5\n");
    let set = project.read(&both).expect("a good table");
    assert!(set.rows.iter().all(|row| (row.origin_x_angstrom, row.origin_y_angstrom) == (1.5, -2.5)));
    assert!(set.notes.iter().any(|note| note.contains("`_rlnOriginXAngst`")), "{:?}", set.notes);
    let pixels = project
        .read(&modern().replace("_rlnOriginXAngst", "_rlnOriginX").replace("_rlnOriginYAngst", "_rlnOriginY"))
        .expect("a good table");
    assert!(close(pixels.rows[39].origin_x_angstrom, 39.0 * 0.04 * 2.1), "of its own group's pixels");
    let none = project.read(&modern().replace("OriginXAngst", "Other").replace("OriginYAngst", "Another")).expect("a good table");
    assert!(none.notes.iter().any(|note| note.contains("no origins")), "{:?}", none.notes);
}

#[test]
fn what_the_user_says_overrides_the_file() {
    let project = Project::new();
    let star = project.star(&old());
    let options = ReadOptions {
        apix: Some(3.0),
        voltage_kv: Some(120.0),
        cs_mm: Some(0.0),
        amplitude_contrast: Some(0.2),
        phase_shift_deg: Some(90.0),
        ..project.options()
    };
    let set = read(&star, &options).expect("a good table");
    assert_eq!(set.groups.len(), 1, "rows that no longer differ are one group");
    let group = &set.groups[0];
    assert_eq!((group.apix, group.voltage_kv, group.cs_mm, group.amplitude_contrast), (3.0, 120.0, 0.0, 0.2));
    assert!(set.rows.iter().all(|row| row.phase_shift_deg == 90.0));
    assert!(close(set.rows[10].origin_x_angstrom, 0.2 * 3.0));
}

#[test]
fn images_are_found_where_suites_keep_them() {
    let project = Project::new();
    let elsewhere = ReadOptions { project: Some(project.path("nowhere")), ..ReadOptions::default() };
    let set = read(&project.star(&modern()), &elsewhere).expect("found above the table's folder");
    assert_eq!(set.stacks, [project.path("Extract/job001/images.mrcs")]);
    project.stack("copies/images.mrcs", BOX_PX);
    let datadir = ReadOptions { datadir: Some(project.path("copies")), ..project.options() };
    assert_eq!(read(&project.star(&modern()), &datadir).expect("found by its last name").stacks, [project.path("copies/images.mrcs")]);
    project.stack("copies/Extract/job001/images.mrcs", BOX_PX);
    assert_eq!(
        read(&project.star(&modern()), &datadir).expect("found by its whole name").stacks,
        [project.path("copies/Extract/job001/images.mrcs")]
    );
}

#[test]
fn repeated_images_odd_optics_and_odd_units_are_told() {
    let project = Project::new();
    let table = modern()
        .replace("000002@", "000001@")
        .replace(
            "_rlnCtfDataAreCtfPremultiplied #9 \n",
            "_rlnCtfDataAreCtfPremultiplied #9 \n_rlnBeamTiltX #10 \n_rlnOddZernike #11 \n_rlnMagMat00 #12 \n",
        )
        .replace(" 8 2 0\n", " 8 2 0 0.1 [0,0,0] 1.0\n")
        .replace(" 8 2 1\n", " 8 2 1 0.0 [0,0,0] 1.0\n")
        .replace("50.000000 0.9", "-50.000000 0.9");
    let set = project.read(&table).expect("a good table");
    assert!(set.notes.iter().any(|note| note.starts_with("1 rows name an image that another row names too")), "{:?}", set.notes);
    assert!(set.notes.contains(&"not used, though the file has them: beam tilt".to_owned()), "{:?}", set.notes);
    assert!(
        set.warnings.iter().any(|warning| warning.starts_with("40 particles have a negative `_rlnCtfBfactor`, down to -50")),
        "{:?}",
        set.warnings
    );
    let far = project.read(&modern().replace(" 0.400000 ", " 400.0 ")).expect("a good table");
    assert!(
        far.warnings.iter().any(|warning| warning.starts_with("1 particles have their centre outside their image")),
        "{:?}",
        far.warnings
    );
}

#[test]
fn stacks_and_lists_take_poses_and_ctf_from_archives() {
    let project = Project::new();
    std::fs::write(project.path("Extract/stacks.txt"), "job001/images.mrcs\n").expect("a file");
    let expected = project.read(&old()).expect("a good table");
    for (input, poses, ctf) in [
        ("Extract/job001/images.mrcs", "pose_tuple3_p4.pkl", "ctf_p4.pkl"),
        ("Extract/stacks.txt", "pose_tuple2_p2.pkl", "ctf_p5.pkl"),
        ("Extract/stacks.txt", "pose_fortran_p3.pkl", "ctf_p5.pkl"),
        ("Extract/job001/images.mrcs", "pose_bodies_p5.pkl", "ctf_p5.pkl"),
    ] {
        let options = ReadOptions { poses: Some(archive(poses)), ctf: Some(archive(ctf)), ..project.options() };
        let set = read(&project.path(input), &options).unwrap_or_else(|problem| panic!("{poses}: {problem}"));
        assert!(matches!(set.source, Source::Stacks));
        assert_eq!(
            set.groups.iter().map(|group| (group.voltage_kv, group.apix, group.box_px)).collect::<Vec<_>>(),
            [(300.0, 2.0, 8), (200.0, 2.0, 8)]
        );
        for (i, (row, other)) in set.rows.iter().zip(&expected.rows).enumerate() {
            assert_eq!((row.slice, row.group), (other.slice, other.group));
            let angles = [(row.rot_deg, other.rot_deg), (row.tilt_deg, other.tilt_deg), (row.psi_deg, other.psi_deg)];
            // Single-precision matrices give the angles back to a thousandth of a degree, up to whole turns.
            assert!(angles.iter().all(|(a, b)| ((a - b + 180.0).rem_euclid(360.0) - 180.0).abs() < 1e-3), "{poses} {i}: {angles:?}");
            assert!(
                (row.origin_x_angstrom - other.origin_x_angstrom).abs() < 1e-6
                    && (row.origin_y_angstrom - other.origin_y_angstrom).abs() < 1e-6
            );
            assert_eq!((row.defocus_u_angstrom, row.defocus_v_angstrom), (other.defocus_u_angstrom, other.defocus_v_angstrom));
            assert_eq!(row.phase_shift_deg, i as f64);
        }
    }
}

#[test]
fn archives_replace_a_tables_columns() {
    let project = Project::new();
    let bare: String = modern().replace("_rlnAngleRot", "_rlnNot1").replace("_rlnDefocusU", "_rlnNot2").replace("_rlnVoltage", "_rlnNot3");
    let options = ReadOptions { poses: Some(archive("pose_tuple3_p4.pkl")), ctf: Some(archive("ctf_p5.pkl")), ..project.options() };
    let set = read(&project.star(&bare), &options).expect("poses and CTF are given");
    assert_eq!(
        set.groups.iter().map(|group| (group.voltage_kv, group.apix, group.premultiplied)).collect::<Vec<_>>(),
        [(300.0, 2.0, false), (200.0, 2.0, true)]
    );
    assert!(close(set.rows[39].rot_deg, 9.0 * 39.0 - 170.0) && close(set.rows[39].origin_x_angstrom, 39.0 / 400.0 * 16.0));
    assert!(matches!(set.source, Source::Star { .. }));
}

#[test]
fn images_without_a_ctf_are_read_when_asked() {
    let project = Project::new();
    let table = modern().replace("_rlnDefocusU", "_rlnNot").replace("_rlnVoltage", "_rlnNor");
    let set = read(&project.star(&table), &ReadOptions { without_ctf: true, ..project.options() }).expect("no CTF is asked for");
    assert!(set.groups.iter().all(|group| !group.ctf_known));
    assert!(set.rows.iter().all(|row| row.defocus_u_angstrom == 0.0 && row.ctf_scale == 1.0));
}
