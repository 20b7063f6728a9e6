//! What the user said: the options of every verb that is a job. Each is described where clap defines it, bounds, unit and level included
//! ([`super::form`]); forms, manifests and reference pages are rendered from there.

mod analyse;
mod check;
mod decode;
mod encode;
mod grouping;
mod images;
mod import;
mod later;
mod select;
pub(crate) mod train;

pub(crate) use analyse::AnalyseSaid;
pub(crate) use check::CheckSaid;
pub(crate) use decode::DecodeSaid;
pub(crate) use encode::EncodeSaid;
pub(crate) use grouping::Grouping;
pub(crate) use images::ImagesSaid;
pub(crate) use import::ImportSaid;
pub(crate) use later::MapsSaid;
pub(crate) use select::SelectSaid;
pub(crate) use train::TrainSaid;

use contract::{Problem, Result};
use std::path::{Path, PathBuf};

/// The trained job's folder, from `--job` or from a file in it (which gives RELION its edge).
fn trained_job(job: Option<&PathBuf>, in_parts: Option<&PathBuf>) -> Result<PathBuf> {
    let parent = |file: &PathBuf| file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    job.cloned().or_else(|| in_parts.map(parent)).ok_or_else(|| {
        Problem::input("missing").at("`--job`").hint("name the trained job: `--job External/job007`, or its particles.star as `--in_parts`")
    })
}
