//! Cryo-EM formats, particles, geometry, CTF, volumes and image preparation.

mod atomic;
pub mod ctf;
pub mod fft;
pub mod geometry;
pub mod healpix;
pub mod mrc;
pub mod random;
pub mod volume;
