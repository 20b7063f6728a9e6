//! Shaded surfaces of maps, drawn without a viewer: rays along the line of sight stop where the density crosses the level.

use crate::story::{Story, Way};
use ndarray::{Array2, Array3};
use std::f32::consts::TAU;

/// Maps are averaged down to at most this many voxels a side first; a picture of a few hundred pixels shows no more.
const MOST_VOXELS: usize = 72;
/// Length of a step along a ray, voxels.
const STEP: f32 = 0.75;
/// Light from over the viewer's left shoulder: towards the light, in (right, up, viewer).
const LIGHT: [f32; 3] = [-0.40, 0.52, 0.75];
/// Share of the light that comes from everywhere.
const AMBIENT: f32 = 0.28;
/// Looking down by about 15°, so that tops are seen.
const TILT: f32 = 0.26;
/// How much darker the far side is than the near side.
const FOG: f32 = 0.35;

/// A map made ready for pictures.
struct Shape {
    map: Array3<f32>,
    level: f32,
    /// What a picture shows: a square around the map's centre, its side as a part of the map's.
    share: f32,
}

/// A picture of a surface: how bright each pixel is (0 to 1); nothing where the ray meets no surface.
pub(crate) type Picture = Array2<Option<f32>>;

impl Shape {
    /// `level` is the density at the surface; pictures show the middle `share` of the map.
    fn new(map: &Array3<f32>, level: f32, share: f32) -> Self {
        Self { map: reduced(map, MOST_VOXELS), level, share }
    }

    /// A square picture, `turn` in radians about the vertical axis, `tilt` about the horizontal one. The vertical axis of the picture is the
    /// map's z axis, up; without turn and tilt the viewer looks along y, x to the right.
    fn picture(&self, side_px: usize, turn: f32, tilt: f32) -> Picture {
        let n = self.map.dim().0 as f32;
        let (centre, half) = (n / 2.0, 0.5 * n);
        let (st, ct) = turn.sin_cos();
        let (sp, cp) = tilt.sin_cos();
        // Axes of the picture in the map's frame, as (x, y, z).
        let right = [ct, st, 0.0];
        let forward = [-st * cp, ct * cp, -sp];
        let up = [-st * sp, ct * sp, cp];
        let steps = (2.0 * half / STEP) as usize;
        let pixel = |row: usize, column: usize| {
            let u = ((column as f32 + 0.5) / side_px as f32 - 0.5) * n * self.share;
            let v = (0.5 - (row as f32 + 0.5) / side_px as f32) * n * self.share;
            let at = |depth: f32| [0, 1, 2].map(|k| centre + right[k] * u + up[k] * v + forward[k] * depth);
            let mut before = f32::NEG_INFINITY;
            for step in 0..=steps {
                let depth = -half + step as f32 * STEP;
                let here = self.density(at(depth));
                if here >= self.level {
                    // Between the last two samples, where a straight line crosses the level.
                    let back = if before.is_finite() && here > before { (here - self.level) / (here - before) * STEP } else { 0.0 };
                    return Some(self.shade(at(depth - back), &[right, up, forward], (depth - back + half) / (2.0 * half)));
                }
                before = here;
            }
            None
        };
        Array2::from_shape_fn((side_px, side_px), |(row, column)| pixel(row, column))
    }

    fn shade(&self, p: [f32; 3], axes: &[[f32; 3]; 3], depth: f32) -> f32 {
        let slope = [0, 1, 2].map(|k| {
            let mut ahead = p;
            let mut behind = p;
            ahead[k] += 1.0;
            behind[k] -= 1.0;
            self.density(behind) - self.density(ahead)
        });
        let length = slope.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        let along = |axis: [f32; 3]| slope.iter().zip(axis).map(|(s, a)| s * a).sum::<f32>() / length;
        let towards_viewer = axes[2].map(|v| -v);
        let lit = along(axes[0]) * LIGHT[0] + along(axes[1]) * LIGHT[1] + along(towards_viewer) * LIGHT[2];
        ((AMBIENT + (1.0 - AMBIENT) * lit.max(0.0)) * (1.0 - FOG * depth)).clamp(0.0, 1.0)
    }

    /// Trilinear, 0 outside; `p` is (x, y, z) in voxels.
    fn density(&self, p: [f32; 3]) -> f32 {
        let n = self.map.dim().0;
        let cell = p.map(f32::floor);
        if cell.iter().any(|&c| c < 0.0 || c as usize + 1 >= n) {
            return 0.0;
        }
        let [x, y, z] = cell.map(|c| c as usize);
        let [u, v, w] = [p[0] - cell[0], p[1] - cell[1], p[2] - cell[2]];
        let line = |z: usize, y: usize| self.map[[z, y, x]] * (1.0 - u) + self.map[[z, y, x + 1]] * u;
        let plane = |z: usize| line(z, y) * (1.0 - v) + line(z, y + 1) * v;
        plane(z) * (1.0 - w) + plane(z + 1) * w
    }
}

/// How surfaces of one report are shown: one level and one scale for all, so that they can be compared.
#[derive(Clone, Copy)]
pub(crate) struct View {
    level: f32,
    share: f32,
}

impl View {
    /// [`shown_level`]; the scale of the widest map.
    pub(crate) fn of(story: &Story) -> Self {
        let level = shown_level(story).unwrap_or(f32::INFINITY);
        let maps = story.states.iter().map(|s| &s.map).chain(story.ways.iter().flat_map(|w| &w.maps));
        Self { level, share: maps.map(|map| share(map, level)).fold(0.0, f32::max) }
    }

    /// The level and scale of one way by itself.
    pub(crate) fn of_way(way: &Way) -> Self {
        let level = way.maps.first().map_or(f32::INFINITY, level);
        Self { level, share: way.maps.iter().map(|map| share(map, level)).fold(0.0, f32::max) }
    }

    /// The same scale, at a level of the map's own: maps of other grey scales beside the states.
    pub(crate) fn at_own_level(self, map: &Array3<f32>) -> Self {
        Self { level: level(map), ..self }
    }

    /// Density at the surface.
    pub(crate) fn level(self) -> f32 {
        self.level
    }

    /// Pictures all around the vertical axis, from a little above.
    pub(crate) fn around(self, map: &Array3<f32>, side_px: usize, frames: usize) -> Vec<Picture> {
        self.turned(map, side_px, &(0..frames).map(|i| TAU * i as f32 / frames as f32).collect::<Vec<_>>())
    }

    /// Pictures after turns about the vertical axis, in radians, from a little above.
    pub(crate) fn turned(self, map: &Array3<f32>, side_px: usize, turns: &[f32]) -> Vec<Picture> {
        let shape = Shape::new(map, self.level, self.share);
        turns.iter().map(|turn| shape.picture(side_px, *turn, TILT)).collect()
    }

    /// The first of these.
    pub(crate) fn front(self, map: &Array3<f32>, side_px: usize) -> Picture {
        Shape::new(map, self.level, self.share).picture(side_px, 0.0, TILT)
    }
}

/// Means over blocks of voxels, so that no side of the map `[z][y][x]` exceeds `most_voxels`; a map that is small enough as it is.
#[must_use]
pub fn reduced(map: &Array3<f32>, most_voxels: usize) -> Array3<f32> {
    let n = map.dim().0;
    let factor = n.div_ceil(most_voxels).max(1);
    if factor == 1 {
        return map.clone();
    }
    let side = n / factor;
    Array3::from_shape_fn((side, side, side), |(z, y, x)| {
        let block = map.slice(ndarray::s![z * factor..(z + 1) * factor, y * factor..(y + 1) * factor, x * factor..(x + 1) * factor]);
        block.mean().unwrap_or(0.0)
    })
}

/// The middle part of the map, as a share of its side, that shows nearly all density above the level from every direction.
fn share(map: &Array3<f32>, level: f32) -> f32 {
    /// Room around it.
    const MARGIN: f32 = 1.12;
    /// Part of the voxels that are shown for sure: specks of noise at the rim must not make the rest small.
    const SHOWN: f32 = 0.99;
    let n = map.dim().0 as f32;
    let above = map.indexed_iter().filter(|(_, v)| **v >= level);
    let mut squares: Vec<f32> = above.map(|((z, y, x), _)| [x, y, z].iter().map(|&k| (k as f32 + 0.5 - n / 2.0).powi(2)).sum()).collect();
    squares.sort_unstable_by(f32::total_cmp);
    let radius = squares.get((SHOWN * squares.len() as f32) as usize).or(squares.last()).map_or(0.0, |s| s.sqrt());
    (2.0 * MARGIN * radius / n).clamp(0.1, 1.0)
}

/// The level at which all surfaces of a report are shown: the reference's, else the first state's.
pub(crate) fn shown_level(story: &Story) -> Option<f32> {
    story.reference.as_ref().or_else(|| story.states.first().map(|s| &s.map)).map(level)
}

/// A level that parts density from what surrounds it: the one that splits the positive densities into the two most uniform parts
/// (Otsu, IEEE Trans. Syst. Man Cybern. 9, 62-66, 1979).
///
/// Infinite for a map without positive density; `map` is `[z][y][x]`.
#[must_use]
pub fn level(map: &Array3<f32>) -> f32 {
    const BINS: usize = 256;
    let most = map.iter().copied().filter(|v| v.is_finite()).fold(0.0f32, f32::max);
    if most <= 0.0 {
        return f32::INFINITY;
    }
    let mut counts = [0.0f64; BINS];
    for &value in map.iter().filter(|v| **v > 0.0 && v.is_finite()) {
        counts[((value / most * BINS as f32) as usize).min(BINS - 1)] += 1.0;
    }
    let all: f64 = counts.iter().sum();
    let sum: f64 = counts.iter().enumerate().map(|(i, c)| i as f64 * c).sum();
    let (mut below, mut sum_below, mut best, mut at) = (0.0, 0.0, -1.0, 0);
    for (i, count) in counts.iter().enumerate() {
        below += count;
        sum_below += i as f64 * count;
        let above = all - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let between = below * above * (sum_below / below - (sum - sum_below) / above).powi(2);
        if between > best {
            (best, at) = (between, i);
        }
    }
    (at + 1) as f32 / BINS as f32 * most
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ball of radius `r` voxels, off the centre along x and z.
    fn ball(n: usize, r: f32, off: [f32; 3]) -> Array3<f32> {
        let c = n as f32 / 2.0;
        Array3::from_shape_fn((n, n, n), |(z, y, x)| {
            let p = [x, y, z].map(|v| v as f32 - c);
            let d = p.iter().zip(off).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            (r - d + 0.5).clamp(0.0, 1.0)
        })
    }

    fn middle(picture: &Picture) -> (f32, f32) {
        let seen: Vec<_> = picture.indexed_iter().filter(|(_, p)| p.is_some()).map(|(at, _)| at).collect();
        let n = seen.len() as f32;
        (seen.iter().map(|at| at.0 as f32).sum::<f32>() / n, seen.iter().map(|at| at.1 as f32).sum::<f32>() / n)
    }

    #[test]
    fn a_ball_is_a_disc_where_it_should_be() {
        let shape = Shape::new(&ball(48, 8.0, [10.0, 0.0, 6.0]), 0.5, 1.0);
        let front = shape.picture(96, 0.0, 0.0);
        let area = front.iter().filter(|p| p.is_some()).count() as f32;
        // Two pixels a voxel.
        assert!((area / (std::f32::consts::PI * 256.0) - 1.0).abs() < 0.08, "{area}");
        let (row, column) = middle(&front);
        assert!((row - (47.5 - 12.0)).abs() < 1.0 && (column - (47.5 + 20.0)).abs() < 1.0, "z up, x right: {row} {column}");
        // Half a turn brings x to the left.
        let (_, column) = middle(&shape.picture(96, std::f32::consts::PI, 0.0));
        assert!((column - (47.5 - 20.0)).abs() < 1.0, "{column}");
    }

    #[test]
    fn the_lit_side_is_brighter() {
        let picture = Shape::new(&ball(48, 14.0, [0.0; 3]), 0.5, 1.0).picture(96, 0.0, 0.0);
        let at = |row: usize, column: usize| picture[[row, column]].unwrap();
        assert!(at(34, 36) > at(62, 60) + 0.2, "{} {}", at(34, 36), at(62, 60));
    }

    #[test]
    fn levels_part_density_from_noise() {
        let mut map = ball(48, 10.0, [0.0; 3]);
        map.iter_mut().enumerate().for_each(|(i, v)| *v = *v * 3.0 + 0.2 * ((i * 7919 % 101) as f32 / 101.0 - 0.5));
        let level = level(&map);
        assert!((0.2..2.5).contains(&level), "{level}");
        assert_eq!(super::level(&Array3::zeros((8, 8, 8))), f32::INFINITY);
    }

    #[test]
    fn pictures_are_filled() {
        let map = ball(48, 6.0, [0.0; 3]);
        let part = share(&map, 0.5);
        let picture = Shape::new(&map, 0.5, part).picture(96, 0.0, 0.0);
        let area = picture.iter().filter(|p| p.is_some()).count() as f32;
        assert!(area > 0.45 * 96.0 * 96.0 && area < 0.785 * 96.0 * 96.0, "{area}");
    }

    #[test]
    fn large_maps_are_averaged_first() {
        assert_eq!(reduced(&Array3::zeros((160, 160, 160)), MOST_VOXELS).dim().0, 53);
    }
}
