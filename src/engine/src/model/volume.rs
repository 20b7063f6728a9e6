//! From the decoder's output to the volume that is projected or written, and the resampling of masks and maps.

use super::geometry::Centre;
use contract::{BaseVolume, Problem, Result};
use tch::nn::{Init, Path};
use tch::{Kind, Tensor};

/// What is left of the density outside the mask where there is no base volume; so small a rest, as in the original, keeps a gradient.
pub const LEAK: f64 = 1e-3;

/// How much faster than the networks a learned base changes, in units of its standard deviation (docs/concepts/learning.md).
const BASE_RATE: f64 = 3.0;

/// The mask and the volume that the decoder adds to.
#[derive(Debug)]
pub struct VolumeModel {
    /// `[1, 1, t, t, t]`.
    mask: Tensor,
    base: Option<Base>,
}

#[derive(Debug)]
struct Base {
    /// Masked, `[1, 1, t, t, t]`.
    volume: Tensor,
    /// Its standard deviation over the cube: what one unit of the decoder's output is worth.
    scale: f64,
    /// Learned change in units of [`BASE_RATE`] standard deviations.
    change: Option<Tensor>,
}

impl VolumeModel {
    /// Base and mask are `[t, t, t]`; a learned base adds the parameter `base.change` below `path`.
    ///
    /// # Errors
    /// When a base is wanted and missing, or empty inside the mask.
    pub fn new(path: &Path, kind: BaseVolume, base: Option<&Tensor>, mask: &Tensor) -> Result<Self> {
        let mask = mask.to_kind(Kind::Float).unsqueeze(0).unsqueeze(0);
        if kind == BaseVolume::None {
            return Ok(Self { mask, base: None });
        }
        let base = base.ok_or_else(|| Problem::input("the settings ask for a base volume, but none is given").at("base"))?;
        let volume = base.to_kind(Kind::Float).unsqueeze(0).unsqueeze(0) * &mask;
        let scale = volume.std(true).double_value(&[]);
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Problem::input("the base volume is flat inside the mask").at("base").hint("check that map and mask overlap"));
        }
        let change = (kind == BaseVolume::Learned).then(|| path.var("change", &volume.size(), Init::Const(0.0)));
        Ok(Self { mask, base: Some(Base { volume, scale, change }) })
    }

    /// `mask · (V0 + sd(V0) · net)` with a base, `(mask + a trace) · net` without; `[b, 1, t, t, t]`.
    pub fn assemble(&self, net: &Tensor) -> Tensor {
        match &self.base {
            Some(base) => match &base.change {
                // The base is masked already.
                None => &base.volume + net * (&self.mask * base.scale),
                Some(change) => &base.volume + (net + change * BASE_RATE) * (&self.mask * base.scale),
            },
            None => net * (self.mask.gt(0.0).to_kind(Kind::Float) + LEAK),
        }
    }

    /// The base as it stands, `[1, 1, t, t, t]`; `None` where there is none.
    pub fn base(&self) -> Option<Tensor> {
        self.base.as_ref().map(|base| match &base.change {
            None => base.volume.shallow_clone(),
            Some(change) => &base.volume + change * (&self.mask * (base.scale * BASE_RATE)),
        })
    }

    /// Grey value of one unit of the decoder's output; 1 without a base.
    pub fn scale(&self) -> f64 {
        self.base.as_ref().map_or(1.0, |base| base.scale)
    }

    /// The mask, `[1, 1, t, t, t]`.
    pub fn mask(&self) -> &Tensor {
        &self.mask
    }
}

/// Trilinear resampling to a cube of `side` voxels that are `step` input voxels apart, origin on origin, zero outside.
///
/// `volumes` is `[..., n, n, n]`; the result `[..., side, side, side]`.
pub fn resample(volumes: &Tensor, side: i64, step: f64, centre: Centre) -> Tensor {
    let from = volumes.size()[volumes.dim() - 1];
    let options = (Kind::Double, volumes.device());
    interpolate(volumes, &((Tensor::arange(side, options) - centre.index(side)) * step + centre.index(from)))
}

/// Trilinear interpolation at the same positions along each axis, input voxels, `[side]` in double precision; zero outside.
///
/// `volumes` is `[..., n, n, n]`; the result `[..., side, side, side]`.
pub(super) fn interpolate(volumes: &Tensor, positions: &Tensor) -> Tensor {
    let from = volumes.size()[volumes.dim() - 1];
    let options = (Kind::Double, volumes.device());
    // One row an output voxel: the two weights of linear interpolation. The cube's three axes are resampled one after the other.
    let weights: Tensor = 1.0 - (positions.unsqueeze(1) - Tensor::arange(from, options).unsqueeze(0)).abs();
    let weights = weights.clamp_min(0.0).to_kind(volumes.kind());
    let along_x = volumes.matmul(&weights.transpose(0, 1));
    let along_y = weights.matmul(&along_x);
    let planes = along_y.transpose(-3, -2);
    weights.matmul(&planes).transpose(-3, -2)
}

/// Resampling to a cube of `side` voxels that spans the same region.
pub fn refit(volumes: &Tensor, side: i64, centre: Centre) -> Tensor {
    let from = volumes.size()[volumes.dim() - 1];
    if side == from { volumes.shallow_clone() } else { resample(volumes, side, centre.steps(side, from), centre) }
}

/// The central `side`³ voxels of volumes `[..., n, n, n]`; voxel n/2 becomes voxel side/2.
pub fn centre_crop(volumes: &Tensor, side: i64) -> Tensor {
    let from = volumes.size()[volumes.dim() - 1];
    let start = from / 2 - side / 2;
    volumes.narrow(-3, start, side).narrow(-2, start, side).narrow(-1, start, side)
}

/// The central `keep`³ voxels of a volume `[n, n, n]`, resampled to `[side, side, side]`: masks and bases on the template's grid.
pub fn crop_and_refit(volume: &Tensor, keep: i64, side: i64, centre: Centre) -> Tensor {
    refit(&centre_crop(volume, keep), side, centre)
}

/// First voxel of the region that volume priors look at, per axis (z, y, x), of a template of `side` voxels: just inside the mask's box.
///
/// `mask` is `[k, k, k]` and spans the template. The region ends as far from the far side (as the original has it, plus one voxel).
#[must_use]
pub fn prior_bounds(mask: &Tensor, side: i64) -> [i64; 3] {
    let from = mask.size()[0];
    let inside = mask.gt(0.0);
    [0, 1, 2].map(|axis: usize| {
        let others: Vec<i64> = (0..3).filter(|&other| other != axis as i64).collect();
        let occupied = inside.to_kind(Kind::Float).amax(others, false).nonzero();
        if occupied.numel() == 0 {
            return 1;
        }
        let (first, last) = (occupied.min().int64_value(&[]), occupied.max().int64_value(&[]));
        first.min(from - last) * side / from + 1
    })
}
