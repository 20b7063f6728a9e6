//! What a job is to do: what the guard was told, and hands to the worker as a line of JSON.

mod harm;

use crate::machine::launch::Launch;
use crate::settings::said::{AnalyseSaid, CheckSaid, DecodeSaid, EncodeSaid, ImportSaid, SelectSaid, TrainSaid};
use contract::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A verb that is a job, and what the user said of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "verb", content = "said", rename_all = "lowercase")]
pub(crate) enum Order {
    /// Train on particles, then find and show the states.
    Train(Box<TrainSaid>),
    /// Find and show the states of a trained job.
    Analyse(AnalyseSaid),
    /// Volumes of given latents of a trained job.
    Decode(DecodeSaid),
    /// Latents of any particles by a trained model.
    Encode(Box<EncodeSaid>),
    /// Particles of a trained job.
    Select(SelectSaid),
    /// Whether input belongs together.
    Check(Box<CheckSaid>),
    /// A run of the original as a trained job.
    Import(ImportSaid),
}

impl Order {
    /// The verb.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Train(_) => "train",
            Self::Analyse(_) => "analyse",
            Self::Decode(_) => "decode",
            Self::Encode(_) => "encode",
            Self::Select(_) => "select",
            Self::Check(_) => "check",
            Self::Import(_) => "import",
        }
    }

    /// The job folder, where it is named.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Train(said) => said.folder().map(PathBuf::as_path),
            Self::Analyse(said) => Some(&said.trained.o),
            Self::Decode(said) => Some(&said.trained.o),
            Self::Encode(said) => Some(&said.o),
            Self::Select(said) => Some(&said.o),
            Self::Check(said) => said.folder().map(PathBuf::as_path),
            Self::Import(said) => Some(&said.o),
        }
    }

    /// This process among those that a cluster's launcher started for the job; `None`: it stands for itself.
    ///
    /// # Errors
    /// The launcher's variables contradict each other.
    pub(crate) fn launch(&self) -> Result<Option<Launch>> {
        match self {
            Self::Train(said) => said.launch(),
            _ => Ok(None),
        }
    }

    /// Threads, where they are said.
    pub(crate) fn threads(&self) -> Option<usize> {
        match self {
            Self::Train(said) => said.threads,
            Self::Analyse(said) => said.machine.threads,
            Self::Decode(said) => said.machine.threads,
            Self::Encode(said) => said.machine.threads,
            Self::Select(said) => said.threads,
            Self::Check(said) => said.threads,
            Self::Import(said) => said.threads,
        }
    }

    /// Takes a number of threads where none was said.
    pub(crate) fn set_threads(&mut self, threads: usize) {
        match self {
            Self::Train(said) => said.threads = Some(threads),
            Self::Analyse(said) => said.machine.threads = Some(threads),
            Self::Decode(said) => said.machine.threads = Some(threads),
            Self::Encode(said) => said.machine.threads = Some(threads),
            Self::Select(said) => said.threads = Some(threads),
            Self::Check(said) => said.threads = Some(threads),
            Self::Import(said) => said.threads = Some(threads),
        }
    }

    /// Folder below which the prepared images go, where one is said.
    pub(crate) fn scratch(&self) -> Option<&Path> {
        match self {
            Self::Train(said) => said.scratch.as_deref(),
            Self::Encode(said) => said.scratch.as_deref(),
            _ => None,
        }
    }

    /// # Errors
    /// What can be told wrong before any file is read.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Train(said) => said.check(),
            Self::Analyse(said) => said.trained.folder().map(|_| ()),
            Self::Decode(said) => said.trained.folder().map(|_| ()),
            Self::Encode(said) => said.trained_job().map(|_| ()),
            Self::Select(said) => said.check(),
            Self::Check(_) => Ok(()),
            Self::Import(said) => said.folder().map(|_| ()),
        }
    }
}

/// What the guard hands to the worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The job folder.
    pub(crate) folder: PathBuf,
    /// The same as the host names it, with its closing slash.
    pub(crate) folder_name: String,
    /// What to do.
    pub(crate) order: Order,
    /// The command line, for the record.
    pub(crate) command: Vec<String>,
    /// Remarks about the command line, for run.out.
    pub(crate) notes: Vec<String>,
}
