use super::*;
use cryoem::ctf::Ctf;
use cryoem::fft;
use cryoem::geometry::{Matrix3, apply, random_rotation, transpose};
use cryoem::random::Random;
use cryoem::simulate::phantom::{Gaussians, phantom};
use grid::accumulate;
use ndarray::ArrayView2;
use std::f64::consts::TAU;

/// Particles in memory.
#[derive(Clone)]
pub(crate) struct Memory {
    n: usize,
    apix: f64,
    images: Vec<Vec<f32>>,
    pub(crate) particles: Vec<Particle>,
}

impl Particles for Memory {
    fn size_px(&self) -> usize {
        self.n
    }
    fn apix(&self) -> f64 {
        self.apix
    }
    fn len(&self) -> usize {
        self.particles.len()
    }
    fn particle(&self, index: usize, image: &mut [f32]) -> Result<Particle> {
        image.copy_from_slice(&self.images[index]);
        Ok(self.particles[index])
    }
}

pub(crate) const N: usize = 24;
pub(crate) const APIX: f64 = 4.0;
/// Shells in which the phantom has power; its Gaussians fade before the Nyquist frequency.
const SHELLS: usize = 8;

pub(crate) fn molecule() -> Gaussians {
    phantom(0.3, true, 0.62 * N as f64 * APIX, 4.5)
}

fn ctf(random: &mut Random) -> Ctf {
    let defocus = random.range(6000.0, 14000.0) as f32;
    Ctf::of_row(&[defocus, defocus - 300.0, 40.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0])
}

/// Projections through the CTF with white noise of variance 1; `height` scales the signal.
pub(crate) fn set(count: usize, seed: u64, height: f32, noise: f32) -> Memory {
    let molecule = molecule();
    let mut set = Memory { n: N, apix: APIX, images: vec![], particles: vec![] };
    for i in 0..count {
        let mut random = Random::new(seed, i as u64);
        let (rotation, ctf) = (random_rotation(&mut random), ctf(&mut random));
        let mut image = through(&molecule.projection(&rotation, [0.0; 2], N, APIX).view(), &ctf, APIX);
        let mut grain = vec![0.0; N * N];
        random.fill_normal(&mut grain);
        image.iter_mut().zip(grain).for_each(|(v, g)| *v = *v * height + noise * g);
        set.images.push(image);
        set.particles.push(Particle { rotation, ctf: Some(ctf), apix: APIX, premultiplied: false });
    }
    set
}

fn through(image: &ArrayView2<f32>, ctf: &Ctf, apix: f64) -> Vec<f32> {
    let mut spectrum = fft::rfft2(*image);
    spectrum.iter_mut().zip(ctf.half_plane(image.nrows(), apix)).for_each(|(v, c)| *v *= c);
    fft::irfft2(spectrum, image.nrows()).into_raw_vec_and_offset().0
}

fn all(set: &Memory) -> Vec<usize> {
    (0..set.particles.len()).collect()
}

fn mean_fsc(map: &Volume, truth: &Volume) -> f64 {
    let fsc = fourier_shell_correlation(map, truth, None).expect("cubes of one size");
    fsc[1..=SHELLS].iter().sum::<f64>() / SHELLS as f64
}

/// ⟨P x, y⟩ = ⟨x, Pᵀ y⟩, where P is evaluated without any grid.
#[test]
fn back_projection_is_the_adjoint_of_projection() {
    let n = 12;
    let mut random = Random::new(4, 4);
    let mut map = Array3::<f32>::zeros((n, n, n));
    random.fill_normal(map.as_slice_mut().expect("contiguous"));
    let mut source = Memory { n, apix: APIX, images: vec![], particles: vec![] };
    let mut projected = 0.0;
    for _ in 0..4 {
        let mut image = vec![0.0; n * n];
        random.fill_normal(&mut image);
        let (rotation, ctf) = (random_rotation(&mut random), ctf(&mut random));
        projected += inner_product_of_slices(&map, &image, &rotation, &ctf);
        source.images.push(image);
        source.particles.push(Particle { rotation, ctf: Some(ctf), apix: APIX, premultiplied: false });
    }
    let kernel = Kernel::new();
    let chosen: Vec<_> = (0..4).map(|i| (i, 1.0)).collect();
    let sums = accumulate(&source, &chosen, &kernel).expect("sums");
    let back = Solver::new(n, &kernel).back(sums.values);
    let cells = ((kernel::PADDING * n) as f64).powi(3);
    let returned: f64 = map.iter().zip(&back).map(|(x, b)| f64::from(*x) * f64::from(*b) * cells).sum();
    assert!((projected - returned).abs() < 5e-3 * projected.abs().max(1e3), "{projected} against {returned}");
}

/// Σ over frequencies in shells 0..=n/2 of CTF · F[map](Aᵀk) · conj F[image](k), by direct sums.
fn inner_product_of_slices(map: &Array3<f32>, image: &[f32], rotation: &Matrix3, ctf: &Ctf) -> f64 {
    let n = map.dim().0;
    let half = (n / 2) as i32;
    let spectrum = fft::rfft2(ArrayView2::from_shape((n, n), image).expect("square"));
    let transfer = ctf.half_plane(n, APIX);
    let back = transpose(rotation);
    let mut sum = 0.0;
    for kx in 0..half {
        for ky in 1 - half..half {
            let radius = f64::from(kx * kx + ky * ky).sqrt();
            if (kx == 0 && ky < 0) || radius >= f64::from(half) + 0.5 {
                continue;
            }
            let k = apply(&back, [f64::from(kx), f64::from(ky), 0.0]);
            let (mut re, mut im) = (0.0, 0.0);
            for ((z, y, x), &v) in map.indexed_iter() {
                let at = |i: usize| i as f64 - f64::from(half);
                let (sine, cosine) = (-TAU * (k[0] * at(x) + k[1] * at(y) + k[2] * at(z)) / n as f64).sin_cos();
                re += f64::from(v) * cosine;
                im += f64::from(v) * sine;
            }
            let row = ky.rem_euclid(n as i32) as usize;
            let (value, c) = (spectrum[[row, kx as usize]], f64::from(transfer[row * (n / 2 + 1) + kx as usize]));
            // The frequency and its conjugate.
            sum += 2.0 * c * (re * f64::from(value.re) + im * f64::from(value.im));
        }
    }
    sum
}

#[test]
fn a_clean_set_gives_the_map_back_at_its_scale() {
    let set = set(400, 1, 1.0, 0.0);
    let truth = molecule().volume(N, APIX);
    let map = back_project(&set, &all(&set), None, &Options { prior: Prior::Constant(0.01), mask: None }).expect("map");
    assert!((map.apix - APIX).abs() < 1e-12);
    assert!(mean_fsc(&map, &truth) > 0.995, "{}", mean_fsc(&map, &truth));
    let dot = |a: &Volume, b: &Volume| a.data.iter().zip(&b.data).map(|(x, y)| f64::from(x * y)).sum::<f64>();
    let scale = dot(&map, &truth) / dot(&truth, &truth);
    // The amplitude contrast of 0.1 lets almost nothing of the mean density through: the Wiener constant takes some of it.
    assert!((scale - 1.0).abs() < 0.05, "scale {scale}");
}

#[test]
fn wrong_poses_and_ctf_show() {
    let good = set(300, 2, 8.0, 1.0);
    let truth = molecule().volume(N, APIX);
    let score = |set: &Memory| mean_fsc(&back_project(set, &all(set), None, &Options::default()).expect("map"), &truth);
    let right = score(&good);
    assert!(right > 0.9, "{right}");
    let mutated = |change: &dyn Fn(&mut Particle)| {
        let mut wrong = good.clone();
        wrong.particles.iter_mut().for_each(change);
        score(&wrong)
    };
    let transposed = mutated(&|p| p.rotation = transpose(&p.rotation));
    let mirrored = mutated(&|p| p.rotation.iter_mut().for_each(|row| row[2] = -row[2]));
    let negative = mutated(&|p| p.ctf = p.ctf.map(|c| Ctf { scale: -1.0, ..c }));
    let without = mutated(&|p| p.ctf = None);
    assert!(transposed < right - 0.2 && mirrored < right - 0.2, "{right}, transposed {transposed}, mirrored {mirrored}");
    assert!(negative < -0.5 && without < right - 0.1, "{right}, sign {negative}, no CTF {without}");
}

#[test]
fn threads_do_not_change_a_bit() {
    let set = set(150, 3, 1.0, 1.0);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| back_project_halves(&set, &all(&set), None, None, &Options::default()).expect("maps"))
    };
    let (one, four) = (run(1), run(4));
    assert!(one.full.data == four.full.data && one.first.data == four.first.data && one.fsc == four.fsc);
}

#[test]
fn halves_agree_as_far_as_the_signal_reaches() {
    let noisy = set(400, 5, 3.0, 1.0);
    let halves = back_project_halves(&noisy, &all(&noisy), None, None, &Options::default()).expect("maps");
    assert_eq!(halves.fsc.len(), N / 2 + 1);
    assert!(halves.fsc[1..5].iter().all(|&f| f > 0.9), "{:?}", halves.fsc);
    let blank = set(400, 6, 0.0, 1.0);
    let noise = back_project_halves(&blank, &all(&blank), None, None, &Options::default()).expect("maps");
    let mean = noise.fsc[2..].iter().sum::<f64>() / (noise.fsc.len() - 2) as f64;
    assert!(mean.abs() < 0.12, "{:?}", noise.fsc);
    // Given halves are kept: every particle in the second half but one.
    let mut second = vec![true; noisy.len()];
    assert!(back_project_halves(&noisy, &all(&noisy), None, Some(&second), &Options::default()).is_err());
    second[0] = false;
    assert!(back_project_halves(&noisy, &all(&noisy), None, Some(&second), &Options::default()).is_ok());
}

#[test]
fn premultiplied_weighted_and_rescaled_images_are_understood() {
    let plain = set(200, 7, 2.0, 1.0);
    let options = Options { prior: Prior::Constant(3.0), mask: None };
    let reference = back_project(&plain, &all(&plain), None, &options).expect("map");
    let same = |map: &Volume, tolerance: f32| {
        let scale = reference.data.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = map.data.iter().zip(&reference.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < tolerance * scale, "{worst} of {scale}");
    };
    let mut multiplied = plain.clone();
    for (image, particle) in multiplied.images.iter_mut().zip(&mut multiplied.particles) {
        let ctf = particle.ctf.expect("a CTF");
        *image = through(&ArrayView2::from_shape((N, N), image).expect("square"), &ctf, APIX);
        particle.premultiplied = true;
    }
    same(&back_project(&multiplied, &all(&plain), None, &options).expect("map"), 1e-4);

    let mut doubled = plain.clone();
    doubled.images.extend(set(50, 8, 0.0, 5.0).images);
    doubled.particles.extend(plain.particles[..50].iter().copied());
    let weights: Vec<f32> = (0..250).map(|i| if i < 200 { 1.0 } else { 0.0 }).collect();
    same(&back_project(&doubled, &all(&doubled), Some(&weights), &options).expect("map"), 1e-5);

    // Images of 1 % larger pixels show the same molecule a little smaller.
    let molecule = molecule();
    let mut coarse = set(200, 7, 2.0, 0.0);
    let fine = back_project(&coarse, &all(&coarse), None, &options).expect("map");
    for (image, particle) in coarse.images.iter_mut().zip(&mut coarse.particles) {
        particle.apix = 1.01 * APIX;
        let (rotation, ctf) = (particle.rotation, particle.ctf.expect("a CTF"));
        *image = through(&molecule.projection(&rotation, [0.0; 2], N, particle.apix).view(), &ctf, particle.apix);
        image.iter_mut().for_each(|v| *v *= 2.0);
    }
    let rescaled = back_project(&coarse, &all(&coarse), None, &options).expect("map");
    assert!(mean_fsc(&rescaled, &fine) > 0.995, "{}", mean_fsc(&rescaled, &fine));
}

#[test]
fn impossible_requests_are_refused() {
    let set = set(4, 9, 1.0, 1.0);
    assert!(back_project(&set, &[], None, &Options::default()).is_err());
    assert!(back_project(&set, &[0, 4], None, &Options::default()).is_err());
    assert!(back_project(&set, &[0, 1], Some(&[1.0]), &Options::default()).is_err());
    assert!(back_project(&set, &[0, 1], Some(&[1.0, -1.0]), &Options::default()).is_err());
    let mask = Some(Volume::zeros(10, APIX));
    let problem = back_project(&set, &all(&set), None, &Options { mask, prior: Prior::HalfSets }).expect_err("refusal");
    assert!(problem.to_string().contains("mask of 10 voxels for images of 24 pixels"), "{problem}");
}
