//! The rigid motion of a part between two states.
//!
//! A density inside a mask is laid over another map: a coarse search over rotations up to 40° and shifts on down-sampled maps, then
//! Gauss–Newton steps on the squared difference at growing resolution (Lucas and Kanade 1981, in three dimensions with a grey scale). Moments and
//! Kabsch's method need the part cut out of both maps, and a Fourier search over all rotations gives up the mask; neither is needed for the
//! motions that states of one molecule show.

use super::Volume;
use crate::geometry::{IDENTITY, Matrix3, angle_between_deg, apply, axis_angle, multiply};
use contract::{Problem, Result};

/// How a part lies in the second state, seen from the first.
#[derive(Clone, Debug, PartialEq)]
pub struct RigidChange {
    /// Rotation about the part's centre: a point p of the first state lies at R·(p − c) + c + t in the second.
    pub rotation: Matrix3,
    /// Angle of the rotation, degrees.
    pub angle_deg: f64,
    /// Its axis (x, y, z), of length 1.
    pub axis: [f64; 3],
    /// Shift t of the part's centre (x, y, z), Å.
    pub shift_angstrom: [f64; 3],
    /// The part's centre c in the first state (x, y, z from voxel n/2), Å.
    pub centre_angstrom: [f64; 3],
    /// Correlation of the two maps inside the mask, as they lie.
    pub correlation_before: f64,
    /// The same after the motion.
    pub correlation_after: f64,
}

/// Largest rotation of the coarse search.
const SEARCH_DEG: f64 = 40.0;
/// Its step: half of what a part of a dozen coarse voxels can be off and still slide into place.
const SEARCH_STEP_DEG: f64 = 10.0;
/// Shifts of the coarse search, in either direction, coarse voxels.
const SEARCH_SHIFT_PX: i32 = 3;
/// Voxels across the mask in the coarse search, about.
const COARSE_VOXELS: f64 = 14.0;
/// Low-pass of the compared maps, voxels of each resolution.
const SMOOTH_PX: f64 = 4.0;
/// Poses of the coarse search that are refined.
const REFINED: usize = 6;
/// Gauss–Newton steps at each resolution, at most.
const STEPS: usize = 40;

/// Finds the motion that lays the density of `first` inside `mask` over `second`; both maps in any grey scale, of one grid.
///
/// # Errors
/// The maps and the mask are not cubes of one size, have no voxel size, or the mask holds too little or no density.
pub fn rigid_change(first: &Volume, second: &Volume, mask: &Volume) -> Result<RigidChange> {
    let n = first.box_px()?;
    first.require_apix()?;
    for other in [second, mask] {
        if other.box_px()? != n {
            return Err(
                Problem::input(format!("boxes of {n} and {} voxels cannot be compared", other.box_px()?)).hint("resample one of them")
            );
        }
    }
    let extent_px = 2.0 * radius_of_gyration(mask)?;
    // Low-passed so that what is off by a step still overlaps.
    let coarse_factor = (extent_px * 1.6 / COARSE_VOXELS).max(1.0);
    let levels: Vec<f64> = [coarse_factor, 0.5 * coarse_factor, 1.0].into_iter().filter(|f| *f >= 1.0).collect();
    let mut candidates: Vec<Pose> = Vec::new();
    for (level, &factor) in levels.iter().enumerate() {
        let (pair, step) = Pair::new(first, second, mask, factor)?;
        if level == 0 {
            candidates = pair.search(step);
        }
        candidates.iter_mut().for_each(|pose| pair.refine(pose));
        candidates.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
        candidates.truncate(if level == 0 { 3 } else { 1 });
    }
    let (pair, _) = Pair::new(first, second, mask, 1.0)?;
    let best = candidates.first().ok_or_else(|| Problem::failed("the search for the motion found no pose"))?;
    let (mut best, before) = (best.clone(), pair.correlation(&Pose::at_rest()));
    best.correlation = pair.correlation(&best);
    if before >= best.correlation {
        best = Pose { correlation: before, ..Pose::at_rest() };
    }
    let angle_deg = angle_between_deg(&IDENTITY, &best.rotation);
    Ok(RigidChange {
        rotation: best.rotation,
        angle_deg,
        axis: axis(&best.rotation),
        shift_angstrom: best.shift_angstrom,
        centre_angstrom: pair.centre,
        correlation_before: before,
        correlation_after: best.correlation,
    })
}

/// Root of the mask's mean squared distance from its centre, voxels.
fn radius_of_gyration(mask: &Volume) -> Result<f64> {
    /// Voxels without which nothing can be laid over anything.
    const LEAST_VOXELS: f64 = 27.0;
    let (mut sum, mut centre) = (0.0f64, [0.0f64; 3]);
    for ((z, y, x), &m) in mask.data.indexed_iter() {
        let m = f64::from(m.max(0.0));
        sum += m;
        [x, y, z].iter().zip(&mut centre).for_each(|(i, c)| *c += m * *i as f64);
    }
    if sum < LEAST_VOXELS {
        return Err(
            Problem::input("the mask of the part is empty, or holds but a few voxels").hint("give a mask around the part that moves")
        );
    }
    let centre = centre.map(|c| c / sum);
    let spread: f64 = mask
        .data
        .indexed_iter()
        .map(|((z, y, x), &m)| f64::from(m.max(0.0)) * [x, y, z].iter().zip(centre).map(|(i, c)| (*i as f64 - c).powi(2)).sum::<f64>())
        .sum();
    Ok((spread / sum).sqrt())
}

/// The axis of a rotation; z where there is none.
fn axis(r: &Matrix3) -> [f64; 3] {
    let v = [r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]];
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 1e-12 { v.map(|x| x / length) } else { [0.0, 0.0, 1.0] }
}

#[derive(Clone)]
struct Pose {
    rotation: Matrix3,
    shift_angstrom: [f64; 3],
    correlation: f64,
}

impl Pose {
    fn at_rest() -> Self {
        Self { rotation: IDENTITY, shift_angstrom: [0.0; 3], correlation: f64::NEG_INFINITY }
    }
}

/// A voxel of the part: its place (Å from the part's centre), its density, its weight.
struct Point {
    at: [f64; 3],
    value: f64,
    weight: f64,
}

/// The part of the first map and the second map, at one resolution.
struct Pair {
    points: Vec<Point>,
    second: Volume,
    centre: [f64; 3],
    norm: f64,
}

impl Pair {
    /// Both maps on voxels `factor` times as large; also the voxel size, Å.
    fn new(first: &Volume, second: &Volume, mask: &Volume, factor: f64) -> Result<(Self, f64)> {
        let n = first.box_px()?;
        let apix = first.apix * factor;
        let coarse_n = (2 * (n as f64 / factor / 2.0).ceil() as usize).max(8);
        let place = |map: &Volume| -> Result<Volume> {
            let map = Volume { data: map.data.clone(), apix: first.apix };
            if factor > 1.0 { map.resampled(coarse_n, apix) } else { Ok(map) }
        };
        // Interpolation smooths, and would make any pose between the voxels look better than one on them: the maps are smooth beforehand.
        let smooth = |map: &Volume| place(map)?.low_passed(SMOOTH_PX * apix);
        let (first, second, mask) = (smooth(first)?, smooth(second)?, place(mask)?);
        let half = (first.box_px()? / 2) as f64;
        let place_of = |(z, y, x): (usize, usize, usize)| [x, y, z].map(|i| (i as f64 - half) * apix);
        let weight_of = |at| f64::from(mask.data[at]).clamp(0.0, 1.0);
        let total: f64 = mask.data.indexed_iter().map(|(at, _)| weight_of(at)).sum();
        let mean =
            |of: &dyn Fn((usize, usize, usize)) -> f64| mask.data.indexed_iter().map(|(at, _)| weight_of(at) * of(at)).sum::<f64>() / total;
        let centre: [f64; 3] = std::array::from_fn(|i| mean(&|at| place_of(at)[i]));
        let level = mean(&|at| f64::from(first.data[at]));
        let points: Vec<Point> = mask
            .data
            .indexed_iter()
            .filter(|(at, _)| weight_of(*at) > 0.01)
            .map(|(at, _)| {
                let place = place_of(at);
                Point { at: std::array::from_fn(|i| place[i] - centre[i]), value: f64::from(first.data[at]) - level, weight: weight_of(at) }
            })
            .collect();
        let norm: f64 = points.iter().map(|p| p.weight * p.value * p.value).sum();
        if norm <= 0.0 || !norm.is_finite() {
            return Err(
                Problem::input("the map holds no density inside the mask of the part").hint("give a mask around the part that moves")
            );
        }
        Ok((Self { points, second, centre, norm }, apix))
    }

    /// Rotations about axes all around by steps, each with the best of small shifts; the best few.
    fn search(&self, voxel_angstrom: f64) -> Vec<Pose> {
        let mut rotations = vec![IDENTITY];
        // Rotation vectors on a cubic grid inside a ball: even in small rotations.
        let steps = (SEARCH_DEG / SEARCH_STEP_DEG) as i32;
        for (i, j, k) in (-steps..=steps).flat_map(|i| (-steps..=steps).flat_map(move |j| (-steps..=steps).map(move |k| (i, j, k)))) {
            let v = [i, j, k].map(f64::from);
            let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            if length > 0.0 && length <= f64::from(steps) {
                rotations.push(axis_angle(v.map(|x| x / length), (length * SEARCH_STEP_DEG).to_radians()));
            }
        }
        let mut poses: Vec<Pose> = rotations.into_iter().map(|rotation| self.with_best_shift(rotation, voxel_angstrom)).collect();
        poses.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
        poses.truncate(REFINED);
        poses
    }

    /// Walks from voxel to voxel while the correlation rises.
    fn with_best_shift(&self, rotation: Matrix3, voxel_angstrom: f64) -> Pose {
        let mut best = Pose { rotation, ..Pose::at_rest() };
        best.correlation = self.correlation(&best);
        for _ in 0..3 * SEARCH_SHIFT_PX {
            let here = best.clone();
            for (axis, sign) in (0..3).flat_map(|a| [(a, 1.0), (a, -1.0)]) {
                let mut next = here.clone();
                next.shift_angstrom[axis] += sign * voxel_angstrom;
                if next.shift_angstrom[axis].abs() > (f64::from(SEARCH_SHIFT_PX) + 0.5) * voxel_angstrom {
                    continue;
                }
                next.correlation = self.correlation(&next);
                if next.correlation > best.correlation {
                    best = next;
                }
            }
            if best.correlation <= here.correlation {
                break;
            }
        }
        best
    }

    /// Where a point of the part comes to lie, Å from voxel n/2 of the second map.
    fn moved(&self, pose: &Pose, at: [f64; 3]) -> [f64; 3] {
        let turned = apply(&pose.rotation, at);
        std::array::from_fn(|i| turned[i] + self.centre[i] + pose.shift_angstrom[i])
    }

    fn correlation(&self, pose: &Pose) -> f64 {
        let (mut w, mut s, mut ss, mut sv) = (0.0, 0.0, 0.0, 0.0);
        for p in &self.points {
            let (v, _) = self.sample(self.moved(pose, p.at));
            w += p.weight;
            s += p.weight * v;
            ss += p.weight * v * v;
            sv += p.weight * v * p.value;
        }
        // The part's own mean is 0.
        let variance = ss - s * s / w;
        if variance > 0.0 { sv / (variance * self.norm).sqrt() } else { 0.0 }
    }

    /// Gauss–Newton on rotation, shift, grey scale and level, a step being taken only where it raises the correlation.
    fn refine(&self, pose: &mut Pose) {
        pose.correlation = self.correlation(pose);
        for _ in 0..STEPS {
            let Some(step) = self.step(pose) else { return };
            let mut moved = false;
            for damping in [1.0, 0.5, 0.25, 0.1] {
                let turn: [f64; 3] = std::array::from_fn(|i| damping * step[i]);
                let angle = turn.iter().map(|x| x * x).sum::<f64>().sqrt();
                let rotation =
                    if angle > 0.0 { multiply(&axis_angle(turn.map(|x| x / angle), angle), &pose.rotation) } else { pose.rotation };
                let shift_angstrom = std::array::from_fn(|i| pose.shift_angstrom[i] + damping * step[3 + i]);
                let mut next = Pose { rotation, shift_angstrom, correlation: 0.0 };
                next.correlation = self.correlation(&next);
                if next.correlation > pose.correlation + 1e-9 {
                    *pose = next;
                    moved = true;
                    break;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Rotation vector (rad, about the part's centre after its shift), shift (Å), factor and level of the least-squares step.
    fn step(&self, pose: &Pose) -> Option<[f64; 8]> {
        // second(moved) + ∇second · (ω × r + t) ≈ a · part + b, weighted.
        let (mut normal, mut right) = ([[0.0f64; 8]; 8], [0.0f64; 8]);
        for p in &self.points {
            let turned = apply(&pose.rotation, p.at);
            let (v, g) = self.sample(self.moved(pose, p.at));
            let row = [
                turned[1] * g[2] - turned[2] * g[1],
                turned[2] * g[0] - turned[0] * g[2],
                turned[0] * g[1] - turned[1] * g[0],
                g[0],
                g[1],
                g[2],
                -p.value,
                -1.0,
            ];
            for i in 0..8 {
                right[i] -= p.weight * row[i] * v;
                for j in 0..8 {
                    normal[i][j] += p.weight * row[i] * row[j];
                }
            }
        }
        solve(normal, right)
    }

    /// Value and gradient (per Å; x, y, z) of the second map at a place (Å from voxel n/2): trilinear, 0 outside.
    fn sample(&self, at: [f64; 3]) -> (f64, [f64; 3]) {
        let n = self.second.data.dim().0 as isize;
        let half = (n / 2) as f64;
        let index = at.map(|v| v / self.second.apix + half);
        let low = index.map(f64::floor);
        if low.iter().any(|v| *v < 0.0 || *v + 1.0 >= n as f64) {
            return (0.0, [0.0; 3]);
        }
        let f: [f64; 3] = std::array::from_fn(|i| index[i] - low[i]);
        let [x, y, z] = low.map(|v| v as usize);
        let v = |dz: usize, dy: usize, dx: usize| f64::from(self.second.data[[z + dz, y + dy, x + dx]]);
        let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
        let row = |dz, dy| mix(v(dz, dy, 0), v(dz, dy, 1), f[0]);
        let sheet = |dz| mix(row(dz, 0), row(dz, 1), f[1]);
        let slope_x = |dz, dy| v(dz, dy, 1) - v(dz, dy, 0);
        let gx = mix(mix(slope_x(0, 0), slope_x(0, 1), f[1]), mix(slope_x(1, 0), slope_x(1, 1), f[1]), f[2]);
        let gy = mix(row(0, 1) - row(0, 0), row(1, 1) - row(1, 0), f[2]);
        let gz = sheet(1) - sheet(0);
        (mix(sheet(0), sheet(1), f[2]), [gx, gy, gz].map(|g| g / self.second.apix))
    }
}

/// Gaussian elimination with row exchange; `None` where the matrix is singular.
fn solve(mut a: [[f64; 8]; 8], mut b: [f64; 8]) -> Option<[f64; 8]> {
    let scale = (0..8).map(|i| a[i][i]).fold(0.0, f64::max);
    for i in 0..8 {
        let pivot = (i..8).max_by(|p, q| a[*p][i].abs().total_cmp(&a[*q][i].abs()))?;
        a.swap(i, pivot);
        b.swap(i, pivot);
        if a[i][i].abs() <= 1e-14 * scale {
            return None;
        }
        for j in i + 1..8 {
            let factor = a[j][i] / a[i][i];
            let from = a[i];
            a[j].iter_mut().zip(from).for_each(|(v, u)| *v -= factor * u);
            b[j] -= factor * b[i];
        }
    }
    for i in (0..8).rev() {
        let known: f64 = (i + 1..8).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::soft_ball;
    use crate::random::Random;
    use ndarray::Array3;

    const N: usize = 48;
    const APIX: f64 = 2.5;

    /// Gaussians of a fixed body and of a part that is turned by R about its centre and moved by t; the part's mask where it is at rest.
    fn scene(rotation: &Matrix3, shift: [f64; 3], noise: f32, stream: u64) -> (Volume, Volume) {
        let mut random = Random::new(11, 0);
        let centre = [25.0, -5.0, 10.0];
        let mut blobs: Vec<([f64; 3], f64)> =
            (0..14).map(|_| (random.direction().map(|v| 14.0 * v - 16.0), random.range(0.6, 1.2))).collect();
        for _ in 0..9 {
            let at = random.direction().map(|v| v * 13.0);
            let moved = apply(rotation, at);
            blobs.push((std::array::from_fn(|i| centre[i] + moved[i] + shift[i]), random.range(0.6, 1.2)));
        }
        let mut data = Array3::from_shape_fn((N, N, N), |(z, y, x)| {
            let p = [x, y, z].map(|i| (i as f64 - (N / 2) as f64) * APIX);
            blobs
                .iter()
                .map(|(at, h)| h * (-p.iter().zip(at).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / (2.0 * 16.0)).exp())
                .sum::<f64>() as f32
        });
        let mut grain = vec![0.0; N * N * N];
        Random::new(12, stream).fill_normal(&mut grain);
        data.iter_mut().zip(grain).for_each(|(v, g)| *v = *v * 3.0 + noise * g);
        let ball = soft_ball(N, APIX, 21.0 / APIX, 3.0);
        let off = centre.map(|c| (c / APIX).round() as isize);
        let at = |i: usize, o: isize| usize::try_from(i as isize - o).ok().filter(|i| *i < N);
        let mask = Array3::from_shape_fn((N, N, N), |(z, y, x)| match (at(z, off[2]), at(y, off[1]), at(x, off[0])) {
            (Some(z), Some(y), Some(x)) => ball.data[[z, y, x]],
            _ => 0.0,
        });
        (Volume { data, apix: APIX }, Volume { data: mask, apix: APIX })
    }

    #[test]
    fn known_motions_come_back() {
        let (first, mask) = scene(&IDENTITY, [0.0; 3], 0.1, 1);
        for (axis, angle, shift) in
            [([0.0, 0.0, 1.0], 0.0f64, [0.0; 3]), ([0.6, 0.0, 0.8], 12.0, [3.0, -2.0, 4.0]), ([0.0, 1.0, 0.0], 28.0, [-6.0, 5.0, 2.0])]
        {
            let rotation = axis_angle(axis, angle.to_radians());
            let (second, _) = scene(&rotation, shift, 0.1, 2);
            let found = rigid_change(&first, &second, &mask).unwrap();
            println!("{angle}: {found:?}");
            assert!(angle_between_deg(&found.rotation, &rotation) < 1.5, "{angle}: {found:?}");
            // The mask's centre is the part's to a voxel; what that offset turns counts as shift.
            let off: [f64; 3] = std::array::from_fn(|i| found.centre_angstrom[i] - [25.0, -5.0, 10.0][i]);
            let turned = apply(&rotation, off);
            let error: f64 = (0..3).map(|i| (found.shift_angstrom[i] - shift[i] - turned[i] + off[i]).powi(2)).sum::<f64>().sqrt();
            assert!(error < 0.8, "{angle}: {error} Å, {found:?}");
            assert!(found.correlation_after > 0.93 && found.correlation_after >= found.correlation_before - 1e-9);
        }
    }

    #[test]
    fn empty_masks_and_other_boxes_are_refused() {
        let (first, mask) = scene(&IDENTITY, [0.0; 3], 0.0, 1);
        assert!(rigid_change(&first, &first, &Volume::zeros(N, APIX)).unwrap_err().to_string().contains("mask"));
        assert!(rigid_change(&first, &Volume::zeros(8, APIX), &mask).is_err());
        assert!(rigid_change(&Volume::zeros(N, APIX), &first, &mask).unwrap_err().to_string().contains("no density"));
    }
}
