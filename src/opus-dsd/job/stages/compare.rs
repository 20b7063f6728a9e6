//! Stage `compare`: another job of the same particles, or another epoch, held against this one: clusters, latents, and the maps of states that belong together.

use super::cluster::{self, Findings};
use super::context::Context;
use super::{decode, maps};
use crate::job::engine_process::Engine;
use crate::job::stage::Fingerprint;
use crate::job::trained::Trained;
use crate::job::{atomic, npy};
use crate::settings::decided::Decided;
use analysis::compare::{Agreement, agreement, likeness};
use contract::{Comparison, DecodeSpec, Problem, Result, Results, StateMatch};
use cryoem::mrc::read_volume;
use cryoem::particles::{ParticleSet, particles_block, star_problem};
use ndarray::{Array2, Array3, Axis, Zip};
use serde::{Deserialize, Serialize};
use starfile::StarFile;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Folder of the other's maps.
const FOLDER: &str = "compare";
/// The comparison, for a later run of the job.
const COMPARED: &str = "stages/comparison.json";
/// Part of the smaller job's particles that both must have: below it the two are of other particles.
const LEAST_SHARED: f64 = 0.5;
/// Overlap of two clusters, and correlation of what sets their maps apart, from which on a state counts as found in both: half of the particles in
/// either, and maps that agree on more than they differ in.
const SAME_OVERLAP: f64 = 0.5;
const SAME_DIFFERENCE: f64 = 0.5;
/// Alignment of latents that are the same but for turning, shifting and scaling, and of those that agree in part. Two epochs of a run that has
/// arrived have 0.999, unrelated latents less than 0.01.
const SAME_LATENTS: f64 = 0.9;
const RELATED_LATENTS: f64 = 0.5;

/// The job that this one is compared with.
pub(crate) struct Other {
    /// As it was named.
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) trained: Trained,
    /// Rows here and there of the particles that both jobs have ([`shared`]).
    pub(crate) pairs: Vec<(usize, usize)>,
    /// What the job shows of this epoch; none where it shows another, so that clusters are made here, as this job's are.
    pub(crate) results: Option<Results>,
}

/// What came of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub(crate) comparison: Comparison,
    /// Cluster there of each particle here, from 1; 0 for particles that the other job does not have.
    pub(crate) there: Vec<usize>,
}

/// `mask`: the region that maps are compared in. Nothing where there is nothing to compare with.
pub(crate) fn run(
    context: &mut Context<'_>,
    engine: &mut Engine,
    decided: &Decided,
    found: &Findings,
    mask: &Path,
    other: Option<Other>,
) -> Result<Option<Compared>> {
    let Some(other) = other else {
        context.results.change(|now| now.comparison = None)?;
        return Ok(None);
    };
    let path = context.path(COMPARED);
    let ground = Fingerprint::new(FOLDER)
        .and(&found.fingerprint.text())
        .and(&decided.map_form())
        .and(&(&other.name, other.trained.epoch, &other.results))
        .and(&other.trained.latents.iter().copied().collect::<Vec<f32>>());
    context.stage(FOLDER, &ground, |context| {
        let mask = maps::mask_like(&read_volume(mask)?, &decided.map_form())?.data.mapv(|v| v > 0.5);
        let compared = compare(context, engine, decided, found, &other, &mask)?;
        let c = &compared.comparison;
        context.say(&format!("against {}, epoch {}: {} particles; {}", c.job, c.epoch, c.particles, c.conclusion));
        context.results.change(|now| now.comparison = Some(c.clone()))?;
        atomic::write_json(&path, &compared)?;
        Ok(vec![path.clone()])
    })?;
    atomic::read_json(&path)
}

fn compare(
    context: &mut Context<'_>,
    engine: &mut Engine,
    decided: &Decided,
    found: &Findings,
    other: &Other,
    mask: &Array3<bool>,
) -> Result<Compared> {
    let pairs = &other.pairs;
    let (here, theirs): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
    let (labels, centers) = states_of(decided, other)?;
    let maps = maps_of(context, engine, decided, other, &centers)?;
    let agreement = agreement(&of(&found.clusters.labels, &here), &of(&labels, &theirs))?;
    let latents = (found.latents.select(Axis(0), &here), other.trained.latents.select(Axis(0), &theirs));
    let likeness = likeness(latents.0.view(), latents.1.view())?;
    let own = decode::map_paths(context, found);
    let matches = matched(&agreement, (&own, &found.clusters.sizes), (&maps, &sizes(&labels, maps.len())), mask)?;
    let mut there = vec![0; found.latents.nrows()];
    pairs.iter().for_each(|&(row, their)| there[row] = labels[their] + 1);
    let comparison = Comparison {
        job: other.name.clone(),
        epoch: other.trained.epoch,
        particles: pairs.len(),
        alignment: likeness.alignment,
        neighbours: likeness.neighbours,
        neighbours_by_chance: likeness.neighbours_by_chance,
        rand_index: agreement.rand_index,
        mutual_information: agreement.mutual_information,
        kept: agreement.kept,
        conclusion: conclusion(&matches, found.clusters.len(), likeness.alignment),
        matches,
    };
    Ok(Compared { comparison, there })
}

/// Rows here and there of the particles that this job and the one called `name` have: those of the same image of the same stack, however either
/// names it.
///
/// # Errors
/// Too few of them are the same.
pub(crate) fn shared(particles: &ParticleSet, name: &str, other: &ParticleSet) -> Result<Vec<(usize, usize)>> {
    let stacks = |set: &ParticleSet| set.stacks.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect::<Vec<_>>();
    let (ours, theirs) = (stacks(particles), stacks(other));
    let rows: HashMap<(&PathBuf, u32), usize> =
        other.rows.iter().enumerate().map(|(row, p)| ((&theirs[p.stack as usize], p.slice), row)).collect();
    let pairs: Vec<(usize, usize)> =
        particles.rows.iter().enumerate().filter_map(|(row, p)| Some((row, *rows.get(&(&ours[p.stack as usize], p.slice))?))).collect();
    let smaller = particles.len().min(other.len());
    if (pairs.len() as f64) < LEAST_SHARED * smaller as f64 || pairs.len() < 3 {
        return Err(Problem::input(format!("has {} of this job's {} particles", pairs.len(), particles.len()))
            .at(format!("`--compare` {name}"))
            .hint("compare jobs that were trained on the same particles, or on a selection of them"));
    }
    Ok(pairs)
}

/// Cluster of each of the other's particles, from 0, and the latent of each cluster: as that job shows them, else made here.
fn states_of(decided: &Decided, other: &Other) -> Result<(Vec<usize>, Array2<f32>)> {
    let Some(results) = &other.results else {
        let (clusters, ..) = cluster::divide(decided, &other.trained.latents)?;
        return Ok((clusters.labels, clusters.centers));
    };
    let path = other.folder.join(&results.particles);
    let star = StarFile::read(&path).map_err(|e| star_problem(&e))?;
    let classes = particles_block(&star)?.column("rlnClassNumber").and_then(|c| c.integers()).map_err(|e| star_problem(&e))?;
    let states = results.volumes.len();
    let labels =
        classes.iter().map(|&c| usize::try_from(c).ok()?.checked_sub(1).filter(|&label| label < states)).collect::<Option<Vec<_>>>();
    let latents: Vec<f32> = results.volumes.iter().flat_map(|v| v.z.iter().copied()).collect();
    match (labels, Array2::from_shape_vec((states, results.zdim), latents)) {
        (Some(labels), Ok(latents)) if labels.len() == other.trained.latents.nrows() => Ok((labels, latents)),
        _ => Err(Problem::input("classes do not fit to the job's maps").at(path.display().to_string()).hint("let the job write it again")),
    }
}

/// Maps of the other's states, by its own model and in the form of this job's maps.
fn maps_of(
    context: &mut Context<'_>,
    engine: &mut Engine,
    decided: &Decided,
    other: &Other,
    centers: &Array2<f32>,
) -> Result<Vec<PathBuf>> {
    let folder = context.make_folder(FOLDER)?;
    let latents = context.path("stages").join("compared-centres.npy");
    npy::write(&latents, centers.view())?;
    let maps: Vec<PathBuf> = (0..centers.nrows()).map(|c| folder.join(decode::map_file(c + 1))).collect();
    let checkpoint = other.trained.checkpoint.clone();
    let spec = DecodeSpec {
        checkpoint,
        latents,
        outputs: maps.clone(),
        form: decided.map_form(),
        device: decided.grid.device.id.clone(),
        threads: decided.grid.threads,
    };
    decode::maps(context, engine, spec, |_, _| Ok(()))?;
    Ok(maps)
}

/// How far the maps of matched states agree. `ours` and `theirs`: maps, and the particles of each.
fn matched(
    agreement: &Agreement,
    ours: (&[PathBuf], &[usize]),
    theirs: (&[PathBuf], &[usize]),
    mask: &Array3<bool>,
) -> Result<Vec<StateMatch>> {
    let read = |path: &Path| Ok::<_, Problem>(read_volume(path)?.data);
    // Maps are read as they are needed: hundreds of large ones do not fit into memory.
    let mean = |(paths, sizes): (&[PathBuf], &[usize])| -> Result<Option<Array3<f32>>> {
        let mut sum = Array3::<f32>::zeros(mask.dim());
        let all = sizes.iter().sum::<usize>() as f32;
        for (path, &size) in paths.iter().zip(sizes) {
            sum.scaled_add(size as f32 / all, &read(path)?);
        }
        Ok((paths.len() > 1).then_some(sum))
    };
    let means = mean(ours)?.zip(mean(theirs)?);
    agreement
        .pairs
        .iter()
        .map(|pair| {
            let (one, other) = (read(&ours.0[pair.first])?, read(&theirs.0[pair.second])?);
            let difference_correlation =
                means.as_ref().and_then(|(mean_here, mean_there)| correlation(&(&one - mean_here), &(&other - mean_there), mask));
            Ok(StateMatch {
                here: pair.first + 1,
                there: pair.second + 1,
                shared: pair.shared,
                overlap: pair.overlap,
                map_correlation: correlation(&one, &other, mask).unwrap_or(0.0),
                difference_correlation,
            })
        })
        .collect()
}

/// Pearson's correlation inside the mask; none where one of the two does not vary there.
fn correlation(one: &Array3<f32>, other: &Array3<f32>, mask: &Array3<bool>) -> Option<f64> {
    // Count and sums of a, b, a², b², ab.
    let mut sums = [0.0f64; 6];
    Zip::from(one).and(other).and(mask).for_each(|&a, &b, &inside| {
        if inside {
            let (a, b) = (f64::from(a), f64::from(b));
            [1.0, a, b, a * a, b * b, a * b].into_iter().zip(&mut sums).for_each(|(value, sum)| *sum += value);
        }
    });
    let [n, a, b, aa, bb, ab] = sums;
    let (var_a, var_b) = (aa - a * a / n, bb - b * b / n);
    (var_a > 0.0 && var_b > 0.0).then(|| (ab - a * b / n) / (var_a * var_b).sqrt())
}

fn conclusion(matches: &[StateMatch], states: usize, alignment: f64) -> String {
    let same =
        matches.iter().filter(|m| m.overlap >= SAME_OVERLAP && m.difference_correlation.is_none_or(|c| c >= SAME_DIFFERENCE)).count();
    let latents = match alignment {
        a if a >= SAME_LATENTS => "the latents are the same up to turning, shifting and scaling",
        a if a >= RELATED_LATENTS => "the latents agree in part: train longer, and compare again",
        _ => "the latents do not agree: trust neither alone; train longer, or with another seed",
    };
    format!("{same} of {states} states are found in both (overlap and correlation of differences from {SAME_OVERLAP} on); {latents}")
}

fn of(labels: &[usize], rows: &[usize]) -> Vec<usize> {
    rows.iter().map(|&row| labels[row]).collect()
}

fn sizes(labels: &[usize], clusters: usize) -> Vec<usize> {
    let mut sizes = vec![0; clusters];
    labels.iter().for_each(|&label| sizes[label] += 1);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_correlate_inside_the_mask_only() {
        let map = Array3::from_shape_fn((4, 4, 4), |(z, y, x)| (z * 16 + y * 4 + x) as f32);
        let mask = Array3::from_shape_fn((4, 4, 4), |(z, ..)| z < 2);
        let other = Array3::from_shape_fn((4, 4, 4), |(z, y, x)| if z < 2 { 3.0 - 2.0 * map[[z, y, x]] } else { 1e6 });
        assert!((correlation(&map, &other, &mask).unwrap() + 1.0).abs() < 1e-9);
        assert_eq!(correlation(&map, &Array3::ones((4, 4, 4)), &mask), None);
    }

    #[test]
    fn conclusions_count_states_that_are_the_same() {
        let of = |overlap, difference_correlation| StateMatch {
            here: 1,
            there: 1,
            shared: 9,
            overlap,
            map_correlation: 1.0,
            difference_correlation,
        };
        let found = [of(0.9, Some(0.8)), of(0.9, Some(0.1)), of(0.2, Some(0.8)), of(0.9, None)];
        assert!(conclusion(&found, 5, 0.95).starts_with("2 of 5 states are found in both"));
        assert!(conclusion(&found, 5, 0.1).contains("trust neither"));
    }
}
