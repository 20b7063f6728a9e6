//! A rank that runs out of memory takes smaller parts and goes on; the others wait, and the results stay.

use crate::ranks::{Ended, assert_same, complete, each, place, sub};
use crate::tiny_set::command;
use contract::*;
use opus_dsd_engine::training::{Faults, Injection, Outcome, Work};
use std::time::{Duration, Instant};

/// An effective batch is 8 images, a share 4 of them.
fn spec(place: &std::path::Path) -> TrainSpec {
    let mut spec = command(place);
    // With the prior, whose sums come after the decoder's have been begun.
    (spec.settings.epochs, spec.settings.warm_start, spec.settings.lamb, spec.settings.micro_batch) = (1, None, 0.5, 8);
    spec
}

fn outcome(ended: &Ended) -> TrainOutcome {
    match &ended.outcome {
        Ok(Outcome::Complete(outcome)) => outcome.clone(),
        Ok(Outcome::Stopped) => panic!("nobody asked to stop"),
        Err(problem) => panic!("{problem}"),
    }
}

fn hungry(at: &[usize], during: Work, above: usize) -> impl Fn(usize) -> Faults + Sync {
    move |rank| Faults { inject: at.contains(&rank).then_some((3, Injection::OutOfMemory { during, above })), ..Faults::default() }
}

#[test]
fn a_rank_without_memory_goes_on_in_smaller_parts() {
    let place = place();
    let spec = spec(place.path());
    let expected = complete(&sub(&spec, place.path(), "fed"), 2);
    let halved = &["with 4 images at a time: going on with 2", "with 2 images at a time: going on with 1"];
    let encoding = &["encoding 30 images at a time: going on with 15", "encoding 15 images at a time: going on with 7"];
    let cases: [(Work, &[usize], usize, &[&str]); 7] = [
        (Work::Decoding, &[1], 1, halved),
        (Work::Decoding, &[0], 2, &halved[..1]),
        (Work::Decoding, &[0, 1], 1, halved),
        // The decoder's gradients are being summed by then, and latents have been exchanged.
        (Work::EncoderBackward, &[1], 2, &halved[..1]),
        (Work::EncoderBackward, &[0, 1], 1, halved),
        (Work::Validation, &[1], 2, &halved[..1]),
        (Work::LastPass, &[0, 1], 10, encoding),
    ];
    for (during, ranks, above, said) in cases {
        let name = format!("{during:?} {ranks:?} {above}");
        let ended = each(&sub(&spec, place.path(), &name), 2, usize::MAX, &hungry(ranks, during, above));
        assert_same(&expected, &outcome(&ended[0]), &name);
        for (rank, ended) in ended.iter().enumerate() {
            let warnings: Vec<&String> = ended.warnings.iter().filter(|warning| warning.contains("out of memory")).collect();
            let said = if ranks.contains(&rank) { said } else { &[] };
            assert_eq!(warnings.len(), said.len(), "{name}, rank {rank}: {warnings:?}");
            for (warning, part) in warnings.iter().zip(said) {
                // The worker names the others.
                assert!(warning.contains(part) && warning.starts_with("rank 0: ") == (rank == 0), "{name}, rank {rank}: {warning}");
            }
        }
    }
}

#[test]
fn a_rank_that_has_no_room_for_one_image_ends_the_run() {
    let place = place();
    let spec = spec(place.path());
    for (during, rank) in [(Work::Decoding, 1), (Work::EncoderBackward, 0), (Work::LastPass, 1)] {
        let name = format!("{during:?} {rank}");
        let began = Instant::now();
        let ended = each(&sub(&spec, place.path(), &name), 2, usize::MAX, &hungry(&[rank], during, 0));
        let took = began.elapsed();
        let problem = |rank: usize| ended[rank].outcome.as_ref().err().unwrap_or_else(|| panic!("{name}: rank {rank} ended well"));
        assert_eq!(problem(rank).kind, Kind::Device, "{name}: {}", problem(rank));
        assert!(problem(rank).culprit.as_ref().unwrap().contains("one image"), "{name}: {}", problem(rank));
        assert!(problem(1 - rank).what.starts_with(World::LOST), "{name}: {}", problem(1 - rank));
        assert!(took < Duration::from_secs(60), "{name}: {took:?}");
    }
}
