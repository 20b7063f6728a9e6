//! Finding the image files that a table names.

use super::{ReadOptions, Stack, StackSource};
use crate::mrc::{StackReader, plain_path};
use contract::{Problem, Result};
use std::path::{Path, PathBuf};

/// Looks for stacks in the places where suites keep them.
pub(super) struct Locator {
    /// Folders that names are tried in, in this order.
    folders: Vec<PathBuf>,
    datadir: Option<PathBuf>,
}

impl Locator {
    /// `input` is the table that names the stacks.
    pub(super) fn new(input: &Path, options: &ReadOptions) -> Self {
        let project = options.project.clone().unwrap_or_default();
        // Parents of a relative path end at the working folder; beyond it only the absolute path leads.
        let absolute = std::path::absolute(input).unwrap_or_else(|_| input.to_owned());
        let parents = absolute.ancestors().skip(1).map(Path::to_owned);
        let extension = input.extension().and_then(|extension| extension.to_str());
        let folders = match extension {
            // Names in a list of stacks are relative to the list.
            Some("txt") => parents.chain([project]).collect(),
            _ => [project].into_iter().chain(parents).collect(),
        };
        // A stack that is itself the input is not looked up elsewhere.
        let datadir = options.datadir.clone().filter(|_| !matches!(extension, Some("mrc" | "mrcs")));
        Self { folders, datadir }
    }

    /// Paths that a name may mean, most wanted first.
    fn candidates(&self, name: &Path) -> Vec<PathBuf> {
        let mut candidates = Vec::new();
        if let Some(datadir) = &self.datadir {
            // The whole name first: two folders may hold files of one name.
            candidates.push(datadir.join(name.strip_prefix("/").unwrap_or(name)));
            if let Some(base) = name.file_name() {
                candidates.push(datadir.join(base));
            }
        }
        if name.is_absolute() {
            candidates.push(name.to_owned());
        } else {
            candidates.extend(self.folders.iter().map(|folder| folder.join(name)));
        }
        let mut unique: Vec<PathBuf> = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            if !unique.contains(&candidate) {
                unique.push(candidate);
            }
        }
        unique
    }
}

impl StackSource for Locator {
    fn open(&self, name: &str) -> Result<Stack> {
        let candidates = self.candidates(&plain_path(Path::new(name)));
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            let tried: Vec<String> = candidates.iter().map(|path| format!("`{}`", path.display())).collect();
            return Err(Problem::input(format!("no such image file; tried {}", tried.join(", ")))
                .at(name.to_owned())
                .hint("start the job in the project's folder, or name the folder of the images with `--datadir`"));
        };
        let reader = StackReader::open(path)?;
        Ok(Stack { path: path.clone(), slices: reader.len(), box_px: reader.box_px()? })
    }
}
