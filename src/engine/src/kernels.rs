//! Hand-written kernels of what libtorch has no operator for.

pub mod cuda;
pub mod projection;
mod threads;
