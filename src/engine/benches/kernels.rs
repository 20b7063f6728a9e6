//! Kernels of a training step by themselves, on one thread of the CPU: `cargo bench -p opus-dsd-engine`.
//!
//! Index: projection · lift · CTF and misfit · smoothing · volume priors · neighbours in the latent bank. Where an operator has a form made of
//! libtorch's own, both are measured. Sizes are those of the presets: tiny (32), full (50, 64), the original's example (114, 192).

use criterion::{BenchmarkId, Criterion};
use cryoem::geometry::{Matrix3, random_rotation};
use cryoem::random::Random;
use opus_dsd_engine::model::bank::{LatentBank, draw_random, far_of};
use opus_dsd_engine::model::ctf::{FrequencyGrid, NyquistRow};
use opus_dsd_engine::model::fourier;
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::lift::{Lift, LiftSteps};
use opus_dsd_engine::model::loss::Fit;
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region};
use opus_dsd_engine::model::smoothing::{Smoothing, smooth_by_tensors};
use opus_dsd_engine::model::volume_priors::VolumePriors;
use opus_dsd_engine::torch::init_torch;
use std::time::Duration;
use tch::{Device, Kind, Tensor};

const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);
/// Radius of the mask over the side of the compared region, as `opus-dsd bench` has it.
const MASK_RADIUS: f64 = 0.46;

fn rotations(count: i64) -> Tensor {
    let mut random = Random::new(11, 2);
    let matrices: Vec<Matrix3> = (0..count).map(|_| random_rotation(&mut random)).collect();
    let flat: Vec<f32> = matrices.iter().flatten().flatten().map(|&v| v as f32).collect();
    Tensor::from_slice(&flat).view([count, 3, 3])
}

fn projection(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("projection");
    for (side, template, images, poses) in [(32, 32, 16, 1), (50, 64, 2, 8), (114, 192, 1, 8)] {
        let size = format!("{images} of {template}³ to {poses} of {side}²");
        let region = Region::Ball { radius_px: MASK_RADIUS * side as f64 };
        let projector = Projector::new(ProjectorConfig { side, template, centre: Centre::Voxel, region }, Device::Cpu);
        let volumes = Tensor::randn([images, 1, template, template, template], OPTIONS);
        let rotations = rotations(images * poses).view([images, poses, 3, 3]);
        let gradient = Tensor::randn([images, poses, side, side], OPTIONS);
        type Way = fn(&Projector, &Tensor, &Tensor) -> Tensor;
        let ways: [(&str, Way); 2] = [
            ("fused", |projector, volumes, rotations| projector.project(volumes, rotations, None)),
            ("tensors", |projector, volumes, rotations| projector.project_by_tensors(volumes, rotations, None, None)),
        ];
        for (name, way) in ways {
            group.bench_function(BenchmarkId::new(format!("{name}, forward"), &size), |bencher| {
                bencher.iter(|| tch::no_grad(|| way(&projector, &volumes, &rotations)));
            });
            let learned = volumes.copy().set_requires_grad(true);
            group.bench_function(BenchmarkId::new(format!("{name}, both ways"), &size), |bencher| {
                bencher.iter(|| back(&way(&projector, &learned, &rotations), &learned, &gradient));
            });
        }
    }
}

/// The gradient of `⟨output, gradient⟩` by `input`.
fn back(output: &Tensor, input: &Tensor, gradient: &Tensor) -> Vec<Tensor> {
    Tensor::run_backward(&[&(output * gradient).sum(Kind::Float)], &[input], false, false)
}

fn lift(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lift");
    for (side, grid, images) in [(32, 32, 16), (50, 50, 8), (114, 114, 1)] {
        let lift = Lift::new(side, grid, Centre::Voxel, LiftSteps::Direct, Device::Cpu);
        let (data, rotations) = (Tensor::randn([images, side, side], OPTIONS), rotations(images));
        let size = format!("{images} of {side}² to {grid}³");
        group.bench_function(BenchmarkId::new("fused", &size), |bencher| {
            bencher.iter(|| lift.lift(&data, &rotations));
        });
        group.bench_function(BenchmarkId::new("tensors", &size), |bencher| {
            bencher.iter(|| lift.lift_by_tensors(&data, &rotations));
        });
    }
}

fn misfit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("misfit");
    for (side, images, poses) in [(32, 16, 1), (50, 8, 8), (114, 2, 8)] {
        let size = format!("{images} × {poses} of {side}²");
        let frequencies = FrequencyGrid::new(side, NyquistRow::Negative, Device::Cpu);
        let microscope = Tensor::from_slice(&[15_000f32, 14_500.0, 30.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0]).expand([images, 9], false);
        let apix = Tensor::full([images], 2.0, OPTIONS);
        let filters = frequencies.ctf(&microscope, &apix, None, 0.0);
        group.bench_function(BenchmarkId::new("ctf", &size), |bencher| {
            bencher.iter(|| frequencies.ctf(&microscope, &apix, None, 0.0));
        });
        let projections = Tensor::randn([images, poses, side, side], OPTIONS).set_requires_grad(true);
        let seen = Tensor::randn([images, 1, side, side], OPTIONS);
        let masks = Tensor::ones([images, 1, side, side], OPTIONS);
        let numerics = contract::Numerics::default();
        let one = Tensor::ones([images], OPTIONS);
        group.bench_function(BenchmarkId::new("filter and compare, both ways", &size), |bencher| {
            bencher.iter(|| {
                let fit = Fit::new(&fourier::filter(&projections, &filters), &seen, &masks, &numerics);
                back(&fit.squared_error(), &projections, &one)
            });
        });
    }
}

fn smoothing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("smoothing");
    for (template, images) in [(32, 16), (64, 8), (192, 1)] {
        let volumes = Tensor::randn([images, 1, template, template, template], OPTIONS).set_requires_grad(true);
        let (smoothing, gradient) = (Smoothing::new(Device::Cpu), volumes.randn_like());
        let size = format!("{images} of {template}³");
        type Way<'a> = &'a dyn Fn(&Tensor) -> Tensor;
        let ways: [(&str, Way); 2] = [("fused", &|volumes| smoothing.smooth(volumes)), ("products", &smooth_by_tensors)];
        for (name, way) in ways {
            group.bench_function(BenchmarkId::new(format!("{name}, both ways"), &size), |bencher| {
                bencher.iter(|| back(&way(&volumes), &volumes, &gradient));
            });
        }
    }
}

fn priors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("volume priors");
    for (template, images) in [(32, 16), (64, 8), (192, 1)] {
        let volumes = Tensor::randn([images, 1, template, template, template], OPTIONS).set_requires_grad(true);
        let priors = VolumePriors::new([template / 12; 3], Device::Cpu);
        let one = Tensor::ones([images], OPTIONS);
        let size = format!("{images} of {template}³");
        group.bench_function(BenchmarkId::new("fused, both ways", &size), |bencher| {
            bencher.iter(|| {
                let [magnitude, variation] = priors.figures(&volumes);
                back(&(magnitude * 0.3 + variation), &volumes, &one)
            });
        });
        group.bench_function(BenchmarkId::new("tensors, both ways", &size), |bencher| {
            bencher.iter(|| {
                let [magnitude, variation] = priors.figures_by_tensors(&volumes);
                back(&(magnitude * 0.3 + variation), &volumes, &one)
            });
        });
    }
}

fn neighbours(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("neighbours");
    /// A pool as large as training draws them.
    const POOL: usize = 12_800;
    for (particles, zdim, batch) in [(20_000, 8, 16), (200_000, 8, 128)] {
        let bank = LatentBank::new(&Tensor::randn([particles, zdim], OPTIONS));
        let mut random = Random::new(3, 1);
        let mut draw = |n: usize| random.below(n as u64) as usize;
        let rows = draw_random(POOL, far_of(POOL as i64) as usize, batch, &mut draw);
        let rows = Tensor::from_slice(&rows).view([batch as i64, -1]);
        let (pool, own) =
            (Tensor::arange(POOL as i64, (Kind::Int64, Device::Cpu)), Tensor::arange(batch as i64, (Kind::Int64, Device::Cpu)));
        group.bench_function(BenchmarkId::new("near and far", format!("{batch} of {particles}")), |bencher| {
            bencher.iter(|| bank.contrast(&own, &pool, &rows));
        });
    }
}

fn main() {
    init_torch().expect("libtorch of the version that the engine is built for");
    tch::set_num_threads(1);
    tch::manual_seed(7);
    let settings = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    let mut criterion = settings.configure_from_args();
    for bench in [projection, lift, misfit, smoothing, priors, neighbours] {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
