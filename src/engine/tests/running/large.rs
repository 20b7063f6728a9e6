//! Many particles: what the engine holds of each, while it trains and after it has gone on from a checkpoint.
//!
//! A million are tried by hand: `OPUS_DSD_LARGE_TRAINING=1000000 cargo test --release -p opus-dsd-engine --test running large -- --nocapture`;
//! docs/benchmarks/memory.md has the outcome.

use crate::session::start;
use crate::tiny_set::command_of;
use contract::memory::{Cache, MOST_CACHED_BYTES};
use contract::{Command, Event};

/// What the engine takes with hardly any particles: libtorch, networks and a step.
const FIXED_BYTES: u64 = 500 << 20;
/// Resident bytes a particle besides what is kept on purpose: table, order of the epoch, latents, bank and scores, each with the copies that
/// a checkpoint is written from and read into.
const PARTICLE_BYTES: u64 = 700;

#[test]
fn what_is_resident_is_what_a_particle_must_have() {
    let particles = std::env::var("OPUS_DSD_LARGE_TRAINING").map_or(500, |text| text.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let mut spec = command_of(place.path(), particles);
    // The prior draws from the bank; metrics come often.
    (spec.settings.lamb, spec.settings.layout.zdim, spec.settings.log_interval) = (0.5, 8, 40);
    spec.settings.warm_start = spec.settings.warm_start.map(|warm| contract::WarmStart { epochs: 0.0, ..warm });
    let kept = Cache::within(&spec.settings.layout, particles, MOST_CACHED_BYTES).bytes;
    for run in ["first run", "gone on"] {
        let mut engine = start();
        engine.send(&Command::Train(Box::new(spec.clone())));
        // A few steps, and a checkpoint in the middle of the epoch.
        for _ in 0..4 {
            engine.until(|event| matches!(event, Event::Metric { .. }));
        }
        engine.send(&Command::Stop);
        engine.until(|event| matches!(event, Event::Stopped));
        let most = engine.most_resident_bytes();
        println!("{particles} particles, {run}: {:.0} MB at most, of which {:.0} MB are kept images", most as f64 / 1e6, kept as f64 / 1e6);
        let allowed = FIXED_BYTES + kept + PARTICLE_BYTES * particles as u64;
        assert!(most < allowed, "{run}: {most} bytes of {particles} particles, {allowed} are allowed");
    }
}
