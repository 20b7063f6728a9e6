//! `select`: rows of a job's particles, cell by cell as they were.

mod tables;

use crate::host::relion::nodes::{self, Content, Node};
use crate::job::results;
use crate::job::source::{self, Source};
use crate::job::stages::context::Context;
use crate::job::stages::embed::UMAP;
use crate::job::stages::report;
use crate::job::trained::{ENCODE, SELECT, Trained};
use crate::job::{npy, settings_file, wishes};
use crate::settings::said::SelectSaid;
use crate::settings::values::Epoch;
use analysis::select::{self, Criterion, DrawnOn, Known, Region, Wish};
use analysis::{Density, NeighbourGraph, umap};
use contract::{Problem, Result, Results};
use cryoem::cryosparc::is_table;
use cryoem::geometry::{Euler, Hopf};
use cryoem::particles::{particles_block, star_problem};
use cryoem::subset;
use ndarray::{Array2, ArrayView2, Axis};
use starfile::{Block, StarFile};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use tables::Tables;

/// The chosen particles, and their latents.
pub(crate) const PARTICLES: &str = "particles.star";
pub(crate) const LATENTS: &str = "latents.npy";

/// The verb of jobs whose model comes from the original.
const IMPORT: &str = "import";

/// Neighbours that the density is estimated from; enough for [`Density`].
const NEIGHBOURS: usize = analysis::umap::NEIGHBOURS - 1;

pub(super) fn run(context: &mut Context<'_>, said: &SelectSaid) -> Result<()> {
    let job = Chosen::open(&said.trained_job()?, said.epoch)?;
    let Source { path: source_path, particles: source, note } = job.source()?;
    if let Some(note) = note {
        context.warn(&note);
    }
    let seed = said.seed.unwrap_or(0);
    let n = job.latents.nrows();
    let mut rows = match criterion(context, said, &job)? {
        Some(criterion) => select::select(&job, &criterion)?,
        None => (0..n).collect(),
    };
    context.say(&format!("{} of {n} particles meet what is asked for", rows.len()));
    let block = particles_block(&source)?;
    let tables = Tables::open(&job.folder, &source_path, said.cs.as_deref(), &block)?;
    if said.balance.is_some_and(|y| y.0) {
        rows = select::balanced(&rows, &view_classes(&block)?, seed);
        context.say(&format!("{} are left with balanced views", rows.len()));
    }
    if let Some(count) = said.random {
        if count > rows.len() {
            context.warn(&format!("{count} were to be drawn, but there are only {}: all are taken", rows.len()));
        }
        rows = select::random(&rows, count, seed);
    }
    if rows.is_empty() {
        return Err(Problem::input("no particle is left").at("selection").hint("ask for less: leave a condition out, or widen its range"));
    }
    let rest = select::rest(n, &rows);
    context.results.change(|now| {
        now.complete = false;
        (now.epoch, now.zdim, now.apix, now.box_px) = (job.results.epoch, job.latents.ncols(), job.results.apix, job.results.box_px);
        // An encoding job has latents of its own.
        let model = job.results.trained_job.clone().filter(|_| job.results.verb != ENCODE);
        now.trained_job = Some(model.unwrap_or_else(|| job.folder.to_string_lossy().into_owned()));
        (now.particles, now.latents) = (PARTICLES.into(), Some(LATENTS.into()));
    })?;
    subset::write_table_rows(&context.path(PARTICLES), &source, block.index(), &rows)?;
    tables.write(context, PARTICLES, &rows)?;
    npy::write(&context.path(LATENTS), job.latents.select(Axis(0), &rows).view())?;
    context.say(&format!("{} particles written to {}", rows.len(), context.path(PARTICLES).display()));
    let mut offered = vec![Node { file: PARTICLES.into(), content: Content::Particles }];
    if let Some(name) = &said.rest {
        subset::write_table_rows(&context.path(name), &source, block.index(), &rest)?;
        tables.write(context, name, &rest)?;
        context.say(&format!("{} others written to {}", rest.len(), context.path(name).display()));
        offered.push(Node { file: name.clone(), content: Content::Particles });
    }
    nodes::write(context.folder(), &context.job.folder_name, &offered, context.host)?;
    context.results.change(|now| now.complete = true)
}

/// What must hold of the particles; none where they are only to be fewer.
fn criterion(context: &mut Context<'_>, said: &SelectSaid, job: &Chosen) -> Result<Option<Criterion>> {
    // Conditions are read by a closure that is shared; a region among them may have something to say.
    let context = RefCell::new(context);
    let region = |path: &Path| region(&mut context.borrow_mut(), path, job);
    let load = |wish: Wish, name: &str| match wish {
        Wish::Region => region(Path::new(name)),
        Wish::Particles => wishes::particle_list(name, job.latents.nrows()).map(Criterion::Rows),
    };
    let mut parts = Vec::new();
    if let Some(list) = &said.clusters {
        parts.push(select::parse(&format!("cluster {}", list.replace(' ', "")), &load).map_err(|p| p.at("`--clusters`"))?);
    }
    if let Some(path) = &said.region {
        parts.push(region(path)?);
    }
    if let Some(list) = &said.particles {
        parts.push(load(Wish::Particles, list)?);
    }
    if let Some(text) = &said.condition {
        parts.push(select::parse(text, &load).map_err(|p| if p.culprit.is_none() { p.at("`--where`") } else { p })?);
    }
    Ok((!parts.is_empty()).then_some(Criterion::All(parts)))
}

/// A region of this job's picture.
fn region(context: &mut Context<'_>, path: &Path, job: &Chosen) -> Result<Criterion> {
    let at = |problem: Problem| problem.at(path.display().to_string());
    let text = std::fs::read_to_string(path).map_err(|e| Problem::io(path, &e).hint("name the file that the report exported"))?;
    let region: Region = serde_json::from_str(&text)
        .map_err(|e| at(Problem::input(format!("no region: {e}")).hint("draw it in the report and export it again")))?;
    let region = region.check().map_err(at)?;
    match &region.drawn_on {
        Some(drawn_on) => drawn_on.check(&job.picture_shown()?).map_err(at)?,
        None => context.warn(&format!(
            "{} does not say which job it was drawn on: it is taken to be `{}` at epoch {}",
            path.display(),
            job.folder.display(),
            job.results.epoch
        )),
    }
    Ok(Criterion::Region(region))
}

/// View class of every particle.
fn view_classes(block: &Block<'_>) -> Result<Vec<usize>> {
    let angles = |label: &str| -> Result<Vec<f64>> {
        let column = block.column(label).map_err(|e| star_problem(&e).hint("views can be balanced where the particles have poses"))?;
        column.numbers().map_err(|e| star_problem(&e))
    };
    let (rot, tilt) = (angles("rlnAngleRot")?, angles("rlnAngleTilt")?);
    Ok(rot.into_iter().zip(tilt).map(|(rot, tilt)| Hopf::of_euler(Euler::new(rot, tilt, 0.0)).view_class()).collect())
}

/// A job that is chosen from.
struct Chosen {
    folder: PathBuf,
    results: Results,
    /// The job's own table, with its clusters.
    table: StarFile,
    latents: Array2<f32>,
    /// Epoch of the clusters and of the UMAP, where it is not that of the latents.
    found_at: Option<usize>,
}

impl Chosen {
    /// `epoch`: that of the latents, where it is not the job's own.
    fn open(folder: &Path, epoch: Option<Epoch>) -> Result<Self> {
        let at = |problem: Problem| problem.at(folder.display().to_string());
        let named = "name the folder of a job of `opus-dsd train` or `opus-dsd analyse` that has found its clusters";
        let mut results =
            results::read(folder)?.ok_or_else(|| at(Problem::input("holds no trained job (`results.json` is missing)").hint(named)))?;
        let (Some(latents), false) = (&results.latents, results.particles.is_empty()) else {
            return Err(at(Problem::input("has not found its clusters yet").hint(named)));
        };
        let mut latents = npy::read(&folder.join(latents))?;
        let table = StarFile::read(&folder.join(&results.particles)).map_err(|e| star_problem(&e))?;
        let rows = particles_block(&table)?.rows();
        if rows != latents.nrows() {
            return Err(at(Problem::input(format!("has {rows} particles, but latents of {}", latents.nrows()))
                .hint("give the job's folder as it was left")));
        }
        let mut found_at = None;
        if let Some(epoch) = epoch {
            let trained = Trained::open(folder, epoch)?;
            if trained.epoch != results.epoch {
                if trained.latents.nrows() != rows {
                    let there = trained.latents.nrows();
                    return Err(at(Problem::input(format!("has {rows} particles, but latents of {there} at epoch {}", trained.epoch))
                        .hint("give the job's folder as it was left")));
                }
                found_at = Some(std::mem::replace(&mut results.epoch, trained.epoch));
                latents = trained.latents;
            }
        }
        Ok(Self { folder: folder.to_path_buf(), results, table, latents, found_at })
    }

    /// The file of the UMAP; `None`: there is none of these latents.
    fn umap_file(&self) -> Option<PathBuf> {
        Some(self.folder.join(UMAP)).filter(|file| self.found_at.is_none() && file.exists())
    }

    /// What a region must have been drawn on.
    fn picture_shown(&self) -> Result<DrawnOn> {
        let umap = self.umap_file().map(|file| npy::read(&file)).transpose()?;
        Ok(DrawnOn {
            job: self.folder.to_string_lossy().into_owned(),
            epoch: self.results.epoch,
            particles: self.latents.nrows(),
            fingerprint: report::picture(self.latents.view(), umap.as_ref().map(ndarray::ArrayBase::view)),
        })
    }

    /// The table that the rows are taken of.
    fn source(&self) -> Result<Source<StarFile>> {
        let own = particles_block(&self.table)?;
        let other = |input: &StarFile| {
            let same = particles_block(input).is_ok_and(|block| same_images(&block, &own));
            (!same).then(|| "holds other particles now".to_owned())
        };
        let read = |path: &Path| {
            if is_table(path) { tables::as_star(&self.folder, path) } else { StarFile::read(path).map_err(|e| star_problem(&e)) }
        };
        source::of_job(&self.folder, read, other)
    }
}

fn same_images(a: &Block<'_>, b: &Block<'_>) -> bool {
    match (a.find("rlnImageName"), b.find("rlnImageName")) {
        (Some(a), Some(b)) => a.texts().eq(b.texts()),
        _ => false,
    }
}

impl Known for Chosen {
    fn latents(&self) -> ArrayView2<'_, f32> {
        self.latents.view()
    }

    fn classes(&self) -> Result<Vec<usize>> {
        let at = |problem: Problem| problem.at(self.folder.display().to_string());
        if let Some(found_at) = self.found_at {
            return Err(at(Problem::input(format!("its clusters are of epoch {found_at}, not {}", self.results.epoch)).hint(format!(
                "leave `--epoch` out, or let `opus-dsd analyse --epoch {}` find clusters there and choose from that job",
                self.results.epoch
            ))));
        }
        // Its particles may have a class of the refinement that they came from.
        if self.results.verb == IMPORT {
            return Err(at(Problem::input("is an imported run, which has no clusters yet")
                .hint(format!("find them with `opus-dsd analyse --job {} --o OTHER/`, and choose from that job", self.folder.display()))));
        }
        if self.results.verb == SELECT {
            let from = self.results.trained_job.as_deref().unwrap_or("the job that it was chosen from");
            return Err(at(Problem::input("is a selection, which has no clusters of its own")
                .hint(format!("choose clusters from {from}, together with other conditions in one `--where`"))));
        }
        let column = particles_block(&self.table)?.column("rlnClassNumber").map_err(|e| star_problem(&e))?;
        let classes = column.integers().map_err(|e| star_problem(&e))?;
        Ok(classes.into_iter().map(|class| usize::try_from(class).unwrap_or(0)).collect())
    }

    fn density(&self) -> Result<Vec<f32>> {
        Ok(Density::of_graph(&NeighbourGraph::build(self.latents.view(), NEIGHBOURS, 0)?).quantile)
    }

    fn components(&self) -> Result<Array2<f32>> {
        Ok(analysis::pca(self.latents.view())?.project(self.latents.view()))
    }

    fn picture(&self, name: &str) -> Result<Array2<f32>> {
        match name.to_lowercase().as_str() {
            "pca" | "principal components" => {
                let scores = self.components()?;
                let second = if scores.ncols() > 1 { 1 } else { 0 };
                Ok(scores.select(Axis(1), &[0, second]))
            }
            "umap" => {
                let file = self.umap_file();
                let seed = settings_file::read(&self.folder)?.map_or(0, |before| before.settings.train.seed);
                let picture = match &file {
                    Some(file) => npy::read(file)?,
                    None => umap(self.latents.view(), seed)?,
                };
                if picture.dim() == (self.latents.nrows(), 2) {
                    Ok(picture)
                } else {
                    Err(Problem::input("is of other particles than the latents")
                        .at(self.folder.join(UMAP).display().to_string())
                        .hint("let the job write it again"))
                }
            }
            _ => Err(Problem::input(format!("a picture `{name}` is not known")).hint("regions are drawn on `umap` or `pca`")),
        }
    }
}
