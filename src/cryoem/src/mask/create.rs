//! Masks made here: from a map, or a ball.

use crate::volume::Volume;
use contract::{Problem, Result};
use ndarray::{Array3, Axis};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::f64::consts::PI;

/// How a mask is made from a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapMask {
    /// Density that is inside; `None`: from the map (see [`from_map`]).
    pub threshold: Option<f32>,
    /// Low-pass before the threshold, Å; 0: none.
    pub low_pass_angstrom: f64,
    /// The region is widened by this, Å.
    pub extend_angstrom: f64,
    /// Width of the raised-cosine edge around it, Å.
    pub soft_angstrom: f64,
}

impl Default for MapMask {
    /// 15 Å hide side chains and most noise; 10 Å and 10 Å leave room for parts that move, at a soft edge that does not ring.
    fn default() -> Self {
        Self { threshold: None, low_pass_angstrom: 15.0, extend_angstrom: 10.0, soft_angstrom: 10.0 }
    }
}

/// The automatic threshold's part of the density in the molecule's midst.
const PART_OF_CORE: f32 = 0.2;
/// Noise deviations above the background that the automatic threshold has at least.
const ABOVE_NOISE: f64 = 5.0;
/// The midst's density: exceeded by this part of the voxels (a molecule fills some 2 to 10 % of its box).
const CORE_QUANTILE: f64 = 0.002;
/// Pieces smaller than this part of the largest are dust.
const DUST: f64 = 0.05;

/// A mask around a map's density, with a line about how it was made.
///
/// The map is low-passed; what exceeds the threshold is inside, without pieces smaller than a twentieth of the largest; the region is widened
/// and given a soft edge. The automatic threshold is a fifth of the density that two voxels in a thousand exceed, but at least five deviations
/// above the mean outside the inscribed ball.
///
/// # Errors
/// The map is no cube, has no voxel size, holds values that are no numbers, or nothing exceeds the threshold.
pub fn from_map(map: &Volume, options: &MapMask) -> Result<(Volume, String)> {
    let n = map.box_px()?;
    map.require_apix()?;
    if map.statistics().non_finite > 0 {
        return Err(Problem::input("holds values that are no numbers: no mask can be made from it"));
    }
    // A low-pass at the Nyquist frequency and beyond does nothing.
    let smooth = if options.low_pass_angstrom > 2.0 * map.apix { map.low_passed(options.low_pass_angstrom)? } else { map.clone() };
    let threshold = options.threshold.unwrap_or_else(|| automatic_threshold(&smooth));
    let mut inside: Array3<bool> = smooth.data.mapv(|v| v > threshold);
    remove_dust(&mut inside);
    if !inside.iter().any(|&v| v) {
        return Err(
            Problem::input(format!("no density above {threshold}: no mask can be made from it")).hint("give a mask with `--in_mask`")
        );
    }
    let distance = squared_distances(&inside);
    let (extend, soft) = (options.extend_angstrom / map.apix, options.soft_angstrom / map.apix);
    let data = distance.mapv(|d| edge(f64::from(d).sqrt() - extend, soft));
    let filled = 100.0 * data.iter().filter(|&&v| v > 0.0).count() as f64 / (n * n * n) as f64;
    let note = format!(
        "mask made from the map: density above {threshold:.4}, widened by {:.1} Å, soft edge of {:.1} Å; it takes {filled:.1}% of the box",
        options.extend_angstrom, options.soft_angstrom
    );
    Ok((Volume { data, apix: map.apix }, note))
}

/// A ball of 1 with a raised-cosine edge, about voxel n/2: 1 up to `radius_px`, 0 from `radius_px + soft_px` on.
#[must_use]
pub fn soft_ball(box_px: usize, apix: f64, radius_px: f64, soft_px: f64) -> Volume {
    let centre = (box_px / 2) as f64;
    let square = |i: usize| (i as f64 - centre).powi(2);
    let data =
        Array3::from_shape_fn((box_px, box_px, box_px), |(z, y, x)| edge((square(z) + square(y) + square(x)).sqrt() - radius_px, soft_px));
    Volume { data, apix }
}

/// 1 up to distance 0, a raised cosine down to 0 at `soft`.
fn edge(distance: f64, soft: f64) -> f32 {
    if distance <= 0.0 {
        1.0
    } else if distance < soft {
        (0.5 + 0.5 * (PI * distance / soft).cos()) as f32
    } else {
        0.0
    }
}

fn automatic_threshold(map: &Volume) -> f32 {
    let n = map.data.dim().0;
    let centre = (n / 2) as f64;
    let square = |i: usize| (i as f64 - centre).powi(2);
    let outside = |(z, y, x): (usize, usize, usize)| square(z) + square(y) + square(x) > centre * centre;
    let corners = map.data.indexed_iter().filter(|(at, _)| outside(*at)).map(|(_, &v)| f64::from(v));
    let (count, sum, squares) = corners.fold((0.0f64, 0.0f64, 0.0f64), |(c, s, q), v| (c + 1.0, s + v, q + v * v));
    let mean = sum / count.max(1.0);
    let noise = (squares / count.max(1.0) - mean * mean).max(0.0).sqrt();
    let mut sorted: Vec<f32> = map.data.iter().copied().collect();
    let rank = ((1.0 - CORE_QUANTILE) * (sorted.len() - 1) as f64) as usize;
    let core = *sorted.select_nth_unstable_by(rank, f32::total_cmp).1;
    (PART_OF_CORE * core).max((mean + ABOVE_NOISE * noise) as f32)
}

/// Removes pieces (6-connected) that are small beside the largest.
fn remove_dust(inside: &mut Array3<bool>) {
    let (nz, ny, nx) = inside.dim();
    let mut label = Array3::<u32>::zeros(inside.dim());
    let mut sizes = vec![0usize];
    let mut queue = VecDeque::new();
    for start in ndarray::indices_of(&*inside) {
        if !inside[start] || label[start] != 0 {
            continue;
        }
        let name = sizes.len() as u32;
        sizes.push(0);
        label[start] = name;
        queue.push_back(start);
        while let Some((z, y, x)) = queue.pop_front() {
            sizes[name as usize] += 1;
            let neighbours = [
                (z.wrapping_sub(1), y, x),
                (z + 1, y, x),
                (z, y.wrapping_sub(1), x),
                (z, y + 1, x),
                (z, y, x.wrapping_sub(1)),
                (z, y, x + 1),
            ];
            for at in neighbours {
                if at.0 < nz && at.1 < ny && at.2 < nx && inside[at] && label[at] == 0 {
                    label[at] = name;
                    queue.push_back(at);
                }
            }
        }
    }
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let least = DUST * largest as f64;
    ndarray::Zip::from(inside).and(&label).for_each(|v, &l| *v = *v && sizes[l as usize] as f64 >= least);
}

/// Squared Euclidean distance (voxels²) of every voxel to the nearest one inside, by lower envelopes of parabolas along each axis
/// (Felzenszwalb and Huttenlocher, *Distance transforms of sampled functions*, 2012).
fn squared_distances(inside: &Array3<bool>) -> Array3<f32> {
    // Farther than any two voxels of a box, and small enough for exact sums.
    let n = inside.dim().0 as f32;
    let far = 4.0 * n * n;
    let mut out = inside.mapv(|v| if v { 0.0 } else { far });
    for axis in 0..3 {
        let across = if axis == 0 { 1 } else { 0 };
        out.axis_iter_mut(Axis(across)).into_par_iter().for_each(|mut plane| {
            let along = if axis == 2 { 1 } else { 0 };
            let mut buffers = (Vec::new(), Vec::new(), Vec::new());
            for mut line in plane.lanes_mut(Axis(along)) {
                lower_envelope(&mut line, &mut buffers);
            }
        });
    }
    out
}

/// `out[i] = min_j (f[j] + (i − j)²)` in place; the buffers hold the old values, the parabolas' places and where each begins to be lowest.
fn lower_envelope(line: &mut ndarray::ArrayViewMut1<f32>, (old, places, starts): &mut (Vec<f32>, Vec<usize>, Vec<f32>)) {
    old.clear();
    old.extend(line.iter());
    places.clear();
    starts.clear();
    for (j, &value) in old.iter().enumerate() {
        let mut start = f32::NEG_INFINITY;
        while let (Some(&p), Some(&begin)) = (places.last(), starts.last()) {
            let (jf, pf) = (j as f32, p as f32);
            let meet = ((value + jf * jf) - (old[p] + pf * pf)) / (2.0 * (jf - pf));
            if meet > begin {
                start = meet;
                break;
            }
            places.pop();
            starts.pop();
        }
        places.push(j);
        starts.push(start);
    }
    let mut k = 0;
    for (i, v) in line.iter_mut().enumerate() {
        while k + 1 < places.len() && starts[k + 1] <= i as f32 {
            k += 1;
        }
        let d = i as f32 - places[k] as f32;
        *v = old[places[k]] + d * d;
    }
}
