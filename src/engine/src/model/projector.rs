//! Projection of volumes along the optical axis for given rotations: sample at the rotated grid's points, add along each ray.
//!
//! Only points that can meet density are sampled: those within a ball that holds the mask. A kernel does it ray by ray
//! (`kernels::projection`, on CPUs and GPUs); the form made of libtorch's operators, in which all images and hypotheses go through one
//! gather, is the reference that both are tested against, and what runs where a GPU's kernel cannot be made.

use super::geometry::Centre;
use crate::kernels::projection::gpu::GpuProjection;
use crate::kernels::projection::{Projection, Rays};
use crate::native::{self, Operator};
use contract::Problem;
use std::cell::OnceCell;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

const TRILINEAR: i64 = 0;
const ZEROS: i64 = 0;

/// Which points of the render cube are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Region {
    /// Those within this distance of the origin, pixels.
    Ball {
        /// Radius, pixels of the rendered images.
        radius_px: f64,
    },
    /// All, as the original.
    Cube,
}

/// Shape of a projector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProjectorConfig {
    /// Side of the projections, pixels.
    pub side: i64,
    /// Side of the volumes, voxels; they span the projections' region.
    pub template: i64,
    /// Where the rotation's origin is.
    pub centre: Centre,
    /// What is sampled.
    pub region: Region,
}

/// Projects volumes of one size to images of one size.
pub struct Projector {
    config: ProjectorConfig,
    device: Device,
    rays: Arc<Rays>,
    /// The kernel, or why there is none.
    kernel: Result<Arc<dyn Operator>, Problem>,
    /// What the tensor form needs; made when it is first asked for.
    grid: OnceCell<Grid>,
}

/// All samples of one projection.
#[derive(Debug)]
struct Grid {
    /// Coordinates `(x, y, z)` in the image frame, pixels, `[p, 3]`.
    points: Tensor,
    /// Pixel that a point's ray ends in, `[p]`; `None` where the points fill a cube.
    pixels: Option<Tensor>,
}

impl Grid {
    fn new(config: &ProjectorConfig, device: Device) -> Self {
        let cube = config.centre.cube(config.side, device);
        let Region::Ball { radius_px } = config.region else { return Self { points: cube, pixels: None } };
        let distance2 = cube.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let inside = distance2.le(radius_px * radius_px).nonzero().squeeze_dim(1);
        let pixel = inside.remainder(config.side * config.side);
        // Ray after ray, so that a ray's samples lie together in the gather and in its sum.
        let order = (&pixel * config.side + inside.divide_scalar_mode(config.side * config.side, "floor")).argsort(0, false);
        Self { points: cube.index_select(0, &inside.index_select(0, &order)), pixels: Some(pixel.index_select(0, &order)) }
    }
}

/// The samples of a projector's region, ray by ray.
fn rays(config: &ProjectorConfig) -> Rays {
    let side = config.side;
    let origin = config.centre.index(side);
    let span = |pixel: i64| {
        let Region::Ball { radius_px } = config.region else { return (0, side as u16) };
        let (x, y) = ((pixel % side) as f64 - origin, (pixel / side) as f64 - origin);
        let inside = |z: i64| x * x + y * y + (z as f64 - origin).powi(2) <= radius_px * radius_px;
        let first = (0..side).find(|&z| inside(z)).unwrap_or(0);
        (first as u16, (first..side).take_while(|&z| inside(z)).count() as u16)
    };
    Rays { side: side as usize, origin: origin as f32, spans: (0..side * side).map(span).collect() }
}

impl Projector {
    /// A projector on a device.
    #[must_use]
    pub fn new(config: ProjectorConfig, device: Device) -> Self {
        let rays = Arc::new(rays(&config));
        let kernel: Result<Arc<dyn Operator>, Problem> = match device {
            Device::Cpu => Ok(Arc::new(Projection(Arc::clone(&rays)))),
            gpu => GpuProjection::new(&rays, gpu).map(|kernel| Arc::new(kernel) as Arc<dyn Operator>),
        };
        Self { config, device, rays, kernel, grid: OnceCell::new() }
    }

    /// The same shape with another kernel, which must work on the device's tensors.
    #[must_use]
    pub fn with_kernel(config: ProjectorConfig, device: Device, kernel: impl FnOnce(&Rays) -> Arc<dyn Operator>) -> Self {
        let rays = Arc::new(rays(&config));
        Self { config, device, kernel: Ok(kernel(&rays)), rays, grid: OnceCell::new() }
    }

    /// Why projections are made of libtorch's operators, which takes longer and more memory; `None` where the kernel does it.
    #[must_use]
    pub fn without_kernel(&self) -> Option<&Problem> {
        self.kernel.as_ref().err()
    }

    /// The shape.
    #[must_use]
    pub fn config(&self) -> &ProjectorConfig {
        &self.config
    }

    /// Points sampled for one projection.
    pub fn points(&self) -> i64 {
        self.rays.points() as i64
    }

    /// Bytes that projecting a volume for some poses reads of it: eight corners a sample.
    #[must_use]
    pub fn bytes(&self, poses: usize) -> f64 {
        const CORNERS: f64 = 8.0;
        CORNERS * self.points() as f64 * poses as f64 * size_of::<f32>() as f64
    }

    /// Floating-point operations of it: seven linear interpolations of three a sample, and the addition to the ray.
    #[must_use]
    pub fn flop(&self, poses: usize) -> f64 {
        const A_SAMPLE: f64 = 22.0;
        A_SAMPLE * self.points() as f64 * poses as f64
    }

    /// Ray sums `[b, k, s, s]` of volumes `[b, 1, t, t, t]` under rotations `[b, k, 3, 3]`.
    ///
    /// `pixel_scale` (`[b]`) is the image's pixel size over the grid's, where they differ. The sum is over samples one pixel apart.
    pub fn project(&self, volumes: &Tensor, rotations: &Tensor, pixel_scale: Option<&Tensor>) -> Tensor {
        self.project_moved(volumes, rotations, pixel_scale, None)
    }

    /// The same of volumes moved by `shift_px` (`[b, k, 3]`, map frame, pixels; towards the negative).
    ///
    /// By the fused kernel, where there is one.
    pub fn project_moved(&self, volumes: &Tensor, rotations: &Tensor, pixel_scale: Option<&Tensor>, shift_px: Option<&Tensor>) -> Tensor {
        let Ok(kernel) = &self.kernel else { return self.project_by_tensors(volumes, rotations, pixel_scale, shift_px) };
        let ProjectorConfig { side, template, centre, .. } = self.config;
        let step = centre.steps(side, template);
        let mut matrices = rotations * step;
        if let Some(scale) = pixel_scale {
            matrices *= scale.reshape([-1, 1, 1, 1]);
        }
        let origin = Tensor::full(rotations.select(-1, 0).size(), centre.index(template), (Kind::Float, self.device));
        let offsets = match shift_px {
            Some(shift) => origin + shift * step,
            None => origin,
        };
        native::apply(Arc::clone(kernel), &[volumes, &matrices, &offsets])
    }

    /// The same by libtorch's own operators: what the kernels are tested against, and what runs where there is none.
    pub fn project_by_tensors(
        &self,
        volumes: &Tensor,
        rotations: &Tensor,
        pixel_scale: Option<&Tensor>,
        shift_px: Option<&Tensor>,
    ) -> Tensor {
        self.sum_rays(&self.sample(volumes, rotations, pixel_scale, shift_px))
    }

    /// Ray sums `[n, s, s]` of one volume `[1, 1, t, t, t]` under rotations `[n, 3, 3]`; `pixel_scale` is `[n]`.
    pub fn project_one(&self, volume: &Tensor, rotations: &Tensor, pixel_scale: Option<&Tensor>) -> Tensor {
        let rotations = match pixel_scale {
            Some(scale) => rotations * scale.reshape([-1, 1, 1]),
            None => rotations.shallow_clone(),
        };
        self.project(volume, &rotations.unsqueeze(0), None).squeeze_dim(0)
    }

    /// Where rays meet the mask, `[b, k, s, s]`, 0 or 1, of masks `[b, 1, t, t, t]`; no gradient.
    pub fn silhouette(&self, masks: &Tensor, rotations: &Tensor, pixel_scale: Option<&Tensor>) -> Tensor {
        tch::no_grad(|| self.project(masks, rotations, pixel_scale).gt(0.0).to_kind(Kind::Float))
    }

    fn grid(&self) -> &Grid {
        self.grid.get_or_init(|| Grid::new(&self.config, self.device))
    }

    /// Samples `[b, k, p]` of volumes `[b, 1, t, t, t]` at the rotated points, trilinear, zero outside.
    ///
    /// `shift_px` (`[b, k, 3]`) moves the points in the frame of the map, pixels.
    pub fn sample(&self, volumes: &Tensor, rotations: &Tensor, pixel_scale: Option<&Tensor>, shift_px: Option<&Tensor>) -> Tensor {
        let ProjectorConfig { side, template, centre, .. } = self.config;
        let size = rotations.size();
        let (batch, hypotheses, points) = (size[0], size[1], self.points());
        let (scale, offset) = centre.to_sampler(template);
        let scale = scale * centre.steps(side, template);
        // As rows: map = image · A.
        let mut matrices = rotations * scale;
        if let Some(pixel_scale) = pixel_scale {
            matrices *= pixel_scale.reshape([-1, 1, 1, 1]);
        }
        let mut grid = self.grid().points.matmul(&matrices.view([batch * hypotheses, 3, 3])) + offset;
        if let Some(shift) = shift_px {
            grid += (shift * scale).view([batch * hypotheses, 1, 3]);
        }
        volumes.grid_sampler_3d(&grid.view([batch, hypotheses, points, 1, 3]), TRILINEAR, ZEROS, true).view([batch, hypotheses, points])
    }

    /// Adds samples `[b, k, p]` along their rays, `[b, k, s, s]`.
    pub fn sum_rays(&self, samples: &Tensor) -> Tensor {
        let size = samples.size();
        let (batch, hypotheses, side) = (size[0], size[1], self.config.side);
        match &self.grid().pixels {
            None => samples.view([batch, hypotheses, side, side, side]).sum_dim_intlist([2i64].as_slice(), false, Kind::Float),
            Some(pixels) => {
                let images = batch * hypotheses;
                let by_point = samples.view([images, -1]).transpose(0, 1).contiguous();
                let empty = Tensor::zeros([side * side, images], (Kind::Float, samples.device()));
                empty.index_add(0, pixels, &by_point).transpose(0, 1).reshape([batch, hypotheses, side, side])
            }
        }
    }
}

/// Radius of the ball about the origin, in pixels of `side`² images, outside of which a masked volume `[t, t, t]` has no density.
///
/// One voxel is added for the reach of the interpolation, and 1% for optics groups whose pixel sizes differ a little.
#[must_use]
pub fn ball_radius_px(mask: &Tensor, side: i64, centre: Centre) -> f64 {
    let template = mask.size()[0];
    let inside = mask.reshape([-1]).gt(0.0);
    let distance2 = centre.cube(template, mask.device()).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let farthest = (distance2 * inside.to_kind(Kind::Float)).max().double_value(&[]).sqrt();
    (farthest + 1.0) * 1.01 / centre.steps(side, template)
}
