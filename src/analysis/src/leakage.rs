//! How much the latents tell of what they should not know: from where a particle is seen, how far out of focus it was taken, with which optics, and
//! in which micrograph.
//!
//! Two questions are asked. *Told*: can the nuisance be read from the latents? *Share*: how much of the latents' spread does it explain? A weak trace
//! of defocus in a corner of the latents is told without being a share of anything; latents that are defocus instead of structure are both.

mod groups;

pub use groups::{GroupLeakage, group_leakage, micrograph_leakage};

use crate::blocks::check_latents;
use crate::neighbours::{even_sample, nearest_outside_fold, neighbour_mean, random_folds};
use contract::{Nuisance, Problem, Result};
use ndarray::{Array2, ArrayView2, Axis};

/// Particles looked at; enough for two digits of R², and under a second.
const PARTICLES: usize = 5_000;
/// Neighbours averaged: few enough to follow a curved relation, many enough to even out noise.
const NEIGHBOURS: usize = 20;
/// R² above which a nuisance is mostly readable. A latent that knows nothing scores 1/`NEIGHBOURS` below 0; defocus scores up to 0.4 in runs whose
/// latents tell the states as well as others do.
const READABLE_R2: f64 = 0.5;
/// Share of the latents' spread above which clusters may be of the nuisance.
const NOTEWORTHY_SHARE: f64 = 0.1;

/// Share of the variance of a nuisance that a particle's neighbours in latent space predict (cross-validated R²; 0 or less: nothing).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Leakage {
    /// Of the view direction.
    pub view_r2: f64,
    /// Of the mean defocus.
    pub defocus_r2: f64,
}

/// Leakage of view direction (`[n, 3]` unit vectors) and mean defocus (Å, `[n]`) into latents `[n, d]`.
///
/// # Errors
/// If the three do not have the same number of rows, or a latent is not finite.
pub fn leakage(latents: ArrayView2<'_, f32>, view_directions: ArrayView2<'_, f64>, defocus_angstrom: &[f64]) -> Result<Leakage> {
    check_latents(latents)?;
    let n = latents.nrows();
    if view_directions.dim() != (n, 3) || defocus_angstrom.len() != n {
        let (rows, columns) = view_directions.dim();
        return Err(Problem::failed(format!(
            "{n} latents, {rows} × {columns} view directions and {} defoci do not match",
            defocus_angstrom.len()
        )));
    }
    let rows = even_sample(n, PARTICLES);
    let sample = latents.select(Axis(0), &rows);
    let neighbours = nearest_outside_fold(sample.view(), &random_folds(rows.len(), 0), NEIGHBOURS);
    let view: Vec<Vec<f64>> = view_directions.columns().into_iter().map(|axis| rows.iter().map(|&row| axis[row]).collect()).collect();
    let defocus: Vec<f64> = rows.iter().map(|&row| defocus_angstrom[row]).collect();
    Ok(Leakage { view_r2: joint_r2(&neighbours, &view), defocus_r2: joint_r2(&neighbours, &[defocus]) })
}

/// How well each column (`[n]`) is read from latents `[n, d]`: cross-validated R² of the neighbours' mean, in the order of the columns.
///
/// # Errors
/// If a column has another number of rows, or a latent is not finite.
pub fn told(latents: ArrayView2<'_, f32>, columns: &[&[f32]]) -> Result<Vec<f64>> {
    check_latents(latents)?;
    let n = latents.nrows();
    if let Some(column) = columns.iter().find(|column| column.len() != n) {
        return Err(Problem::failed(format!("a column of {} values for {n} latents", column.len())));
    }
    let rows = even_sample(n, PARTICLES);
    let neighbours = nearest_outside_fold(latents.select(Axis(0), &rows).view(), &random_folds(rows.len(), 0), NEIGHBOURS);
    Ok(columns.iter().map(|column| joint_r2(&neighbours, &[rows.iter().map(|&row| f64::from(column[row])).collect()])).collect())
}

/// R² of the neighbours' means of several values taken together; 0 where nothing varies.
fn joint_r2(neighbours: &[Vec<usize>], values: &[Vec<f64>]) -> f64 {
    if neighbours.iter().any(Vec::is_empty) {
        return 0.0;
    }
    let (mut residual, mut total) = (0.0, 0.0);
    for value in values {
        let mean = value.iter().sum::<f64>() / value.len() as f64;
        let predicted = neighbour_mean(neighbours, value, NEIGHBOURS);
        residual += value.iter().zip(&predicted).map(|(v, p)| (v - p).powi(2)).sum::<f64>();
        total += value.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    }
    if total > 0.0 { 1.0 - residual / total } else { 0.0 }
}

/// All that is known of nuisances in the latents.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Encoded {
    /// Share of each nuisance's variance that the latents tell.
    pub told: Leakage,
    /// Share of the latents' variance that each nuisance explains (cross-validated R² of the latents from the nuisance's neighbours).
    pub share: Leakage,
    /// Of optics groups; none where there is one group.
    pub optics: Option<GroupLeakage>,
    /// Of micrographs; none where they are not known or hold a particle each.
    pub micrograph: Option<GroupLeakage>,
}

/// What the latents should not know; one entry a particle each.
#[derive(Clone, Copy, Debug)]
pub struct Nuisances<'a> {
    /// Unit vectors, `[n, 3]`.
    pub view_directions: ArrayView2<'a, f64>,
    /// Mean defocus, Å.
    pub defocus_angstrom: &'a [f64],
    /// Optics group, any numbers.
    pub optics_groups: &'a [usize],
    /// Micrograph, any numbers, where it is known.
    pub micrographs: Option<&'a [usize]>,
}

/// What latents `[n, d]` tell of their nuisances, and what these explain of them.
///
/// # Errors
/// If the numbers of rows differ, or a latent is not finite.
pub fn encoded(latents: ArrayView2<'_, f32>, nuisances: &Nuisances<'_>) -> Result<Encoded> {
    let told = leakage(latents, nuisances.view_directions, nuisances.defocus_angstrom)?;
    let rows = even_sample(latents.nrows(), PARTICLES);
    let folds = random_folds(rows.len(), 0);
    let sample = latents.select(Axis(0), &rows);
    let values: Vec<Vec<f64>> = sample.columns().into_iter().map(|column| column.iter().map(|&v| f64::from(v)).collect()).collect();
    let explained = |by: ArrayView2<'_, f32>| joint_r2(&nearest_outside_fold(by, &folds, NEIGHBOURS), &values);
    let view = nuisances.view_directions.select(Axis(0), &rows).mapv(|v| v as f32);
    let defocus = Array2::from_shape_fn((rows.len(), 1), |(i, _)| nuisances.defocus_angstrom[rows[i]] as f32);
    let constant = |values: ArrayView2<'_, f32>| values.rows().into_iter().all(|row| row == values.row(0));
    let share = |by: ArrayView2<'_, f32>| if constant(by) { 0.0 } else { explained(by) };
    Ok(Encoded {
        told,
        share: Leakage { view_r2: share(view.view()), defocus_r2: share(defocus.view()) },
        optics: group_leakage(latents, nuisances.optics_groups)?,
        micrograph: nuisances.micrographs.map(|m| micrograph_leakage(latents, m)).transpose()?.flatten(),
    })
}

impl Encoded {
    /// What is known of each nuisance, with the limits beyond which people should know.
    #[must_use]
    pub fn nuisances(&self) -> Vec<Nuisance> {
        let value = |name: &str, told: f64, share: f64| Nuisance {
            name: name.into(),
            told: told.max(0.0),
            told_limit: READABLE_R2,
            share: share.max(0.0),
            share_limit: NOTEWORTHY_SHARE,
            noteworthy: told > READABLE_R2 || share > NOTEWORTHY_SHARE,
        };
        let values =
            [value("view direction", self.told.view_r2, self.share.view_r2), value("defocus", self.told.defocus_r2, self.share.defocus_r2)];
        let groups = [("optics group", self.optics), ("micrograph", self.micrograph)];
        values.into_iter().chain(groups.into_iter().filter_map(|(name, group)| Some(group?.nuisance(name)))).collect()
    }

    /// A line for each nuisance that the latents know of, with what to do; none for healthy latents.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.nuisances().iter().filter(|n| n.noteworthy).filter_map(|n| self.line(&n.name)).collect()
    }

    fn line(&self, name: &str) -> Option<String> {
        let of_groups = |group: GroupLeakage| (100.0 * group.same, 100.0 * group.chance);
        Some(match name {
            "view direction" => format!(
                "latents tell the view direction (R² {:.2}, {:.0}% of their variance): clusters may be views rather than states; compare the clusters' views, or \
                 train with more `--lamb`",
                self.told.view_r2,
                100.0 * self.share.view_r2.max(0.0)
            ),
            "defocus" => format!(
                "latents tell the defocus (R² {:.2}, {:.0}% of their variance): clusters may be micrographs rather than states; check CTF parameters and pixel size",
                self.told.defocus_r2,
                100.0 * self.share.defocus_r2.max(0.0)
            ),
            "optics group" => {
                let (same, chance) = of_groups(self.optics?);
                format!(
                    "latents tell the optics group ({same:.0}% of a particle's neighbours are of its own group, {chance:.0}% by chance): clusters may be sessions \
                     rather than states; compare the groups' shares in the clusters, and look at pixel sizes and CTF parameters of the groups"
                )
            }
            _ => {
                let (same, chance) = of_groups(self.micrograph?);
                format!(
                    "latents tell the micrograph ({same:.1}% of a particle's neighbours are of its own micrograph, {chance:.1}% by chance): clusters may be ice or \
                     background rather than states; look for crowded or thick micrographs, and normalise the particles' background"
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryoem::random::Random;

    #[test]
    fn a_latent_that_is_the_defocus_is_caught() {
        let n = 1000;
        let hash = |i: usize| {
            let x = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            ((x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 40) as f64 / (1 << 24) as f64
        };
        let view = Array2::from_shape_fn((n, 3), |(i, j)| {
            let angle = std::f64::consts::TAU * hash(i * 7 + 3);
            [angle.cos(), angle.sin(), 0.0][j]
        });
        let defocus: Vec<f64> = (0..n).map(|i| 10_000.0 + 5_000.0 * hash(i)).collect();
        let leaky = Array2::from_shape_fn((n, 2), |(i, j)| (if j == 0 { hash(i) } else { 0.05 * hash(i + n) }) as f32);
        let found = leakage(leaky.view(), view.view(), &defocus).unwrap();
        assert!(found.defocus_r2 > 0.95 && found.view_r2 < 0.1, "{found:?}");
        let columns: [Vec<f32>; 2] = [defocus.iter().map(|&v| v as f32).collect(), (0..n).map(|i| hash(i * 13 + 7) as f32).collect()];
        let both = told(leaky.view(), &[&columns[0], &columns[1]]).unwrap();
        assert!((both[0] - found.defocus_r2).abs() < 1e-6 && both[1] < 0.1, "{both:?}");
        assert!(told(leaky.view(), &[&columns[0][1..]]).is_err());
        let healthy = Array2::from_shape_fn((n, 2), |(i, j)| hash(i * 31 + j * 17 + 5 * n) as f32);
        assert!(leakage(healthy.view(), view.view(), &defocus[..n - 1]).is_err());
        let constant = leakage(healthy.view(), view.view(), &vec![1.0; n]).unwrap();
        assert_eq!(constant.defocus_r2, 0.0);
    }

    /// Latents of two states, with a share of something else in the second dimension.
    fn latents(n: usize, other: impl Fn(usize) -> f64) -> Array2<f32> {
        let mut random = Random::new(2, 0);
        Array2::from_shape_fn((n, 4), |(i, j)| {
            let noise = 0.3 * random.normal();
            (noise + [(i % 2) as f64 * 2.0, other(i), 0.0, 0.0][j]) as f32
        })
    }

    #[test]
    fn each_nuisance_is_named_and_healthy_latents_are_not() {
        let n = 3000;
        let mut random = Random::new(7, 1);
        let view = Array2::from_shape_vec((n, 3), (0..n).flat_map(|_| random.direction()).collect()).unwrap();
        // Micrographs of 30 particles share a defocus, and a background of their own; sessions are halves of the set.
        let micrographs: Vec<usize> = (0..n).map(|i| i / 30).collect();
        let background: Vec<f64> = (0..n / 30).map(|_| random.normal()).collect();
        let of_micrograph: Vec<f64> = (0..n / 30).map(|_| random.range(8_000.0, 24_000.0)).collect();
        let defocus: Vec<f64> = (0..n).map(|i| of_micrograph[i / 30] + 100.0 * random.normal()).collect();
        let optics: Vec<usize> = (0..n).map(|i| 1 + i / (n / 2)).collect();
        let nuisances =
            Nuisances { view_directions: view.view(), defocus_angstrom: &defocus, optics_groups: &optics, micrographs: Some(&micrographs) };
        let warned = |z: Array2<f32>| encoded(z.view(), &nuisances).unwrap().warnings();
        assert_eq!(warned(latents(n, |_| 0.0)), Vec::<String>::new());
        let lines = warned(latents(n, |i| (defocus[i] - 16_000.0) / 4_000.0));
        assert!(lines.iter().any(|l| l.contains("the defocus")) && !lines.iter().any(|l| l.contains("view direction")), "{lines:?}");
        let lines = warned(latents(n, |i| 1.5 * view[[i, 2]]));
        assert!(lines.len() == 1 && lines[0].contains("view direction"), "{lines:?}");
        let lines = warned(latents(n, |i| optics[i] as f64));
        // A session has its own micrographs, so that these are told as well.
        assert!(lines[0].contains("optics group") && !lines.iter().any(|l| l.contains("defocus") || l.contains("view")), "{lines:?}");
        let lines = warned(latents(n, |i| background[micrographs[i]]));
        assert!(lines.iter().any(|l| l.contains("the micrograph")), "{lines:?}");
    }
}
