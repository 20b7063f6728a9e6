//! A job that has trained, looked at by a later one; nothing in its folder is changed.

use super::checkpoints::{self, Mark};
use super::chosen::Chosen;
use super::npy;
use super::results;
use super::stages::train::LATENTS;
use crate::settings::values::Epoch;
use contract::{Clustering, Problem, Result, Results, StateVolume};
use ndarray::{Array2, Axis};
use std::path::{Path, PathBuf};

/// The verb of jobs that have latents of their own, by another job's model.
pub(crate) const ENCODE: &str = "encode";

/// The verb of jobs that chose particles of another: they have no clusters of their own.
pub(crate) const SELECT: &str = "select";

/// What is needed of a trained job.
pub(crate) struct Trained {
    /// The folder of the job that trained the model, as it was named; of an analysis, that of the job that it looks at.
    pub(crate) folder: PathBuf,
    /// The folder of the job whose particles the latents are of: the same, or that of a job that encoded others with the model.
    pub(crate) latents_of: PathBuf,
    /// The chosen checkpoint's folder.
    pub(crate) checkpoint: PathBuf,
    /// Its epoch.
    pub(crate) epoch: usize,
    /// Latents of the particles in the order of `latents_of`, `[particles, zdim]`, at that epoch; of the chosen ones alone where there are some.
    pub(crate) latents: Array2<f32>,
    /// Particles that a selection took; none: all of `latents_of`.
    pub(crate) chosen: Option<Chosen>,
    /// Box of the job's maps, voxels.
    pub(crate) box_px: usize,
    /// Voxel size of the job's maps, Å.
    pub(crate) apix: f64,
    /// Where viewers find voxel 0 of the job's maps (x, y, z), Å.
    pub(crate) origin_angstrom: [f64; 3],
    /// States of the job that was named, which may be an analysis.
    pub(crate) states: Vec<StateVolume>,
    /// Epoch whose latents these states belong to.
    pub(crate) states_epoch: usize,
    /// How the particles were divided into these states.
    pub(crate) clustering: Option<Clustering>,
}

impl Trained {
    /// Opens a job's folder at the epoch that is said, else at that of its states where it only looks at another job, else at the latest.
    ///
    /// # Errors
    /// The job has no result, or no checkpoint of that epoch.
    pub(crate) fn open_at(job: &Path, said: Option<Epoch>) -> Result<Self> {
        let results = results_of(job)?;
        let own = results.trained_job.is_some().then_some(results.epoch).filter(|&epoch| epoch > 0).map(Epoch::Number);
        Self::open(job, said.or(own).unwrap_or_default())
    }

    /// Opens a job's folder.
    ///
    /// # Errors
    /// The job has no result, or no checkpoint of that epoch.
    pub(crate) fn open(job: &Path, epoch: Epoch) -> Result<Self> {
        let results = results_of(job)?;
        if let Some(other) = &results.trained_job {
            if results.verb == ENCODE {
                return Self::encoded(job, &results, Path::new(other), epoch);
            }
            let chosen = Chosen::of_job(job, &results)?;
            let trained = Self::open(Path::new(other), epoch)?;
            let trained = Self { states: results.volumes, states_epoch: results.epoch, clustering: results.clustering, ..trained };
            return match chosen {
                Some(chosen) => trained.only(chosen, job),
                None => Ok(trained),
            };
        }
        let mut found = checkpoints::of_job(job)?;
        found.retain(Mark::is_whole);
        let chosen = match epoch {
            Epoch::Latest => found.last(),
            Epoch::Best => checkpoints::best(&found),
            Epoch::Number(number) => found.iter().find(|mark| mark.epoch == number),
        };
        let Some(mark) = chosen else {
            let there: Vec<String> = found.iter().map(|mark| mark.epoch.to_string()).collect();
            return Err(Problem::input("has no checkpoint of that epoch")
                .at(job.display().to_string())
                .hint(format!("epochs that were kept: {}", if there.is_empty() { "none".into() } else { there.join(", ") })));
        };
        // The last epoch's checkpoint holds means from while it trained; the job's own file those of the finished model.
        let final_ones = job.join(LATENTS);
        let latents = if results.complete && mark.epoch == results.epoch { final_ones } else { mark.path.join(LATENTS) };
        Ok(Self {
            folder: job.to_path_buf(),
            latents_of: job.to_path_buf(),
            checkpoint: mark.path.clone(),
            epoch: mark.epoch,
            latents: npy::read(&latents)?,
            chosen: None,
            box_px: results.box_px,
            apix: results.apix,
            origin_angstrom: results.origin_angstrom,
            states: results.volumes,
            states_epoch: results.epoch,
            clustering: results.clustering,
        })
    }

    /// The same job for chosen particles; `named` is the one that chose them or looks at them.
    fn only(self, chosen: Chosen, named: &Path) -> Result<Self> {
        if self.latents.nrows() != chosen.of {
            return Err(Problem::input(format!(
                "was taken of {} particles of {}, which has {} now",
                chosen.of,
                chosen.job.display(),
                self.latents.nrows()
            ))
            .at(named.display().to_string())
            .hint("choose the particles again"));
        }
        Ok(Self { latents: self.latents.select(Axis(0), &chosen.rows), chosen: Some(chosen), ..self })
    }

    /// The particles of an encoding job, with the model of the job that it used.
    fn encoded(job: &Path, results: &Results, model: &Path, epoch: Epoch) -> Result<Self> {
        let latents = results.latents.as_ref().filter(|_| results.complete).ok_or_else(|| {
            Problem::input("has not encoded its particles yet").at(job.display().to_string()).hint("wait for it, or start it again")
        })?;
        if epoch != Epoch::Latest && epoch != Epoch::Number(results.epoch) {
            return Err(Problem::input(format!("its particles were encoded at epoch {}", results.epoch))
                .at(job.display().to_string())
                .hint("encode them again with that `--epoch`, and name the new job"));
        }
        let model = Self::open(model, Epoch::Number(results.epoch))?;
        Ok(Self { latents_of: job.to_path_buf(), latents: npy::read(&job.join(latents))?, ..model })
    }
}

/// The job's results, finished or not.
///
/// # Errors
/// It has none.
pub(crate) fn results_of(job: &Path) -> Result<Results> {
    results::read(job)?.ok_or_else(|| {
        Problem::input("holds no trained job (`results.json` is missing)")
            .at(job.display().to_string())
            .hint("name the folder of a job of `opus-dsd train` that has done an epoch at least: `--job External/job007`")
    })
}

#[cfg(test)]
mod tests {
    use super::super::atomic;
    use super::super::checkpoints::{CHECKPOINTS, HEADER};
    use super::super::results::RESULTS;
    use super::*;
    use contract::RESULTS_SCHEMA;

    /// A folder as a job with epochs 1, 2 and 3 leaves it; the second is the best.
    fn job() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let results = Results { schema: RESULTS_SCHEMA, complete: true, epoch: 3, apix: 2.0, box_px: 48, ..Results::default() };
        atomic::write_json(&folder.path().join(RESULTS), &results).unwrap();
        for (name, epoch, batches, score) in
            [("epoch-001", 1, 0, 0.5), ("epoch-002", 2, 0, 0.3), ("epoch-002-064", 2, 4, 0.1), ("epoch-003", 3, 0, 0.4)]
        {
            let at = folder.path().join(CHECKPOINTS).join(name);
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join(HEADER), format!(r#"{{"position":{{"epoch":{epoch},"batches":{batches},"score":{score}}}}}"#)).unwrap();
            npy::write(&at.join(LATENTS), Array2::from_elem((4, 2), epoch as f32).view()).unwrap();
        }
        npy::write(&folder.path().join(LATENTS), Array2::from_elem((4, 2), 9.0).view()).unwrap();
        folder
    }

    #[test]
    fn epochs_are_found_with_their_latents() {
        let folder = job();
        for (word, epoch, latent) in [("latest", 3, 9.0), ("best", 2, 2.0), ("1", 1, 1.0)] {
            let trained = Trained::open(folder.path(), word.parse().unwrap()).unwrap();
            assert_eq!((trained.epoch, trained.latents[[0, 0]], trained.box_px), (epoch, latent, 48), "{word}");
            assert!(trained.checkpoint.ends_with(format!("epoch-{epoch:03}")));
        }
    }

    #[test]
    fn an_analysis_is_looked_at_where_it_looked() {
        let (job, analysis) = (job(), tempfile::tempdir().unwrap());
        let trained_job = Some(job.path().to_string_lossy().into_owned());
        let told = Results { schema: RESULTS_SCHEMA, verb: "analyse".into(), epoch: 1, trained_job, ..Results::default() };
        atomic::write_json(&analysis.path().join(RESULTS), &told).unwrap();
        for (folder, said, epoch) in
            [(&analysis, None, 1), (&analysis, Some(Epoch::Latest), 3), (&job, None, 3), (&job, Some(Epoch::Best), 2)]
        {
            assert_eq!(Trained::open_at(folder.path(), said).unwrap().epoch, epoch, "{said:?}");
        }
    }

    #[test]
    fn an_encoding_job_has_its_own_latents_and_the_model_of_another() {
        let (model, folder) = (job(), tempfile::tempdir().unwrap());
        let trained_job = Some(model.path().to_string_lossy().into_owned());
        let own = Results { schema: RESULTS_SCHEMA, complete: true, epoch: 2, verb: ENCODE.into(), trained_job, ..Results::default() };
        let own = Results { latents: Some(LATENTS.into()), ..own };
        atomic::write_json(&folder.path().join(RESULTS), &own).unwrap();
        npy::write(&folder.path().join(LATENTS), Array2::from_elem((7, 2), 5.0).view()).unwrap();
        let found = Trained::open(folder.path(), Epoch::Latest).unwrap();
        assert_eq!((found.latents.dim(), found.epoch, found.box_px), ((7, 2), 2, 48));
        assert_eq!((found.folder.as_path(), found.latents_of.as_path()), (model.path(), folder.path()));
        // An analysis of it looks at the same particles.
        let analysis = tempfile::tempdir().unwrap();
        let trained_job = Some(folder.path().to_string_lossy().into_owned());
        atomic::write_json(&analysis.path().join(RESULTS), &Results { verb: "analyse".into(), trained_job, ..own }).unwrap();
        assert_eq!(Trained::open(analysis.path(), Epoch::Latest).unwrap().latents, found.latents);
        assert!(Trained::open(folder.path(), Epoch::Number(1)).err().unwrap().to_string().contains("encoded at epoch 2"));
    }

    #[test]
    fn a_selection_has_the_latents_of_its_rows() {
        let (job, folder) = (job(), tempfile::tempdir().unwrap());
        npy::write(&job.path().join(LATENTS), Array2::from_shape_fn((4, 2), |(i, _)| i as f32).view()).unwrap();
        let mut results = results::ResultsFile::open(folder.path(), SELECT).unwrap();
        results.change(|now| now.trained_job = Some(job.path().to_string_lossy().into_owned())).unwrap();
        let chosen = Chosen { rows: vec![3, 1], of: 4, job: job.path().into(), selection: folder.path().into() };
        super::super::chosen::write(folder.path(), &mut results, Some(&chosen)).unwrap();
        let found = Trained::open(folder.path(), Epoch::Latest).unwrap();
        assert_eq!((found.latents, found.chosen), (ndarray::array![[3.0, 3.0], [1.0, 1.0]], Some(chosen.clone())));
        assert_eq!(Trained::open(folder.path(), Epoch::Number(1)).unwrap().latents.dim(), (2, 2));
        npy::write(&job.path().join(LATENTS), Array2::zeros((5, 2)).view()).unwrap();
        assert!(Trained::open(folder.path(), Epoch::Latest).err().unwrap().to_string().contains("taken of 4 particles"));
    }

    #[test]
    fn what_is_not_there_is_said() {
        let folder = job();
        let problem = Trained::open(folder.path(), Epoch::Number(7)).err().unwrap();
        assert_eq!(problem.hint.unwrap(), "epochs that were kept: 1, 2, 3");
        let empty = tempfile::tempdir().unwrap();
        assert!(Trained::open(empty.path(), Epoch::Latest).err().unwrap().to_string().contains("no trained job"));
        assert!("x".parse::<Epoch>().is_err());
    }
}
