//! Gaussian blobs: a density whose samples, and whose projections under any pose, are known exactly.

use cryoem::geometry::{Matrix3, apply};
use cryoem::random::Random;
use opus_dsd_engine::model::projector::ProjectorConfig;
use tch::{Kind, Tensor};

/// Blobs in a ball.
const COUNT: usize = 60;
/// How far from the ball's surface they end, in standard deviations.
const REACH: f64 = 3.5;

/// Blobs about the origin of a projector's region.
pub(crate) struct Blobs {
    blobs: Vec<Blob>,
}

/// Lengths are pixels of the projections.
struct Blob {
    place: [f64; 3],
    sigma: f64,
    height: f64,
}

/// A pose as the projector takes it: pixel size of the image over the grid's, and the shift in the map's frame, pixels.
pub(crate) struct Pose {
    pub(crate) rotation: Matrix3,
    pub(crate) pixel_scale: f64,
    pub(crate) shift_px: [f64; 3],
}

impl Blobs {
    /// Within `radius_px`, with standard deviations from a range.
    pub(crate) fn new(radius_px: f64, sigma_px: (f64, f64)) -> Self {
        let mut random = Random::new(5, 9);
        let mut blob = || {
            let sigma = random.range(sigma_px.0, sigma_px.1);
            let distance = (radius_px - REACH * sigma) * random.uniform().cbrt();
            let place = random.direction().map(|v| v * distance);
            Blob { place, sigma, height: random.range(0.5, 1.5) }
        };
        Self { blobs: (0..COUNT).map(|_| blob()).collect() }
    }

    /// Standard deviations and heights `[n, 1]`, and exponentials `[n, side]` of one coordinate.
    fn along(&self, axis: &Tensor, place: impl Fn(&Blob) -> f64, sigma: impl Fn(&Blob) -> f64) -> Tensor {
        let column = |value: &dyn Fn(&Blob) -> f64| Tensor::from_slice(&self.blobs.iter().map(value).collect::<Vec<f64>>()).unsqueeze(1);
        let part = (axis.to_kind(Kind::Double).unsqueeze(0) - column(&place)) / column(&sigma);
        (part.square() * -0.5).exp()
    }

    /// Samples at the voxels of a projector's volumes, `[1, 1, t, t, t]`.
    pub(crate) fn volume(&self, config: &ProjectorConfig) -> Tensor {
        let ProjectorConfig { side, template, centre, .. } = *config;
        let axis = centre.axis(template, tch::Device::Cpu) / centre.steps(side, template);
        let [x, y, z] = [0, 1, 2].map(|j| self.along(&axis, |blob| blob.place[j], |blob| blob.sigma));
        let heights = Tensor::from_slice(&self.blobs.iter().map(|blob| blob.height).collect::<Vec<f64>>()).unsqueeze(1);
        let planes = (y.unsqueeze(2) * x.unsqueeze(1)).view([-1, template * template]);
        (z * heights).transpose(0, 1).matmul(&planes).view([1, 1, template, template, template]).to_kind(Kind::Float)
    }

    /// The integral along the optical axis at a projector's pixels, `[s, s]`.
    pub(crate) fn projection(&self, config: &ProjectorConfig, pose: &Pose) -> Tensor {
        let axis = config.centre.axis(config.side, tch::Device::Cpu);
        let place = |blob: &Blob| {
            let moved = [0, 1, 2].map(|j| blob.place[j] - pose.shift_px[j]);
            apply(&pose.rotation, moved).map(|v| v / pose.pixel_scale)
        };
        let sigma = |blob: &Blob| blob.sigma / pose.pixel_scale;
        let [x, y] = [0, 1].map(|j| self.along(&axis, |blob| place(blob)[j], sigma));
        let integral = |blob: &Blob| blob.height * sigma(blob) * std::f64::consts::TAU.sqrt();
        let integrals = Tensor::from_slice(&self.blobs.iter().map(integral).collect::<Vec<f64>>()).unsqueeze(1);
        (y * integrals).transpose(0, 1).matmul(&x).to_kind(Kind::Float)
    }
}
