//! A picture of the latents in two dimensions that keeps neighbours together (UMAP: McInnes, Healy & Melville 2018).
//!
//! The usual 15 neighbours and minimal distance of 0.1; started from the first two principal components, so that the large-scale order is that of
//! the latents. Positions are moved in turns of a few particles, each of which looks at where the others stand: unlike the usual unlocked
//! threads this gives the same picture for the same seed with any number of threads.

mod fuzzy;
mod layout;

use crate::graph::NeighbourGraph;
use crate::pca;
use contract::{Kind, Problem, Result};
use ndarray::{Array2, ArrayView2};

/// Neighbours that each particle is tied to, itself counted as umap-learn does.
pub const NEIGHBOURS: usize = 15;
/// Width of the picture that the layout starts from.
const START_WIDTH: f32 = 10.0;
/// Random part of the start, so that equal particles can part.
const START_NOISE: f64 = 1e-4;
/// Purpose of the start's random numbers.
const PURPOSE: u64 = 0x0073_7461_7274;

/// The picture of latents `[n, d]`: `[n, 2]`, always finite. Equal latents and seed give equal pictures.
///
/// # Errors
/// If there are no latents or one is not finite.
pub fn umap(latents: ArrayView2<'_, f32>, seed: u64) -> Result<Array2<f32>> {
    let graph = NeighbourGraph::build(latents, NEIGHBOURS - 1, seed)?;
    umap_of_graph(latents, &graph, seed)
}

/// [`umap`] where the neighbours are known already; with more or fewer of them the picture shows coarser or finer structure.
///
/// # Errors
/// As [`umap`], or if the graph is of another number of particles.
pub fn umap_of_graph(latents: ArrayView2<'_, f32>, graph: &NeighbourGraph, seed: u64) -> Result<Array2<f32>> {
    draw(latents, graph, layout::epochs(latents.nrows()), seed)
}

fn draw(latents: ArrayView2<'_, f32>, graph: &NeighbourGraph, epochs: usize, seed: u64) -> Result<Array2<f32>> {
    if graph.len() != latents.nrows() {
        return Err(Problem::failed(format!("neighbour graph of {} particles for {} latents", graph.len(), latents.nrows())));
    }
    if latents.nrows() < 2 {
        return Ok(Array2::zeros((latents.nrows(), 2)));
    }
    let ties = fuzzy::Ties::of_graph(graph, epochs);
    let placed = layout::arrange(start(latents, seed)?, &ties, epochs, seed);
    if placed.iter().flatten().any(|v| !v.is_finite()) {
        return Err(Problem::new(Kind::Numerical, "the two-dimensional picture of the latents has positions that are not finite")
            .hint("look at the latents: some may be extremely large"));
    }
    Ok(Array2::from_shape_fn((placed.len(), 2), |(i, axis)| placed[i][axis]))
}

/// The first two principal components, shrunk or stretched to the usual width.
fn start(latents: ArrayView2<'_, f32>, seed: u64) -> Result<Vec<[f32; 2]>> {
    let scores = pca(latents)?.project(latents);
    let widest = scores.columns().into_iter().take(2).flat_map(|c| c.to_vec()).fold(0.0f32, |most, v| most.max(v.abs()));
    let scale = if widest > 0.0 { 0.5 * START_WIDTH / widest } else { 0.0 };
    let place = |i: usize| {
        let mut random = cryoem::random::Random::keyed(seed, &[PURPOSE, i as u64]);
        [0, 1].map(|axis| {
            let score = if axis < scores.ncols() { scores[[i, axis]] } else { 0.0 };
            scale * score + (START_NOISE * random.normal()) as f32
        })
    };
    Ok((0..latents.nrows()).map(place).collect())
}

#[cfg(test)]
mod tests;
