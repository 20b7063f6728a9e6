//! Every option of an analysis of a trained job.

use crate::settings::defaults::{POINTS, VARIABILITY};
use crate::settings::form::{Constant, Kind, field};
use crate::settings::said::grouping::Grouping;
use crate::settings::said::later::{Machine, MapsSaid, Redo, Trained};
use crate::settings::values::{JobEpoch, Labels, Ways, YesNo};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const INPUT: &str = "Input";
const STATES: &str = "States";
const RESULT: &str = "Result";

/// More maps tell no more of a voxel's deviation.
const MOST_VARIABILITY: u32 = 999;

/// What is said of an analysis.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AnalyseSaid {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) trained: Trained,
    /// Mask of a part of the molecule: how much of it is there in every state, and how it moves
    #[arg(long, value_name = "FILE", help_heading = INPUT, add = field(Kind::Mask, "Mask of a part"))]
    pub(crate) in_mask: Option<PathBuf>,

    /// Folder in which image stacks are looked for, where half maps need images that are no longer where the trained job found them
    #[arg(long, value_name = "DIR", help_heading = INPUT, add = field(Kind::Folder, "Folder of image stacks").advanced())]
    pub(crate) datadir: Option<PathBuf>,

    #[command(flatten, next_help_heading = STATES)]
    #[serde(flatten)]
    pub(crate) grouping: Grouping,
    /// Volumes along the first principal components of the latents as well: how many components, each a folder pc1, pc2 …
    #[arg(long, value_name = "N", help_heading = STATES, add = field(Kind::Int, "Principal components").from(0).to(64).default(Constant::Whole(0)).scipion("numPCs"))]
    pub(crate) pcs: Option<usize>,
    /// Volumes along ways through the particles between states, each a folder pathA-B: 1-2,2-3, or 1-3-2 over a state between
    #[arg(long, value_name = "A-B,…", help_heading = STATES, add = field(Kind::Text, "Ways between states"))]
    pub(crate) paths: Option<Ways>,
    /// Volumes along each component (from its 5th to its 95th percentile) and each way
    #[arg(long, value_name = "N", help_heading = STATES,
        add = field(Kind::Int, "Volumes a series").from(2).to(999).default(Constant::Whole(POINTS)).scipion("psamples"))]
    pub(crate) points: Option<usize>,
    /// Two independent half maps of every state from the particles themselves, at the images' pixel size, and the resolution to which they agree
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = STATES,
        add = field(Kind::Bool, "Half maps and resolution").default(Constant::Switch(false)))]
    pub(crate) halves: Option<YesNo>,
    /// Maps decoded at particles drawn at random, for the mean and deviation of every voxel; 0: none
    #[arg(long, value_name = "N", help_heading = STATES,
        add = field(Kind::Int, "Maps for the variability").from(0).to(MOST_VARIABILITY).default(Constant::Whole(VARIABILITY)).advanced())]
    pub(crate) variability: Option<usize>,
    /// Another job of the same particles, or another epoch of this one, to hold against it: how far clusters, latents and maps agree
    #[arg(long, value_name = "JOB[:EPOCH]", help_heading = STATES, add = field(Kind::Job, "Compare with"))]
    pub(crate) compare: Option<JobEpoch>,
    /// Seed of the clusters
    #[arg(long, value_name = "N", help_heading = STATES, add = field(Kind::Int, "Seed").from(0).decided("as the trained job").advanced())]
    pub(crate) seed: Option<u64>,

    #[command(flatten, next_help_heading = RESULT)]
    #[serde(flatten)]
    pub(crate) maps: MapsSaid,
    /// Columns of the particle file that come first among the colours of the report, by their labels: what a file of millions has room for
    #[arg(long, value_name = "LABEL,…", help_heading = RESULT, add = field(Kind::Text, "Colour by columns").advanced())]
    pub(crate) colour_by: Option<Labels>,
    /// Panels of images and reconstructions in the report
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", help_heading = RESULT,
        add = field(Kind::Bool, "Panels of images").default(Constant::Switch(true)).advanced())]
    pub(crate) plot: Option<YesNo>,

    #[command(flatten, next_help_heading = RESULT)]
    #[serde(flatten)]
    pub(crate) redo: Redo,

    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) machine: Machine,
}
