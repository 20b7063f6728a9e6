//! A molecule of Gaussians: its density and its projections are known in closed form.

use crate::geometry::{Matrix3, apply, axis_angle};
use crate::volume::Volume;
use ndarray::{Array2, Array3};
use rayon::prelude::*;
use std::f64::consts::{PI, TAU};

/// Gaussians reach this many standard deviations; beyond, single precision sees nothing.
const REACH: f64 = 6.0;

/// One conformation: Gaussians of one width.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussians {
    /// Centres (x, y, z) in Å from the origin of rotation.
    pub centres_angstrom: Vec<[f64; 3]>,
    /// Weight of each: the sum of its density over all voxels.
    pub weights: Vec<f64>,
    /// Standard deviation, Å.
    pub sigma_angstrom: f64,
}

impl Gaussians {
    /// The density on `box_px`³ voxels of `apix` Å, `[z][y][x]`, origin at voxel n/2.
    #[must_use]
    pub fn volume(&self, box_px: usize, apix: f64) -> Volume {
        let lines: Vec<[Line; 3]> =
            self.centres_angstrom.iter().map(|c| c.map(|v| Line::new(v / apix, self.sigma_angstrom / apix, box_px))).collect();
        let mut data = Array3::zeros((box_px, box_px, box_px));
        data.outer_iter_mut().into_par_iter().enumerate().for_each(|(z, mut plane)| {
            for ([x, y, along_z], weight) in lines.iter().zip(&self.weights) {
                let height = along_z.at(z) * *weight as f32;
                if height != 0.0 {
                    add_product(plane.as_slice_mut().expect("planes of a fresh array are contiguous"), box_px, y, x, height);
                }
            }
        });
        Volume { data, apix }
    }

    /// The exact projection, `[y][x]`: the sum along z of the density turned by `rotation`, moved by (x, y) pixels.
    #[must_use]
    pub fn projection(&self, rotation: &Matrix3, shift_px: [f64; 2], box_px: usize, apix: f64) -> Array2<f32> {
        let mut image = Array2::zeros((box_px, box_px));
        let pixels = image.as_slice_mut().expect("a fresh array is contiguous");
        for (centre, weight) in self.centres_angstrom.iter().zip(&self.weights) {
            let [x, y, _] = apply(rotation, *centre);
            let sigma = self.sigma_angstrom / apix;
            let (x, y) = (Line::new(x / apix + shift_px[0], sigma, box_px), Line::new(y / apix + shift_px[1], sigma, box_px));
            add_product(pixels, box_px, &y, &x, *weight as f32);
        }
        image
    }
}

/// A sampled Gaussian of unit integral along an axis, where it is not zero.
struct Line {
    first: usize,
    values: Vec<f32>,
}

impl Line {
    fn new(centre_px: f64, sigma_px: f64, box_px: usize) -> Self {
        let centre = centre_px + (box_px / 2) as f64;
        let first = (centre - REACH * sigma_px).ceil().clamp(0.0, box_px as f64) as usize;
        let end = ((centre + REACH * sigma_px).floor() + 1.0).clamp(first as f64, box_px as f64) as usize;
        let height = 1.0 / (sigma_px * TAU.sqrt());
        let values = (first..end).map(|i| (height * (-0.5 * ((i as f64 - centre) / sigma_px).powi(2)).exp()) as f32).collect();
        Self { first, values }
    }

    fn at(&self, i: usize) -> f32 {
        i.checked_sub(self.first).and_then(|i| self.values.get(i)).copied().unwrap_or(0.0)
    }
}

/// Adds `height` · y ⊗ x to a plane.
fn add_product(plane: &mut [f32], box_px: usize, y: &Line, x: &Line, height: f32) {
    for (row, vy) in plane.chunks_exact_mut(box_px).skip(y.first).zip(&y.values) {
        let factor = vy * height;
        row[x.first..x.first + x.values.len()].iter_mut().zip(&x.values).for_each(|(p, vx)| *p += factor * vx);
    }
}

/// Swing of the phantom's arm from end to end, degrees.
const SWING_DEG: f64 = 80.0;

/// The built-in phantom: a body wound like a helix (so that it differs from its mirror image), an arm with a hook that swings about a hinge as
/// `t` goes from 0 to 1, and a part that is there or not.
///
/// `diameter_angstrom` is about the extent of the whole; `sigma_angstrom` the width of its Gaussians.
#[must_use]
pub fn phantom(t: f64, part_present: bool, diameter_angstrom: f64, sigma_angstrom: f64) -> Gaussians {
    // Coordinates in units of half the diameter.
    let body = (0..60).map(|i| {
        let u = f64::from(i) / 59.0;
        let (sine, cosine) = (2.5 * TAU * u).sin_cos();
        let radius = 0.32 + 0.1 * u;
        [radius * cosine - 0.2, radius * sine, 0.9 * u - 0.55]
    });
    let hinge = [0.15, 0.0, -0.35];
    let swing = axis_angle([0.0, 1.0, 0.0], ((t - 0.5) * SWING_DEG).to_radians());
    let arm = (0..36).map(move |i| {
        let along = f64::from(i) / 35.0;
        // Straight for four fifths of its length, then bent sideways and up.
        let bend = (along - 0.8).max(0.0) * 5.0;
        let straight = [0.75 * along.min(0.85), 0.28 * (bend * PI / 2.0).sin(), 0.2 * bend * bend];
        let turned = apply(&swing, straight);
        std::array::from_fn(|k| hinge[k] + turned[k])
    });
    let part = (0..24).map(|i| {
        let (sine, cosine) = (f64::from(i) * TAU / 8.0).sin_cos();
        [-0.45 + 0.16 * cosine, -0.55 + 0.16 * sine, 0.15 + 0.11 * f64::from(i / 8)]
    });
    let scale = 0.5 * diameter_angstrom;
    let centres: Vec<[f64; 3]> =
        body.chain(arm).chain(part.take(if part_present { 24 } else { 0 })).map(|p: [f64; 3]| p.map(|v| v * scale)).collect();
    Gaussians { weights: vec![1.0; centres.len()], centres_angstrom: centres, sigma_angstrom }
}
