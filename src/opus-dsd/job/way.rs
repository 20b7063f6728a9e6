//! Ways through the particles of a trained job, from stop to stop.

use analysis::{NeighbourGraph, Path};
use contract::Result;
use ndarray::{Array2, ArrayView1};

/// Neighbours of a particle that steps may lead to.
const NEIGHBOURS: usize = 14;

/// Latents, and their neighbours once a way was asked for: with many particles they take a while.
pub(crate) struct Land<'a> {
    latents: &'a Array2<f32>,
    graph: Option<NeighbourGraph>,
}

impl<'a> Land<'a> {
    pub(crate) fn new(latents: &'a Array2<f32>) -> Self {
        Self { latents, graph: None }
    }

    /// The way through the given rows with about `points` stations.
    pub(crate) fn way(&mut self, stops: &[usize], points: usize) -> Result<Path> {
        let graph = match &self.graph {
            Some(graph) => graph,
            None => self.graph.insert(NeighbourGraph::build(self.latents.view(), NEIGHBOURS, 0)?),
        };
        analysis::path(self.latents.view(), graph, stops, points)
    }

    /// The particle whose latent is nearest to one; the first of equals.
    pub(crate) fn nearest(&self, latent: &[f32]) -> usize {
        let latent = ArrayView1::from(latent);
        let away = |row: usize| (&self.latents.row(row) - &latent).mapv(|v| v * v).sum();
        (0..self.latents.nrows()).min_by(|&a, &b| away(a).total_cmp(&away(b))).unwrap_or(0)
    }
}

/// What is to be said of a way that leads over a gap.
pub(crate) fn gap_warning(name: &str, way: &Path) -> Option<String> {
    (way.gap > 0.0).then(|| {
        format!(
            "{name} leads over a gap of {:.2} in latent space where no particles are: its maps jump there, and nothing tells how",
            way.gap
        )
    })
}
