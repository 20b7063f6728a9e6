//! Which files of the original's run there are.

use contract::{Problem, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An epoch's files, by the original's number.
pub(super) struct Epoch {
    pub(super) number: usize,
    pub(super) weights: PathBuf,
    pub(super) latents: PathBuf,
}

/// The folder's files.
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) config: PathBuf,
    /// Not empty, oldest first.
    pub(super) epochs: Vec<Epoch>,
}

impl Files {
    /// Finds them; with a number, only that epoch's.
    ///
    /// # Errors
    /// The folder cannot be read, has no `config.pkl`, or weights and latents of no common (or not of that) epoch.
    pub(super) fn find(folder: &Path, wanted: Option<usize>) -> Result<Self> {
        let at = |problem: Problem| problem.at(folder.display().to_string());
        let entries = std::fs::read_dir(folder).map_err(|e| Problem::io(folder, &e).hint("name the folder of the original's run"))?;
        let names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let (weights, latents) = (numbered(&names, "weights"), numbered(&names, "z"));
        let all: Vec<usize> = weights.keys().filter(|number| latents.contains_key(number)).copied().collect();
        let epochs: Vec<Epoch> = all
            .iter()
            .filter(|number| wanted.is_none_or(|wanted| **number == wanted))
            .map(|number| Epoch { number: *number, weights: folder.join(weights[number]), latents: folder.join(latents[number]) })
            .collect();
        if epochs.is_empty() {
            let there = |of: &BTreeMap<usize, &String>| match of.len() {
                0 => "none".to_owned(),
                _ => of.keys().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            let what = wanted.map_or("holds no `weights.N.pkl` with its `z.N.pkl`".to_owned(), |n| {
                format!("holds no `weights.{n}.pkl` with `z.{n}.pkl`")
            });
            return Err(at(Problem::input(what)).hint(format!(
                "weights of epochs: {}; latents of epochs: {}",
                there(&weights),
                there(&latents)
            )));
        }
        let config = folder.join("config.pkl");
        if !config.is_file() {
            return Err(
                at(Problem::input("holds no `config.pkl`")).hint("the original writes it when a run begins: copy it to the weights")
            );
        }
        Ok(Self { folder: folder.to_path_buf(), config, epochs })
    }

    /// The newest epoch.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn last(&self) -> Result<&Epoch> {
        self.epochs.last().ok_or_else(|| Problem::failed("no epoch is left").at(self.folder.display().to_string()))
    }

    /// A file that the original named, wherever it is now: as it was named, else in the run's folder or the one above it.
    pub(super) fn locate(&self, named: &Path) -> Option<PathBuf> {
        let base = named.file_name()?;
        let near = [Some(self.folder.as_path()), self.folder.parent()].into_iter().flatten();
        let candidates = near.flat_map(|folder| [folder.join(named), folder.join(base)]);
        std::iter::once(named.to_path_buf()).chain(candidates).find(|path| path.is_file())
    }
}

/// Files `NAME.N.pkl` by their number.
fn numbered<'a>(names: &'a [String], name: &str) -> BTreeMap<usize, &'a String> {
    let number = |file: &str| file.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".pkl")?.parse().ok();
    names.iter().filter_map(|file| Some((number(file)?, file))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        folder
    }

    #[test]
    fn epochs_with_both_files_are_found() {
        let run = folder(&["config.pkl", "weights.2.pkl", "weights.10.pkl", "z.10.pkl", "z.2.pkl", "z.3.pkl", "weights.pkl", "pose.2.pkl"]);
        let numbers = |wanted| Files::find(run.path(), wanted).map(|files| files.epochs.iter().map(|e| e.number).collect::<Vec<_>>());
        assert_eq!(numbers(None).unwrap(), [2, 10]);
        assert_eq!(numbers(Some(2)).unwrap(), [2]);
        let problem = numbers(Some(3)).unwrap_err();
        assert!(problem.what.contains("`weights.3.pkl`"), "{problem}");
        assert_eq!(problem.hint.as_deref(), Some("weights of epochs: 2, 10; latents of epochs: 2, 3, 10"));
        assert!(Files::find(folder(&["weights.1.pkl", "z.1.pkl"]).path(), None).err().unwrap().to_string().contains("config.pkl"));
    }
}
