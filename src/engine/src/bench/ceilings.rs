//! What this machine does at best: plain products, convolutions of the networks' own shapes, and copies.

use super::clock::{Timing, measure};
use super::shapes::Shape;
use crate::model::layers::channels_last;
use contract::Width;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Side of the matrices of the plain product.
const PRODUCT: i64 = 1024;
/// Floats of the plain copy: far beyond any cache.
const COPY: i64 = 64 << 20;

/// A plain operation's rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// What was done.
    pub name: String,
    /// Operations or bytes a wall second.
    pub per_second: f64,
    /// The same a CPU second; on a GPU of no meaning.
    pub per_cpu_second: f64,
    /// The unit: `FLOP` or `bytes`.
    pub unit: String,
}

fn ceiling(name: impl Into<String>, unit: &str, amount: f64, timing: &Timing) -> Ceiling {
    let rate = |seconds: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
    Ceiling { name: name.into(), per_second: rate(timing.wall_seconds), per_cpu_second: rate(timing.cpu_seconds), unit: unit.into() }
}

/// Measures the ceilings that a shape's parts are held against.
pub(super) fn ceilings(shape: &Shape, device: Device, repetitions: usize) -> Vec<Ceiling> {
    let options = (Kind::Float, device);
    let run = |work: &mut dyn FnMut()| tch::no_grad(|| measure(device, 1, repetitions, work));
    let (a, b) = (Tensor::randn([PRODUCT, PRODUCT], options), Tensor::randn([PRODUCT, PRODUCT], options));
    let timing = run(&mut || drop(a.matmul(&b)));
    let mut found = vec![ceiling(format!("product {PRODUCT}³"), "FLOP", 2.0 * (PRODUCT * PRODUCT * PRODUCT) as f64, &timing)];
    let source = Tensor::zeros([COPY], options);
    let mut target = Tensor::zeros([COPY], options);
    let timing = run(&mut || target.copy_(&source));
    found.push(ceiling("copy (read and write)", "bytes", 2.0 * (COPY * 4) as f64, &timing));

    // The widest step of the decoder's ladder, and the encoder's second level: most of the arithmetic.
    let divisor = match shape.width {
        Width::Full => 1,
        Width::Small => 4,
        Width::Tiny => 8,
    };
    let (images, template) = (shape.micro_batch as i64, shape.template as i64);
    let (inputs, outputs, side) = (64 / divisor, 32 / divisor, template / 4);
    let x = channels_last(&Tensor::randn([images, inputs, side, side, side], options));
    let w = Tensor::randn([inputs, outputs, 4, 4, 4], options);
    let timing = run(&mut || drop(x.conv_transpose3d(&w, None::<Tensor>, [2; 3], [1; 3], [0; 3], 1, [1; 3])));
    let amount = 2.0 * 8.0 * (images * inputs * outputs * (2 * side).pow(3)) as f64;
    found.push(ceiling(format!("transposed convolution {inputs}→{outputs}, {}³", 2 * side), "FLOP", amount, &timing));

    let (inputs, outputs, side) = (32 / divisor, 64 / divisor, shape.crop_px.min(128) as i64 / 2);
    let x = channels_last(&Tensor::randn([images, inputs, side, side, side], options));
    let w = Tensor::randn([outputs, inputs, 4, 4, 4], options);
    let timing = run(&mut || drop(x.conv3d(&w, None::<Tensor>, [2; 3], [1; 3], [1; 3], 1)));
    let amount = 2.0 * 64.0 * (images * inputs * outputs * (side / 2).pow(3)) as f64;
    found.push(ceiling(format!("convolution {inputs}→{outputs}, {}³", side / 2), "FLOP", amount, &timing));
    found
}
