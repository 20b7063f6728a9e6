//! How much memory training takes, from the shapes of the networks alone: before anything is allocated.
//!
//! Counts of weights and of what the levels hold are exact (tests of the engine hold them against the networks); what comes on top of
//! them at the peak of a step is estimated (docs/benchmarks/memory.md holds it against measurements).

use crate::{EncoderGrid, ModelLayout, Precision, ResizeAt, TrainSettings, Width};

/// Host memory that lifted cubes and silhouettes of all particles are kept in at most, bytes; where they take more they are made anew.
pub const MOST_CACHED_BYTES: u64 = 2 << 30;

/// Bytes of a float.
const FLOAT: u64 = 4;
/// And of half a one.
const BFLOAT16: u64 = 2;
/// Weights, gradients, and the two moments of the optimiser.
const COPIES_OF_WEIGHTS: u64 = 4;
/// What a step needs beside what its levels hold, over what they hold: gradients of two neighbouring levels, copies in another layout.
const PEAK_OVER_HELD: f64 = 1.6;
/// Copies of the decoded volume that are alive at the peak: the decoder's output, smoothed, assembled, and the gradients of these.
const VOLUMES: u64 = 6;
/// Images of the compared region that a pose hypothesis needs: projection, its transforms, and the gradients of these.
const IMAGES_A_POSE: u64 = 10;

/// Taps of the networks' kernels.
const TAPS: u64 = 64;
const BLOCK_TAPS: u64 = 8;
const KEEPING_TAPS: u64 = 27;
/// Units of the fully connected layers of the original's networks.
const DENSE: u64 = 512;
/// Side of the original encoder's waist, and of the first encoder's grid; the largest grid of a capped one.
const WAIST: u64 = 12;
const FIXED_GRID: u64 = 110;
const CAPPED_GRID: u64 = 128;

/// One level of a network: what it holds of an image, and its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Channels.
    pub channels: u64,
    /// Side of the grid, voxels.
    pub side: u64,
    /// Weights and biases of the layer that makes it; 0: a resampling.
    pub weights: u64,
}

impl Level {
    /// Floats that it holds of an image.
    #[must_use]
    pub fn floats(&self) -> u64 {
        self.channels * self.side.pow(3)
    }
}

/// Levels on the way from `channels` at `side` to each of `outputs`.
fn levels(channels: &mut u64, side: &mut u64, outputs: &[u64], taps: u64, next: fn(u64) -> u64) -> Vec<Level> {
    let mut level = |&out: &u64| {
        let weights = taps * *channels * out + out;
        (*channels, *side) = (out, next(*side));
        Level { channels: out, side: *side, weights }
    };
    outputs.iter().map(&mut level).collect()
}

fn divisor(width: Width) -> u64 {
    if width == Width::Small { 4 } else { 1 }
}

/// Side of the encoder's cube, voxels.
#[must_use]
pub fn encoder_grid(layout: &ModelLayout) -> u64 {
    let crop = layout.crop as u64;
    match layout.encoder_grid {
        EncoderGrid::Native => crop,
        EncoderGrid::Capped => crop.min(CAPPED_GRID),
        EncoderGrid::Fixed110 => FIXED_GRID,
    }
}

/// Levels of the encoder, from the cube on (which is not among them).
#[must_use]
pub fn encoder_levels(layout: &ModelLayout) -> Vec<Level> {
    let by = divisor(layout.width);
    let seed = layout.encoder_grid == EncoderGrid::Fixed110;
    let (before, waist, after, dense): (&[u64], bool, &[u64], u64) = match layout.width {
        Width::Tiny => (&[8, 16, 32, 64], false, &[], 128),
        Width::Full | Width::Small if seed => (&[32, 64, 128, 256, 512, 512], false, &[], DENSE),
        Width::Full | Width::Small => (&[32, 64, 128], true, &[256, 512, 512], DENSE),
    };
    let divided = |channels: &[u64]| channels.iter().map(|c| c / by).collect::<Vec<_>>();
    let (mut channels, mut side) = (1, encoder_grid(layout));
    let halve = |side: u64| side / 2;
    let mut all = levels(&mut channels, &mut side, &divided(before), TAPS, halve);
    if waist {
        side = WAIST;
        all.push(Level { channels, side, weights: 0 });
    }
    all.extend(levels(&mut channels, &mut side, &divided(after), TAPS, halve));
    let (features, dense, latent) = (channels * side.pow(3), dense / by, (layout.zdim + layout.z_affine_dim) as u64);
    all.push(Level { channels: dense, side: 1, weights: features * dense + dense });
    all.push(Level { channels: 2 * latent, side: 1, weights: 2 * (dense * latent + latent) });
    all
}

/// Levels of the decoder, the volume (one channel at the template's side) the last.
#[must_use]
pub fn decoder_levels(layout: &ModelLayout) -> Vec<Level> {
    let (by, template, latent) = (divisor(layout.width), layout.template as u64, layout.zdim as u64);
    let divided = |channels: &[u64]| channels.iter().map(|c| c / by).collect::<Vec<_>>();
    let double = |side: u64| 2 * side;
    let tiny = layout.width == Width::Tiny;
    let (dense, mut channels, mut side) = if tiny { (128, 64, template / 16) } else { (DENSE / by, 2048 / by, 1) };
    let root = channels * side.pow(3);
    let mut all =
        vec![Level { channels: dense, side: 1, weights: latent * dense + dense }, Level { channels, side, weights: dense * root + root }];
    let (before, waist, after): (&[u64], _, &[u64]) = match (layout.width, layout.resize_at) {
        (Width::Tiny, _) => (&[32, 16, 8], None, &[]),
        (_, ResizeAt::Side16) => (&[256, 128], Some(template / 16), &[64, 32, 16]),
        (_, ResizeAt::Side32) => (&[256, 128, 64], Some(template / 8), &[32, 16]),
    };
    if !tiny {
        all.extend(levels(&mut channels, &mut side, &divided(&[1024, 512]), BLOCK_TAPS, double));
    }
    all.extend(levels(&mut channels, &mut side, &divided(before), TAPS, double));
    if let Some(waist) = waist.filter(|waist| *waist != side) {
        side = waist;
        all.push(Level { channels, side, weights: 0 });
    }
    all.extend(levels(&mut channels, &mut side, &divided(after), TAPS, double));
    if tiny {
        all.push(Level { channels: 8, side, weights: KEEPING_TAPS * channels * 8 + 8 });
        all.push(Level { channels: 1, side: template, weights: 0 });
    } else {
        all.push(Level { channels: 1, side: template, weights: TAPS * channels + 1 });
    }
    all
}

/// What a training step takes on its device, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Footprint {
    /// Weights of both networks; as many bytes are taken by the gradients and by each of two moments.
    pub weights: u64,
    /// Their copies in the numbers of the convolutions, where these are others.
    pub copies: u64,
    /// The encoder's input of an image of the effective batch.
    pub cube: u64,
    /// What the encoder holds of an image.
    pub encoded: u64,
    /// What the decoder, the projections and the loss take for an image that is decoded.
    pub decoded: u64,
}

impl Footprint {
    /// Of decided settings.
    #[must_use]
    pub fn of(settings: &TrainSettings) -> Self {
        let layout = &settings.layout;
        let (encoder, decoder) = (encoder_levels(layout), decoder_levels(layout));
        let weights: u64 = encoder.iter().chain(&decoder).map(|level| level.weights).sum();
        let held = |levels: &[Level]| levels.iter().map(Level::floats).sum::<u64>();
        let (volume, image) = ((layout.template as u64).pow(3), (layout.crop as u64).pow(2));
        let poses = settings.hypotheses.ring as u64 + 1;
        let ladder = (held(&decoder) - volume) as f64 * PEAK_OVER_HELD;
        let (number, copies) = match settings.precision {
            Precision::F32 => (FLOAT, 0),
            Precision::Bf16 => (BFLOAT16, BFLOAT16 * weights),
        };
        Self {
            weights: FLOAT * weights,
            copies,
            cube: FLOAT * encoder_grid(layout).pow(3),
            encoded: number * held(&encoder),
            decoded: number * ladder as u64 + FLOAT * (VOLUMES * volume + IMAGES_A_POSE * poses * image),
        }
    }

    /// Peak of a step of `batch` images, `micro_batch` of which are decoded at a time.
    #[must_use]
    pub fn bytes(&self, batch: usize, micro_batch: usize, recompute_encoder: bool) -> u64 {
        let (batch, micro) = (batch as u64, micro_batch.min(batch) as u64);
        let held = if recompute_encoder { 0 } else { batch * self.encoded };
        // At its own backward pass the encoder needs gradients of its first levels, too, when the decoder's part is gone.
        let encoding = (micro.max(if recompute_encoder { 0 } else { batch })) * self.encoded;
        COPIES_OF_WEIGHTS * self.weights + self.copies + batch * self.cube + held + (micro * self.decoded).max(encoding)
    }
}

/// What is kept of all particles in host memory, so that it need not be made anew every epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Lifted cubes.
    pub cubes: bool,
    /// Silhouettes.
    pub silhouettes: bool,
    /// Bytes of these.
    pub bytes: u64,
}

impl Cache {
    /// Both, silhouettes alone, or nothing: what fits into `room` bytes.
    #[must_use]
    pub fn within(layout: &ModelLayout, particles: usize, room: u64) -> Self {
        let cubes = particles as u64 * FLOAT * encoder_grid(layout).pow(3);
        let silhouettes = particles as u64 * (layout.crop as u64).pow(2);
        if cubes + silhouettes <= room {
            Self { cubes: true, silhouettes: true, bytes: cubes + silhouettes }
        } else if silhouettes <= room {
            Self { cubes: false, silhouettes: true, bytes: silhouettes }
        } else {
            Self { cubes: false, silhouettes: false, bytes: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> ModelLayout {
        ModelLayout {
            zdim: 8,
            z_affine_dim: 0,
            width: Width::Full,
            encoder_grid: EncoderGrid::Fixed110,
            resize_at: ResizeAt::Side32,
            template: 192,
            crop: 114,
        }
    }

    #[test]
    fn the_originals_networks_have_their_weights() {
        let count = |levels: &[Level]| levels.iter().map(|level| level.weights).sum::<u64>();
        let (encoder, decoder) = (count(&encoder_levels(&layout())), count(&decoder_levels(&layout())));
        assert!((60_000_000..63_000_000).contains(&(encoder + decoder)), "{encoder} + {decoder}");
        // The finest level holds most: 16 channels of half the template's side.
        let finest = decoder_levels(&layout())[9];
        assert_eq!((finest.channels, finest.side, finest.floats()), (16, 96, 16 * 96 * 96 * 96));
    }

    #[test]
    fn what_is_kept_fits() {
        let few = Cache::within(&layout(), 100, 1 << 30);
        assert!(few.cubes && few.silhouettes && few.bytes <= 1 << 30);
        let many = Cache::within(&layout(), 10_000, 1 << 30);
        assert!(!many.cubes && many.silhouettes && many.bytes <= 1 << 30);
        assert_eq!(Cache::within(&layout(), 1_000_000, 1 << 30), Cache { cubes: false, silhouettes: false, bytes: 0 });
    }
}
