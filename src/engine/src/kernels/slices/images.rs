//! Images and their half planes.

use super::Sizes;
use cryoem::fft::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Transforms of images `[y][x]` to and from half planes `[x][y]` of wider ones, whose centre they are.
pub(super) struct Images {
    side: usize,
    wide: usize,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    real: Arc<dyn RealToComplex<f32>>,
    complex: Arc<dyn ComplexToReal<f32>>,
}

impl Images {
    pub(super) fn new(sizes: &Sizes) -> Self {
        let Sizes { side, wide, .. } = *sizes;
        assert!(side.is_multiple_of(2) && wide.is_multiple_of(2) && wide >= side, "images of an even side, the wide ones not smaller");
        let (mut complex, mut real) = (FftPlanner::new(), RealFftPlanner::new());
        Self {
            side,
            wide,
            forward: complex.plan_fft_forward(wide),
            inverse: complex.plan_fft_inverse(wide),
            real: real.plan_fft_forward(wide),
            complex: real.plan_fft_inverse(wide),
        }
    }

    /// Room for the half plane of an image.
    pub(super) fn half_plane(&self) -> Vec<Complex32> {
        vec![Complex32::default(); self.wide * (self.wide / 2 + 1)]
    }

    /// Pixels on each side that the wide image has and the image has not.
    fn margin(&self) -> usize {
        self.wide / 2 - self.side / 2
    }

    /// The image of a half plane, which is used up; not scaled.
    pub(super) fn image(&self, half_plane: &mut [Complex32], image: &mut [f32]) {
        let (wide, margin) = (self.wide, self.margin());
        self.inverse.process(half_plane);
        let (mut line, mut row) = (self.complex.make_input_vec(), self.complex.make_output_vec());
        for (y, pixels) in image.chunks_exact_mut(self.side).enumerate() {
            line.iter_mut().enumerate().for_each(|(x, to)| *to = half_plane[x * wide + margin + y]);
            line[0].im = 0.0;
            line[wide / 2].im = 0.0;
            self.complex.process(&mut line, &mut row).expect("lengths are those of the plan");
            pixels.copy_from_slice(&row[margin..margin + self.side]);
        }
    }

    /// The transpose of [`Self::image`].
    pub(super) fn transpose(&self, image: &[f32], half_plane: &mut [Complex32]) {
        let (wide, margin) = (self.wide, self.margin());
        half_plane.fill(Complex32::default());
        let (mut row, mut line) = (self.real.make_input_vec(), self.real.make_output_vec());
        for (y, pixels) in image.chunks_exact(self.side).enumerate() {
            row.fill(0.0);
            row[margin..margin + self.side].copy_from_slice(pixels);
            self.real.process(&mut row, &mut line).expect("lengths are those of the plan");
            for (x, value) in line.iter().enumerate() {
                // All columns but the first and the last stand for two.
                half_plane[x * wide + margin + y] = if x == 0 || x == wide / 2 { *value } else { value * 2.0 };
            }
        }
        self.forward.process(half_plane);
    }
}
