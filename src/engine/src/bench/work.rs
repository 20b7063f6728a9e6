//! How much arithmetic and traffic a step needs, counted from the networks' shapes.

use crate::model::decoder::{DecoderConfig, Finish};
use crate::model::encoder::EncoderConfig;
use crate::model::layers::{BLOCKS, HALVING, KEEPING, Shape as Kernel};

/// How often a convolution's input and output are read or written, forward, by its weights and by its input, at least: each of the three passes
/// meets both once.
const PASSES: f64 = 3.0;

/// A convolution of the networks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    /// Channels before and after.
    pub(super) channels: (i64, i64),
    /// Side of the grid before it, voxels.
    pub(super) from: i64,
    /// Its kernel.
    pub(super) kernel: Kernel,
    /// Whether it is a transposed one.
    pub(super) transposed: bool,
}

impl Convolution {
    /// Side of the grid after it, voxels.
    pub(super) fn to(&self) -> i64 {
        let Kernel { size, stride, padding } = self.kernel;
        if self.transposed { (self.from - 1) * stride - 2 * padding + size } else { (self.from + 2 * padding - size) / stride + 1 }
    }

    /// Floating-point operations of its forward pass, an image.
    pub(super) fn flop(&self) -> f64 {
        let Kernel { size, stride, .. } = self.kernel;
        let taps = if self.transposed { size / stride } else { size }.pow(3);
        2.0 * (taps * self.channels.0 * self.channels.1) as f64 * self.to().pow(3) as f64
    }
}

/// The decoder's convolutions, in their order, for a volume of `template` voxels a side.
pub(super) fn decoder_convolutions(config: &DecoderConfig, template: i64) -> Vec<Convolution> {
    let (mut channels, mut side) = config.root;
    let mut found = Vec::new();
    let mut ladder = |side: &mut i64, outputs: &[i64], kernel| {
        for &out in outputs {
            let step = Convolution { channels: (channels, out), from: *side, kernel, transposed: true };
            (channels, *side) = (out, step.to());
            found.push(step);
        }
    };
    ladder(&mut side, &config.blocks, BLOCKS);
    ladder(&mut side, &config.before, HALVING);
    side = config.waist.unwrap_or(side);
    ladder(&mut side, &config.after, HALVING);
    found.push(match config.finish {
        Finish::Transposed => Convolution { channels: (channels, 1), from: template / 2, kernel: HALVING, transposed: true },
        Finish::Shuffled => Convolution { channels: (channels, 8), from: template / 2, kernel: KEEPING, transposed: false },
    });
    found
}

/// The encoder's convolutions, in their order.
pub(super) fn encoder_convolutions(config: &EncoderConfig) -> Vec<Convolution> {
    let (mut channels, mut side) = (1, config.grid);
    let mut found = Vec::new();
    for (outputs, waist) in [(&config.before, config.waist), (&config.after, None)] {
        for &out in outputs {
            let step = Convolution { channels: (channels, out), from: side, kernel: HALVING, transposed: false };
            (channels, side) = (out, step.to());
            found.push(step);
        }
        side = waist.unwrap_or(side);
    }
    found
}

fn flop(convolutions: &[Convolution]) -> f64 {
    convolutions.iter().map(Convolution::flop).sum()
}

/// Floating-point operations of the decoder's forward pass, an image.
pub(super) fn decoder_flop(config: &DecoderConfig, template: i64) -> f64 {
    let (root, side) = config.root;
    let dense = config.latent * config.dense + config.dense * root * side.pow(3);
    2.0 * dense as f64 + flop(&decoder_convolutions(config, template))
}

/// Floating-point operations of the encoder's forward pass, an image.
pub(super) fn encoder_flop(config: &EncoderConfig) -> f64 {
    let convolutions = encoder_convolutions(config);
    let features = convolutions.last().map_or(0, |last| last.channels.1 * last.to().pow(3));
    flop(&convolutions) + 2.0 * (features * config.dense + 2 * config.dense * config.latent) as f64
}

/// Bytes that convolutions read and write at least, both ways, for `images` in parts of `at_once`, in numbers of `bytes`: what is before and
/// after each; its weights, which every part reads twice; and their gradient, which it adds to (the first one writes it).
pub(super) fn network_bytes(convolutions: &[Convolution], (images, at_once): (usize, usize), bytes: usize) -> f64 {
    let (images, parts) = (images as f64, images.div_ceil(at_once) as f64);
    let of = |convolution: &Convolution| {
        let (inputs, outputs) = convolution.channels;
        let grids = (inputs * convolution.from.pow(3) + outputs * convolution.to().pow(3)) as f64;
        let weights = (inputs * outputs * convolution.kernel.size.pow(3)) as f64;
        let of_gradient = (2.0 * parts - 1.0) * size_of::<f32>() as f64;
        PASSES * grids * images * bytes as f64 + weights * (2.0 * parts * bytes as f64 + of_gradient)
    };
    convolutions.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{EncoderGrid, ModelLayout, ResizeAt, Width};

    #[test]
    fn bytes_are_those_of_grids_and_weights() {
        let convolution = Convolution { channels: (2, 3), from: 4, kernel: HALVING, transposed: false };
        let grids = 3.0 * (2.0 * 64.0 + 3.0 * 8.0);
        let weights = 6.0 * 64.0;
        assert_eq!(network_bytes(&[convolution], (5, 5), 4), 4.0 * (5.0 * grids + 3.0 * weights));
        // Two parts in half the bytes; gradients of weights stay what they are.
        assert_eq!(network_bytes(&[convolution], (5, 3), 2), 2.0 * 5.0 * grids + weights * (4.0 * 2.0 + 3.0 * 4.0));
    }

    #[test]
    fn the_originals_networks_have_their_known_cost() {
        let layout = |encoder_grid, resize_at| ModelLayout {
            zdim: 8,
            z_affine_dim: 0,
            width: Width::Full,
            encoder_grid,
            resize_at,
            template: 192,
            crop: 114,
        };
        let giga_products = |flop: f64| flop / 2e9;
        let seed = layout(EncoderGrid::Fixed110, ResizeAt::Side32);
        assert!((giga_products(encoder_flop(&EncoderConfig::of(&seed))) - 4.77).abs() < 0.03);
        assert!((giga_products(decoder_flop(&DecoderConfig::of(&seed), 192)) - 10.15).abs() < 0.03);
        let head = layout(EncoderGrid::Native, ResizeAt::Side16);
        assert!((giga_products(decoder_flop(&DecoderConfig::of(&head), 192)) - 8.9).abs() < 0.1);
    }
}
