//! The neighbour graph of the latents: for each particle the particles nearest to it.
//!
//! Up to [`EXACT_ROWS`] particles every distance is looked at. Beyond that the search is approximate: a forest of random partitions proposes
//! neighbours, and neighbours of neighbours improve them (Dong, Moses & Li 2011; Tang et al. 2016). Every particle gathers its own list from
//! what the round before left, so that the result depends on the seed alone, whatever the number of threads.

mod forest;

use crate::blocks::check_latents;
use contract::{Problem, Result};
use forest::Tree;
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

/// Up to this many particles the lists are exact; the time grows with the square, and this many take under a second.
pub const EXACT_ROWS: usize = 4096;
/// Trees of the forest: 8 leaves of 64 already hold about half of the true neighbours in 8 dimensions.
const TREES: u64 = 8;
/// Rounds of looking at neighbours of neighbours, at most; two or three are usual.
const ROUNDS: usize = 8;
/// A round that changes no more than this share of all entries is the last.
const SETTLED: f64 = 1e-3;
/// A list being improved is at least this long: short lists find no way out of a local minimum.
const WORKING_NEIGHBOURS: usize = 12;

/// For each particle its nearest others, nearest first; the lower row first where distances are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighbourGraph {
    len: usize,
    k: usize,
    rows: Vec<u32>,
    distances: Vec<f32>,
}

/// One entry of a list under construction: squared distance and row.
type Near = (f32, u32);

impl NeighbourGraph {
    /// The `k` nearest others of each row of latents `[n, d]`; `n − 1` where there are no more.
    ///
    /// # Errors
    /// If there are no latents, one is not finite, or there are more than 2³² − 1.
    pub fn build(latents: ArrayView2<'_, f32>, k: usize, seed: u64) -> Result<Self> {
        check_latents(latents)?;
        let (n, d) = latents.dim();
        if u32::try_from(n).is_err() {
            return Err(Problem::input(format!("{n} particles are more than a neighbour graph can hold")).hint("analyse a random subset"));
        }
        let k = k.min(n - 1);
        if n <= EXACT_ROWS {
            let points: Vec<f32> = latents.iter().copied().collect();
            return Ok(Self::from_lists(n, k, &exact(&points, n, d, k), None));
        }
        // Particles are put in the order of a first tree: near ones then lie near in memory, which is what the time depends on.
        let order = Tree::grow(&latents.iter().copied().collect::<Vec<f32>>(), n, d, seed, 0).order;
        let rows: Vec<usize> = order.iter().map(|&row| row as usize).collect();
        let points: Vec<f32> = latents.select(Axis(0), &rows).into_iter().collect();
        let lists = approximate(&points, n, d, k, seed);
        Ok(Self::from_lists(n, k, &lists, Some(&order)))
    }

    /// Lists of squared distances (row i at `i * list length`, nearest first) to a graph; `order[i]` is the row that stands at i in them.
    fn from_lists(len: usize, k: usize, lists: &[Near], order: Option<&[u32]>) -> Self {
        if k == 0 {
            return Self { len, k, rows: Vec::new(), distances: Vec::new() };
        }
        let mut entries = vec![(0.0f32, 0u32); lists.len()];
        let place = |i: usize| order.map_or(i, |order| order[i] as usize);
        for (i, list) in lists.chunks_exact(k).enumerate() {
            let row = &mut entries[place(i) * k..][..k];
            row.iter_mut().zip(list).for_each(|(to, &(distance, j))| *to = (distance.sqrt(), place(j as usize) as u32));
            row.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        Self { len, k, rows: entries.iter().map(|e| e.1).collect(), distances: entries.iter().map(|e| e.0).collect() }
    }

    /// Number of particles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no particle (never so for what [`NeighbourGraph::build`] returns).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Neighbours of each particle.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Rows of a particle's neighbours, nearest first.
    #[must_use]
    pub fn neighbours(&self, row: usize) -> &[u32] {
        &self.rows[row * self.k..][..self.k]
    }

    /// Euclidean distances to them.
    #[must_use]
    pub fn distances(&self, row: usize) -> &[f32] {
        &self.distances[row * self.k..][..self.k]
    }
}

/// Squared Euclidean distance.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Puts a candidate into a full list, sorted by distance and row, if it is nearer than the last and not there yet. True if it went in.
fn offer(list: &mut [Near], candidate: Near) -> bool {
    let nearer = |a: &Near, b: &Near| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).is_lt();
    let Some(last) = list.last() else { return false };
    if !nearer(&candidate, last) || list.iter().any(|entry| entry.1 == candidate.1) {
        return false;
    }
    let mut at = list.len() - 1;
    while at > 0 && nearer(&candidate, &list[at - 1]) {
        list[at] = list[at - 1];
        at -= 1;
    }
    list[at] = candidate;
    true
}

/// Stands where no neighbour was found yet.
const NOBODY: Near = (f32::INFINITY, u32::MAX);

/// Lists by looking at all pairs, `[n * k]`.
fn exact(points: &[f32], n: usize, d: usize, k: usize) -> Vec<Near> {
    let mut lists = vec![NOBODY; n * k];
    if k == 0 {
        return lists;
    }
    lists.par_chunks_exact_mut(k).enumerate().for_each(|(i, list)| {
        let own = &points[i * d..][..d];
        for (j, other) in points.chunks_exact(d).enumerate().filter(|&(j, _)| j != i) {
            offer(list, (squared_distance(own, other), j as u32));
        }
    });
    lists
}

/// Lists by a forest and rounds of improvement, `[n * k]`.
fn approximate(points: &[f32], n: usize, d: usize, k: usize, seed: u64) -> Vec<Near> {
    let working = k.max(WORKING_NEIGHBOURS);
    let point = |i: u32| &points[i as usize * d..][..d];
    let mut lists = vec![NOBODY; n * working];
    for number in 1..=TREES {
        let tree = Tree::grow(points, n, d, seed, number);
        let places = tree.places();
        lists.par_chunks_exact_mut(working).enumerate().for_each(|(i, list)| {
            for &j in tree.leaf_of(places[i]).iter().filter(|&&j| j as usize != i) {
                offer(list, (squared_distance(point(i as u32), point(j)), j));
            }
        });
    }
    for _ in 0..ROUNDS {
        let reverse = reversed(&lists, n, working);
        let before = &lists;
        let mut after = lists.clone();
        let changed: usize = after
            .par_chunks_exact_mut(working)
            .enumerate()
            .map(|(i, list)| {
                let near = |j: u32| before[j as usize * working..][..working].iter().chain(reverse.of(j as usize)).map(|entry| entry.1);
                let friends: Vec<u32> = near(i as u32).collect();
                let candidates = friends.iter().copied().chain(friends.iter().flat_map(|&j| near(j))).filter(|&c| c as usize != i);
                candidates.filter(|&c| offer(list, (squared_distance(point(i as u32), point(c)), c))).count()
            })
            .sum();
        lists = after;
        if (changed as f64) < SETTLED * (n * k) as f64 {
            break;
        }
    }
    lists.chunks_exact(working).flat_map(|list| list[..k].iter().copied()).collect()
}

/// Who has a particle in its list, the nearest few.
struct Reversed {
    starts: Vec<usize>,
    entries: Vec<Near>,
}

impl Reversed {
    fn of(&self, row: usize) -> &[Near] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }
}

/// Most of them that are looked at: hubs are in thousands of lists.
const REVERSE_NEIGHBOURS: usize = 8;

/// Turns lists round, and leaves out those who are in the list already.
fn reversed(lists: &[Near], n: usize, working: usize) -> Reversed {
    let mut kept = vec![NOBODY; n * REVERSE_NEIGHBOURS];
    for (i, list) in lists.chunks_exact(working).enumerate() {
        for &(distance, j) in list {
            let own = &lists[j as usize * working..][..working];
            // Nearer than the last of its own list, i would be in it after one round anyway.
            if distance >= own[working - 1].0 {
                offer(&mut kept[j as usize * REVERSE_NEIGHBOURS..][..REVERSE_NEIGHBOURS], (distance, i as u32));
            }
        }
    }
    let mut starts = Vec::with_capacity(n + 1);
    let mut entries = Vec::new();
    for list in kept.chunks_exact(REVERSE_NEIGHBOURS) {
        starts.push(entries.len());
        entries.extend(list.iter().copied().filter(|entry| *entry != NOBODY));
    }
    starts.push(entries.len());
    Reversed { starts, entries }
}

#[cfg(test)]
mod tests;
