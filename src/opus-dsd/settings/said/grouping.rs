//! How latents are divided into clusters; shared by all verbs that do so.

use crate::settings::form::{Constant, Kind, field};
use crate::settings::said::train::MOST_CLUSTERS;
use crate::settings::values::ClusterMethod;
use clap::Args;
use serde::{Deserialize, Serialize};

/// Clusters; their heading is that of where they are used.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Grouping {
    /// Clusters, each with a STAR file and a map
    #[arg(long, value_name = "K",
        add = field(Kind::Int, "Clusters").from(1).to(MOST_CLUSTERS).decided("from the latents: as many as are parted, else one for every 250 particles, 4 to 12").scipion("ksamples"))]
    pub(crate) clusters: Option<usize>,
    /// How clusters are made
    #[arg(long, value_name = "WORD", value_enum,
        add = field(Kind::Choice, "Method of clustering").default(Constant::Word("kmeans")).advanced())]
    pub(crate) cluster_method: Option<ClusterMethod>,
}
