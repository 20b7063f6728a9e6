//! Stage `embed`: the latents in two dimensions, for people to look at.

use super::cluster::Findings;
use super::context::Context;
use crate::job::npy;
use contract::Result;
use ndarray::Array2;

/// `[particles, 2]`, row i = particle i.
pub(crate) const UMAP: &str = "umap.npy";

/// UMAP of all latents.
pub(crate) fn run(context: &mut Context<'_>, found: &Findings, seed: u64) -> Result<Array2<f32>> {
    let ground = found.latents_fingerprint.clone().and(&"umap").and(&seed);
    let path = context.path(UMAP);
    context.stage("embed", &ground, |_| {
        npy::write(&path, analysis::umap(found.latents.view(), seed)?.view())?;
        Ok(vec![path.clone()])
    })?;
    context.results.change(|now| now.umap = Some(UMAP.into()))?;
    npy::read(&path)
}
