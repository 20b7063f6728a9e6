//! Every option of a decoding job.

use crate::settings::defaults::POINTS;
use crate::settings::form::{Constant, Kind, field};
use crate::settings::said::later::{Machine, MapsSaid, Redo, Trained};
use crate::settings::values::Stops;
use clap::{ArgGroup, Args};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const WHICH: &str = "Which volumes";
const MAPS: &str = "Maps";

/// What is said of the volumes that are wanted.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(group = ArgGroup::new("what").required(true))]
pub(crate) struct DecodeSaid {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) trained: Trained,

    /// Latents to decode, one a row: a NumPy file (.npy) or text with blanks or commas
    #[arg(long, value_name = "FILE", group = "what", help_heading = WHICH, add = field(Kind::File, "File of latents"))]
    pub(crate) zfile: Option<PathBuf>,
    /// Points along this principal component of all latents, from 1, between its 5th and 95th percentile
    #[arg(long, value_name = "K", group = "what", help_heading = WHICH, add = field(Kind::Int, "Principal component").from(1))]
    pub(crate) pc: Option<usize>,
    /// A way through the particles between states (their numbers, from 1) or particles (p and their number, from 1): 1,3 or 2,p25,4
    #[arg(long, value_name = "A,B", group = "what", help_heading = WHICH, add = field(Kind::Text, "Way between states"))]
    pub(crate) path: Option<Stops>,
    /// Number of points along the component or the way
    #[arg(long, value_name = "N", help_heading = WHICH, add = field(Kind::Int, "Points along it").from(1).default(Constant::Whole(POINTS)))]
    pub(crate) points: Option<usize>,
    /// Particles whose latents are decoded, from 1 as their rows in particles.star: 1,25,50, or a file with one a line
    #[arg(long, value_name = "LIST|FILE", group = "what", help_heading = WHICH, add = field(Kind::Text, "Numbers of particles"))]
    pub(crate) particles: Option<String>,

    #[command(flatten, next_help_heading = MAPS)]
    #[serde(flatten)]
    pub(crate) maps: MapsSaid,

    #[command(flatten, next_help_heading = MAPS)]
    #[serde(flatten)]
    pub(crate) redo: Redo,

    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) machine: Machine,
}
