//! Resolution from two half maps, as RELION's PostProcess tells it.
//!
//! A mask makes two maps more alike than they are: both are multiplied by it. How much, shows where nothing else can correlate: the phases of
//! both half maps are randomised beyond the frequency at which the unmasked maps part, and what then correlates inside the mask is its doing
//! (Chen et al. 2013, Ultramicroscopy 135, 24).

use super::Volume;
use super::fsc::fourier_shell_correlation;
use crate::fft::{self, Complex32};
use crate::random::Random;
use contract::Result;
use ndarray::Array3;

/// Correlation of two half maps that stands for a signal-to-noise ratio of the whole map of 1/3 (Rosenthal and Henderson 2003).
pub const HALF_MAPS: f64 = 0.143;
/// The older, stricter line, and the one for a map against a model.
pub const HALF: f64 = 0.5;

/// Phases are randomised from the shell on at which the unmasked correlation falls below this (RELION's choice).
const RANDOMISE_BELOW: f64 = 0.8;
/// The correction starts this many shells later: a mask smears the phases over a few shells.
const SMEARED_SHELLS: usize = 2;

/// Correlations of two half maps in Fourier shells 0..=n/2.
#[derive(Clone, Debug, PartialEq)]
pub struct HalfMapFsc {
    /// Voxel size of the maps, Å.
    pub apix: f64,
    /// Side of the maps, voxels.
    pub box_px: usize,
    /// Without mask.
    pub unmasked: Vec<f64>,
    /// With the mask; as `unmasked` where there is none.
    pub masked: Vec<f64>,
    /// With the mask, after the phases were randomised: what the mask alone does. Empty where nothing was randomised.
    pub randomised: Vec<f64>,
    /// The first shell whose phases were randomised; `None`: there is no mask, or the unmasked maps agree up to the last shell.
    pub randomised_from: Option<usize>,
    /// `masked`, corrected by `randomised`: what to believe.
    pub corrected: Vec<f64>,
}

impl HalfMapFsc {
    /// Resolution of a shell, Å; infinite for shell 0.
    #[must_use]
    pub fn resolution_of_shell_angstrom(&self, shell: usize) -> f64 {
        self.box_px as f64 * self.apix / shell as f64
    }

    /// Resolution at which the corrected correlation is last above a threshold before it first falls below it, Å; `None` where the first shell
    /// is below already.
    #[must_use]
    pub fn resolution_angstrom(&self, threshold: f64) -> Option<f64> {
        last_shell_above(&self.corrected, threshold).map(|shell| self.resolution_of_shell_angstrom(shell))
    }

    /// Whether the correlation never falls below the threshold: the pixel size, not the data, ends the resolution.
    #[must_use]
    pub fn reaches_nyquist(&self, threshold: f64) -> bool {
        last_shell_above(&self.corrected, threshold) == Some(self.corrected.len() - 1)
    }
}

/// The last shell before a curve first falls below a threshold; `None` where no shell beyond 0 lies above.
#[must_use]
pub fn last_shell_above(fsc: &[f64], threshold: f64) -> Option<usize> {
    let below = fsc.iter().skip(1).position(|&c| c < threshold);
    below.or_else(|| fsc.len().checked_sub(1)).filter(|&shell| shell > 0)
}

/// Correlates two half maps with and without a mask, and takes out what the mask adds. `seed`: of the random phases.
///
/// # Errors
/// The maps (or the mask) are not cubes of one size, or have no voxel size.
pub fn half_map_fsc(first: &Volume, second: &Volume, mask: Option<&Volume>, seed: u64) -> Result<HalfMapFsc> {
    first.require_apix()?;
    let unmasked = fourier_shell_correlation(first, second, None)?;
    let mut out = HalfMapFsc {
        apix: first.apix,
        box_px: first.box_px()?,
        masked: unmasked.clone(),
        corrected: unmasked.clone(),
        unmasked,
        randomised: Vec::new(),
        randomised_from: None,
    };
    let Some(mask) = mask else { return Ok(out) };
    out.masked = fourier_shell_correlation(first, second, Some(mask))?;
    out.corrected.clone_from(&out.masked);
    let Some(from) = out.unmasked.iter().skip(1).position(|&c| c < RANDOMISE_BELOW).map(|i| i + 1) else { return Ok(out) };
    let random = |map: &Volume, which: u64| randomise_phases(map, from, seed, which);
    out.randomised = fourier_shell_correlation(&random(first, 1), &random(second, 2), Some(mask))?;
    out.randomised_from = Some(from);
    for shell in from + SMEARED_SHELLS..out.corrected.len() {
        let (with, noise) = (out.masked[shell], out.randomised[shell]);
        out.corrected[shell] = if noise >= with { 0.0 } else { (with - noise) / (1.0 - noise) };
    }
    Ok(out)
}

/// The map with random phases from a shell on; amplitudes stay.
fn randomise_phases(map: &Volume, from: usize, seed: u64, which: u64) -> Volume {
    let n = map.data.dim().0;
    let mut spectrum: Array3<Complex32> = fft::rfft3(map.data.view());
    ndarray::Zip::indexed(spectrum.outer_iter_mut()).par_for_each(|z, mut plane| {
        for ((y, x), value) in plane.indexed_iter_mut() {
            let (kz, ky) = (fft::signed_index(z, n) as f64, fft::signed_index(y, n) as f64);
            if (kz * kz + ky * ky + (x * x) as f64).sqrt().round() < from as f64 {
                continue;
            }
            // On the planes that hold both of a pair ±k the second takes the first's phase, turned: the map stays real.
            let own = (z, y, x);
            let paired = x == 0 || 2 * x == n;
            let other = if paired { ((n - z) % n, (n - y) % n, x) } else { own };
            if paired && other == own {
                continue; // its own conjugate, and real
            }
            let (key, sign) = if other < own { (other, -1.0) } else { (own, 1.0) };
            let angle = sign * std::f64::consts::TAU * Random::keyed(seed, &[which, key.0 as u64, key.1 as u64, key.2 as u64]).uniform();
            let size = value.norm_sqr().sqrt();
            *value = Complex32::new(size * angle.cos() as f32, size * angle.sin() as f32);
        }
    });
    Volume { data: fft::irfft3(spectrum, n), apix: map.apix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::soft_ball;

    /// A blobby signal inside a ball and independent white noise in two maps.
    fn halves(n: usize, noise: f32) -> [Volume; 2] {
        let mut random = Random::new(1, 0);
        let mut grain = Array3::<f32>::zeros((n, n, n));
        random.fill_normal(grain.as_slice_mut().unwrap());
        let ball = soft_ball(n, 2.0, n as f64 / 5.0, 3.0);
        let signal = Volume { data: grain, apix: 2.0 }.low_passed(9.0).unwrap().data * &ball.data * 4.0;
        [2, 3].map(|stream| {
            let mut grain = Array3::<f32>::zeros((n, n, n));
            Random::new(1, stream).fill_normal(grain.as_slice_mut().unwrap());
            Volume { data: &signal + &(grain * noise), apix: 2.0 }
        })
    }

    #[test]
    fn a_mask_that_cuts_into_noise_is_found_out() {
        let n = 48;
        let [a, b] = halves(n, 0.1);
        // A rough mask, random voxel by voxel, correlates whatever it multiplies.
        let mut rough = soft_ball(n, 2.0, n as f64 / 4.0, 2.0);
        let mut random = Random::new(9, 9);
        rough.data.mapv_inplace(|v| if v > 0.0 && random.uniform() < 0.4 { v } else { 0.0 });
        let found = half_map_fsc(&a, &b, Some(&rough), 0).unwrap();
        let none = half_map_fsc(&a, &b, None, 0).unwrap();
        assert!(none.randomised.is_empty() && none.corrected == none.unmasked);
        let beyond = |curve: &[f64]| curve[18..].iter().sum::<f64>() / (curve.len() - 18) as f64;
        assert!(beyond(&found.masked) > 0.1, "{:?}", found.masked);
        assert!(beyond(&found.corrected) < 0.6 * beyond(&found.masked), "{:?}", found.corrected);
        let [a, b] = halves(n, 0.4);
        let smooth = half_map_fsc(&a, &b, Some(&soft_ball(n, 2.0, n as f64 / 5.0, 8.0)), 0).unwrap();
        assert!(beyond(&smooth.masked).abs() < 0.06 && beyond(&smooth.randomised).abs() < 0.06);
        // The signal ends at 9 Å, but for what the ball's edge smears.
        let resolution = smooth.resolution_angstrom(HALF_MAPS).unwrap();
        assert!((5.5..10.0).contains(&resolution), "{resolution}");
        assert!(smooth.resolution_angstrom(HALF).unwrap() >= resolution);
    }

    #[test]
    fn phases_change_and_amplitudes_do_not() {
        let [a, _] = halves(32, 0.4);
        let random = randomise_phases(&a, 6, 0, 1);
        let [p, q] = [&a, &random].map(|m| fft::rfft3(m.data.view()));
        let worst = p.iter().zip(&q).map(|(x, y)| (x.norm() - y.norm()).abs()).fold(0.0, f32::max);
        let largest = p.iter().map(|x| x.norm()).fold(0.0, f32::max);
        assert!(worst < 1e-3 * largest, "{worst} of {largest}");
        let fsc = fourier_shell_correlation(&a, &random, None).unwrap();
        assert!(fsc[..5].iter().all(|c| *c > 0.999), "{fsc:?}");
        assert!(fsc[7..].iter().all(|c| c.abs() < 0.2), "{fsc:?}");
    }

    #[test]
    fn the_first_fall_counts() {
        assert_eq!(last_shell_above(&[1.0, 0.9, 0.1, 0.9], 0.143), Some(1));
        assert_eq!(last_shell_above(&[1.0, 0.1, 0.9], 0.143), None);
        assert_eq!(last_shell_above(&[1.0, 0.9, 0.8], 0.143), Some(2));
    }
}
