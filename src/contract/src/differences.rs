//! How the states of a job differ from their consensus and from each other, as `results.json` tells it.

use serde::{Deserialize, Serialize};

/// The states beside their consensus. Files are relative to the job folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// The map that the states are compared with, on their grid, masked and low-passed as the differences are.
    pub consensus: String,
    /// The finest detail that is compared, Å.
    pub detail_angstrom: f64,
    /// One entry a state.
    pub states: Vec<StateDifference>,
    /// The part of the molecule that was asked about; none where no mask was given.
    #[serde(default)]
    pub region: Option<Region>,
    /// How much every voxel varies over the particles; none where that was not asked for.
    #[serde(default)]
    pub variability: Option<VoxelVariability>,
}

/// A state less the consensus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateDifference {
    /// Cluster, from 1.
    pub class: usize,
    /// The state in the consensus' grey scale, less the consensus.
    pub map: String,
    /// Root mean square of the difference over that of the consensus, inside the solvent mask.
    pub of_consensus: f64,
}

/// A part of the molecule in every state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The mask, as it was given.
    pub mask: String,
    /// The state with the most of it, over all levels; 0: not told.
    #[serde(default)]
    pub fullest: usize,
    /// One entry a state.
    pub occupancy: Vec<StateOccupancy>,
    /// What the part does between two states.
    pub motions: Vec<Motion>,
}

/// How much of a part is there in a state, at several contour levels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateOccupancy {
    /// Cluster, from 1.
    pub class: usize,
    /// By rising level.
    pub levels: Vec<LevelOccupancy>,
}

/// How much of a part is there at one contour level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelOccupancy {
    /// The level as a part of the density in the consensus' midst.
    pub of_core: f64,
    /// The level in the consensus' grey scale.
    pub level: f64,
    /// Volume of the part above the level, Å³.
    pub volume_angstrom3: f64,
    /// The same as a part of the mask (values of ½ and more).
    pub of_region: f64,
    /// The same as a part of what the fullest state has there; none where that has nothing.
    #[serde(default)]
    pub of_fullest: Option<f64>,
}

/// The rigid motion that lays a part in one state over the same part in another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Motion {
    /// Cluster, from 1, that the motion starts from.
    pub from: usize,
    /// Cluster that it leads to.
    pub to: usize,
    /// Rotation, degrees.
    pub angle_deg: f64,
    /// Its axis (x, y, z), of length 1.
    pub axis: [f64; 3],
    /// Shift of the part's centre (x, y, z), Å.
    pub shift_angstrom: [f64; 3],
    /// The part's centre before (x, y, z from voxel n/2), Å.
    pub centre_angstrom: [f64; 3],
    /// Correlation inside the mask as the maps lie.
    pub correlation_before: f64,
    /// The same after the motion.
    pub correlation_after: f64,
}

/// Mean and deviation of every voxel over maps decoded at particles drawn at random.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VoxelVariability {
    /// Number of maps.
    pub maps: usize,
    /// Their mean.
    pub mean: String,
    /// Standard deviation of every voxel.
    pub deviation: String,
}
