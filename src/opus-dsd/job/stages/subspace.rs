//! Stage `subspace`: scores of every particle along the strongest linear variations, where the latents start from.

use super::context::Context;
use super::prepare::Images;
use super::train::Ground;
use crate::job::stage::Fingerprint;
use crate::job::{encode_kit, npy};
use crate::settings::decided::Decided;
use contract::Result;
use cryoem::mrc::{read_volume, write_volume};
use cryoem::prepare::PreparedSet;
use reconstruction::subspace::{self, SubspaceOptions};
use std::path::{Path, PathBuf};

/// Folder of the component maps and scores in a job.
const FOLDER: &str = "subspace";
/// Scores of all particles, `[particles, components]`.
const SCORES: &str = "scores.npy";
/// Raised when the stage leaves more than before with the same input.
const FORM: u32 = 2;

/// The scores' file, where the latents are to start from scores.
pub(crate) fn run(context: &mut Context<'_>, decided: &Decided, images: &Images<'_>, ground: &Ground) -> Result<Option<PathBuf>> {
    let (Some(start), Some(base)) = (decided.train.warm_start, ground.base.as_ref()) else { return Ok(None) };
    let folder = context.path(FOLDER);
    let scores = folder.join(SCORES);
    let components = start.components.min(decided.train.layout.zdim);
    let options = SubspaceOptions { components, particles: start.particles, seed: decided.train.seed, ..SubspaceOptions::default() };
    let fingerprint = ground.fingerprint.clone().and(&"subspace").and(&FORM).and(&(
        options.components,
        options.particles,
        options.rounds,
        options.size_px,
        options.seed,
    ));
    context.stage("subspace", &fingerprint, |context| {
        context.make_folder(FOLDER)?;
        images.ensure(context)?;
        let set = PreparedSet::open(&images.prepared)?;
        let found = subspace::fit(&set, &read_volume(base)?, &read_volume(&ground.mask)?, &options, &mut |_, _| Ok(()))?;
        let shares = found.power.iter().take(found.active()).map(|p| format!("{:.0}%", 100.0 * p)).collect::<Vec<_>>().join(", ");
        let supported = match found.active() {
            0 => "no linear variation is supported by the data".to_owned(),
            1 => "one component is supported by the data".to_owned(),
            n => format!("{n} components are supported by the data (power relative to the first: {shares})"),
        };
        context.say(&format!("linear subspace: {supported}; grey scale of the base {:.3}", found.model.base_scale));
        let mut outputs = vec![scores.clone()];
        for (k, volume) in found.model.components.iter().enumerate().take(found.active()) {
            let path = folder.join(format!("component{:02}.mrc", k + 1));
            write_volume(&path, volume)?;
            outputs.push(path);
        }
        npy::write(&scores, found.scores.view())?;
        outputs.push(encode_kit::keep_linear(context.folder(), &found.model)?);
        Ok(outputs)
    })?;
    Ok(Some(scores))
}

/// Stage `scores`: the scores of other particles by the linear model of a trained job's file, and their file.
pub(crate) fn score(context: &mut Context<'_>, images: &Images<'_>, model: &Path) -> Result<PathBuf> {
    let folder = context.path(FOLDER);
    let scores = folder.join(SCORES);
    let ground = Fingerprint::new("scores").and(&images.prepared.fingerprint).and_content(model)?;
    context.stage("scores", &ground, |context| {
        images.ensure(context)?;
        context.make_folder(FOLDER)?;
        npy::write(&scores, encode_kit::linear(model)?.score(&PreparedSet::open(&images.prepared)?)?.view())?;
        Ok(vec![scores.clone()])
    })?;
    Ok(scores)
}
