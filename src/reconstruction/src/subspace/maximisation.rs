//! Maximisation: component maps from the posteriors of the scores.

use super::expectation::Posterior;
use super::observations::Observations;
use crate::lattice::{Lattice, PADDING};
use crate::symmetric;
use cryoem::fft::Complex32;
use ndarray::Array3;
use rayon::prelude::*;

/// Smallest prior power of a component and shell, relative to the largest of all: keeps a switched-off component finite.
const POWER_FLOOR: f64 = 1e-5;

/// Channels whose sums one worker makes: enough to fill a cache line, few enough to share the work.
const CHANNELS_AT_ONCE: usize = 8;

/// New maps: at every lattice point the regularised normal equations over the components, then the mask.
///
/// `maps` are the spectra of the current ones, `[points][components]`; their shell-wise power is each component's prior.
pub(crate) fn maximise(
    observations: &Observations,
    lattice: &Lattice,
    posterior: &Posterior,
    maps: &[Complex32],
    mask: &Array3<f32>,
) -> Vec<Array3<f32>> {
    let q = maps.len() / lattice.points();
    let pairs: Vec<(usize, usize)> = (0..q).flat_map(|j| (0..=j).map(move |l| (j, l))).collect();
    let mut sums = insert(observations, lattice, posterior, q, &pairs);
    let channels = pairs.len() + 2 * q;
    lattice.fold(&mut sums, channels, pairs.len());

    let precision = prior_precision(lattice, maps, q, mask);
    let mut solved = vec![Complex32::default(); lattice.points() * q];
    solved.par_chunks_mut(q).zip(sums.par_chunks(channels)).enumerate().for_each(|(point, (out, sums))| {
        let Some(shell) = lattice.shell(point) else { return };
        let mut matrix = vec![0.0f64; q * q];
        for (value, &(j, l)) in sums.iter().zip(&pairs) {
            matrix[j * q + l] = f64::from(*value);
            matrix[l * q + j] = f64::from(*value);
        }
        for j in 0..q {
            matrix[j * q + j] += precision[j][shell.min(lattice.rings() - 1)];
        }
        let right = &sums[pairs.len()..];
        let inverse = symmetric::inverse_positive(&matrix, q);
        for j in 0..q {
            let dot = |part: usize| (0..q).map(|l| inverse[j * q + l] * f64::from(right[2 * l + part])).sum::<f64>() as f32;
            out[j] = Complex32::new(dot(0), dot(1));
        }
    });
    (0..q)
        .into_par_iter()
        .map(|j| {
            let mut map = lattice.map(|point| solved[point * q + j]);
            map.zip_mut_with(mask, |v, m| *v *= m);
            map
        })
        .collect()
}

/// Sums over images and pixels, `[points][channels]`: first w c² ⟨zⱼ zₗ⟩ for every pair, then w c r ⟨zⱼ⟩ as (re, im).
///
/// Workers share the channels, not the images, so that every sum is made in the order of the images whatever the number of threads.
fn insert(observations: &Observations, lattice: &Lattice, posterior: &Posterior, q: usize, pairs: &[(usize, usize)]) -> Vec<f32> {
    let channels = pairs.len() + 2 * q;
    let blocks: Vec<Vec<f32>> = (0..channels)
        .step_by(CHANNELS_AT_ONCE)
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|first| {
            let width = CHANNELS_AT_ONCE.min(channels - first);
            let mut block = vec![0.0f32; lattice.points() * width];
            let (mut factors, mut values) = ([0.0f32; CHANNELS_AT_ONCE], [0.0f32; CHANNELS_AT_ONCE]);
            for (i, image) in observations.images.iter().enumerate() {
                for (offset, factor) in factors[..width].iter_mut().enumerate() {
                    let channel = first + offset;
                    *factor = match channel.checked_sub(pairs.len()) {
                        None => posterior.second_moment(i, pairs[channel].0, pairs[channel].1),
                        Some(c) => posterior.mean(i)[c / 2],
                    } as f32;
                }
                for (k, spot) in image.spots.iter().enumerate() {
                    let inverse_noise = observations.inverse_noise[lattice.ring[k]];
                    let c = image.transfer[k];
                    let squared = inverse_noise * c * c;
                    let residual = image.values[k] * (inverse_noise * c);
                    let imaginary = if spot.conjugate { -residual.im } else { residual.im };
                    for offset in 0..width {
                        let channel = first + offset;
                        let observed = match channel.checked_sub(pairs.len()) {
                            None => squared,
                            Some(c) if c % 2 == 0 => residual.re,
                            Some(_) => imaginary,
                        };
                        values[offset] = observed * factors[offset];
                    }
                    let fx = Lattice::fraction_x(spot);
                    for (at, weight) in lattice.rows(spot) {
                        let (low, high) = (weight * (1.0 - fx), weight * fx);
                        let cells = &mut block[at * width..(at + 2) * width];
                        let (a, b) = cells.split_at_mut(width);
                        for ((a, b), v) in a.iter_mut().zip(b).zip(&values) {
                            *a += low * v;
                            *b += high * v;
                        }
                    }
                }
            }
            block
        })
        .collect();
    let mut sums = vec![0.0f32; lattice.points() * channels];
    sums.par_chunks_mut(channels).enumerate().for_each(|(point, to)| {
        for (block, part) in blocks.iter().zip(to.chunks_mut(CHANNELS_AT_ONCE)) {
            let width = part.len();
            part.copy_from_slice(&block[point * width..][..width]);
        }
    });
    sums
}

/// Prior precision of every component and shell: the inverse of the mean power of its current map there.
///
/// A map inside a mask has fewer free values than the padded lattice has points, so that neighbouring points repeat one another; the
/// precision is divided by that redundancy, the lattice's volume over the mask's.
fn prior_precision(lattice: &Lattice, maps: &[Complex32], q: usize, mask: &Array3<f32>) -> Vec<Vec<f64>> {
    let shells = lattice.rings() + 1;
    let mut power = vec![vec![0.0f64; shells]; q];
    let mut count = vec![0.0f64; shells];
    for (point, values) in maps.chunks(q).enumerate() {
        let Some(shell) = lattice.shell(point) else { continue };
        count[shell] += 1.0;
        for (p, v) in power.iter_mut().zip(values) {
            p[shell] += f64::from(v.norm_sqr());
        }
    }
    for p in &mut power {
        p.iter_mut().zip(&count).for_each(|(v, n)| *v /= n.max(1.0));
    }
    let largest = power.iter().flatten().fold(0.0f64, |a, b| a.max(*b));
    let fill = mask.iter().map(|m| f64::from(*m).powi(2)).sum::<f64>() / mask.len() as f64;
    let redundancy = PADDING.pow(3) as f64 / fill.max(f64::MIN_POSITIVE);
    power.iter().map(|p| p.iter().map(|v| 1.0 / (redundancy * v.max(POWER_FLOOR * largest).max(f64::MIN_POSITIVE))).collect()).collect()
}
