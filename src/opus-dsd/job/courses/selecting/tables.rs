//! cryoSPARC's tables of the chosen particles: the rows of those that the job was given, byte by byte, or of one that is named.

use crate::job::courses::reading_of;
use crate::job::order::Order;
use crate::job::settings_file::{self, Provenance};
use crate::job::stages::context::Context;
use contract::{Problem, Result};
use cryoem::cryosparc::{EXTENSION, Table, is_table};
use cryoem::particles::cryosparc_table;
use starfile::{Block, StarFile};
use std::path::{Path, PathBuf};

/// What is put to the name of a selection's passthrough table.
const PASSTHROUGH: &str = "_passthrough";

/// Tables that rows are taken of.
pub(super) struct Tables(Vec<Rows>);

struct Rows {
    table: Table,
    /// Row of every particle of the job; `None`: row i is particle i.
    of_particle: Option<Vec<usize>>,
    /// Put to the name of what is written.
    name: &'static str,
}

/// The particles of cryoSPARC's table as STAR, as the job read them.
pub(super) fn as_star(job: &Path, path: &Path) -> Result<StarFile> {
    cryosparc_table(path, passthrough(job)?.as_deref())
}

impl Tables {
    /// Those of a job whose particles were read from `source`; or `named` in their place, whose particles are recognised by `uid` where the job
    /// has tables itself, else by the images that `particles` names.
    pub(super) fn open(job: &Path, source: &Path, named: Option<&Path>, particles: &Block<'_>) -> Result<Self> {
        let own = is_table(source).then(|| Table::read(source)).transpose()?;
        let Some(named) = named else {
            let Some(table) = own else { return Ok(Self(Vec::new())) };
            let beside = passthrough(job)?.map(|path| {
                let beside = Table::read(&path)?;
                let of_particle = Some(beside.rows_by_uid(&table)?);
                Ok(Rows { table: beside, of_particle, name: PASSTHROUGH })
            });
            let beside = beside.transpose()?;
            return Ok(Self([Rows { table, of_particle: None, name: "" }].into_iter().chain(beside).collect()));
        };
        let table = Table::read(named)?;
        let of_particle = match own {
            Some(own) => table.rows_by_uid(&own)?,
            None => {
                let images = particles.find("rlnImageName").ok_or_else(|| {
                    Problem::input("the job's particles name no images")
                        .at(source.display().to_string())
                        .hint("leave `--cs` out: images are what particles are recognised by")
                })?;
                table.rows_by_image(&images.texts().collect::<Vec<_>>())?
            }
        };
        Ok(Self(vec![Rows { table, of_particle: Some(of_particle), name: "" }]))
    }

    /// Writes the chosen particles' rows beside the STAR file `star`, and says so.
    pub(super) fn write(&self, context: &mut Context<'_>, star: &str, chosen: &[usize]) -> Result<()> {
        let stem = Path::new(star).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for Rows { table, of_particle, name } in &self.0 {
            let path = context.path(&format!("{stem}{name}.{EXTENSION}"));
            let rows: Vec<usize> = chosen.iter().map(|&row| of_particle.as_ref().map_or(row, |rows| rows[row])).collect();
            table.write_rows(&path, &rows)?;
            context.say(&format!("{} rows of {} written to {}", rows.len(), table.path().display(), path.display()));
        }
        Ok(())
    }
}

/// The passthrough table that a job's particles were read with; an analysis reads those of the job that it looks at.
fn passthrough(job: &Path) -> Result<Option<PathBuf>> {
    let of = |before: &Provenance| Ok(reading_of(before)?.options.passthrough);
    match settings_file::read(job)? {
        None => Ok(None),
        Some(before) => match (&before.order, &before.trained_job) {
            (Some(Order::Analyse(_)), Some(trained)) => of(&settings_file::of_trained(trained)?),
            _ => of(&before),
        },
    }
}
