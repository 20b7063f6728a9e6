//! The engine of `opus-dsd`: libtorch lives here and nowhere else.

pub mod adopt;
pub mod assembly;
pub mod bench;
pub mod data;
pub mod decode;
pub mod devices;
pub mod encode;
pub mod kernels;
pub mod link;
pub mod model;
pub mod native;
#[cfg(test)]
#[path = "../tests/support/nvrtc.rs"]
mod nvrtc;
pub mod scene;
pub mod session;
#[cfg(test)]
#[path = "../../../tests/support/skip.rs"]
mod skip;
pub mod torch;
pub mod training;
pub mod world;

/// Identifies the sources that this engine was built from; the front carries the same one or refuses it.
pub const BUILD_ID: &str = env!("OPUS_DSD_BUILD_ID");
