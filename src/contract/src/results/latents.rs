//! What a job says of its latents: how they were divided, what they encode, how they moved, how they compare with another's.

use serde::{Deserialize, Serialize};

/// How the clusters were made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clustering {
    /// `kmeans` or `mixture`.
    pub method: String,
    /// Clusters that there are.
    pub clusters: usize,
    /// Whether their number was chosen here rather than said.
    pub chosen: bool,
    /// Why this number, in a sentence.
    pub reason: String,
    /// What speaks for each number of clusters, from 1 on.
    pub curve: Vec<CurvePoint>,
    /// Mean probability of the particles' own clusters; of mixtures only.
    #[serde(default)]
    pub mean_certainty: Option<f64>,
}

/// What speaks for a number of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Number of clusters.
    pub k: usize,
    /// Share of the latents' variance that lies inside the clusters, 1 for one cluster: the elbow curve.
    pub within: f64,
    /// Mean silhouette: near 1 where particles lie much nearer to their own cluster than to the next, 0 where they do not. 0 for one cluster.
    pub silhouette: f64,
}

/// Something that is not structure, and what the latents know of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nuisance {
    /// For people: `view direction`, `defocus`, `optics group`, `micrograph`.
    pub name: String,
    /// How well it is read from the latents, 0 (as by chance) to 1: of numbers the cross-validated R², of groups the part of the way from chance to
    /// all neighbours being of the own group.
    pub told: f64,
    /// `told` above which a warning comes.
    pub told_limit: f64,
    /// Share of the latents' variance that it explains.
    pub share: f64,
    /// `share` above which a warning comes.
    pub share_limit: f64,
    /// Whether a warning came.
    pub noteworthy: bool,
}

/// How far the latents moved in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The epoch, compared with the one before.
    pub epoch: usize,
    /// Linear centred kernel alignment: 1 where the latents are those of the epoch before, turned, shifted or scaled at most.
    pub alignment: f64,
    /// Share of a particle's nearest neighbours that stayed.
    pub neighbours: f64,
}

/// Another look at the same particles, held against this one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The other job's folder, as it was named.
    pub job: String,
    /// Its epoch.
    pub epoch: usize,
    /// Particles that both have.
    pub particles: usize,
    /// Linear centred kernel alignment of the latents: 1 for a turned, shifted or scaled copy, near 0 for unrelated ones.
    pub alignment: f64,
    /// Share of a particle's nearest neighbours in latent space that are the same in both.
    pub neighbours: f64,
    /// The same for unrelated latents.
    pub neighbours_by_chance: f64,
    /// Adjusted Rand index of the clusters: 1 for equal ones, 0 for unrelated ones.
    pub rand_index: f64,
    /// Adjusted mutual information of the clusters: the same, kinder where one set is finer.
    pub mutual_information: f64,
    /// Share of particles that lie in matched clusters.
    pub kept: f64,
    /// Clusters that belong together: the assignment that keeps most particles.
    pub matches: Vec<StateMatch>,
    /// What it means, in a sentence.
    pub conclusion: String,
}

/// A cluster here and the one there that it corresponds to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateMatch {
    /// Cluster here, from 1.
    pub here: usize,
    /// Cluster there, from 1.
    pub there: usize,
    /// Particles in both.
    pub shared: usize,
    /// These as a share of the particles in either.
    pub overlap: f64,
    /// Correlation of the two maps inside the mask.
    pub map_correlation: f64,
    /// Correlation inside the mask of what sets each map apart from the mean of its job's maps, which is what the states are about; none where one of the
    /// two has no mean to differ from.
    pub difference_correlation: Option<f64>,
}
