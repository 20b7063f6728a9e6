//! Rendering of templates for the hypotheses of every image: what a decoder case and a loss case share.

use super::CPU;
use super::golden::Case;
use super::settings::{Sizes, ctf_rows, of_hopf};
use opus_dsd_engine::model::ctf::FrequencyGrid;
use opus_dsd_engine::model::decoder::PoseCorrection;
use opus_dsd_engine::model::fourier;
use opus_dsd_engine::model::geometry::{Centre, turns};
use opus_dsd_engine::model::lift::turn_images;
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig};
use opus_dsd_engine::model::volume::LEAK;
use tch::{Kind, Tensor};

pub(crate) struct Rendering {
    pub(crate) before_ctf: Tensor,
    pub(crate) images: Tensor,
    pub(crate) masks: Tensor,
}

pub(crate) struct Poses {
    /// `[b, 3, 3]`.
    pub(crate) base: Tensor,
    /// `[b, 3, 3]`.
    pub(crate) correction: Tensor,
    /// Pixels of the original box, `[b, 3]`.
    pub(crate) translation_px: Tensor,
    /// `[k, 3, 3]`.
    pub(crate) local: Tensor,
}

impl Poses {
    /// Those of a case, with what a decoder corrects them by.
    pub(crate) fn of(case: &Case, corrected: PoseCorrection) -> Self {
        let PoseCorrection { rotation, translation_px, .. } = corrected;
        Self { base: base_rotations(case), correction: rotation, translation_px, local: tilts(case, "local_hopf_deg") }
    }
}

pub(crate) fn render(case: &Case, sizes: &Sizes, templates: &Tensor, poses: &Poses, mask: &Tensor) -> Rendering {
    let projector = sizes.projector();
    let batch = templates.size()[0];
    let count = poses.local.size()[0];
    let all = poses.base.matmul(&poses.correction).unsqueeze(1).matmul(&poses.local.unsqueeze(0));
    let shift = &poses.translation_px * (sizes.render as f64 / sizes.box_px as f64);
    let shift = shift.unsqueeze(1).expand([batch, count, 3], false);
    let samples = projector.sample(templates, &all, None, Some(&shift));
    // One mask for all images, so that it goes through the gather as the hypotheses of one image.
    let mask_template = Projector::new(ProjectorConfig { template: sizes.crop, ..*projector.config() }, CPU);
    let seen = poses.base.matmul(&poses.correction).unsqueeze(0);
    let inside = mask_template.sample(&mask.unsqueeze(0).unsqueeze(0), &seen, None, None).gt(0.0);
    let inside = inside.to_kind(Kind::Float).view([batch, 1, -1]);
    let mean_root = (sizes.crop as f64 / 2.0).sqrt() / sizes.crop as f64;
    let before_ctf = projector.sum_rays(&(samples * (&inside + LEAK))) * mean_root;
    let (params, apix) = ctf_rows(case, sizes.box_px, sizes.render);
    let ctf = FrequencyGrid::new(sizes.render, sizes.nyquist(), CPU).ctf(&params, &apix, None, case.number("bfactor"));
    let images = fourier::filter(&before_ctf, &ctf);
    let masks = projector.sum_rays(&inside).gt(0.0).to_kind(Kind::Float);
    Rendering { before_ctf, images, masks }
}

/// Hopf angles (φ, θ) to rotations.
pub(crate) fn tilts(case: &Case, name: &str) -> Tensor {
    of_hopf(&case.tensor(name).constant_pad_nd([0, 1]))
}

/// Rotations of the images' views with the arbitrary in-plane angle.
pub(crate) fn base_rotations(case: &Case) -> Tensor {
    let views = case.tensor("hopf_deg").narrow(1, 0, 2);
    of_hopf(&Tensor::cat(&[views, case.tensor("inplane_angle_deg").unsqueeze(1)], 1))
}

/// Reference images turned to the arbitrary in-plane angle.
pub(crate) fn turned(case: &Case, images: &Tensor) -> Tensor {
    let psi = case.tensor("hopf_deg").select(1, 2);
    turn_images(images, &turns(&(psi - case.tensor("inplane_angle_deg"))), Centre::HalfVoxel)
}
