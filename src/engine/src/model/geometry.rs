//! Grids, their origin, and rotations as tensors.
//!
//! A rotation A takes a point of the map to the image frame (RELION's matrix); as rows, `map = image · A`. The origin of a grid of n points
//! is point n/2, where RELION and the discrete Fourier transform have theirs. The original rotates about (n−1)/2 instead.

use contract::Numerics;
use tch::{Device, Kind, Tensor};

/// Where a grid has its origin, and with it how two grids that span the same region correspond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Centre {
    /// Point n/2; two grids of one region have steps in the ratio of their numbers of points.
    Voxel,
    /// (n−1)/2 as in the original; the first and last points of two grids of one region coincide.
    HalfVoxel,
}

impl Centre {
    /// The centre that the numerics ask for.
    #[must_use]
    pub fn of(numerics: &Numerics) -> Self {
        if numerics.rotate_about_half_pixel { Self::HalfVoxel } else { Self::Voxel }
    }

    /// Index of the origin in a grid of `side` points.
    #[must_use]
    pub fn index(self, side: i64) -> f64 {
        match self {
            Self::Voxel => (side / 2) as f64,
            Self::HalfVoxel => (side - 1) as f64 / 2.0,
        }
    }

    /// Steps of a grid of `to` points that one step of a grid of `from` points spans, both over the same region.
    #[must_use]
    pub fn steps(self, from: i64, to: i64) -> f64 {
        match self {
            Self::Voxel => to as f64 / from as f64,
            Self::HalfVoxel => (to - 1) as f64 / (from - 1) as f64,
        }
    }

    /// Coordinates of a grid's points from its origin, `[side]`, f32.
    pub fn axis(self, side: i64, device: Device) -> Tensor {
        Tensor::arange(side, (Kind::Float, device)) - self.index(side)
    }

    /// Points `(x, y, z)` of a cubic grid from its origin, z slowest, `[side³, 3]`, f32.
    pub fn cube(self, side: i64, device: Device) -> Tensor {
        let axis = self.axis(side, device);
        let grids = Tensor::meshgrid_indexing(&[&axis, &axis, &axis], "ij");
        Tensor::stack(&[&grids[2], &grids[1], &grids[0]], -1).reshape([-1, 3])
    }

    /// Scale and offset that take a coordinate from the origin of a grid of `side` points to libtorch's sampling coordinate
    /// (−1 and 1 at the first and last point).
    pub fn to_sampler(self, side: i64) -> (f64, f64) {
        let half = (side - 1) as f64 / 2.0;
        (1.0 / half, self.index(side) / half - 1.0)
    }
}

/// Splits rotations into a turn in the image plane and the shortest rotation to the view direction: `A = turn · tilt`.
///
/// `rotations` is `[..., 3, 3]`; both results have its shape. The shortest rotation is not unique for a view from straight below
/// (third row (0, 0, −1)): there the axis is taken from the limit of tilting about y.
pub fn split_in_plane(rotations: &Tensor) -> (Tensor, Tensor) {
    let view = rotations.select(-2, 2);
    let (x, y, z) = (view.select(-1, 0), view.select(-1, 1), view.select(-1, 2));
    // 1e-6: below it the direction of the tilt is lost in single precision anyway.
    let from_below: Tensor = (&z + 1.0).clamp_min(1e-6);
    let degenerate = (&x * &x + &y * &y).lt(1e-12).logical_and(&z.lt(0.0)).to_kind(rotations.kind());
    let xx: Tensor = 1.0 - &x * &x / &from_below - 2.0 * &degenerate;
    let yy = 1.0 - &y * &y / &from_below;
    let xy = -(&x * &y) / &from_below;
    let tilt = Tensor::stack(&[&xx, &xy, &-&x, &xy, &yy, &-&y, &x, &y, &z], -1).reshape(rotations.size());
    let turn = rotations.matmul(&tilt.transpose(-1, -2));
    (turn, tilt)
}

/// Rotations about the optical axis by angles in degrees, counter-clockwise, `[...] → [..., 3, 3]`.
pub fn turns(angles_deg: &Tensor) -> Tensor {
    let radians = angles_deg * (std::f64::consts::PI / 180.0);
    let (cos, sin) = (radians.cos(), radians.sin());
    let (zero, one) = (cos.zeros_like(), cos.ones_like());
    let mut shape = angles_deg.size();
    shape.extend([3, 3]);
    Tensor::stack(&[&cos, &-&sin, &zero, &sin, &cos, &zero, &zero, &zero, &one], -1).reshape(shape)
}

/// Rotation matrices of quaternions (w, x, y, z) of any length above zero, `[..., 4] → [..., 3, 3]`.
pub fn quaternions(quaternions: &Tensor) -> Tensor {
    let unit = quaternions / quaternions.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).sqrt();
    let part = |i: i64| unit.select(-1, i);
    let (w, x, y, z) = (part(0), part(1), part(2), part(3));
    let twice = |a: &Tensor, b: &Tensor| a * b * 2.0;
    let rows = [
        1.0 - twice(&y, &y) - twice(&z, &z),
        twice(&x, &y) - twice(&w, &z),
        twice(&x, &z) + twice(&w, &y),
        twice(&x, &y) + twice(&w, &z),
        1.0 - twice(&x, &x) - twice(&z, &z),
        twice(&y, &z) - twice(&w, &x),
        twice(&x, &z) - twice(&w, &y),
        twice(&y, &z) + twice(&w, &x),
        1.0 - twice(&x, &x) - twice(&y, &y),
    ];
    let mut shape = unit.size();
    shape.pop();
    shape.extend([3, 3]);
    Tensor::stack(&rows, -1).reshape(shape)
}
