use super::*;
use crate::mrc::write_volume;

const PARTICLES: CubeGrid = CubeGrid { box_px: 32, apix: 2.0 };

fn written(folder: &Path, volume: &Volume) -> std::path::PathBuf {
    let path = folder.join("mask.mrc");
    write_volume(&path, volume).unwrap();
    path
}

#[test]
fn a_good_mask_is_read_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let mask = soft_ball(32, 2.0, 8.0, 4.0);
    let mut notes = Vec::new();
    assert_eq!(read(&written(folder.path(), &mask), PARTICLES, &mut notes).unwrap(), mask);
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(on_grid(&mask, PARTICLES).unwrap(), mask);
}

#[test]
fn masks_of_another_grid_are_resampled_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut notes = Vec::new();
    let mask = read(&written(folder.path(), &soft_ball(40, 3.0, 6.0, 4.0)), PARTICLES, &mut notes).unwrap();
    assert!(notes[0].contains("40 voxels of 3.0000 Å") && notes[0].contains("resampled"), "{notes:?}");
    let out = on_grid(&mask, CubeGrid { box_px: 24, apix: 2.5 }).unwrap();
    let expected = soft_ball(24, 2.5, 6.0 * 3.0 / 2.5, 4.0 * 3.0 / 2.5);
    let worst = out.data.iter().zip(&expected.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 0.08, "{worst}");
    assert!(out.data.iter().all(|v| (0.0..=1.0).contains(v)) && out.data[[0, 0, 0]].abs() < f32::EPSILON);

    // A header that says 1 Å for want of knowledge.
    let mask = read(&written(folder.path(), &soft_ball(32, 1.0, 6.0, 4.0)), PARTICLES, &mut notes).unwrap();
    assert!((mask.apix - 2.0).abs() < 1e-9 && notes[1].contains("1 Å"), "{notes:?}");
}

#[test]
fn what_is_no_mask_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |data: Array3<f32>, word: &str| {
        let path = written(folder.path(), &Volume { data, apix: 2.0 });
        let text = read(&path, PARTICLES, &mut Vec::new()).unwrap_err().to_string();
        assert!(text.contains(word) && text.contains("mask.mrc"), "{text}");
    };
    refused(Array3::zeros((8, 8, 8)), "empty");
    refused(Array3::from_elem((8, 8, 8), 3.0), "from 3 to 3");
    refused(Array3::from_elem((8, 8, 8), f32::NAN), "no numbers");
    refused(Array3::from_elem((8, 8, 6), 1.0), "not a cube: 6 × 8 × 8");
}

#[test]
fn a_mask_outside_the_box_is_refused() {
    let mut mask = Volume::zeros(64, 4.0);
    mask.data[[1, 1, 1]] = 1.0;
    assert!(on_grid(&mask, PARTICLES).unwrap_err().to_string().contains("nothing of the mask"));
}

#[test]
fn a_map_gets_a_mask_around_its_density() {
    let n = 32;
    let mut map = soft_ball(n, 3.0, 5.0, 2.0);
    map.data[[2, 2, 2]] = 1.0;
    let options = MapMask { threshold: Some(0.5), low_pass_angstrom: 0.0, extend_angstrom: 6.0, soft_angstrom: 9.0 };
    let (mask, note) = from_map(&map, &options).unwrap();
    assert!(note.contains("widened by 6.0 Å"), "{note}");
    let c = n / 2;
    let profile: Vec<f32> = (0..12).map(|r| mask.data[[c, c, c + r]]).collect();
    // The ball's value falls below 0.5 beyond index 5; two voxels wider, three voxels soft.
    assert!(profile[..8].iter().all(|v| (v - 1.0).abs() < 1e-6), "{profile:?}");
    assert!((profile[8] - 0.75).abs() < 0.01 && (profile[9] - 0.25).abs() < 0.01 && profile[10].abs() < 1e-6, "{profile:?}");
    assert!(mask.data[[2, 2, 2]].abs() < f32::EPSILON, "dust is removed");

    let (automatic, _) = from_map(&map, &MapMask::default()).unwrap();
    assert!(automatic.data[[c, c, c]] > 0.99 && automatic.data[[c, c, 1]].abs() < f32::EPSILON);
    assert!(from_map(&Volume::zeros(8, 2.0), &MapMask::default()).is_err());
}

#[test]
fn the_window_follows_the_mask() {
    let mut mask = Array3::zeros((64, 64, 64));
    assert!((window(None, 64).window_r - 0.85).abs() < 1e-12);
    mask[[20, 30, 30]] = 1.0;
    mask[[40, 31, 50]] = 1.0;
    // Margins: z min(20, 24), y min(30, 33), x min(30, 14): the smallest is 14.
    let w = window(Some(mask.view()), 48);
    assert!((w.window_r - 40.0 / 64.0).abs() < 1e-12);
    assert_eq!(w.crop_px, 30);
    assert_eq!(even(31.9), 30);
}
