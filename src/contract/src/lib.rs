//! What the parts of `opus-dsd` say to each other.
//!
//! Everything here is plain data with serde on it: problems (errors with culprit and hint), the prepared data set, decided training
//! settings, the commands and events of the engine, and the results that a job leaves. No part of the program reaches another part
//! but through these types and the files that they name. Tensors never travel in JSON, only paths of arrays on disk.

mod differences;
mod engine;
mod form;
pub mod memory;
mod prepared;
mod problem;
pub mod protocol;
mod results;
mod training;

pub use differences::{Differences, LevelOccupancy, Motion, Region, StateDifference, StateOccupancy, VoxelVariability};
pub use engine::{AdoptSpec, Command, DecodeSpec, Device, EncodeSpec, Event, LossTerms, MapForm, TrainOutcome, TrainSpec, World};
pub use form::{OTHER_FORM, require_form};
pub use prepared::{GroupSummary, PREPARED_SCHEMA, Prepared};
pub use problem::{Kind, Problem, Result};
pub use results::{
    ChosenRows, ClusterSize, Clustering, Comparison, CurvePoint, Drift, Nuisance, RESULTS_SCHEMA, Results, Series, SeriesVolume,
    StateHalves, StateMatch, StateVolume,
};
pub use training::{
    BaseVolume, EncoderGrid, EncoderInput, Guards, Hypotheses, LearningRate, ModelLayout, Numerics, Precision, ProjectionRoute, ResizeAt,
    Schedule, TrainSettings, WarmStart, Width,
};

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names the environment variables by which the worker tells the engine its two pipes (file descriptor numbers).
pub mod pipes {
    /// Commands are read from this descriptor, one JSON object a line.
    pub const COMMANDS: &str = "OPUS_DSD_COMMANDS_FD";
    /// Events are written to this descriptor, one JSON object a line.
    pub const EVENTS: &str = "OPUS_DSD_EVENTS_FD";
}
