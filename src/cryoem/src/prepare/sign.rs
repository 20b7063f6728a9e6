//! Whether protein is white or black in the images.
//!
//! An image with its CTF applied once more is the particle seen through CTF², which is nowhere negative: the particle's middle then stands out
//! from the corners with the sign of its density. The difference is measured in discs of several radii, and tested over the sample with
//! Student's t: what the noise adds has mean 0.

use super::Invert;
use super::background::{Level, corners};
use super::grid::Grid;
use crate::ctf::Ctf;
use crate::fft;
use crate::particles::ParticleSet;
use ndarray::ArrayView2;

/// Radii of the discs, in units of half the image.
const RADII: [f64; 3] = [0.15, 0.3, 0.5];
/// |t| from which a sign is believed: noise alone comes this far with any of the radii once in some ten thousand groups.
const SURE: f64 = 4.0;

/// Mean in each disc less the mean of the corners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contrast([f64; RADII.len()]);

impl Contrast {
    /// `ctf`: the image's CTF, unless it has none or is multiplied by it already.
    pub(super) fn of(image: ArrayView2<f32>, grid: &Grid, ctf: Option<Ctf>) -> Self {
        let n = grid.size_px;
        let filtered = ctf.map(|ctf| {
            let mut spectrum = fft::rfft2(image);
            spectrum.iter_mut().zip(ctf.half_plane(n, grid.image_apix)).for_each(|(v, c)| *v *= c);
            fft::irfft2(spectrum, n)
        });
        let image = match &filtered {
            Some(filtered) => filtered.view(),
            None => image.reborrow(),
        };
        let mut corner = (0.0, 0.0);
        for at in corners(grid) {
            corner.0 += f64::from(image[at]);
            corner.1 += 1.0;
        }
        let corner = corner.0 / f64::max(corner.1, 1.0);
        let half = grid.filled_half_px();
        let centre = (n / 2) as f64;
        let mut sums = [(0.0, 0.0); RADII.len()];
        for ((y, x), v) in image.indexed_iter() {
            let r = ((y as f64 - centre).powi(2) + (x as f64 - centre).powi(2)).sqrt();
            for (sum, radius) in sums.iter_mut().zip(RADII) {
                if r <= radius * half {
                    sum.0 += f64::from(*v) - corner;
                    sum.1 += 1.0;
                }
            }
        }
        Self(sums.map(|(sum, n)| sum / f64::max(n, 1.0)))
    }
}

/// Student's t of the radius at which it is largest; positive: white.
pub(super) fn vote(sample: &[Contrast]) -> f64 {
    let n = sample.len() as f64;
    let t = |i: usize| {
        let mean = sample.iter().map(|c| c.0[i]).sum::<f64>() / n;
        let variance = sample.iter().map(|c| (c.0[i] - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let error = (variance / n).sqrt();
        // Noise-free images of one view have no error, one image has none to tell.
        if error > 0.0 {
            mean / error
        } else if sample.len() > 1 && mean != 0.0 {
            SURE.copysign(mean)
        } else {
            0.0
        }
    };
    (0..RADII.len()).map(t).max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0)
}

/// Sets every group's sign and says why. A group that cannot be told follows the surest of the others.
pub(super) fn settle(
    set: &ParticleSet,
    invert: Invert,
    counts: &[usize],
    votes: &[Option<f64>],
    levels: &mut [Level],
    notes: &mut Vec<String>,
) {
    let surest = votes.iter().flatten().copied().filter(|t| t.abs() >= SURE).max_by(|a, b| a.abs().total_cmp(&b.abs()));
    for (g, level) in levels.iter_mut().enumerate() {
        let (Some(t), true) = (votes[g], counts[g] > 0) else { continue };
        let name = &set.groups[g].name;
        let seen = if t < 0.0 { "black" } else { "white" };
        level.inverted = match invert {
            Invert::Yes | Invert::No => {
                let turn = invert == Invert::Yes;
                if t.abs() >= SURE && turn != (t < 0.0) {
                    let done = if turn { "turned" } else { "left" };
                    notes.push(format!(
                        "optics group `{name}`: particles look {seen} (t = {t:.1}), yet the sign is {done} as `--invert-data` says"
                    ));
                }
                turn
            }
            Invert::Auto if t.abs() >= SURE => {
                if t < 0.0 {
                    notes.push(format!("optics group `{name}`: particles are black (t = {t:.1}); the sign is turned"));
                }
                t < 0.0
            }
            Invert::Auto => {
                let turn = surest.is_some_and(|other| other < 0.0);
                let done = match (surest, turn) {
                    (None, _) => "left as it is (white); `--invert-data` says otherwise",
                    (Some(_), true) => "turned, as in the other groups",
                    (Some(_), false) => "left, as in the other groups",
                };
                notes.push(format!(
                    "optics group `{name}`: whether particles are white or black cannot be told (t = {t:.1}); the sign is {done}"
                ));
                turn
            }
        };
    }
}
