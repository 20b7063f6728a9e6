//! The engine at work on a small set.
//!
//! Index: `training` (repeatable, resumable, guarded) · `decode_encode` (from a checkpoint alone) · `session` (as a process) ·
//! `ranks` (several train as one) · `hungry_ranks` (one lacks memory) · `processes` (as processes of their own) ·
//! `overlap` (what waits for whose sums) · `large` (many particles) · `bench` (figures that hang together).

#[path = "support/model.rs"]
mod model;
#[path = "../../../tests/support/skip.rs"]
mod skip;

#[path = "running/bench.rs"]
mod bench;
#[path = "running/decode_encode.rs"]
mod decode_encode;
#[path = "running/hungry_ranks.rs"]
mod hungry_ranks;
#[path = "running/large.rs"]
mod large;
#[path = "running/overlap.rs"]
mod overlap;
#[path = "running/processes.rs"]
mod processes;
#[path = "running/ranks.rs"]
mod ranks;
#[path = "running/session.rs"]
mod session;
#[path = "running/tiny_set.rs"]
mod tiny_set;
#[path = "running/training.rs"]
mod training;
