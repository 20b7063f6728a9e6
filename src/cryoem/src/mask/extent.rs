//! How much of the box a mask takes, and the sizes that follow (those of the original program).

use ndarray::{ArrayView3, Axis, s};

/// Part of the box that is used where there is no mask.
pub const DEFAULT_WINDOW: f64 = 0.85;
/// Largest part of the box that a mask can ask for.
const LARGEST_WINDOW: f64 = 0.9;
/// Voxels that are added to the mask's extent.
const MARGIN_PX: usize = 4;
/// The decoder's mask is cut this much smaller than the crop, which widens it on the crop's grid.
const WIDEN_PX: usize = 2;

/// The largest even integer that is not above `v`.
#[must_use]
pub fn even(v: f64) -> usize {
    2 * (v.floor() as usize / 2)
}

/// The central part of the box that is rendered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Part of the box.
    pub window_r: f64,
    /// Side of the cropped region on the render grid, pixels; even.
    pub crop_px: usize,
}

/// Extent of a mask (of any box) about the centre, on a grid of `render_px` that spans the same box; without a mask the default window.
#[must_use]
pub fn window(mask: Option<ArrayView3<f32>>, render_px: usize) -> Window {
    let window_r = mask.map_or(DEFAULT_WINDOW, |mask| {
        let n = mask.dim().0;
        let margin = margins(mask).into_iter().min().unwrap_or(0);
        ((n + MARGIN_PX - (2 * margin).min(n)) as f64 / n as f64).min(LARGEST_WINDOW)
    });
    Window { window_r, crop_px: even(render_px as f64 * window_r) }
}

/// Along z, y, x: the first voxel of a `template_px`³ volume spanning the crop that counts for the volume priors (the region is
/// `bound..template_px − bound + 1`). `mask` has any box and spans the same extent as the render grid.
#[must_use]
pub fn volume_bounds(mask: ArrayView3<f32>, render_px: usize, crop_px: usize, template_px: usize) -> [usize; 3] {
    let n = mask.dim().0;
    let part = crop_px.saturating_sub(WIDEN_PX) as f64 / render_px as f64;
    let cut = even(n as f64 * part);
    let start = (n - cut) / 2;
    let inner = mask.slice_move(s![start..start + cut, start..start + cut, start..start + cut]);
    margins(inner).map(|margin| (margin as f64 * template_px as f64 / cut as f64) as usize + 1)
}

/// Along z, y, x: the smaller of the first non-zero index and n − the last one; n/2 of an empty mask.
fn margins(mask: ArrayView3<f32>) -> [usize; 3] {
    std::array::from_fn(|axis| {
        let n = mask.len_of(Axis(axis));
        let filled = |i: &usize| mask.index_axis(Axis(axis), *i).iter().any(|&v| v > 0.0);
        let (first, last) = ((0..n).find(filled), (0..n).rev().find(filled));
        first.zip(last).map_or(n / 2, |(first, last)| first.min(n - last))
    })
}
