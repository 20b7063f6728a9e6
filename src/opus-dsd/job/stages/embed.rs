//! Stage `embed`: the latents of all particles, in two dimensions for people to look at, and how crowded they are around each.

use super::context::Context;
use crate::job::npy;
use crate::job::stage::Fingerprint;
use analysis::umap::NEIGHBOURS;
use analysis::{Density, NeighbourGraph};
use contract::{Result, TrainOutcome};
use ndarray::{Array2, ArrayView1, Axis};

/// `[particles, 2]`, row i = particle i.
pub(crate) const UMAP: &str = "umap.npy";
/// Mean distances to the nearest others, `[particles, 1]`.
const DISTANCES: &str = "stages/neighbour-distances.npy";

/// What is known of every particle before there are clusters.
pub(crate) struct Embedded {
    /// `[particles, dimensions]`.
    pub(crate) latents: Array2<f32>,
    /// UMAP of these, `[particles, 2]`.
    pub(crate) umap: Array2<f32>,
    pub(crate) density: Density,
    /// Of the latents' file.
    pub(crate) fingerprint: Fingerprint,
}

/// UMAP and density of all latents.
pub(crate) fn run(context: &mut Context<'_>, outcome: &TrainOutcome, seed: u64) -> Result<Embedded> {
    let fingerprint = Fingerprint::new("latents").and_content(&outcome.latents)?;
    let latents = npy::read(&outcome.latents)?;
    let (umap, distances) = (context.path(UMAP), context.path(DISTANCES));
    context.stage("embed", &fingerprint.clone().and(&seed), |_| {
        let graph = NeighbourGraph::build(latents.view(), NEIGHBOURS - 1, seed)?;
        npy::write(&umap, analysis::umap::umap_of_graph(latents.view(), &graph, seed)?.view())?;
        let density = Density::of_graph(&graph);
        npy::write(&distances, ArrayView1::from(&density.distance).insert_axis(Axis(1)))?;
        Ok(vec![umap.clone(), distances.clone()])
    })?;
    context.results.change(|now| now.umap = Some(UMAP.into()))?;
    let density = Density::of_distances(npy::read(&distances)?.index_axis_move(Axis(1), 0).to_vec());
    Ok(Embedded { latents, umap: npy::read(&umap)?, density, fingerprint })
}
