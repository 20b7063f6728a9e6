//! The linear subspace of structural variability: probabilistic principal components of the maps behind the images.
//!
//! Every image is taken as CTF · projection of V₀ + Σₖ zₖ Vₖ plus noise, with z ~ N(0, 1): probabilistic PCA (Tipping & Bishop 1999) seen
//! through projections and CTFs (Tagare et al. 2015; Punjani & Fleet 2021, eq. 3), solved by expectation–maximisation on Fourier slices. The
//! scores are posterior means, so that a view that shows little of a change says little about it, which scores of lifted images cannot do.
//! Each component carries a prior of its own power spectrum, re-estimated every round: components that the data do not support shrink to
//! nothing (automatic relevance determination), so their number need not be guessed.
//!
//! The scores start the latents of the network; see docs/concepts/learning.md for what that is worth.

mod expectation;
mod linear;
mod maximisation;
mod observations;

use crate::Particles;
use crate::lattice::Lattice;
use contract::{Problem, Result};
use cryoem::random::Random;
use cryoem::volume::Volume;
use expectation::Posterior;
use ndarray::Array2;
use observations::Observations;

pub use linear::LinearModel;

/// What is asked of the fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubspaceOptions {
    /// Components to start with; those that the data do not support are dropped on the way.
    pub components: usize,
    /// Rounds of expectation and maximisation.
    pub rounds: usize,
    /// Particles that the components are learned from, at most (a random subset of the set); all particles are scored.
    pub particles: usize,
    /// Side of the Fourier-cropped images that the components are learned from, at most, pixels.
    pub size_px: usize,
    /// Seed of the random start and of the subset.
    pub seed: u64,
}

impl Default for SubspaceOptions {
    fn default() -> Self {
        // Rounds: the scores' agreement with the truth is flat from round 15 on (docs/concepts/learning.md).
        Self { components: 8, rounds: 20, particles: 5_000, size_px: 64, seed: 0 }
    }
}

/// The fitted subspace.
#[derive(Clone, Debug)]
pub struct Subspace {
    /// Posterior means `[particles, components kept]`, strongest component first, in units of the prior's standard deviation.
    pub scores: Array2<f32>,
    /// Mean power of every component's map relative to the first's.
    pub power: Vec<f64>,
    /// What scores of other images are computed with.
    pub model: LinearModel,
}

impl Subspace {
    /// Number of components that the data support.
    #[must_use]
    pub fn active(&self) -> usize {
        self.power.iter().filter(|p| **p > ACTIVE_POWER).count()
    }
}

/// A component with less than this share of the first one's power counts as noise.
const ACTIVE_POWER: f64 = 1e-3;

/// A component with less than this share of the strongest one's power is on its way to zero and never comes back.
const DROPPED_POWER: f64 = 1e-6;

/// Power of the random start relative to the base volume's: enough to break the symmetry, too little to matter.
const START_POWER: f64 = 0.1;

/// Fits the subspace to a prepared set.
///
/// `base` and `mask` lie on the set's grid; `progress` is told (rounds done, rounds) and may stop the fit.
///
/// # Errors
/// The set, base and mask do not fit together, the base says nothing of the images, or `progress` stops.
pub fn fit(
    set: &dyn Particles,
    base: &Volume,
    mask: &Volume,
    options: &SubspaceOptions,
    progress: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Subspace> {
    let size = set.size_px();
    for (volume, name) in [(base, "base volume"), (mask, "mask")] {
        if volume.data.dim() != (size, size, size) {
            let what = format!("is {:?} voxels where the prepared images have {size} pixels", volume.data.dim());
            return Err(Problem::failed(what).at(name));
        }
    }
    let grid = options.size_px.min(size);
    let apix = set.apix() * size as f64 / grid as f64;
    let (base, mask) = (base.resampled(grid, apix)?, mask.resampled(grid, apix)?.data.mapv(|v| v.clamp(0.0, 1.0)));
    let lattice = Lattice::new(grid);

    let learned_from = Random::keyed(options.seed, &[purpose::SUBSET]).sample(set.len(), options.particles);
    let mut observations = Observations::gather(set, &lattice, apix, &learned_from)?;
    let base_scale = observations.subtract_base(&lattice, &base)?;
    let mut volumes = start(&base, base_scale, &mask, options)?;
    for round in 0..options.rounds {
        progress(round, options.rounds)?;
        let maps = lattice.spectra(&volumes);
        let posterior = Posterior::of(&observations, &lattice, &maps, volumes.len());
        volumes = maximisation::maximise(&observations, &lattice, &posterior, &maps, &mask);
        drop_unsupported(&mut volumes);
    }
    progress(options.rounds, options.rounds)?;
    let power = principal(&mut volumes);
    let components = volumes.into_iter().map(|data| Volume { data, apix }).collect();
    let model = LinearModel { base, base_scale, components, inverse_noise: observations.inverse_noise };
    Ok(Subspace { scores: model.score(set)?, power, model })
}

/// Drops the components that their prior has switched off: they cost as much as any other, and denormal numbers more.
fn drop_unsupported(volumes: &mut Vec<ndarray::Array3<f32>>) {
    let powers: Vec<f64> = volumes.iter().map(|map| map.iter().map(|v| f64::from(*v).powi(2)).sum()).collect();
    let floor = DROPPED_POWER * powers.iter().fold(0.0f64, |a, b| a.max(*b));
    let mut powers = powers.into_iter();
    volumes.retain(|_| powers.next().is_some_and(|p| p >= floor));
}

/// What the random numbers of the fit are for.
mod purpose {
    /// Which particles the components are learned from.
    pub(super) const SUBSET: u64 = 0x5b5e;
    /// The maps that the fit starts from.
    pub(super) const START: u64 = 0x57a7;
}

/// Random smooth maps inside the mask.
fn start(base: &Volume, base_scale: f64, mask: &ndarray::Array3<f32>, options: &SubspaceOptions) -> Result<Vec<ndarray::Array3<f32>>> {
    let std = base.statistics().std * base_scale.abs();
    let n = mask.dim().0;
    (0..options.components)
        .map(|k| {
            let mut random = Random::keyed(options.seed, &[purpose::START, k as u64]);
            let mut noise = ndarray::Array3::zeros((n, n, n));
            noise.iter_mut().for_each(|v| *v = random.normal() as f32);
            // Smooth over a few voxels: variability lives at low resolution first.
            let smooth = Volume { data: noise, apix: 1.0 }.low_passed(START_RESOLUTION_PX)?.data;
            let map = smooth * mask;
            let found = (map.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / map.len() as f64).sqrt();
            Ok(map.mapv(|v| (f64::from(v) * START_POWER.sqrt() * std / found.max(f64::MIN_POSITIVE)) as f32))
        })
        .collect()
}

/// Resolution of the random start, voxels.
const START_RESOLUTION_PX: f64 = 8.0;

/// Turns the components so that their maps are orthogonal, strongest first, each with a positive largest voxel sum; returns relative powers.
///
/// The prior N(0, 1) on the scores is unchanged by a rotation of the components.
fn principal(volumes: &mut Vec<ndarray::Array3<f32>>) -> Vec<f64> {
    let q = volumes.len();
    let gram =
        Array2::from_shape_fn((q, q), |(a, b)| volumes[a].iter().zip(&volumes[b]).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>());
    let (values, vectors) = crate::symmetric::eigen(&gram);
    let turned: Vec<_> = (0..q)
        .map(|k| {
            let mut map = ndarray::Array3::zeros(volumes[0].dim());
            for (j, volume) in volumes.iter().enumerate() {
                map.scaled_add(vectors[[j, k]] as f32, volume);
            }
            if map.iter().map(|v| f64::from(*v)).sum::<f64>() < 0.0 {
                map.mapv_inplace(|v: f32| -v);
            }
            map
        })
        .collect();
    *volumes = turned;
    let first = values[0].max(f64::MIN_POSITIVE);
    values.iter().map(|v| (v / first).max(0.0)).collect()
}

#[cfg(test)]
mod tests;
