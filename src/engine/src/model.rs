//! The model: what an image says about its particle (encoder), what the particle looks like (decoder), and how that would have been
//! seen (projector, CTF), with the terms of the loss.
//!
//! Nothing here reads files, knows of epochs, or loops over images: every function takes a batch. Shapes are written as
//! `[batch, z, y, x]`; volumes are indexed `[z][y][x]`, images `[y][x]`, points are `(x, y, z)`. What differs between the original program
//! and its mended form (`contract::Numerics`, `contract::ModelLayout`) is a value, so that the golden numbers of the original test the
//! kernels that the product runs.

pub mod bank;
pub mod batches;
pub mod ctf;
pub mod decoder;
pub mod encoder;
pub mod fourier;
pub mod geometry;
pub mod layers;
pub mod lift;
pub mod loss;
pub mod prior;
pub mod projector;
pub mod schedules;
pub mod slices;
pub mod smoothing;
pub mod tuning;
pub mod volume;
pub mod volume_priors;
