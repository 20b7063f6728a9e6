//! Projection by Fourier slices: the kernels against libtorch's operators, and both against an analytic truth.
//!
//! Index: the pruned transform · the CPU's kernel, values and gradients, threads · poses that are none · density that leaves the projections ·
//! the analytic truth, with shifts and pixel sizes, also of images finer than the grid. (The GPU's kernel: `gpu_kernels.rs`, `device.rs`.)

#[path = "../benches/slices/blobs.rs"]
mod blobs;
#[path = "support/kernels.rs"]
mod support;

use blobs::{Blobs, Pose};
use cryoem::fft::Complex32;
use cryoem::geometry::random_rotation;
use cryoem::random::Random;
use opus_dsd_engine::kernels::slices::{Sizes, Transform};
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region};
use opus_dsd_engine::model::slices::SliceProjector;
use support::{OPTIONS, relative, rotations, stack, start, start_alone};
use tch::{Device, Kind, Tensor};

/// Region, volume, radius of the ball: volumes as wide as the projections, wider, narrower; a ball that leaves the box.
const SHAPES: [(i64, i64, f64); 4] = [(24, 24, 10.0), (20, 32, 9.0), (32, 16, 14.0), (18, 18, 12.0)];

fn config(side: i64, template: i64, radius_px: f64) -> ProjectorConfig {
    ProjectorConfig { side, template, centre: Centre::Voxel, region: Region::Ball { radius_px } }
}

#[test]
fn the_pruned_transform_is_libtorchs() {
    start();
    for (side, template) in [(32, 32), (16, 32), (23, 24)] {
        let sizes = Sizes { side, radius: f64::INFINITY, ..Sizes::new(side, template, 0.5 * side as f64) };
        let transform = Transform::new(sizes, |_| 1.0);
        let (t, padded) = (template as i64, sizes.padded);
        let values = Tensor::randn([t, t, t], OPTIONS);
        let mut spectrum = vec![Complex32::default(); transform.len()];
        transform.spectrum(3, &Vec::<f32>::try_from(values.reshape([-1])).unwrap(), &mut Vec::new(), &mut spectrum);
        // Origin to index 0 of the padded box: in front of the volume's first half lies its second.
        let margin = padded as i64 - t;
        let whole = values.constant_pad_nd([0, margin, 0, margin, 0, margin]).roll([-t / 2; 3], [0, 1, 2]).fft_fftn(
            None::<i64>,
            [0i64, 1, 2].as_slice(),
            "backward",
        );
        let whole = Vec::<f32>::try_from(whole.view_as_real().reshape([-1])).unwrap();
        let wrap = |i: i32| i.rem_euclid(padded as i32) as usize;
        let reach = sizes.highest as i32;
        for (y, x, z) in [(0, 0, 0), (1, -1, 2), (-reach, 0, 1), (3, reach, -4), (2, reach / 2, reach), (0, -1, -reach), (-3, reach + 1, 3)]
        {
            let index = (wrap(z) * padded + wrap(y)) * padded + wrap(x);
            let (got, want) = (spectrum[transform.place([x, y, z])], Complex32::new(whole[2 * index], whole[2 * index + 1]));
            assert!((got - want).norm() < 1e-3, "{template} in {padded} at {x}, {y}, {z}: {got}, not {want}");
        }
    }
}

/// Projections and the gradient by the volumes of a fixed functional of them.
fn both(volumes: &Tensor, project: impl Fn(&Tensor) -> Tensor) -> [Tensor; 2] {
    let volumes = volumes.copy().set_requires_grad(true);
    let projections = project(&volumes);
    let weights = (Tensor::arange(projections.numel() as i64, OPTIONS) * 0.7).sin().view_as(&projections);
    (&projections * weights).sum(Kind::Float).backward();
    [projections.detach(), volumes.grad()]
}

#[test]
fn the_kernel_does_what_the_tensors_do() {
    let _alone = start_alone();
    for (side, template, radius_px) in SHAPES {
        let config = config(side, template, radius_px);
        let projector = SliceProjector::new(&config, Device::Cpu);
        for (images, poses, scale) in [(3, 4, 1.0f32), (1, 5, 1.03), (2, 1, 0.94)] {
            // Noise in the corners, too, which lie outside the ball.
            let (volumes, rotations) = (Tensor::randn([images, 1, template, template, template], OPTIONS), rotations(images, poses));
            let (scale, shift) = (Tensor::full([images], f64::from(scale), OPTIONS), Tensor::randn([images, poses, 3], OPTIONS));
            let want = both(&volumes, |v| projector.project_by_tensors(v, &rotations, Some(&scale), Some(&shift)));
            for threads in [1, 2, 7] {
                tch::set_num_threads(threads);
                let got = both(&volumes, |v| projector.project(v, &rotations, Some(&scale), Some(&shift)));
                tch::set_num_threads(1);
                for (what, (got, want)) in ["projections", "volumes"].iter().zip(got.iter().zip(&want)) {
                    assert!(want.abs().max().double_value(&[]) > 0.1, "{what} say something");
                    let error = relative(got, want);
                    // The kernel has a table of the window; measured 1e-4 at most.
                    assert!(error < 2e-4, "{what} of {config:?}, {threads} threads: {error:.1e}");
                }
            }
        }
    }
}

#[test]
fn poses_that_are_no_numbers_give_none() {
    start();
    let config = config(16, 16, 7.0);
    let projector = SliceProjector::new(&config, Device::Cpu);
    let volumes = Tensor::randn([1, 1, 16, 16, 16], OPTIONS).set_requires_grad(true);
    for bad in [f64::NAN, f64::INFINITY] {
        let poses = rotations(1, 2);
        let _ = poses.get(0).get(0).get(0).get(0).fill_(bad);
        for projections in [projector.project(&volumes, &poses, None, None), projector.project_by_tensors(&volumes, &poses, None, None)] {
            assert!(projections.select(1, 0).isnan().all().int64_value(&[]) == 1, "{bad}");
            assert!(projections.select(1, 1).isfinite().all().int64_value(&[]) == 1);
        }
        projector.project(&volumes, &poses, None, None).sum(Kind::Float).backward();
        assert!(volumes.grad().isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn density_that_leaves_a_projection_does_not_come_back_at_its_other_side() {
    start();
    const SIDE: i64 = 20;
    // In the corners of the cube, smooth, and zero at its faces.
    let inner = SIDE - 4;
    let distance2 = Centre::Voxel.cube(inner, Device::Cpu).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let corners = distance2.gt(100.0).to_kind(Kind::Float).view([inner, inner, inner]);
    let noise = (Tensor::randn([1, 1, inner, inner, inner], OPTIONS) + 0.3) * corners;
    let volume = noise.constant_pad_nd([3; 6]).avg_pool3d([3; 3], [1; 3], [0; 3], false, true, None);
    let margin = SIDE / 2;
    let (radius_px, poses) = (0.5 * 3f64.sqrt() * SIDE as f64, rotations(1, 6));
    let project =
        |side: i64, volume: &Tensor| SliceProjector::new(&config(side, side, radius_px), Device::Cpu).project(volume, &poses, None, None);
    // The same density in a box that no projection leaves.
    let whole = project(2 * SIDE, &volume.constant_pad_nd([margin; 6]));
    let seen = whole.narrow(2, margin, SIDE).narrow(3, margin, SIDE);
    let total = |images: &Tensor| images.square().sum(Kind::Double).double_value(&[]);
    assert!(total(&whole) > 1.05 * total(&seen), "density outside: {} of {}", total(&seen), total(&whole));
    let error = relative(&project(SIDE, &volume), &seen);
    // What the interpolation leaves of sharp corners; half of all came back where images were no wider than the projections.
    assert!(error < 0.04, "{error:.1e}");
}

#[test]
fn projections_are_those_of_the_truth() {
    start();
    let mut random = Random::new(3, 3);
    for (side, template) in [(32, 32), (32, 48)] {
        let config = config(side, template, 15.0);
        let blobs = Blobs::new(13.0, (1.2, 2.0));
        let (slices, rays) = (SliceProjector::new(&config, Device::Cpu), Projector::new(config, Device::Cpu));
        let volume = blobs.volume(&config);
        for pixel_scale in [1.0, 1.04, 0.97] {
            let shift_px = [0.7, -0.4, 1.1];
            let rotation = random_rotation(&mut random);
            let truth = blobs.projection(&config, &Pose { rotation, pixel_scale, shift_px });
            let shift = Tensor::from_slice(&shift_px.map(|v| v as f32)).view([1, 1, 3]);
            let (scale, poses) = (Tensor::from_slice(&[pixel_scale as f32]), stack(&[rotation]).unsqueeze(0));
            let error = |projections: Tensor| relative(&projections.view([side, side]), &truth);
            let by_slices = error(slices.project(&volume, &poses, Some(&scale), Some(&shift)));
            let by_rays = error(rays.project_moved(&volume, &poses, Some(&scale), Some(&shift)));
            // Finer voxels help rays alone.
            assert!(
                by_slices < 0.012 && (by_slices < by_rays || template > side),
                "{template}, scale {pixel_scale}: {by_slices:.1e}, along rays {by_rays:.1e}"
            );
        }
    }
}
