//! What a job is to do: what the guard was told, and hands to the worker as a line of JSON.

use crate::settings::said::TrainSaid;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the guard hands to the worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The job folder.
    pub(crate) folder: PathBuf,
    /// The same as the host names it, with its closing slash.
    pub(crate) folder_name: String,
    /// What the user said.
    pub(crate) said: TrainSaid,
    /// The command line, for the record.
    pub(crate) command: Vec<String>,
    /// Remarks about the command line, for run.out.
    pub(crate) notes: Vec<String>,
}
