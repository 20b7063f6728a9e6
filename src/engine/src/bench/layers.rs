//! Every convolution of the networks by itself, plain: what their rate in the networks is held against, and which of them is far from the
//! machine's best.

use super::parts::{Part, both_ways, scaled};
use super::shapes::Shape;
use super::work::{Convolution, decoder_convolutions, encoder_convolutions};
use crate::assembly::{Assembly, kind_of};
use crate::model::layers::Shape as Kernel;
use crate::model::tuning::{self, Layout};
use tch::{Device, Kind, Tensor};

/// Measures the encoder's convolutions for a batch and the decoder's for one, in parts as the step has them. `repeat` is how often unmeasured
/// and measured. A backward pass includes one product of the output's size.
pub(super) fn layers(shape: &Shape, assembly: &Assembly, device: Device, repeat: (usize, usize)) -> Vec<Part> {
    let (kind, layout) = (kind_of(shape.precision), tuning::of(device).layout);
    let encoder = encoder_convolutions(assembly.encoder.config());
    let decoder = decoder_convolutions(assembly.decoder.config(), shape.template as i64);
    let whole = encoder.iter().map(|convolution| ("encode", shape.batch, convolution));
    let parts = decoder.iter().map(|convolution| ("decode", shape.micro_batch, convolution));
    let measure = |(name, images, convolution): (&str, usize, &Convolution)| {
        let measured = |layout: Layout| alone(name, images as i64, convolution, (kind, device), (layout, repeat));
        let part = measured(layout);
        let part = match rival(device, layout).map(measured) {
            Some(other) if other.seconds().0 < part.seconds().0 => other,
            _ => part,
        };
        let times = shape.batch as f64 / images as f64;
        Part { flop: convolution.flop() * passes(convolution) * shape.batch as f64, ..scaled(part, times) }
    };
    whole.chain(parts).map(measure).collect()
}

/// The layout that might be faster on this device; which one is, is known of a CPU (docs/benchmarks/speed-cpu.md).
fn rival(device: Device, layout: Layout) -> Option<Layout> {
    match (device, layout) {
        (Device::Cpu, _) => None,
        (_, Layout::Plain) => Some(Layout::ChannelsLast),
        (_, Layout::ChannelsLast) => Some(Layout::Plain),
    }
}

/// How often a convolution's arithmetic is done: forward, by its weights, and by its input where something learned leads to it.
fn passes(convolution: &Convolution) -> f64 {
    if convolution.channels.0 == 1 { 2.0 } else { 3.0 }
}

fn alone(name: &str, images: i64, convolution: &Convolution, options: (Kind, Device), how: (Layout, (usize, usize))) -> Part {
    let (layout, repeat) = how;
    let Convolution { channels: (inputs, outputs), from, kernel: Kernel { size, stride, padding }, transposed } = *convolution;
    let x = Tensor::randn([images, inputs, from, from, from], options);
    let x = if inputs == 1 { x } else { layout.of(&x) }.set_requires_grad(inputs > 1);
    let weight = if transposed { [inputs, outputs, size, size, size] } else { [outputs, inputs, size, size, size] };
    let weight = Tensor::randn(weight, options).set_requires_grad(true);
    let name = format!("{name} {inputs}→{outputs}, {from}³→{}³", convolution.to());
    both_ways(options.1, repeat, &name, &|| {
        if transposed {
            x.conv_transpose3d(&weight, None::<Tensor>, [stride; 3], [padding; 3], [0; 3], 1, [1; 3])
        } else {
            x.conv3d(&weight, None::<Tensor>, [stride; 3], [padding; 3], [1; 3], 1)
        }
    })
}
