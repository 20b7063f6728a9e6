//! Maps and stacks of other programs. They are test data that cannot be part of the repository: their folder is `OPUS_DSD_EXTRA_DATA`;
//! without it these tests say so and pass.

#[path = "../../../tests/support/skip.rs"]
mod skip;

use opus_dsd_cryoem::mrc::{StackReader, read_volume};
use opus_dsd_cryoem::particles::{self, OpticsGroup, Particle, ParticleSet, ReadOptions, Source};
use opus_dsd_cryoem::prepare::{Invert, PrepareOptions, PreparedSet, prepare};
use std::path::{Path, PathBuf};

fn data(below: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("OPUS_DSD_EXTRA_DATA").map(|folder| PathBuf::from(folder).join(below)).filter(|folder| folder.is_dir());
    if folder.is_none() {
        skip::skipped(format_args!("no extra data `{below}`; name their folder in OPUS_DSD_EXTRA_DATA"));
    }
    folder
}

#[test]
fn maps_are_read_or_refused_with_the_reason() {
    let Some(folder) = data("maps") else { return };
    // Name, sizes x × y × z, pixel size (0: not in the header), standard deviation as numpy has it.
    let readable = [
        ("50S-vol.mrc", [32, 32, 128], 4.0),
        ("spike-vol.mrc", [16, 16, 128], 8.0),
        ("hand-vol.mrc", [64, 64, 64], 1.0),
        ("clean70SRibosome_vol_65p.mrc", [65, 65, 65], 0.0),
        ("toymodel_small_nocenter.mrc", [30, 30, 30], 1.0),
        ("EMD-3197.map", [20, 20, 20], 11.4),
    ];
    for (name, [x, y, z], apix) in readable {
        let v = read_volume(&folder.join(name)).unwrap();
        assert_eq!(v.data.dim(), (z, y, x), "{name}");
        assert!((v.apix - apix).abs() < 1e-4, "{name}: {}", v.apix);
        let s = v.statistics();
        assert!(s.non_finite == 0 && s.std > 0.0, "{name}: {s:?}");
        assert_eq!(v.box_px().is_ok(), x == z, "{name}");
    }
    let text = read_volume(&folder.join("EMD-3001.map")).unwrap_err().to_string();
    assert!(text.contains("EMD-3001.map") && text.contains("no cubes"), "{text}");
    let listed: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    for path in listed {
        if let Err(problem) = read_volume(&path) {
            assert!(problem.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{problem}");
        }
    }
}

#[test]
fn stacks_are_read() {
    let Some(folder) = data("particles") else { return };
    let stacks = [
        ("ay19102021_L3_position6_ribo_it09_bin8_1.82A.mrcs", 220, 64),
        ("empiar_10076_7.mrcs", 7, 320),
        ("relion31.mrcs", 5, 256),
        ("rln_proj_64.mrcs", 5, 64),
        ("rln_proj_64_shifted.mrcs", 4, 64),
        ("sample.mrcs", 17, 200),
        ("toy_projections.mrcs", 1000, 30),
    ];
    for (name, images, box_px) in stacks {
        let stack = StackReader::open(&folder.join(name)).unwrap();
        assert_eq!((stack.len(), stack.box_px().unwrap()), (images, box_px), "{name}");
        let mut image = vec![f32::NAN; box_px * box_px];
        stack.read_into(images - 1, &mut image).unwrap();
        assert!(image.iter().all(|v| v.is_finite()) && image.iter().any(|v| *v != image[0]), "{name}");
    }
}

/// Reads and prepares a STAR file; the notes besides.
fn prepared(star: &Path, size_px: usize, options: &ReadOptions) -> (PreparedSet, Vec<String>) {
    let set = particles::read(star, options).unwrap_or_else(|e| panic!("{e}"));
    let folder = tempfile::tempdir().unwrap();
    let options = PrepareOptions { size_px, apix: None, invert: Invert::Auto, known: Vec::new() };
    let done = prepare(&set, &options, folder.path(), &mut |_, _| Ok(())).unwrap_or_else(|e| panic!("{e}"));
    println!("{}: {:#?}", star.display(), done.notes);
    (PreparedSet::open(&done.prepared).unwrap(), done.notes)
}

fn centre_of_density(image: &[f32], n: usize) -> [f64; 2] {
    let top = image.iter().copied().fold(0.0, f32::max);
    let mut sums = [0.0f64; 3];
    for (i, v) in image.iter().enumerate().filter(|(_, v)| **v > 0.3 * top) {
        sums[0] += f64::from(*v);
        sums[1] += f64::from(*v) * (i / n) as f64;
        sums[2] += f64::from(*v) * (i % n) as f64;
    }
    [sums[1] / sums[0], sums[2] / sums[0]]
}

#[test]
fn shifted_projections_come_to_the_centre() {
    let Some(folder) = data("particles") else { return };
    // Origins of 5 to 13 pixels, in pixels, under an optics table; the molecule's own centre is within 3 pixels of
    // the box's.
    let options = ReadOptions { without_ctf: true, ..ReadOptions::default() };
    let (set, _) = prepared(&folder.join("rln_proj_64_shifted.star"), 64, &options);
    for i in 0..set.len() {
        let [y, x] = centre_of_density(&set.images(&[i]), 64);
        assert!((y - 32.0).abs() < 4.0 && (x - 32.0).abs() < 4.0, "image {i}: centre at ({x:.1}, {y:.1})");
    }
}

#[test]
fn real_stacks_are_prepared() {
    let Some(folder) = data("particles") else { return };
    // (file, size, groups, black)
    let sets = [("sample_relion31.star", 100, 2, false), ("sample_relion30.star", 100, 2, false), ("sta_testing_bin8.star", 32, 1, false)];
    for (name, size, groups, black) in sets {
        let (set, notes) = prepared(&folder.join(name), size, &ReadOptions::default());
        let described = set.prepared();
        assert_eq!(described.groups.iter().filter(|g| g.particles > 0).count(), groups, "{name}");
        for group in &described.groups {
            assert_eq!(group.inverted, black, "{name}: {notes:?}");
        }
        let all: Vec<usize> = (0..set.len()).collect();
        let images = set.images(&all);
        assert!(images.iter().all(|v| v.is_finite()), "{name}");
        // The rows above the particle: background of deviation near 1 (real noise is neither white nor even).
        let rim: Vec<f64> = images.chunks(size * size).flat_map(|image| image[..size].iter().map(|v| f64::from(*v))).collect();
        let mean = rim.iter().sum::<f64>() / rim.len() as f64;
        let std = (rim.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / rim.len() as f64).sqrt();
        assert!(mean.abs() < 0.3 && (0.7..1.4).contains(&std), "{name}: {mean} {std}");
    }
}

#[test]
fn black_particles_of_few_images_are_found() {
    let Some(folder) = data("particles") else { return };
    // Seven images without poses: the set is put together by hand.
    let path = folder.join("empiar_10076_7.mrcs");
    let group = OpticsGroup {
        name: "opticsGroup1".to_owned(),
        number: 1,
        voltage_kv: 300.0,
        cs_mm: 2.7,
        amplitude_contrast: 0.07,
        apix: 1.31,
        box_px: 320,
        premultiplied: false,
        ctf_known: true,
    };
    let row = |(slice, defocus): (usize, f64)| Particle {
        defocus_u_angstrom: defocus,
        defocus_v_angstrom: defocus - 385.0,
        defocus_angle_deg: 5.28,
        ..Particle::of_image((0, slice as u32), 0)
    };
    let rows = [15301.1, 15303.0, 15150.7, 15181.9, 15366.8, 15305.0, 15177.4].into_iter().enumerate().map(row).collect();
    let set = ParticleSet { rows, groups: vec![group], stacks: vec![path], source: Source::Stacks, notes: vec![], warnings: vec![] };
    let out = tempfile::tempdir().unwrap();
    let options = PrepareOptions { size_px: 128, apix: None, invert: Invert::Auto, known: Vec::new() };
    let done = prepare(&set, &options, out.path(), &mut |_, _| Ok(())).unwrap();
    println!("{:#?}", done.notes);
    assert!(done.prepared.groups[0].inverted, "{:?}", done.notes);
}

#[test]
fn tiny_sets_are_prepared_white_and_even() {
    let Some(folder) = data("tiny") else { return };
    for name in ["adk-path-tiny", "compose-4-tiny"] {
        let (set, notes) = prepared(&folder.join(name).join("particles.star"), 32, &ReadOptions::default());
        assert_eq!(set.len(), 1000);
        assert!(!set.prepared().groups[0].inverted, "{notes:?}");
        let all: Vec<usize> = (0..1000).collect();
        let images = set.images(&all);
        let corner: Vec<f64> = images.chunks(32 * 32).flat_map(|image| image[..64].iter().map(|v| f64::from(*v))).collect();
        let square = corner.iter().map(|v| v * v).sum::<f64>() / corner.len() as f64;
        // Reduced chi-squared of the background.
        assert!((square - 1.0).abs() < 0.03, "{name}: {square}");
    }
}
