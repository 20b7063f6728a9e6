//! Whether protein is white or black in the images.
//!
//! Up to its first zero the CTF is positive, and beyond it the image is made so by turning the phases where the CTF is negative: the particle's
//! middle then differs from its surroundings with the sign of its density. (Multiplying by the CTF once more, which suits the higher
//! frequencies, would take away the low ones that hold most of this contrast.) The mean of a disc less that of the rest of the inscribed circle is
//! taken for several radii, and tested over a sample of images with Student's t: what the noise adds has mean 0.

use super::background::Level;
use super::grid::Grid;
use super::{Invert, Remarks, SAMPLE};
use crate::ctf::Ctf;
use crate::fft;
use crate::particles::ParticleSet;
use ndarray::ArrayView2;

/// Radii of the discs, in units of half the image.
const RADII: [f64; 3] = [0.15, 0.3, 0.5];
/// Standard deviations from which a sign is believed.
const SURE: f64 = 3.0;
/// Standard deviations from which a group's own sign counts against that of all groups together: of hundreds of groups none comes this far by
/// chance, and one group turned by mistake would be a difference between particles that is learned.
pub(super) const SURE_ALONE: f64 = 5.0;

/// Mean in each disc less the mean of the rest of the inscribed circle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contrast([f64; RADII.len()]);

impl Contrast {
    /// `ctf`: the image's CTF, unless it has none or is multiplied by it already.
    pub(super) fn of(image: ArrayView2<f32>, grid: &Grid, ctf: Option<Ctf>) -> Self {
        let n = grid.size_px;
        let filtered = ctf.map(|ctf| {
            let mut spectrum = fft::rfft2(image);
            spectrum.iter_mut().zip(ctf.half_plane(n, grid.image_apix)).filter(|(_, c)| *c < 0.0).for_each(|(v, _)| *v = -*v);
            fft::irfft2(spectrum, n)
        });
        let image = match &filtered {
            Some(filtered) => filtered.view(),
            None => image.reborrow(),
        };
        let half = grid.filled_half_px();
        let centre = (n / 2) as f64;
        // Sum and number of the values in each disc, and in the whole circle.
        let (mut discs, mut circle) = ([(0.0, 0.0); RADII.len()], (0.0, 0.0));
        for ((y, x), v) in image.indexed_iter() {
            let r = ((y as f64 - centre).powi(2) + (x as f64 - centre).powi(2)).sqrt();
            if r > half {
                continue;
            }
            circle = (circle.0 + f64::from(*v), circle.1 + 1.0);
            for (disc, _) in discs.iter_mut().zip(RADII).filter(|(_, radius)| r <= radius * half) {
                *disc = (disc.0 + f64::from(*v), disc.1 + 1.0);
            }
        }
        Self(discs.map(|(sum, count)| sum / f64::max(count, 1.0) - (circle.0 - sum) / f64::max(circle.1 - count, 1.0)))
    }
}

/// How surely white (positive) or black (negative) a group's particles are, in standard deviations: Student's t of the radius at which it is
/// largest, as the normal deviate of about the same probability.
pub(super) fn vote(sample: &[Contrast]) -> f64 {
    let n = sample.len() as f64;
    let deviate = |i: usize| {
        let mean = sample.iter().map(|c| c.0[i]).sum::<f64>() / n;
        let variance = sample.iter().map(|c| (c.0[i] - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let t = mean / (variance / n).sqrt();
        let freedom = n - 1.0;
        // Abramowitz and Stegun, 26.7.8. One image tells nothing; images without noise or difference give no number.
        let z = t * (1.0 - 0.25 / freedom) / (1.0 + t * t / (2.0 * freedom)).sqrt();
        if z.is_finite() { z } else { 0.0 }
    };
    (0..RADII.len()).map(deviate).max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0)
}

/// Sets every group's sign and says why: each group's own where it is sure beyond doubt, else that of all groups together.
pub(super) fn settle(set: &ParticleSet, invert: Invert, counts: &[usize], votes: &[f64], levels: &mut [Level], remarks: &mut Remarks) {
    // Votes weighted by the root of the number of images behind them (Stouffer).
    let behind = |g: usize| counts[g].min(SAMPLE) as f64;
    let total: f64 = (0..votes.len()).map(behind).sum();
    let all = votes.iter().enumerate().map(|(g, z)| z * behind(g).sqrt()).sum::<f64>() / total.max(1.0).sqrt();
    let (mut turned, mut opposed) = (Vec::new(), Vec::new());
    let notes = &mut remarks.notes;
    for (g, level) in levels.iter_mut().enumerate().filter(|(g, _)| counts[*g] > 0) {
        let name = &set.groups[g].name;
        let own = votes[g];
        let alone = own.abs() >= SURE_ALONE;
        let z = if alone { own } else { all };
        let sure = z.abs() >= SURE;
        let seen = if z < 0.0 { "black" } else { "white" };
        let black = sure && z < 0.0;
        level.inverted = match invert {
            Invert::Auto => black,
            Invert::Yes => true,
            Invert::No => false,
        };
        if invert != Invert::Auto {
            if sure && level.inverted != black {
                notes.push(format!("optics group `{name}`: particles look {seen} ({z:.1} sigma)"));
                opposed.push(name.as_str());
            }
        } else if !sure {
            notes.push(format!(
                "optics group `{name}`: whether particles are white or black cannot be told ({z:.1} sigma); the sign is left (white), \
                 `--invert-data` says otherwise"
            ));
        } else if black && own <= -SURE {
            notes.push(format!("optics group `{name}`: particles are black ({own:.1} sigma); the sign is turned"));
        } else if black || own < SURE {
            let done = if black { "turned" } else { "left" };
            notes.push(format!("optics group `{name}`: white or black cannot be told from its images alone ({own:.1} sigma); the sign is {done}, as in the other groups"));
        }
        if invert == Invert::Auto && black {
            turned.push(name.as_str());
        }
    }
    let groups = counts.iter().filter(|n| **n > 0).count();
    if !turned.is_empty() {
        remarks.warnings.push(format!(
            "the contrast of the images is inverted: {} are black where white is expected, and their sign is turned; nothing is to be done, unless \
             they are white in truth: then say `--invert-data no`",
            whose(&turned, groups)
        ));
    }
    if !opposed.is_empty() {
        let (seen, done, word) = if invert == Invert::Yes { ("white", "turned", "yes") } else { ("black", "left", "no") };
        remarks.warnings.push(format!(
            "the contrast of the images is inverted: {} look {seen}, yet their sign is {done} as `--invert-data {word}` says, and density comes out \
             negative; leave `--invert-data` out to have the sign found from the images",
            whose(&opposed, groups)
        ));
    }
}

/// The particles of some of the groups.
fn whose(names: &[&str], groups: usize) -> String {
    /// Groups that are named; a set can have hundreds.
    const NAMED: usize = 3;
    if names.len() == groups {
        return "the particles".into();
    }
    let named: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the particles of optics group{} {}{rest}", if names.len() > 1 { "s" } else { "" }, named.join(", "))
}
