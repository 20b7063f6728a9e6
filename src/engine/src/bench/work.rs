//! How much arithmetic and traffic a step needs, counted from the networks' shapes.

use crate::model::decoder::{DecoderConfig, Finish};
use crate::model::encoder::EncoderConfig;

/// Taps of a 4³ kernel that meet one output of a transposed convolution of stride 2.
const TRANSPOSED_TAPS: f64 = 8.0;
/// Taps of a 4³ kernel.
const TAPS: f64 = 64.0;
/// Taps of a 3³ kernel.
const KEEPING_TAPS: f64 = 27.0;
/// Corners of a trilinear sample.
const CORNERS: f64 = 8.0;

/// Floating-point operations of the decoder's forward pass, an image.
pub(super) fn decoder_flop(config: &DecoderConfig, template: i64) -> f64 {
    let cube = |side: i64| (side * side * side) as f64;
    let (root, root_side) = config.root;
    let mut products = (config.latent * config.dense) as f64 + (config.dense * root) as f64 * cube(root_side);
    let (mut channels, mut side) = (root, root_side);
    let ladder = |channels: &mut i64, side: &mut i64, outputs: &[i64], taps: f64, products: &mut f64| {
        for &out in outputs {
            *side *= 2;
            *products += taps * (*channels * out) as f64 * cube(*side);
            *channels = out;
        }
    };
    ladder(&mut channels, &mut side, &config.blocks, 1.0, &mut products);
    ladder(&mut channels, &mut side, &config.before, TRANSPOSED_TAPS, &mut products);
    side = config.waist.unwrap_or(side);
    ladder(&mut channels, &mut side, &config.after, TRANSPOSED_TAPS, &mut products);
    products += match config.finish {
        Finish::Transposed => TRANSPOSED_TAPS * channels as f64 * cube(template),
        Finish::Shuffled => KEEPING_TAPS * (channels * 8) as f64 * cube(template / 2),
    };
    2.0 * products
}

/// Floating-point operations of the encoder's forward pass, an image.
pub(super) fn encoder_flop(config: &EncoderConfig) -> f64 {
    let (mut channels, mut side, mut products) = (1i64, config.grid, 0.0);
    let mut halve = |outputs: &[i64], side: &mut i64| {
        for &out in outputs {
            *side /= 2;
            products += TAPS * (channels * out) as f64 * (*side * *side * *side) as f64;
            channels = out;
        }
    };
    halve(&config.before, &mut side);
    side = config.waist.unwrap_or(side);
    halve(&config.after, &mut side);
    let features = channels * side * side * side;
    2.0 * (products + (features * config.dense + 2 * config.dense * config.latent) as f64)
}

/// Bytes that a projection reads of the volume for one image: eight corners a sample.
pub(super) fn projection_bytes(samples: i64, poses: usize) -> f64 {
    CORNERS * samples as f64 * poses as f64 * size_of::<f32>() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{EncoderGrid, ModelLayout, ResizeAt, Width};

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
