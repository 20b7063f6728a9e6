//! The CPU's kernels of the encoder's lift, of smoothing and of the volume priors against the forms made of libtorch's operators.
//!
//! Index: lift (values, threads, poses that are no numbers, gradients) · smoothing (values and gradients, borders, threads) · volume priors (values and gradients, flat volumes, threads).

#[path = "support/kernels.rs"]
mod support;

use opus_dsd_engine::kernels::priors::CpuPriors;
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::lift::{Lift, LiftSteps};
use opus_dsd_engine::model::smoothing::{Smoothing, TAPS, smooth_by_tensors};
use opus_dsd_engine::model::volume_priors::VolumePriors;
use opus_dsd_engine::native::Operator;
use support::{OPTIONS, relative, start_alone};
use tch::{Device, Kind, Tensor};

/// A random rotation an image, `[images, 3, 3]`.
fn rotations(images: i64) -> Tensor {
    support::rotations(images, 1).squeeze_dim(1)
}

#[test]
fn lifted_images_are_those_of_the_tensors() {
    let _alone = start_alone();
    for (side, grid, centre, steps) in [
        (24, 24, Centre::Voxel, LiftSteps::Direct),
        (31, 20, Centre::Voxel, LiftSteps::Direct),
        (20, 37, Centre::Voxel, LiftSteps::Direct),
        (24, 24, Centre::HalfVoxel, LiftSteps::TurnThenTilt),
        (22, 30, Centre::HalfVoxel, LiftSteps::TurnThenTilt),
    ] {
        let lift = Lift::new(side, grid, centre, steps, Device::Cpu);
        let (images, poses) = (Tensor::randn([5, side, side], OPTIONS), rotations(5));
        let (got, want) = (lift.lift(&images, &poses), lift.lift_by_tensors(&images, &poses));
        // Of white noise: a position that rounding moves by 1e-6 pixels changes a sample by as much.
        assert!(relative(&got, &want) < 1e-5, "{side} to {grid}, {steps:?}: {:.1e}", relative(&got, &want));
        assert!(want.eq(0.0).any().int64_value(&[]) == 1, "corners of the cube are outside the image");
        let turned = lift.lift(&images, &poses.roll([1], [0]));
        assert!(relative(&turned, &want) > 0.1, "another pose shows");
        tch::set_num_threads(3);
        assert!(lift.lift(&images, &poses).equal(&got), "threads change nothing");
        tch::set_num_threads(1);
    }
}

#[test]
fn an_upright_image_is_copied_along_the_view_direction() {
    let _alone = start_alone();
    let images = Tensor::randn([1, 16, 16], OPTIONS);
    let upright = Tensor::eye(3, OPTIONS).unsqueeze(0);
    let cubes = Lift::new(16, 16, Centre::Voxel, LiftSteps::Direct, Device::Cpu).lift(&images, &upright);
    assert!((cubes - images.view([1, 1, 1, 16, 16])).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn poses_that_are_no_numbers_lift_to_none() {
    let _alone = start_alone();
    let lift = Lift::new(16, 16, Centre::Voxel, LiftSteps::Direct, Device::Cpu);
    for bad in [f64::NAN, f64::INFINITY, 1e30] {
        let poses = rotations(2);
        let _ = poses.get(0).get(1).get(2).fill_(bad);
        let cubes = lift.lift(&Tensor::randn([2, 16, 16], OPTIONS), &poses);
        assert!(cubes.get(0).isnan().all().int64_value(&[]) == 1, "{bad}");
        assert!(cubes.get(1).isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn a_gradient_that_is_asked_for_is_there() {
    let _alone = start_alone();
    let lift = Lift::new(16, 16, Centre::Voxel, LiftSteps::Direct, Device::Cpu);
    let images = Tensor::randn([1, 16, 16], OPTIONS).set_requires_grad(true);
    lift.lift(&images, &rotations(1)).sum(Kind::Float).backward();
    assert!(images.grad().abs().sum(Kind::Float).double_value(&[]) > 1.0);
}

#[test]
fn smoothed_volumes_are_those_of_the_products() {
    let _alone = start_alone();
    let smoothing = Smoothing::new(Device::Cpu);
    for (side, images) in [(1, 2), (2, 1), (3, 2), (16, 3), (37, 1)] {
        let (volumes, gradient) =
            (Tensor::randn([images, 1, side, side, side], OPTIONS), Tensor::randn([images, 1, side, side, side], OPTIONS));
        let both = |smooth: &dyn Fn(&Tensor) -> Tensor| {
            let volumes = volumes.copy().set_requires_grad(true);
            let smoothed = smooth(&(&volumes * 2.0));
            (&smoothed * &gradient).sum(Kind::Float).backward();
            [smoothed.detach(), volumes.grad()]
        };
        let got = both(&|volumes| smoothing.smooth(volumes));
        for (what, (got, want)) in ["values", "gradient"].iter().zip(got.iter().zip(&both(&smooth_by_tensors))) {
            assert!(relative(got, want) < 1e-6, "{what} of {side} voxels differ by {:.1e}", relative(got, want));
        }
        tch::set_num_threads(3);
        let three = both(&|volumes| smoothing.smooth(volumes));
        tch::set_num_threads(1);
        assert!(got.iter().zip(&three).all(|(one, three)| one.equal(three)), "threads change nothing");
    }
}

#[test]
fn smoothing_leaves_what_reaches_beyond_a_face_out() {
    let _alone = start_alone();
    const SIDE: i64 = 5;
    let at = |place: [i64; 3]| {
        let volume = Tensor::zeros([1, 1, SIDE, SIDE, SIDE], OPTIONS);
        let _ = place.iter().fold(volume.view([SIDE; 3]), |part, &index| part.get(index)).fill_(1.0);
        Smoothing::new(Device::Cpu).smooth(&volume)
    };
    let sum = |volume: &Tensor| volume.sum(Kind::Double).double_value(&[]);
    assert!((sum(&at([2, 2, 2])) - 1.0).abs() < 1e-6, "inside nothing is lost");
    let corner = at([0, 4, 0]);
    assert!((sum(&corner) - 0.75f64.powi(3)).abs() < 1e-6);
    let value = |z, y, x| corner.double_value(&[0, 0, z, y, x]);
    let [own, next] = TAPS.map(f64::from);
    assert_eq!([value(0, 4, 0), value(0, 3, 0), value(1, 3, 1), value(0, 4, 2)], [own.powi(3), own * own * next, next.powi(3), 0.0]);
}

/// Both figures and the gradient of a weighted sum of them.
fn with_gradient(volumes: &Tensor, figures: impl Fn(&Tensor) -> [Tensor; 2], weights: [f64; 2]) -> [Tensor; 3] {
    let volumes = volumes.copy().set_requires_grad(true);
    let [magnitude, variation] = figures(&volumes);
    let images = Tensor::arange(volumes.size()[0], OPTIONS) + 1.0;
    ((&magnitude * weights[0] + &variation * weights[1]) * images).sum(Kind::Float).backward();
    [magnitude.detach(), variation.detach(), volumes.grad()]
}

#[test]
fn volume_priors_are_those_of_the_tensors() {
    let _alone = start_alone();
    for (side, images, bounds) in [(16, 3, [1, 1, 1]), (24, 2, [5, 2, 3]), (37, 1, [3, 3, 3]), (12, 1, [6, 6, 6])] {
        let volumes = Tensor::randn([images, 1, side, side, side], OPTIONS);
        let priors = VolumePriors::new(bounds, Device::Cpu);
        for weights in [[0.3, 1.0], [1.0, 0.0], [0.0, 1.0]] {
            let got = with_gradient(&volumes, |volumes| priors.figures(volumes), weights);
            let want = with_gradient(&volumes, |volumes| priors.figures_by_tensors(volumes), weights);
            for (what, (got, want)) in ["magnitude", "variation", "gradient"].iter().zip(got.iter().zip(&want)) {
                let error = relative(got, want);
                assert!(error < 1e-5, "{what} of {side} voxels, bounds {bounds:?}, differs by {error:.1e}");
            }
        }
        let got = with_gradient(&volumes, |volumes| priors.figures(volumes), [0.3, 1.0]);
        tch::set_num_threads(3);
        let three = with_gradient(&volumes, |volumes| priors.figures(volumes), [0.3, 1.0]);
        tch::set_num_threads(1);
        assert!(got.iter().zip(&three).all(|(one, three)| one.equal(three)), "threads change nothing");
    }
}

#[test]
fn the_gradient_of_a_flat_volume_is_finite() {
    let _alone = start_alone();
    let flat = Tensor::zeros([1, 1, 12, 12, 12], OPTIONS);
    let [magnitude, variation, gradient] =
        with_gradient(&flat, |volumes| VolumePriors::new([2; 3], Device::Cpu).figures(volumes), [1.0, 1.0]);
    assert!(magnitude.double_value(&[0]) == 0.0 && (variation.double_value(&[0]) - 1e-4).abs() < 1e-8);
    assert!(gradient.eq(0.0).all().int64_value(&[]) == 1, "neither figure has a direction there");
}

#[test]
fn bounds_outside_of_a_volume_are_refused() {
    let _alone = start_alone();
    for bounds in [[0, 2, 2], [2, 7, 2]] {
        let volumes = [Tensor::zeros([1, 1, 12, 12, 12], OPTIONS)];
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| CpuPriors(bounds).forward(&volumes))).is_err());
    }
}
