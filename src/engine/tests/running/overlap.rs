//! What a step waits for where sums over ranks are queued, as on GPUs: the decoder's gradients are added up while the encoder's are computed.

use crate::ranks::{all_terms, place};
use crate::tiny_set::command;
use contract::*;
use opus_dsd_engine::assembly::Assembly;
use opus_dsd_engine::data::Particles;
use opus_dsd_engine::model::bank::LatentBank;
use opus_dsd_engine::training::ground;
use opus_dsd_engine::training::inputs::Inputs;
use opus_dsd_engine::training::step::{Draws, Step, TermWeights};
use opus_dsd_engine::world::{Queue, Ranks};
use std::cell::RefCell;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Queued {
    /// A sum of so many numbers.
    Sum(usize),
    /// What is computed from here on waits for all sums before.
    Wait,
}

/// What was queued, and whether the encoder's backward pass had been by then.
type Record = Rc<RefCell<Vec<(Queued, bool)>>>;

/// Stands in for a GPU's queue of a group of one, whose sums are what is added.
struct Recording {
    record: Record,
    /// One of the encoder's parameters.
    encoder: Tensor,
}

impl Recording {
    fn note(&self, what: Queued) {
        self.record.borrow_mut().push((what, self.encoder.grad().defined()));
    }
}

impl Queue for Recording {
    fn takes(&self, _: &Tensor) -> bool {
        true
    }

    fn begin_sum(&self, x: &Tensor) {
        self.note(Queued::Sum(x.numel()));
    }

    fn finish(&self) {
        self.note(Queued::Wait);
    }

    fn wait_for_all(&self) {}

    fn leave(self: Box<Self>) {}
}

/// Numbers of the parameters of one half.
fn numbers(assembly: &Assembly, encoder: bool) -> usize {
    assembly.weights().iter().filter(|(name, _)| name.starts_with("encoder.") == encoder).map(|(_, weight)| weight.numel()).sum()
}

#[test]
fn the_encoders_pass_waits_for_no_gradients_of_the_decoder() {
    let place = place();
    let mut spec = command(place.path());
    all_terms(&mut spec.settings);
    spec.scores = None;
    let particles = Particles::open(&spec.prepared, Device::Cpu).unwrap();
    for prior in [0.5, 0.0] {
        let maps = ground::read_maps(&spec, crate::tiny_set::SIZE, crate::tiny_set::APIX).unwrap();
        let assembly = Assembly::new(&spec.settings, maps, Device::Cpu).unwrap();
        let inputs = Inputs::within(&assembly, &particles, None, 0.0, &|| false).unwrap();
        let everyone: Vec<usize> = (0..particles.len()).collect();
        let classes = ground::view_classes(&particles, &everyone);
        let bank = LatentBank::new(&Tensor::randn([particles.len() as i64, assembly.latent_dimensions()], (Kind::Float, Device::Cpu)));
        let record = Record::default();
        let encoder = assembly.weights()["encoder.mu.weight"].shallow_clone();
        let world = World { rank: 0, size: 1, here: 1, meeting: "127.0.0.1".into() };
        let ranks = Ranks::join(Some(&world), Device::Cpu, &|_| {}).unwrap();
        let ranks = ranks.with_queue(Box::new(Recording { record: Rc::clone(&record), encoder }));
        let double = |value: f64| Tensor::full([], value, (Kind::Double, Device::Cpu));
        let weights = TermWeights { divergence: double(0.1), prior, magnitude: 0.1, variation: 0.1, snr: double(1.0), warm: false };
        let step = Step {
            assembly: &assembly,
            inputs: &inputs,
            bank: &bank,
            classes: Some(&classes),
            ranks: &ranks,
            weights: &weights,
            draws: Draws { seed: 1, epoch: 1, attempt: 0, batch: 0 },
            box_px: crate::tiny_set::SIZE,
            injected: None,
        };
        let whole: Vec<usize> = (0..8).collect();
        assert!(step.gradients(&particles.batch(&whole), &whole, &|_| false).is_some());
        let record = record.borrow();
        let place_of = |numbers| {
            let places: Vec<usize> = (0..record.len()).filter(|&i| record[i].0 == Queued::Sum(numbers)).collect();
            assert_eq!(places.len(), 1, "a sum of {numbers} numbers in {record:?}");
            places[0]
        };
        let (decoder, encoder) = (place_of(numbers(&assembly, false)), place_of(numbers(&assembly, true)));
        let small = record[..decoder].iter().filter(|(what, _)| *what != Queued::Wait).count();
        assert_eq!(small, if prior > 0.0 { 3 } else { 1 }, "the prior needs the others' latents: {record:?}");
        assert!(!record[decoder].1 && record[encoder].1, "the encoder's pass is queued between the two halves' sums: {record:?}");
        assert!(
            !record[decoder..encoder].iter().any(|(what, _)| *what == Queued::Wait),
            "the encoder's pass waits for nothing: {record:?}"
        );
        assert!(record[encoder..].iter().any(|(what, _)| *what == Queued::Wait), "and all is waited for in the end: {record:?}");
    }
}
