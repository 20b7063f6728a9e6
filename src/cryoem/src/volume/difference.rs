//! States beside their consensus: one grey scale for all, and how much of a part is there.

use super::Volume;
use crate::fft::{self, Complex32};
use contract::{Problem, Result};
use ndarray::{Array3, Zip};

/// A factor for every Fourier shell 0..=n/2, which brings maps of one kind to the grey scale of another.
#[derive(Clone, Debug, PartialEq)]
pub struct ShellScale {
    factors: Vec<f64>,
}

impl ShellScale {
    /// From the mean of the states to the amplitude that the consensus has in every shell.
    ///
    /// Decoded and reconstructed maps differ in grey scale and fall off differently with frequency; subtracted as they are, the difference shows
    /// that everywhere. The states of one decoder share both: with a scale of its own for every state, one that has a part more would lose density
    /// in all that it shares with the others. Both maps should be masked (the solvent's noise counts as amplitude otherwise).
    ///
    /// # Errors
    /// The maps are not cubes of one size.
    pub fn between(mean: &Volume, consensus: &Volume) -> Result<Self> {
        of_one_size(mean, consensus)?;
        let (own, target) = (shell_power(&mean.data), shell_power(&consensus.data));
        Ok(Self { factors: own.iter().zip(&target).map(|(a, b)| if *a > 0.0 { (b / a).sqrt() } else { 0.0 }).collect() })
    }

    /// A map in the other grey scale, cut off at `resolution_angstrom`.
    ///
    /// # Errors
    /// The map is no cube of that size, or the resolution is not positive.
    pub fn apply(&self, map: &Volume, resolution_angstrom: f64) -> Result<Volume> {
        let n = map.box_px()?;
        if n / 2 + 1 != self.factors.len() {
            return Err(Problem::input(format!("a box of {n} voxels has other shells than the {} that are scaled", self.factors.len()))
                .hint("resample the map"));
        }
        let mut spectrum = fft::rfft3(map.data.view());
        let last = self.factors.len() - 1;
        for ((z, y, x), value) in spectrum.indexed_iter_mut() {
            let k = radius(n, z, y, x).min(last as f64);
            let (low, part) = (k as usize, k.fract());
            let high = (low + 1).min(last);
            *value *= (self.factors[low] + (self.factors[high] - self.factors[low]) * part) as f32;
        }
        Volume { data: fft::irfft3(spectrum, n), apix: map.apix }.low_passed(resolution_angstrom)
    }
}

/// Whether maps can be laid over each other.
fn of_one_size(map: &Volume, other: &Volume) -> Result<()> {
    let (n, m) = (map.box_px()?, other.box_px()?);
    if n == m {
        Ok(())
    } else {
        Err(Problem::input(format!("boxes of {n} and {m} voxels cannot be compared")).hint("resample one of them"))
    }
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
}

/// How much of a region is filled in a state at each contour level; states are compared in one grey scale ([`ShellScale`]).
///
/// One level can make a weak part vanish, or noise look like a part; a part that is missing is missing at all of them.
///
/// # Errors
/// The map and the region are not cubes of one size, or the region is empty.
pub fn occupancy(state: &Volume, region: &Volume, levels: &[f32]) -> Result<Vec<Occupancy>> {
    /// Mask value from which a voxel belongs to the region.
    const INSIDE: f32 = 0.5;
    of_one_size(state, region)?;
    let voxels = region.data.iter().filter(|m| **m >= INSIDE).count();
    if voxels == 0 {
        return Err(Problem::input("the region is empty: no mask value reaches 0.5").hint("give a mask of the part in question"));
    }
    let voxel_angstrom3 = state.apix.powi(3);
    Ok(levels
        .iter()
        .map(|&level| {
            let mut count = 0usize;
            Zip::from(&state.data).and(&region.data).for_each(|v, m| count += usize::from(*m >= INSIDE && *v > level));
            Occupancy { level, volume_angstrom3: count as f64 * voxel_angstrom3, of_region: count as f64 / voxels as f64 }
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
        // Two states of one decoder, with and without the part; the consensus has half of it, another scale and another fall-off.
        let (consensus, region) = maps(0.5, 5.0);
        let states = [0.0, 1.0].map(|present| {
            let mut state = maps(present, 6.5).0;
            state.data *= 7.0;
            state
        });
        let mean = Volume { data: (&states[0].data + &states[1].data) / 2.0, apix: APIX };
        let body = Volume { data: maps(0.0, 5.0).0.data.mapv(|v| f32::from(u8::from(v > 0.02))), apix: APIX };
        let solvent = Volume { data: (&body.data + &region.data).mapv(|m| m.min(1.0)), apix: APIX };
        let masked = |map: &Volume| Volume { data: &map.data * &solvent.data, apix: APIX };
        let scale = ShellScale::between(&masked(&mean), &masked(&consensus)).unwrap();
        let mean_in = |data: &Array3<f32>, mask: &Volume| (data * &mask.data).sum() / mask.data.sum();
        let squares_in = |data: &Array3<f32>, mask: &Volume| (data * data * &mask.data).sum() / mask.data.sum();
        let [without, with] = states.each_ref().map(|state| scale.apply(state, 9.0).unwrap().data - &consensus.data);
        for (left, sign) in [(&without, -1.0), (&with, 1.0)] {
            assert!(mean_in(left, &region) * sign > 0.1, "{}", mean_in(left, &region));
        }
        // The body, which both have, differs far less than the maps as they are, brought to one scale.
        let dot = |a: &Volume, b: &Volume| a.data.iter().zip(&b.data).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        let rest = Volume { data: &body.data * &region.data.mapv(|m| 1.0 - m), apix: APIX };
        for (state, left) in states.iter().zip([&without, &with]) {
            let plain = &(&state.data * (dot(state, &consensus) / dot(state, state)) as f32) - &consensus.data;
            assert!(
                squares_in(left, &rest) < 0.5 * squares_in(&plain, &rest),
                "{} of {}",
                squares_in(left, &rest),
                squares_in(&plain, &rest)
            );
        }
        let same = ShellScale::between(&consensus, &consensus).unwrap();
        assert!(same.factors.iter().all(|f| (f - 1.0).abs() < 1e-9 || *f == 0.0));
        assert!(ShellScale::between(&mean, &Volume::zeros(8, APIX)).is_err());
        assert!(scale.apply(&Volume::zeros(8, APIX), 9.0).is_err() && scale.apply(&mean, 0.0).is_err());
    }

    #[test]
    fn what_states_share_is_left_alone() {
        // A consensus that has half of a part, and the states that have none and all of it, three times as dense.
        let (consensus, _) = maps(2.0, 5.0);
        let part = &maps(4.0, 5.0).0.data - &consensus.data;
        let state = |sign: f32| Volume { data: (&consensus.data + &(&part * sign)) * 3.0, apix: APIX };
        let common = ShellScale::between(&Volume { data: &consensus.data * 3.0, apix: APIX }, &consensus).unwrap();
        let norm = |data: &Array3<f32>| data.iter().map(|v| v * v).sum::<f32>().sqrt();
        let wrong = |scale: &ShellScale, sign: f32| {
            let left = scale.apply(&state(sign), 2.0 * APIX).unwrap().data - &consensus.data;
            norm(&(left - &(&part * sign))) / norm(&part)
        };
        for sign in [-1.0, 1.0] {
            let own = ShellScale::between(&state(sign), &consensus).unwrap();
            let (common, own) = (wrong(&common, sign), wrong(&own, sign));
            assert!(common < 0.02 && own > 0.1, "{common} of the difference is wrong, with a scale of its own {own}");
        }
    }

    #[test]
    fn a_missing_part_is_missing_at_every_level_and_a_weak_one_at_high_levels_alone() {
        let (full, region) = maps(1.0, 5.0);
        let levels = contour_levels(&full, &[0.2, 0.4, 0.6]);
        let filled =
            |present: f32| occupancy(&maps(present, 5.0).0, &region, &levels).unwrap().iter().map(|o| o.of_region).collect::<Vec<_>>();
        let whole = filled(1.0);
        let part = |present: f32| filled(present).iter().zip(&whole).map(|(own, whole)| own / whole).collect::<Vec<_>>();
        assert!(part(0.0).iter().all(|o| *o < 0.05), "{:?}", part(0.0));
        let weak = part(0.5);
        assert!(weak[0] > 0.6 && weak[2] < 0.4 && weak[0] > weak[1] && weak[1] > weak[2], "{weak:?}");
        let first = occupancy(&full, &region, &levels).unwrap()[0];
        assert!((first.volume_angstrom3 / (first.of_region * f64::from(region.data.sum())) - 27.0).abs() < 1e-6);
        assert!(occupancy(&full, &Volume::zeros(N, APIX), &levels).is_err());
    }
}
