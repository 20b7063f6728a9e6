//! Properties of the model's kernels that hold without reference numbers.
//!
//! Index: scalar and tensor CTF · projection of a chiral phantom · mutations that must show · adjointness · lift · micro-batches ·
//! layouts · what the memory plan counts · deterministic draws.

#[path = "support/model.rs"]
mod model;
#[path = "support/kernels.rs"]
mod support;

use contract::memory::{Level, decoder_levels, encoder_grid, encoder_levels};
use contract::{BaseVolume, EncoderGrid, ModelLayout, Numerics, ResizeAt, Width};
use cryoem::ctf::Ctf;
use cryoem::geometry::{Euler, Matrix3, apply};
use cryoem::random::Random;
use model::layout;
use opus_dsd_engine::model::bank::{draw_pool, draw_random};
use opus_dsd_engine::model::ctf::{ctf_half_plane, ctf_half_plane_turned};
use opus_dsd_engine::model::decoder::{Decoder, DecoderConfig};
use opus_dsd_engine::model::encoder::{Encoder, EncoderConfig};
use opus_dsd_engine::model::fourier;
use opus_dsd_engine::model::geometry::{Centre, split_in_plane};
use opus_dsd_engine::model::lift::{Lift, LiftSteps};
use opus_dsd_engine::model::loss::{Fit, divergence, divergence_nats};
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region, ball_radius_px};
use opus_dsd_engine::model::volume::{VolumeModel, resample};
use support::{relative, stack, start};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

const CPU: Device = Device::Cpu;
const SIDE: i64 = 32;
/// Width of the phantom's Gaussians, voxels: wide enough for trilinear sampling to be exact to a percent.
const SIGMA: f64 = 2.2;
/// Four centres with no mirror symmetry, (x, y, z) from the origin, and their weights.
const PHANTOM: [([f64; 3], f64); 4] = [([5.0, 0.0, 0.0], 1.0), ([0.0, 4.0, 2.0], 0.7), ([-3.0, -2.0, 5.0], 0.5), ([1.0, -5.0, -4.0], 0.9)];

fn rotations() -> Vec<Matrix3> {
    [(0.0, 0.0, 0.0), (30.0, 50.0, -70.0), (200.0, 95.0, 10.0), (-75.0, 160.0, 140.0)]
        .map(|(a, b, c)| Euler::new(a, b, c).matrix())
        .to_vec()
}

/// The phantom as a volume `[n, n, n]`.
fn phantom() -> Tensor {
    let points = Centre::Voxel.cube(SIDE, CPU);
    let blobs = PHANTOM.map(|(centre, weight)| {
        let centre = Tensor::from_slice(&centre.map(|c| c as f32));
        let distance2 = (&points - centre).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        (distance2 * (-0.5 / (SIGMA * SIGMA))).exp() * weight
    });
    blobs.into_iter().reduce(|a, b| a + b).unwrap().view([SIDE; 3])
}

/// Its analytic projections, `[n, s, s]`: A·p, seen along z, origin at pixel n/2.
fn analytic(matrices: &[Matrix3]) -> Tensor {
    let axis = Centre::Voxel.axis(SIDE, CPU);
    let images: Vec<Tensor> = matrices
        .iter()
        .map(|a| {
            let blobs = PHANTOM.map(|(centre, weight)| {
                let [x, y, _] = apply(a, centre);
                let along = |c: f64| ((&axis - c).square() * (-0.5 / (SIGMA * SIGMA))).exp();
                along(y).unsqueeze(1) * along(x).unsqueeze(0) * (weight * SIGMA * (2.0 * std::f64::consts::PI).sqrt())
            });
            blobs.into_iter().reduce(|a, b| a + b).unwrap()
        })
        .collect();
    Tensor::stack(&images, 0)
}

fn projector(centre: Centre) -> Projector {
    let config = ProjectorConfig { side: SIDE, template: SIDE, centre, region: Region::Ball { radius_px: 15.5 } };
    Projector::new(config, CPU)
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Double) * b.to_kind(Kind::Double)).sum(Kind::Double).double_value(&[])
}

#[test]
fn tensor_ctf_is_the_scalar_ctf() {
    start();
    let (size, apix) = (24, 2.5);
    let rows =
        [[15_000.0f32, 12_000.0, 37.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0], [9_000.0, 9_500.0, -20.0, 200.0, 0.01, 0.07, 90.0, 60.0, 0.8]];
    let params = Tensor::from_slice(&rows.concat()).view([2, 9]);
    let got = ctf_half_plane(&params, &Tensor::from_slice(&[apix, apix]), size, 0.0);
    let turn = Tensor::from_slice(&[25.0, 25.0]);
    let turned = ctf_half_plane_turned(&params, &Tensor::from_slice(&[apix, apix]), &turn, size, 0.0);
    for (index, row) in rows.iter().enumerate() {
        let (mut upright, mut rotated) = (Vec::new(), Vec::new());
        for y in 0..size {
            for x in 0..=size / 2 {
                let y = if y >= size / 2 { y - size } else { y };
                let (sx, sy) = (x as f64 / size as f64 / apix, y as f64 / size as f64 / apix);
                upright.push(Ctf::of_row(row).at(sx, sy) as f32);
                // An image turned counter-clockwise has at s what it had at the point turned back.
                let (sin, cos) = 25f64.to_radians().sin_cos();
                rotated.push(Ctf::of_row(row).at(cos * sx + sin * sy, cos * sy - sin * sx) as f32);
            }
        }
        let compare = |got: &Tensor, want: &[f32]| relative(&got.select(0, index as i64).reshape([-1]), &Tensor::from_slice(want));
        assert!(compare(&got, &upright) < 1e-5);
        assert!(compare(&turned, &rotated) < 1e-5);
    }
    assert!((got.select(0, 0).double_value(&[0, 0]) - 0.1).abs() < 1e-6, "amplitude contrast at zero frequency, and positive");
}

#[test]
fn projections_of_a_chiral_phantom_are_the_analytic_ones() {
    start();
    let (volume, matrices) = (phantom().view([1, 1, SIDE, SIDE, SIDE]), rotations());
    let poses = stack(&matrices);
    let want = analytic(&matrices);
    let got = projector(Centre::Voxel).project_one(&volume, &poses, None);
    let error = relative(&got, &want);
    assert!(error < 0.05, "projection differs by {error}");
    // The same as hypotheses of one image, and as the poses of equal volumes.
    let hypotheses = projector(Centre::Voxel).project(&volume, &poses.unsqueeze(0), None);
    let batch = projector(Centre::Voxel).project(&volume.expand([4, 1, SIDE, SIDE, SIDE], false), &poses.unsqueeze(1), None);
    assert!(relative(&hypotheses.squeeze_dim(0), &got) < 1e-6 && relative(&batch.squeeze_dim(1), &got) < 1e-6);
    // The cube holds no more density than the ball.
    let cube = ProjectorConfig { region: Region::Cube, ..*projector(Centre::Voxel).config() };
    assert!(relative(&Projector::new(cube, CPU).project_one(&volume, &poses, None), &got) < 1e-3);
    // Twice the pixel size: the image shrinks, and its rays take every second voxel.
    let scale = Tensor::full([4], 2.0, (Kind::Float, CPU));
    let coarse = projector(Centre::Voxel).project_one(&volume, &poses, Some(&scale)) * 2.0;
    let centre = (SIDE / 2 - 5, 11);
    let inner = |x: &Tensor| x.narrow(1, centre.0, centre.1).narrow(2, centre.0, centre.1);
    let fine = want.slice(1, 0, None, 2).slice(2, 0, None, 2);
    let fine = fine.narrow(1, SIDE / 4 - 5, 11).narrow(2, SIDE / 4 - 5, 11);
    assert!(relative(&inner(&coarse), &fine) < 0.06);

    let worse = |name: &str, got: Tensor| {
        let error = relative(&got, &want);
        assert!(error > 0.15, "mutation `{name}` shows by {error} only");
    };
    worse("rotation centre at (n-1)/2", projector(Centre::HalfVoxel).project_one(&volume, &poses, None));
    worse("transposed rotation", projector(Centre::Voxel).project_one(&volume, &poses.transpose(1, 2), None));
    worse("mirrored map", projector(Centre::Voxel).project_one(&volume.flip([2]).roll([1], [2]), &poses, None));
    worse("mirrored view", projector(Centre::Voxel).project_one(&volume, &(&poses * Tensor::from_slice(&[1f32, 1.0, -1.0])), None));
}

#[test]
fn projection_and_lift_are_adjoint() {
    start();
    let options = (Kind::Float, CPU);
    let ball = Centre::Voxel.cube(SIDE, CPU).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float).lt(11.0 * 11.0);
    let ball = ball.to_kind(Kind::Float).view([1, 1, SIDE, SIDE, SIDE]);
    let poses = stack(&rotations());
    // Exactly: the gradient of ⟨P v, y⟩ by v is Pᵀ y.
    let volume = (Tensor::randn([4, 1, SIDE, SIDE, SIDE], options) * &ball).set_requires_grad(true);
    let images = Tensor::randn([4, 1, SIDE, SIDE], options);
    let projected = projector(Centre::Voxel).project(&volume, &poses.unsqueeze(1), None);
    (&projected * &images).sum(Kind::Float).backward();
    let (forward, backward) = (dot(&projected, &images), dot(&volume, &volume.grad()));
    assert!((forward - backward).abs() < 1e-3 * projected.norm().double_value(&[]), "{forward} against {backward}");
    // Nearly: the lift is the back-projection with the other grid's interpolation, so they agree on smooth data.
    let smooth = phantom().view([1, 1, SIDE, SIDE, SIDE]).expand([4, 1, SIDE, SIDE, SIDE], false) * &ball;
    let images = analytic(&rotations());
    let lifted = Lift::new(SIDE, SIDE, Centre::Voxel, LiftSteps::Direct, CPU).lift(&images, &poses);
    let projected = projector(Centre::Voxel).project(&smooth, &poses.unsqueeze(1), None).squeeze_dim(1);
    let (forward, backward) = (dot(&projected, &images), dot(&smooth, &lifted));
    assert!((forward / backward - 1.0).abs() < 0.01, "{forward} against {backward}");
    // Both ways of lifting agree where they should: away from the edge, on smooth images.
    let two = Lift::new(SIDE, SIDE, Centre::Voxel, LiftSteps::TurnThenTilt, CPU).lift(&images, &poses) * &ball;
    assert!(relative(&two, &(lifted * &ball)) < 0.05);
    let (turn, tilt) = split_in_plane(&poses);
    assert!(relative(&turn.matmul(&tilt), &poses) < 1e-5);
    assert!((turn.select(1, 2).select(1, 2) - 1.0).abs().max().double_value(&[]) < 1e-5);
}

#[test]
fn no_gradient_depends_on_the_micro_batch() {
    start();
    let layout = layout(Width::Tiny, 8, SIDE as usize);
    let store = VarStore::new(CPU);
    let decoder = Decoder::new(&store.root(), DecoderConfig::of(&layout));
    let base = phantom();
    let mask = base.gt(0.01).to_kind(Kind::Float);
    let model = VolumeModel::new(&store.root(), BaseVolume::Fixed, Some(&base), &mask).unwrap();
    let radius_px = ball_radius_px(&mask, SIDE, Centre::Voxel);
    let projector = Projector::new(ProjectorConfig { region: Region::Ball { radius_px }, ..*projector(Centre::Voxel).config() }, CPU);
    let z = Tensor::randn([4, 8], (Kind::Float, CPU));
    let poses = stack(&rotations()).unsqueeze(1);
    let images = analytic(&rotations()).unsqueeze(1);
    let filters = Tensor::rand([4, SIDE, SIDE / 2 + 1], (Kind::Float, CPU));
    let gradient = |size: i64| {
        for first in (0..4).step_by(size as usize) {
            let part = |x: &Tensor| x.narrow(0, first, size);
            let volumes = model.assemble(&decoder.forward(&part(&z)));
            let masks = projector.silhouette(&model.mask().expand([size, 1, SIDE, SIDE, SIDE], false), &part(&poses), None);
            let rendered = fourier::filter(&projector.project(&volumes, &part(&poses), None), &part(&filters));
            Fit::new(&rendered, &part(&images), &masks, &Numerics::default()).squared_error().sum(Kind::Float).backward();
        }
        let mut names: Vec<_> = store.variables().into_iter().collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let all: Vec<Tensor> = names.iter().map(|(_, variable)| variable.grad().reshape([-1]).copy()).collect();
        names.iter().for_each(|(_, variable)| drop(variable.grad().zero_()));
        Tensor::cat(&all, 0)
    };
    let whole = gradient(4);
    assert!(whole.norm().double_value(&[]) > 0.0);
    assert!(relative(&gradient(2), &whole) < 1e-4 && relative(&gradient(1), &whole) < 1e-4);
    // The base alone projects to its own images: mask and ball cut nothing.
    let seen = projector.project(&model.base().unwrap().expand([4, 1, SIDE, SIDE, SIDE], false), &poses, None);
    assert!(relative(&seen, &images) < 0.06);
}

#[test]
fn layouts_have_the_originals_sizes() {
    start();
    let layout = |width, encoder_grid, resize_at, template| ModelLayout {
        zdim: 8,
        z_affine_dim: 0,
        width,
        encoder_grid,
        resize_at,
        template,
        crop: 32,
    };
    let count = |store: &VarStore| store.variables().values().map(|variable| variable.numel() as i64).sum::<i64>();
    // The original's first revision, whose numbers of parameters are known.
    let first = layout(Width::Full, EncoderGrid::Fixed110, ResizeAt::Side32, 192);
    let (encoder, decoder) = (VarStore::new(CPU), VarStore::new(CPU));
    let _ = Encoder::new(&encoder.root(), EncoderConfig::of(&first));
    let _ = Decoder::new(&decoder.root(), DecoderConfig::of(&first));
    assert_eq!((count(&encoder), count(&decoder)), (28_192_752, 33_203_697));
    assert!(encoder.variables().contains_key("down1.10.weight") && encoder.variables().contains_key("down2.0.weight"));
    // Volumes and latents come out in the asked sizes.
    for (width, resize_at, template) in [
        (Width::Small, ResizeAt::Side16, 48),
        (Width::Small, ResizeAt::Side32, 64),
        (Width::Tiny, ResizeAt::Side16, 32),
        (Width::Tiny, ResizeAt::Side16, 48),
    ] {
        let layout = layout(width, EncoderGrid::Native, resize_at, template);
        let store = VarStore::new(CPU);
        let encoder = Encoder::new(&store.root().sub("encoder"), EncoderConfig::of(&layout));
        let decoder = Decoder::new(&store.root().sub("decoder"), DecoderConfig::of(&layout));
        let (mu, logstd) = encoder.forward(&Tensor::randn([2, 1, 32, 32, 32], (Kind::Float, CPU)));
        assert_eq!((mu.size(), logstd.size()), (vec![2, 8], vec![2, 8]));
        let side = template as i64;
        assert_eq!(decoder.forward(&mu).size(), [2, 1, side, side, side]);
        assert!(decoder.pose(&mu).is_none());
    }
}

#[test]
fn bfloat16_changes_little_and_learns_in_single_precision() {
    start();
    let layout = layout(Width::Tiny, 8, 32);
    let store = VarStore::new(CPU);
    let mut encoder = Encoder::new(&store.root().sub("encoder"), EncoderConfig::of(&layout));
    let mut decoder = Decoder::new(&store.root().sub("decoder"), DecoderConfig::of(&layout));
    let cubes = Tensor::randn([3, 1, 32, 32, 32], (Kind::Float, CPU));
    let mut run = |kind: Kind| {
        encoder.set_kind(kind);
        decoder.set_kind(kind);
        let (mu, _) = encoder.forward(&cubes);
        let volumes = decoder.forward(&mu);
        volumes.square().mean(Kind::Float).backward();
        let mut names: Vec<_> = store.variables().into_iter().filter(|(_, variable)| variable.grad().defined()).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(names.iter().all(|(_, variable)| variable.grad().kind() == Kind::Float));
        let gradient = Tensor::cat(&names.iter().map(|(_, v)| v.grad().reshape([-1]).copy()).collect::<Vec<_>>(), 0);
        names.iter().for_each(|(_, variable)| drop(variable.grad().zero_()));
        assert_eq!((mu.kind(), volumes.kind()), (Kind::Float, Kind::Float));
        (volumes.detach(), gradient)
    };
    let (single, half) = (run(Kind::Float), run(Kind::BFloat16));
    // Eight bits: a few parts in a thousand a layer of some twenty there and back (0.12 has been seen), and not nothing, or it was not used.
    for (got, want) in [(&half.0, &single.0), (&half.1, &single.1)] {
        let error = relative(got, want);
        assert!(error > 1e-4 && error < 0.2, "{error:.1e}");
    }
}

#[test]
fn small_things() {
    start();
    let zero = Tensor::zeros([3, 5], (Kind::Float, CPU));
    assert!(divergence_nats(&zero, &zero).abs().max().double_value(&[]) < 1e-6);
    assert!((divergence(&zero, &zero).double_value(&[0]) - 2.5).abs() < 1e-6);
    // A filter of ones changes nothing, also with padding.
    let images = Tensor::randn([2, 3, 16, 16], (Kind::Float, CPU));
    assert!(relative(&fourier::filter(&images, &Tensor::ones([2, 24, 13], (Kind::Float, CPU))), &images) < 1e-5);
    // Resampling keeps the origin and undoes itself on smooth maps.
    let volume = phantom();
    let fine = resample(&volume, 64, 0.5, Centre::Voxel);
    assert!((fine.double_value(&[32, 32, 32]) - volume.double_value(&[16, 16, 16])).abs() < 1e-6);
    assert!(relative(&resample(&fine, SIDE, 2.0, Centre::Voxel), &volume) < 1e-5);
    // A pool: other classes only, whole batches only, no particle twice; the same for the same key.
    let members: Vec<Vec<i64>> = (0..12).map(|class| (class * 10..class * 10 + 9).collect()).collect();
    let draw = |seed| {
        let mut random = Random::keyed(seed, &[1]);
        draw_pool(&members, 3, 4, |below| random.below(below as u64) as usize)
    };
    let mut pool = draw(5);
    assert_eq!(pool, draw(5));
    assert_ne!(pool, draw(6));
    assert_eq!(pool.len(), 64, "eight classes of two batches of four");
    assert!(pool.iter().all(|particle| particle / 10 != 3 && particle % 10 < 8));
    pool.sort_unstable();
    pool.dedup();
    assert_eq!(pool.len(), 64);
    let mut random = Random::keyed(1, &[2]);
    let rows = draw_random(20, 8, 3, |below| random.below(below as u64) as usize);
    assert!(rows.chunks(8).all(|row| (0..8).all(|i| row[i] < 20 && !row[..i].contains(&row[i]))));
}

#[test]
fn the_memory_plan_counts_the_networks_as_they_are() {
    start();
    let layouts = [
        (Width::Full, EncoderGrid::Capped, ResizeAt::Side16, 192, 160),
        (Width::Full, EncoderGrid::Fixed110, ResizeAt::Side32, 192, 114),
        (Width::Small, EncoderGrid::Native, ResizeAt::Side16, 64, 50),
        (Width::Tiny, EncoderGrid::Native, ResizeAt::Side16, 32, 32),
    ];
    for (width, grid, resize_at, template, crop) in layouts {
        let layout = ModelLayout { zdim: 8, z_affine_dim: 0, width, encoder_grid: grid, resize_at, template, crop };
        let weights = |store: &VarStore| store.variables().values().map(|weight| weight.numel() as u64).sum::<u64>();
        let counted = |levels: &[Level]| levels.iter().map(|level| level.weights).sum::<u64>();
        let (mut one, mut other) = (VarStore::new(CPU), VarStore::new(CPU));
        let encoder = Encoder::new(&one.root(), EncoderConfig::of(&layout));
        let decoder = Decoder::new(&other.root(), DecoderConfig::of(&layout));
        one.freeze();
        other.freeze();
        let (encoding, decoding) = (encoder_levels(&layout), decoder_levels(&layout));
        assert_eq!((counted(&encoding), counted(&decoding)), (weights(&one), weights(&other)), "{width:?}");
        assert_eq!(encoder_grid(&layout), encoder.config().grid as u64, "{width:?}");
        let grid = encoder.config().grid;
        let before = encoder.levels(&Tensor::zeros([1, 1, grid, grid, grid], (Kind::Float, CPU))).before.size();
        let last = encoding[encoder.config().before.len() - 1];
        assert_eq!([last.channels as i64, last.side as i64], [before[1], before[2]], "{width:?}");
        let volume = decoding[decoding.len() - 1];
        assert_eq!((volume.channels, volume.side), (1, template as u64), "{width:?}");
        let finest = decoding[decoding.len() - 2];
        let channels = decoder.config().after.last().or(decoder.config().before.last()).copied().unwrap();
        assert_eq!((finest.channels as i64, finest.side as i64), (channels, template as i64 / 2), "{width:?}");
    }
}
