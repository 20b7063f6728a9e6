//! One optics group's way from its own pixels to the common grid.

use crate::fft;
use ndarray::{Array2, ArrayView2};

/// Pixel sizes that agree to this fraction are taken as they are: over a box of 400 pixels the rim is off by a fifth of a pixel.
const GOOD: f64 = 0.001;
/// How many times the wanted size the intermediate image may be in the search for a good agreement.
const LARGEST_INTERMEDIATE: usize = 2;

/// Cut or pad the original to `padded_px`, Fourier-crop that to `fine_px`, cut the centre of `size_px`. All even.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) box_px: usize,
    pub(super) apix: f64,
    padded_px: usize,
    fine_px: usize,
    pub(super) size_px: usize,
    /// Pixel size after all, Å: within a fraction of a percent of the grid's.
    pub(super) image_apix: f64,
}

impl Grid {
    /// `box_px` and `apix` (Å) of the original, `size_px` and `grid_apix` (Å) of the result.
    pub(super) fn new(box_px: usize, apix: f64, size_px: usize, grid_apix: f64) -> Self {
        let at = |fine_px: usize| {
            let padded_px = 2 * ((fine_px as f64 * grid_apix / apix / 2.0).round() as usize).max(1);
            let image_apix = padded_px as f64 * apix / fine_px as f64;
            (image_apix / grid_apix - 1.0, Self { box_px, apix, padded_px, fine_px, size_px, image_apix })
        };
        let mut best = at(size_px);
        for fine_px in (size_px + 2..=LARGEST_INTERMEDIATE * size_px).step_by(2) {
            if best.0.abs() < GOOD {
                break;
            }
            let other = at(fine_px);
            if other.0.abs() < best.0.abs() {
                best = other;
            }
        }
        best.1
    }

    /// Half the side of the square of the prepared image that original pixels fill, pixels.
    pub(super) fn filled_half_px(&self) -> f64 {
        let filled = self.box_px as f64 * self.apix / self.image_apix;
        filled.min(self.size_px as f64) / 2.0
    }

    /// Moves the content by (+x, +y) original pixels, and brings the image to the grid.
    pub(super) fn apply(&self, image: ArrayView2<f32>, shift_x_px: f64, shift_y_px: f64) -> Array2<f32> {
        // Whole pixels go around the rim of the original box, where noise meets noise, before anything is padded.
        let (whole_x, whole_y) = (shift_x_px.round(), shift_y_px.round());
        let placed = place(image, whole_x as isize, whole_y as isize, self.padded_px);
        let fine = fft::shift_and_crop(placed.view(), shift_x_px - whole_x, shift_y_px - whole_y, self.fine_px);
        if self.fine_px == self.size_px { fine } else { fft::crop_image(fine.view(), self.size_px, 0.0) }
    }

    /// One line about what is done.
    pub(super) fn note(&self, who: &str) -> String {
        let Self { box_px, apix, padded_px, size_px, image_apix, .. } = self;
        let how = match padded_px.cmp(box_px) {
            std::cmp::Ordering::Less => format!(", cut to {padded_px},"),
            std::cmp::Ordering::Equal => String::new(),
            std::cmp::Ordering::Greater => format!(", padded to {padded_px},"),
        };
        format!("{who}: {box_px} pixels of {apix:.4} Å{how} become {size_px} of {image_apix:.4} Å")
    }
}

/// The image rolled by whole pixels, cut or padded about its centre; the padding has the mean of the rim.
fn place(image: ArrayView2<f32>, shift_x: isize, shift_y: isize, to: usize) -> Array2<f32> {
    let n = image.nrows();
    let (n_signed, half) = (n as isize, (n / 2) as isize);
    let fill = if to > n { rim_mean(image) } else { 0.0 };
    let source = |i: usize, shift: isize| {
        let in_box = i as isize - (to / 2) as isize + half;
        (0..n_signed).contains(&in_box).then(|| (in_box - shift).rem_euclid(n_signed) as usize)
    };
    let columns: Vec<Option<usize>> = (0..to).map(|x| source(x, shift_x)).collect();
    let mut out = Array2::from_elem((to, to), fill);
    for (y, mut row) in out.rows_mut().into_iter().enumerate() {
        let Some(from) = source(y, shift_y) else { continue };
        let from = image.row(from);
        row.iter_mut().zip(&columns).for_each(|(v, x)| {
            if let Some(x) = x {
                *v = from[*x];
            }
        });
    }
    out
}

/// Mean of the outermost pixels.
fn rim_mean(image: ArrayView2<f32>) -> f32 {
    let n = image.nrows();
    let rows = image.row(0).iter().chain(image.row(n - 1)).map(|&v| f64::from(v)).sum::<f64>();
    let columns = image.column(0).iter().chain(image.column(n - 1)).map(|&v| f64::from(v)).sum::<f64>();
    ((rows + columns) / (4 * n) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixel_sizes_agree_with_the_grid() {
        // Same extent: nothing is padded.
        let same = Grid::new(64, 2.0, 32, 4.0);
        assert_eq!((same.padded_px, same.fine_px), (64, 32));
        assert!((same.image_apix - 4.0).abs() < 1e-12);
        for (box_px, apix, size, target) in
            [(48, 2.3, 32, 3.45), (256, 1.06, 128, 1.77), (320, 1.31, 64, 5.0), (200, 1.4, 96, 2.9), (65, 2.0, 32, 4.1)]
        {
            let g = Grid::new(box_px, apix, size, target);
            let error = g.image_apix / target - 1.0;
            assert!(error.abs() < 0.005, "{g:?}: {error}");
            assert!((g.image_apix * g.fine_px as f64 - g.padded_px as f64 * apix).abs() < 1e-9);
            assert!(g.padded_px.is_multiple_of(2) && g.fine_px.is_multiple_of(2) && g.fine_px >= size);
        }
    }

    /// A Gaussian of `sigma` Å at (x, y) Å from pixel n/2.
    fn spot(n: usize, apix: f64, x_angstrom: f64, y_angstrom: f64, sigma: f64) -> Array2<f32> {
        let c = (n / 2) as f64;
        Array2::from_shape_fn((n, n), |(y, x)| {
            let (dx, dy) = ((x as f64 - c) * apix - x_angstrom, (y as f64 - c) * apix - y_angstrom);
            (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp() as f32
        })
    }

    #[test]
    fn a_shifted_particle_comes_to_the_centre_on_every_grid() {
        for (box_px, apix, size, target) in
            [(64, 2.0, 32, 4.0), (64, 2.0, 64, 2.0), (48, 2.3, 32, 4.7), (100, 1.0, 24, 3.0), (65, 2.0, 32, 4.1)]
        {
            let grid = Grid::new(box_px, apix, size, target);
            // The particle of origin (ox, oy) appears at −(ox, oy); see docs/architecture.md.
            let (ox, oy) = (7.3, -11.6);
            let image = spot(box_px, apix, -ox, -oy, 7.0);
            let out = grid.apply(image.view(), ox / apix, oy / apix);
            let expected = spot(size, grid.image_apix, 0.0, 0.0, 7.0);
            let worst = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-3, "{grid:?}: {worst}");
        }
    }

    #[test]
    fn padding_continues_the_background() {
        let image = Array2::from_elem((16, 16), 3.0);
        let out = Grid::new(16, 2.0, 16, 4.0).apply(image.view(), 2.0, 1.0);
        assert!(out.iter().all(|v| (v - 3.0).abs() < 1e-4));
    }
}
