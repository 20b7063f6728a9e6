//! What a job must not do to the folder that it was given: take the place of files that are not its own.

use super::Order;
use crate::job::stages::base::{BASE, MASK};
use crate::job::stages::cluster::{LATENTS, PARTICLES, SELECTED};
use crate::job::{presence, results};
use contract::Problem;
use std::path::{Path, PathBuf};

impl Order {
    /// Whether the folder is that of the job that is read.
    pub(crate) fn is_in_its_input(&self) -> bool {
        let trained = match self {
            Self::Train(_) | Self::Check(_) => None,
            Self::Analyse(said) => said.trained.folder().ok(),
            Self::Decode(said) => said.trained.folder().ok(),
            Self::Encode(said) => said.trained_job().ok(),
            Self::Select(said) => said.trained_job().ok(),
            Self::Import(said) => said.folder().map(Path::to_path_buf).ok(),
        };
        let folders = trained.zip(self.folder()).map(|(trained, folder)| (trained.canonicalize(), folder.canonicalize()));
        matches!(folders, Some((Ok(a), Ok(b))) if a == b)
    }

    /// Why the job must not even touch its folder: it is that of the trained job, holds the results of another verb, or files that are not the
    /// job's own and whose place its results would take.
    pub(crate) fn harm_to_folder(&self) -> Option<Problem> {
        let folder = self.folder()?;
        if self.is_in_its_input() {
            return Some(Problem::input("is the trained job itself").at("`--o`").hint("name another folder; a trained job is not changed"));
        }
        let own_folder = || format!("name a folder for the job alone: `--o {}`", folder.join("job001/").display());
        let taken = |file: &Path| lies_in(file, folder) && self.writes().iter().any(|name| file.ends_with(name));
        if let Some((option, file)) = self.inputs().into_iter().find(|(_, file)| taken(file)) {
            return Some(
                Problem::input("lies in the job folder, where the job's own file of that name would take its place")
                    .at(format!("`{option} {}`", file.display()))
                    .hint(own_folder()),
            );
        }
        let is_job = [presence::FILE, results::RESULTS].iter().any(|name| folder.join(name).exists());
        let there = self.writes().iter().map(|name| folder.join(name)).find(|file| file.exists());
        if let Some(file) = there.filter(|_| !is_job) {
            return Some(
                Problem::input("is there already, in a folder that holds no job of this program")
                    .at(file.display().to_string())
                    .hint(own_folder()),
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

    /// Results that the verb leaves in its folder under names which a user's own files may have.
    fn writes(&self) -> &'static [&'static str] {
        match self {
            Self::Train(_) | Self::Import(_) => &[PARTICLES, LATENTS, SELECTED, BASE, MASK],
            Self::Analyse(_) | Self::Encode(_) => &[PARTICLES, LATENTS, SELECTED],
            Self::Select(_) => &[PARTICLES, LATENTS, "particles.cs"],
            Self::Decode(_) => &["vol_000.mrc", "z.txt", "pairs.csv"],
            Self::Check(_) => &[],
        }
    }

    /// Files that are read, with the options that name them.
    fn inputs(&self) -> Vec<(&'static str, &Path)> {
        let images = match self {
            Self::Train(said) => Some(&said.images),
            Self::Encode(said) => Some(&said.images),
            Self::Check(said) => Some(&said.images),
            _ => None,
        };
        let images = images.map(|said| [("--passthrough", &said.passthrough), ("--poses", &said.poses), ("--ctf", &said.ctf)]);
        let own: Vec<(&'static str, Option<&PathBuf>)> = match self {
            Self::Train(said) => {
                vec![("--in_parts", said.input()), ("--in_mask", said.in_mask.as_ref()), ("--in_3dref", said.in_3dref.as_ref())]
            }
            Self::Check(said) => {
                vec![("--in_parts", Some(&said.in_parts)), ("--in_mask", said.in_mask.as_ref()), ("--in_3dref", said.in_3dref.as_ref())]
            }
            Self::Analyse(said) => vec![("--in_mask", said.in_mask.as_ref())],
            Self::Encode(said) => vec![("--in_parts", Some(&said.in_parts))],
            Self::Import(said) => vec![("--in_parts", said.in_parts.as_ref())],
            Self::Decode(said) => vec![("--zfile", said.zfile.as_ref())],
            Self::Select(said) => vec![("--cs", said.cs.as_ref())],
        };
        let images = images.into_iter().flatten().map(|(option, file)| (option, file.as_ref()));
        own.into_iter().chain(images).filter_map(|(option, file)| Some((option, file?.as_path()))).collect()
    }
}

/// Whether a file stands in a folder itself.
fn lies_in(file: &Path, folder: &Path) -> bool {
    matches!((file.canonicalize(), folder.canonicalize()), (Ok(file), Ok(folder)) if file.parent() == Some(&folder))
}
