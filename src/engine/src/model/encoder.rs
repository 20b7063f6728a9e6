//! The encoder: a lifted, masked image cube to the mean and log standard deviation of its latent.

use super::layers::{HALVING, Layer, RECTIFIED_GAIN, resize};
use super::tuning;
use crate::native::recomputed;
use contract::{EncoderGrid, ModelLayout, Width};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Side that the original's newer encoder resamples its third level to.
const WAIST: i64 = 12;
/// Side of the original's first encoder grid.
const FIXED_GRID: i64 = 110;
/// Largest grid of [`EncoderGrid::Capped`].
const CAPPED_GRID: i64 = 128;

/// Shape of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Side of the input cube, voxels.
    pub grid: i64,
    /// Channels of the halving convolutions before the waist.
    pub before: Vec<i64>,
    /// Side that the grid is resampled to between the two parts; `None`: not at all.
    pub waist: Option<i64>,
    /// Channels of the halving convolutions after the waist.
    pub after: Vec<i64>,
    /// Name of the fully connected layer: the original's two revisions differ.
    pub dense_name: &'static str,
    /// Units of the fully connected layer.
    pub dense: i64,
    /// Latent dimensions, those of the pose correction included.
    pub latent: i64,
    /// Bias that the log standard deviation starts with.
    pub logstd_bias: f64,
    /// Bounds of the log standard deviation; `None`: free, as the original.
    pub logstd_bounds: Option<(f64, f64)>,
    /// Numbers of the convolutions; what follows them is single precision.
    pub kind: Kind,
}

impl EncoderConfig {
    /// The encoder of a layout, with a free log standard deviation that starts at 0 (as the original).
    #[must_use]
    pub fn of(layout: &ModelLayout) -> Self {
        let crop = layout.crop as i64;
        let grid = match layout.encoder_grid {
            EncoderGrid::Native => crop,
            EncoderGrid::Capped => crop.min(CAPPED_GRID),
            EncoderGrid::Fixed110 => FIXED_GRID,
        };
        let seed = layout.encoder_grid == EncoderGrid::Fixed110;
        let (before, waist, after, dense): (&[i64], _, &[i64], _) = match layout.width {
            Width::Tiny => (&[8, 16, 32, 64], None, &[], 128),
            Width::Full | Width::Small if seed => (&[32, 64, 128, 256, 512, 512], None, &[], 512),
            Width::Full | Width::Small => (&[32, 64, 128], Some(WAIST), &[256, 512, 512], 512),
        };
        let divisor = if layout.width == Width::Small { 4 } else { 1 };
        let divide = |channels: &[i64]| channels.iter().map(|c| c / divisor).collect();
        Self {
            grid,
            before: divide(before),
            waist,
            after: divide(after),
            dense_name: if waist.is_some() { "down3" } else { "down2" },
            dense: dense / divisor,
            latent: (layout.zdim + layout.z_affine_dim) as i64,
            logstd_bias: 0.0,
            logstd_bounds: None,
            kind: Kind::Float,
        }
    }

    /// Side of the last level.
    fn last_side(&self) -> i64 {
        let halved = |side: i64, levels: usize| (0..levels).fold(side, |side, _| side / 2);
        halved(self.waist.unwrap_or_else(|| halved(self.grid, self.before.len())), self.after.len())
    }
}

/// The encoder network.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    before: Vec<Layer>,
    after: Vec<Layer>,
    dense: Layer,
    mu: Layer,
    logstd: Layer,
}

/// What the network says between its parts; for tests that compare level by level.
#[derive(Debug)]
pub struct Levels {
    /// After the convolutions before the waist, `[b, c, n, n, n]`.
    pub before: Tensor,
    /// The fully connected layer's output, `[b, dense]`.
    pub dense: Tensor,
    /// Latent mean, `[b, latent]`.
    pub mu: Tensor,
    /// Log standard deviation, `[b, latent]`.
    pub logstd: Tensor,
}

impl Encoder {
    /// A new encoder below `path`; names are the original's (`down1.0.weight`, …).
    #[must_use]
    pub fn new(path: &Path, config: EncoderConfig) -> Self {
        let part = |name: &str, mut inputs: i64, channels: &[i64]| -> Vec<Layer> {
            let path = path / name;
            let layer = |(level, &outputs): (usize, &i64)| {
                // Every second index is the rectifier.
                let layer = Layer::convolution(&(&path / (2 * level)), inputs, outputs, HALVING, RECTIFIED_GAIN);
                inputs = outputs;
                layer
            };
            channels.iter().enumerate().map(layer).collect()
        };
        let before = part("down1", 1, &config.before);
        let waist = config.before.last().copied().unwrap_or(1);
        let after = part("down2", waist, &config.after);
        let side = config.last_side();
        let features = config.after.last().copied().unwrap_or(waist) * side * side * side;
        let dense = Layer::linear(&(path / config.dense_name / 0), features, config.dense, RECTIFIED_GAIN);
        let mu = Layer::linear(&(path / "mu"), config.dense, config.latent, 1.0);
        let logstd = Layer::linear(&(path / "logstd"), config.dense, config.latent, 1.0);
        logstd.set_bias(config.logstd_bias);
        Self { config, before, after, dense, mu, logstd }
    }

    /// The shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Computes convolutions in these numbers from here on.
    pub fn set_kind(&mut self, kind: Kind) {
        self.config.kind = kind;
    }

    /// Latent mean and log standard deviation, `[b, latent]` each, of masked cubes `[b, 1, e, e, e]`.
    pub fn forward(&self, cubes: &Tensor) -> (Tensor, Tensor) {
        let Levels { mu, logstd, .. } = self.levels(cubes);
        (mu, logstd)
    }

    /// The same, `at_once` cubes at a time, without keeping what the backward pass needs: it is worked out again then. Memory is that of so many
    /// cubes, however many there are; the cost is another forward pass.
    pub fn forward_again(&self, cubes: &Tensor, at_once: i64) -> (Tensor, Tensor) {
        let both = |encoder: &Self, cubes: &Tensor| {
            let (mu, logstd) = encoder.forward(cubes);
            Tensor::cat(&[mu, logstd], 1)
        };
        let parts = cubes.split(at_once.max(1), 0);
        let found: Vec<Tensor> = parts.iter().map(|part| recomputed(self.share(), self.parameters(), part, both)).collect();
        let found = Tensor::cat(&found, 0).chunk(2, 1);
        (found[0].shallow_clone(), found[1].shallow_clone())
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.before.iter().chain(&self.after).chain([&self.dense, &self.mu, &self.logstd])
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.layers().flat_map(Layer::parameters).collect()
    }

    /// The same network: weights are shared.
    fn share(&self) -> Self {
        let all = |layers: &[Layer]| layers.iter().map(Layer::share).collect();
        Self {
            config: self.config.clone(),
            before: all(&self.before),
            after: all(&self.after),
            dense: self.dense.share(),
            mu: self.mu.share(),
            logstd: self.logstd.share(),
        }
    }

    /// The same with the levels in between.
    #[must_use]
    pub fn levels(&self, cubes: &Tensor) -> Levels {
        let run = |layers: &[Layer], x: Tensor| layers.iter().fold(x, |x, layer| layer.rectified(&x));
        let (first, rest) = self.before.split_at(1);
        // One channel has no layout; the second level's is handed on.
        let before = run(rest, tuning::of(cubes.device()).layout.of(&run(first, cubes.to_kind(self.config.kind))));
        let middle = match self.config.waist {
            Some(side) => resize(&before, side),
            None => before.shallow_clone(),
        };
        let flat = run(&self.after, middle).flatten(1, -1).to_kind(Kind::Float);
        let dense = self.dense.rectified(&flat);
        let mu = self.mu.forward(&dense);
        let logstd = self.logstd.forward(&dense);
        let logstd = match self.config.logstd_bounds {
            Some((low, high)) => logstd.clamp(low, high),
            None => logstd,
        };
        Levels { before, dense, mu, logstd }
    }
}
