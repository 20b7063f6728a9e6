//! Random partitions of the particles into small groups of near ones (random projection trees).

use super::squared_distance;
use cryoem::random::Random;
use rayon::prelude::*;

/// Particles in a leaf, at most.
const LEAF_ROWS: usize = 64;
/// Below this many particles a branch is grown by one thread.
const SERIAL_ROWS: usize = 10_000;
/// Tries to find two different particles to split between; after that they are taken for equal.
const PAIR_TRIES: u64 = 8;
/// Purpose of the random numbers here.
const PURPOSE: u64 = 0x0074_7265_6573;

/// A tree's leaves: runs of `order`.
pub(super) struct Tree {
    /// All rows, leaf after leaf.
    pub(super) order: Vec<u32>,
    /// Where each leaf ends in `order`, ascending.
    ends: Vec<usize>,
}

impl Tree {
    /// Halves the particles, `points` `[n, d]`, again and again: each time by the median of their positions between two random ones of them.
    pub(super) fn grow(points: &[f32], n: usize, d: usize, seed: u64, number: u64) -> Self {
        let mut order: Vec<u32> = (0..n as u32).collect();
        split(&mut order, &Grower { points, d, seed, number }, 1);
        // Halving by position in `order` alone decides where leaves end.
        let mut ends = Vec::new();
        leaf_ends(0, n, &mut ends);
        Self { order, ends }
    }

    /// Place of each row in `order`.
    pub(super) fn places(&self) -> Vec<u32> {
        let mut places = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(place, &row)| places[row as usize] = place as u32);
        places
    }

    /// The rows of the leaf that holds a place of `order`.
    pub(super) fn leaf_of(&self, place: u32) -> &[u32] {
        let leaf = self.ends.partition_point(|&end| end <= place as usize);
        let start = if leaf == 0 { 0 } else { self.ends[leaf - 1] };
        &self.order[start..self.ends[leaf]]
    }
}

struct Grower<'a> {
    points: &'a [f32],
    d: usize,
    seed: u64,
    number: u64,
}

impl Grower<'_> {
    fn point(&self, row: u32) -> &[f32] {
        &self.points[row as usize * self.d..][..self.d]
    }

    /// A direction between two different rows of the branch; `None` if none was met.
    fn direction(&self, rows: &[u32], node: u64) -> Option<Vec<f32>> {
        let mut random = Random::keyed(self.seed, &[PURPOSE, self.number, node]);
        let mut draw = || self.point(rows[random.below(rows.len() as u64) as usize]);
        (0..PAIR_TRIES)
            .map(|_| (draw(), draw()))
            .find(|(a, b)| squared_distance(a, b) > 0.0)
            .map(|(a, b)| a.iter().zip(b).map(|(x, y)| x - y).collect())
    }
}

/// Sorts rows into leaves. Children of node i are 2i and 2i + 1.
fn split(rows: &mut [u32], grower: &Grower<'_>, node: u64) {
    if rows.len() <= LEAF_ROWS {
        return;
    }
    let middle = rows.len() / 2;
    if let Some(direction) = grower.direction(rows, node) {
        let along = |&row: &u32| (grower.point(row).iter().zip(&direction).map(|(x, y)| x * y).sum::<f32>(), row);
        let mut keyed: Vec<(f32, u32)> =
            if rows.len() > SERIAL_ROWS { rows.par_iter().map(along).collect() } else { rows.iter().map(along).collect() };
        keyed.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        rows.iter_mut().zip(keyed).for_each(|(row, (_, sorted))| *row = sorted);
    }
    let parallel = rows.len() > SERIAL_ROWS;
    let (low, high) = rows.split_at_mut(middle);
    if parallel {
        rayon::join(|| split(low, grower, 2 * node), || split(high, grower, 2 * node + 1));
    } else {
        split(low, grower, 2 * node);
        split(high, grower, 2 * node + 1);
    }
}

fn leaf_ends(start: usize, end: usize, ends: &mut Vec<usize>) {
    if end - start <= LEAF_ROWS {
        ends.push(end);
    } else {
        let middle = start + (end - start) / 2;
        leaf_ends(start, middle, ends);
        leaf_ends(middle, end, ends);
    }
}
