//! A blob that comes and goes beside a steady one: one component, whose scores are the blob's weights.

use super::*;
use crate::Particle;
use cryoem::ctf::Ctf;
use cryoem::geometry::{Euler, Matrix3};
use ndarray::Array3;

const SIZE: usize = 24;
const APIX: f64 = 4.0;
/// Standard deviation of both blobs, pixels.
const SIGMA_PX: f64 = 2.0;
/// Where the changing blob sits, pixels from the centre (x, y, z).
const AT: [f64; 3] = [4.0, -3.0, 2.0];
/// Height of the steady blob's and of the changing blob's projection, in units of the noise.
const HEIGHTS: [f64; 2] = [4.0, 3.0];

struct Blobs {
    rotations: Vec<Matrix3>,
    weights: Vec<f64>,
    ctf: Ctf,
}

impl Blobs {
    fn new(n: usize) -> Self {
        let mut random = Random::new(5, 0);
        let rotations = (0..n)
            .map(|_| {
                let (rot, psi) = (random.range(-180.0, 180.0), random.range(-180.0, 180.0));
                Euler::new(rot, random.range(-1.0, 1.0).acos().to_degrees(), psi).matrix()
            })
            .collect();
        let weights = (0..n).map(|_| random.normal()).collect();
        let mut ctf = Ctf::of_row(&[0.0; 9]);
        (ctf.defocus_u_angstrom, ctf.defocus_v_angstrom, ctf.voltage_kv, ctf.cs_mm, ctf.amplitude_contrast, ctf.scale) =
            (9000.0, 9000.0, 300.0, 2.7, 0.1, 1.0);
        Self { rotations, weights, ctf }
    }

    fn blob(centre: [f64; 2], height: f64, image: &mut [f32]) {
        for (i, v) in image.iter_mut().enumerate() {
            let (y, x) = ((i / SIZE) as f64 - 12.0 - centre[1], (i % SIZE) as f64 - 12.0 - centre[0]);
            *v += (height * (-(x * x + y * y) / (2.0 * SIGMA_PX * SIGMA_PX)).exp()) as f32;
        }
    }
}

impl Particles for Blobs {
    fn size_px(&self) -> usize {
        SIZE
    }
    fn apix(&self) -> f64 {
        APIX
    }
    fn len(&self) -> usize {
        self.weights.len()
    }
    fn particle(&self, index: usize, image: &mut [f32]) -> Result<Particle> {
        let a = self.rotations[index];
        let at: [f64; 2] = std::array::from_fn(|i| (0..3).map(|k| a[i][k] * AT[k]).sum());
        image.fill(0.0);
        Self::blob([0.0, 0.0], HEIGHTS[0], image);
        Self::blob(at, HEIGHTS[1] * self.weights[index], image);
        let view = ndarray::ArrayView2::from_shape((SIZE, SIZE), &*image).expect("square");
        let mut spectrum = cryoem::fft::rfft2(view);
        let ctf = self.ctf.half_plane(SIZE, APIX);
        spectrum.iter_mut().zip(ctf).for_each(|(s, c)| *s *= c);
        let mut random = Random::new(6, index as u64);
        let blurred = cryoem::fft::irfft2(spectrum, SIZE);
        image.iter_mut().zip(&blurred).for_each(|(v, b)| *v = b + random.normal() as f32);
        Ok(Particle { rotation: a, ctf: Some(self.ctf), apix: APIX, premultiplied: false })
    }
}

fn base_and_mask() -> (Volume, Volume) {
    let radius2 = |(z, y, x): (usize, usize, usize)| [z, y, x].iter().map(|&i| (i as f64 - 12.0).powi(2)).sum::<f64>();
    let base = Array3::from_shape_fn((SIZE, SIZE, SIZE), |at| (-radius2(at) / (2.0 * SIGMA_PX * SIGMA_PX)).exp() as f32);
    let mask = Array3::from_shape_fn((SIZE, SIZE, SIZE), |at| if radius2(at) < 121.0 { 1.0 } else { 0.0 });
    (Volume { data: base, apix: APIX }, Volume { data: mask, apix: APIX })
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let cross: f64 = a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum();
    let own = |v: &[f64], m: f64| v.iter().map(|x| (x - m).powi(2)).sum::<f64>().sqrt();
    cross / (own(a, ma) * own(b, mb))
}

#[test]
fn one_changing_part_gives_one_component_whose_scores_are_its_amount() {
    let blobs = Blobs::new(300);
    let (base, mask) = base_and_mask();
    let options = SubspaceOptions { components: 4, ..SubspaceOptions::default() };
    let subspace = fit(&blobs, &base, &mask, &options, &mut |_, _| Ok(())).expect("a fit");
    assert_eq!(subspace.active(), 1, "{:?}", subspace.power);
    let first: Vec<f64> = subspace.scores.column(0).iter().map(|v| f64::from(*v)).collect();
    let r = correlation(&first, &blobs.weights).abs();
    assert!(r > 0.95, "correlation {r}");
    let (peak, _) = subspace.model.components[0].data.indexed_iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).expect("voxels");
    assert_eq!(peak, (14, 9, 16), "z, y, x of the changing blob");
    assert_eq!(rayon_pool(1, &blobs, &base, &mask), rayon_pool(3, &blobs, &base, &mask), "independent of the number of threads");
}

fn rayon_pool(threads: usize, blobs: &Blobs, base: &Volume, mask: &Volume) -> Array2<f32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    let options = SubspaceOptions { components: 2, rounds: 3, ..SubspaceOptions::default() };
    pool.install(|| fit(blobs, base, mask, &options, &mut |_, _| Ok(())).expect("a fit").scores)
}

#[test]
fn images_of_something_else_are_refused() {
    let blobs = Blobs::new(64);
    let (mut base, mask) = base_and_mask();
    base.data.mapv_inplace(|v| -v);
    let problem = fit(&blobs, &base, &mask, &SubspaceOptions::default(), &mut |_, _| Ok(())).expect_err("turned contrast");
    assert!(problem.to_string().contains("hint: check that poses, pixel size and contrast"), "{problem}");
}

/// Some of a set's particles.
struct Part<'a>(&'a Blobs, Vec<usize>);

impl Particles for Part<'_> {
    fn size_px(&self) -> usize {
        SIZE
    }
    fn apix(&self) -> f64 {
        APIX
    }
    fn len(&self) -> usize {
        self.1.len()
    }
    fn particle(&self, index: usize, image: &mut [f32]) -> Result<Particle> {
        self.0.particle(self.1[index], image)
    }
}

#[test]
fn a_model_from_its_file_scores_every_particle_as_the_fit_did() {
    let blobs = Blobs::new(40);
    let (base, mask) = base_and_mask();
    let options = SubspaceOptions { components: 3, rounds: 3, particles: 25, ..SubspaceOptions::default() };
    let subspace = fit(&blobs, &base, &mask, &options, &mut |_, _| Ok(())).expect("a fit");
    let bytes = subspace.model.to_bytes().expect("a file");
    let model = LinearModel::from_bytes(&bytes).expect("the same");
    assert_eq!(model, subspace.model);
    let part: Vec<usize> = (0..40).filter(|i| i % 3 != 1).collect();
    let scores = model.score(&Part(&blobs, part.clone())).expect("scores");
    for (row, &i) in part.iter().enumerate() {
        assert_eq!(scores.row(row), subspace.scores.row(i), "particle {i}");
    }
    assert!(LinearModel::from_bytes(&bytes[..bytes.len() - 8]).is_err());
}
