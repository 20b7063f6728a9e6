//! `results.json`: what a job has to show, rewritten by rename whenever it grows: after every epoch, at the clusters, after every map.

mod latents;

pub use latents::{Clustering, Comparison, CurvePoint, Drift, Nuisance, StateMatch};

use crate::Differences;
use serde::{Deserialize, Serialize};

/// Raised when a field changes its meaning.
pub const RESULTS_SCHEMA: u32 = 1;

/// The machine-readable answer of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`RESULTS_SCHEMA`].
    pub schema: u32,
    /// Whether everything that the job was to make is there.
    pub complete: bool,
    /// The job's verb.
    #[serde(default)]
    pub verb: String,
    /// The trained job that this one looks at, as it was named; none in a trained job itself.
    #[serde(default)]
    pub trained_job: Option<String>,
    /// The particles that this job looks at, where they are not all of the trained job's; absent where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ChosenRows>,
    /// Epochs trained.
    pub epoch: usize,
    /// Voxel size of the maps, Å.
    pub apix: f64,
    /// Box of the maps, voxels.
    #[serde(rename = "box")]
    pub box_px: usize,
    /// Where viewers find voxel 0 of the maps (x, y, z), Å: they lie over the map that the job was given.
    #[serde(default)]
    pub origin_angstrom: [f64; 3],
    /// Latent dimensions.
    #[serde(default)]
    pub zdim: usize,
    /// Particle STAR file, relative to the job folder; empty until the clusters are known.
    pub particles: String,
    /// `[particles, zdim]` f32 npy, row i = row i of the particles; relative to the job folder.
    #[serde(default)]
    pub latents: Option<String>,
    /// Sizes of the clusters, by class; they are known before the maps, and of particles that were only encoded there are no maps.
    #[serde(default)]
    pub clusters: Vec<ClusterSize>,
    /// UMAP of the latents, `[particles, 2]` f32 npy; relative to the job folder.
    #[serde(default)]
    pub umap: Option<String>,
    /// Folder of the newest checkpoint, relative to the job folder.
    #[serde(default)]
    pub weights: Option<String>,
    /// The mean volume of the newest epoch, relative to the job folder.
    #[serde(default)]
    pub preview: Option<String>,
    /// One entry a state; they come one by one.
    pub volumes: Vec<StateVolume>,
    /// Volumes along principal components, and along ways between states.
    #[serde(default)]
    pub series: Vec<Series>,
    /// What the data support of each state; empty where no half maps were asked for.
    #[serde(default)]
    pub halves: Vec<StateHalves>,
    /// The states beside their consensus; none where they were not compared.
    #[serde(default)]
    pub differences: Option<Differences>,
    /// How the clusters were made; none until they are.
    #[serde(default)]
    pub clustering: Option<Clustering>,
    /// What the latents know that they should not; empty until the report is made.
    #[serde(default)]
    pub nuisances: Vec<Nuisance>,
    /// Share of particles that lie outside all crowds of the latents.
    #[serde(default)]
    pub outlier_share: Option<f64>,
    /// How far the latents moved, epoch by epoch.
    #[serde(default)]
    pub drift: Vec<Drift>,
    /// Another job or epoch, held against this one, where that was asked for.
    #[serde(default)]
    pub comparison: Option<Comparison>,
    /// Figures, relative to the job folder.
    pub plots: Vec<String>,
}

/// Particles that a selection took of a trained job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenRows {
    /// File with their row numbers in the trained job's particles, from 1, one a line in the order of this job's particles; relative to the job
    /// folder.
    pub rows: String,
    /// Particles of the trained job.
    pub of: usize,
    /// Folder of the selection, as it was named.
    pub selection: String,
}

/// Particles of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSize {
    /// Cluster, from 1.
    pub class: usize,
    /// Particles in it.
    pub n: usize,
}

/// Maps of two disjoint halves of the particles near a state, and how far they agree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateHalves {
    /// Cluster, from 1.
    pub class: usize,
    /// Number of particles of weight 1 that carry as much: (Σw)² / Σw².
    pub effective_particles: f64,
    /// Voxel size of the maps, Å.
    pub apix: f64,
    /// Box of the maps, voxels.
    #[serde(rename = "box")]
    pub box_px: usize,
    /// Where the corrected correlation falls below 0.143, Å; none where the halves do not agree at all.
    pub resolution_angstrom: Option<f64>,
    /// Where it falls below 0.5, Å.
    pub resolution_half_angstrom: Option<f64>,
    /// Median of the local resolution inside the mask, Å.
    pub local_resolution_median_angstrom: Option<f64>,
    /// B-factor that `map` is sharpened by, Å²: negative sharpens.
    pub b_factor_angstrom2: Option<f64>,
    /// Correlation of the halves inside the mask, corrected for the mask, in Fourier shells 0..=box/2.
    pub fsc: Vec<f64>,
    /// Correlation of the state's decoded map with the mean of the halves inside the mask, in the same shells.
    #[serde(default)]
    pub decoded_fsc: Vec<f64>,
    /// Where that falls below 0.5, Å; none where they agree nowhere.
    #[serde(default)]
    pub decoded_agrees_angstrom: Option<f64>,
    /// First unfiltered half map, relative to the job folder, as are the following.
    pub first: String,
    /// Second unfiltered half map.
    pub second: String,
    /// Mean of the halves, weighted by their agreement, sharpened, low-passed.
    pub map: String,
    /// Local resolution, Å.
    pub local_resolution: String,
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

/// Volumes along a way through the latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// For people and as folder name: `pc1`, `path1-2`.
    pub name: String,
    /// In order.
    pub volumes: Vec<SeriesVolume>,
}

/// A map of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesVolume {
    /// Map file, relative to the job folder.
    pub file: String,
    /// Latent that was decoded.
    pub z: Vec<f32>,
}
