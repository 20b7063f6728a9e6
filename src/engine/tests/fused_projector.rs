//! The fused projector against the form made of libtorch's operators: values and gradients, by volume, rotation and shift.
//!
//! Index: equality · edges of the volume · gradients · threads · poses that are no numbers.

#[path = "support/kernels.rs"]
mod support;

use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region};
use support::{OPTIONS, relative, rotations, start_alone};
use tch::{Device, Kind, Tensor};

/// The kernel rounds positions otherwise than the sampler's −1…1 coordinates do.
const TOLERANCE: f64 = 1e-4;

fn config(side: i64, template: i64, centre: Centre, region: Region) -> ProjectorConfig {
    ProjectorConfig { side, template, centre, region }
}

/// One way to project: fused or by tensors.
type Way = fn(&Projector, &Tensor, &Tensor, Option<&Tensor>, Option<&Tensor>) -> Tensor;
const FUSED: Way = Projector::project_moved;
const TENSORS: Way = Projector::project_by_tensors;

/// Projections and the gradients of a fixed functional of them.
fn both(way: Way, projector: &Projector, inputs: [&Tensor; 3], scale: Option<&Tensor>) -> [Tensor; 4] {
    let [volumes, rotations, shift] = inputs.map(|input| input.copy().set_requires_grad(true));
    let projections = way(projector, &volumes, &rotations, scale, Some(&shift));
    let weights = (Tensor::arange(projections.numel() as i64, OPTIONS) * 0.7).sin().view_as(&projections);
    (&projections * weights).sum(Kind::Float).backward();
    [projections.detach(), volumes.grad(), rotations.grad(), shift.grad()]
}

#[test]
fn values_and_gradients_are_those_of_the_tensors() {
    let _alone = start_alone();
    let ball = |radius_px| Region::Ball { radius_px };
    for (config, images, poses) in [
        (config(24, 24, Centre::Voxel, ball(11.0)), 2, 3),
        (config(24, 40, Centre::Voxel, ball(9.5)), 1, 5),
        (config(20, 12, Centre::HalfVoxel, Region::Cube), 3, 1),
        // Rays that leave the volume and enter it again at its corners.
        (config(22, 32, Centre::Voxel, ball(19.0)), 2, 2),
        (config(17, 17, Centre::Voxel, Region::Cube), 1, 1),
    ] {
        let (projector, t) = (Projector::new(config, Device::Cpu), config.template);
        let volumes = Tensor::randn([images, 1, t, t, t], OPTIONS);
        let shift = Tensor::randn([images, poses, 3], OPTIONS);
        let scale = Tensor::linspace(0.98, 1.03, images, OPTIONS);
        for scale in [None, Some(&scale)] {
            let inputs = [&volumes, &rotations(images, poses), &shift];
            let (got, want) = (both(FUSED, &projector, inputs, scale), both(TENSORS, &projector, inputs, scale));
            for (what, (got, want)) in ["projections", "volumes"].iter().zip(got.iter().zip(&want)) {
                assert_eq!(got.size(), want.size());
                let error = relative(got, want);
                assert!(error < TOLERANCE, "{what} of {config:?} differ by {error:.1e}");
            }
        }
    }
}

#[test]
fn gradients_by_poses_are_those_of_the_tensors() {
    let _alone = start_alone();
    // A volume that trilinear interpolation hits exactly: in any other one slopes jump where a sample crosses a voxel's face, and which side
    // it is on is a matter of rounding.
    let axis = Centre::Voxel.axis(32, Device::Cpu);
    let (x, y, z) = (axis.view([1, 1, 32]), axis.view([1, 32, 1]), axis.view([32, 1, 1]));
    let volume = (&x * 0.3 - &y * 0.2 + &z * 0.1 + &x * &y * 0.01 - &y * &z * 0.02 + &x * &y * &z * 1e-3 + 1.0).view([1, 1, 32, 32, 32]);
    let volumes = Tensor::cat(&[&volume, &(&volume * -0.7)], 0);
    let shift = Tensor::randn([2, 3, 3], OPTIONS) * 0.3;
    let projector = Projector::new(config(26, 32, Centre::Voxel, Region::Ball { radius_px: 10.5 }), Device::Cpu);
    let scale = Tensor::from_slice(&[0.99f32, 1.02]);
    let inputs = [&volumes, &rotations(2, 3), &shift];
    let (got, want) = (both(FUSED, &projector, inputs, Some(&scale)), both(TENSORS, &projector, inputs, Some(&scale)));
    for (what, (got, want)) in ["projections", "volumes", "rotations", "shifts"].iter().zip(got.iter().zip(&want)) {
        let error = relative(got, want);
        assert!(error < TOLERANCE, "{what} differ by {error:.1e}");
    }
}

#[test]
fn a_changed_kernel_would_show() {
    let _alone = start_alone();
    let config = config(24, 24, Centre::Voxel, Region::Ball { radius_px: 11.0 });
    let projector = Projector::new(config, Device::Cpu);
    let volumes = Tensor::randn([1, 1, 24, 24, 24], OPTIONS);
    let poses = rotations(1, 2);
    let want = projector.project_by_tensors(&volumes, &poses, None, None);
    let smaller = ProjectorConfig { region: Region::Ball { radius_px: 10.5 }, ..config };
    for (name, got) in [
        ("a smaller ball", Projector::new(smaller, Device::Cpu).project(&volumes, &poses, None)),
        ("a hundredth of a pixel", projector.project_moved(&volumes, &poses, None, Some(&Tensor::full([1, 2, 3], 0.01, OPTIONS)))),
        ("a thousandth of the pixel size", projector.project(&volumes, &poses, Some(&Tensor::from_slice(&[1.001f32])))),
    ] {
        assert!(relative(&got, &want) > 10.0 * TOLERANCE, "{name} shows by {:.1e}", relative(&got, &want));
    }
}

#[test]
fn threads_change_nothing_but_the_order_of_sums() {
    let _alone = start_alone();
    let config = config(24, 32, Centre::Voxel, Region::Ball { radius_px: 11.0 });
    let projector = Projector::new(config, Device::Cpu);
    for images in [1, 2, 5] {
        let volumes = Tensor::randn([images, 1, 32, 32, 32], OPTIONS);
        let (poses, shift) = (rotations(images, 4), Tensor::zeros([images, 4, 3], OPTIONS));
        let inputs = [&volumes, &poses, &shift];
        let one = both(FUSED, &projector, inputs, None);
        tch::set_num_threads(3);
        let (three, again) = (both(FUSED, &projector, inputs, None), both(FUSED, &projector, inputs, None));
        tch::set_num_threads(1);
        for (index, (one, three)) in one.iter().zip(&three).enumerate() {
            assert!(relative(three, one) < 1e-5);
            assert!(three.equal(&again[index]), "equal runs have equal results");
        }
        assert!(one[0].equal(&three[0]));
    }
}

#[test]
fn poses_that_are_no_numbers_give_none() {
    let _alone = start_alone();
    let projector = Projector::new(config(16, 16, Centre::Voxel, Region::Cube), Device::Cpu);
    let volumes = Tensor::randn([1, 1, 16, 16, 16], OPTIONS).set_requires_grad(true);
    for bad in [f64::NAN, f64::INFINITY, 1e30] {
        let poses = rotations(1, 2);
        let _ = poses.get(0).get(0).get(0).get(0).fill_(bad);
        let projections = projector.project(&volumes, &poses, None);
        assert!(projections.select(1, 0).isnan().all().int64_value(&[]) == 1, "{bad}");
        assert!(projections.select(1, 1).isfinite().all().int64_value(&[]) == 1);
        projections.sum(Kind::Float).backward();
        assert!(volumes.grad().isfinite().all().int64_value(&[]) == 1);
    }
}
