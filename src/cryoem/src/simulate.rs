//! Synthetic heterogeneous particle sets with their truth.
//!
//! A specimen in several states is projected (Gaussians exactly, maps by Fourier slices), seen through the contrast transfer function, and
//! buried in noise; the images are normalised as RELION does. Everything random comes from a counter-based generator: the same options give
//! the same files, whatever the number of threads.
//!
//! The folder gets `particles.mrcs` (one stack an optics group where boxes differ), `particles.star`, `consensus.mrc`, `mask.mrc`,
//! `gt/vol_NNN.mrc` (one a state), `labels.csv` (state and true pose of every particle; nothing of it stands in the STAR file) and
//! `simulation.json` (the options).

use crate::atomic;
use crate::fft::{irfft2, rfft2};
use crate::mask::{self, MapMask};
use crate::mrc::{self, StackWriter, Values};
use crate::volume::Volume;
use contract::{Problem, Result};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

mod options;
mod output;
pub mod phantom;
mod plan;
mod slicer;
mod specimen;

pub use options::{Motion, Noise, Optics, SimulateOptions, Specimen, StarVersion, States, Views};

use plan::{Draw, Planned, draw};
use specimen::{Model, Projector};

/// Images held at a time.
const BATCH: usize = 256;

/// What was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Particles written.
    pub particles: usize,
    /// States of the specimen.
    pub states: usize,
    /// Particles of every state.
    pub state_counts: Vec<usize>,
    /// Mean over the images of the signal's variance inside the inscribed circle, an optics group each, before normalisation.
    pub signal_variance: Vec<f64>,
    /// Standard deviation of the noise in the same grey scale.
    pub noise_std: Vec<f64>,
    /// Mean angular error of the STAR file's poses, degrees.
    pub mean_pose_error_deg: f64,
}

/// Writes a simulated set to the folder `out`. `progress` is called with (images done, images in all); an error of it stops the simulation.
///
/// # Errors
/// An option is out of range, a map of a volume series cannot be read, a file cannot be written, or `progress` said so.
pub fn simulate(options: &SimulateOptions, out: &Path, progress: &mut dyn FnMut(usize, usize) -> Result<()>) -> Result<Summary> {
    options.check()?;
    let model = Model::new(options)?;
    if let States::Weights(weights) = &options.states {
        let usable = weights.len() == model.coordinates.len() && weights.iter().all(|w| w.is_finite() && *w >= 0.0);
        if !usable || weights.iter().sum::<f64>() <= 0.0 {
            let what = format!("{} proportions for {} states; each must be 0 or more, one above 0", weights.len(), model.coordinates.len());
            return Err(Problem::input(what).at("`states`"));
        }
    }
    let truth = out.join("gt");
    std::fs::create_dir_all(&truth).map_err(|e| Problem::io(&truth, &e))?;
    let plan = plan::plan(options, &model.coordinates);
    let mut state_counts = vec![0; model.coordinates.len()];
    plan.iter().for_each(|p| state_counts[p.state] += 1);
    write_volumes(options, &model, &state_counts, out)?;

    let projectors = options.groups.iter().map(|g| model.projector(*g)).collect::<Result<Vec<_>>>()?;
    let total = 2 * plan.len();
    let signal_variance = signal_variance(options, &plan, &projectors, &mut |done| progress(done, total))?;
    let noise_std: Vec<f64> = signal_variance.iter().map(|v| if options.snr > 0.0 { (v / options.snr).sqrt() } else { 0.0 }).collect();
    let numbers =
        write_images(options, &plan, &projectors, (&signal_variance, &noise_std), out, &mut |done| progress(plan.len() + done, total))?;
    output::write_star(&out.join("particles.star"), options, &plan, &numbers)?;
    output::write_labels(&out.join("labels.csv"), &plan, &model.coordinates)?;
    let text = serde_json::to_string_pretty(options).map_err(|e| Problem::failed(format!("`simulation.json` cannot be made: {e}")))?;
    atomic::write(&out.join("simulation.json"), text.as_bytes())?;
    Ok(Summary {
        particles: plan.len(),
        states: model.coordinates.len(),
        state_counts,
        signal_variance,
        noise_std,
        mean_pose_error_deg: plan.iter().map(|p| p.pose_error_deg).sum::<f64>() / plan.len() as f64,
    })
}

/// The states' maps, their mean weighted by the particles, and a mask around all of them, on the first group's grid.
fn write_volumes(options: &SimulateOptions, model: &Model, counts: &[usize], out: &Path) -> Result<()> {
    let Optics { box_px, apix, .. } = options.groups[0];
    let (mut consensus, mut highest) = (Volume::zeros(box_px, apix), Volume::zeros(box_px, apix));
    for (state, &count) in counts.iter().enumerate() {
        let map = model.volume(state, box_px, apix)?;
        consensus.data.scaled_add(count as f32 / options.particles as f32, &map.data);
        highest.data.zip_mut_with(&map.data, |h, v| *h = h.max(*v));
        mrc::write_volume(&out.join(format!("gt/vol_{state:03}.mrc")), &map)?;
    }
    mrc::write_volume(&out.join("consensus.mrc"), &consensus)?;
    /// Inside is what exceeds this part of the density that one voxel in a thousand exceeds; widened by 3 voxels, with an edge of 4.
    const THRESHOLD: f32 = 0.08;
    let mut sorted: Vec<f32> = highest.data.iter().copied().collect();
    sorted.sort_by(f32::total_cmp);
    let core = sorted[(sorted.len() - 1) - (sorted.len() - 1) / 1000];
    let how = MapMask { threshold: Some(THRESHOLD * core), low_pass_angstrom: 0.0, extend_angstrom: 3.0 * apix, soft_angstrom: 4.0 * apix };
    mrc::write_volume(&out.join("mask.mrc"), &mask::from_map(&highest, &how)?.0)
}

/// The image of a particle without noise, before normalisation.
fn signal(options: &SimulateOptions, particle: &Planned, projectors: &[Projector]) -> Array2<f32> {
    let optics = options.groups[particle.group];
    let image = projectors[particle.group].project(particle.state, &particle.rotation(), particle.true_origin_px.map(|o| -o));
    if !options.ctf {
        return image;
    }
    let mut spectrum = rfft2(image.view());
    let transfer = particle.ctf.half_plane(optics.box_px, optics.apix);
    spectrum.iter_mut().zip(transfer).for_each(|(v, c)| *v *= c);
    irfft2(spectrum, optics.box_px)
}

fn signal_variance(
    options: &SimulateOptions,
    plan: &[Planned],
    projectors: &[Projector],
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<f64>> {
    let mut sums = vec![(0.0, 0usize); options.groups.len()];
    for (batch, particles) in plan.chunks(BATCH).enumerate() {
        let variances: Vec<f64> = particles
            .par_iter()
            .map(|p| {
                let image = signal(options, p, projectors);
                statistics(image.view(), |r2, n| r2 <= (n / 2).pow(2) as f64).1
            })
            .collect();
        for (p, variance) in particles.iter().zip(variances) {
            sums[p.group].0 += variance;
            sums[p.group].1 += 1;
        }
        progress(batch * BATCH + particles.len())?;
    }
    Ok(sums.into_iter().map(|(sum, count)| sum / count.max(1) as f64).collect())
}

/// Mean and variance of the pixels whose squared distance from the centre satisfies `inside`.
fn statistics(image: ArrayView2<f32>, inside: impl Fn(f64, usize) -> bool) -> (f64, f64) {
    let n = image.nrows();
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0usize);
    for ((y, x), &v) in image.indexed_iter() {
        let (dy, dx) = (y as f64 - (n / 2) as f64, x as f64 - (n / 2) as f64);
        if inside(dx * dx + dy * dy, n) {
            sum += f64::from(v);
            squares += f64::from(v) * f64::from(v);
            count += 1;
        }
    }
    let mean = sum / count.max(1) as f64;
    (mean, (squares / count.max(1) as f64 - mean * mean).max(0.0))
}

/// Makes and writes all images; returns their numbers in their stacks, from 1.
fn write_images(
    options: &SimulateOptions,
    plan: &[Planned],
    projectors: &[Projector],
    (signal_variance, noise_std): (&[f64], &[f64]),
    out: &Path,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<usize>> {
    let values = if options.half_precision { Values::Half } else { Values::Single };
    let single = output::one_stack(options);
    let stack_of = |group: usize| if single { 0 } else { group };
    let stacks = if single { 1 } else { options.groups.len() };
    let mut writers = Vec::with_capacity(stacks);
    for stack in 0..stacks {
        let count = plan.iter().filter(|p| stack_of(p.group) == stack).count();
        let Optics { box_px, apix, .. } = options.groups[stack];
        let path = out.join(output::stack_name(options, stack));
        // A group without a particle has no stack.
        writers.push(if count > 0 { Some(StackWriter::create(&path, count, box_px, apix, values)?) } else { None });
    }
    let filters: Vec<Option<Vec<f32>>> = options.groups.iter().map(|g| noise_filter(options.noise, g.box_px)).collect();
    let mut used = vec![0; stacks];
    let mut numbers = Vec::with_capacity(plan.len());
    for (batch, particles) in plan.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        let images: Vec<Array2<f32>> = particles
            .par_iter()
            .enumerate()
            .map(|(i, p)| {
                let mut image = signal(options, p, projectors);
                let std = noise_std[p.group];
                if std > 0.0 {
                    add_noise(&mut image.view_mut(), std, filters[p.group].as_deref(), options.seed, first + i);
                }
                normalise(&mut image, options.background_radius, (std == 0.0).then(|| signal_variance[p.group].sqrt()));
                image
            })
            .collect();
        for (p, image) in particles.iter().zip(&images) {
            let stack = stack_of(p.group);
            used[stack] += 1;
            numbers.push(used[stack]);
            if let Some(writer) = &mut writers[stack] {
                writer.push(image.as_slice().expect("images are contiguous"))?;
            }
        }
        progress(first + particles.len())?;
    }
    writers.into_iter().flatten().try_for_each(StackWriter::finish)?;
    Ok(numbers)
}

fn add_noise(image: &mut ArrayViewMut2<f32>, std: f64, filter: Option<&[f32]>, seed: u64, index: usize) {
    let n = image.nrows();
    let mut noise = Array2::zeros((n, n));
    draw(seed, Draw::Noise, index).fill_normal(noise.as_slice_mut().expect("a fresh array is contiguous"));
    if let Some(filter) = filter {
        let mut spectrum = rfft2(noise.view());
        spectrum.iter_mut().zip(filter).for_each(|(v, f)| *v *= f);
        noise = irfft2(spectrum, n);
    }
    image.scaled_add(std as f32, &noise);
}

/// The amplitudes of coloured noise on a half plane, scaled so that the noise keeps variance 1; `None` for white noise.
fn noise_filter(noise: Noise, n: usize) -> Option<Vec<f32>> {
    if noise == Noise::White {
        return None;
    }
    let mut power = 0.0;
    let mut filter = Vec::with_capacity(n * (n / 2 + 1));
    for y in 0..n {
        let ky = crate::fft::signed_index(y, n) as f64 / n as f64;
        for x in 0..=n / 2 {
            let kx = x as f64 / n as f64;
            // Amplitude² falls from 1.25 to 0.25 about a fifth of the Nyquist frequency.
            let k = (kx * kx + ky * ky).sqrt() / 0.5;
            let f = (0.25 + 1.0 / (1.0 + (k / 0.2).powi(2))).sqrt();
            power += f * f * if x == 0 || 2 * x == n { 1.0 } else { 2.0 };
            filter.push(f);
        }
    }
    let scale = ((n * n) as f64 / power).sqrt();
    Some(filter.into_iter().map(|f| (f * scale) as f32).collect())
}

/// Mean 0 and standard deviation 1 outside the background circle, as RELION's extraction leaves images; without noise the given deviation counts.
fn normalise(image: &mut Array2<f32>, background_radius: f64, deviation: Option<f64>) {
    let (mean, variance) = statistics(image.view(), |r2, n| r2 > (background_radius * n as f64).powi(2));
    let std = deviation.unwrap_or_else(|| variance.sqrt()).max(f64::MIN_POSITIVE);
    image.mapv_inplace(|v| ((f64::from(v) - mean) / std) as f32);
}

#[cfg(test)]
mod tests;
