//! What the original leaves of a training run: `config.pkl`, `weights.N.pkl` and `z.N.pkl`, of both of its revisions.
//!
//! The first revision encodes on a grid of 110³ and resamples its decoder at 32³; the second encodes on the crop's grid, resamples at 16³
//! and learns a correction of the pose. The layers' names and shapes tell which of the two wrote a file.

mod config;
mod latents;
mod weights;

pub use config::Config;
pub use latents::read_latents;
pub use weights::{Weights, embedded};

/// The two revisions of the original whose files are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// Version 0.3: grid of 110³, no correction of the pose, maps without a mask.
    First,
    /// Version 1: grid of the crop, a learned correction of the pose, maps under the mask.
    Second,
}
