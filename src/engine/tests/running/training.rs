//! Training as a whole, on a small set: repeatable, resumable bit for bit, independent of the split into parts, guarded.

use crate::tiny_set::{Recorder, command, contents, latents, trained};
use contract::*;
use opus_dsd_engine::assembly::Assembly;
use opus_dsd_engine::data::Particles;
use opus_dsd_engine::model::bank::LatentBank;
use opus_dsd_engine::torch::init_torch;
use opus_dsd_engine::training::checkpoint::Checkpoint;
use opus_dsd_engine::training::inputs::Inputs;
use opus_dsd_engine::training::step::{Draws, Step, TermWeights};
use opus_dsd_engine::training::{self, Faults, Injection, Outcome, Work};
use opus_dsd_engine::world::Ranks;
use std::path::Path;
use tch::{Device, Tensor};

fn folder() -> tempfile::TempDir {
    init_torch().unwrap();
    tempfile::tempdir().unwrap()
}

/// A command whose files lie in a sub-folder of their own, on shared data.
pub(crate) fn in_folder(spec: &TrainSpec, folder: &Path) -> TrainSpec {
    TrainSpec {
        checkpoints: folder.join("checkpoint"),
        preview: folder.join("preview.mrc"),
        monitor: folder.join("monitor"),
        ..spec.clone()
    }
}

#[test]
fn a_stopped_and_resumed_run_leaves_the_same_bytes() {
    let place = folder();
    let mut spec = command(place.path());
    // A checkpoint after every batch, besides those of the stops.
    spec.settings.checkpoint_minutes = 0.0;
    let whole = in_folder(&spec, &place.path().join("whole"));
    std::fs::create_dir_all(place.path().join("whole")).unwrap();
    trained(&whole);
    // 60 particles, 54 for training: 7 batches of two parts an epoch. Three questions come before the first step and one after the last.
    for stops in [vec![3], vec![0, 9, 10], vec![14, 5], vec![43], vec![45], vec![20, 1, 2, 3]] {
        let name = format!("stopped{stops:?}");
        let spec = in_folder(&spec, &place.path().join(&name));
        std::fs::create_dir_all(place.path().join(&name)).unwrap();
        for &stop in &stops {
            let outcome = training::train(&spec, &Recorder::stopping_after(stop), Faults::default()).unwrap();
            assert!(matches!(outcome, Outcome::Stopped), "{name}");
        }
        trained(&spec);
        let (a, b) = (contents(&place.path().join("whole")), contents(&place.path().join(&name)));
        let names = |files: &[(std::path::PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&a), names(&b), "{name}");
        for ((path, one), (_, other)) in a.iter().zip(&b) {
            assert!(one == other, "{name}: {} differs", path.display());
        }
    }
}

#[test]
fn the_split_into_parts_changes_nothing_but_rounding() {
    let place = folder();
    let spec = command(place.path());
    let particles = Particles::open(&spec.prepared, Device::Cpu).unwrap();
    trained(&TrainSpec { settings: TrainSettings { epochs: 1, ..spec.settings.clone() }, ..spec.clone() });
    let checkpoint = Checkpoint::load(&spec.checkpoints.join("epoch-001")).unwrap();
    let batch = particles.batch(&[3, 8, 1, 30, 22, 17, 5]);
    let gradients = |micro_batch: usize, recompute_encoder: bool| {
        let mut assembly = Assembly::of_checkpoint(&checkpoint, Device::Cpu).unwrap();
        assembly.settings.micro_batch = micro_batch;
        assembly.settings.recompute_encoder = recompute_encoder;
        let anchors = assembly.scores.as_ref().map(|scores| assembly.anchors(scores));
        let inputs = Inputs::new(&assembly, &particles, anchors, 1, &|| false).unwrap();
        let bank = LatentBank::new(checkpoint.bank.as_ref().unwrap());
        let step = Step {
            assembly: &assembly,
            inputs: &inputs,
            bank: &bank,
            classes: None,
            ranks: &Ranks::alone(),
            weights: &TermWeights {
                divergence: Tensor::from(0.1),
                prior: 0.0,
                magnitude: 0.1,
                variation: 0.1,
                snr: Tensor::from(0.1),
                warm: false,
            },
            draws: Draws { seed: 1, epoch: 1, attempt: 0, batch: 0 },
            box_px: crate::tiny_set::SIZE,
            injected: None,
        };
        step.gradients(&batch, &batch.particles, &|_| false).unwrap();
        let mut named: Vec<(String, Tensor)> = assembly.weights().into_iter().map(|(name, value)| (name, value.grad())).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named
    };
    let whole = gradients(7, false);
    for (micro_batch, recompute_encoder) in [(1, false), (3, false), (7, true), (3, true)] {
        for ((name, one), (_, other)) in whole.iter().zip(gradients(micro_batch, recompute_encoder)) {
            let scale = one.abs().max().double_value(&[]);
            let difference = (one - other).abs().max().double_value(&[]);
            assert!(difference <= 1e-5 * scale.max(1e-6), "{name} in parts of {micro_batch}: {difference:.2e} of {scale:.2e}");
        }
    }
}

/// Largest difference of two runs' latents over the latents' spread.
fn apart(one: &[f32], other: &[f32]) -> f32 {
    let spread = one.iter().fold(0f32, |most, z| most.max(z.abs()));
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max) / spread
}

#[test]
fn an_epoch_has_the_same_outcome_for_any_split() {
    let place = folder();
    let mut spec = command(place.path());
    spec.settings.epochs = 1;
    // With every term and without a warm start, so that all of them pass through the split.
    spec.settings.warm_start = None;
    spec.settings.lamb = 1.0;
    spec.settings.hypotheses = Hypotheses { ring: 3, angle_deg: 8.0 };
    spec.settings.projection = ProjectionRoute::quicker(4);
    let run = |micro_batch: usize, recompute_encoder: bool| {
        let name = format!("{micro_batch}{recompute_encoder}");
        std::fs::create_dir_all(place.path().join(&name)).unwrap();
        let mut spec = in_folder(&spec, &place.path().join(&name));
        (spec.settings.micro_batch, spec.settings.recompute_encoder) = (micro_batch, recompute_encoder);
        latents(&trained(&spec).latents)
    };
    let whole = run(8, false);
    for (micro_batch, recompute_encoder) in [(1, false), (3, false), (3, true)] {
        let difference = apart(&whole, &run(micro_batch, recompute_encoder));
        // Seven steps of AdamW, which divides by small numbers, on top of rounding.
        assert!(difference < 2e-3, "in parts of {micro_batch}, again {recompute_encoder}: {difference:.1e}");
    }
    let mut other = in_folder(&spec, &place.path().join("seed"));
    std::fs::create_dir_all(place.path().join("seed")).unwrap();
    other.settings.seed = 6;
    assert!(apart(&whole, &latents(&trained(&other).latents)) > 0.1, "another seed shows");
}

#[test]
fn a_batch_that_does_not_fit_is_halved_and_the_run_goes_on() {
    let place = folder();
    let mut spec = command(place.path());
    spec.settings.micro_batch = 8;
    let expected = latents(&trained(&in_folder(&spec, &place.path().join("whole"))).latents);
    let link = Recorder::new();
    let hungry = |above| Faults { inject: Some((5, Injection::OutOfMemory { during: Work::Decoding, above })), ..Faults::default() };
    let outcome = training::train(&in_folder(&spec, &place.path().join("hungry")), &link, hungry(2)).unwrap();
    let Outcome::Complete(outcome) = outcome else { panic!("the run was ended") };
    let told = link.warnings();
    assert_eq!(told.len(), 2, "once from 8 to 4, once to 2: {told:?}");
    assert!(told[1].contains("with 4 images") && told[1].contains("`--micro-batch 2`"), "{told:?}");
    let difference = apart(&expected, &latents(&outcome.latents));
    assert!(difference < 1e-2, "the effective batch stays: {difference:.1e}");

    let Err(problem) = training::train(&in_folder(&spec, &place.path().join("starving")), &Recorder::new(), hungry(0)) else {
        panic!("it went on without memory")
    };
    assert_eq!(problem.kind, Kind::Device, "{problem}");
    assert!(problem.culprit.unwrap().contains("one image") && problem.hint.is_some());
}

type Change<'a> = &'a dyn Fn(&mut TrainSettings);

#[test]
fn every_term_of_the_loss_changes_the_latents() {
    let place = folder();
    let mut spec = command(place.path());
    spec.settings.lamb = 1.0;
    spec.settings.volume_l1 = 50.0;
    spec.settings.volume_tv = 50.0;
    spec.settings.hypotheses = Hypotheses { ring: 3, angle_deg: 8.0 };
    spec.settings.projection = ProjectionRoute::quicker(4);
    let run = |name: &str, change: Change| {
        let mut spec = in_folder(&spec, &place.path().join(name));
        std::fs::create_dir_all(place.path().join(name)).unwrap();
        change(&mut spec.settings);
        latents(&trained(&spec).latents)
    };
    let all = run("all", &|_| {});
    let without: [(&str, Change); 9] = [
        ("kl", &|s| s.beta = Schedule::Constant(0.0)),
        ("prior", &|s| s.lamb = 0.0),
        ("magnitude", &|s| s.volume_l1 = 0.0),
        ("variation", &|s| s.volume_tv = 0.0),
        ("hypotheses", &|s| s.hypotheses.ring = 0),
        ("slices", &|s| s.projection = ProjectionRoute::Rays),
        ("warm_start", &|s| s.warm_start = None),
        ("base", &|s| s.base = BaseVolume::None),
        ("snr_control", &|s| s.beta_control = Some(0.5)),
    ];
    for (name, change) in without {
        let other = run(name, change);
        let difference = all.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(difference > 1e-4, "without {name} the latents differ by {difference:.1e} only");
    }
}

#[test]
fn faults_are_rolled_back_once_and_end_the_run_when_they_stay() {
    for injection in [Injection::NonFiniteLoss, Injection::RunawayLogStd, Injection::ExplodingVolume, Injection::DeadLatents] {
        let place = folder();
        let mut spec = command(place.path());
        spec.settings.epochs = 6;
        // Ratios to running means count after some batches.
        let faults = Faults { inject: Some((23, injection)), ..Faults::default() };
        let link = Recorder::new();
        let outcome = training::train(&spec, &link, faults).unwrap();
        let Outcome::Complete(outcome) = outcome else { panic!("{injection:?} ended the run") };
        assert_eq!(outcome.epochs, 6);
        assert!(link.warnings().iter().any(|warning| warning.contains("going back to")), "{injection:?}: {:?}", link.warnings());
        let state = Checkpoint::load(&outcome.checkpoint).unwrap();
        assert_eq!(state.position.guard.roll_backs, 1, "{injection:?}");
        assert!((state.position.step_factor - 0.5).abs() < 1e-12);
        assert!(latents(&outcome.latents).iter().all(|z| z.is_finite()));

        let other = in_folder(&spec, &place.path().join("again"));
        std::fs::create_dir_all(place.path().join("again")).unwrap();
        let Err(problem) = training::train(&other, &Recorder::new(), Faults { again: true, ..faults }) else {
            panic!("{injection:?} went on")
        };
        assert_eq!(problem.kind, Kind::Numerical, "{injection:?}: {problem}");
        assert!(problem.hint.is_some() && problem.culprit.is_some());
    }
}

/// As on a GPU, where nobody waits for a batch's figures.
#[test]
fn figures_read_together_change_nothing() {
    let place = folder();
    let mut spec = command(place.path());
    (spec.settings.epochs, spec.settings.lamb, spec.settings.beta_control) = (5, 1.0, Some(0.5));
    spec.settings.log_interval = 40;
    let run = |name: &str, faults: Faults, stop_after: Option<usize>| {
        let spec = in_folder(&spec, &place.path().join(name));
        std::fs::create_dir_all(place.path().join(name)).unwrap();
        let mut link = Recorder::new();
        if let Some(batches) = stop_after {
            link = Recorder::stopping_after(batches);
            assert!(matches!(training::train(&spec, &link, faults).unwrap(), Outcome::Stopped));
            link = Recorder::new();
        }
        let Outcome::Complete(outcome) = training::train(&spec, &link, faults).unwrap() else { panic!("the run was ended") };
        let position = Checkpoint::load(&outcome.checkpoint).unwrap().position;
        let rolled_back = link.warnings().iter().filter(|warning| warning.contains("going back to")).count();
        (latents(&outcome.latents), std::fs::read_to_string(spec.monitor.join("losses.jsonl")).unwrap(), position, rolled_back)
    };
    let together = |number| Faults { read_together: Some(number), ..Faults::default() };
    let each = run("each", together(1), None);
    assert_eq!(each, run("four", together(4), None));
    assert_eq!(each, run("all", together(usize::MAX), None));
    assert_eq!(each, run("stopped", together(3), Some(10)));
    // A fault is found later, and what comes of it is the same: it goes back to the last epoch's end.
    let ill = |number| Faults { inject: Some((23, Injection::NonFiniteLoss)), ..together(number) };
    let found = run("ill", ill(1), None);
    assert_eq!(found.3, 1);
    assert_eq!(found, run("ill, later", ill(4), None));
}

#[test]
fn damaged_checkpoints_are_ignored_and_reported() {
    let place = folder();
    let spec = command(place.path());
    let whole = latents(&trained(&spec).latents);
    let newest = spec.checkpoints.join("epoch-003");
    let file = newest.join("weights.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    std::fs::create_dir(spec.checkpoints.join("epoch-004-16")).unwrap();
    let link = Recorder::new();
    let Outcome::Complete(outcome) = training::train(&spec, &link, Faults::default()).unwrap() else { panic!("stopped") };
    assert_eq!(link.warnings().len(), 2, "{:?}", link.warnings());
    assert_eq!(latents(&outcome.latents), whole);
}

#[test]
fn more_epochs_go_on_and_another_model_is_refused() {
    let place = folder();
    let mut spec = command(place.path());
    trained(&spec);
    spec.settings.epochs = 5;
    let link = Recorder::new();
    let Outcome::Complete(outcome) = training::train(&spec, &link, Faults::default()).unwrap() else { panic!("stopped") };
    assert_eq!(outcome.epochs, 5);
    let said = link.events.lock().unwrap().iter().any(|event| matches!(event, Event::Log { message } if message.contains("learning rate")));
    assert!(said, "the log says how the learning rate goes on");
    let refused = |change: &dyn Fn(&mut TrainSpec), word: &str| {
        let mut spec = spec.clone();
        change(&mut spec);
        let Err(problem) = training::train(&spec, &Recorder::new(), Faults::default()) else { panic!("{word} was accepted") };
        assert!(problem.kind == Kind::Input && problem.to_string().contains(word), "{problem}");
    };
    refused(&|s| s.settings.layout.zdim = 4, "zdim 3 → 4");
    refused(&|s| s.settings.seed = 6, "seed");
    refused(&|s| s.mask = s.base.clone().unwrap(), "mask");
    refused(&|s| s.settings.base = BaseVolume::Learned, "base");
}

#[test]
fn another_jobs_weights_and_latents_start_a_new_one() {
    let place = folder();
    let spec = command(place.path());
    let first = trained(&spec);
    let mut second = in_folder(&spec, &place.path().join("second"));
    std::fs::create_dir_all(place.path().join("second")).unwrap();
    second.load = Some(first.checkpoint.clone());
    second.settings.epochs = 1;
    trained(&second);
    let (old, new) = (Checkpoint::load(&first.checkpoint).unwrap(), Checkpoint::load(&second.checkpoints.join("epoch-000")).unwrap());
    assert!(old.weights.iter().all(|(name, tensor)| tensor.equal(&new.weights[name])));
    assert!(old.latents.equal(&new.latents));
    assert_eq!(new.position.steps, 0);
}

#[test]
fn old_checkpoints_go_and_latents_of_every_epoch_stay() {
    let place = folder();
    let mut spec = command(place.path());
    spec.settings.epochs = 7;
    spec.settings.keep_every = 3;
    trained(&spec);
    let mut kept: Vec<String> =
        std::fs::read_dir(&spec.checkpoints).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    kept.sort();
    for name in ["epoch-003", "epoch-005", "epoch-006", "epoch-007", "latents"] {
        assert!(kept.iter().any(|k| k == name), "{name} of {kept:?}");
    }
    assert!(kept.len() <= 6, "at most the best besides: {kept:?}");
    assert_eq!(std::fs::read_dir(spec.checkpoints.join("latents")).unwrap().count(), 7);
}

/// Rewrites a checkpoint's description.
fn described(checkpoint: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = checkpoint.join("checkpoint.json");
    let mut header = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut header);
    std::fs::write(&path, header.to_string()).unwrap();
}

/// The form of the first checkpoints: without what was added since.
fn first_form(header: &mut serde_json::Value) {
    let position = header["position"].as_object_mut().unwrap();
    let signal = position.remove("signal").unwrap();
    position.insert("snr".into(), signal["signal_to_noise"].clone());
    assert!(position.remove("signal_before").is_some());
    let settings = header["settings"].as_object_mut().unwrap();
    assert!(settings.remove("precision").is_some() && settings.remove("recompute_encoder").is_some());
    assert!(settings["numerics"].as_object_mut().unwrap().remove("maps_unmasked").is_some());
}

#[test]
fn checkpoints_of_the_first_form_are_gone_on_from() {
    let place = folder();
    let mut spec = command(place.path());
    let first = trained(&spec);
    let whole = Checkpoint::load(&first.checkpoint).unwrap();
    described(&first.checkpoint, first_form);
    let old = Checkpoint::load(&first.checkpoint).unwrap();
    assert_eq!(old.settings, whole.settings);
    assert_eq!(old.position.signal.signal_to_noise.to_bits(), whole.position.signal.signal_to_noise.to_bits());
    assert_eq!(old.position.signal_before, None);
    spec.settings.epochs = 4;
    let Outcome::Complete(outcome) = training::train(&spec, &Recorder::new(), Faults::default()).unwrap() else { panic!("stopped") };
    assert_eq!(outcome.epochs, 4);
    assert!(latents(&outcome.latents).iter().all(|v| v.is_finite()));
}

#[test]
fn checkpoints_of_a_newer_form_are_refused_and_stay() {
    let place = folder();
    let spec = command(place.path());
    let newest = trained(&spec).checkpoint;
    described(&newest, |header| header["schema"] = 99.into());
    let loaded = Checkpoint::load(&newest).err().unwrap();
    let gone_on = training::train(&spec, &Recorder::new(), Faults::default()).err().unwrap();
    for problem in [loaded, gone_on] {
        assert!(problem.what.contains("a newer version") && problem.what.contains("99"), "{problem}");
        assert!(problem.hint.as_ref().unwrap().contains("settings.json"), "{problem}");
    }
    described(&newest, |header| header["schema"] = 1.into());
    described(&newest, |header| header["settings"]["beta"] = "unheard of".into());
    let problem = Checkpoint::load(&newest).err().unwrap();
    assert!(problem.what.contains("not understood") && problem.hint.is_some(), "{problem}");
}
