//! Which particles: by cluster, place in the latents, density, a region drawn on a picture, or a list, and any combination of these.
//!
//! Pure functions from what is known of the particles to ascending rows.

mod expression;
mod region;
mod thin;

pub use expression::{Wish, parse};
pub use region::{DrawnOn, Region};
pub use thin::{balanced, random};

use contract::{Problem, Result};
use ndarray::ArrayView2;

/// A condition that a particle meets or not.
#[derive(Clone, Debug, PartialEq)]
pub enum Criterion {
    /// Its class number is one of these.
    Classes(Vec<usize>),
    /// A latent dimension (from 0) lies between two values, both included.
    Latent(usize, f64, f64),
    /// A principal component (from 0) lies between two values, both included.
    Component(usize, f64, f64),
    /// Its latent lies no farther than the distance from this point.
    Near(Vec<f32>, f64),
    /// The quantile of its density lies between two values: 0 is the loneliest particle, 1 the most crowded.
    Density(f64, f64),
    /// It lies in a region of a picture of the latents.
    Region(Region),
    /// It is one of these rows, from 0.
    Rows(Vec<usize>),
    /// It meets all of them.
    All(Vec<Criterion>),
    /// It meets one of them at least.
    Any(Vec<Criterion>),
    /// It does not meet it.
    Not(Box<Criterion>),
}

/// What is known of the particles; what no criterion asks for is not made.
pub trait Known {
    /// Latents, `[n, d]`.
    fn latents(&self) -> ArrayView2<'_, f32>;
    /// Class numbers, `[n]`.
    ///
    /// # Errors
    /// If the particles have none.
    fn classes(&self) -> Result<Vec<usize>>;
    /// Quantiles of the density, `[n]`.
    ///
    /// # Errors
    /// If it cannot be made.
    fn density(&self) -> Result<Vec<f32>>;
    /// Scores along all principal components, `[n, d]`.
    ///
    /// # Errors
    /// If they cannot be made.
    fn components(&self) -> Result<ndarray::Array2<f32>>;
    /// A picture by its name, `[n, 2]`.
    ///
    /// # Errors
    /// If there is no such picture.
    fn picture(&self, name: &str) -> Result<ndarray::Array2<f32>>;
}

/// Rows of the particles that meet a criterion, ascending.
///
/// # Errors
/// If a class, dimension, row or picture is asked for that the particles do not have.
pub fn select(known: &dyn Known, criterion: &Criterion) -> Result<Vec<usize>> {
    let met = meets(known, criterion)?;
    Ok((0..met.len()).filter(|&row| met[row]).collect())
}

/// All rows but these (ascending) of `n`.
#[must_use]
pub fn rest(n: usize, rows: &[usize]) -> Vec<usize> {
    let mut taken = vec![false; n];
    rows.iter().filter(|&&row| row < n).for_each(|&row| taken[row] = true);
    (0..n).filter(|&row| !taken[row]).collect()
}

fn meets(known: &dyn Known, criterion: &Criterion) -> Result<Vec<bool>> {
    let latents = known.latents();
    let (n, d) = latents.dim();
    let between = |values: &mut dyn Iterator<Item = f32>, low: f64, high: f64| -> Vec<bool> {
        values.map(|v| (low..=high).contains(&f64::from(v))).collect()
    };
    let dimension = |axis: usize, what: &str| {
        if axis < d {
            Ok(())
        } else {
            Err(Problem::input(format!("there is no {what}{}: the latents have {d} dimensions", axis + 1))
                .hint(format!("choose from {what}1 to {what}{d}")))
        }
    };
    Ok(match criterion {
        Criterion::Classes(wanted) => {
            let classes = known.classes()?;
            if let Some(class) = wanted.iter().find(|class| !classes.contains(class)) {
                let mut there = classes;
                there.sort_unstable();
                there.dedup();
                let there: Vec<String> = there.iter().map(ToString::to_string).collect();
                return Err(Problem::input(format!("no particle is in cluster {class}"))
                    .hint(format!("clusters that are there: {}", there.join(", "))));
            }
            classes.into_iter().map(|class| wanted.contains(&class)).collect()
        }
        Criterion::Latent(axis, low, high) => {
            dimension(*axis, "z")?;
            between(&mut latents.column(*axis).iter().copied(), *low, *high)
        }
        Criterion::Component(axis, low, high) => {
            dimension(*axis, "pc")?;
            between(&mut known.components()?.column(*axis).iter().copied(), *low, *high)
        }
        Criterion::Near(point, distance) => {
            if point.len() != d {
                return Err(Problem::input(format!("the point has {} values, the latents have {d} dimensions", point.len()))
                    .hint("give one value for each dimension"));
            }
            let squared = |row: ndarray::ArrayView1<'_, f32>| {
                row.iter().zip(point).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>()
            };
            latents.rows().into_iter().map(|row| squared(row) <= distance * distance).collect()
        }
        Criterion::Density(low, high) => between(&mut known.density()?.into_iter(), *low, *high),
        Criterion::Region(region) => {
            let picture = known.picture(&region.embedding)?;
            picture.rows().into_iter().map(|row| region.holds([f64::from(row[0]), f64::from(row[1])])).collect()
        }
        Criterion::Rows(rows) => {
            let mut met = vec![false; n];
            for &row in rows {
                *met.get_mut(row).ok_or_else(|| {
                    Problem::input(format!("there is no particle {}", row + 1)).hint(format!("particles count from 1 to {n}"))
                })? = true;
            }
            met
        }
        Criterion::All(parts) => fold(known, parts, n, true, |a, b| a && b)?,
        Criterion::Any(parts) => fold(known, parts, n, false, |a, b| a || b)?,
        Criterion::Not(part) => meets(known, part)?.into_iter().map(|met| !met).collect(),
    })
}

fn fold(known: &dyn Known, parts: &[Criterion], n: usize, start: bool, join: fn(bool, bool) -> bool) -> Result<Vec<bool>> {
    parts.iter().try_fold(vec![start; n], |met, part| Ok(met.into_iter().zip(meets(known, part)?).map(|(a, b)| join(a, b)).collect()))
}

#[cfg(test)]
mod tests;
