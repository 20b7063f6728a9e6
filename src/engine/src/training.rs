//! Training: who is seen when, what is minimised, what is kept, and what to do when the numbers go wrong.

pub mod batches;
pub mod checkpoint;
pub mod ground;
pub mod guards;
pub mod inputs;
pub mod meters;
pub mod monitor;
pub mod optimiser;
pub mod reduction;
pub mod resume;
pub mod step;
pub mod trainer;

pub use trainer::train;

use contract::TrainOutcome;

/// How a training command ended.
pub enum Outcome {
    /// All epochs are done and all particles encoded.
    Complete(TrainOutcome),
    /// Stopped as asked, after a checkpoint.
    Stopped,
}

/// Faults that tests inject; the program itself always passes the default, which is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// What goes wrong from which optimiser step on.
    pub inject: Option<(u64, Injection)>,
    /// Whether it goes wrong again after a roll-back.
    pub again: bool,
    /// Batches whose figures are read together, other than the device asks for.
    pub read_together: Option<usize>,
}

/// What can be made to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// The decoder's output is not a number.
    NonFiniteLoss,
    /// The encoder's log standard deviations jump far beyond their bounds.
    RunawayLogStd,
    /// The latents carry nothing.
    DeadLatents,
    /// The decoded volume grows a thousandfold.
    ExplodingVolume,
    /// Decoding more than so many images at a time needs more memory than there is.
    OutOfMemory {
        /// Images that fit.
        above: usize,
    },
}
