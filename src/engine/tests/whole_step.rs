//! Whole training steps at the original's width: on a GPU as on the CPU, in bf16 as in f32, and with every choice of how a device is worked
//! with as with none. What `bench` measures is right only where these hold.
//!
//! Held against each other are the losses of two batches, between which the optimiser makes a step, and the first one's latent means and
//! gradients. Weights after a step are not: the optimiser's first makes whole steps of the rounding of tiny gradients.

#[path = "support/model.rs"]
mod model;
#[path = "../../../tests/support/skip.rs"]
mod skip;
#[path = "support/kernels.rs"]
mod support;
#[allow(dead_code, reason = "the set alone is needed here")]
#[path = "running/tiny_set.rs"]
mod tiny_set;

use contract::{Hypotheses, Precision, ProjectionRoute, TrainSettings, TrainSpec, Width};
use opus_dsd_engine::assembly::Assembly;
use opus_dsd_engine::data::Particles;
use opus_dsd_engine::devices;
use opus_dsd_engine::model::bank::LatentBank;
use opus_dsd_engine::model::tuning::{Convolutions, Layout, Wishes};
use opus_dsd_engine::training::ground;
use opus_dsd_engine::training::inputs::Inputs;
use opus_dsd_engine::training::meters::PendingFigures;
use opus_dsd_engine::training::optimiser::{AdamW, Parameter};
use opus_dsd_engine::training::step::{Draws, Step, TermWeights};
use opus_dsd_engine::world::Ranks;
use std::path::Path;
use support::{relative, start_alone};
use tch::{Cuda, Device, Kind, Tensor};

const CPU: Device = Device::Cpu;
/// Particles of the batch, two of which are decoded at a time.
const BATCH: usize = 4;
/// Of the optimiser's step: preset full's.
const RATE: f64 = 1e-4;
/// What a device is worked with where nothing is chosen: the library's own way.
const PLAIN: Wishes = Wishes { layout: Some(Layout::Plain), convolutions: Some(Convolutions::Plain), search: Some(false) };
/// All that may be chosen otherwise.
const ALL_CHOICES: Wishes = Wishes { layout: Some(Layout::ChannelsLast), convolutions: Some(Convolutions::Rearranged), search: Some(true) };

/// How far two runs may be apart, relative: losses of the first batch, of the second, latent means, all gradients as one vector.
struct Bounds([f64; 4]);

const NAMES: [&str; 4] = ["the first loss", "the second loss", "latent means", "gradients"];
/// Sums in another order. On a CPU the choices make 1e-9, 5e-8, 2e-6 and 1e-6; gradients have room for units at a rectifier's kink, which that
/// order decides.
const ROUNDING: Bounds = Bounds([1e-5, 1e-4, 1e-4, 5e-3]);
/// Networks in eight bits, all else in single precision; on a CPU that makes 5e-6, 5e-5, 6e-3 and 5e-2. Other noise makes 5e-4, 3e-3 and, of
/// gradients, 2e-1.
const BF16: Bounds = Bounds([1e-4, 1e-3, 2e-2, 1e-1]);

/// What two batches left.
struct Learned {
    losses: [f64; 2],
    means: Tensor,
    gradients: Tensor,
}

/// Two steps on the same images, `draw` keys what is random in them.
fn learned(spec: &TrainSpec, device: Device, precision: Precision, wishes: Wishes, draw: u64) -> Learned {
    wishes.settle(device);
    devices::keep_freed_memory(device);
    let settings = &TrainSettings { precision, ..spec.settings.clone() };
    let particles = Particles::open(&spec.prepared, device).unwrap();
    let maps = || ground::read_maps(spec, tiny_set::SIZE, tiny_set::APIX).unwrap();
    let mut assembly = Assembly::new(settings, maps(), device).unwrap();
    if device != CPU {
        // Devices have generators of their own.
        assembly.load_weights(&Assembly::new(settings, maps(), CPU).unwrap().weights()).unwrap();
    }
    assert!(assembly.without_kernel().is_none(), "{:?}", assembly.without_kernel());
    let inputs = Inputs::new(&assembly, &particles, None, 1, &|| false).unwrap();
    let everyone: Vec<usize> = (0..particles.len()).collect();
    let classes = ground::view_classes(&particles, &everyone);
    let bank = LatentBank::new(&Tensor::zeros([particles.len() as i64, assembly.latent_dimensions()], (Kind::Float, device)));
    let mut names: Vec<(String, Tensor)> = assembly.weights().into_iter().collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    let parameters = names.iter().map(|(name, value)| Parameter { name: name.clone(), value: value.shallow_clone(), rate: 1.0 }).collect();
    let mut optimiser = AdamW::new(parameters, 0.0);
    let (ranks, rows) = (Ranks::alone(), &everyone[..BATCH]);
    let (mut losses, mut first) = ([0.0; 2], None);
    for (number, loss) in losses.iter_mut().enumerate() {
        optimiser.zero_grad();
        let step = Step {
            assembly: &assembly,
            inputs: &inputs,
            bank: &bank,
            classes: Some(&classes),
            ranks: &ranks,
            weights: &TermWeights {
                divergence: Tensor::full([], 0.1, (Kind::Double, device)),
                prior: settings.lamb,
                magnitude: settings.volume_l1,
                variation: settings.volume_tv,
                snr: Tensor::ones([], (Kind::Double, device)),
                warm: false,
            },
            draws: Draws { seed: draw, epoch: 1, attempt: 0, batch: number as u64 },
            box_px: tiny_set::SIZE,
            injected: None,
        };
        let left = step.gradients(&particles.batch(rows), rows, &|_| false).unwrap();
        *loss = PendingFigures::read(&[&left.figures])[0].terms.total;
        first.get_or_insert_with(|| {
            let gradients: Vec<Tensor> = names.iter().map(|(_, value)| value.grad().flatten(0, -1)).collect();
            (left.means.to_device(CPU), Tensor::cat(&gradients, 0).to_device(CPU))
        });
        optimiser.step(RATE);
    }
    Wishes::default().settle(device);
    let (means, gradients) = first.unwrap();
    Learned { losses, means, gradients }
}

fn apart(got: &Learned, want: &Learned) -> [f64; 4] {
    let loss = |i: usize| ((got.losses[i] - want.losses[i]) / want.losses[i]).abs();
    [loss(0), loss(1), relative(&got.means, &want.means), relative(&got.gradients, &want.gradients)]
}

/// Whether a run is as near to another as asked; says how near.
fn agrees(what: &str, got: &Learned, want: &Learned, Bounds(bounds): &Bounds) -> bool {
    let apart = apart(got, want);
    let said: Vec<String> = NAMES.iter().zip(apart).map(|(name, apart)| format!("{name} {apart:.1e}")).collect();
    println!("{what}: {}", said.join(", "));
    apart.iter().zip(bounds).all(|(apart, bound)| apart < bound)
}

/// A run of the original's width with all terms of the loss, on 16 pixels.
fn set(folder: &Path) -> TrainSpec {
    let mut spec = tiny_set::command(folder);
    let layout = contract::ModelLayout { template: 32, ..model::layout(Width::Full, 8, tiny_set::SIZE) };
    spec.settings = TrainSettings {
        hypotheses: Hypotheses { ring: 3, angle_deg: 3.0 },
        projection: ProjectionRoute::quicker(4),
        batch: BATCH,
        micro_batch: 2,
        warm_start: None,
        lamb: 0.5,
        bfactor: 2.0,
        volume_l1: 0.1,
        volume_tv: 0.1,
        ..model::settings(layout)
    };
    spec
}

/// The CPU, and the GPU where there is one; says where there is none.
fn with_gpu(test: &str) -> Vec<Device> {
    devices::allow_tf32(false);
    if Cuda::is_available() {
        return vec![CPU, Device::Cuda(0)];
    }
    skip::skipped(format_args!("{test}: no CUDA device on this machine; on one nothing was compared"));
    vec![CPU]
}

#[test]
fn a_step_on_the_gpu_is_that_of_the_cpu() {
    let _alone = start_alone();
    let devices = with_gpu("a_step_on_the_gpu_is_that_of_the_cpu");
    let folder = tempfile::tempdir().unwrap();
    let spec = set(folder.path());
    let run = |device: Device, wishes: Wishes, draw: u64| learned(&spec, device, Precision::F32, wishes, draw);
    let want = run(CPU, PLAIN, 1);
    assert!(want.losses.iter().all(|loss| loss.is_finite()) && want.gradients.norm().double_value(&[]) > 0.0);
    for &device in &devices[1..] {
        // As it is worked with by default, too.
        for wishes in [PLAIN, Wishes::default()] {
            let got = run(device, wishes, 1);
            assert!(agrees(&format!("{device:?} from the CPU, {wishes:?}"), &got, &want, &ROUNDING));
        }
    }
    // The comparison can fail: the same noise is the same run, other noise is not.
    assert_eq!(apart(&run(CPU, PLAIN, 1), &want), [0.0; 4]);
    assert!(!agrees("other noise", &run(CPU, PLAIN, 2), &want, &BF16));
}

#[test]
fn a_step_in_bf16_is_that_in_f32() {
    let _alone = start_alone();
    let folder = tempfile::tempdir().unwrap();
    let spec = set(folder.path());
    for device in with_gpu("a_step_in_bf16_is_that_in_f32") {
        let run = |precision: Precision, wishes: Wishes| learned(&spec, device, precision, wishes, 1);
        let want = run(Precision::F32, Wishes::default());
        for wishes in [PLAIN, ALL_CHOICES] {
            let got = run(Precision::Bf16, wishes);
            assert!(agrees(&format!("bf16 from f32, {wishes:?}, {device:?}"), &got, &want, &BF16));
            assert!(!agrees("bf16 is not f32", &got, &want, &ROUNDING));
        }
    }
}

#[test]
fn a_step_is_the_same_with_every_choice() {
    let _alone = start_alone();
    let folder = tempfile::tempdir().unwrap();
    let spec = set(folder.path());
    for device in with_gpu("a_step_is_the_same_with_every_choice") {
        let run = |wishes: Wishes| learned(&spec, device, Precision::F32, wishes, 1);
        let want = run(PLAIN);
        let (last, rearranged) = (Some(Layout::ChannelsLast), Some(Convolutions::Rearranged));
        for wishes in [Wishes { layout: last, ..PLAIN }, Wishes { convolutions: rearranged, ..PLAIN }, ALL_CHOICES] {
            assert!(agrees(&format!("{wishes:?}, {device:?}"), &run(wishes), &want, &ROUNDING));
        }
    }
}
