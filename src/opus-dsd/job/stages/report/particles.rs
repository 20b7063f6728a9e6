//! What the report says particle by particle: figures and groups that points can be coloured by, and what the latents know of them.

use crate::job::stages::cluster::Findings;
use crate::job::stages::compare::Compared;
use analysis::neighbours::even_sample;
use analysis::{Density, Nuisances, encoded};
use contract::{Nuisance, Problem, Result};
use cryoem::geometry::{Euler, Hopf};
use cryoem::particles::{ParticleSet, Source};
use ndarray::{Array2, Axis};
use report::{Column, Grouping};
use starfile::{Block, Column as Cells};
use std::collections::HashMap;

/// Particles by which columns are judged.
const JUDGED: usize = 5_000;
/// Groups that have numbers of 16 bits.
const MOST_GROUPS: usize = 1 << 16;
/// Share of outliers above which people should know. Good runs of the small simulated sets have 0.8% and 1.5%.
const MANY_OUTLIERS: f64 = 0.05;
/// Columns that are shown in another form.
const SHOWN_OTHERWISE: [&str; 4] = ["rlnClassNumber", "rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV"];

/// Views of all particles.
pub(super) fn views(particles: &ParticleSet) -> impl Iterator<Item = Hopf> {
    particles.rows.iter().map(|r| Hopf::of_euler(Euler::new(r.rot_deg, r.tilt_deg, r.psi_deg)))
}

/// What the latents know that they should not, and the warnings that follow.
///
/// # Errors
/// If a latent is not finite.
pub(super) fn nuisances(particles: &ParticleSet, found: &Findings) -> Result<(Vec<Nuisance>, Vec<String>)> {
    let mut directions = Array2::zeros((particles.len(), 3));
    for (view, mut direction) in views(particles).zip(directions.outer_iter_mut()) {
        direction.assign(&ndarray::arr1(&view.direction()));
    }
    let optics: Vec<usize> = particles.rows.iter().map(|r| r.group as usize).collect();
    let micrographs = micrographs(particles);
    let known = Nuisances {
        view_directions: directions.view(),
        defocus_angstrom: &defoci(particles),
        optics_groups: &optics,
        micrographs: micrographs.as_ref().map(|grouping| &grouping.of[..]),
    };
    let encoded = encoded(found.latents.view(), &known)?;
    Ok((encoded.nuisances(), encoded.warnings()))
}

/// Share of particles that lie outside all crowds, and the warning where they are many.
pub(super) fn outliers(density: &Density) -> (f64, Option<String>) {
    let share = density.outliers().len() as f64 / density.outlier.len() as f64;
    let warning = (share > MANY_OUTLIERS).then(|| {
        format!(
            "{:.0}% of the particles lie outside all crowds of the latents (outlier score above {}): often junk or wrong poses; look at the images of some \
             (`opusOutlier` in latents.star), and train again without them: `opus-dsd select --where \"density {:.2}..\"` leaves them out",
            100.0 * share,
            analysis::density::OUTLIER_SCORE,
            share
        )
    });
    (share, warning)
}

/// The columns of the particles' table that were asked for, by their labels.
///
/// # Errors
/// There is no table, no such column, or it is not of numbers.
pub(crate) fn asked_for(particles: &ParticleSet, labels: &[String]) -> Result<Vec<Column>> {
    labels
        .iter()
        .map(|label| {
            let at = |problem: Problem| problem.at(format!("`--colour-by` {label}"));
            let table = table(particles)
                .ok_or_else(|| at(Problem::input("the particles were given as stacks, which have no columns").hint("leave it out")))?;
            let cells = table.find(label).ok_or_else(|| {
                let numeric: Vec<&str> =
                    table.labels().filter(|label| table.find(label).is_some_and(|cells| cells.number(0).is_ok())).collect();
                at(Problem::input("is no column of the particles").hint(format!("columns of numbers: {}", numeric.join(", "))))
            })?;
            let values = cells.numbers().map_err(|e| {
                at(Problem::input(format!("is not of numbers: {e}"))
                    .hint("micrographs and optics groups are colours already; name columns of numbers"))
            })?;
            Ok(Column { name: named(label), values: values.into_iter().map(|v| v as f32).collect() })
        })
        .collect()
}

/// Figures of every particle: the columns that were `asked` for, what the analysis found, then the table's other columns, those first that the
/// latents tell most of.
///
/// # Errors
/// If a latent is not finite, or a column that was asked for is not there.
pub(super) fn columns(particles: &ParticleSet, found: &Findings, asked: &[String]) -> Result<Vec<Column>> {
    let column = |name: &str, values: Vec<f32>| Column { name: name.into(), values };
    let of_rows = |value: &dyn Fn(usize) -> f64| (0..particles.len()).map(|i| value(i) as f32).collect();
    let mut all = asked_for(particles, asked)?;
    all.push(column("defocus (Å)", defoci(particles).into_iter().map(|v| v as f32).collect()));
    if let Some(density) = &found.density {
        all.push(column("density (0 lonely to 1 crowded)", density.quantile.clone()));
        all.push(column("outlier score", density.outlier.clone()));
    }
    all.extend(found.certainty.clone().map(|certainty| column("certainty of the cluster", certainty)));
    match table(particles) {
        Some(table) => all.extend(of_table(&table, found, asked)?),
        None => all.push(column("tilt angle (degrees)", of_rows(&|i| particles.rows[i].tilt_deg))),
    }
    all.push(column("place in the file", of_rows(&|i| (i + 1) as f64)));
    Ok(all)
}

/// The table's numeric columns that vary, the most told first, but for those that were asked for.
fn of_table(table: &Block<'_>, found: &Findings, asked: &[String]) -> Result<Vec<Column>> {
    let rows = even_sample(table.rows(), JUDGED);
    let judged: Vec<(Cells<'_>, Vec<f32>)> = table
        .labels()
        .filter(|label| !SHOWN_OTHERWISE.contains(label) && !asked.iter().any(|asked| asked == label))
        .filter_map(|label| {
            let cells = table.find(label)?;
            let values: Vec<f32> = rows.iter().map(|&row| cells.number(row).ok().map(|v| v as f32)).collect::<Option<_>>()?;
            let varies = values.iter().all(|v| v.is_finite()) && values.iter().any(|v| *v != values[0]);
            varies.then_some((cells, values))
        })
        .collect();
    let told = analysis::told(
        found.latents.select(Axis(0), &rows).view(),
        &judged.iter().map(|(_, values)| values.as_slice()).collect::<Vec<_>>(),
    )?;
    let mut order: Vec<usize> = (0..judged.len()).collect();
    order.sort_by(|&a, &b| told[b].total_cmp(&told[a]));
    let whole = |i: usize| {
        let cells = &judged[i].0;
        let values: Vec<f32> = cells.numbers().ok()?.into_iter().map(|v| v as f32).collect();
        Some(Column { name: named(cells.label()), values })
    };
    Ok(order.into_iter().filter_map(whole).collect())
}

/// A label with its unit, where that is known.
fn named(label: &str) -> String {
    let unit = match label {
        l if l.ends_with("Angst") || l == "rlnCtfMaxResolution" => "Å",
        l if l.starts_with("rlnAngle") || l == "rlnDefocusAngle" || l == "rlnPhaseShift" => "degrees",
        l if l.starts_with("rlnCoordinate") || l == "rlnOriginX" || l == "rlnOriginY" => "pixels",
        "rlnCtfBfactor" => "Å²",
        _ => return label.to_owned(),
    };
    format!("{label} ({unit})")
}

/// What particles have in common.
pub(super) fn groupings(particles: &ParticleSet, compared: Option<&Compared>) -> Vec<Grouping> {
    let mut all = Vec::new();
    if let Some(Compared { comparison, there }) = compared {
        let states = there.iter().copied().max().unwrap_or(0);
        let names = (0..=states).map(|c| if c == 0 { "not there".into() } else { format!("state {c} there") }).collect();
        all.push(Grouping { name: format!("state in {}, epoch {}", comparison.job, comparison.epoch), names, of: there.clone() });
    }
    if particles.groups.len() > 1 {
        let names = particles.groups.iter().map(|g| g.name.clone()).collect();
        all.push(Grouping { name: "optics group".into(), names, of: particles.rows.iter().map(|r| r.group as usize).collect() });
    }
    all.extend(micrographs(particles).filter(|grouping| (2..MOST_GROUPS).contains(&grouping.names.len())));
    all
}

/// The micrographs, where the table names them.
fn micrographs(particles: &ParticleSet) -> Option<Grouping> {
    let cells = table(particles)?.find("rlnMicrographName")?;
    let mut number: HashMap<&str, usize> = HashMap::new();
    let mut names = Vec::new();
    let of = cells
        .texts()
        .map(|name| {
            *number.entry(name).or_insert_with(|| {
                names.push(name.to_owned());
                names.len() - 1
            })
        })
        .collect();
    Some(Grouping { name: "micrograph".into(), names, of })
}

fn table(particles: &ParticleSet) -> Option<Block<'_>> {
    match &particles.source {
        Source::Star { file, block } => Some(file.block_at(*block)),
        Source::Stacks => None,
    }
}

/// Mean defocus of each particle, Å.
fn defoci(particles: &ParticleSet) -> Vec<f64> {
    particles.rows.iter().map(|r| 0.5 * (r.defocus_u_angstrom + r.defocus_v_angstrom)).collect()
}
