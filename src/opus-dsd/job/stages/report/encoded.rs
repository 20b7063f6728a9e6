//! The report of `encode`: where particles fall among those that the model was trained on.

use super::{brief, fact, particles, title};
use crate::job::stage::Fingerprint;
use crate::job::stages::cluster::Findings;
use crate::job::stages::context::Context;
use crate::job::stages::next;
use crate::job::stages::read::Input;
use crate::job::trained::Trained;
use contract::{Result, StateVolume};
use cryoem::geometry::Hopf;
use report::{Ground, Story, Subject, Verdict};
use std::path::Path;

/// Particles that were given to the states of another job.
pub(crate) struct Encoded<'a> {
    pub(crate) trained: &'a Trained,
    /// The job whose states they were given to, and these.
    pub(crate) states_of: &'a Path,
    pub(crate) states: &'a [StateVolume],
    pub(crate) input: &'a Input,
    pub(crate) found: &'a Findings,
    /// How many lie far from every state, and whether they are few.
    pub(crate) far: &'a str,
    pub(crate) few_far: bool,
}

impl Encoded<'_> {
    /// Writes the report.
    ///
    /// # Errors
    /// A latent is not finite or a file cannot be written.
    pub(crate) fn write(&self, context: &mut Context<'_>) -> Result<()> {
        let set = &self.input.particles;
        let (nuisances, warnings) = particles::nuisances(set, self.found)?;
        warnings.iter().for_each(|line| context.warn(line));
        let ground = Fingerprint::new("encoded").and(&self.found.fingerprint.text()).and(&self.far).and_content(&self.input.path)?;
        brief(context, &ground, |context| {
            let Findings { latents, pca, clusters, .. } = self.found;
            Ok(Story {
                epoch: self.trained.epoch,
                subtitle: format!(
                    "{} particles encoded with epoch {} of {}, in {} states of {}",
                    set.len(),
                    self.trained.epoch,
                    self.trained.folder.display(),
                    clusters.len(),
                    self.states_of.display()
                ),
                verdict: Some(Verdict { good: self.few_far, text: format!("{}.", self.far) }),
                facts: self.facts(),
                // What is far away stands above them.
                warnings: context.warnings.iter().filter(|line| !line.starts_with(self.far)).cloned().collect(),
                next_steps: next::of_encoded(context, self.found),
                ground: Some(Ground {
                    name: self
                        .trained
                        .chosen
                        .as_ref()
                        .map_or("particles that the model was trained on", |_| "particles of the selection")
                        .into(),
                    latents: self.trained.latents.clone(),
                }),
                columns: particles::columns(set, self.found, &[])?,
                groupings: particles::groupings(set, None),
                view_classes: particles::views(set).map(Hopf::view_class).collect(),
                nuisances,
                ..Story::of(Subject::Encoded, &title(context), latents.clone(), pca.clone(), clusters.clone())
            })
        })
    }

    fn facts(&self) -> Vec<(String, String)> {
        let (sizes, all) = (&self.found.clusters.sizes, self.input.particles.len());
        let trained: usize = self.states.iter().map(|state| state.n).sum();
        let mut facts = vec![
            fact("particles", format!("{all}, of {}", self.input.path.display())),
            fact("model", format!("epoch {} of {}", self.trained.epoch, self.trained.folder.display())),
            fact("states", format!("those of {}", self.states_of.display())),
        ];
        let share = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        facts.extend(self.states.iter().zip(sizes).map(|(state, &n)| {
            let words = format!("{n} particles, {:.1}%; {:.1}% of those that were trained on", share(n, all), share(state.n, trained));
            (format!("state {}", state.class), words)
        }));
        facts
    }
}
