//! Whether particles of one group lie together in the latents.

use super::{NEIGHBOURS, PARTICLES};
use crate::blocks::check_latents;
use crate::neighbours::{even_sample, nearest_outside_fold, random_folds};
use contract::{Nuisance, Problem, Result};
use cryoem::random::Random;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// Random orders of the groups that chance is measured with.
const PERMUTATIONS: u64 = 20;
/// Part of the way from chance to the most possible, and share of the latents' variance, above which people should know.
const NOTEWORTHY: f64 = 0.1;
/// Standard deviations above chance that rule chance out.
const SIGNIFICANT: f64 = 5.0;

/// How often a particle's neighbours in the latents are of its own group.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GroupLeakage {
    /// Groups looked at.
    pub groups: usize,
    /// Share of neighbours of the own group.
    pub same: f64,
    /// The same where groups are dealt out at random.
    pub chance: f64,
    /// Part of the way from chance (0) to the most that the groups' sizes allow (1).
    pub excess: f64,
    /// Share of the latents' variance between the groups, less what as many groups have by chance (0 where they have nothing in common).
    pub share: f64,
    /// Standard deviations of chance between `same` and `chance`.
    pub deviations: f64,
}

impl GroupLeakage {
    /// Whether it is more than chance, and enough to matter.
    #[must_use]
    pub fn is_noteworthy(&self) -> bool {
        self.excess.max(self.share) > NOTEWORTHY && self.deviations > SIGNIFICANT
    }

    pub(super) fn nuisance(&self, name: &str) -> Nuisance {
        Nuisance {
            name: name.into(),
            told: self.excess.max(0.0),
            told_limit: NOTEWORTHY,
            share: self.share.max(0.0),
            share_limit: NOTEWORTHY,
            noteworthy: self.is_noteworthy(),
        }
    }
}

/// Leakage of a few large groups (optics groups, half sets, sessions) into latents `[n, d]`; none where there is but one.
///
/// # Errors
/// If the lengths differ or a latent is not finite.
pub fn group_leakage(latents: ArrayView2<'_, f32>, groups: &[usize]) -> Result<Option<GroupLeakage>> {
    check(latents, groups)?;
    Ok(measure(latents, groups, &even_sample(groups.len(), PARTICLES)))
}

/// Leakage of many small groups (micrographs): whole groups are looked at, since an even sample of particles would hardly hold two of one.
///
/// # Errors
/// If the lengths differ or a latent is not finite.
pub fn micrograph_leakage(latents: ArrayView2<'_, f32>, micrographs: &[usize]) -> Result<Option<GroupLeakage>> {
    check(latents, micrographs)?;
    let mut order: Vec<usize> = (0..micrographs.len()).collect();
    order.sort_by_key(|&row| micrographs[row]);
    let runs: Vec<&[usize]> = order.chunk_by(|&a, &b| micrographs[a] == micrographs[b]).filter(|run| run.len() > 1).collect();
    let most = if runs.is_empty() { 0 } else { (PARTICLES * runs.len() / runs.iter().map(|run| run.len()).sum::<usize>()).max(2) };
    let mut rows: Vec<usize> = even_sample(runs.len(), most).into_iter().flat_map(|run| runs[run].iter().copied()).collect();
    rows.sort_unstable();
    // A single enormous micrograph must not make the search endless.
    let rows: Vec<usize> = even_sample(rows.len(), 2 * PARTICLES).into_iter().map(|i| rows[i]).collect();
    Ok(measure(latents, micrographs, &rows))
}

fn check(latents: ArrayView2<'_, f32>, groups: &[usize]) -> Result<()> {
    check_latents(latents)?;
    if groups.len() == latents.nrows() {
        Ok(())
    } else {
        Err(Problem::failed(format!("{} groups for {} latents", groups.len(), latents.nrows())))
    }
}

fn measure(latents: ArrayView2<'_, f32>, groups: &[usize], rows: &[usize]) -> Option<GroupLeakage> {
    let mut own: Vec<usize> = rows.iter().map(|&row| groups[row]).collect();
    let mut distinct = own.clone();
    distinct.sort_unstable();
    distinct.dedup();
    own.iter_mut().for_each(|group| *group = distinct.partition_point(|d| d < group));
    if distinct.len() < 2 {
        return None;
    }
    let folds = random_folds(rows.len(), 0);
    let sample = latents.select(Axis(0), rows);
    let neighbours = nearest_outside_fold(sample.view(), &folds, NEIGHBOURS);
    let looked_at: usize = neighbours.iter().map(Vec::len).sum();
    if looked_at == 0 {
        return None;
    }
    let same = |group: &dyn Fn(usize) -> usize| {
        let of = |(row, list): (usize, &Vec<usize>)| list.iter().filter(|&&other| group(other) == group(row)).count();
        neighbours.iter().enumerate().map(of).sum::<usize>() as f64 / looked_at as f64
    };
    let found = same(&|row| own[row]);
    let by_chance: Vec<f64> = (0..PERMUTATIONS)
        .map(|number| {
            let order = Random::new(0, number).permutation(own.len());
            same(&|row| own[order[row]])
        })
        .collect();
    let chance = by_chance.iter().sum::<f64>() / PERMUTATIONS as f64;
    let spread = (by_chance.iter().map(|c| (c - chance).powi(2)).sum::<f64>() / (PERMUTATIONS - 1) as f64).sqrt();

    // The most possible: all neighbours of the own group, as far as it has particles in other folds.
    let mut in_fold = vec![[0usize; crate::neighbours::FOLDS]; distinct.len()];
    own.iter().zip(&folds).for_each(|(&group, &fold)| in_fold[group][fold] += 1);
    let possible = |row: usize| {
        let sizes = &in_fold[own[row]];
        (sizes.iter().sum::<usize>() - sizes[folds[row]]).min(neighbours[row].len())
    };
    let most = (0..own.len()).map(possible).sum::<usize>() as f64 / looked_at as f64;
    Some(GroupLeakage {
        groups: distinct.len(),
        same: found,
        chance,
        excess: if most > chance { (found - chance) / (most - chance) } else { 0.0 },
        share: between(sample.view(), &own, distinct.len()),
        deviations: if spread > 0.0 { (found - chance) / spread } else { 0.0 },
    })
}

/// One less the variance inside the groups over that of the whole, each with its degrees of freedom.
fn between(latents: ArrayView2<'_, f32>, groups: &[usize], count: usize) -> f64 {
    let (n, d) = latents.dim();
    let mut sums = Array2::<f64>::zeros((count, d));
    let mut sizes = vec![0.0f64; count];
    for (row, &group) in latents.rows().into_iter().zip(groups) {
        sums.row_mut(group).zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
        sizes[group] += 1.0;
    }
    let whole = sums.sum_axis(Axis(0)) / n as f64;
    let off =
        |row: ArrayView1<'_, f32>, centre: &Array1<f64>| row.iter().zip(centre).map(|(&v, c)| (f64::from(v) - c).powi(2)).sum::<f64>();
    let (mut inside, mut total) = (0.0, 0.0);
    for (row, &group) in latents.rows().into_iter().zip(groups) {
        inside += off(row, &(&sums.row(group) / sizes[group]));
        total += off(row, &whole);
    }
    if n > count && total > 0.0 { 1.0 - (inside / (n - count) as f64) / (total / (n - 1) as f64) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(n: usize) -> Array2<f32> {
        let mut random = Random::new(4, 0);
        Array2::from_shape_simple_fn((n, 3), || random.normal() as f32)
    }

    #[test]
    fn groups_that_lie_together_are_found() {
        let z = cloud(2000);
        let sides: Vec<usize> = z.column(0).iter().map(|&v| if v > 0.0 { 40 } else { 7 }).collect();
        let found = group_leakage(z.view(), &sides).unwrap().unwrap();
        assert!(found.is_noteworthy() && found.groups == 2 && found.excess > 0.7 && (found.chance - 0.5).abs() < 0.02, "{found:?}");
        let turns: Vec<usize> = (0..2000).map(|i| i % 2).collect();
        let found = group_leakage(z.view(), &turns).unwrap().unwrap();
        assert!(!found.is_noteworthy() && found.excess.abs() < 0.03 && found.share.abs() < 0.01, "{found:?}");
        assert_eq!(group_leakage(z.view(), &[3; 2000]).unwrap(), None);
        assert!(group_leakage(z.view(), &[3; 20]).is_err());
    }

    #[test]
    fn small_groups_are_looked_at_whole() {
        let z = cloud(30_000);
        let random: Vec<usize> = (0..30_000).map(|i| i * 7 % 1500).collect();
        let found = micrograph_leakage(z.view(), &random).unwrap().unwrap();
        assert!(found.groups == 250 && !found.is_noteworthy() && found.share.abs() < 0.02, "{found:?}");
        // Particles sorted along one latent, twenty a micrograph.
        let mut order: Vec<usize> = (0..30_000).collect();
        order.sort_unstable_by(|&a, &b| z[[a, 0]].total_cmp(&z[[b, 0]]));
        let mut sorted = vec![0; 30_000];
        order.iter().enumerate().for_each(|(place, &row)| sorted[row] = place / 20);
        let mut tight = z.clone();
        tight.column_mut(1).fill(0.0);
        tight.column_mut(2).fill(0.0);
        assert!(micrograph_leakage(tight.view(), &sorted).unwrap().unwrap().is_noteworthy());
        let alone: Vec<usize> = (0..30_000).collect();
        assert_eq!(micrograph_leakage(z.view(), &alone).unwrap(), None);
    }
}
