//! Stage `report`: `logfile.pdf` and its figures, from what the stages before left.

pub(crate) mod decoded;
pub(crate) mod encoded;
pub(crate) mod imported;
pub(crate) mod particles;

use super::cluster::Findings;
use super::compare::Compared;
use super::context::Context;
use super::read::Input;
use super::{maps, next, reconstruct, series};
use crate::job::chosen::Chosen;
use crate::job::monitor;
use crate::job::stage::Fingerprint;
use crate::settings::decided::Decided;
use contract::{MapForm, Result, Series, TrainOutcome};
use cryoem::geometry::Hopf;
use cryoem::mrc::read_volume;
use ndarray::ArrayView2;
use report::{Embedding, ImagePanels, Story, Subject, Verdict, Way};
use std::path::PathBuf;

mod states;

/// The report, where the host looks for it.
pub(crate) const LOGFILE: &str = "logfile.pdf";
/// The report to look and choose in.
pub(crate) const REPORT: &str = "report.html";
const FIGURES: &str = "figures";
/// Name in the ledger.
const STAGE: &str = "report";

/// What a report shows besides the findings.
pub(crate) struct Material {
    /// The consensus map.
    pub(crate) base: Option<PathBuf>,
    /// Pixel size of the images that were trained on, Å.
    pub(crate) image_apix: f64,
    /// Solvent mask, on the grid of these images.
    pub(crate) solvent: PathBuf,
    /// Folder of the loss curves' numbers and image panels.
    pub(crate) monitor: PathBuf,
    /// Of what the job was trained on.
    pub(crate) fingerprint: Fingerprint,
    /// Maps along ways through the latents.
    pub(crate) series: Vec<Series>,
    /// Another job or epoch held against this one.
    pub(crate) compared: Option<Compared>,
    /// Labels of the particles' columns that come first among the colours.
    pub(crate) colours: Vec<String>,
}

/// Raised when the same ground gives another report.
const FORM: u32 = 2;

/// Decided values that follow the machine and what it has free: a report that shows those of the first run is as good.
const OF_MACHINE: [&str; 3] = ["j", "memory of a step", "micro-batch"];

/// Writes the report and returns the figures' names, relative to the job.
pub(crate) fn run(
    context: &mut Context<'_>,
    input: &Input,
    decided: &Decided,
    outcome: &TrainOutcome,
    found: &Findings,
    material: &Material,
) -> Result<Vec<String>> {
    let epochs = monitor::epochs(&material.monitor)?;
    // What is shown of the settings; their reasons speak of the machine, too, and so do some of the values.
    let shaping = decided.reasons.iter().filter(|reason| !OF_MACHINE.contains(&reason.name.as_str()));
    let values: Vec<(&str, &str)> = shaping.map(|reason| (reason.name.as_str(), reason.value.as_str())).collect();
    let fingerprint = found
        .fingerprint
        .clone()
        .and(&FORM)
        .and(&material.fingerprint.text())
        .and(&values)
        .and(&outcome.epochs)
        .and(&input.chosen.as_ref().map(|chosen| (&chosen.rows, &chosen.selection)))
        .and(&decided.map_form())
        .and(&(&context.results.now().halves, &context.results.now().differences))
        .and(&context.job.folder_name)
        .and(&material.series)
        .and(&(&material.compared, &material.colours));
    context.stage(STAGE, &fingerprint, |context| {
        let story = story(context, input, decided, outcome, found, material, epochs)?;
        let mut outputs = vec![context.path(LOGFILE), context.path(REPORT)];
        report::write_pdf(&story, &outputs[0])?;
        report::write_html(&story, &outputs[1])?;
        outputs.extend(report::write_figures(&story, &context.path(FIGURES))?);
        outputs.extend(report::write_movies(&story, &context.path(FIGURES))?);
        outputs.extend(report::write_chimerax(&story, context.folder())?);
        Ok(outputs)
    })?;
    figures(context)
}

/// Writes the report of a job that finds no states of its own, with a script and a movie of every series that it has.
fn brief(context: &mut Context<'_>, ground: &Fingerprint, tell: impl FnOnce(&mut Context<'_>) -> Result<Story>) -> Result<()> {
    let ground = ground.clone().and(&FORM).and(&context.job.folder_name).and(&context.warnings);
    context.stage(STAGE, &ground, |context| {
        let story = tell(context)?;
        let mut outputs = vec![context.path(LOGFILE), context.path(REPORT)];
        report::write_pdf(&story, &outputs[0])?;
        report::write_html(&story, &outputs[1])?;
        for way in &story.ways {
            outputs.extend(report::write_way(way, story.files_inverted, context.folder())?);
        }
        Ok(outputs)
    })
}

/// The job's name, as reports are headed.
fn title(context: &Context<'_>) -> String {
    context.job.folder_name.trim_end_matches('/').to_owned()
}

/// A fact for the report.
fn fact(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn figures(context: &Context<'_>) -> Result<Vec<String>> {
    let folder = context.path(FIGURES);
    let entries = std::fs::read_dir(&folder).map_err(|e| contract::Problem::io(&folder, &e))?;
    let mut names: Vec<String> = entries.flatten().map(|e| format!("{FIGURES}/{}", e.file_name().to_string_lossy())).collect();
    names.sort();
    Ok(names)
}

fn story(
    context: &mut Context<'_>,
    input: &Input,
    decided: &Decided,
    outcome: &TrainOutcome,
    found: &Findings,
    material: &Material,
    epochs: Vec<report::EpochRecord>,
) -> Result<Story> {
    let (nuisances, warnings) = particles::nuisances(&input.particles, found)?;
    let outliers = found.density.as_ref().map(particles::outliers);
    let outlier_share = outliers.as_ref().map(|(share, _)| *share);
    for line in warnings.iter().chain(outliers.iter().filter_map(|(_, warning)| warning.as_ref())) {
        context.warn(line);
    }
    let verdict = Verdict::of(&epochs, found.latents.ncols());
    if !verdict.good {
        context.warn(&verdict.text);
    }
    context.results.change(|now| {
        (now.nuisances, now.outlier_share) = (nuisances.clone(), outlier_share);
        now.drift = epochs.iter().filter_map(|e| e.drift).collect();
    })?;
    let mut facts = vec![("particles".to_owned(), facts_of_particles(input)), ("epochs".into(), outcome.epochs.to_string())];
    facts.extend(decided.reasons.iter().filter(|r| r.name != "epochs").map(|r| (r.name.clone(), r.value.clone())));
    facts.extend(outlier_share.map(|share| {
        let words = format!("{:.1}% of the particles (outlier score above {})", 100.0 * share, analysis::density::OUTLIER_SCORE);
        ("outside all crowds".to_owned(), words)
    }));
    facts.extend(reconstruct::in_words(&context.results.now().halves).map(|words| ("half maps agree to".to_owned(), words)));
    let form = decided.map_form();
    let states = states::of(context, &form, found, &material.solvent)?;
    let reference = match &material.base {
        Some(path) => Some(maps::density_like(&read_volume(path)?.or_apix(form.apix), &form)?.data),
        None => None,
    };
    Ok(Story {
        subject: Subject::States,
        verdict: None,
        ground: None,
        epoch: outcome.epochs,
        fingerprint: picture(found.latents.view(), found.umap.as_ref().map(ndarray::ArrayBase::view)),
        title: title(context),
        subtitle: format!(
            "{}, {} latent dimensions, {} clusters",
            input.chosen.as_ref().map_or_else(|| format!("{} particles", input.particles.len()), Chosen::in_words),
            decided.train.layout.zdim,
            found.clusters.len()
        ),
        facts,
        warnings: context.warnings.clone(),
        next_steps: next::of_states(context, found, outcome.epochs)?,
        region_command: next::of_region(context),
        epochs,
        latents: found.latents.clone(),
        pca: found.pca.clone(),
        clusters: found.clusters.clone(),
        embeddings: found.umap.iter().map(|umap| Embedding { name: "UMAP".into(), points: umap.clone() }).collect(),
        columns: particles::columns(&input.particles, found, &material.colours)?,
        columns_asked: material.colours.len(),
        groupings: particles::groupings(&input.particles, material.compared.as_ref()),
        clustering: found.clustering.clone(),
        nuisances,
        comparison: material.compared.as_ref().map(|c| c.comparison.clone()),
        ways: ways(context, &material.series, &form)?,
        view_classes: particles::views(&input.particles).map(Hopf::view_class).collect(),
        reference,
        differences: states::differences(context, &form)?,
        files_inverted: form.invert,
        states,
        apix: decided.map_apix,
        image_apix: material.image_apix,
        panels: if decided.plot { panels(input, material)? } else { Vec::new() },
    })
}

/// How many particles, and where they are from.
fn facts_of_particles(input: &Input) -> String {
    let (n, path) = (input.particles.len(), input.path.display());
    match &input.chosen {
        Some(chosen) => format!("{}, by {}; of {path}", chosen.in_words(), chosen.selection.display()),
        None => format!("{n} rows, {n} used, of {path}"),
    }
}

/// Pictures of particles that training looked at; of chosen ones those alone, by their numbers here.
fn panels(input: &Input, material: &Material) -> Result<Vec<ImagePanels>> {
    let all = monitor::panels(&material.monitor)?;
    let Some(chosen) = &input.chosen else { return Ok(all) };
    let own = |trained: usize| chosen.rows.iter().position(|row| row + 1 == trained);
    Ok(all.into_iter().filter_map(|panel| Some(ImagePanels { particle: own(panel.particle)? + 1, ..panel })).collect())
}

/// Fingerprint of the pictures that regions are drawn on: the latents, and the UMAP where there is one.
pub(crate) fn picture(latents: ArrayView2<'_, f32>, umap: Option<ArrayView2<'_, f32>>) -> String {
    let bytes = |table: ArrayView2<'_, f32>| table.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let of_latents = Fingerprint::new("picture").and(&latents.dim()).and_bytes(&bytes(latents));
    umap.map_or(of_latents.clone(), |umap| of_latents.clone().and_bytes(&bytes(umap))).text()
}

/// Maps along ways, as density.
fn ways(context: &Context<'_>, series: &[Series], form: &MapForm) -> Result<Vec<Way>> {
    let way = |s: &Series| {
        let maps = s.volumes.iter().map(|v| Ok(maps::density(&context.path(&v.file), form)?.data)).collect::<Result<_>>()?;
        Ok(Way { name: series::title(&s.name), stem: s.name.clone(), folder: s.name.clone(), maps })
    };
    series.iter().map(way).collect()
}
