//! The window by which samples are spread onto the Fourier grid, and its transform, by which the map is divided afterwards.

/// Grid points a sample reaches along each axis.
pub(crate) const TAPS: usize = 4;

/// Oversampling of the Fourier grid: padded box / box.
pub(crate) const PADDING: usize = 2;

/// Entries of the window's table a grid step; read with linear interpolation, the error is below single precision's.
const ENTRIES: usize = 1024;

/// A Kaiser–Bessel window, scaled to unit integral. Its shape is that of least aliasing at twofold padding
/// (Beatty et al. 2005, IEEE Trans. Med. Imaging 24, 799, eq. 5).
pub(crate) struct Kernel {
    table: Vec<f32>,
    beta: f64,
}

impl Kernel {
    pub(crate) fn new() -> Self {
        let (taps, padding) = (TAPS as f64, PADDING as f64);
        let beta = std::f64::consts::PI * ((taps / padding).powi(2) * (padding - 0.5).powi(2) - 0.8).sqrt();
        let integral = taps * beta.sinh() / beta;
        let table = (0..=TAPS * ENTRIES / 2 + 1)
            .map(|i| {
                let t = i as f64 / ENTRIES as f64 * 2.0 / taps;
                if t > 1.0 { 0.0 } else { (bessel_i0(beta * (1.0 - t * t).sqrt()) / integral) as f32 }
            })
            .collect();
        Self { table, beta }
    }

    /// First grid point and the weights of `TAPS` points about a coordinate.
    #[inline]
    pub(crate) fn spread(&self, at: f32) -> (i32, [f32; TAPS]) {
        let first = at.floor() as i32 - (TAPS as i32 / 2 - 1);
        let weights = std::array::from_fn(|k| {
            let distance = (at - (first + k as i32) as f32).abs() * ENTRIES as f32;
            let entry = distance as usize;
            let (low, high) = (self.table[entry], self.table[entry + 1]);
            low + (high - low) * (distance - entry as f32)
        });
        (first, weights)
    }

    /// The window's transform at a position in real space, `offset` voxels from the centre of a padded box of `padded` voxels; 1 at 0.
    pub(crate) fn transform(&self, offset: f64, padded: usize) -> f64 {
        let argument = std::f64::consts::PI * TAPS as f64 * offset / padded as f64;
        let root = (self.beta * self.beta - argument * argument).sqrt();
        root.sinh() / root * self.beta / self.beta.sinh()
    }
}

/// Modified Bessel function of order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = 0.25 * x * x;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..200 {
        term *= quarter / (k * k) as f64;
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_that_of_the_table() {
        let kernel = Kernel::new();
        for offset in [0.0, 5.0, 12.0, 16.0] {
            let sum: f64 = (0..64)
                .flat_map(|sub| {
                    let at = sub as f32 / 64.0;
                    let (first, weights) = kernel.spread(at);
                    weights.into_iter().enumerate().map(move |(k, w)| (f64::from(at) - f64::from(first + k as i32), f64::from(w)))
                })
                .map(|(distance, w)| w / 64.0 * (std::f64::consts::TAU * distance * offset / 64.0).cos())
                .sum();
            assert!((sum - kernel.transform(offset, 64)).abs() < 1e-5, "{offset}: {sum} against {}", kernel.transform(offset, 64));
        }
    }
}
