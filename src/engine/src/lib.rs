//! The engine of `opus-dsd`: libtorch lives here and nowhere else.

pub mod assembly;
pub mod data;
pub mod decode;
pub mod devices;
pub mod encode;
pub mod model;
pub mod scene;
pub mod session;
pub mod torch;
pub mod training;
