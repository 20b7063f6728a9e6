//! What a job is to do: what the guard was told, and hands to the worker as a line of JSON.

use super::stages::base::{BASE, MASK};
use super::stages::cluster::{LATENTS, PARTICLES, SELECTED};
use super::{presence, results};
use crate::machine::launch::Launch;
use crate::settings::said::{AnalyseSaid, CheckSaid, DecodeSaid, EncodeSaid, ImportSaid, SelectSaid, TrainSaid};
use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Results that jobs leave under names which a user's own files may have.
const FIRST_FILES: [&str; 5] = [PARTICLES, LATENTS, SELECTED, BASE, MASK];

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
            Self::Train(said) if said.ranks.is_none() => Launch::of_this_process(),
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

    /// Files that are read, with the options that name them.
    fn inputs(&self) -> Vec<(&'static str, &Path)> {
        let (particles, mask, map, images) = match self {
            Self::Train(said) => (said.input(), said.in_mask.as_ref(), said.in_3dref.as_ref(), Some(&said.images)),
            Self::Analyse(said) => (None, said.in_mask.as_ref(), None, None),
            Self::Encode(said) => (Some(&said.in_parts), None, None, Some(&said.images)),
            Self::Check(said) => (Some(&said.in_parts), said.in_mask.as_ref(), said.in_3dref.as_ref(), Some(&said.images)),
            Self::Import(said) => (said.in_parts.as_ref(), None, None, None),
            Self::Decode(_) | Self::Select(_) => (None, None, None, None),
        };
        let images = images.map(|said| [("--passthrough", &said.passthrough), ("--poses", &said.poses), ("--ctf", &said.ctf)]);
        let images = images.into_iter().flatten().filter_map(|(option, file)| Some((option, file.as_ref()?)));
        let files = [("--in_parts", particles), ("--in_mask", mask), ("--in_3dref", map)];
        let files = files.into_iter().filter_map(|(option, file)| Some((option, file?)));
        files.chain(images).map(|(option, file)| (option, file.as_path())).collect()
    }

    /// Why the job must not even touch its folder: it is that of the trained job, holds the results of another verb, or files that are not the
    /// job's own and whose place its results would take.
    pub(crate) fn harm_to_folder(&self) -> Option<Problem> {
        let folder = self.folder()?;
        let trained = match self {
            Self::Train(_) | Self::Check(_) => None,
            Self::Analyse(said) => said.trained.folder().ok(),
            Self::Decode(said) => said.trained.folder().ok(),
            Self::Encode(said) => said.trained_job().ok(),
            Self::Select(said) => said.trained_job().ok(),
            Self::Import(said) => said.folder().map(Path::to_path_buf).ok(),
        };
        if let Some((Ok(a), Ok(b))) = trained.map(|trained| (trained.canonicalize(), folder.canonicalize()))
            && a == b
        {
            return Some(Problem::input("is the trained job itself").at("`--o`").hint("name another folder; a trained job is not changed"));
        }
        if let Some((option, file)) = self.inputs().into_iter().find(|(_, file)| lies_in(file, folder)) {
            return Some(
                Problem::input("lies in the job folder, where the job's own files would take its place")
                    .at(format!("`{option} {}`", file.display()))
                    .hint(format!("name a folder for the job alone: `--o {}`", folder.join("job001/").display())),
            );
        }
        if let Some(file) = FIRST_FILES.iter().map(|name| folder.join(name)).find(|file| file.exists())
            && ![presence::FILE, results::RESULTS].iter().any(|name| folder.join(name).exists())
        {
            return Some(
                Problem::input("is there already, in a folder that holds no job of this program")
                    .at(file.display().to_string())
                    .hint(format!("name a folder for the job alone: `--o {}`", folder.join("job001/").display())),
            );
        }
        // A file that is not understood is told of when the job opens it.
        let there = results::read(folder).ok().flatten()?;
        (!there.verb.is_empty() && there.verb != self.verb()).then(|| {
            let name = folder.to_string_lossy();
            let name = name.trim_end_matches('/');
            Problem::input(format!("holds what `opus-dsd {}` made", there.verb))
                .at(format!("`--o {name}/`"))
                .hint(format!("name another folder, such as `{name}-{}/`: each job has its own", self.verb()))
        })
    }
}

/// Whether a file stands in a folder itself.
fn lies_in(file: &Path, folder: &Path) -> bool {
    matches!((file.canonicalize(), folder.canonicalize()), (Ok(file), Ok(folder)) if file.parent() == Some(&folder))
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
