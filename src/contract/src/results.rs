//! `results.json`: what a job has to show, rewritten by rename whenever it grows.

use serde::{Deserialize, Serialize};

/// Raised when a field changes its meaning.
pub const RESULTS_SCHEMA: u32 = 1;

/// The machine-readable answer of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`RESULTS_SCHEMA`].
    pub schema: u32,
    /// Whether everything that the job was to make is there.
    pub complete: bool,
    /// Epochs trained.
    pub epoch: usize,
    /// Voxel size of the maps, Å.
    pub apix: f64,
    /// Box of the maps, voxels.
    #[serde(rename = "box")]
    pub box_px: usize,
    /// Particle STAR file, relative to the job folder.
    pub particles: String,
    /// One entry a state.
    pub volumes: Vec<StateVolume>,
    /// Figures, relative to the job folder.
    pub plots: Vec<String>,
}

/// A state's map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateVolume {
    /// Map file, relative to the job folder.
    pub file: String,
    /// Cluster, from 1.
    pub class: usize,
    /// Particles in the cluster.
    pub n: usize,
    /// Latent that was decoded.
    pub z: Vec<f32>,
}
