//! The interpolation window between the points of a padded transform, and its transform, by which a volume is divided beforehand: the
//! exponential of a semicircle (Barnett, Magland & af Klinteberg 2019, SIAM J. Sci. Comput. 41, C479, eq. 1.8).

use std::f64::consts::PI;

/// Points that a coordinate is interpolated from. With three, and boxes padded to 1.25 times their side, projections are more exact than
/// sums along rays at every size and in both halves of the spectrum; four are not quicker (docs/benchmarks/speed-cpu.md).
pub const TAPS: usize = 3;
/// Entries of the table a grid step. Linear interpolation between them is exact to 1e-6 of the window's height, but for its last hundredths, where
/// it is steep: to 3e-4, where the window itself jumps by 4e-3.
const ENTRIES: usize = 512;
/// Points of the sum that stands for the integral of the window's transform.
const POINTS: usize = 4000;
/// How much less than its bound the exponent is, against the jump at the window's ends (Barnett et al. 2019, §4.2).
const SAFETY: f64 = 0.976;

/// Weights of [`TAPS`] points about a coordinate.
#[derive(Debug)]
pub struct Window {
    beta: f64,
    table: Vec<f32>,
}

impl Window {
    /// For volumes whose density fills one `padding`th of the padded box.
    #[must_use]
    pub fn new(padding: f64) -> Self {
        let beta = SAFETY * PI * TAPS as f64 * (1.0 - 0.5 / padding);
        let entries = TAPS * ENTRIES / 2;
        Self { beta, table: (0..=entries + 1).map(|i| value(beta, i as f64 / ENTRIES as f64) as f32).collect() }
    }

    /// The exponent's factor: the weight at a distance d is exp(β(√(1 − (2d/TAPS)²) − 1)).
    #[must_use]
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// The lowest of the points about a coordinate, and the weights of all.
    #[inline(always)]
    pub(super) fn spread(&self, at: f32) -> (i32, [f32; TAPS]) {
        let first = (at - TAPS as f32 / 2.0).ceil();
        let weights = std::array::from_fn(|tap| {
            let distance = (at - first - tap as f32).abs() * ENTRIES as f32;
            let entry = (distance as usize).min(TAPS * ENTRIES / 2);
            let [low, high] = [self.table[entry], self.table[entry + 1]];
            low + (high - low) * (distance - entry as f32)
        });
        (first as i32, weights)
    }

    /// The window's transform at a place in the padded box, as a part of the box from its centre.
    #[must_use]
    pub fn transform(&self, place: f64) -> f64 {
        let step = TAPS as f64 / POINTS as f64;
        let at = |i: usize| (i as f64 + 0.5) * step - TAPS as f64 / 2.0;
        (0..POINTS).map(|i| value(self.beta, at(i).abs()) * (2.0 * PI * place * at(i)).cos() * step).sum()
    }
}

fn value(beta: f64, distance: f64) -> f64 {
    let part = distance * 2.0 / TAPS as f64;
    if part > 1.0 { 0.0 } else { (beta * ((1.0 - part * part).sqrt() - 1.0)).exp() }
}
