//! Several ranks train as one does: the same weights and latents to rounding, whatever the sizes, also after a resume.

use crate::tiny_set::{PARTICLES, Recorder, command, latents, trained};
use crate::training::in_folder;
use contract::*;
use opus_dsd_engine::devices;
use opus_dsd_engine::link::Link;
use opus_dsd_engine::torch::init_torch;
use opus_dsd_engine::training::checkpoint::Checkpoint;
use opus_dsd_engine::training::{self, Faults, Injection, Outcome};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use tch::Tensor;

/// A rank's link: rank 0's meeting place is passed on.
struct Rank {
    recorder: Recorder,
    meeting: Mutex<Sender<String>>,
}

impl Link for Rank {
    fn tell(&self, event: Event) {
        if let Event::Meeting { address } = &event {
            // Nobody else to tell where a rank fails before all have come.
            let _ = self.meeting.lock().unwrap().send(address.clone());
        }
        self.recorder.tell(event);
    }

    fn stop_asked(&self) -> bool {
        self.recorder.stop_asked()
    }
}

/// How a rank ended, and its warnings.
pub(crate) struct Ended {
    /// Panics of the tensor library are problems, as in a session.
    pub(crate) outcome: Result<Outcome>,
    pub(crate) warnings: Vec<String>,
}

/// Trains with `size` ranks, each in a thread of its own and with faults of its own. `stop_after` counts rank 0's questions.
pub(crate) fn each(spec: &TrainSpec, size: usize, stop_after: usize, faults: &(dyn Fn(usize) -> Faults + Sync)) -> Vec<Ended> {
    let (sender, receiver) = channel();
    let run = |rank: usize, meeting: &str, link: Rank| {
        let world = Some(World { rank, size, here: size, meeting: meeting.into() });
        let spec = TrainSpec { world, ..spec.clone() };
        let outcome = catch_unwind(AssertUnwindSafe(|| training::train(&spec, &link, faults(rank))))
            .unwrap_or_else(|panic| Err(devices::problem(devices::panic_text(panic.as_ref()))));
        Ended { outcome, warnings: link.recorder.warnings() }
    };
    let link = |stop_after| Rank { recorder: Recorder::stopping_after(stop_after), meeting: Mutex::new(sender.clone()) };
    let leading = link(stop_after);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run(0, "127.0.0.1", leading));
        let meeting = if size > 1 { receiver.recv().unwrap() } else { String::new() };
        let others: Vec<_> = (1..size)
            .map(|rank| {
                let (meeting, link, run) = (meeting.clone(), link(usize::MAX), &run);
                scope.spawn(move || run(rank, &meeting, link))
            })
            .collect();
        [first].into_iter().chain(others).map(|thread| thread.join().unwrap()).collect()
    })
}

/// The same with one kind of faults; rank 0's outcome and warnings. After a stop the others lose the first: they end as they like.
fn together(spec: &TrainSpec, size: usize, stop_after: usize, faults: Faults) -> (Result<Outcome>, Vec<String>) {
    let first = each(spec, size, stop_after, &|_| faults).swap_remove(0);
    (first.outcome, first.warnings)
}

pub(crate) fn complete(spec: &TrainSpec, size: usize) -> TrainOutcome {
    match together(spec, size, usize::MAX, Faults::default()).0.unwrap() {
        Outcome::Complete(outcome) => outcome,
        Outcome::Stopped => panic!("nobody asked to stop"),
    }
}

pub(crate) fn place() -> tempfile::TempDir {
    init_torch().unwrap();
    tempfile::tempdir().unwrap()
}

/// A spec of its own folder on shared data.
pub(crate) fn sub(spec: &TrainSpec, place: &std::path::Path, name: &str) -> TrainSpec {
    std::fs::create_dir_all(place.join(name)).unwrap();
    in_folder(spec, &place.join(name))
}

/// Norm of the difference over the norm, of all weights together, and of the worst of latents, last means and bank.
pub(crate) fn difference(a: &TrainOutcome, b: &TrainOutcome) -> (f64, f64) {
    let (one, other) = (Checkpoint::load(&a.checkpoint).unwrap(), Checkpoint::load(&b.checkpoint).unwrap());
    assert_eq!(one.weights.len(), other.weights.len());
    let square = |x: &Tensor| x.to_kind(tch::Kind::Double).square().sum(tch::Kind::Double).double_value(&[]);
    let relative = |pairs: &[(&Tensor, &Tensor)]| {
        let sums = pairs.iter().fold((0.0, 0.0), |(d, n), (x, y)| (d + square(&(*x - *y)), n + square(x)));
        (sums.0 / sums.1).sqrt()
    };
    let weights: Vec<(&Tensor, &Tensor)> = one.weights.iter().map(|(name, tensor)| (tensor, &other.weights[name])).collect();
    let (x, y) = (Tensor::from_slice(&latents(&a.latents)), Tensor::from_slice(&latents(&b.latents)));
    let rows = [(&x, &y), (&one.latents, &other.latents), (one.bank.as_ref().unwrap(), other.bank.as_ref().unwrap())];
    (relative(&weights), rows.iter().map(|pair| relative(&[*pair])).fold(0.0, f64::max))
}

/// Without a warm start, with every term of the loss.
pub(crate) fn all_terms(settings: &mut TrainSettings) {
    settings.warm_start = None;
    (settings.lamb, settings.volume_l1, settings.volume_tv, settings.beta_control) = (0.5, 0.1, 0.1, Some(0.1));
}

pub(crate) fn assert_same(a: &TrainOutcome, b: &TrainOutcome, what: &str) {
    let (weights, latents) = difference(a, b);
    println!("{what}: weights {weights:.1e}, latents {latents:.1e}");
    assert!(weights < 1e-5 && latents < 1e-5, "{what}: weights differ by {weights:.2e}, latents by {latents:.2e}");
}

#[test]
fn ranks_train_as_one_does() {
    let place = place();
    let mut spec = command(place.path());
    spec.settings.epochs = 1;
    type Change<'a> = (&'a str, &'a [usize], &'a dyn Fn(&mut TrainSettings));
    let changes: [Change<'_>; 4] = [
        ("warm", &[2], &|_| {}),
        // All terms, the prior among them, which sees the whole batch.
        ("all terms", &[2, 3], &all_terms),
        // Batches of two for three ranks: one has no image of its own.
        ("small batches", &[3], &|s| {
            s.warm_start = None;
            (s.batch, s.lamb) = (2, 0.5);
        }),
        ("batches of a view", &[2], &|s| {
            s.warm_start = None;
            (s.view_class_batches, s.lamb) = (true, 0.5);
        }),
    ];
    for (name, sizes, change) in changes {
        let mut spec = spec.clone();
        change(&mut spec.settings);
        let alone = trained(&sub(&spec, place.path(), &format!("{name} 1")));
        for &size in sizes {
            let outcome = complete(&sub(&spec, place.path(), &format!("{name} {size}")), size);
            assert_same(&alone, &outcome, &format!("{name}, {size} ranks"));
        }
    }
}

#[test]
fn a_group_of_one_trains_as_one_alone_does() {
    let place = place();
    let mut spec = command(place.path());
    (spec.settings.epochs, spec.settings.warm_start, spec.settings.lamb) = (1, None, 0.5);
    let mut ids = vec!["cpu"];
    if tch::Cuda::is_available() {
        ids.push("cuda:0");
    } else {
        crate::skip::skipped("a_group_of_one_trains_as_one_alone_does: no CUDA device on this machine; NCCL was not tried");
    }
    // What is compared is the group, not what TF32 makes of another order of sums.
    devices::allow_tf32(false);
    for device in ids {
        spec.device = device.into();
        let alone = trained(&sub(&spec, place.path(), &format!("{device} alone")));
        let group = complete(&sub(&spec, place.path(), &format!("{device} group")), 1);
        let (weights, latents) = difference(&alone, &group);
        println!("{device}: weights {weights:.1e}, latents {latents:.1e}");
        let allowed = if device == "cpu" {
            0.0
        } else {
            // A GPU adds up gradients in an order of its own every time, and a rectifier's kink makes 1e-5 to 1e-3 of that in an epoch: as far
            // apart as two runs alone, in their order of magnitude. A gradient that is not the batch's makes over a hundredth.
            let (weights, latents) = difference(&alone, &trained(&sub(&spec, place.path(), &format!("{device} again"))));
            println!("{device}, alone again: weights {weights:.1e}, latents {latents:.1e}");
            (10.0 * weights.max(latents)).clamp(1e-3, 1e-2)
        };
        assert!(weights <= allowed && latents <= allowed, "{device}: weights differ by {weights:.1e}, latents by {latents:.1e}");
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let place = place();
    let mut spec = command(place.path());
    (spec.settings.epochs, spec.settings.warm_start) = (1, None);
    let alone = trained(&sub(&spec, place.path(), "alone"));
    // In the middle of the epoch: 54 training particles are 7 batches; a question a part and two before the first step.
    for (name, before, after, stop) in [("one then two", 1, 2, 8), ("two then one", 2, 1, 6)] {
        let spec = sub(&spec, place.path(), name);
        match together(&spec, before, stop, Faults::default()).0.unwrap() {
            Outcome::Stopped => {}
            Outcome::Complete(_) => panic!("{name}: it was not stopped"),
        }
        let names: Vec<String> =
            std::fs::read_dir(&spec.checkpoints).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        assert!(names.iter().any(|n| n.starts_with("epoch-000-")), "{name}: not in the middle of an epoch: {names:?}");
        if after == 1 {
            assert_same(&alone, &trained(&spec), name);
        } else {
            assert_same(&alone, &complete(&spec, after), name);
        }
    }
    // Without a break, two epochs: how far rounding has grown by then, for the record.
    spec.settings.epochs = 2;
    let (one, two) = (trained(&sub(&spec, place.path(), "two epochs 1")), complete(&sub(&spec, place.path(), "two epochs 2"), 2));
    let (weights, latents) = difference(&one, &two);
    println!("two epochs without a break: weights {weights:.1e}, latents {latents:.1e}");
    assert!(weights < 1e-3 && latents < 1e-3, "weights differ by {weights:.2e}, latents by {latents:.2e}");
}

#[test]
fn ranks_roll_back_together() {
    let place = place();
    let mut spec = command(place.path());
    (spec.settings.epochs, spec.settings.warm_start) = (2, None);
    let faults = Faults { inject: Some((9, Injection::NonFiniteLoss)), ..Faults::default() };
    let recorder = Recorder::new();
    let one = sub(&spec, place.path(), "one");
    let Outcome::Complete(alone) = training::train(&one, &recorder, faults).unwrap() else { panic!("stopped") };
    let two = sub(&spec, place.path(), "two");
    let (outcome, warnings) = together(&two, 2, usize::MAX, faults);
    let Outcome::Complete(outcome) = outcome.unwrap() else { panic!("stopped") };
    assert!(warnings.iter().any(|w| w.contains("going back to")), "{warnings:?}");
    assert_eq!(recorder.warnings().len(), warnings.len());
    assert_same(&alone, &outcome, "rolled back");
    assert_eq!(latents(&outcome.latents).len(), PARTICLES * spec.settings.layout.zdim);
}

#[test]
fn ranks_that_never_recover_say_the_same() {
    let place = place();
    let mut spec = command(place.path());
    spec.settings.warm_start = None;
    let faults = Faults { inject: Some((2, Injection::NonFiniteLoss)), again: true, ..Faults::default() };
    let problem = together(&spec, 2, usize::MAX, faults).0.err().expect("it cannot end well");
    assert_eq!(problem.kind, contract::Kind::Numerical);
}
