//! One ray through one volume. Most of a ray lies where all eight corners of every sample are inside; only its ends are checked.

use crate::kernels::processor::is_wide;

/// Samples whose positions are worked out together, in vector registers.
const CHUNK: usize = 16;
/// How near to the volume's faces a sample counts as at the edge, voxels: beyond what rounding moves a position.
const MARGIN: f32 = 1e-2;

/// A cube `[z][y][x]`.
pub(super) struct Volume<'a> {
    pub(super) values: &'a [f32],
    pub(super) side: usize,
}

/// Samples at start + n·step, voxel indices (x, y, z), n from 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) start: [f32; 3],
    pub(super) step: [f32; 3],
    pub(super) count: usize,
}

impl Line {
    fn at(&self, n: usize) -> [f32; 3] {
        [0, 1, 2].map(|j| self.start[j] + self.step[j] * n as f32)
    }

    /// Samples `from..to` whose position is from `low` to `high` along all axes.
    fn between(&self, low: f32, high: f32) -> (usize, usize) {
        let (mut from, mut to) = (0f32, self.count as f32 - 1.0);
        for (start, step) in self.start.into_iter().zip(self.step) {
            if step.abs() < 1e-12 {
                if start < low || start > high {
                    return (0, 0);
                }
                continue;
            }
            let (a, b) = ((low - start) / step, (high - start) / step);
            from = from.max(a.min(b).ceil());
            to = to.min(a.max(b).floor());
        }
        if self.count == 0 || from > to { (0, 0) } else { (from as usize, to as usize + 1) }
    }

    /// Samples whose corners are all inside a cube.
    fn inside(&self, side: usize) -> (usize, usize) {
        self.between(MARGIN, (side - 1) as f32 - MARGIN)
    }

    /// Samples that have a corner inside, and possibly a few more.
    fn touching(&self, side: usize) -> (usize, usize) {
        self.between(-1.0 - MARGIN, side as f32 + MARGIN)
    }
}

/// Corner nearest to the origin and distance from it, of a chunk of samples.
struct Chunk {
    corner: [u32; CHUNK],
    part: [[f32; CHUNK]; 3],
}

/// a·b + c, in one rounding where the processor has an instruction for it.
#[inline(always)]
fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

impl Chunk {
    #[inline(always)]
    fn of<const FMA: bool>(line: &Line, first: usize, side: usize) -> Self {
        let mut chunk = Self { corner: [0; CHUNK], part: [[0.0; CHUNK]; 3] };
        for lane in 0..CHUNK {
            let n = (first + lane) as f32;
            let mut corner = [0i32; 3];
            for (j, corner) in corner.iter_mut().enumerate() {
                let at = fused::<FMA>(line.step[j], n, line.start[j]);
                // SAFETY: finite and far smaller than 2³¹: a position some voxels around a volume.
                *corner = unsafe { at.to_int_unchecked::<i32>() };
                chunk.part[j][lane] = at - *corner as f32;
            }
            let side = side as i32;
            chunk.corner[lane] = (corner[2].wrapping_mul(side).wrapping_add(corner[1]).wrapping_mul(side).wrapping_add(corner[0])) as u32;
        }
        chunk
    }
}

#[inline(always)]
fn sum_inside<const FMA: bool>(volume: &Volume, line: &Line, from: usize, to: usize) -> f32 {
    let (row, plane) = (volume.side, volume.side * volume.side);
    let mut total = [0f32; 2];
    let mut first = from;
    while first < to {
        let chunk = Chunk::of::<FMA>(line, first, volume.side);
        for lane in 0..CHUNK.min(to - first) {
            // SAFETY: the sample is inside: its eight corners are.
            let at = |offset: usize| unsafe {
                let p = volume.values.as_ptr().add(chunk.corner[lane] as usize + offset);
                [*p, *p.add(1)]
            };
            let [fx, fy, fz] = [0, 1, 2].map(|j| chunk.part[j][lane]);
            let mix = |a: [f32; 2], b: [f32; 2], f: f32| [fused::<FMA>(f, b[0] - a[0], a[0]), fused::<FMA>(f, b[1] - a[1], a[1])];
            let near = mix(at(0), at(plane), fz);
            let far = mix(at(row), at(plane + row), fz);
            let pair = mix(near, far, fy);
            total[lane % 2] += fused::<FMA>(fx, pair[1] - pair[0], pair[0]);
        }
        first += CHUNK;
    }
    total[0] + total[1]
}

#[inline(always)]
fn adjoint_inside<const FMA: bool>(target: &mut [f32], side: usize, line: &Line, from: usize, to: usize, g: f32) {
    let (row, plane) = (side, side * side);
    let mut first = from;
    while first < to {
        let chunk = Chunk::of::<FMA>(line, first, side);
        for lane in 0..CHUNK.min(to - first) {
            let [fx, fy, fz] = [0, 1, 2].map(|j| chunk.part[j][lane]);
            let (far, near) = (g * fz, g - g * fz);
            let mut add = |offset: usize, weight: f32| {
                // SAFETY: the sample is inside: its eight corners are.
                unsafe {
                    let p = target.as_mut_ptr().add(chunk.corner[lane] as usize + offset);
                    let right = weight * fx;
                    *p += weight - right;
                    *p.add(1) += right;
                }
            };
            add(0, near - near * fy);
            add(row, near * fy);
            add(plane, far - far * fy);
            add(plane + row, far * fy);
        }
        first += CHUNK;
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{Line, Volume};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn sum_inside(volume: &Volume, line: &Line, from: usize, to: usize) -> f32 {
        super::sum_inside::<true>(volume, line, from, to)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn adjoint_inside(target: &mut [f32], side: usize, line: &Line, from: usize, to: usize, g: f32) {
        super::adjoint_inside::<true>(target, side, line, from, to, g);
    }
}

/// The eight corners of a sample, those inside only: index and weights along (x, y, z), each (1 − f) or f with its sign of change.
fn corners(at: [f32; 3], side: usize, mut each: impl FnMut(usize, [f32; 3], [f32; 3])) {
    let low = at.map(f32::floor);
    let part = [0, 1, 2].map(|j| at[j] - low[j]);
    for corner in 0..8 {
        let high = [corner & 1, corner >> 1 & 1, corner >> 2];
        let index = [0, 1, 2].map(|j| low[j] as i64 + i64::from(high[j]));
        if index.iter().all(|&i| i >= 0 && i < side as i64) {
            let weights = [0, 1, 2].map(|j| if high[j] == 1 { part[j] } else { 1.0 - part[j] });
            let signs = [0, 1, 2].map(|j| if high[j] == 1 { 1.0 } else { -1.0 });
            let [x, y, z] = index.map(|i| i as usize);
            each((z * side + y) * side + x, weights, signs);
        }
    }
}

/// Samples of the ends of a line: those that touch the cube and are not inside.
fn ends(line: &Line, side: usize, (from, to): (usize, usize)) -> impl Iterator<Item = usize> {
    let (first, last) = line.touching(side);
    let (from, to) = if from == to { (last, last) } else { (from, to) };
    (first..from).chain(to..last)
}

/// Sum of a line's samples.
pub(super) fn sum(volume: &Volume, line: &Line) -> f32 {
    let inside = line.inside(volume.side);
    let mut total = if is_wide() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has what the function is compiled for.
        unsafe {
            wide::sum_inside(volume, line, inside.0, inside.1)
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("wide only on x86-64")
    } else {
        sum_inside::<false>(volume, line, inside.0, inside.1)
    };
    for n in ends(line, volume.side, inside) {
        corners(line.at(n), volume.side, |i, w, _| total += w[0] * w[1] * w[2] * volume.values[i]);
    }
    total
}

/// Adds `g` to the voxels of a line's samples, by their weights: the transpose of [`sum`].
pub(super) fn adjoint(target: &mut [f32], side: usize, line: &Line, g: f32) {
    let inside = line.inside(side);
    if is_wide() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has what the function is compiled for.
        unsafe {
            wide::adjoint_inside(target, side, line, inside.0, inside.1, g);
        }
    } else {
        adjoint_inside::<false>(target, side, line, inside.0, inside.1, g);
    }
    for n in ends(line, side, inside) {
        corners(line.at(n), side, |i, w, _| target[i] += w[0] * w[1] * w[2] * g);
    }
}

/// Sums of the samples' slopes along (x, y, z), and of n times them.
pub(super) fn slope(volume: &Volume, line: &Line) -> ([f64; 3], [f64; 3]) {
    let (mut slopes, mut along) = ([0f64; 3], [0f64; 3]);
    let (first, last) = line.touching(volume.side);
    for n in first..last {
        let mut here = [0f32; 3];
        corners(line.at(n), volume.side, |i, w, sign| {
            let value = volume.values[i];
            here[0] += sign[0] * w[1] * w[2] * value;
            here[1] += w[0] * sign[1] * w[2] * value;
            here[2] += w[0] * w[1] * sign[2] * value;
        });
        for j in 0..3 {
            slopes[j] += f64::from(here[j]);
            along[j] += f64::from(here[j]) * n as f64;
        }
    }
    (slopes, along)
}
