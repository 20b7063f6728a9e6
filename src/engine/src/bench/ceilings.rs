//! What this machine does at best: plain products and copies. Plain convolutions are in `layers`.

use super::clock::{Timing, measure};
use crate::assembly::kind_of;
use contract::Precision;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Sides of the matrices of the plain product: what keeps a core busy for some ten milliseconds, and what fills a GPU.
const CPU_PRODUCT: i64 = 1024;
const GPU_PRODUCT: i64 = 8192;
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

/// Measures the ceilings that parts are held against; the product in the networks' kind of numbers.
pub(super) fn ceilings(device: Device, precision: Precision, repetitions: usize) -> Vec<Ceiling> {
    let options = (Kind::Float, device);
    let (side, kind) = (if device == Device::Cpu { CPU_PRODUCT } else { GPU_PRODUCT }, kind_of(precision));
    let run = |work: &mut dyn FnMut()| tch::no_grad(|| measure(device, 1, repetitions, work));
    let [a, b] = [(), ()].map(|()| Tensor::randn([side, side], (kind, device)));
    let timing = run(&mut || drop(a.matmul(&b)));
    let mut found = vec![ceiling(format!("product {side}³, {kind:?}"), "FLOP", 2.0 * (side * side * side) as f64, &timing)];
    let source = Tensor::zeros([COPY], options);
    let mut target = Tensor::zeros([COPY], options);
    let timing = run(&mut || target.copy_(&source));
    found.push(ceiling("copy (read and write)", "bytes", 2.0 * (COPY * 4) as f64, &timing));
    found
}
