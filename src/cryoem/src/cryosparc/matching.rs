//! Which rows of a table are the same particles as another table's.

use super::Table;
use crate::mrc::plain_path;
use contract::{Problem, Result};
use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;

/// What images are recognised by, the surest first.
const WAYS: [fn(&str) -> String; 3] = [whole, file_name, own_name];

/// The path as it is written; cryoSPARC puts a `>` before paths in the project's folder.
fn whole(path: &str) -> String {
    plain_path(Path::new(path.trim_start_matches('>'))).to_string_lossy().into_owned()
}

fn file_name(path: &str) -> String {
    let path = whole(path);
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The file's name without its extension, and without the number that cryoSPARC's import puts before it.
fn own_name(path: &str) -> String {
    let name = file_name(path);
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    match stem.split_once('_') {
        Some((number, rest)) if !rest.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => rest.to_owned(),
        _ => stem.to_owned(),
    }
}

impl Table {
    /// The row of every particle of `other`, by `uid`.
    ///
    /// # Errors
    /// One of the tables has no `uid`, or a particle is not in this table exactly once.
    pub fn rows_by_uid(&self, other: &Self) -> Result<Vec<usize>> {
        let uids = |table: &Self| -> Result<Vec<u64>> {
            let column = table.find("uid").ok_or_else(|| {
                Problem::input("has no field `uid`")
                    .at(table.path.display().to_string())
                    .hint("particles of two tables are recognised by it: give the tables as cryoSPARC wrote them")
            })?;
            (0..table.rows()).map(|row| column.unsigned(row)).collect()
        };
        let (own, theirs) = (uids(self)?, uids(other)?);
        look_up(&own, &theirs).map_err(|missed| {
            let told = missed.in_words(theirs.len(), |row| format!("uid {}", theirs[row]));
            Problem::input(format!("is not the table of the particles of `{}`: {told}", other.path.display()))
                .at(self.path.display().to_string())
                .hint("give the table of the same particles; they are recognised by `uid`")
        })
    }

    /// The row of every particle that `images` names, each as RELION does (`000001@stack.mrcs`): by the stack's path and the image's number, else
    /// by the stack's name alone.
    ///
    /// # Errors
    /// The table names no images, or a particle is not in it exactly once.
    pub fn rows_by_image(&self, images: &[&str]) -> Result<Vec<usize>> {
        let at = |problem: Problem| problem.at(self.path.display().to_string());
        let (Some(paths), Some(numbers)) = (self.find("blob/path"), self.find("blob/idx")) else {
            return Err(at(Problem::input("has no fields `blob/path` and `blob/idx`")
                .hint("give the table that names the images; it may be the job's passthrough table")));
        };
        let own: Vec<(&str, u64)> = (0..self.rows()).map(|row| Ok((paths.text(row)?, numbers.unsigned(row)?))).collect::<Result<_>>()?;
        let wanted: Vec<(&str, u64)> = images.iter().map(|image| of_relion(image)).collect();
        let mut best: Option<Missed> = None;
        for way in WAYS {
            let mut ids = Ids::default();
            let (own, wanted) = (ids.of(&own, way), ids.of(&wanted, way));
            // Rows that follow each other alike need not be unique: symmetry expansion repeats images.
            if own == wanted {
                return Ok((0..own.len()).collect());
            }
            match look_up(&own, &wanted) {
                Ok(rows) => return Ok(rows),
                Err(missed) if best.as_ref().is_none_or(|best| missed.all() < best.all()) => best = Some(missed),
                Err(_) => {}
            }
        }
        let told = best.unwrap_or_default().in_words(images.len(), |row| format!("`{}`", images[row]));
        Err(at(Problem::input(format!("is not the table of the job's particles: {told}"))
            .hint("give the table of the same particles; they are recognised by the stack's name and the image's number in it")))
    }
}

/// Stack and number (from 0) of an image as RELION names it.
fn of_relion(image: &str) -> (&str, u64) {
    match image.split_once('@') {
        Some((number, stack)) => (stack, number.parse::<u64>().map_or(u64::MAX, |n| n.wrapping_sub(1))),
        None => (image, 0),
    }
}

/// Numbers for the names of stacks.
#[derive(Default)]
struct Ids(HashMap<String, usize>);

impl Ids {
    fn of(&mut self, images: &[(&str, u64)], way: fn(&str) -> String) -> Vec<(usize, u64)> {
        let mut last = None;
        let mut ids = Vec::with_capacity(images.len());
        for &(path, number) in images {
            let id = match last {
                Some((earlier, id)) if earlier == path => id,
                _ => {
                    let next = self.0.len();
                    *self.0.entry(way(path)).or_insert(next)
                }
            };
            last = Some((path, id));
            ids.push((id, number));
        }
        ids
    }
}

/// Particles that a table does not hold exactly once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Missed {
    /// Rows of those that it does not hold.
    unknown: Vec<usize>,
    /// Rows of those that it holds more than once.
    repeated: Vec<usize>,
}

impl Missed {
    fn all(&self) -> usize {
        self.unknown.len() + self.repeated.len()
    }

    /// For people; `name` calls a row by name.
    fn in_words(&self, of: usize, name: impl Fn(usize) -> String) -> String {
        let tell = |rows: &[usize], what: &str| {
            let first = rows.first()?;
            Some(format!("{} of the {of} particles are {what}, such as {}", rows.len(), name(*first)))
        };
        let told = [tell(&self.unknown, "not in it"), tell(&self.repeated, "in it more than once")];
        told.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// Where each of `wanted` stands in `own`; else which stand there never or more than once.
fn look_up<K: Eq + Hash>(own: &[K], wanted: &[K]) -> std::result::Result<Vec<usize>, Missed> {
    let mut place: HashMap<&K, Option<usize>> = HashMap::with_capacity(own.len());
    for (row, key) in own.iter().enumerate() {
        place.entry(key).and_modify(|there| *there = None).or_insert(Some(row));
    }
    let mut rows = Vec::with_capacity(wanted.len());
    let mut missed = Missed::default();
    for (row, key) in wanted.iter().enumerate() {
        match place.get(key) {
            Some(Some(there)) => rows.push(*there),
            Some(None) => missed.repeated.push(row),
            None => missed.unknown.push(row),
        }
    }
    if missed.all() == 0 { Ok(rows) } else { Err(missed) }
}
