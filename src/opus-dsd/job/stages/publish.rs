//! Stage `publish`: what the host and the next job find: results, summary, nodes, note.

use super::cluster::{self, Findings};
use super::context::Context;
use super::report::LOGFILE;
use super::{decode, next, reconstruct};
use crate::host::relion::nodes::{self, Content, Node};
use crate::host::relion::note;
use crate::job::atomic;
use crate::job::results::RESULTS;
use crate::job::stage::Fingerprint;
use crate::settings::decided::Decided;
use crate::settings::rules;
use analysis::Clusters;
use contract::{Result, Results, StateVolume, TrainOutcome};
use starfile::Builder;
use std::path::Path;

/// Figures under labels that hosts know.
pub(crate) const SUMMARY: &str = "summary.star";
/// Version line of tables made here.
const STAR_VERSION: u32 = 30001;
/// What users are asked to cite.
const CITATION: &str = "Luo Z., Ni F., Wang Q., Ma J. (2023) OPUS-DSD: deep structural disentanglement for cryo-EM single-particle analysis. Nature Methods 20, 1729-1738";

/// Nodes of a job that has a checkpoint: the preview, and what an earlier run of a continued job has left.
pub(crate) fn early_nodes(context: &Context<'_>, decided: &Decided) -> Result<()> {
    let mut all = vec![Node { file: format!("{}.mrc", decided.preview), content: Content::Map }];
    all.extend(nodes_of(1..=decided.clusters.unwrap_or(rules::MOST_DECIDED_CLUSTERS)));
    nodes::write(context.folder(), &context.job.folder_name, &all, context.host)
}

/// Nodes of a job whose clusters are there; files that are not yet there are left out.
pub(crate) fn cluster_nodes(context: &Context<'_>, found: &Findings) -> Result<()> {
    let filled = (0..found.clusters.len()).filter(|&c| found.clusters.sizes[c] > 0);
    let all: Vec<Node> = nodes_of(filled.map(|c| found.clusters.class_number(c))).collect();
    nodes::write(context.folder(), &context.job.folder_name, &all, context.host)
}

/// Everything that a job hands on, for the given clusters.
fn nodes_of(classes: impl IntoIterator<Item = usize>) -> impl Iterator<Item = Node> {
    let whole = [cluster::PARTICLES, cluster::SELECTED, cluster::LARGEST].map(|f| Node { file: f.into(), content: Content::Particles });
    let log = Node { file: LOGFILE.into(), content: Content::Log };
    let states = classes.into_iter().flat_map(|class| {
        [
            Node { file: cluster::particles_file(class), content: Content::Particles },
            Node { file: decode::map_file(class), content: Content::Map },
            Node { file: reconstruct::first_half_file(class), content: Content::HalfMap },
            Node { file: reconstruct::map_file(class), content: Content::Map },
        ]
    });
    whole.into_iter().chain([log]).chain(states)
}

pub(crate) fn run(context: &mut Context<'_>, outcome: &TrainOutcome, found: &Findings, plots: &[String]) -> Result<()> {
    let results = results(context, outcome, found, plots);
    let ground = Fingerprint::new("publish").and(&results).and(&context.job.folder_name).and(&context.host.words());
    context.stage("publish", &ground, |context| {
        let outputs = vec![context.path(RESULTS), context.path(SUMMARY), context.path("RELION_OUTPUT_NODES.star")];
        atomic::write(&outputs[1], summary(results.epoch, &found.clusters).as_bytes())?;
        context.results.change(|now| *now = results.clone())?;
        cluster_nodes(context, found)?;
        let largest = &results.volumes[cluster::largest(&found.clusters)];
        note::append(
            context.folder(),
            &[
                format!("opus-dsd {}: epochs {}, clusters {}; see logfile.pdf", contract::VERSION, results.epoch, results.volumes.len()),
                format!("largest cluster: {} particles, {}", largest.n, cluster::particles_file(largest.class)),
                format!("please cite: {CITATION}"),
            ],
        )?;
        Ok(outputs)
    })?;
    let steps = next::of_states(context, found, outcome.epochs)?;
    next::say(context, &steps);
    Ok(())
}

/// Everything that the job has to show at its end.
fn results(context: &Context<'_>, outcome: &TrainOutcome, found: &Findings, plots: &[String]) -> Results {
    Results {
        complete: true,
        epoch: outcome.epochs,
        particles: cluster::PARTICLES.into(),
        latents: Some(cluster::LATENTS.into()),
        volumes: volumes(found),
        plots: plots.to_vec(),
        ..context.results.now().clone()
    }
}

/// The states' maps, in order.
pub(crate) fn volumes(found: &Findings) -> Vec<StateVolume> {
    let clusters = &found.clusters;
    (0..clusters.len())
        .map(|c| StateVolume {
            file: decode::map_file(clusters.class_number(c)),
            class: clusters.class_number(c),
            n: clusters.sizes[c],
            z: clusters.centers.row(c).to_vec(),
        })
        .collect()
}

/// Figures under labels that RELION knows, so that a Scheme can branch on them.
fn summary(epoch: usize, clusters: &Clusters) -> String {
    let all: usize = clusters.sizes.iter().sum();
    let general = [("rlnCurrentIteration", epoch.to_string()), ("rlnNrClasses", clusters.len().to_string())];
    let rows = clusters
        .sizes
        .iter()
        .enumerate()
        .map(|(c, n)| [clusters.class_number(c).to_string(), n.to_string(), format!("{:.6}", *n as f64 / all as f64)]);
    Builder::new(Some(STAR_VERSION))
        .pairs("general", general)
        .table("classes", &["rlnClassNumber", "rlnGroupNrParticles", "rlnClassDistribution"], rows)
        .finish()
}

/// What an encoding job hands on: no maps, since they are the trained job's.
pub(crate) fn encoded(context: &mut Context<'_>, found: &Findings, trained_job: &Path) -> Result<()> {
    let results = Results {
        complete: true,
        particles: cluster::PARTICLES.into(),
        latents: Some(cluster::LATENTS.into()),
        ..context.results.now().clone()
    };
    let ground = Fingerprint::new("publish").and(&results).and(&found.fingerprint.text());
    let ground = ground.and(&context.job.folder_name).and(&context.host.words());
    context.stage("publish", &ground, |context| {
        let outputs = vec![context.path(RESULTS), context.path(SUMMARY), context.path("RELION_OUTPUT_NODES.star")];
        atomic::write(&outputs[1], summary(results.epoch, &found.clusters).as_bytes())?;
        context.results.change(|now| *now = results.clone())?;
        cluster_nodes(context, found)?;
        let counts = format!("{} particles in {} clusters of {}", found.latents.nrows(), found.clusters.len(), trained_job.display());
        note::append(context.folder(), &[format!("opus-dsd {}: {counts}", contract::VERSION), format!("please cite: {CITATION}")])?;
        Ok(outputs)
    })?;
    next::say(context, &next::of_encoded(context, found));
    Ok(())
}
