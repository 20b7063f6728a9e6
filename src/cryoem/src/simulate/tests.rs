use super::phantom::{Gaussians, phantom};
use super::slicer::Slicer;
use super::*;
use crate::ctf::Ctf;
use crate::geometry::{Euler, random_rotation};
use crate::random::Random;
use ndarray::Array3;
use safetensors::SafeTensors;
use std::collections::HashMap;

fn run(options: &SimulateOptions) -> (tempfile::TempDir, Summary) {
    let folder = tempfile::tempdir().expect("folder");
    let summary = simulate(options, folder.path(), &mut |_, _| Ok(())).expect("simulation");
    (folder, summary)
}

fn small() -> SimulateOptions {
    SimulateOptions {
        particles: 60,
        groups: vec![Optics { box_px: 32, apix: 4.0, ..Optics::default() }],
        per_micrograph: 10,
        ..SimulateOptions::default()
    }
}

fn images(path: &Path) -> Vec<Vec<f32>> {
    let stack = mrc::StackReader::open(path).expect("stack");
    let n = stack.box_px().expect("square");
    (0..stack.len())
        .map(|i| {
            let mut image = vec![0.0; n * n];
            stack.read_into(i, &mut image).expect("image");
            image
        })
        .collect()
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let dot = |p: &[f32], q: &[f32]| p.iter().zip(q).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Numbers of the reference simulator; see tests/data/README.md.
fn reference() -> HashMap<String, Vec<f64>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/simulate/projection_24.safetensors");
    let bytes = std::fs::read(path).expect("reference");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    file.iter()
        .map(|(name, view)| {
            let values = match view.dtype() {
                safetensors::Dtype::F64 => view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
                _ => view.data().as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            };
            (name.to_owned(), values)
        })
        .collect()
}

#[test]
fn the_reference_simulator_makes_the_same_image() {
    let r = reference();
    let [box_px, apix, sigma] = r["box_apix_sigma"][..] else { panic!("three numbers") };
    let n = box_px as usize;
    let molecule =
        Gaussians { centres_angstrom: r["centres_angstrom"].as_chunks().0.to_vec(), weights: r["weights"].clone(), sigma_angstrom: sigma };
    let angles = &r["euler_deg"];
    let shift = [r["shift_px"][0], r["shift_px"][1]];
    let projection = molecule.projection(&Euler::new(angles[0], angles[1], angles[2]).matrix(), shift, n, apix);
    let near = |ours: &mut dyn Iterator<Item = f32>, name: &str, tolerance: f64| {
        let mut count = 0;
        for (a, b) in ours.zip(&r[name]) {
            assert!((f64::from(a) - b).abs() < tolerance, "{name}: {a} against {b}");
            count += 1;
        }
        assert_eq!(count, r[name].len(), "{name}");
    };
    near(&mut projection.iter().copied(), "projection", 2e-6);
    let row: [f32; 9] = std::array::from_fn(|i| r["ctf_row"][i] as f32);
    let transfer = Ctf::of_row(&row).half_plane(n, apix);
    near(&mut transfer.iter().copied(), "ctf", 2e-5);
    let mut spectrum = rfft2(projection.view());
    spectrum.iter_mut().zip(transfer).for_each(|(v, c)| *v *= c);
    near(&mut irfft2(spectrum, n).iter().copied(), "image", 1e-5);
    let section = molecule.volume(n, apix).data.index_axis(ndarray::Axis(0), n / 2).to_owned();
    near(&mut section.iter().copied(), "volume_central_section", 1e-6);
    near(&mut noise_filter(Noise::Coloured, n).expect("a filter").into_iter(), "noise_filter", 1e-5);
}

#[test]
fn the_phantom_is_chiral_moves_and_fits_its_extent() {
    let (n, apix) = (48, 3.0);
    let map = |t, part| phantom(t, part, 90.0, 4.0).volume(n, apix).data;
    let both = map(0.5, true);
    let flat = |v: &Array3<f32>| v.iter().copied().collect::<Vec<_>>();
    // The best of many superpositions of the mirror image stays well below 1.
    let mut random = Random::new(1, 1);
    let mut molecule = phantom(0.5, true, 90.0, 4.0);
    let view = random_rotation(&mut random);
    let own = flat_projections(&molecule, &view);
    molecule.centres_angstrom.iter_mut().for_each(|c| c[2] = -c[2]);
    let best = (0..2000)
        .map(|_| {
            let turn = random_rotation(&mut random);
            let turned = Gaussians {
                centres_angstrom: molecule.centres_angstrom.iter().map(|c| crate::geometry::apply(&turn, *c)).collect(),
                ..molecule.clone()
            };
            correlation(&flat_projections(&turned, &view), &own)
        })
        .fold(0.0, f64::max);
    assert!(best < 0.93, "a mirror image correlates {best}");
    assert!(correlation(&flat(&map(0.0, true)), &flat(&map(1.0, true))) < 0.9);
    assert!(correlation(&flat(&map(0.5, false)), &flat(&both)) < 0.95);
    for t in [0.0, 0.5, 1.0] {
        let reach =
            phantom(t, true, 90.0, 4.0).centres_angstrom.iter().map(|c| c.iter().map(|v| v * v).sum::<f64>().sqrt()).fold(0.0, f64::max);
        assert!(reach < 48.0, "{reach}");
    }
}

/// Two perpendicular projections in a row: enough to tell volumes apart.
fn flat_projections(molecule: &Gaussians, view: &crate::geometry::Matrix3) -> Vec<f32> {
    let side = crate::geometry::multiply(&crate::geometry::rotation_y(std::f64::consts::FRAC_PI_2), view);
    [*view, side].iter().flat_map(|a| molecule.projection(a, [0.0; 2], 32, 4.0).into_iter()).collect()
}

#[test]
fn slices_of_a_map_are_its_projections() {
    let (n, apix) = (32, 4.0);
    let molecule = phantom(0.3, true, 75.0, 5.0);
    let slicer = Slicer::new(&molecule.volume(n, apix)).expect("a cube");
    let mut random = Random::new(8, 0);
    for _ in 0..5 {
        let a = random_rotation(&mut random);
        let exact = molecule.projection(&a, [1.3, -0.4], n, apix);
        let sliced = slicer.projection(&a, [1.3, -0.4]);
        let power: f32 = exact.iter().map(|v| v * v).sum();
        let error: f32 = exact.iter().zip(&sliced).map(|(p, q)| (p - q).powi(2)).sum();
        assert!(error / power < 1e-3, "relative squared error {}", error / power);
    }
}

#[test]
fn the_same_options_give_the_same_bytes_on_any_number_of_threads() {
    let options = SimulateOptions { noise: Noise::Coloured, pose_error_deg: 2.0, half_precision: true, ..small() };
    let files = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let (folder, _) = pool.install(|| run(&options));
        ["particles.mrcs", "particles.star", "labels.csv", "consensus.mrc", "mask.mrc", "gt/vol_007.mrc"]
            .map(|name| std::fs::read(folder.path().join(name)).expect(name))
    };
    assert!(files(1) == files(3));
    let (folder, _) = run(&SimulateOptions { seed: 2, ..options.clone() });
    assert!(std::fs::read(folder.path().join("particles.mrcs")).expect("stack") != files(1)[0]);
}

#[test]
fn noise_background_and_errors_are_as_asked() {
    let options = SimulateOptions { snr: 0.2, pose_error_deg: 3.0, particles: 200, ..small() };
    let (folder, summary) = run(&options);
    assert!((summary.noise_std[0].powi(2) * 0.2 / summary.signal_variance[0] - 1.0).abs() < 1e-12);
    assert!((summary.mean_pose_error_deg - 2.4).abs() < 0.4, "{}", summary.mean_pose_error_deg);
    let noisy = images(&folder.path().join("particles.mrcs"));
    for image in &noisy {
        let view = ArrayView2::from_shape((32, 32), image).expect("square");
        let (mean, variance) = statistics(view, |r2, n| r2 > (0.45 * n as f64).powi(2));
        assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    }
    // Inside the circle the variance is that of signal and noise, in units of the noise outside.
    let total: f64 =
        noisy.iter().map(|i| statistics(ArrayView2::from_shape((32, 32), i).expect("square"), |r2, n| r2 <= (n * n) as f64 / 4.0).1).sum();
    let mean = total / noisy.len() as f64;
    assert!((mean - 1.2).abs() < 0.05, "{mean}");
}

#[test]
fn groups_of_other_boxes_get_stacks_of_their_own() {
    let second = Optics { box_px: 40, apix: 3.2, voltage_kv: 200.0, ..Optics::default() };
    let groups = vec![small().groups[0], second];
    let options = SimulateOptions {
        groups,
        specimen: Specimen::Phantom { motion: Motion::Both, positions: 3, diameter_angstrom: None, sigma_angstrom: None },
        ..small()
    };
    let (folder, summary) = run(&options);
    assert_eq!(summary.states, 6);
    let star = starfile::StarFile::read(&folder.path().join("particles.star")).expect("STAR");
    let optics = star.block("optics").expect("optics");
    assert_eq!(optics.column("rlnImageSize").expect("size").integers().expect("numbers"), [32, 40]);
    assert_eq!(optics.column("rlnVoltage").expect("voltage").numbers().expect("numbers"), [300.0, 200.0]);
    let table = star.block("particles").expect("particles");
    let group = table.column("rlnOpticsGroup").expect("group").integers().expect("numbers");
    let (mut used, names) = ([0; 3], table.column("rlnImageName").expect("names"));
    for (i, &g) in group.iter().enumerate() {
        used[g as usize] += 1;
        assert_eq!(names.text(i), format!("{:06}@particles_group{g}.mrcs", used[g as usize]));
    }
    for (g, n) in [(1, 32), (2, 40)] {
        let stack = mrc::StackReader::open(&folder.path().join(format!("particles_group{g}.mrcs"))).expect("stack");
        assert_eq!((stack.len(), stack.box_px().expect("square")), (used[g], n));
    }
}

#[test]
fn a_volume_series_gives_the_images_of_its_gaussians() {
    let noise_free = SimulateOptions {
        snr: 0.0,
        ctf: false,
        particles: 12,
        specimen: Specimen::Phantom { motion: Motion::Part, positions: 1, diameter_angstrom: None, sigma_angstrom: Some(5.0) },
        ..small()
    };
    let (folder, _) = run(&noise_free);
    let series = Specimen::Volumes((0..2).map(|i| folder.path().join(format!("gt/vol_{i:03}.mrc"))).collect());
    let (again, _) = run(&SimulateOptions { specimen: series, ..noise_free });
    let (a, b) = (images(&folder.path().join("particles.mrcs")), images(&again.path().join("particles.mrcs")));
    assert!(a.iter().zip(&b).all(|(p, q)| correlation(p, q) > 0.999));
    assert_eq!(
        std::fs::read(folder.path().join("labels.csv")).expect("labels"),
        std::fs::read(again.path().join("labels.csv")).expect("labels")
    );
}

#[test]
fn the_older_star_file_says_the_same() {
    let (new, old) = (run(&small()), run(&SimulateOptions { star: StarVersion::Relion30, ..small() }));
    let read = |f: &tempfile::TempDir| starfile::StarFile::read(&f.path().join("particles.star")).expect("STAR");
    let (new, old) = (read(&new.0), read(&old.0));
    let numbers = |file: &starfile::StarFile, block: &str, label: &str| {
        file.block(block).expect("block").column(label).expect("column").numbers().expect("numbers")
    };
    let (angstrom, pixels) = (numbers(&new, "particles", "rlnOriginXAngst"), numbers(&old, "", "rlnOriginX"));
    assert!(angstrom.iter().zip(&pixels).all(|(a, p)| (a / 4.0 - p).abs() < 1e-5));
    assert_eq!(numbers(&new, "particles", "rlnAngleRot"), numbers(&old, "", "rlnAngleRot"));
    assert!(
        numbers(&old, "", "rlnMagnification")
            .iter()
            .zip(numbers(&old, "", "rlnDetectorPixelSize"))
            .all(|(m, d)| (d * 1e4 / m - 4.0).abs() < 1e-9)
    );
}

#[test]
fn impossible_options_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut SimulateOptions)| {
        let mut options = small();
        change(&mut options);
        options.check().expect_err("refusal").to_string()
    };
    assert!(refused(&|o| o.snr = -1.0).starts_with("`snr`"));
    assert!(refused(&|o| o.groups[0].box_px = 33).contains("even"));
    assert!(refused(&|o| o.groups[0].apix = -1.0).contains("pixel size"));
    assert!(refused(&|o| o.particles = 0).starts_with("`particles`"));
    let folder = tempfile::tempdir().expect("folder");
    let wrong = SimulateOptions { states: States::Weights(vec![1.0]), ..small() };
    let problem = simulate(&wrong, folder.path(), &mut |_, _| Ok(())).expect_err("refusal");
    assert!(problem.to_string().contains("20 states"), "{problem}");
}
