//! From the unfiltered halves to the map to look at.

use super::Volume;
use super::resolution::{HALF_MAPS, HalfMapFsc, last_shell_above};
use crate::fft;
use contract::{Problem, Result};

/// Frequencies below this resolution show the molecule's shape, not the fall-off with frequency, and are left out of the fit, Å (RELION's default).
const FIT_FROM_ANGSTROM: f64 = 10.0;
/// Correlation below which halves do not agree at all (RELION's).
const NO_AGREEMENT: f64 = 1e-4;
/// Shells that a fit needs: fewer give a B-factor that says nothing.
const LEAST_SHELLS: usize = 5;
/// Width of the low-pass filter's raised-cosine edge, shells (RELION's default).
const EDGE_SHELLS: f64 = 2.0;

/// A sharpened map and how it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharpened {
    /// Mean of the halves, weighted by what they agree upon, sharpened, low-passed.
    pub map: Volume,
    /// The B-factor used, Å²: negative sharpens.
    pub b_factor_angstrom2: f64,
    /// Whether it was fitted; otherwise it was given, or 0 because the resolution does not reach far enough beyond 10 Å for a fit.
    pub fitted: bool,
    /// Low-pass, Å.
    pub resolution_angstrom: f64,
}

/// Mean of two half maps, each shell times √(2 FSC / (1 + FSC)) (Rosenthal and Henderson 2003), sharpened by exp(−B s²/4) and low-passed at the
/// resolution. `b_factor_angstrom2`: `None` fits it to the fall-off of the weighted amplitudes from 10 Å to the
/// resolution (RELION's PostProcess fits on into shells of noise unless it is told where to end).
///
/// # Errors
/// The maps differ in box, the curve belongs to another box, or the halves do not agree anywhere.
pub fn sharpen(first: &Volume, second: &Volume, fsc: &HalfMapFsc, b_factor_angstrom2: Option<f64>) -> Result<Sharpened> {
    let n = first.box_px()?;
    if second.box_px()? != n || fsc.box_px != n {
        return Err(Problem::failed(format!("half maps of {n} and {} voxels, correlation of {}", second.box_px()?, fsc.box_px)));
    }
    let last = last_shell_above(&fsc.corrected, HALF_MAPS).ok_or_else(|| {
        Problem::input("the half maps do not agree at any resolution").hint("the state has too few particles, or none of one shape")
    })?;
    let mut spectrum = fft::rfft3((0.5 * (&first.data + &second.data)).view());
    let radius = |z: usize, y: usize, x: usize| {
        let (kz, ky) = (fft::signed_index(z, n) as f64, fft::signed_index(y, n) as f64);
        (kz * kz + ky * ky + (x * x) as f64).sqrt()
    };
    // Beyond the first shell without any agreement everything is noise, whatever a later shell says.
    let agreeing = last_shell_above(&fsc.corrected, NO_AGREEMENT).unwrap_or(last);
    let weight = |(k, c): (usize, &f64)| if k <= agreeing { (2.0 * c.max(0.0) / (1.0 + c.max(0.0))).sqrt() } else { 0.0 };
    let weights: Vec<f64> = fsc.corrected.iter().enumerate().map(weight).collect();
    let mut amplitudes = vec![(0.0f64, 0usize); n / 2 + 1];
    for ((z, y, x), value) in spectrum.indexed_iter_mut() {
        let shell = radius(z, y, x).round() as usize;
        let Some(sum) = amplitudes.get_mut(shell) else {
            *value = fft::Complex32::default();
            continue;
        };
        *value *= weights[shell] as f32;
        sum.0 += f64::from(value.norm_sqr().sqrt());
        sum.1 += 1;
    }
    let extent = n as f64 * first.apix;
    let fitted = match b_factor_angstrom2 {
        Some(_) => None,
        None => {
            let first_shell = (extent / FIT_FROM_ANGSTROM).ceil() as usize;
            let points: Vec<(f64, f64)> = (first_shell.max(1)..=last)
                .filter(|&k| amplitudes[k].0 > 0.0)
                .map(|k| ((k as f64 / extent).powi(2), (amplitudes[k].0 / amplitudes[k].1 as f64).ln()))
                .collect();
            (points.len() >= LEAST_SHELLS).then(|| 4.0 * slope(&points))
        }
    };
    let b = b_factor_angstrom2.or(fitted).unwrap_or(0.0);
    for ((z, y, x), value) in spectrum.indexed_iter_mut() {
        let k = radius(z, y, x);
        let t = ((k - last as f64) / EDGE_SHELLS + 0.5).clamp(0.0, 1.0);
        let low_pass = 0.5 + 0.5 * (std::f64::consts::PI * t).cos();
        *value *= (low_pass * (-0.25 * b * (k / extent).powi(2)).exp()) as f32;
    }
    Ok(Sharpened {
        map: Volume { data: fft::irfft3(spectrum, n), apix: first.apix },
        b_factor_angstrom2: b,
        fitted: fitted.is_some(),
        resolution_angstrom: fsc.resolution_of_shell_angstrom(last),
    })
}

/// Of the least-squares line.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mx, my) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), p| (xy + (p.0 - mx) * (p.1 - my), xx + (p.0 - mx).powi(2)));
    xy / xx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::volume::resolution::half_map_fsc;
    use ndarray::Array3;

    /// White noise in both halves alike, dampened by a B-factor, and a little noise of each one's own.
    fn halves(n: usize, apix: f64, b: f64) -> [Volume; 2] {
        let noise = |stream: u64| {
            let mut grain = Array3::<f32>::zeros((n, n, n));
            Random::new(4, stream).fill_normal(grain.as_slice_mut().unwrap());
            grain
        };
        let mut spectrum = fft::rfft3(noise(0).view());
        for ((z, y, x), v) in spectrum.indexed_iter_mut() {
            let (kz, ky) = (fft::signed_index(z, n) as f64, fft::signed_index(y, n) as f64);
            let s2 = (kz * kz + ky * ky + (x * x) as f64) / (n as f64 * apix).powi(2);
            *v *= (-0.25 * b * s2).exp() as f32;
        }
        let signal = fft::irfft3(spectrum, n);
        [1, 2].map(|stream| Volume { data: &signal + &(noise(stream) * 0.02), apix })
    }

    #[test]
    fn the_fall_off_is_found_and_undone() {
        let [a, b] = halves(64, 1.5, 90.0);
        let fsc = half_map_fsc(&a, &b, None, 0).unwrap();
        let out = sharpen(&a, &b, &fsc, None).unwrap();
        assert!(out.fitted && (out.b_factor_angstrom2 + 90.0).abs() < 15.0, "{}", out.b_factor_angstrom2);
        let power = |map: &Volume, shell: f64| {
            let spectrum = fft::rfft3(map.data.view());
            let near = spectrum.indexed_iter().filter(|((z, y, x), _)| {
                let (kz, ky) = (fft::signed_index(*z, 64) as f64, fft::signed_index(*y, 64) as f64);
                ((kz * kz + ky * ky + (x * x) as f64).sqrt() - shell).abs() < 0.5
            });
            let (sum, count) = near.fold((0.0, 0.0), |(s, c), (_, v)| (s + f64::from(v.norm_sqr()), c + 1.0));
            sum / count
        };
        let (before, after) = (power(&a, 22.0) / power(&a, 10.0), power(&out.map, 22.0) / power(&out.map, 10.0));
        assert!(before < 0.2 && (0.7..1.3).contains(&after), "{before} {after}");
        let given = sharpen(&a, &b, &fsc, Some(-30.0)).unwrap();
        assert!(!given.fitted && (given.b_factor_angstrom2 + 30.0).abs() < 1e-12);
        let coarse = sharpen(
            &halves(32, 6.0, 90.0)[0],
            &halves(32, 6.0, 90.0)[1],
            &half_map_fsc(&halves(32, 6.0, 90.0)[0], &halves(32, 6.0, 90.0)[1], None, 0).unwrap(),
            None,
        )
        .unwrap();
        assert!(!coarse.fitted && coarse.b_factor_angstrom2.abs() < 1e-12);
    }

    #[test]
    fn halves_without_agreement_are_refused() {
        let mut maps = halves(32, 2.0, 0.0);
        maps[1].data.mapv_inplace(|v| -v);
        let fsc = half_map_fsc(&maps[0], &maps[1], None, 0).unwrap();
        assert!(sharpen(&maps[0], &maps[1], &fsc, None).unwrap_err().to_string().contains("do not agree"));
    }
}
