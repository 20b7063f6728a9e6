//! A way from one state to another that keeps to where particles are.

use crate::graph::NeighbourGraph;
use crate::neighbours::even_sample;
use contract::{Problem, Result};
use ndarray::ArrayView2;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Particles of each side that are compared where a gap has to be bridged.
const BRIDGE_PARTICLES: usize = 2_000;

/// A way through the particles.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Rows of the particles on the way, from one end to the other.
    pub rows: Vec<usize>,
    /// Of these, the chosen stations, spread evenly by the length of the way, both ends among them.
    pub stations: Vec<usize>,
    /// Length of the longest jump over a gap where no particles are; 0 where the whole way leads along neighbours.
    pub gap: f32,
}

/// The way through the particles `stops`, in their order, with `stations` stations on it.
///
/// Steps lead to neighbours, either way round, and cost the square of their length, so that many short steps through a crowd are cheaper than a long
/// one past it. Parts of the data that no neighbours connect are bridged where they are nearest (as far as a sample shows), which [`Path::gap`] tells.
///
/// # Errors
/// If there is no such particle, the graph is of other latents, or fewer than two stops or stations are asked for.
pub fn path(latents: ArrayView2<'_, f32>, graph: &NeighbourGraph, stops: &[usize], stations: usize) -> Result<Path> {
    let n = graph.len();
    if n != latents.nrows() {
        return Err(Problem::failed(format!("neighbour graph of {n} particles for {} latents", latents.nrows())));
    }
    if let Some(row) = stops.iter().copied().find(|&row| row >= n) {
        return Err(Problem::input(format!("there is no particle {} for a path to lead to", row + 1))
            .hint(format!("particles count from 1 to {n}")));
    }
    if stops.len() < 2 {
        return Err(Problem::input("a path needs two ends").hint("name the particles from which and to which it leads"));
    }
    if stations < 2 {
        return Err(Problem::input(format!("a path of {stations} stations was asked for")).hint("ask for at least 2: its ends"));
    }
    let (starts, others) = both_ways(graph);
    let squared =
        |a: usize, b: usize| latents.row(a).iter().zip(latents.row(b)).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>();
    let parts = parts(&starts, &others);
    let bridges = if stops.iter().all(|&stop| parts[stop] == parts[stops[0]]) { Vec::new() } else { bridges(&parts, &squared) };
    let gap = |rows: &[usize]| {
        let jumps = rows.windows(2).filter(|w| parts[w[0]] != parts[w[1]]).map(|w| squared(w[0], w[1]).sqrt() as f32);
        jumps.fold(0.0, f32::max)
    };
    let ties = |row: usize| {
        let near = others[starts[row]..starts[row + 1]].iter().map(|&other| other as usize);
        let jumps = bridges.iter().filter_map(move |&(a, b)| if a == row { Some(b) } else { (b == row).then_some(a) });
        near.chain(jumps).map(|other| (other, squared(row, other))).collect()
    };
    let mut rows = vec![stops[0]];
    for leg in stops.windows(2) {
        let way = shortest(n, leg[0], leg[1], ties)
            .ok_or_else(|| Problem::failed(format!("no path leads from particle {} to particle {}", leg[0] + 1, leg[1] + 1)))?;
        rows.extend(&way[1..]);
    }
    Ok(Path { stations: spread(&rows, stations, &squared), gap: gap(&rows), rows })
}

/// Neighbours in either direction: row i's are `others[starts[i]..starts[i + 1]]`.
fn both_ways(graph: &NeighbourGraph) -> (Vec<usize>, Vec<u32>) {
    let n = graph.len();
    let mut counts = vec![graph.k(); n];
    (0..n).flat_map(|row| graph.neighbours(row)).for_each(|&other| counts[other as usize] += 1);
    let mut starts = vec![0; n + 1];
    (0..n).for_each(|row| starts[row + 1] = starts[row] + counts[row]);
    let mut next = starts.clone();
    let mut others = vec![0u32; starts[n]];
    let mut put = |row: usize, other: usize| {
        others[next[row]] = other as u32;
        next[row] += 1;
    };
    for row in 0..n {
        for &other in graph.neighbours(row) {
            put(row, other as usize);
            put(other as usize, row);
        }
    }
    (starts, others)
}

/// Connected part of each row, numbered by its first row.
fn parts(starts: &[usize], others: &[u32]) -> Vec<usize> {
    let n = starts.len() - 1;
    let mut part = vec![usize::MAX; n];
    let mut count = 0;
    for first in 0..n {
        if part[first] != usize::MAX {
            continue;
        }
        part[first] = count;
        let mut pending = vec![first];
        while let Some(row) = pending.pop() {
            for &other in &others[starts[row]..starts[row + 1]] {
                if part[other as usize] == usize::MAX {
                    part[other as usize] = count;
                    pending.push(other as usize);
                }
            }
        }
        count += 1;
    }
    part
}

/// Pairs of rows that join all parts to a whole: each part is joined to the nearest one that is joined already.
fn bridges(parts: &[usize], squared: &dyn Fn(usize, usize) -> f64) -> Vec<(usize, usize)> {
    let count = parts.iter().max().map_or(0, |&last| last + 1);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    parts.iter().enumerate().for_each(|(row, &part)| members[part].push(row));
    let most = (BRIDGE_PARTICLES / count).max(20);
    let samples: Vec<Vec<usize>> =
        members.iter().map(|rows| even_sample(rows.len(), most).into_iter().map(|i| rows[i]).collect()).collect();
    let nearest = |a: usize, b: usize| {
        let pairs = samples[a].iter().flat_map(|&i| samples[b].iter().map(move |&j| (i, j)));
        pairs.map(|(i, j)| (squared(i, j), i, j)).min_by(|x, y| x.0.total_cmp(&y.0))
    };
    // Prim's spanning tree over the parts.
    let mut best: Vec<Option<(f64, usize, usize)>> = (0..count).map(|part| if part == 0 { None } else { nearest(0, part) }).collect();
    let mut found = Vec::new();
    while let Some(part) = (0..count)
        .filter(|&p| best[p].is_some())
        .min_by(|&a, &b| best[a].map(|x| x.0).unwrap_or(f64::INFINITY).total_cmp(&best[b].map(|x| x.0).unwrap_or(f64::INFINITY)))
    {
        let Some((_, i, j)) = best[part].take() else { break };
        found.push((i, j));
        for other in (0..count).filter(|&p| p != part) {
            if let Some(known) = best[other]
                && let Some(new) = nearest(part, other)
                && new.0 < known.0
            {
                best[other] = Some(new);
            }
        }
    }
    found
}

/// Dijkstra's shortest way; of equally short ones the one that is found through lower rows.
fn shortest(n: usize, from: usize, to: usize, ties: impl Fn(usize) -> Vec<(usize, f64)>) -> Option<Vec<usize>> {
    let mut cost = vec![f64::INFINITY; n];
    let mut previous = vec![usize::MAX; n];
    // Costs are never negative, so that their bits are ordered as they are.
    let mut pending = BinaryHeap::from([Reverse((0u64, from))]);
    cost[from] = 0.0;
    while let Some(Reverse((bits, row))) = pending.pop() {
        if row == to {
            break;
        }
        if f64::from_bits(bits) > cost[row] {
            continue;
        }
        for (other, step) in ties(row) {
            let sum = cost[row] + step;
            if sum < cost[other] {
                (cost[other], previous[other]) = (sum, row);
                pending.push(Reverse((sum.to_bits(), other)));
            }
        }
    }
    let mut rows = vec![to];
    while let Some(&last) = rows.last().filter(|&&last| last != from) {
        rows.push(*previous.get(last).filter(|&&row| row != usize::MAX)?);
    }
    rows.reverse();
    Some(rows)
}

/// Rows nearest to points spread evenly along the way; each once, in order.
fn spread(rows: &[usize], stations: usize, squared: &dyn Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut along = vec![0.0];
    rows.windows(2).for_each(|w| along.push(along[along.len() - 1] + squared(w[0], w[1]).sqrt()));
    let length = along[along.len() - 1];
    let nearest = |at: f64| {
        let next = along.partition_point(|&a| a < at).min(rows.len() - 1);
        if next > 0 && at - along[next - 1] < along[next] - at { next - 1 } else { next }
    };
    let mut chosen: Vec<usize> = (0..stations).map(|i| nearest(length * i as f64 / (stations - 1) as f64)).collect();
    chosen.dedup();
    chosen.into_iter().map(|i| rows[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// Particles around a half circle, a little scattered.
    fn half_circle(n: usize) -> Array2<f32> {
        Array2::from_shape_fn((n, 2), |(i, j)| {
            let angle = std::f32::consts::PI * i as f32 / (n - 1) as f32;
            let radius = 5.0 + 0.05 * ((i * 7919) % 13) as f32 / 13.0;
            if j == 0 { radius * angle.cos() } else { radius * angle.sin() }
        })
    }

    #[test]
    fn the_way_follows_the_particles() {
        let z = half_circle(400);
        let graph = NeighbourGraph::build(z.view(), 10, 0).unwrap();
        let way = path(z.view(), &graph, &[0, 399], 9).unwrap();
        assert_eq!((way.rows[0], *way.rows.last().unwrap(), way.gap), (0, 399, 0.0));
        assert_eq!(way.stations.len(), 9);
        for (i, &row) in way.stations.iter().enumerate() {
            assert!((row as f64 - 399.0 * i as f64 / 8.0).abs() < 8.0, "{:?}", way.stations);
        }
        assert!(way.rows.iter().all(|&row| z.row(row).mapv(|v| v * v).sum() > 24.0), "the way cuts across");
    }

    #[test]
    fn parts_are_bridged_and_the_gap_is_told() {
        // Three clumps in a row, 10 apart, each a line of 50 that is 1 long.
        let z = Array2::from_shape_fn((150, 2), |(i, j)| if j == 0 { (i % 3 * 10) as f32 } else { (i / 3) as f32 / 49.0 });
        let graph = NeighbourGraph::build(z.view(), 5, 0).unwrap();
        let way = path(z.view(), &graph, &[0, 149], 5).unwrap();
        assert!((way.gap - 10.0).abs() < 0.1, "{}", way.gap);
        assert!(way.rows.iter().any(|row| row % 3 == 1), "the middle clump is on the way: {:?}", way.rows);
        assert_eq!((way.stations[0], *way.stations.last().unwrap()), (0, 149));
    }

    #[test]
    fn a_way_passes_all_its_stops() {
        let z = half_circle(400);
        let graph = NeighbourGraph::build(z.view(), 10, 0).unwrap();
        let way = path(z.view(), &graph, &[200, 0, 399], 7).unwrap();
        assert_eq!((way.rows[0], way.rows[way.rows.len() - 1]), (200, 399));
        assert!(way.rows.contains(&0) && way.stations.len() == 7, "{:?}", way.stations);
        assert!(path(z.view(), &graph, &[200], 7).is_err());
    }

    #[test]
    fn odd_wishes_are_met_or_refused() {
        let z = half_circle(40);
        let graph = NeighbourGraph::build(z.view(), 5, 0).unwrap();
        assert_eq!(path(z.view(), &graph, &[3, 3], 4).unwrap().stations, [3]);
        assert!(path(z.view(), &graph, &[3, 40], 4).unwrap_err().to_string().contains("no particle 41"));
        assert!(path(z.view(), &graph, &[3, 4], 1).is_err());
        assert!(path(z.slice(ndarray::s![..9, ..]), &graph, &[3, 4], 2).is_err());
        let same = Array2::<f32>::zeros((30, 2));
        let graph = NeighbourGraph::build(same.view(), 5, 0).unwrap();
        assert_eq!(*path(same.view(), &graph, &[0, 29], 3).unwrap().rows.last().unwrap(), 29);
    }
}
