//! The report of `import`: what was read, what was kept, and what its latents look like before anything is found in them.

use super::{brief, fact, particles, picture, title};
use crate::job::stage::Fingerprint;
use crate::job::stages::cluster::Findings;
use crate::job::stages::context::Context;
use crate::job::stages::next;
use crate::settings::decided::Decided;
use analysis::clusters::assign;
use contract::Result;
use cryoem::geometry::Hopf;
use cryoem::particles::ParticleSet;
use ndarray::{Array2, Axis};
use report::{Story, Subject, Verdict};
use std::path::Path;

/// A run of the original that has become a job.
pub(crate) struct Imported<'a> {
    pub(crate) original: &'a Path,
    /// Epochs that were taken, by the original's numbers, oldest first.
    pub(crate) epochs: &'a [usize],
    pub(crate) particles: &'a ParticleSet,
    /// The STAR file that they were read from; none: archives of poses and CTF.
    pub(crate) from: Option<&'a Path>,
    /// Of the newest epoch, `[n, zdim]`.
    pub(crate) latents: &'a Array2<f32>,
    pub(crate) decided: &'a Decided,
}

impl Imported<'_> {
    /// Writes the report.
    ///
    /// # Errors
    /// A latent is not finite or a file cannot be written.
    pub(crate) fn write(&self, context: &mut Context<'_>) -> Result<()> {
        let found = self.undivided()?;
        let (nuisances, warnings) = particles::nuisances(self.particles, &found)?;
        warnings.iter().for_each(|line| context.warn(line));
        let shown = picture(self.latents.view(), None);
        let ground = Fingerprint::new("imported").and(&shown).and(&self.epochs).and(&self.decided.reasons).and(&(self.original, self.from));
        let ground = self.from.map_or_else(|| Ok(ground.clone()), |file| ground.clone().and_content(file))?;
        brief(context, &ground, |context| {
            let epoch = self.epochs.last().copied().unwrap_or(0);
            let n = self.latents.nrows();
            let said = format!("{n} particles with {} latent dimensions, from {}", self.latents.ncols(), self.original.display());
            Ok(Story {
                epoch,
                fingerprint: shown,
                subtitle: said.clone(),
                verdict: Some(Verdict {
                    good: context.warnings.is_empty(),
                    text: format!("The run is imported: {said}. It has no clusters and no maps yet."),
                }),
                facts: self.facts(),
                warnings: context.warnings.clone(),
                next_steps: next::of_imported(context),
                region_command: next::of_region(context),
                columns: particles::columns(self.particles, &found, &[])?,
                groupings: particles::groupings(self.particles, None),
                view_classes: particles::views(self.particles).map(Hopf::view_class).collect(),
                nuisances,
                ..Story::of(Subject::Latents, &title(context), found.latents, found.pca, found.clusters)
            })
        })
    }

    /// All particles together, about their mean.
    fn undivided(&self) -> Result<Findings> {
        let mean = self.latents.mean_axis(Axis(0)).unwrap_or_default().insert_axis(Axis(0));
        Ok(Findings {
            latents: self.latents.clone(),
            umap: None,
            density: None,
            pca: analysis::pca(self.latents.view())?,
            clusters: assign(self.latents.view(), mean.view())?,
            clustering: None,
            certainty: None,
            fingerprint: Fingerprint::new("imported"),
        })
    }

    fn facts(&self) -> Vec<(String, String)> {
        let numbers: Vec<String> = self.epochs.iter().map(ToString::to_string).collect();
        let from = self.from.map_or("archives of poses and CTF".to_owned(), |star| star.display().to_string());
        let mut facts = vec![
            fact("original's run", self.original.display().to_string()),
            fact("epochs", format!("{}, by the original's numbers, which count from 0; shown: the last", numbers.join(", "))),
            fact("particles", format!("{}, of {from}", self.particles.len())),
            fact("kept", "weights of encoder and decoder, masks, latents of these epochs, particles with poses and CTF"),
            fact("not kept", "the optimiser's state (training cannot go on), losses, clusters, volumes and pictures"),
        ];
        facts.extend(self.decided.reasons.iter().map(|reason| (reason.name.clone(), reason.value.clone())));
        facts
    }
}
