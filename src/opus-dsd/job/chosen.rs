//! Which particles of a trained job another one looks at: all, or those that a selection took.

use super::results::ResultsFile;
use super::trained::SELECT;
use super::{atomic, wishes};
use contract::{ChosenRows, Problem, Result, Results};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The rows, in the folder of every job that looks at chosen particles alone; `--particles` takes such a file, too.
const ROWS: &str = "rows.txt";

/// Particles that a selection took of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Their rows in that job's particles, from 0; entry i is particle i here.
    pub(crate) rows: Vec<usize>,
    /// Particles of that job.
    pub(crate) of: usize,
    /// That job's folder, as it was named: it has the latents of all of them.
    pub(crate) job: PathBuf,
    /// The selection's folder, as it was named.
    pub(crate) selection: PathBuf,
}

impl Chosen {
    /// Those that a job looks at; none where it looks at all particles.
    ///
    /// # Errors
    /// The list of rows is gone, or is not of as many particles as the job says.
    pub(crate) fn of_job(folder: &Path, results: &Results) -> Result<Option<Self>> {
        let is_selection = results.verb == SELECT;
        let (Some(told), Some(job)) = (&results.chosen, &results.trained_job) else {
            // Those of earlier versions did not say.
            return if is_selection {
                Err(Problem::input("is a selection that does not say which rows it took")
                    .at(folder.display().to_string())
                    .hint("choose them again with `opus-dsd select`, and name the new folder"))
            } else {
                Ok(None)
            };
        };
        let path = folder.join(&told.rows);
        let text = std::fs::read_to_string(&path).map_err(|e| Problem::io(&path, &e).hint("give the job's folder as it was left"))?;
        let rows = wishes::row_numbers(&text, told.of).map_err(|word| {
            Problem::input(format!("`{word}` is no row of {} particles", told.of))
                .at(path.display().to_string())
                .hint("give the job's folder as it was left")
        })?;
        let selection = if is_selection { folder.to_path_buf() } else { told.selection.clone().into() };
        Ok(Some(Self { rows, of: told.of, job: job.into(), selection }))
    }

    /// For people.
    pub(crate) fn in_words(&self) -> String {
        format!("{} chosen of {} particles of {}", self.rows.len(), self.of, self.job.display())
    }
}

/// Notes in a job's folder which particles it looks at.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(folder: &Path, results: &mut ResultsFile, chosen: Option<&Chosen>) -> Result<()> {
    let path = folder.join(ROWS);
    match chosen {
        Some(chosen) => {
            let mut text = String::new();
            for row in &chosen.rows {
                let _ = writeln!(text, "{}", row + 1);
            }
            atomic::write(&path, text.as_bytes())?;
        }
        // Of an earlier run, which looked at a selection.
        None if path.exists() => std::fs::remove_file(&path).map_err(|e| Problem::io(&path, &e))?,
        None => {}
    }
    results.change(|now| {
        now.chosen = chosen.map(|chosen| ChosenRows {
            rows: ROWS.into(),
            of: chosen.of,
            selection: chosen.selection.to_string_lossy().into_owned(),
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_not_there_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ResultsFile::open(folder.path(), SELECT).unwrap();
        let chosen = Chosen { rows: vec![6, 0, 2], of: 7, job: "External/job001".into(), selection: folder.path().into() };
        file.change(|now| now.trained_job = Some("External/job001".into())).unwrap();
        let problem = Chosen::of_job(folder.path(), file.now()).unwrap_err();
        assert!(problem.what.contains("does not say which rows"), "{problem}");
        write(folder.path(), &mut file, Some(&chosen)).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join(ROWS)).unwrap(), "7\n1\n3\n");
        assert_eq!(Chosen::of_job(folder.path(), file.now()).unwrap().unwrap(), chosen);
        assert_eq!(chosen.in_words(), "3 chosen of 7 particles of External/job001");
        std::fs::write(folder.path().join(ROWS), "7\n8\n").unwrap();
        let problem = Chosen::of_job(folder.path(), file.now()).unwrap_err();
        assert!(problem.what.contains("`8` is no row of 7 particles"), "{problem}");
        file.change(|now| now.verb = "analyse".into()).unwrap();
        write(folder.path(), &mut file, None).unwrap();
        assert_eq!(Chosen::of_job(folder.path(), file.now()).unwrap(), None);
        assert!(!folder.path().join(ROWS).exists());
    }
}
