//! Cryo-EM formats, particles, geometry, CTF, volumes and image preparation.

mod atomic;
pub mod cryosparc;
pub mod ctf;
pub mod fft;
pub mod geometry;
pub mod healpix;
pub mod legacy;
mod mapped;
pub mod mask;
pub mod mrc;
pub mod particles;
pub mod prepare;
pub mod random;
pub mod simulate;
#[cfg(test)]
#[path = "../../../tests/support/skip.rs"]
mod skip;
pub mod subset;
pub mod volume;
