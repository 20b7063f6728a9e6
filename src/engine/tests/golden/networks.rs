//! The networks: what the encoder makes of images, and the decoder and its projection of latents.

use super::golden::cases;
use super::rendering::{Poses, base_rotations, render, tilts, turned};
use super::settings::{Sizes, centred, decoder, encoder, encoder_mask, even, rotations};
use super::{CPU, ORIGINAL, start};
use opus_dsd_engine::model::encoder::Levels;
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::lift::{Lift, LiftSteps};
use opus_dsd_engine::model::loss::{Fit, divergence};
use opus_dsd_engine::model::prior::nearest_in_batch;
use opus_dsd_engine::model::volume::{crop_and_refit, prior_bounds, refit};
use opus_dsd_engine::model::volume_priors::{mean_magnitude, total_variation};
use tch::Kind;

#[test]
fn encoding() {
    start();
    for case in cases("d_encoder") {
        let sizes = Sizes::of(&case);
        let images = centred(&case, &sizes);
        case.check("centered_image_crop", &images.narrow(0, 0, 2), 1e-5);
        let mask = encoder_mask(&case, &sizes);
        case.check("in_mask", &mask, 1e-5);
        case.check("enc_mask_slice", &mask.select(0, sizes.crop / 2), 1e-5);
        let lift = Lift::new(sizes.crop, sizes.crop, Centre::HalfVoxel, LiftSteps::TurnThenTilt, CPU);
        let cubes = lift.lift(&images, &rotations(&case)) * &mask;
        case.check("pseudovol", &cubes, 1e-4);
        let middle = sizes.crop / 2;
        case.check("pseudovol_img0_slice_z", &cubes.select(0, 0).select(0, 0).select(0, middle), 1e-4);
        case.check("pseudovol_img0_slice_y", &cubes.select(0, 0).select(0, 0).select(1, middle), 1e-4);
        case.check("pseudovol_img1_slice_x", &cubes.select(0, 1).select(0, 0).select(2, middle), 1e-4);
        let Levels { before, dense, mu, logstd } = tch::no_grad(|| encoder(&sizes).net.levels(&cubes));
        case.check("down1_out", &before, 1e-4);
        case.check("down3_out", &dense, 1e-4);
        case.check("z_mu", &mu, 1e-4);
        case.check("eval_z_mu", &mu, 1e-4);
        case.check("z_logstd", &logstd, 1e-4);
        let z = &mu + logstd.exp() * case.tensor("eps");
        case.check("z", &z, 1e-4);
        case.check("kldiv", &divergence(&mu, &logstd), 1e-4);
        case.check("mu2", &mu.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float), 1e-4);
        case.check("std2", &(&logstd * 2.0).exp().sum_dim_intlist([1i64].as_slice(), false, Kind::Float), 1e-4);
        case.check("z_knn", &nearest_in_batch(&mu, &z), 1e-4);
    }
}

#[test]
fn decoding_and_projection() {
    start();
    for case in cases("e_decoder") {
        let sizes = Sizes::of(&case);
        let network = decoder(&sizes);
        let mask = sizes.decoder_mask(&case.tensor("mask_volume_f16"));
        case.check("ref_mask_crop", &mask, 1e-5);
        let keep = even(sizes.box_px as f64 * (sizes.crop - 2) as f64 / sizes.render as f64);
        let cropped = crop_and_refit(&case.tensor("mask_volume_f16"), keep, keep, Centre::HalfVoxel);
        let bounds = prior_bounds(&cropped, sizes.template);
        assert_eq!(bounds.to_vec(), case.meta_list("vol_bound"), "{}", case.name);

        let z = case.tensor("z");
        let templates = tch::no_grad(|| network.net.forward(&z));
        case.check("template", &templates, 1e-4);
        for (dim, axis) in [(0, "z"), (1, "y"), (2, "x")] {
            let slice = templates.select(0, 0).select(0, 0).select(dim, sizes.template / 2);
            case.check(&format!("template0_slice_{axis}"), &slice, 1e-4);
        }
        case.check("l2", &mean_magnitude(&templates, bounds).mean(Kind::Float), 1e-4);
        case.check("tvl2", &total_variation(&templates, bounds).mean(Kind::Float), 1e-4);

        let pose = tch::no_grad(|| network.net.pose(&z)).unwrap();
        case.check("affine_quat", &pose.quaternion, 1e-4);
        case.check("affine_trans", &pose.translation_px, 1e-4);
        case.check("R_residual", &pose.rotation, 1e-4);
        case.check("pose_pred_trans", &pose.translation_px, 1e-4);
        case.check("local_R", &tilts(&case, "local_hopf_deg"), 1e-4);
        case.check("R_base_hopf3", &base_rotations(&case), 1e-4);
        let poses = Poses::of(&case, pose);
        let rendering = render(&case, &sizes, &templates, &poses, &mask);
        case.check("proj_before_ctf", &rendering.before_ctf, 1e-4);
        case.check("proj_before_ctf_img0", &rendering.before_ctf.select(0, 0), 1e-4);
        case.check("proj_ctf", &rendering.images, 1e-4);
        case.check("proj_ctf_img0", &rendering.images.select(0, 0), 1e-4);
        let differing = (&rendering.masks - case.tensor("mask2d")).abs().sum(Kind::Float).double_value(&[]);
        assert!(differing <= 4.0, "{}: {differing} pixels of the 2D masks differ", case.name);

        let y = turned(&case, &case.tensor("ref_image_crop"));
        case.check("y_ref", &y, 1e-4);
        let fit = Fit::new(&rendering.images, &y.unsqueeze(1), &rendering.masks, &ORIGINAL);
        case.check("y_recon2", &fit.rendered_power, 1e-4);
        case.check("ycorr", &(&fit.difference - &fit.rendered_power), 1e-4);
        case.check("y2", &fit.image_power, 1e-4);
    }
}

#[test]
fn decoded_volumes() {
    start();
    let trained = cases("d_encoder").into_iter().find(|case| case.flag("has_mask")).unwrap();
    for case in cases("h_evalvol") {
        let size = |name| case.number(name) as i64;
        let sizes = Sizes { box_px: size("D"), render: size("train_render"), crop: size("train_crop"), template: size("templateres") };
        let given = if case.has("mask_volume_f16") { case.tensor("mask_volume_f16") } else { trained.tensor("mask_volume_f16") };
        let mask = sizes.decoder_mask(&given);
        case.check("train_ref_mask_crop", &mask, 1e-5);
        let side = even(
            even(sizes.box_px as f64 * case.number("train_apix") / case.number("target_apix")) as f64 * sizes.crop as f64
                / sizes.render as f64,
        );
        let z = case.tensor("z").view([1, -1]);
        let template = tch::no_grad(|| decoder(&sizes).net.forward(&z));
        let mut volume = template.view([sizes.template; 3]);
        if case.flag("masked_and_resampled") {
            volume = refit(&volume, side, Centre::HalfVoxel) * refit(&mask, side, Centre::HalfVoxel);
        }
        if size("flip") == 1 {
            volume = volume.flip([0]);
        }
        case.check("volume", &volume, 1e-4);
        case.check("slice_z", &volume.select(0, volume.size()[0] / 2), 1e-4);
        case.check("slice_x", &volume.select(2, volume.size()[0] / 2), 1e-4);
    }
}
