//! Background and noise of a group's images after down-sampling.
//!
//! Both are measured in the corners outside the inscribed circle: a particle, and what the CTF spreads of it, is weakest there. A group's value is the
//! median over a sample of its images, so that neighbours which reach into the corners of some images do not count. The noise is the root
//! of the median of the mean squared distances from the background.

use super::grid::Grid;
use contract::GroupSummary;
use ndarray::ArrayView2;

/// Spread (5th to 95th percentile over images) of the background's mean, in units of the noise, beyond which images are brought to a common
/// level one by one. Normalised stacks show about 3.3/√(corner pixels), 0.3 for the smallest images in use.
const UNEVEN_MEAN: f64 = 1.0;
/// The same of the noise, in units of its median; normalised stacks show 0.05 to 0.3, with defocus and ice.
const UNEVEN_STD: f64 = 0.6;
/// Background mean, in units of the noise, that a stack normalised by its own program does not have.
const OFF_ZERO: f64 = 0.3;
/// Corner noise below this part of the whole image's deviation is no noise.
const NO_NOISE: f64 = 0.02;

/// One image's background.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    mean: f64,
    /// Deviation in the corners about `mean`.
    std: f64,
    /// Deviation of all pixels.
    whole_std: f64,
}

impl Sample {
    pub(super) fn of(image: ArrayView2<f32>, grid: &Grid) -> Self {
        let (mean, std) = moments(corners(grid).filter_map(|at| image.get(at).copied()));
        let (_, whole_std) = moments(image.iter().copied());
        Self { mean, std, whole_std }
    }
}

/// A group's background and sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Level {
    /// Original grey scale.
    pub(super) background: f64,
    /// Original grey scale.
    pub(super) noise_std: f64,
    pub(super) inverted: bool,
    /// Images differ so much that each is brought to mean 0 and deviation 1 by its own background.
    pub(super) one_by_one: bool,
}

impl Level {
    /// Of a group without particles.
    pub(super) fn empty() -> Self {
        Self { background: 0.0, noise_std: 1.0, inverted: false, one_by_one: false }
    }

    /// As an earlier preparation found it.
    pub(super) fn of(known: &GroupSummary) -> Self {
        Self { background: known.background, noise_std: known.noise_std, inverted: known.inverted, one_by_one: known.one_by_one }
    }

    /// From a sample of at least one image; what is odd goes to the notes.
    pub(super) fn estimate(sample: &[Sample], name: &str, notes: &mut Vec<String>) -> Self {
        let sorted = |of: &dyn Fn(&Sample) -> f64| {
            let mut values: Vec<f64> = sample.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let means = sorted(&|s| s.mean);
        let background = quantile(&means, 0.5);
        let noise_std = quantile(&sorted(&|s| s.std * s.std + (s.mean - background).powi(2)), 0.5).sqrt();
        let whole = quantile(&sorted(&|s| s.whole_std), 0.5);
        if noise_std <= NO_NOISE * whole || whole == 0.0 {
            let std = if whole > 0.0 { whole } else { 1.0 };
            notes.push(format!(
                "optics group `{name}`: no noise in the corners of the images (masked, or simulated without noise); they are divided by their \
                 whole standard deviation, {std:.4}"
            ));
            return Self { background, noise_std: std, inverted: false, one_by_one: false };
        }
        let stds = sorted(&|s| s.std);
        let within = quantile(&stds, 0.5);
        let mean_spread = (quantile(&means, 0.95) - quantile(&means, 0.05)) / within;
        let std_spread = (quantile(&stds, 0.95) - quantile(&stds, 0.05)) / within;
        if quantile(&stds, 0.05) > NO_NOISE * within && (mean_spread > UNEVEN_MEAN || std_spread > UNEVEN_STD) {
            notes.push(format!(
                "optics group `{name}`: the images are not normalised (background from {:.3e} to {:.3e}, noise from {:.3e} to {:.3e}); each is \
                 normalised by its own background",
                quantile(&means, 0.05),
                quantile(&means, 0.95),
                quantile(&stds, 0.05),
                quantile(&stds, 0.95)
            ));
            return Self { background, noise_std: within, inverted: false, one_by_one: true };
        }
        if background.abs() > OFF_ZERO * noise_std {
            notes.push(format!("optics group `{name}`: the background of the images is {background:.3e}, not 0, at a noise of {noise_std:.3e}; it is subtracted"));
        }
        Self { background, noise_std, inverted: false, one_by_one: false }
    }

    /// Subtracts the background, divides by the noise, turns the sign.
    pub(super) fn apply(&self, image: &mut [f32], grid: &Grid) {
        let (background, noise) = if self.one_by_one {
            let size = grid.size_px;
            let (mean, std) = moments(corners(grid).map(|[y, x]| image[y * size + x]));
            // An image that is flat in its corners has no noise to be measured by.
            (mean, if std > NO_NOISE * self.noise_std { std } else { self.noise_std })
        } else {
            (self.background, self.noise_std)
        };
        let factor = if self.inverted { -1.0 } else { 1.0 } / noise;
        image.iter_mut().for_each(|v| *v = ((f64::from(*v) - background) * factor) as f32);
    }
}

/// Pixels `[y, x]` that hold original pixels and lie outside the circle inscribed in them.
pub(super) fn corners(grid: &Grid) -> impl Iterator<Item = [usize; 2]> {
    let (size, half) = (grid.size_px, grid.filled_half_px());
    let centre = (size / 2) as f64;
    // The outermost pixel that is filled: between padding and image the Fourier crop rings.
    let rim = if half < centre { half - 1.0 } else { half };
    let inside = move |d: f64| d >= -rim && d < rim;
    (0..size * size).filter_map(move |i| {
        let (dy, dx) = ((i / size) as f64 - centre, (i % size) as f64 - centre);
        (inside(dx) && inside(dy) && dx * dx + dy * dy > half * half).then_some([i / size, i % size])
    })
}

/// Mean and population standard deviation; 0 and 0 of nothing.
pub(super) fn moments(values: impl Iterator<Item = f32>) -> (f64, f64) {
    let (mut n, mut sum, mut squares, mut pivot) = (0.0, 0.0, 0.0, 0.0);
    for v in values.map(f64::from) {
        if n == 0.0 {
            pivot = v;
        }
        n += 1.0;
        sum += v - pivot;
        squares += (v - pivot) * (v - pivot);
    }
    if n == 0.0 {
        return (0.0, 0.0);
    }
    let mean = sum / n;
    (mean + pivot, (squares / n - mean * mean).max(0.0).sqrt())
}

/// Linear interpolation in sorted values.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - at.floor())
}
