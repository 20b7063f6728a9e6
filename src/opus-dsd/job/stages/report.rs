//! Stage `report`: `logfile.pdf` and its figures, from what the stages before left.

use super::cluster::Findings;
use super::context::Context;
use super::read::Input;
use super::{differences, publish, reconstruct, series};
use crate::job::monitor;
use crate::job::stage::Fingerprint;
use crate::settings::decided::Decided;
use contract::{Result, Series, TrainOutcome};
use cryoem::geometry::{Euler, Hopf};
use cryoem::mrc::read_volume;
use cryoem::particles::ParticleSet;
use ndarray::Array2;
use report::{Column, Embedding, Story, Verdict, Way};
use std::path::PathBuf;

mod states;

/// The report, where the host looks for it.
pub(crate) const LOGFILE: &str = "logfile.pdf";
/// The report to look and choose in.
pub(crate) const REPORT: &str = "report.html";
const FIGURES: &str = "figures";

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
    /// UMAP of the latents, `[n, 2]`.
    pub(crate) umap: Array2<f32>,
    /// Maps along ways through the latents.
    pub(crate) series: Vec<Series>,
}

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
    let fingerprint = found
        .fingerprint
        .clone()
        .and(&material.fingerprint.text())
        .and(&decided.reasons)
        .and(&outcome.epochs)
        .and(&decided.map_form())
        .and(&(&context.results.now().halves, &context.results.now().differences))
        .and(&context.job.folder_name)
        .and(&material.series);
    context.stage("report", &fingerprint, |context| {
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
    let leakage = analysis::leakage(found.latents.view(), directions(&input.particles).view(), &defoci(&input.particles))?;
    for line in leakage.warnings() {
        context.warn(&line);
    }
    let verdict = Verdict::of(&epochs, found.latents.ncols());
    if !verdict.good {
        context.warn(&verdict.text);
    }
    let mut facts = vec![
        ("particles".to_owned(), format!("{} rows, {} used, of {}", input.particles.len(), input.particles.len(), input.path.display())),
        ("epochs".into(), outcome.epochs.to_string()),
    ];
    facts.extend(decided.reasons.iter().filter(|r| r.name != "epochs").map(|r| (r.name.clone(), r.value.clone())));
    facts.extend(reconstruct::in_words(&context.results.now().halves).map(|words| ("half maps agree to".to_owned(), words)));
    let form = decided.map_form();
    let states = states::of(context, &form, found, &material.solvent)?;
    let reference = match &material.base {
        Some(path) => Some(differences::map_like(&read_volume(path)?.or_apix(form.apix), &form)?.data),
        None => None,
    };
    Ok(Story {
        title: context.job.folder_name.trim_end_matches('/').to_owned(),
        subtitle: format!(
            "{} particles, {} latent dimensions, {} clusters",
            input.particles.len(),
            decided.train.layout.zdim,
            found.clusters.len()
        ),
        facts,
        warnings: context.warnings.clone(),
        next_steps: publish::next_steps(context, found),
        epochs,
        latents: found.latents.clone(),
        pca: found.pca.clone(),
        clusters: found.clusters.clone(),
        embeddings: vec![Embedding { name: "UMAP".into(), points: material.umap.clone() }],
        columns: columns(&input.particles),
        ways: ways(context, &material.series)?,
        view_classes: views(&input.particles).map(Hopf::view_class).collect(),
        leakage: Some(leakage),
        reference,
        differences: states::differences(context)?,
        states,
        apix: decided.map_apix,
        image_apix: material.image_apix,
        panels: if decided.plot { monitor::panels(&material.monitor)? } else { Vec::new() },
    })
}

fn views(particles: &ParticleSet) -> impl Iterator<Item = Hopf> {
    particles.rows.iter().map(|r| Hopf::of_euler(Euler::new(r.rot_deg, r.tilt_deg, r.psi_deg)))
}

/// Unit vectors along the view, `[n, 3]`.
fn directions(particles: &ParticleSet) -> Array2<f64> {
    let mut all = Array2::zeros((particles.len(), 3));
    for (view, mut direction) in views(particles).zip(all.outer_iter_mut()) {
        direction.assign(&ndarray::arr1(&view.direction()));
    }
    all
}

/// What points can be coloured by, the most telling first.
fn columns(particles: &ParticleSet) -> Vec<Column> {
    let column = |name: &str, value: &dyn Fn(usize) -> f64| Column {
        name: name.into(),
        values: (0..particles.len()).map(|i| value(i) as f32).collect(),
    };
    let row = |i: usize| &particles.rows[i];
    let mut all = vec![
        column("defocus (Å)", &|i| 0.5 * (row(i).defocus_u_angstrom + row(i).defocus_v_angstrom)),
        column("tilt angle (degrees)", &|i| row(i).tilt_deg),
        column("place in the file", &|i| (i + 1) as f64),
    ];
    if particles.groups.len() > 1 {
        all.push(column("optics group", &|i| f64::from(row(i).group) + 1.0));
    }
    all
}

/// Maps along ways, as their files hold them.
fn ways(context: &Context<'_>, series: &[Series]) -> Result<Vec<Way>> {
    let way = |s: &Series| {
        let maps = s.volumes.iter().map(|v| Ok(read_volume(&context.path(&v.file))?.data)).collect::<Result<_>>()?;
        Ok(Way { name: series::title(&s.name), folder: s.name.clone(), maps })
    };
    series.iter().map(way).collect()
}

fn defoci(particles: &ParticleSet) -> Vec<f64> {
    particles.rows.iter().map(|r| 0.5 * (r.defocus_u_angstrom + r.defocus_v_angstrom)).collect()
}
