//! Stage `series`: maps along the strongest principal components of the latents.

use super::cluster::Findings;
use super::context::Context;
use super::decode;
use crate::job::engine_process::Engine;
use crate::job::npy;
use crate::settings::decided::Decided;
use contract::{Problem, Result, Series, SeriesVolume, TrainOutcome};
use std::path::PathBuf;

/// How many components, and how many maps each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) components: usize,
    pub(crate) points: usize,
}

pub(crate) fn run(
    context: &mut Context<'_>,
    engine: &mut Engine,
    decided: &Decided,
    outcome: &TrainOutcome,
    found: &Findings,
    extent: Extent,
) -> Result<Vec<Series>> {
    for component in 0..extent.components.min(found.latents.ncols()) {
        let name = format!("pc{}", component + 1);
        let path = found.pca.traversal(found.latents.view(), component, extent.points)?.mapv(|v| v as f32);
        let ground = found.fingerprint.clone().and(&(component, extent.points)).and(&outcome.checkpoint).and(&decided.train);
        let ground = ground.and(&(decided.map_box_px, decided.map_apix));
        let files: Vec<String> = (0..path.nrows()).map(|row| format!("{name}/vol_{row:03}.mrc")).collect();
        context.stage(&name, &ground, |context| {
            let folder = context.path(&name);
            std::fs::create_dir_all(&folder).map_err(|e| Problem::io(&folder, &e))?;
            let latents = folder.join("z.npy");
            npy::write(&latents, path.view())?;
            let outputs: Vec<PathBuf> = files.iter().map(|f| context.path(f)).collect();
            let spec = decode::spec(decided, outcome, latents.clone(), outputs.clone());
            decode::maps(context, engine, spec, |_, _| Ok(()))?;
            Ok(outputs.into_iter().chain([latents]).collect())
        })?;
        let volumes = files.into_iter().zip(path.rows()).map(|(file, z)| SeriesVolume { file, z: z.to_vec() }).collect();
        context.results.change(|now| {
            now.series.retain(|s| s.name != name);
            now.series.push(Series { name, volumes });
        })?;
    }
    context.results.change(|now| now.series.truncate(extent.components))?;
    Ok(context.results.now().series.clone())
}
