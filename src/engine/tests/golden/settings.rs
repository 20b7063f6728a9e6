//! What a golden case was made with: its sizes, poses, masks and networks.

use super::CPU;
use super::golden::{Case, fill};
use contract::{EncoderGrid, ModelLayout, ResizeAt, Width};
use cryoem::geometry::Hopf;
use opus_dsd_engine::model::ctf::NyquistRow;
use opus_dsd_engine::model::decoder::{Decoder, DecoderConfig};
use opus_dsd_engine::model::encoder::{Encoder, EncoderConfig};
use opus_dsd_engine::model::fourier;
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region};
use opus_dsd_engine::model::volume::crop_and_refit;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

/// 2·floor(floor(v)/2).
pub(crate) fn even(value: f64) -> i64 {
    (value.floor() / 2.0).floor() as i64 * 2
}

/// Hopf angles (φ, θ, ψ), degrees, `[b, 3]`, to rotations `[b, 3, 3]`.
pub(crate) fn of_hopf(angles: &Tensor) -> Tensor {
    let angles = Vec::<f64>::try_from(angles.to_kind(Kind::Double).reshape([-1])).unwrap();
    let matrices = angles.chunks(3).map(|a| Hopf { phi_deg: a[0], theta_deg: a[1], psi_deg: a[2] }.matrix());
    let flat: Vec<f32> = matrices.flat_map(|m| m.into_iter().flatten().map(|v| v as f32).collect::<Vec<_>>()).collect();
    Tensor::from_slice(&flat).view([-1, 3, 3])
}

/// Rotations of the images, RELION's matrices, `[b, 3, 3]`.
pub(crate) fn rotations(case: &Case) -> Tensor {
    of_hopf(&case.tensor("hopf_deg"))
}

/// Parameters with apix in front to the product's rows, and the pixel size on the render grid.
pub(crate) fn ctf_rows(case: &Case, box_px: i64, render: i64) -> (Tensor, Tensor) {
    let rows = case.tensor("ctf_params_apix_dfu_dfv_dfang_kv_cs_w_ps").to_kind(Kind::Double);
    let count = rows.size()[0];
    let tail = Tensor::from_slice(&[0.0, 1.0]).expand([count, 2], false);
    let apix = rows.select(1, 0) * (box_px as f64 / render as f64);
    (Tensor::cat(&[rows.narrow(1, 1, 7), tail], 1), apix)
}

/// Sizes of a case.
pub(crate) struct Sizes {
    pub(crate) box_px: i64,
    pub(crate) render: i64,
    pub(crate) crop: i64,
    pub(crate) template: i64,
}

impl Sizes {
    pub(crate) fn of(case: &Case) -> Self {
        let size = |name| case.meta(name) as i64;
        Self { box_px: size("D"), render: size("render_size"), crop: size("crop_vol_size"), template: size("templateres") }
    }

    pub(crate) fn layout(&self) -> ModelLayout {
        ModelLayout {
            zdim: 4,
            z_affine_dim: 4,
            width: Width::Full,
            encoder_grid: EncoderGrid::Native,
            resize_at: ResizeAt::Side16,
            template: self.template as usize,
            crop: self.crop as usize,
        }
    }

    pub(crate) fn nyquist(&self) -> NyquistRow {
        if self.render < self.box_px { NyquistRow::Negative } else { NyquistRow::Positive }
    }

    /// The decoder's mask, of the given box, cropped to two pixels less than the render region and stretched over it.
    pub(crate) fn decoder_mask(&self, mask: &Tensor) -> Tensor {
        let keep = even(self.box_px as f64 * (self.crop - 2) as f64 / self.render as f64);
        crop_and_refit(mask, keep, self.crop, Centre::HalfVoxel)
    }

    pub(crate) fn projector(&self) -> Projector {
        let config = ProjectorConfig { side: self.crop, template: self.template, centre: Centre::HalfVoxel, region: Region::Cube };
        Projector::new(config, CPU)
    }
}

/// Images moved and cropped in Fourier space, `[b, r, r]`.
pub(crate) fn shifted(case: &Case, sizes: &Sizes) -> Tensor {
    let spectra = fourier::crop(&fourier::forward(&case.tensor("images")), sizes.render);
    let shift = case.tensor("trans_px") * (sizes.render as f64 / sizes.box_px as f64);
    fourier::inverse(&fourier::translate(&spectra, &shift, NyquistRow::Negative), sizes.render)
}

/// The same, cropped to the render region, `[b, c, c]`.
pub(crate) fn centred(case: &Case, sizes: &Sizes) -> Tensor {
    fourier::centre_crop(&shifted(case, sizes), sizes.crop)
}

pub(crate) fn encoder_mask(case: &Case, sizes: &Sizes) -> Tensor {
    if case.flag("has_mask") {
        let keep = even(sizes.box_px as f64 * case.meta("window_r"));
        crop_and_refit(&case.tensor("mask_volume_f16"), keep, sizes.crop, Centre::HalfVoxel)
    } else {
        let radius2 = Centre::HalfVoxel.cube(sizes.crop, CPU).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let half = (sizes.crop - 1) as f64 / 2.0;
        radius2.lt(half * half).to_kind(Kind::Float).view([sizes.crop; 3])
    }
}

pub(crate) struct Network<T> {
    pub(crate) store: VarStore,
    pub(crate) net: T,
}

pub(crate) fn encoder(sizes: &Sizes) -> Network<Encoder> {
    let store = VarStore::new(CPU);
    let net = Encoder::new(&store.root(), EncoderConfig::of(&sizes.layout()));
    fill(&store, "encoder");
    Network { store, net }
}

pub(crate) fn decoder(sizes: &Sizes) -> Network<Decoder> {
    let store = VarStore::new(CPU);
    let net = Decoder::new(&store.root(), DecoderConfig::of(&sizes.layout()));
    fill(&store, "decoder");
    Network { store, net }
}
