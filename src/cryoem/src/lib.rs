//! Cryo-EM formats, particles, geometry, CTF, volumes and image preparation.

mod atomic;
pub mod fft;
pub mod mrc;
pub mod volume;
