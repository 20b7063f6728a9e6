//! The same on a GPU as on the CPU: the parts of the model, and the gradients of what a training step minimises.
//!
//! Convolutions are in plain single precision here, and gradients are compared before any step of the optimiser, which makes whole steps of
//! the rounding of tiny ones. Without a GPU these tests say SKIPPED and check nothing.

#[path = "support/model.rs"]
mod model;
#[path = "../../../tests/support/skip.rs"]
mod skip;
#[path = "support/kernels.rs"]
mod support;

use contract::{BaseVolume, Numerics, Width, World};
use cryoem::random::Random;
use model::layout;
use opus_dsd_engine::devices;
use opus_dsd_engine::model::ctf::ctf_half_plane;
use opus_dsd_engine::model::decoder::{Decoder, DecoderConfig};
use opus_dsd_engine::model::encoder::{Encoder, EncoderConfig};
use opus_dsd_engine::model::fourier;
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::layers::{channels_last, resize, resize_by_products};
use opus_dsd_engine::model::lift::{Lift, LiftSteps};
use opus_dsd_engine::model::loss::{Fit, divergence_nats};
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region};
use opus_dsd_engine::model::slices::SliceProjector;
use opus_dsd_engine::model::volume::VolumeModel;
use opus_dsd_engine::model::volume_priors::VolumePriors;
use opus_dsd_engine::training::optimiser::{AdamW, Parameter};
use opus_dsd_engine::world::Ranks;
use std::collections::HashMap;
use support::{relative, rotations, start};
use tch::nn::VarStore;
use tch::{Cuda, Device, Kind, Tensor};

const CPU: Device = Device::Cpu;
const SIDE: i64 = 32;
const IMAGES: i64 = 3;
const POSES: i64 = 4;
/// Of gradients: sums in another order decide a few voxels at the kink of a rectifier otherwise. Inputs off by [`ROUNDING`], far more than that
/// order makes, stay below a fifth of it; a convolution in TF32 does not stay below it ([`what_is_compared_repeats_and_is_sensitive`]).
const TOLERANCE: f64 = 5e-3;
/// Relative change of every weight that stands for the order of sums.
const ROUNDING: f64 = 1e-6;

/// The first GPU, or `None` after saying so. Its convolutions are in plain single precision from here on.
fn gpu(test: &str) -> Option<Device> {
    start();
    devices::allow_tf32(false);
    if Cuda::is_available() {
        return Some(Device::Cuda(0));
    }
    skip::skipped(format_args!("{test}: no CUDA device on this machine; nothing was compared"));
    None
}

/// Numbers that do not depend on a generator.
fn numbers(shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let mut values = vec![0f32; count as usize];
    Random::new(5, count as u64).fill_normal(&mut values);
    Tensor::from_slice(&values).view(shape)
}

/// Loss, what leads to it, and gradients of a small model with all terms, by name. `change` is made to the weights that all start from.
fn learned(device: Device, change: &dyn Fn(Tensor) -> Tensor) -> HashMap<String, Tensor> {
    let layout = layout(Width::Small, 6, SIDE as usize);
    let store = VarStore::new(device);
    let encoder = Encoder::new(&(store.root() / "encoder"), EncoderConfig::of(&layout));
    let decoder = Decoder::new(&(store.root() / "decoder"), DecoderConfig::of(&layout));
    let mut names: Vec<String> = store.variables().into_keys().collect();
    names.sort();
    for name in &names {
        let mut variable = store.variables()[name].shallow_clone();
        let spread = 0.5 / (variable.numel() as f64).powf(0.25);
        tch::no_grad(|| variable.copy_(&change(numbers(&variable.size()) * spread)));
    }
    let mask = Centre::Voxel.cube(SIDE, CPU).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float).lt(150.0);
    let mask = mask.to_kind(Kind::Float).view([SIDE; 3]).to_device(device);
    let base = (numbers(&[SIDE, SIDE, SIDE]) * 0.1).to_device(device);
    let volume = VolumeModel::new(&store.root(), BaseVolume::Fixed, Some(&base), &mask).unwrap();
    let region = Region::Ball { radius_px: 13.0 };
    let projector = Projector::new(ProjectorConfig { side: SIDE, template: SIDE, centre: Centre::Voxel, region }, device);
    let poses = rotations(IMAGES, POSES).to_device(device);
    let images = numbers(&[IMAGES, SIDE, SIDE]).to_device(device);
    let given = poses.select(1, 0);
    let lift = Lift::new(SIDE, SIDE, Centre::Voxel, LiftSteps::Direct, device);
    let priors = VolumePriors::new([2; 3], device);
    assert!(priors.without_kernel().is_none(), "{device:?}: {:?}", priors.without_kernel());
    let rows =
        Tensor::from_slice(&[15_000f32, 14_000.0, 20.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0]).expand([IMAGES, 9], false).to_device(device);
    let filters = ctf_half_plane(&rows, &Tensor::full([IMAGES], 3.0, (Kind::Float, device)), SIDE, 1.0);
    let (mu, logstd) = encoder.forward(&(lift.lift(&images, &given) * &mask));
    let volumes = volume.assemble(&decoder.forward(&mu));
    let projections = projector.project(&volumes, &poses, None);
    let silhouettes = projector.silhouette(&volume.mask().expand([IMAGES, 1, SIDE, SIDE, SIDE], false), &poses, None);
    let fit = Fit::new(&fourier::filter(&projections, &filters), &images.unsqueeze(1), &silhouettes, &Numerics::default());
    let [magnitude, variation] = priors.figures(&volumes).map(|figures| figures.sum(Kind::Float));
    let loss = fit.squared_error().mean(Kind::Float) * 1e-3 + divergence_nats(&mu, &logstd).mean(Kind::Float) + magnitude + variation;
    loss.backward();
    let mut found: HashMap<String, Tensor> =
        store.variables().into_iter().map(|(name, variable)| (format!("gradient of {name}"), variable.grad().to_device(CPU))).collect();
    for (name, tensor) in [("mu", &mu), ("volumes", &volumes), ("projections", &projections), ("loss", &loss)] {
        found.insert(name.to_owned(), tensor.detach().to_device(CPU));
    }
    found
}

/// The largest difference among what was found, and what it is of.
fn worst(got: &HashMap<String, Tensor>, want: &HashMap<String, Tensor>) -> (f64, String) {
    let errors = want.iter().map(|(name, want)| (relative(&got[name], want), name.clone()));
    errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn gradients_on_the_gpu_are_those_of_the_cpu() {
    let Some(device) = gpu("gradients_on_the_gpu_are_those_of_the_cpu") else { return };
    let (error, name) = worst(&learned(device, &|x| x), &learned(CPU, &|x| x));
    println!("at most {error:.1e}, {name}");
    assert!(error < TOLERANCE, "{name} differs by {error:.1e}");
}

#[test]
fn the_optimisers_steps_on_the_gpu_are_those_of_the_cpu() {
    let Some(device) = gpu("the_optimisers_steps_on_the_gpu_are_those_of_the_cpu") else { return };
    let stepped = |device: Device| {
        let value = (numbers(&[40, 30]) * 0.1).to_device(device).set_requires_grad(true);
        let parameter = Parameter { name: "value".into(), value: value.shallow_clone(), rate: 0.5 };
        let mut optimiser = AdamW::new(vec![parameter], 0.01);
        for step in 1..4 {
            optimiser.zero_grad();
            // Gradients that do not depend on the value: the same on both.
            (&value * numbers(&[40, 30]).to_device(device) * f64::from(step)).sum(Kind::Float).backward();
            optimiser.step(1e-2);
        }
        value.detach()
    };
    let error = relative(&stepped(device), &stepped(CPU));
    assert!(error < 1e-6, "weights differ by {error:.1e}");
}

#[test]
fn projections_on_the_gpu_are_those_of_the_cpu_kernel() {
    let Some(device) = gpu("projections_on_the_gpu_are_those_of_the_cpu_kernel") else { return };
    let region = Region::Ball { radius_px: 15.0 };
    let config = ProjectorConfig { side: SIDE, template: 48, centre: Centre::Voxel, region };
    let shift = numbers(&[IMAGES, POSES, 3]);
    let run = |device: Device| {
        let volumes = numbers(&[IMAGES, 1, 48, 48, 48]).to_device(device).set_requires_grad(true);
        let [poses, shift] = [&rotations(IMAGES, POSES), &shift].map(|given| given.to_device(device).set_requires_grad(true));
        let projector = Projector::new(config, device);
        assert!(projector.without_kernel().is_none(), "{device:?}: {:?}", projector.without_kernel());
        let projections = projector.project_moved(&volumes, &poses, None, Some(&shift));
        (&projections * numbers(&projections.size()).to_device(device)).sum(Kind::Float).backward();
        [projections.detach(), volumes.grad(), poses.grad(), shift.grad()].map(|found| found.to_device(CPU))
    };
    for (what, (want, got)) in ["projections", "volumes", "rotations", "shifts"].iter().zip(run(CPU).iter().zip(run(device))) {
        let error = relative(&got, want);
        assert!(error < 1e-4, "{what} differ by {error:.1e}");
    }
}

#[test]
fn slices_on_the_gpu_are_those_of_the_cpu_kernel() {
    let Some(device) = gpu("slices_on_the_gpu_are_those_of_the_cpu_kernel") else { return };
    const TEMPLATE: i64 = 48;
    // A ball that leaves the projections.
    let region = Region::Ball { radius_px: 19.0 };
    let config = ProjectorConfig { side: SIDE, template: TEMPLATE, centre: Centre::Voxel, region };
    let run = |device: Device| {
        let volumes = numbers(&[IMAGES, 1, TEMPLATE, TEMPLATE, TEMPLATE]).to_device(device).set_requires_grad(true);
        let [poses, shift] = [&rotations(IMAGES, POSES), &numbers(&[IMAGES, POSES, 3])].map(|given| given.to_device(device));
        let projector = SliceProjector::new(&config, device);
        assert!(projector.without_kernel().is_none(), "{device:?}: {:?}", projector.without_kernel());
        let projections = projector.project(&volumes, &poses, None, Some(&shift));
        (&projections * numbers(&projections.size()).to_device(device)).sum(Kind::Float).backward();
        [projections.detach(), volumes.grad()].map(|found| found.to_device(CPU))
    };
    for (what, (want, got)) in ["projections", "volumes"].iter().zip(run(CPU).iter().zip(run(device))) {
        let error = relative(&got, want);
        // The CPU's kernel has a table of the window.
        assert!(error < 2e-4, "{what} differ by {error:.1e}");
    }
}

#[test]
fn lifted_images_on_the_gpu_are_those_of_the_cpu_kernel() {
    let Some(device) = gpu("lifted_images_on_the_gpu_are_those_of_the_cpu_kernel") else { return };
    let (images, poses) = (numbers(&[IMAGES, SIDE, SIDE]), rotations(IMAGES, POSES).select(1, 0));
    for steps in [LiftSteps::Direct, LiftSteps::TurnThenTilt] {
        let run = |device: Device| {
            let lift = Lift::new(SIDE, 24, Centre::Voxel, steps, device);
            assert!(lift.without_kernel().is_none(), "{device:?}: {:?}", lift.without_kernel());
            lift.lift(&images.to_device(device), &poses.to_device(device))
        };
        let error = relative(&run(device), &run(CPU));
        assert!(error < 1e-4, "{steps:?} differs by {error:.1e}");
    }
}

#[test]
fn volume_priors_on_the_gpu_are_those_of_the_cpu_kernel() {
    let Some(device) = gpu("volume_priors_on_the_gpu_are_those_of_the_cpu_kernel") else { return };
    let volumes = numbers(&[IMAGES, 1, SIDE, SIDE, SIDE]);
    let run = |device: Device| {
        let priors = VolumePriors::new([3, 2, 4], device);
        assert!(priors.without_kernel().is_none(), "{device:?}: {:?}", priors.without_kernel());
        let volumes = volumes.to_device(device).set_requires_grad(true);
        let [magnitude, variation] = priors.figures(&volumes);
        (&magnitude * 0.3 + &variation).sum(Kind::Float).backward();
        [magnitude.detach(), variation.detach(), volumes.grad()]
    };
    for (what, (got, want)) in ["magnitude", "variation", "gradient"].iter().zip(run(device).iter().zip(&run(CPU))) {
        let error = relative(got, want);
        assert!(error < 1e-5, "{what} differs by {error:.1e}");
    }
}

/// The comparison itself can fail: what is computed twice is equal, what stands for another order of sums passes, and TF32 does not.
/// (Runs everywhere.)
#[test]
fn what_is_compared_repeats_and_is_sensitive() {
    start();
    let want = learned(CPU, &|x| x);
    let again = learned(CPU, &|x| x);
    assert!(want.len() > 20 && want.iter().all(|(name, tensor)| tensor.equal(&again[name])));
    assert!(want.values().all(|tensor| tensor.isfinite().all().int64_value(&[]) == 1));
    let (rounded, name) = worst(&learned(CPU, &|x| &x * (x.sin() * ROUNDING + 1.0)), &want);
    println!("{ROUNDING:.0e} of the weights makes {rounded:.1e} of {name}");
    assert!(rounded < TOLERANCE / 5.0, "{name} differs by {rounded:.1e}");
    let (cut, name) = worst(&learned(CPU, &in_tf32), &want);
    println!("weights in TF32 make {cut:.1e} of {name}");
    assert!(cut > TOLERANCE, "{name} differs by {cut:.1e} only");
}

/// Rounded to the ten bits of TF32's mantissa.
fn in_tf32(x: Tensor) -> Tensor {
    /// Bits of single precision that TF32 lacks.
    const LACKING: i64 = 13;
    let step = 2f64.powi(LACKING as i32) + 1.0;
    let high: Tensor = &x * step;
    &high - (&high - &x)
}

/// Held against the library in double precision: its positions in single precision are off by more than a millionth themselves. (Runs
/// everywhere.)
#[test]
fn resizing_by_products_is_the_librarys() {
    start();
    let device = if Cuda::is_available() { Device::Cuda(0) } else { CPU };
    for (from, side) in [(16, 12), (14, 12), (4, 9), (5, 1), (1, 3)] {
        let x = channels_last(&numbers(&[2, 3, from, from, from]));
        let weights = numbers(&[2, 3, side, side, side]);
        let run = |options: (Kind, Device), resize: &dyn Fn(&Tensor, i64) -> Tensor| {
            let x = x.to_kind(options.0).to_device(options.1).copy().set_requires_grad(true);
            let y = resize(&x, side);
            (&y * weights.to_device(options.1)).sum(options.0).backward();
            [y.detach(), x.grad()]
        };
        for (got, want) in run((Kind::Float, device), &resize_by_products).iter().zip(&run((Kind::Double, CPU), &resize)) {
            let error = relative(got, want);
            assert!(error < 1e-6, "{from} to {side}: {error:.1e}");
        }
    }
}

/// The whole of what several GPUs do, with one: a communicator, sums beside what is computed meanwhile, and the order of both.
#[test]
fn nccl_adds_up_beside_the_running_computation() {
    let Some(device) = gpu("nccl_adds_up_beside_the_running_computation") else { return };
    let world = World { rank: 0, size: 1, here: 1, meeting: "127.0.0.1".into() };
    let ranks = Ranks::join(Some(&world), device, &|_| {}).unwrap();
    let values = numbers(&[1 << 20]).to_device(device);
    for _ in 0..20 {
        // The sum must wait for its input, and what follows for the sum.
        let product = numbers(&[512, 512]).to_device(device);
        let made = (0..4).fold(values.shallow_clone(), |x, _| x * 0.5);
        let pending = ranks.begin_sum(&[made]).expect("a group, though of one");
        let meanwhile = product.matmul(&product);
        let sum = ranks.finish(pending) * 16.0;
        assert!(relative(&sum, &values.to_device(CPU)) < 1e-6);
        assert!(meanwhile.isfinite().all().int64_value(&[]) != 0);
    }
    let share = ranks.share(3);
    let rows = numbers(&[3, 4]).to_device(device);
    assert!(relative(&ranks.rows(&rows, share), &rows.to_device(CPU)) < 1e-7);
}
