//! Stage `cluster`: latents, their clusters, and the particle files that the next job starts from.

use super::context::Context;
use super::publish;
use crate::job::stage::Fingerprint;
use crate::job::{atomic, npy};
use crate::settings::decided::Decided;
use analysis::{Clusters, Pca};
use contract::{ClusterSize, Problem, Result, TrainOutcome};
use cryoem::particles::{ParticleSet, Source};
use cryoem::subset;
use ndarray::{Array2, ArrayView2};
use starfile::Builder;
use std::path::{Path, PathBuf};

/// All particles, with their cluster as class.
pub(crate) const PARTICLES: &str = "particles.star";
/// Particles of clusters that are not small.
pub(crate) const SELECTED: &str = "selected_particles.star";
/// Particles of the largest cluster.
pub(crate) const LARGEST: &str = "largest_particles.star";
/// Latents as numbers, and as a table.
pub(crate) const LATENTS: &str = "latents.npy";
pub(crate) const LATENTS_STAR: &str = "latents.star";
/// A cluster below this part of an even share is left out of the selection: it is too small for a map, and often what does not belong.
const SMALL_SHARE: f64 = 0.5;
/// Version line of tables made here: RELION 3.1 and newer read it.
const STAR_VERSION: u32 = 30001;

/// Latents and what was found in them. Equal latents give equal findings, so they are found again rather than kept.
pub(crate) struct Findings {
    pub(crate) latents: Array2<f32>,
    pub(crate) pca: Pca,
    pub(crate) clusters: Clusters,
    /// Of the latents' file.
    pub(crate) latents_fingerprint: Fingerprint,
    /// Of the latents' file and the number of clusters.
    pub(crate) fingerprint: Fingerprint,
}

/// Particle file of a cluster, from 1.
pub(crate) fn particles_file(class: usize) -> String {
    format!("cluster{class:03}_particles.star")
}

pub(crate) fn find(decided: &Decided, outcome: &TrainOutcome) -> Result<Findings> {
    let latents = npy::read(&outcome.latents)?;
    let clusters = analysis::kmeans(latents.view(), decided.clusters, decided.train.seed)?;
    let pca = analysis::pca(latents.view())?;
    let latents_fingerprint = Fingerprint::new("findings").and_content(&outcome.latents)?;
    let fingerprint = latents_fingerprint.clone().and(&decided.clusters).and(&decided.train.seed);
    Ok(Findings { latents, pca, clusters, latents_fingerprint, fingerprint })
}

/// Latents of a file in the clusters that were found before, about `centres` `[k, d]`; `pca` are the axes of that time.
pub(crate) fn assign(latents: &Path, centres: ArrayView2<'_, f32>, pca: Pca) -> Result<Findings> {
    let latents_fingerprint = Fingerprint::new("findings").and_content(latents)?;
    let latents = npy::read(latents)?;
    let clusters = analysis::clusters::assign(latents.view(), centres)?;
    let fingerprint = latents_fingerprint.clone().and(&centres.iter().collect::<Vec<_>>());
    Ok(Findings { latents, pca, clusters, latents_fingerprint, fingerprint })
}

/// `umap`, `[particles, 2]`: a column of the table where there is one.
pub(crate) fn run(
    context: &mut Context<'_>,
    particles: &ParticleSet,
    source: &Path,
    found: &Findings,
    umap: Option<&Array2<f32>>,
) -> Result<()> {
    let ground = found.fingerprint.clone().and_content(source)?;
    context.stage("cluster", &ground, |context| {
        let clusters = &found.clusters;
        if found.latents.nrows() != particles.len() {
            return Err(Problem::failed(format!("{} latents for {} particles", found.latents.nrows(), particles.len())));
        }
        let mut outputs: Vec<PathBuf> = [LATENTS, LATENTS_STAR, PARTICLES, SELECTED, LARGEST].map(|f| context.path(f)).into();
        npy::write(&outputs[0], found.latents.view())?;
        atomic::write(&outputs[1], latents_table(particles, found, umap).as_bytes())?;
        let classes: Vec<u32> = clusters.labels.iter().map(|&c| clusters.class_number(c) as u32).collect();
        subset::write_classes(&outputs[2], particles, &classes)?;
        let selected = selected_rows(clusters);
        subset::write_rows(&outputs[3], particles, &selected)?;
        subset::write_rows(&outputs[4], particles, &clusters.members(largest(clusters)))?;
        for cluster in (0..clusters.len()).filter(|&c| clusters.sizes[c] > 0) {
            let path = context.path(&particles_file(clusters.class_number(cluster)));
            subset::write_rows(&path, particles, &clusters.members(cluster))?;
            outputs.push(path);
        }
        let sizes: Vec<String> = clusters.sizes.iter().map(ToString::to_string).collect();
        context.say(&format!("clusters: {} particles; {} of {} in {SELECTED}", sizes.join(", "), selected.len(), particles.len()));
        warn_of_leftovers(context, clusters.len());
        context.results.change(|now| {
            now.particles = PARTICLES.into();
            now.latents = Some(LATENTS.into());
            now.clusters = clusters.sizes.iter().enumerate().map(|(c, &n)| ClusterSize { class: clusters.class_number(c), n }).collect();
            now.volumes.clear();
        })?;
        publish::cluster_nodes(context, found)?;
        Ok(outputs)
    })
}

/// The cluster with most particles, 0-based; the first of equals.
pub(crate) fn largest(clusters: &Clusters) -> usize {
    (0..clusters.len()).max_by_key(|&c| (clusters.sizes[c], std::cmp::Reverse(c))).unwrap_or(0)
}

fn selected_rows(clusters: &Clusters) -> Vec<usize> {
    let least = SMALL_SHARE * clusters.labels.len() as f64 / clusters.len() as f64;
    (0..clusters.labels.len()).filter(|&row| clusters.sizes[clusters.labels[row]] as f64 >= least).collect()
}

/// Names that the host knows are never taken away, so files of an earlier run with more clusters stay.
fn warn_of_leftovers(context: &mut Context<'_>, clusters: usize) {
    let next = particles_file(clusters + 1);
    if context.path(&next).exists() {
        context.warn(&format!("`{next}` and what follows it are of an earlier run with more clusters"));
    }
}

fn latents_table(particles: &ParticleSet, found: &Findings, umap: Option<&Array2<f32>>) -> String {
    let width = found.latents.ncols();
    let scores = found.pca.project(found.latents.view());
    let shown = width.min(2);
    let mut labels = vec!["rlnImageName".to_owned(), "opusParticle".into(), "rlnClassNumber".into()];
    labels.extend((1..=width).map(|i| format!("opusLatent{i}")));
    labels.extend((1..=shown).map(|i| format!("opusPrincipal{i}")));
    labels.extend((1..=umap.map_or(0, Array2::ncols)).map(|i| format!("opusUmap{i}")));
    let label_refs: Vec<&str> = labels.iter().map(String::as_str).collect();
    let rows = (0..particles.len()).map(|i| {
        let mut cells =
            vec![image_name(particles, i), (i + 1).to_string(), found.clusters.class_number(found.clusters.labels[i]).to_string()];
        cells.extend(found.latents.row(i).iter().map(|v| format!("{v:.6}")));
        cells.extend((0..shown).map(|c| format!("{:.6}", scores[[i, c]])));
        cells.extend(umap.iter().flat_map(|all| all.row(i)).map(|v| format!("{v:.6}")));
        cells
    });
    Builder::new(Some(STAR_VERSION)).table("latents", &label_refs, rows).finish()
}

/// The image's name as the input has it.
fn image_name(particles: &ParticleSet, row: usize) -> String {
    let column = match &particles.source {
        Source::Star { file, block } => file.block_at(*block).find("rlnImageName"),
        Source::Stacks => None,
    };
    column.map_or_else(
        || {
            let particle = &particles.rows[row];
            format!("{:06}@{}", particle.slice + 1, particles.stacks[particle.stack as usize].display())
        },
        |names| names.text(row).to_owned(),
    )
}
