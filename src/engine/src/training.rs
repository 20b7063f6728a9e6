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
use tch::{Device, Kind, Tensor};

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
    /// Work on more than so many images at a time needs more memory than there is.
    OutOfMemory {
        /// Which work.
        during: Work,
        /// Images that fit.
        above: usize,
    },
}

/// What can run out of memory and be done again in smaller parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A part of a batch, from its latents to its loss.
    Decoding,
    /// The way back through the encoder, after which all its gradients are there.
    EncoderBackward,
    /// The validation images.
    Validation,
    /// The last pass over all particles.
    LastPass,
}

impl Injection {
    /// Asks for more memory than any machine has, where the fault is that.
    pub(crate) fn starve(injected: Option<Self>, work: Work, images: usize, device: Device) {
        if let Some(Self::OutOfMemory { during, above }) = injected
            && during == work
            && images > above
        {
            drop(Tensor::empty([i64::MAX / 1024], (Kind::Uint8, device)));
        }
    }
}
