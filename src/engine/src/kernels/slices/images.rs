//! Images and their half planes.

use cryoem::fft::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Transforms of images `[y][x]` to and from half planes `[x][y]`.
pub(super) struct Images {
    side: usize,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    real: Arc<dyn RealToComplex<f32>>,
    complex: Arc<dyn ComplexToReal<f32>>,
}

impl Images {
    pub(super) fn new(side: usize) -> Self {
        assert!(side.is_multiple_of(2), "images of an even side");
        let (mut complex, mut real) = (FftPlanner::new(), RealFftPlanner::new());
        Self {
            side,
            forward: complex.plan_fft_forward(side),
            inverse: complex.plan_fft_inverse(side),
            real: real.plan_fft_forward(side),
            complex: real.plan_fft_inverse(side),
        }
    }

    /// Room for the half plane of an image.
    pub(super) fn half_plane(&self) -> Vec<Complex32> {
        vec![Complex32::default(); self.side * (self.side / 2 + 1)]
    }

    /// The image of a half plane, which is used up; not scaled.
    pub(super) fn image(&self, half_plane: &mut [Complex32], image: &mut [f32]) {
        let side = self.side;
        self.inverse.process(half_plane);
        let mut line = self.complex.make_input_vec();
        for (y, row) in image.chunks_exact_mut(side).enumerate() {
            line.iter_mut().enumerate().for_each(|(x, to)| *to = half_plane[x * side + y]);
            line[0].im = 0.0;
            line[side / 2].im = 0.0;
            self.complex.process(&mut line, row).expect("lengths are those of the plan");
        }
    }

    /// The transpose of [`Self::image`].
    pub(super) fn transpose(&self, image: &[f32], half_plane: &mut [Complex32]) {
        let side = self.side;
        let (mut row, mut line) = (self.real.make_input_vec(), self.real.make_output_vec());
        for (y, pixels) in image.chunks_exact(side).enumerate() {
            row.copy_from_slice(pixels);
            self.real.process(&mut row, &mut line).expect("lengths are those of the plan");
            for (x, value) in line.iter().enumerate() {
                // All columns but the first and the last stand for two.
                half_plane[x * side + y] = if x == 0 || x == side / 2 { *value } else { value * 2.0 };
            }
        }
        self.forward.process(half_plane);
    }
}
