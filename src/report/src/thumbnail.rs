//! Small grey pictures of maps and images.

use crate::palette;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ndarray::{Array2, ArrayView2};

/// Pictures are enlarged to at least this many pixels a side, as viewers show the pixels of small ones as squares.
const LEAST_PX: usize = 160;
/// Share of the values that is clipped at each end of the grey scale; keeps single hot pixels from darkening the rest.
const CLIPPED: f64 = 0.002;

/// Grey scale: the values that become black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    black: f32,
    white: f32,
}

impl Scale {
    /// The scale that shows all given values but the most extreme.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a f32>) -> Self {
        let mut finite: Vec<f32> = values.copied().filter(|v| v.is_finite()).collect();
        if finite.is_empty() {
            return Self { black: 0.0, white: 1.0 };
        }
        finite.sort_unstable_by(f32::total_cmp);
        let last = finite.len() - 1;
        let cut = (CLIPPED * last as f64).round() as usize;
        let (black, white) = (finite[cut], finite[last - cut]);
        if white > black { Self { black, white } } else { Self { black: black - 0.5, white: white + 0.5 } }
    }

    /// The scale with 0 in its middle that shows all given values but the most extreme.
    pub(crate) fn about_zero<'a>(values: impl Iterator<Item = &'a f32>) -> Self {
        let scale = Self::of(values);
        let most = scale.black.abs().max(scale.white.abs());
        Self { black: -most, white: most }
    }

    /// The values that become black and white.
    pub(crate) fn ends(self) -> [f32; 2] {
        [self.black, self.white]
    }

    /// Where a value lies between black (0) and white (1).
    pub(crate) fn share(self, value: f32) -> f32 {
        if value.is_finite() { ((value - self.black) / (self.white - self.black)).clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// A grey PNG as data URI, row 0 at the top.
pub(crate) fn grey(image: ArrayView2<'_, f32>, scale: Scale) -> String {
    let shares = enlarged(image.mapv(|v| scale.share(v)).view());
    let pixels: Vec<u8> = shares.iter().map(|&share| (share * 255.0).round() as u8).collect();
    uri(&pixels, shares.dim(), png::ColorType::Grayscale)
}

/// A PNG as data URI that shows values below the scale's middle in blue, above it in orange, and the middle in white.
pub(crate) fn diverging(image: ArrayView2<'_, f32>, scale: Scale) -> String {
    /// Ends of the scale: Okabe and Ito's blue and vermilion.
    const ENDS: [[f32; 3]; 2] = [[0.0, 114.0, 178.0], [213.0, 94.0, 0.0]];
    let shares = enlarged(image.mapv(|v| scale.share(v)).view());
    let colour = |&share: &f32| {
        let (end, weight) = if share < 0.5 { (ENDS[0], 1.0 - 2.0 * share) } else { (ENDS[1], 2.0 * share - 1.0) };
        end.map(|channel| (255.0 + (channel - 255.0) * weight).round() as u8)
    };
    let pixels: Vec<u8> = shares.iter().flat_map(colour).collect();
    uri(&pixels, shares.dim(), png::ColorType::Rgb)
}

/// A PNG as data URI that shows positive values along the dark to light scale of [`palette::along`], and nothing elsewhere. Voxels are squares: a
/// value beside nothing has no meaning between.
pub(crate) fn along(image: ArrayView2<'_, f32>, scale: Scale) -> String {
    let (rows, columns) = image.dim();
    let factor = LEAST_PX.div_ceil(rows.max(columns).max(1)).max(1);
    let colour = |value: f32| {
        if value <= 0.0 || !value.is_finite() {
            return [0; 4];
        }
        let colour = palette::along(f64::from(scale.share(value)));
        [colour.0, colour.1, colour.2, 255]
    };
    let dim = (rows * factor, columns * factor);
    let pixels: Vec<u8> = (0..dim.0).flat_map(|i| (0..dim.1).flat_map(move |j| colour(image[[i / factor, j / factor]]))).collect();
    uri(&pixels, dim, png::ColorType::Rgba)
}

/// Bilinear enlargement by a whole factor.
fn enlarged(image: ArrayView2<'_, f32>) -> Array2<f32> {
    let (rows, columns) = image.dim();
    let factor = LEAST_PX.div_ceil(rows.max(columns).max(1)).max(1);
    // Centre of an output pixel in input pixels, held inside.
    let place = |i: usize, n: usize| {
        let at = ((i as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, (n - 1) as f32);
        (at.floor() as usize, (at.floor() as usize + 1).min(n - 1), at.fract())
    };
    Array2::from_shape_fn((rows * factor, columns * factor), |(i, j)| {
        let ((y0, y1, v), (x0, x1, u)) = (place(i, rows), place(j, columns));
        let (top, bottom) = (image[[y0, x0]] * (1.0 - u) + image[[y0, x1]] * u, image[[y1, x0]] * (1.0 - u) + image[[y1, x1]] * u);
        top * (1.0 - v) + bottom * v
    })
}

/// Encodes pixels; an encoder that writes to memory cannot fail on a picture of the size that it was told.
fn uri(pixels: &[u8], (rows, columns): (usize, usize), colour: png::ColorType) -> String {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns as u32, rows as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("memory takes a header");
    writer.write_image_data(pixels).expect("pixels match the header");
    writer.finish().expect("memory takes the end");
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn scales_hold_against_oddities() {
        let image = array![[0.0f32, 1.0], [f32::NAN, 3.0]];
        assert_eq!(Scale::of(image.iter()), Scale { black: 0.0, white: 3.0 });
        assert_eq!(Scale::about_zero(image.iter()), Scale { black: -3.0, white: 3.0 });
        assert_eq!(Scale::of([2.0f32, 2.0].iter()), Scale { black: 1.5, white: 2.5 });
        assert!(grey(image.view(), Scale::of(image.iter())).starts_with("data:image/png;base64,iVBOR"));
        assert_eq!(enlarged(image.slice(ndarray::s![..1, ..])).dim(), (80, 160));
    }
}
