//! A state beside the consensus.

use super::Volume;
use crate::fft::{self, Complex32};
use contract::{Problem, Result};
use ndarray::{Array3, Zip};

/// A map brought to another's scale, and what is left when that is taken away.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The state in the consensus' scale, less the consensus: positive where the state has more.
    pub map: Volume,
    /// The state in the consensus' scale, low-passed like the difference.
    pub scaled: Volume,
    /// Factor of every Fourier shell 0..=n/2 of the state.
    pub factors: Vec<f64>,
    /// Standard deviation of the difference outside the mask, where nothing but noise differs; of the whole map without a mask.
    pub noise: f64,
}

/// state − consensus, after every Fourier shell of the state was brought to the amplitude that the consensus has in it.
///
/// Decoded and reconstructed maps differ in grey scale and fall off differently with frequency; subtracted as they are, the difference shows
/// that everywhere. The factors come from the masked maps (the solvent's noise would count as amplitude otherwise). Both maps are cut off at
/// `resolution_angstrom`, where one is given; beyond it they differ by noise.
///
/// # Errors
/// The maps (or the mask) are not cubes of one size, or the resolution is not positive.
pub fn difference(state: &Volume, consensus: &Volume, mask: Option<&Volume>, resolution_angstrom: Option<f64>) -> Result<Difference> {
    let n = state.box_px()?;
    for other in std::iter::once(consensus).chain(mask) {
        if other.box_px()? != n {
            return Err(
                Problem::input(format!("boxes of {n} and {} voxels cannot be subtracted", other.box_px()?)).hint("resample one of them")
            );
        }
    }
    let masked = |map: &Volume| mask.map_or_else(|| map.data.clone(), |mask| &map.data * &mask.data);
    let (own, target) = (shell_power(&masked(state)), shell_power(&masked(consensus)));
    let factors: Vec<f64> = own.iter().zip(&target).map(|(a, b)| if *a > 0.0 { (b / a).sqrt() } else { 0.0 }).collect();
    let mut spectrum = fft::rfft3(state.data.view());
    for ((z, y, x), value) in spectrum.indexed_iter_mut() {
        let k = radius(n, z, y, x).min((factors.len() - 1) as f64);
        let (low, part) = (k as usize, k.fract());
        let high = (low + 1).min(factors.len() - 1);
        *value *= (factors[low] + (factors[high] - factors[low]) * part) as f32;
    }
    let mut scaled = Volume { data: fft::irfft3(spectrum, n), apix: consensus.apix };
    let mut base = consensus.clone();
    if let Some(resolution) = resolution_angstrom {
        (scaled, base) = (scaled.low_passed(resolution)?, base.low_passed(resolution)?);
    }
    let data = &scaled.data - &base.data;
    let (mut squares, mut count) = (0.0f64, 0usize);
    for (at, v) in data.indexed_iter() {
        if mask.is_none_or(|m| m.data[at] <= 0.0) {
            squares += f64::from(*v).powi(2);
            count += 1;
        }
    }
    Ok(Difference { map: Volume { data, apix: consensus.apix }, scaled, factors, noise: (squares / count.max(1) as f64).sqrt() })
}

fn radius(n: usize, z: usize, y: usize, x: usize) -> f64 {
    let (kz, ky) = (fft::signed_index(z, n) as f64, fft::signed_index(y, n) as f64);
    (kz * kz + ky * ky + (x * x) as f64).sqrt()
}

/// Mean power in Fourier shells 0..=n/2.
fn shell_power(data: &Array3<f32>) -> Vec<f64> {
    let n = data.dim().0;
    let spectrum: Array3<Complex32> = fft::rfft3(data.view());
    let mut sums = vec![(0.0f64, 0.0f64); n / 2 + 1];
    for ((z, y, x), value) in spectrum.indexed_iter() {
        if let Some(sum) = sums.get_mut(radius(n, z, y, x).round() as usize) {
            let weight = if x == 0 || 2 * x == n { 1.0 } else { 2.0 };
            sum.0 += weight * f64::from(value.norm_sqr());
            sum.1 += weight;
        }
    }
    sums.into_iter().map(|(sum, count)| sum / f64::max(count, 1.0)).collect()
}

/// Density of a region in one state at one contour level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occupancy {
    /// Contour level, in the map's grey scale.
    pub level: f32,
    /// Volume of the region (mask ≥ ½) above the level, Å³.
    pub volume_angstrom3: f64,
    /// The same as a part of the region.
    pub of_region: f64,
    /// The same as a part of what the reference has there; infinite where that has nothing and the state something, 1 where both have nothing.
    pub of_reference: f64,
}

/// How much of a region is filled in a state at each contour level, beside a reference in the same grey scale (the consensus, or the fullest
/// state; [`difference`] brings a state there).
///
/// One level can make a weak part vanish, or noise look like a part; a part that is missing is missing at all of them.
///
/// # Errors
/// The maps and the region are not cubes of one size, or the region is empty.
pub fn occupancy(state: &Volume, reference: &Volume, region: &Volume, levels: &[f32]) -> Result<Vec<Occupancy>> {
    /// Mask value from which a voxel belongs to the region.
    const INSIDE: f32 = 0.5;
    let n = state.box_px()?;
    for other in [reference, region] {
        if other.box_px()? != n {
            return Err(
                Problem::input(format!("boxes of {n} and {} voxels cannot be compared", other.box_px()?)).hint("resample one of them")
            );
        }
    }
    let voxels = region.data.iter().filter(|m| **m >= INSIDE).count();
    if voxels == 0 {
        return Err(Problem::input("the region is empty: no mask value reaches 0.5").hint("give a mask of the part in question"));
    }
    let above = |map: &Volume, level: f32| {
        let mut count = 0usize;
        Zip::from(&map.data).and(&region.data).for_each(|v, m| count += usize::from(*m >= INSIDE && *v > level));
        count as f64
    };
    let voxel = state.apix.powi(3);
    Ok(levels
        .iter()
        .map(|&level| {
            let (own, other) = (above(state, level), above(reference, level));
            let of_reference = if own == 0.0 && other == 0.0 { 1.0 } else { own / other };
            Occupancy { level, volume_angstrom3: own * voxel, of_region: own / voxels as f64, of_reference }
        })
        .collect())
}

/// Contour levels that tell weak from missing: the given parts of the density that two voxels in a thousand of the map exceed.
#[must_use]
pub fn contour_levels(map: &Volume, parts: &[f32]) -> Vec<f32> {
    /// A molecule fills some 2 to 10 % of its box: this is well inside it.
    const CORE: f64 = 0.998;
    let mut sorted: Vec<f32> = map.data.iter().copied().filter(|v| v.is_finite()).collect();
    if sorted.is_empty() {
        return vec![0.0; parts.len()];
    }
    let rank = (CORE * (sorted.len() - 1) as f64) as usize;
    let core = *sorted.select_nth_unstable_by(rank, f32::total_cmp).1;
    parts.iter().map(|part| part * core).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::phantom::phantom;

    const N: usize = 40;
    const APIX: f64 = 3.0;

    /// A body of Gaussians of this width (Å) and, where it is present, a part at +x; the part's mask.
    fn maps(present: f32, sigma: f64) -> (Volume, Volume) {
        let mut body = phantom(0.3, false, 0.45 * N as f64 * APIX, sigma).volume(N, APIX);
        let height = body.data.iter().fold(0f32, |m, v| m.max(*v));
        body.data /= height;
        let c = (N / 2) as f32;
        let part = Array3::from_shape_fn((N, N, N), |(z, y, x)| {
            let d = [(z as f32 - c), (y as f32 - c), (x as f32 - c - 13.0)].map(|v| v * v).iter().sum::<f32>();
            (-d / 8.0).exp()
        });
        let region = Volume { data: part.mapv(|v| f32::from(u8::from(v > 0.2))), apix: APIX };
        (Volume { data: &body.data + &(part * present), apix: APIX }, region)
    }

    #[test]
    fn what_differs_is_left_and_fall_off_and_scale_are_not() {
        let (consensus, region) = maps(0.0, 5.0);
        let (mut state, _) = maps(0.3, 6.5);
        state.data *= 7.0;
        let dot = |a: &Volume, b: &Volume| a.data.iter().zip(&b.data).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        let plain = &(&state.data * (dot(&state, &consensus) / dot(&state, &state)) as f32) - &consensus.data;
        let body = Volume { data: consensus.data.mapv(|v| f32::from(u8::from(v > 0.02))), apix: APIX };
        let found = difference(&state, &consensus, Some(&body), Some(9.0)).unwrap();
        let mean_in = |data: &Array3<f32>, mask: &Volume| (data * &mask.data).sum() / mask.data.sum();
        let squares_in = |data: &Array3<f32>, mask: &Volume| (data * data * &mask.data).sum() / mask.data.sum();
        assert!(mean_in(&found.map.data, &region) > 0.1, "{}", mean_in(&found.map.data, &region));
        let (left, before) = (squares_in(&found.map.data, &body), squares_in(&plain, &body));
        assert!(left < 0.5 * before, "{left} of {before}");
        let same = difference(&consensus, &consensus, None, None).unwrap();
        assert!(same.noise < 1e-4 && same.factors.iter().all(|f| (f - 1.0).abs() < 1e-9 || *f == 0.0));
        assert!(difference(&state, &Volume::zeros(8, APIX), None, None).is_err());
    }

    #[test]
    fn a_missing_part_is_missing_at_every_level_and_a_weak_one_at_high_levels_alone() {
        let (full, region) = maps(1.0, 5.0);
        let levels = contour_levels(&full, &[0.2, 0.4, 0.6]);
        let of_reference = |present: f32| {
            occupancy(&maps(present, 5.0).0, &full, &region, &levels).unwrap().iter().map(|o| o.of_reference).collect::<Vec<_>>()
        };
        assert!(of_reference(1.0).iter().all(|o| (o - 1.0).abs() < 1e-9));
        assert!(of_reference(0.0).iter().all(|o| *o < 0.05), "{:?}", of_reference(0.0));
        let weak = of_reference(0.5);
        assert!(weak[0] > 0.6 && weak[2] < 0.4 && weak[0] > weak[1] && weak[1] > weak[2], "{weak:?}");
        let first = occupancy(&full, &full, &region, &levels).unwrap()[0];
        assert!((first.volume_angstrom3 / (first.of_region * f64::from(region.data.sum())) - 27.0).abs() < 1e-6);
        assert!(occupancy(&full, &full, &Volume::zeros(N, APIX), &levels).is_err());
    }
}
