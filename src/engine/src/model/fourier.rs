//! Fourier transforms of images: origin at pixel n/2, unscaled forward, half planes `[..., n, n/2+1]` (complex).

use super::ctf::NyquistRow;
use std::f64::consts::PI;
use tch::{Kind, Tensor};

const PLANE: [i64; 2] = [-2, -1];

/// Transform of images `[..., n, n]`, n even, with the origin at pixel n/2.
pub fn forward(images: &Tensor) -> Tensor {
    images.fft_ifftshift(PLANE.as_slice()).fft_rfft2(None::<i64>, PLANE, "backward")
}

/// Images `[..., side, side]` of half planes; undoes [`forward`].
pub fn inverse(spectra: &Tensor, side: i64) -> Tensor {
    spectra.fft_irfft2([side, side].as_slice(), PLANE, "backward").fft_fftshift(PLANE.as_slice())
}

/// Half planes of images of `to`×`to` pixels that show the same region; grey values keep their scale.
pub fn crop(spectra: &Tensor, to: i64) -> Tensor {
    let from = spectra.size()[spectra.dim() - 2];
    if to == from {
        return spectra.shallow_clone();
    }
    let half = to / 2;
    let columns = spectra.narrow(-1, 0, half + 1);
    let scale = (to * to) as f64 / (from * from) as f64;
    Tensor::cat(&[columns.narrow(-2, 0, half), columns.narrow(-2, from - half, half)], -2) * scale
}

/// Moves images by `shift_px` (`[b, 2]`, x then y): the value at pixel r comes to lie at r + shift.
///
/// `spectra` is `[b, n, n/2+1]`.
pub fn translate(spectra: &Tensor, shift_px: &Tensor, nyquist: NyquistRow) -> Tensor {
    let side = spectra.size()[spectra.dim() - 2];
    let half = side / 2;
    let options = (Kind::Float, spectra.device());
    let kx = Tensor::arange(half + 1, options) / side as f64;
    let index = Tensor::arange(side, options);
    let ky = nyquist.wrap(&index, side) / side as f64;
    let along = |axis: i64| shift_px.select(1, axis).reshape([-1, 1, 1]) * (-2.0 * PI);
    let phase = along(0) * kx.reshape([1, 1, -1]) + along(1) * ky.reshape([1, -1, 1]);
    spectra * Tensor::complex(&phase.cos(), &phase.sin())
}

/// Applies real filters to images.
///
/// `images` is `[b, k, c, c]`, `filters` `[b, n, n/2+1]` with c ≤ n: the images are padded with zeros to n×n about their centre,
/// filtered, and cropped back. A filter does not care for the origin, so nothing is shifted.
pub fn filter(images: &Tensor, filters: &Tensor) -> Tensor {
    let side = images.size()[images.dim() - 1];
    let size = filters.size()[1];
    let margin = (size - side) / 2;
    // The transform pads on the far side by itself; where the block lies does not matter as long as it comes back to the same place.
    let padded = if margin == 0 { images.shallow_clone() } else { images.constant_pad_nd([margin, margin, margin, margin]) };
    let filtered =
        (padded.fft_rfft2(None::<i64>, PLANE, "backward") * filters.unsqueeze(1)).fft_irfft2([size, size].as_slice(), PLANE, "backward");
    centre_crop(&filtered, side)
}

/// The central `side`×`side` pixels of images `[..., n, n]`; pixel n/2 becomes pixel side/2.
pub fn centre_crop(images: &Tensor, side: i64) -> Tensor {
    let from = images.size()[images.dim() - 1];
    let start = from / 2 - side / 2;
    images.narrow(-2, start, side).narrow(-1, start, side)
}
