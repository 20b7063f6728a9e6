//! Stage `cluster`: the latents divided, and the particle files that the next job starts from.

use super::context::Context;
use super::embed::Embedded;
use super::publish;
use super::read::Input;
use crate::job::stage::Fingerprint;
use crate::job::{atomic, npy};
use crate::settings::decided::Decided;
use crate::settings::rules;
use crate::settings::values::ClusterMethod;
use analysis::clusters::MOST_CLUSTERS;
use analysis::{Clusters, Density, Pca};
use contract::{ClusterSize, Clustering, Problem, Result};
use cryoem::particles::{ParticleSet, Source};
use cryoem::subset;
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
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
/// What was found, for a later run of the job.
const FOUND: &str = "stages/clusters.json";
/// A cluster below this part of an even share is left out of the selection: it is too small for a map, and often what does not belong.
const SMALL_SHARE: f64 = 0.5;
/// Version line of tables made here: RELION 3.1 and newer read it.
const STAR_VERSION: u32 = 30001;

/// Latents and what was found in them.
pub(crate) struct Findings {
    pub(crate) latents: Array2<f32>,
    /// UMAP of these, `[particles, 2]`, and how crowded they are; where they were looked for.
    pub(crate) umap: Option<Array2<f32>>,
    pub(crate) density: Option<Density>,
    pub(crate) pca: Pca,
    pub(crate) clusters: Clusters,
    /// How these were made, where they were made here.
    pub(crate) clustering: Option<Clustering>,
    /// Probability of each particle's cluster, `[n]`; of mixtures only.
    pub(crate) certainty: Option<Vec<f32>>,
    /// Of the latents' file and how they were divided.
    pub(crate) fingerprint: Fingerprint,
}

/// A division as it is kept: what else [`Clusters`] holds follows from the latents.
#[derive(Serialize, Deserialize)]
struct Kept {
    labels: Vec<usize>,
    center_index: Vec<usize>,
    inertia: f64,
    asked: usize,
    clustering: Option<Clustering>,
    certainty: Option<Vec<f32>>,
}

impl Kept {
    fn of(found: &Findings) -> Self {
        let Clusters { labels, center_index, inertia, asked, .. } = found.clusters.clone();
        Self { labels, center_index, inertia, asked, clustering: found.clustering.clone(), certainty: found.certainty.clone() }
    }
}

/// Particle file of a cluster, from 1.
pub(crate) fn particles_file(class: usize) -> String {
    format!("cluster{class:03}_particles.star")
}

/// Divides latents `[n, d]` as it is decided.
pub(crate) fn divide(decided: &Decided, latents: &Array2<f32>) -> Result<(Clusters, Clustering, Option<Vec<f32>>)> {
    let seed = decided.train.seed;
    let curve = analysis::choose(latents.view(), MOST_CLUSTERS, seed)?;
    let k = match decided.clusters {
        Some(k) => rules::Ruled { value: k.min(latents.nrows()), reason: format!("{k} clusters, as said; by the curve, {}", curve.reason) },
        None => rules::clusters(latents.nrows(), &curve),
    };
    let (clusters, certainty) = match decided.cluster_method {
        ClusterMethod::Kmeans => (analysis::kmeans(latents.view(), k.value, seed)?, None),
        ClusterMethod::Mixture => {
            let mixture = analysis::mixture(latents.view(), k.value, seed).map_err(|p| p.at("`--cluster-method mixture`"))?;
            (mixture.clusters, Some(mixture.certainty))
        }
    };
    let clustering = Clustering {
        method: decided.cluster_method.word().into(),
        clusters: clusters.len(),
        chosen: decided.clusters.is_none(),
        reason: k.reason,
        curve: curve.curve,
        mean_certainty: certainty.as_ref().map(|c| c.iter().map(|&v| f64::from(v)).sum::<f64>() / c.len() as f64),
    };
    Ok((clusters, clustering, certainty))
}

/// Latents of a file in the clusters that were found before, about `centres` `[k, d]`; `pca` are the axes of that time.
pub(crate) fn assign(latents: &Path, centres: ArrayView2<'_, f32>, pca: Pca) -> Result<Findings> {
    let fingerprint = Fingerprint::new("latents").and_content(latents)?.and(&centres.iter().collect::<Vec<_>>());
    let latents = npy::read(latents)?;
    let clusters = analysis::clusters::assign(latents.view(), centres)?;
    Ok(Findings { latents, umap: None, density: None, pca, clusters, clustering: None, certainty: None, fingerprint })
}

/// Particle files of clusters that were found before ([`assign`]).
pub(crate) fn hand_on(context: &mut Context<'_>, input: &Input, found: &Findings) -> Result<()> {
    let ground = ground(&found.fingerprint, input)?;
    context.stage("cluster", &ground, |context| write(context, input, found))
}

/// What the particle files follow from, besides the findings.
fn ground(found: &Fingerprint, input: &Input) -> Result<Fingerprint> {
    let ground = found.clone().and_content(&input.path)?;
    Ok(input.chosen.iter().fold(ground, |ground, chosen| ground.and(&chosen.rows)))
}

/// Clusters of the latents as it is decided, and their particle files.
pub(crate) fn run(context: &mut Context<'_>, input: &Input, decided: &Decided, embedded: Embedded) -> Result<Findings> {
    let fingerprint = embedded.fingerprint.clone().and(&(decided.clusters, decided.cluster_method)).and(&decided.train.seed);
    let ground = ground(&fingerprint, input)?;
    let Embedded { latents, umap, density, .. } = embedded;
    let pca = analysis::pca(latents.view())?;
    let path = context.path(FOUND);
    let mut made = None;
    context.stage("cluster", &ground, |context| {
        let (clusters, clustering, certainty) = divide(decided, &latents)?;
        let found = Findings {
            latents: latents.clone(),
            umap: Some(umap.clone()),
            density: Some(density.clone()),
            pca: pca.clone(),
            clusters,
            clustering: Some(clustering),
            certainty,
            fingerprint: fingerprint.clone(),
        };
        let mut outputs = write(context, input, &found)?;
        atomic::write_json(&path, &Kept::of(&found))?;
        outputs.push(path.clone());
        made = Some(found);
        Ok(outputs)
    })?;
    if let Some(found) = made {
        return Ok(found);
    }
    let kept: Kept = atomic::read_json(&path)?.ok_or_else(|| Problem::failed("what was found is gone").at(path.display().to_string()))?;
    let mut sizes = vec![0; kept.center_index.len()];
    kept.labels.iter().for_each(|&label| sizes[label] += 1);
    let centers = latents.select(Axis(0), &kept.center_index);
    let Kept { labels, center_index, inertia, asked, clustering, certainty } = kept;
    let clusters = Clusters { labels, center_index, centers, sizes, inertia, asked };
    Ok(Findings { latents, umap: Some(umap), density: Some(density), pca, clusters, clustering, certainty, fingerprint })
}

/// Everything that the next job starts from.
fn write(context: &mut Context<'_>, input: &Input, found: &Findings) -> Result<Vec<PathBuf>> {
    let particles = &input.particles;
    let clusters = &found.clusters;
    if found.latents.nrows() != particles.len() {
        return Err(Problem::failed(format!("{} latents for {} particles", found.latents.nrows(), particles.len())));
    }
    let mut outputs: Vec<PathBuf> = [LATENTS, LATENTS_STAR, PARTICLES, SELECTED, LARGEST].map(|f| context.path(f)).into();
    npy::write(&outputs[0], found.latents.view())?;
    atomic::write(&outputs[1], latents_table(input, found).as_bytes())?;
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
    if let Some(made) = &found.clustering {
        context.say(&format!("clusters: {} ({})", clusters.len(), made.reason));
    }
    let sizes: Vec<String> = clusters.sizes.iter().map(ToString::to_string).collect();
    context.say(&format!("clusters: {} particles; {} of {} in {SELECTED}", sizes.join(", "), selected.len(), particles.len()));
    warn_of_leftovers(context, clusters.len());
    context.results.change(|now| {
        now.particles = PARTICLES.into();
        now.latents = Some(LATENTS.into());
        now.clustering = found.clustering.clone();
        now.clusters = clusters.sizes.iter().enumerate().map(|(c, &n)| ClusterSize { class: clusters.class_number(c), n }).collect();
        now.volumes.clear();
    })?;
    publish::cluster_nodes(context, found)?;
    Ok(outputs)
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

fn latents_table(input: &Input, found: &Findings) -> String {
    let particles = &input.particles;
    let width = found.latents.ncols();
    let scores = found.pca.project(found.latents.view());
    let shown = width.min(2);
    let mut labels = vec!["rlnImageName".to_owned(), "opusParticle".into(), "rlnClassNumber".into()];
    labels.extend((1..=width).map(|i| format!("opusLatent{i}")));
    labels.extend((1..=shown).map(|i| format!("opusPrincipal{i}")));
    labels.extend((1..=found.umap.as_ref().map_or(0, Array2::ncols)).map(|i| format!("opusUmap{i}")));
    labels.extend(found.density.iter().flat_map(|_| ["opusDensity".into(), "opusOutlier".into()]));
    labels.extend(found.certainty.as_ref().map(|_| "opusCertainty".to_owned()));
    labels.extend(input.chosen.as_ref().map(|_| "opusTrainedParticle".to_owned()));
    let label_refs: Vec<&str> = labels.iter().map(String::as_str).collect();
    let rows = (0..particles.len()).map(|i| {
        let mut cells =
            vec![image_name(particles, i), (i + 1).to_string(), found.clusters.class_number(found.clusters.labels[i]).to_string()];
        cells.extend(found.latents.row(i).iter().map(|v| format!("{v:.6}")));
        cells.extend((0..shown).map(|c| format!("{:.6}", scores[[i, c]])));
        cells.extend(found.umap.iter().flat_map(|all| all.row(i)).map(|v| format!("{v:.6}")));
        cells.extend(found.density.iter().flat_map(|d| [d.quantile[i], d.outlier[i]]).map(|v| format!("{v:.6}")));
        cells.extend(found.certainty.iter().map(|c| format!("{:.6}", c[i])));
        cells.extend(input.chosen.iter().map(|chosen| (chosen.rows[i] + 1).to_string()));
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
