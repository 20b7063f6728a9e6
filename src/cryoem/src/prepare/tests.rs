use super::*;
use crate::fft;
use crate::mrc::{Values, write_stack};
use crate::particles::{OpticsGroup, Source as Origin};
use crate::random::Random;
use ndarray::Array2;
use std::path::PathBuf;

/// A group's images to be: box, pixel size, number, level and noise of the background, sign of the particle.
#[derive(Clone, Copy)]
struct Plan {
    box_px: usize,
    apix: f64,
    images: usize,
    background: f32,
    noise: f32,
    height: f32,
    ctf_known: bool,
}

const PLAIN: Plan = Plan { box_px: 48, apix: 2.0, images: 60, background: 0.0, noise: 1.0, height: 1.0, ctf_known: false };

fn origin(i: usize) -> [f64; 2] {
    [(i % 7) as f64 * 2.3 - 6.0, (i % 5) as f64 * 3.1 - 7.0]
}

/// Gaussian particles of 7 Å at −origin, through a CTF where the plan has one, in white noise: a stack a group.
fn make(folder: &Path, plans: &[Plan]) -> ParticleSet {
    let mut set = ParticleSet { rows: vec![], groups: vec![], stacks: vec![], source: Origin::Stacks, notes: vec![], warnings: vec![] };
    for (g, plan) in plans.iter().enumerate() {
        let group = OpticsGroup {
            name: format!("group{}", g + 1),
            number: g as i64 + 1,
            voltage_kv: 300.0,
            cs_mm: 2.7,
            amplitude_contrast: 0.1,
            apix: plan.apix,
            box_px: plan.box_px,
            premultiplied: false,
            ctf_known: plan.ctf_known,
        };
        let mut pixels = Vec::new();
        for i in 0..plan.images {
            let [ox, oy] = origin(i);
            let row = Particle {
                stack: g as u32,
                slice: i as u32,
                group: g as u32,
                rot_deg: i as f64,
                tilt_deg: 2.0 * i as f64,
                psi_deg: 3.0 * i as f64,
                origin_x_angstrom: ox,
                origin_y_angstrom: oy,
                defocus_u_angstrom: 9000.0 + 100.0 * i as f64,
                defocus_v_angstrom: 9000.0,
                defocus_angle_deg: 20.0,
                phase_shift_deg: 0.0,
                ctf_bfactor_angstrom2: 0.0,
                ctf_scale: 1.0,
                random_subset: None,
            };
            let mut random = Random::keyed(5, &[g as u64, i as u64]);
            let mut image = spot(plan.box_px, plan.apix, [-ox, -oy]) * plan.height;
            if plan.ctf_known {
                let mut spectrum = fft::rfft2(image.view());
                let ctf = source::ctf(&group, &row).half_plane(plan.box_px, plan.apix);
                spectrum.iter_mut().zip(ctf).for_each(|(v, c)| *v *= c);
                image = fft::irfft2(spectrum, plan.box_px);
            }
            pixels.extend(image.iter().map(|v| v + plan.background + plan.noise * random.normal() as f32));
            set.rows.push(row);
        }
        let path = folder.join(format!("stack{g}.mrcs"));
        write_stack(&path, &pixels, plan.box_px, plan.apix, Values::Single).unwrap();
        set.groups.push(group);
        set.stacks.push(path);
    }
    set
}

fn spot(n: usize, apix: f64, [x0, y0]: [f64; 2]) -> Array2<f32> {
    let c = (n / 2) as f64;
    Array2::from_shape_fn((n, n), |(y, x)| {
        let (dx, dy) = ((x as f64 - c) * apix - x0, (y as f64 - c) * apix - y0);
        (-(dx * dx + dy * dy) / (2.0 * 49.0)).exp() as f32
    })
}

fn options(size_px: usize) -> PrepareOptions {
    PrepareOptions { size_px, apix: None, invert: Invert::Auto, known: Vec::new() }
}

fn run(set: &ParticleSet, options: &PrepareOptions, folder: &Path) -> (Preparation, PreparedSet) {
    let preparation = prepare(set, options, folder, &mut |_, _| Ok(())).unwrap();
    let opened = PreparedSet::open(&preparation.prepared).unwrap();
    assert_eq!(PreparedSet::load(&folder.join(DESCRIPTION)).unwrap().prepared(), &preparation.prepared);
    (preparation, opened)
}

fn folders() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("prepared");
    (folder, out)
}

/// Mean image of a group.
fn average(set: &PreparedSet, group: i64) -> Array2<f32> {
    let n = set.size_px();
    let members: Vec<usize> = (0..set.len()).filter(|&i| set.group()[i] == group).collect();
    let mut sum = Array2::zeros((n, n));
    for image in set.images(&members).chunks(n * n) {
        sum += &ndarray::ArrayView2::from_shape((n, n), image).unwrap();
    }
    sum / members.len() as f32
}

#[test]
fn particles_come_to_the_centre_of_one_grid_with_unit_noise() {
    let (folder, out) = folders();
    let other = Plan { box_px: 80, apix: 1.3, background: 5.0, noise: 0.25, height: 0.5, ..PLAIN };
    let set = make(folder.path(), &[PLAIN, other]);
    let (preparation, prepared) = run(&set, &options(32), &out);
    assert!((preparation.prepared.apix - 3.0).abs() < 1e-12);
    assert_eq!((prepared.len(), prepared.size_px()), (120, 32));
    assert!((prepared.apix()[0] - 3.0).abs() < 1e-6 && (prepared.apix()[60] / 3.0 - 1.0).abs() < 0.005);
    for (g, (plan, summary)) in [PLAIN, other].iter().zip(&preparation.prepared.groups).enumerate() {
        assert_eq!((summary.particles, summary.box_px, summary.inverted), (60, plan.box_px, false));
        assert!((summary.background - f64::from(plan.background)).abs() < 0.05 * f64::from(plan.noise), "{summary:?}");
        // White noise, cropped in Fourier space, loses in proportion to the pixel size.
        let expected = f64::from(plan.noise) * plan.apix / f64::from(prepared.apix()[60 * g]);
        assert!((summary.noise_std / expected - 1.0).abs() < 0.03, "{summary:?}, {expected}");
        let image = average(&prepared, g as i64);
        let expected = spot(32, f64::from(prepared.apix()[60 * g]), [0.0, 0.0]) * plan.height / summary.noise_std as f32;
        let worst = (&image - &expected).iter().map(|v| v.abs()).fold(0.0, f32::max);
        // Five deviations of the mean of 60 images.
        assert!(worst < 5.0 / 60f32.sqrt(), "group {g}: {worst}");
        // The noise alone moves it by 0.06 pixels; a centre at (n − 1)/2 would by 0.5.
        let centre_of_mass = |along: usize| {
            let weight = |y: usize, x: usize| f64::from(image[[y, x]]) * f64::from(u8::from(expected[[y, x]] > 0.1));
            let sum: f64 = ndarray::indices((32, 32)).into_iter().map(|(y, x)| weight(y, x)).sum();
            let moment: f64 = ndarray::indices((32, 32)).into_iter().map(|(y, x)| weight(y, x) * [y, x][along] as f64).sum();
            moment / sum
        };
        assert!((centre_of_mass(0) - 16.0).abs() < 0.25 && (centre_of_mass(1) - 16.0).abs() < 0.25, "group {g}");
    }
    // Background of mean 0 and deviation 1 outside the particle, over all images.
    let all: Vec<usize> = (0..prepared.len()).collect();
    let outside: Vec<f32> = prepared
        .images(&all)
        .chunks(32 * 32)
        .flat_map(|image| {
            image
                .iter()
                .enumerate()
                .filter(|(i, _)| (i / 32).abs_diff(16).max((i % 32).abs_diff(16)) >= 12)
                .map(|(_, v)| *v)
                .collect::<Vec<_>>()
        })
        .collect();
    let (mean, std) = background::moments(outside.into_iter());
    assert!(mean.abs() < 0.01 && (std - 1.0).abs() < 0.02, "{mean} {std}");
    assert_eq!(std::fs::metadata(out.join("images.f16")).unwrap().len(), 120 * 32 * 32 * 2);
    let table = std::fs::metadata(out.join("table.safetensors")).unwrap().len();
    assert!((table as i64 - (bytes_on_disk(120, 32) as i64 - 120 * 32 * 32 * 2)).abs() < 1024);
}

#[test]
fn the_table_holds_poses_and_ctf_row_by_row() {
    let (folder, out) = folders();
    let set = make(folder.path(), &[Plan { images: 40, ctf_known: true, ..PLAIN }]);
    let (_, prepared) = run(&set, &options(24), &out);
    let a = crate::geometry::Euler::new(7.0, 14.0, 21.0).matrix();
    for (i, v) in prepared.rotations()[7].iter().enumerate() {
        assert!((f64::from(*v) - a[i / 3][i % 3]).abs() < 1e-6);
    }
    assert_eq!(prepared.ctf()[7], [9700.0, 9000.0, 20.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0]);
    assert_eq!((prepared.premultiplied()[7], prepared.ctf_known()[7], prepared.group()[7]), (0, 1, 0));
    let mut one = vec![0.0; 24 * 24];
    prepared.image_into(7, &mut one);
    assert_eq!(one, prepared.images(&[3, 7])[24 * 24..]);
}

#[test]
fn neither_threads_nor_repetition_change_a_byte() {
    let (folder, _) = folders();
    let set = make(folder.path(), &[PLAIN, Plan { box_px: 40, apix: 2.6, ..PLAIN }]);
    let bytes = |threads: usize| {
        let out = folder.path().join(format!("with{threads}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let done = pool.install(|| prepare(&set, &options(32), &out, &mut |_, _| Ok(()))).unwrap();
        (std::fs::read(out.join("images.f16")).unwrap(), std::fs::read(out.join("table.safetensors")).unwrap(), done.notes)
    };
    assert_eq!(bytes(1), bytes(3));
}

#[test]
fn black_particles_are_turned() {
    for ctf_known in [false, true] {
        let (folder, out) = folders();
        let height = if ctf_known { 4.0 } else { 0.7 };
        let plan = Plan { ctf_known, height, ..PLAIN };
        let black = Plan { height: -height, ..plan };
        let nothing = Plan { height: 0.0, ..plan };
        let (white, _) = run(&make(folder.path(), &[plan]), &options(32), &out);
        assert!(!white.prepared.groups[0].inverted && white.notes.len() == 1 && white.warnings.is_empty(), "{white:?}");
        let set = make(folder.path(), &[black, nothing]);
        let (turned, prepared) = run(&set, &options(32), &out);
        assert!(turned.prepared.groups.iter().all(|g| g.inverted), "{:?}", turned.notes);
        assert!(turned.warnings.len() == 1 && turned.warnings[0].contains("the particles are black"), "{:?}", turned.warnings);
        assert!(turned.notes.iter().any(|n| n.contains("`group1`: particles are black")), "{:?}", turned.notes);
        assert!(turned.notes.iter().any(|n| n.contains("`group2`") && n.contains("as in the other groups")), "{:?}", turned.notes);
        if !ctf_known {
            assert!(average(&prepared, 0)[[16, 16]] > 0.5);
        }
        let no = PrepareOptions { invert: Invert::No, ..options(32) };
        let (left, _) = run(&set, &no, &out);
        assert!(!left.prepared.groups[0].inverted);
        assert!(
            left.warnings.len() == 1 && left.warnings[0].contains("look black") && left.warnings[0].contains("left"),
            "{:?}",
            left.warnings
        );
    }
}

#[test]
fn images_that_are_not_normalised_are() {
    let (folder, out) = folders();
    let set = make(folder.path(), &[PLAIN]);
    // Each image with a gain and an offset of its own.
    let stack = crate::mrc::StackReader::open(&set.stacks[0]).unwrap();
    let mut pixels = vec![0.0; 60 * 48 * 48];
    for (i, image) in pixels.chunks_mut(48 * 48).enumerate() {
        stack.read_into(i, image).unwrap();
        image.iter_mut().for_each(|v| *v = *v * (1.0 + (i % 5) as f32) + 40.0 * (i % 3) as f32);
    }
    drop(stack);
    write_stack(&set.stacks[0], &pixels, 48, 2.0, Values::Single).unwrap();
    let (done, prepared) = run(&set, &options(32), &out);
    assert!(done.notes.iter().any(|n| n.contains("not normalised")), "{:?}", done.notes);
    for i in 0..60 {
        let (mean, std) = background::moments(prepared.images(&[i]).chunks(32).take(4).flatten().copied());
        assert!(mean.abs() < 0.4 && (std - 1.0).abs() < 0.3, "image {i}: {mean} {std}");
    }
}

#[test]
fn groups_of_larger_pixels_are_padded_and_a_wanted_pixel_size_is_met() {
    let (folder, out) = folders();
    let set = make(folder.path(), &[PLAIN, Plan { box_px: 32, apix: 2.2, ..PLAIN }]);
    let wanted = PrepareOptions { apix: Some(4.4), ..options(32) };
    let (done, prepared) = run(&set, &wanted, &out);
    assert!((done.prepared.apix - 4.4).abs() < 1e-12);
    assert!(prepared.apix().iter().all(|a| (f64::from(*a) / 4.4 - 1.0).abs() < 0.005));
    for (g, summary) in done.prepared.groups.iter().enumerate() {
        let expected = set.groups[g].apix / f64::from(prepared.apix()[60 * g]);
        assert!((summary.noise_std / expected - 1.0).abs() < 0.05, "{summary:?}: padding must not count as background");
    }
    assert!(done.notes.iter().any(|n| n.contains("padded to")), "{:?}", done.notes);
}

#[test]
fn images_without_noise_are_noticed() {
    let (folder, out) = folders();
    let (done, prepared) = run(&make(folder.path(), &[Plan { noise: 0.0, ..PLAIN }]), &options(32), &out);
    assert!(done.notes.iter().any(|n| n.contains("no noise in the corners")), "{:?}", done.notes);
    assert!(prepared.images(&[0]).iter().all(|v| v.is_finite()));
}

#[test]
fn bad_pixels_end_the_preparation_and_leave_nothing() {
    let (folder, out) = folders();
    let mut set = make(folder.path(), &[PLAIN]);
    let path = set.stacks[0].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    let image = 48 * 48 * 4;
    bytes[1024 + 12 * image..1024 + 13 * image].as_chunks_mut::<4>().0.fill(f32::NAN.to_le_bytes());
    bytes[1024 + 20 * image..1024 + 20 * image + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let fails = |set: &ParticleSet| prepare(set, &options(32), &out, &mut |_, _| Ok(())).unwrap_err().to_string();
    let text = fails(&set);
    assert!(text.contains("stack0.mrcs: image 13 has all pixels"), "{text}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
    set.rows.remove(12);
    assert!(fails(&set).contains("image 21 has 1 of 2304 pixels"));
    std::fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
    let text = fails(&set);
    assert!(text.contains("truncated") && text.contains(&format!("{} bytes expected", bytes.len())), "{text}");
    set.groups[0].box_px = 50;
    std::fs::write(&path, &bytes).unwrap();
    assert!(fails(&set).contains("images of 48 pixels, optics group `group1` has 50"));
}

#[test]
fn it_can_be_stopped_between_images() {
    let (folder, out) = folders();
    let set = make(folder.path(), &[PLAIN]);
    let mut calls = Vec::new();
    let stopped = prepare(&set, &options(32), &out, &mut |done, total| {
        calls.push((done, total));
        if done > 0 { Err(Problem::new(Kind::Aborted, "stopped")) } else { Ok(()) }
    });
    assert_eq!(stopped.unwrap_err().kind, Kind::Aborted);
    assert_eq!(calls, [(0, 60), (60, 60)]);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
}

/// The images of every fourth particle, made in company and alone.
fn quarter(set: &ParticleSet, known: Vec<GroupSummary>, folder: &Path) -> (Preparation, Vec<f32>) {
    let rows = set.rows.iter().copied().step_by(4).collect();
    let part = ParticleSet { rows, ..set.clone() };
    let (preparation, opened) = run(&part, &PrepareOptions { apix: Some(3.0), known, ..options(32) }, folder);
    let all: Vec<usize> = (0..opened.len()).collect();
    (preparation, opened.images(&all))
}

#[test]
fn a_part_of_a_known_group_is_made_as_in_company() {
    let (folder, out) = folders();
    let plan = Plan { height: -1.0, ..PLAIN };
    let set = make(folder.path(), &[plan]);
    let (whole, opened) = run(&set, &options(32), &out);
    let expected = opened.images(&(0..opened.len()).step_by(4).collect::<Vec<_>>());
    let (alike, images) = quarter(&set, whole.prepared.groups.clone(), &folder.path().join("known"));
    assert!(images == expected, "the same images");
    assert!(alike.prepared.groups[0].inverted && alike.prepared.fingerprint != quarter(&set, Vec::new(), &out).0.prepared.fingerprint);
    let (_, alone) = quarter(&set, Vec::new(), &folder.path().join("alone"));
    assert!(alone != expected, "another sample gives another scale");

    // Images of another scale under the same name are measured anew, and a note says so.
    let other = make(folder.path(), &[Plan { noise: 3.0 * plan.noise, height: -3.0, ..plan }]);
    let (anew, _) = quarter(&other, whole.prepared.groups.clone(), &folder.path().join("anew"));
    let noise = anew.prepared.groups[0].noise_std / whole.prepared.groups[0].noise_std;
    assert!((noise - 3.0).abs() < 0.2, "{noise}");
    assert!(anew.notes.iter().any(|n| n.contains("others than those of that name before")), "{:?}", anew.notes);
}

#[test]
fn the_fingerprint_follows_what_shapes_the_images() {
    let (folder, _) = folders();
    let mut set = make(folder.path(), &[PLAIN]);
    let first = fingerprint(&set, &options(32)).unwrap();
    assert_eq!(first, fingerprint(&set, &options(32)).unwrap());
    // The pixel size that is the rule's anyway changes nothing.
    assert_eq!(first, fingerprint(&set, &PrepareOptions { apix: Some(3.0), ..options(32) }).unwrap());
    assert_ne!(first, fingerprint(&set, &options(30)).unwrap());
    assert_ne!(first, fingerprint(&set, &PrepareOptions { invert: Invert::Yes, ..options(32) }).unwrap());
    set.rows[3].psi_deg += 1e-9;
    assert_ne!(first, fingerprint(&set, &options(32)).unwrap());
    set.rows[3].psi_deg = 9.0;
    let moved = folder.path().join("moved");
    std::fs::create_dir(&moved).unwrap();
    std::fs::copy(&set.stacks[0], moved.join("stack0.mrcs")).unwrap();
    set.stacks[0] = moved.join("stack0.mrcs");
    assert_eq!(first, fingerprint(&set, &options(32)).unwrap());
    let mut bytes = std::fs::read(&set.stacks[0]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&set.stacks[0], bytes).unwrap();
    assert_ne!(first, fingerprint(&set, &options(32)).unwrap());
}

#[test]
fn damaged_sets_are_refused() {
    let (folder, out) = folders();
    let (done, _) = run(&make(folder.path(), &[PLAIN]), &options(32), &out);
    let images = out.join("images.f16");
    let bytes = std::fs::read(&images).unwrap();
    std::fs::write(&images, &bytes[1..]).unwrap();
    let text = PreparedSet::open(&done.prepared).unwrap_err().to_string();
    assert!(text.contains("images.f16: has 122879 bytes where 122880 belong"), "{text}");
    std::fs::write(&images, &bytes).unwrap();
    std::fs::write(out.join("table.safetensors"), b"nothing").unwrap();
    assert!(PreparedSet::open(&done.prepared).unwrap_err().to_string().contains("table.safetensors"));
    std::fs::write(out.join(DESCRIPTION), b"{}").unwrap();
    assert!(PreparedSet::load(&out.join(DESCRIPTION)).unwrap_err().to_string().contains("prepared.json"));
}

#[test]
fn impossible_sizes_are_refused() {
    let (folder, out) = folders();
    let set = make(folder.path(), &[PLAIN]);
    for bad in [options(31), options(0), PrepareOptions { apix: Some(-2.0), ..options(32) }] {
        assert!(prepare(&set, &bad, &out, &mut |_, _| Ok(())).is_err(), "{bad:?}");
    }
    // Finer than the images: nothing would be in the new frequencies. A pixel size that was asked for is another matter.
    let finer = prepare(&set, &options(50), &out, &mut |_, _| Ok(())).unwrap_err().to_string();
    assert!(finer.contains("images of 50 pixels cannot be made of 48 pixels") && finer.contains("hint: "), "{finer}");
    assert!(prepare(&set, &PrepareOptions { apix: Some(2.0), ..options(50) }, &out, &mut |_, _| Ok(())).is_ok());
    let empty = ParticleSet { rows: vec![], ..set };
    assert!(prepare(&empty, &options(32), &out, &mut |_, _| Ok(())).unwrap_err().to_string().contains("no particles"));
}

#[test]
fn the_stream_gives_what_preparation_writes_and_native_is_the_images_own_grid() {
    let folder = tempfile::tempdir().unwrap();
    let black = Plan { height: -2.0, ..PLAIN };
    let set = make(folder.path(), &[Plan { images: 90, ..black }, Plan { box_px: 60, apix: 1.6, ..black }]);
    let options = PrepareOptions { size_px: 32, apix: None, invert: Invert::Auto, known: Vec::new() };
    let prepared = prepare(&set, &options, &folder.path().join("prepared"), &mut |_, _| Ok(())).unwrap().prepared;
    let written = PreparedSet::open(&prepared).unwrap();
    let stream = ImageStream::open(&set, &options).unwrap();
    assert!((stream.apix() - prepared.apix).abs() < 1e-12);
    let (mut a, mut b) = (vec![0.0; 32 * 32], vec![0.0; 32 * 32]);
    for i in [0, 41, 89, 90, 149] {
        written.image_into(i, &mut a);
        stream.image_into(i, &mut b).unwrap();
        // The folder holds half precision.
        let worst = a.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(worst < 4e-3, "image {i}: {worst}");
        assert!(stream.inverted(i));
        assert!((stream.image_apix(i) - f64::from(written.apix()[i])).abs() < 1e-5);
        let rotation: Vec<f64> = stream.rotation(i).concat();
        assert!(rotation.iter().zip(&written.rotations()[i]).all(|(x, y)| (x - f64::from(*y)).abs() < 1e-6));
    }
    let native = PrepareOptions::native(&set);
    assert_eq!((native.size_px, native.apix), (48, Some(2.0)));
    std::fs::remove_file(&set.stacks[1]).unwrap();
    assert!(stream.image_into(5, &mut b).is_ok());
    let gone = ImageStream::open(&set, &options).err().expect("a missing stack");
    assert!(gone.to_string().contains("stack1.mrcs"), "{gone}");
}
