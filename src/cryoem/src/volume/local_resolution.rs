//! Local resolution of two half maps.
//!
//! Moving a small box through the maps and taking an FSC in each place costs a transform a voxel. Here every band of frequencies is cut out of
//! both half maps once, and the local correlation in it is a quotient of three products, each averaged by a Gaussian, which is a
//! multiplication in Fourier space: a dozen transforms a band. The Gaussian's width is a fixed multiple of the band's
//! wavelength, so that every band compares about as many independent values, and the noise of the correlation is the same in all of them.
//! A sharp box of fixed size would see too few waves at low resolution and smear at high.

use super::Volume;
use crate::fft::{self, Complex32};
use contract::{Problem, Result};
use ndarray::{Array3, Zip};

/// Deviation of the averaging Gaussian in wavelengths of the band. With bands a sixth of an octave wide a place then compares about 200
/// independent values: correlations of noise scatter by 0.07.
const SIGMA_WAVELENGTHS: f64 = 1.5;
/// Bands an octave.
const BANDS: f64 = 6.0;
/// Correlation of half maps that counts as resolved; higher than 0.143, which lies within twice the scatter.
const THRESHOLD: f64 = 0.5;
/// Waves of the coarsest band that fit the box.
const FEWEST_WAVES: f64 = 4.0;

/// Local resolution, Å, on the maps' grid: the finest of the bands down to which the half maps agree (correlation 0.5 or more in every coarser
/// one). 0 where the mask is 0; the coarsest band where not even that agrees. Neighbouring bands are interpolated.
///
/// # Errors
/// The maps (or the mask) are not cubes of one size, or have no voxel size.
pub fn local_resolution(first: &Volume, second: &Volume, mask: Option<&Volume>) -> Result<Volume> {
    let n = first.box_px()?;
    first.require_apix()?;
    for other in std::iter::once(second).chain(mask) {
        if other.box_px()? != n {
            return Err(
                Problem::input(format!("boxes of {n} and {} voxels cannot be compared", other.box_px()?)).hint("resample one of them")
            );
        }
    }
    let spectra = [first, second].map(|map| fft::rfft3(map.data.view()));
    let extent = n as f64 * first.apix;
    let bands: Vec<f64> = (0..).map(|i| FEWEST_WAVES * 2f64.powf(f64::from(i) / BANDS)).take_while(|k| *k < 0.5 * n as f64).collect();
    let coarsest = extent / FEWEST_WAVES;
    let mut found = Array3::from_elem((n, n, n), coarsest as f32);
    // The band before agreed here, and how well.
    let mut above = Array3::from_elem((n, n, n), 1.0f32);
    for (i, &k) in bands.iter().enumerate() {
        let correlation = band_correlation(&spectra, n, k);
        let (coarser, finer) = (if i == 0 { coarsest } else { extent / bands[i - 1] }, extent / k);
        let threshold = THRESHOLD as f32;
        Zip::from(&mut found).and(&mut above).and(&correlation).par_for_each(|out, above, &now| {
            if *above < threshold {
                return;
            }
            *out = if now >= threshold {
                finer as f32
            } else {
                let part = (*above - threshold) / (*above - now).max(f32::EPSILON);
                coarser as f32 + (finer - coarser) as f32 * part
            };
            *above = now;
        });
        let inside = |at: (usize, usize, usize)| mask.is_none_or(|m| m.data[at] > 0.0);
        if !above.indexed_iter().any(|(at, v)| *v >= threshold && inside(at)) {
            break;
        }
    }
    if let Some(mask) = mask {
        Zip::from(&mut found).and(&mask.data).for_each(|v, m| *v = if *m > 0.0 { *v } else { 0.0 });
    }
    Ok(Volume { data: found, apix: first.apix })
}

/// Correlation of two maps in the band about frequency index `k`, averaged about every voxel.
fn band_correlation(spectra: &[Array3<Complex32>; 2], n: usize, k: f64) -> Array3<f32> {
    let [a, b] = spectra.each_ref().map(|spectrum| fft::irfft3(filtered(spectrum, n, |r| band(r, k)), n));
    // σ in voxels; the transform of the Gaussian of unit sum is exp(−2π²σ²(r/n)²).
    let sigma = SIGMA_WAVELENGTHS / k;
    let average = |product: Array3<f32>| {
        let spectrum = fft::rfft3(product.view());
        fft::irfft3(filtered(&spectrum, n, |r| (-2.0 * (std::f64::consts::PI * sigma * r).powi(2)).exp()), n)
    };
    let cross = average(&a * &b);
    let own = [average(&a * &a), average(&b * &b)];
    let mut out = cross;
    // Where a map holds nothing, both averages are rounding errors.
    let floor = 1e-6 * own[0].iter().chain(&own[1]).fold(0f32, |m, v| m.max(*v));
    Zip::from(&mut out).and(&own[0]).and(&own[1]).par_for_each(|c, &p, &q| {
        *c = if p > floor && q > floor { *c / (p * q).sqrt() } else { 0.0 };
    });
    out
}

/// A raised cosine over the logarithm of frequency, an octave/`BANDS` to either side.
fn band(radius: f64, k: f64) -> f64 {
    if radius <= 0.0 {
        return 0.0;
    }
    let t = (radius / k).log2() * BANDS;
    if t.abs() >= 1.0 { 0.0 } else { (0.5 + 0.5 * (std::f64::consts::PI * t).cos()).sqrt() }
}

/// The spectrum times a function of the frequency index.
fn filtered(spectrum: &Array3<Complex32>, n: usize, factor: impl Fn(f64) -> f64 + Sync) -> Array3<Complex32> {
    let mut out = spectrum.clone();
    Zip::indexed(out.outer_iter_mut()).par_for_each(|z, mut plane| {
        let kz = fft::signed_index(z, n) as f64;
        for ((y, x), value) in plane.indexed_iter_mut() {
            let ky = fft::signed_index(y, n) as f64;
            *value *= factor((kz * kz + ky * ky + (x * x) as f64).sqrt()) as f32;
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// One side of the maps agrees to 7 Å, the other to 16 Å; outside a ball there is noise alone.
    #[test]
    fn each_side_has_its_own_resolution() {
        let (n, apix) = (64, 2.0);
        let noise = |stream: u64| {
            let mut grain = Array3::<f32>::zeros((n, n, n));
            Random::new(8, stream).fill_normal(grain.as_slice_mut().unwrap());
            Volume { data: grain, apix }
        };
        let signal = noise(0);
        let (fine, coarse) = (signal.low_passed(7.0).unwrap(), signal.low_passed(16.0).unwrap());
        let mut both = coarse.data.clone();
        Zip::indexed(&mut both).and(&fine.data).for_each(|(_, _, x), v, f| {
            if x >= n / 2 {
                *v = *f;
            }
        });
        let maps = [1, 2].map(|stream| Volume { data: &both + &(noise(stream).data * 0.5), apix });
        let out = local_resolution(&maps[0], &maps[1], None).unwrap();
        let median = |from: usize, to: usize| {
            let mut values: Vec<f32> = out.data.indexed_iter().filter(|((_, _, x), _)| (from..to).contains(x)).map(|(_, v)| *v).collect();
            values.sort_unstable_by(f32::total_cmp);
            values[values.len() / 2]
        };
        let (left, right) = (median(8, 22), median(42, 56));
        assert!((12.0..18.5).contains(&left), "{left}");
        assert!((6.0..8.0).contains(&right), "{right}");

        let alone = local_resolution(&noise(3), &noise(4), None).unwrap();
        let mean = alone.data.iter().sum::<f32>() / alone.data.len() as f32;
        assert!(mean > 0.8 * (n as f64 * apix / FEWEST_WAVES) as f32, "{mean}");

        let mut mask = Volume::zeros(n, apix);
        mask.data[[30, 30, 30]] = 1.0;
        let one = local_resolution(&maps[0], &maps[1], Some(&mask)).unwrap();
        assert_eq!(one.data.iter().filter(|v| **v > 0.0).count(), 1);
        assert!(local_resolution(&maps[0], &Volume::zeros(8, apix), None).is_err());
    }
}
