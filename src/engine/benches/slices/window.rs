//! Interpolation windows between the points of a padded transform, and their transforms, by which a volume is divided beforehand.

use std::f64::consts::PI;

/// Entries of a window's table a grid step; linear interpolation between them is exact to 1e-6.
const ENTRIES: usize = 512;
/// Points of the sum that stands for the integral of a window's transform.
const POINTS: usize = 4000;
/// How much less than its bound the exponent of the smooth window is, against the jump at its ends (Barnett et al. 2019, §4.2).
const SAFETY: f64 = 0.976;

/// A window that weighs `TAPS` points about a coordinate.
pub(crate) struct Window<const TAPS: usize> {
    table: Vec<f32>,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    /// 1 − |t|: linear interpolation.
    Hat,
    /// exp(β(√(1 − (2t/TAPS)²) − 1)).
    Smooth { beta: f64 },
}

impl Window<2> {
    /// Linear interpolation.
    pub(crate) fn hat() -> Self {
        Self::of(Shape::Hat)
    }
}

impl<const TAPS: usize> Window<TAPS> {
    /// The exponential of a semicircle (Barnett, Magland & af Klinteberg 2019, SIAM J. Sci. Comput. 41, C479, eq. 1.8), for volumes whose density
    /// fills one `padding`th of the padded box.
    pub(crate) fn smooth(padding: f64) -> Self {
        Self::of(Shape::Smooth { beta: SAFETY * PI * TAPS as f64 * (1.0 - 0.5 / padding) })
    }

    fn of(shape: Shape) -> Self {
        let entries = TAPS * ENTRIES / 2;
        let table = (0..=entries + 1).map(|i| value::<TAPS>(shape, i as f64 / ENTRIES as f64) as f32).collect();
        Self { table, shape }
    }

    /// The lowest of the points about a coordinate, and the weights of all.
    #[inline(always)]
    pub(crate) fn spread(&self, at: f32) -> (i32, [f32; TAPS]) {
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
    pub(crate) fn transform(&self, place: f64) -> f64 {
        let step = TAPS as f64 / POINTS as f64;
        let at = |i: usize| (i as f64 + 0.5) * step - TAPS as f64 / 2.0;
        (0..POINTS).map(|i| value::<TAPS>(self.shape, at(i).abs()) * (2.0 * PI * place * at(i)).cos() * step).sum()
    }
}

fn value<const TAPS: usize>(shape: Shape, distance: f64) -> f64 {
    let part = distance * 2.0 / TAPS as f64;
    match shape {
        Shape::Hat => (1.0 - distance).max(0.0),
        Shape::Smooth { .. } if part > 1.0 => 0.0,
        Shape::Smooth { beta } => (beta * ((1.0 - part * part).sqrt() - 1.0)).exp(),
    }
}
