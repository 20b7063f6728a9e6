//! Projection by Fourier slices, which `benches/slices/` measures beside the fused projector: it is right, so that its times count.
//!
//! Index: the pruned transform · the transpose · the analytic truth, with shifts and pixel sizes.

#[path = "../benches/slices/blobs.rs"]
mod blobs;
#[path = "../benches/slices/route.rs"]
mod route;
#[path = "support/kernels.rs"]
mod support;

use blobs::{Blobs, Pose};
use cryoem::fft::Complex32;
use cryoem::geometry::random_rotation;
use cryoem::random::Random;
use opus_dsd_engine::kernels::projection::Rays;
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region};
use opus_dsd_engine::native::Operator;
use route::{Extent, Room, Slices, Transform, Window, quick_side};
use std::sync::Arc;
use support::{OPTIONS, relative, rotations, stack, start};
use tch::{Device, Kind, Tensor};

type Make = fn(&ProjectorConfig, &Rays) -> Arc<dyn Operator>;

/// Each interpolation, with a padding.
const WAYS: [(&str, Make); 3] = [
    ("linear, 2", |config, rays| Arc::new(Slices::new(config, rays, 2.0, |_| Window::hat()))),
    ("3 points, 1.5", |config, rays| Arc::new(Slices::<3>::new(config, rays, 1.5, Window::smooth))),
    ("4 points, 1.25", |config, rays| Arc::new(Slices::<4>::new(config, rays, 1.25, Window::smooth))),
];

fn config(side: i64, template: i64, centre: Centre, region: Region) -> ProjectorConfig {
    ProjectorConfig { side, template, centre, region }
}

fn projector(config: ProjectorConfig, make: Make) -> Projector {
    Projector::with_kernel(config, Device::Cpu, |rays| make(&config, rays))
}

#[test]
fn the_pruned_transform_is_libtorchs() {
    start();
    for (volume, padded, highest) in [(16, 32, 16.0), (16, 20, 10.0), (24, 36, 11.5)] {
        let extent = Extent { volume, padded, radius: f64::INFINITY, highest, taps: 4 };
        let transform = Transform::new(extent, |_| 1.0);
        let t = volume as i64;
        let values = Tensor::randn([t, t, t], OPTIONS);
        let mut spectrum = vec![Complex32::default(); transform.len()];
        transform.spectrum(&Vec::<f32>::try_from(values.reshape([-1])).unwrap(), &mut Room::default(), &mut spectrum);
        // Origin to index 0 of the padded box: in front of the volume's first half lies its second.
        let margin = padded as i64 - t;
        let whole = values.constant_pad_nd([0, margin, 0, margin, 0, margin]).roll([-t / 2; 3], [0, 1, 2]).fft_fftn(
            None::<i64>,
            [0i64, 1, 2].as_slice(),
            "backward",
        );
        let whole = Vec::<f32>::try_from(whole.view_as_real().reshape([-1])).unwrap();
        let wrap = |i: i32| i.rem_euclid(padded as i32) as usize;
        let reach = highest as i32;
        for (y, x, z) in [(0, 0, 0), (1, -1, 2), (-reach, 0, 1), (3, reach, -4), (2, reach / 2, reach), (0, -2, -reach), (-3, reach + 1, 3)]
        {
            let index = (wrap(z) * padded + wrap(y)) * padded + wrap(x);
            let (got, want) = (spectrum[transform.place([x, y, z])], Complex32::new(whole[2 * index], whole[2 * index + 1]));
            assert!((got - want).norm() < 1e-3, "{volume} in {padded} at {x}, {y}, {z}: {got}, not {want}");
        }
    }
}

#[test]
fn sides_are_quick_and_no_smaller() {
    assert_eq!([1, 63, 64, 171, 228, 143].map(quick_side), [2, 64, 64, 180, 240, 144]);
}

#[test]
fn the_gradient_is_the_transpose() {
    start();
    for config in [
        config(24, 24, Centre::Voxel, Region::Ball { radius_px: 11.0 }),
        config(20, 32, Centre::Voxel, Region::Ball { radius_px: 9.0 }),
        config(18, 16, Centre::HalfVoxel, Region::Cube),
    ] {
        for (name, make) in WAYS {
            let (projector, t) = (projector(config, make), config.template);
            let volumes = Tensor::randn([2, 1, t, t, t], OPTIONS).set_requires_grad(true);
            let (poses, shift) = (rotations(2, 3), Tensor::randn([2, 3, 3], OPTIONS));
            let scale = Tensor::from_slice(&[1.0f32, 1.03]);
            let projections = projector.project_moved(&volumes, &poses, Some(&scale), Some(&shift));
            let weights = Tensor::randn(projections.size(), OPTIONS);
            (&projections * &weights).sum(Kind::Float).backward();
            let dot = |a: &Tensor, b: &Tensor| (a.to_kind(Kind::Double) * b.to_kind(Kind::Double)).sum(Kind::Double).double_value(&[]);
            // The gradient does not depend on the volumes: other ones must give the same sum.
            let others = Tensor::randn(volumes.size(), OPTIONS);
            let there = tch::no_grad(|| projector.project_moved(&others, &poses, Some(&scale), Some(&shift)));
            let (there, back) = (dot(&there, &weights), dot(&others, &volumes.grad()));
            let size = (volumes.grad().norm() * others.norm()).double_value(&[]);
            assert!((there - back).abs() < 1e-6 * size, "{name} at {config:?}: {there} there, {back} back, of {size}");
            assert!(there.abs() > 1e-4 * size, "sums that are there");
        }
    }
}

#[test]
fn projections_are_those_of_the_truth() {
    start();
    let mut random = Random::new(3, 3);
    // Measured errors, rounded up.
    for (most, (name, make)) in [0.02, 0.01, 0.003].into_iter().zip(WAYS) {
        for config in [
            config(32, 32, Centre::Voxel, Region::Ball { radius_px: 15.0 }),
            config(32, 48, Centre::Voxel, Region::Ball { radius_px: 15.0 }),
            config(32, 48, Centre::HalfVoxel, Region::Cube),
        ] {
            let blobs = Blobs::new(13.0, (1.2, 2.0));
            let projector = projector(config, make);
            let volume = blobs.volume(&config);
            for pixel_scale in [1.0, 1.04] {
                let shift_px = [0.7, -0.4, 1.1];
                let pose = Pose { rotation: random_rotation(&mut random), pixel_scale, shift_px };
                let shift = Tensor::from_slice(&shift_px.map(|v| v as f32)).view([1, 1, 3]);
                let scale = Tensor::from_slice(&[pixel_scale as f32]);
                let got = projector.project_moved(&volume, &stack(&[pose.rotation]).unsqueeze(0), Some(&scale), Some(&shift));
                let error = relative(&got.view([32, 32]), &blobs.projection(&config, &pose));
                assert!(error < most, "{name} at {config:?}, scale {pixel_scale}: {error:.1e}");
            }
        }
    }
}
