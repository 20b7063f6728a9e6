//! What the program learns, held against the truth: the real executables on small simulated sets, with preset tiny.
//!
//! Index: `learning` (latents, maps and costs against floors) · `groups` (optics groups that differ) · `bias` (what is left of the images when
//! the map is taken away) · `held_out` (particles that the model never saw) · `mutations` (faults that the floors must catch). Helpers: `runs` (sets and jobs, each run once), `scores` (latents
//! and maps against the truth), `edits` (sets with a fault), `engine` (the engine with settings that the command line does not offer),
//! `rendering` (a projector of its own).
//!
//! Sets that are too large for the repository are read from the folder that `OPUS_DSD_EXTRA_DATA` names; tests that need them say SKIPPED
//! where it is absent.

#[path = "science/bias.rs"]
mod bias;
#[path = "science/edits.rs"]
mod edits;
#[path = "science/engine.rs"]
mod engine;
#[path = "science/groups.rs"]
mod groups;
#[path = "science/held_out.rs"]
mod held_out;
#[path = "science/learning.rs"]
mod learning;
#[path = "science/mutations.rs"]
mod mutations;
#[path = "science/rendering.rs"]
mod rendering;
#[path = "science/runs.rs"]
mod runs;
#[path = "science/scores.rs"]
mod scores;
#[path = "support/skip.rs"]
mod skip;
