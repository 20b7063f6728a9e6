//! Values that hold whatever the data are.

/// Latent dimensions where nothing is said, as the original's examples.
pub(crate) const ZDIM: usize = 8;
/// Images an optimiser step.
pub(crate) const BATCH: usize = 16;
/// Weight of the Kullback–Leibler term in nats, at noise variance 1.
pub(crate) const BETA: f64 = 0.1;
/// Minutes between checkpoints inside an epoch.
pub(crate) const CHECKPOINT_MINUTES: f64 = 10.0;
/// Seed of all random numbers.
pub(crate) const SEED: u64 = 0;
/// Name of the volume that is rewritten while training, without `.mrc`.
pub(crate) const PREVIEW: &str = "preview";
/// Points along a principal component.
pub(crate) const POINTS: usize = 10;
/// Maps that the variability is taken over: a deviation from 50 is right to a tenth.
pub(crate) const VARIABILITY: usize = 50;
