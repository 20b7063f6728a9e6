//! The engine of `opus-dsd`: libtorch lives here and nowhere else.

pub mod model;
pub mod torch;
