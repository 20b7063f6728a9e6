//! `select`: rows of a job's particles, cell by cell as they were.

mod tables;

use crate::host::relion::nodes::{self, Content, Node};
use crate::job::chosen::{self, Chosen};
use crate::job::results;
use crate::job::source::{self, ITS_CLASSES, Source};
use crate::job::stages::context::Context;
use crate::job::stages::embed::UMAP;
use crate::job::stages::{next, report};
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
    let job = Offer::open(&said.trained_job()?, said.epoch)?;
    let Source { path: source_path, particles: source, note } = job.source()?;
    // The job's own copy holds its particles alone.
    let taken_of = job.chosen.as_ref().filter(|_| note.is_none());
    let source_row = |row: usize| taken_of.map_or(row, |chosen| chosen.rows[row]);
    let source_rows = |rows: &[usize]| rows.iter().map(|&row| source_row(row)).collect::<Vec<_>>();
    if let Some(note) = note {
        context.warn(&if job.results.verb == SELECT { note } else { note + ITS_CLASSES });
    }
    let seed = said.seed.unwrap_or(0);
    let n = job.latents.nrows();
    let mut rows = match criterion(context, said, &job)? {
        Some(criterion) => select::select(&job, &criterion)?,
        None => (0..n).collect(),
    };
    context.say(&format!("{} of {n} particles meet what is asked for", rows.len()));
    let block = particles_block(&source)?;
    let tables = Tables::open(job.given(), &source_path, said.cs.as_deref(), &block)?;
    if said.balance.is_some_and(|y| y.0) {
        let classes = view_classes(&block)?;
        rows = select::balanced(&rows, &(0..n).map(|row| classes[source_row(row)]).collect::<Vec<_>>(), seed);
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
        // Told again when all files are those of the new rows.
        now.chosen = None;
        (now.epoch, now.zdim, now.apix, now.box_px) = (job.results.epoch, job.latents.ncols(), job.results.apix, job.results.box_px);
        now.trained_job = Some(job.trained_job().to_string_lossy().into_owned());
        (now.particles, now.latents) = (PARTICLES.into(), Some(LATENTS.into()));
    })?;
    let taken = source_rows(&rows);
    subset::write_table_rows(&context.path(PARTICLES), &source, block.index(), &taken)?;
    tables.write(context, PARTICLES, &taken)?;
    npy::write(&context.path(LATENTS), job.latents.select(Axis(0), &rows).view())?;
    context.say(&format!("{} particles written to {}", rows.len(), context.path(PARTICLES).display()));
    let mut offered = vec![Node { file: PARTICLES.into(), content: Content::Particles }];
    if let Some(name) = &said.rest {
        let left = source_rows(&rest);
        subset::write_table_rows(&context.path(name), &source, block.index(), &left)?;
        tables.write(context, name, &left)?;
        context.say(&format!("{} others written to {}", rest.len(), context.path(name).display()));
        offered.push(Node { file: name.clone(), content: Content::Particles });
    }
    chosen::write(&context.job.folder, &mut context.results, Some(&job.chosen(&rows, &context.job.folder_name)))?;
    nodes::write(context.folder(), &context.job.folder_name, &offered, context.host)?;
    context.say(&format!("next: {}", next::of_selection(context)));
    context.results.change(|now| now.complete = true)
}

/// What must hold of the particles; none where they are only to be fewer.
fn criterion(context: &mut Context<'_>, said: &SelectSaid, job: &Offer) -> Result<Option<Criterion>> {
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
fn region(context: &mut Context<'_>, path: &Path, job: &Offer) -> Result<Criterion> {
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
struct Offer {
    folder: PathBuf,
    results: Results,
    /// The job's own table, with its clusters.
    table: StarFile,
    latents: Array2<f32>,
    /// Epoch of the clusters and of the UMAP, where it is not that of the latents.
    found_at: Option<usize>,
    /// Where it is of chosen particles itself.
    chosen: Option<Chosen>,
}

impl Offer {
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
        let chosen = Chosen::of_job(folder, &results)?;
        if let Some(chosen) = chosen.as_ref().filter(|chosen| chosen.rows.len() != rows) {
            return Err(at(Problem::input(format!("has {rows} particles, but the rows of {}", chosen.rows.len()))
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
        Ok(Self { folder: folder.to_path_buf(), results, table, latents, found_at, chosen })
    }

    /// The job that the latents were learned or encoded in: that of all particles.
    fn trained_job(&self) -> &Path {
        // An encoding job has latents of its own.
        self.results.trained_job.as_deref().filter(|_| self.results.verb != ENCODE).map_or(&self.folder, Path::new)
    }

    /// The job whose settings name the file that the particles were given in.
    fn given(&self) -> &Path {
        if self.chosen.is_some() { self.trained_job() } else { &self.folder }
    }

    /// What is chosen by taking these rows; `selection` is the folder that holds them then.
    fn chosen(&self, rows: &[usize], selection: &str) -> Chosen {
        let of = self.chosen.as_ref().map_or(self.latents.nrows(), |chosen| chosen.of);
        let rows = rows.iter().map(|&row| self.chosen.as_ref().map_or(row, |chosen| chosen.rows[row])).collect();
        Chosen { rows, of, job: self.trained_job().to_path_buf(), selection: selection.trim_end_matches('/').into() }
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

    /// The table that the rows are taken of: that of all particles, else the job's own.
    fn source(&self) -> Result<Source<StarFile>> {
        let own = particles_block(&self.table)?;
        let other = |input: &StarFile| {
            let same = particles_block(input).is_ok_and(|block| same_images(&block, &own, self.chosen.as_ref()));
            (!same).then(|| "holds other particles now".to_owned())
        };
        let read = |path: &Path| {
            if is_table(path) { tables::as_star(self.given(), path) } else { StarFile::read(path).map_err(|e| star_problem(&e)) }
        };
        source::of_job(self.given(), &self.folder, read, other)
    }
}

/// Whether `own` are the images of `all`, or the chosen ones of them.
fn same_images(all: &Block<'_>, own: &Block<'_>, chosen: Option<&Chosen>) -> bool {
    match (all.find("rlnImageName"), own.find("rlnImageName"), chosen) {
        (Some(all), Some(own), None) => all.texts().eq(own.texts()),
        (Some(names), Some(own), Some(chosen)) => all.rows() == chosen.of && chosen.rows.iter().map(|&row| names.text(row)).eq(own.texts()),
        _ => false,
    }
}

impl Known for Offer {
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
