//! What stays the same during a run: mask, base, projector, CTF grid, and the encoder's view of an image.
//!
//! A scene is made from the raw mask and base on the prepared grid and the settings alone, so that a checkpoint which holds these two maps
//! can decode and encode without the job that it came from.

use crate::data::Batch;
use crate::model::ctf::{FrequencyGrid, NyquistRow};
use crate::model::fourier;
use crate::model::geometry::Centre;
use crate::model::lift::{Lift, LiftSteps};
use crate::model::projector::{Projector, ProjectorConfig, Region, ball_radius_px};
use crate::model::slices::SliceProjector;
use crate::model::volume::{VolumeModel, centre_crop, crop_and_refit, prior_bounds};
use crate::model::volume_priors::VolumePriors;
use contract::{BaseVolume, EncoderInput, Problem, ProjectionRoute, Result, TrainSettings};
use cryoem::geometry::{healpix_hypotheses, local_ring};
use cryoem::volume::Volume;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Keeps the Wiener filter from amplifying what the CTF left nothing of.
const WIENER_FLOOR: f64 = 0.3;
/// Pixel sizes that agree to this fraction are one.
const SAME_APIX: f64 = 1e-6;

/// The raw maps that a scene is made from, on the prepared grid (`[size, size, size]`, CPU).
pub struct Maps {
    /// 0..1.
    pub mask: Tensor,
    /// The encoder's own mask on its grid, `[e, e, e]`; `None`: it follows from `mask`.
    pub encoder_mask: Option<Tensor>,
    /// Base volume in its own grey scale.
    pub base: Option<Tensor>,
    /// Factor from the base's grey scale to the images'.
    pub base_scale: f64,
    /// Side, pixels.
    pub size_px: usize,
    /// Pixel size, Å.
    pub apix: f64,
}

/// Fixed operators of a run, on its device.
pub struct Scene {
    /// Mask and base on the template's grid.
    pub volume: VolumeModel,
    /// Magnitude and total variation.
    pub volume_priors: VolumePriors,
    /// Mask on the encoder's grid, `[1, 1, e, e, e]`.
    encoder_mask: Tensor,
    projector: Projector,
    /// What decoded volumes are projected by instead.
    slices: Option<SliceProjector>,
    lift: Lift,
    frequencies: FrequencyGrid,
    hypotheses: Option<(Tensor, Side)>,
    input: EncoderInput,
    bfactor: f64,
    crop: i64,
    apix: f64,
    /// Factor that gives the encoder's cubes unit variance inside the mask.
    pub input_scale: f64,
}

/// On which side of a particle's rotation the hypotheses act.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// In the image frame: the ring is symmetric about the given view.
    Image,
    /// In the map's frame, as in the original.
    Map,
}

impl Scene {
    /// Builds the operators. A learned base adds its parameter to `store`.
    ///
    /// # Errors
    /// Layout and maps do not fit together, or the base is empty inside the mask.
    pub fn new(settings: &TrainSettings, maps: &Maps, grid: i64, store: &VarStore, device: Device) -> Result<Self> {
        let layout = &settings.layout;
        let (crop, template, size) = (layout.crop as i64, layout.template as i64, maps.size_px as i64);
        if crop > size || crop % 2 != 0 {
            return Err(Problem::input(format!("crop {crop} is not an even number up to the prepared size {size}")).at("crop"));
        }
        let numerics = &settings.numerics;
        let centre = Centre::of(numerics);
        let mask = crop_and_refit(&maps.mask.to_device(device), crop, template, centre);
        let base = match (settings.base, &maps.base) {
            (BaseVolume::None, _) | (_, None) => None,
            (_, Some(base)) => Some(on_template(base, maps, layout.template, layout.crop)?.to_device(device) * maps.base_scale),
        };
        let volume = VolumeModel::new(&(store.root() / "base"), settings.base, base.as_ref(), &mask)?;
        let region =
            if numerics.rotate_about_half_pixel { Region::Cube } else { Region::Ball { radius_px: ball_radius_px(&mask, crop, centre) } };
        let encoder_mask = match &maps.encoder_mask {
            Some(own) if own.size() != [grid; 3] => {
                return Err(
                    Problem::input(format!("the encoder's mask is {:?}, its grid has {grid} voxels a side", own.size())).at("encoder_mask")
                );
            }
            Some(own) => own.to_device(device).to_kind(Kind::Float),
            None => crop_and_refit(&maps.mask.to_device(device), crop, grid, centre),
        };
        // Interpolating twice, as the original's encoder does, blurs: it is what the weights were trained on.
        let steps = if numerics.rotate_about_half_pixel { LiftSteps::TurnThenTilt } else { LiftSteps::Direct };
        let config = ProjectorConfig { side: crop, template, centre, region };
        let slices = match settings.projection {
            ProjectionRoute::Rays => None,
            ProjectionRoute::Slices if region == Region::Cube || layout.z_affine_dim > 0 => {
                return Err(Problem::input("projections by Fourier slices go neither with the original's numerics nor with learned poses")
                    .at("projection")
                    .hint("projection `rays` goes with all"));
            }
            ProjectionRoute::Slices => Some(SliceProjector::new(&config, device)),
        };
        let projector = Projector::new(config, device);
        Ok(Self {
            volume_priors: VolumePriors::new(prior_bounds(&mask, template), device),
            encoder_mask: encoder_mask.unsqueeze(0).unsqueeze(0),
            lift: Lift::new(crop, grid, centre, steps, device),
            frequencies: FrequencyGrid::new(size, NyquistRow::Negative, device),
            hypotheses: hypotheses(settings, device),
            input: settings.encoder_input,
            bfactor: settings.bfactor,
            crop,
            apix: maps.apix,
            input_scale: 1.0,
            volume,
            projector,
            slices,
        })
    }

    /// CTFs of a batch on the prepared grid, `[b, size, size/2+1]`; 1 where none is known.
    pub fn ctf(&self, batch: &Batch) -> Tensor {
        let ctf = self.frequencies.ctf(&batch.ctf, &batch.apix, None, 0.0);
        ctf.where_self(&batch.ctf_known.gt(0.5).view([-1, 1, 1]), &ctf.ones_like())
    }

    /// What turns a projection into an image: the CTF, twice where the image was multiplied by it already; with the rendering's B-factor.
    pub fn transfer(&self, batch: &Batch, ctf: &Tensor) -> Tensor {
        let envelope = self.frequencies.ctf(&batch.ctf, &batch.apix, None, self.bfactor);
        let once = envelope.where_self(&batch.ctf_known.gt(0.5).view([-1, 1, 1]), &ctf.ones_like());
        let twice = &once * ctf;
        twice.where_self(&batch.premultiplied.gt(0.5).view([-1, 1, 1]), &once)
    }

    /// The images' central pixels, which renderings are compared with, `[b, crop, crop]`.
    pub fn seen(&self, images: &Tensor) -> Tensor {
        fourier::centre_crop(images, self.crop)
    }

    /// Pixels where rays meet the mask, `[b, crop, crop]`, 0 or 1.
    pub fn silhouettes(&self, batch: &Batch) -> Tensor {
        let projected = self.projector.project_one(self.volume.mask(), &batch.rotations, self.pixel_scale(batch).as_ref());
        projected.gt(0.0).to_kind(Kind::Float)
    }

    /// Projections of the base in the images' grey scale, before the CTF, `[b, 1, crop, crop]`; `None` without a base.
    #[must_use]
    pub fn base_projections(&self, batch: &Batch) -> Option<Tensor> {
        let base = self.volume.base()?.detach();
        Some(self.projector.project_one(&base, &batch.rotations, self.pixel_scale(batch).as_ref()).unsqueeze(1))
    }

    /// Images less what the base explains of them, `[b, crop, crop]`.
    pub fn residuals(&self, batch: &Batch, ctf: &Tensor) -> Tensor {
        let seen = self.seen(&batch.images);
        match self.base_projections(batch) {
            None => seen,
            Some(projections) => seen - fourier::filter(&projections, &self.transfer(batch, ctf)).squeeze_dim(1),
        }
    }

    /// What the encoder sees: `[b, 1, e, e, e]`, masked.
    pub fn cubes(&self, batch: &Batch) -> Tensor {
        tch::no_grad(|| {
            let mut cubes = self.lift.lift(&self.encoder_images(batch), &batch.rotations);
            cubes *= &self.encoder_mask * self.input_scale;
            cubes
        })
    }

    /// What is lifted: `[b, crop, crop]`.
    pub fn encoder_images(&self, batch: &Batch) -> Tensor {
        if self.input == EncoderInput::Image {
            return self.seen(&batch.images);
        }
        let ctf = self.ctf(batch);
        let residuals = self.residuals(batch, &ctf).unsqueeze(1);
        let premultiplied = batch.premultiplied.gt(0.5).view([-1, 1, 1]);
        let filter = match self.input {
            EncoderInput::ResidualTimesCtf => ctf.ones_like().where_self(&premultiplied, &ctf),
            _ => {
                let power = ctf.square() + WIENER_FLOOR;
                let numerator = ctf.ones_like().where_self(&premultiplied, &ctf);
                numerator / power
            }
        };
        fourier::filter(&residuals, &filter).squeeze_dim(1)
    }

    /// Mean variance of unscaled cubes inside the mask.
    #[must_use]
    pub fn cube_variance(&self, cubes: &Tensor) -> f64 {
        let inside = self.encoder_mask.gt(0.0).sum(Kind::Double).double_value(&[]).max(1.0);
        cubes.square().sum(Kind::Double).double_value(&[]) / (inside * cubes.size()[0] as f64)
    }

    /// Rotations of a batch's hypotheses, `[b, k, 3, 3]`; `correction` (`[b, 3, 3]`) is the learned one.
    fn rotations(&self, batch: &Batch, correction: Option<&Tensor>) -> Tensor {
        let given = match correction {
            Some(correction) => batch.rotations.matmul(correction),
            None => batch.rotations.shallow_clone(),
        }
        .unsqueeze(1);
        match &self.hypotheses {
            None => given,
            Some((local, Side::Image)) => local.unsqueeze(0).matmul(&given),
            Some((local, Side::Map)) => given.matmul(&local.unsqueeze(0)),
        }
    }

    /// Projections of volumes `[b, 1, t, t, t]` for all hypotheses, `[b, k, crop, crop]`, before the CTF.
    ///
    /// `correction` and `shift_px` (`[b, 3]`, prepared pixels, map frame) are the learned pose's.
    pub fn project(&self, volumes: &Tensor, batch: &Batch, correction: Option<&Tensor>, shift_px: Option<&Tensor>) -> Tensor {
        let rotations = self.rotations(batch, correction);
        let shift = shift_px.map(|shift| shift.unsqueeze(1).expand([-1, rotations.size()[1], 3], false));
        let scale = self.pixel_scale(batch);
        match &self.slices {
            Some(slices) => slices.project(volumes, &rotations, scale.as_ref(), shift.as_ref()),
            None => self.projector.project_moved(volumes, &rotations, scale.as_ref(), shift.as_ref()),
        }
    }

    /// Why projections, the encoder's input or the volume priors are made without their kernels; `None` where these make all.
    #[must_use]
    pub fn without_kernel(&self) -> Option<&Problem> {
        let slices = self.slices.as_ref().and_then(SliceProjector::without_kernel);
        slices
            .or_else(|| self.projector.without_kernel())
            .or_else(|| self.lift.without_kernel())
            .or_else(|| self.volume_priors.without_kernel())
    }

    /// Bytes that projecting a volume for some poses reads, at least.
    #[must_use]
    pub fn projection_bytes(&self, poses: usize) -> f64 {
        match &self.slices {
            Some(slices) => slices.bytes(poses),
            None => self.projector.bytes(poses),
        }
    }

    /// Floating-point operations of it.
    #[must_use]
    pub fn projection_flop(&self, poses: usize) -> f64 {
        match &self.slices {
            Some(slices) => slices.flop(poses),
            None => self.projector.flop(poses),
        }
    }

    /// The side of the compared region, pixels.
    #[must_use]
    pub fn crop(&self) -> i64 {
        self.crop
    }

    /// Pixel size of each image over the grid's; `None` where all are one.
    fn pixel_scale(&self, batch: &Batch) -> Option<Tensor> {
        let apart = |apix: f32| (f64::from(apix) / self.apix - 1.0).abs();
        let (smallest, largest) = batch.apix_range;
        (apart(smallest).max(apart(largest)) > SAME_APIX).then(|| &batch.apix / self.apix)
    }
}

/// The base on the template's grid, by Fourier resampling.
fn on_template(base: &Tensor, maps: &Maps, template: usize, crop: usize) -> Result<Tensor> {
    if template == crop {
        return Ok(centre_crop(base, crop as i64));
    }
    let map = to_volume(base, maps.size_px, maps.apix)?;
    let fitted = map.resampled(template, maps.apix * crop as f64 / template as f64)?;
    Ok(from_volume(&fitted))
}

/// A tensor `[n, n, n]` as a map.
///
/// # Errors
/// The tensor is not of that shape.
pub fn to_volume(tensor: &Tensor, side: usize, apix: f64) -> Result<Volume> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    let values = Vec::<f32>::try_from(flat).map_err(|error| Problem::failed(error.to_string()))?;
    let mut volume = Volume::zeros(side, apix);
    if volume.data.len() != values.len() {
        return Err(Problem::failed(format!("a map of {} values is not a cube of side {side}", values.len())));
    }
    for (voxel, value) in volume.data.iter_mut().zip(values) {
        *voxel = value;
    }
    Ok(volume)
}

/// A map as a tensor `[z, y, x]` on the CPU.
pub fn from_volume(volume: &Volume) -> Tensor {
    let (z, y, x) = volume.data.dim();
    Tensor::from_slice(&volume.data.iter().copied().collect::<Vec<f32>>()).view([z as i64, y as i64, x as i64])
}

fn hypotheses(settings: &TrainSettings, device: Device) -> Option<(Tensor, Side)> {
    let flat = |matrices: &[[[f64; 3]; 3]]| {
        let values: Vec<f32> = matrices.as_flattened().as_flattened().iter().map(|&v| v as f32).collect();
        Tensor::from_slice(&values).view([-1, 3, 3]).to_device(device)
    };
    if settings.numerics.exclude_given_pose {
        let local: Vec<_> = healpix_hypotheses(0.0, 0.0).iter().map(|hopf| hopf.matrix()).collect();
        return Some((flat(&local), Side::Map));
    }
    let ring = settings.hypotheses.ring;
    (ring > 0).then(|| (flat(&local_ring(ring, settings.hypotheses.angle_deg)), Side::Image))
}
