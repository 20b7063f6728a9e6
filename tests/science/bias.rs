//! What is left of a homogeneous set's images when the map is taken away: noise, and nothing that has the particle's shape.

use crate::{rendering, runs, scores};
use cryoem::mrc::read_volume;
use cryoem::prepare::PreparedSet;
use cryoem::volume::Volume;
use ndarray::{Array2, Axis};
use std::path::Path;

const PARTICLES: usize = 500;
/// An annulus whose mean is this many standard errors from 0 is a ring: about one in 15,000 by chance, and fewer than ten are looked at.
const RING_SIGMAS: f64 = 4.0;
/// A ring that must be found: in standard deviations of a pixel's noise; a signal of 1 in 10 has 0.3.
const FAINT_RING: f32 = 0.03;

/// Residuals of all images.
struct Residuals {
    /// Mean over the particles.
    mean: Array2<f64>,
    /// Mean square over the pixels that no ray through the mask meets.
    chi2_outside: f64,
    /// Distance from the centre beyond which no mask reaches, pixels.
    outside_px: f64,
}

#[test]
fn residuals_of_a_homogeneous_set_show_no_ring() {
    let set = runs::simulate("homogeneous", &format!("-n {PARTICLES} --optics 48:2.3:300 --motion none --seed 3"));
    let run = runs::train("homogeneous", &set, "--epochs 1 --clusters 2 --plot no");
    let prepared = PreparedSet::load(&run.job.join("prepared/prepared.json")).unwrap();
    let mask = read_volume(&run.job.join("mask.mrc")).unwrap();
    let scale = base_scale(&run.job);
    let latent = scores::latents(&run).mean_axis(Axis(0)).unwrap();
    let row: Vec<String> = latent.iter().map(ToString::to_string).collect();
    let zfile = run.job.with_file_name("z.txt");
    std::fs::write(&zfile, row.join(" ")).unwrap();
    let size = prepared.size_px();
    let decoded = runs::decode(&run, "mean", &format!("--zfile {} --box {size}", zfile.display())).join("vol_000.mrc");
    for (name, path) in [("base", run.job.join("base.mrc")), ("decoded", decoded)] {
        let found = residuals(&prepared, &read_volume(&path).unwrap(), &mask, scale);
        let rings = rings(&found.mean, found.outside_px);
        eprintln!("{name}: reduced χ² outside the mask {:.4}; annuli, in standard errors: {rings:.2?}", found.chi2_outside);
        assert!((found.chi2_outside - 1.0).abs() < 0.05, "{name}: {}", found.chi2_outside);
        assert!(rings.len() >= 3, "{name}: the mask leaves too little");
        assert!(rings.iter().all(|z| z.abs() < RING_SIGMAS), "{name}: {rings:?}");
        let mut marked = found.mean.clone();
        draw_ring(&mut marked, found.outside_px + 1.5);
        assert!(self::rings(&marked, found.outside_px).iter().any(|z| z.abs() > RING_SIGMAS), "{name}: a faint ring is found");
    }
}

/// Factor from the grey scale of the job's maps to that of the prepared images.
fn base_scale(job: &Path) -> f64 {
    let text = std::fs::read_to_string(job.join("checkpoint/epoch-001/checkpoint.json")).unwrap();
    let header: serde_json::Value = serde_json::from_str(&text).unwrap();
    header["data"]["base_scale"].as_f64().unwrap()
}

fn residuals(prepared: &PreparedSet, map: &Volume, mask: &Volume, scale: f64) -> Residuals {
    let n = prepared.size_px();
    let grid = prepared.prepared().apix;
    let (mut mean, mut squares, mut pixels) = (Array2::<f64>::zeros((n, n)), 0.0, 0usize);
    for i in 0..prepared.len() {
        let rotation = &prepared.rotations()[i];
        let model = rendering::through_microscope(&rendering::project(map, rotation), &prepared.ctf()[i], grid) * scale as f32;
        let image = Array2::from_shape_vec((n, n), prepared.images(&[i])).unwrap();
        let residual = image - model;
        let silhouette = rendering::project(mask, rotation);
        for (r, s) in residual.iter().zip(&silhouette) {
            if *s <= 0.0 {
                squares += f64::from(*r).powi(2);
                pixels += 1;
            }
        }
        mean += &residual.mapv(f64::from);
    }
    mean /= prepared.len() as f64;
    let half = (n / 2) as f64;
    let reach = mask.data.indexed_iter().filter(|(_, m)| **m > 0.0);
    let distance = |(z, y, x): (usize, usize, usize)| [z, y, x].iter().map(|&c| (c as f64 - half).powi(2)).sum::<f64>().sqrt();
    let outside_px = reach.map(|(at, _)| distance(at)).fold(0.0, f64::max);
    Residuals { mean, chi2_outside: squares / pixels as f64, outside_px }
}

/// Means of annuli of one pixel about the particle, in standard errors: from half of the mask's reach, where the soft edges of most views
/// are, to the inscribed circle. The noise of a prepared pixel has standard deviation 1.
fn rings(mean: &Array2<f64>, outside_px: f64) -> Vec<f64> {
    let half = mean.dim().0 / 2;
    let first = (0.5 * outside_px).round() as usize;
    let annulus = |radius: usize| {
        let inside = mean.indexed_iter().filter(|((y, x), _)| distance_px(*y, *x, half).round() as usize == radius);
        let (sum, count) = inside.fold((0.0, 0usize), |(sum, count), (_, v)| (sum + v, count + 1));
        sum / (count as f64).sqrt() * (PARTICLES as f64).sqrt()
    };
    (first..half).map(annulus).collect()
}

fn draw_ring(mean: &mut Array2<f64>, radius: f64) {
    let half = mean.dim().0 / 2;
    let radius = radius.min(half as f64 - 1.0).round();
    for ((y, x), value) in mean.indexed_iter_mut() {
        if distance_px(y, x, half).round() == radius {
            *value += f64::from(FAINT_RING);
        }
    }
}

fn distance_px(y: usize, x: usize, half: usize) -> f64 {
    (y as f64 - half as f64).hypot(x as f64 - half as f64)
}
