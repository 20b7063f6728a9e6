//! Hand-written kernels of what libtorch has no operator for.

pub mod cuda;
pub mod lift;
pub mod priors;
mod processor;
pub mod projection;
pub mod slices;
pub mod smoothing;
mod tensors;
mod threads;
