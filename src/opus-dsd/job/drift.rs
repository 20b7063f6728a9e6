//! How far the latents move in an epoch (`drift.json` beside the loss figures): those of every epoch's checkpoint, held against the one before.

use super::checkpoints::{self, Mark};
use super::stages::train::LATENTS;
use super::{atomic, npy};
use analysis::compare::likeness;
use contract::{Drift, Result};
use std::path::Path;

const FILE: &str = "drift.json";

/// What is known; nothing where nothing was noted.
///
/// # Errors
/// The file is not understood.
pub(crate) fn read(monitor: &Path) -> Result<Vec<Drift>> {
    Ok(atomic::read_json(&monitor.join(FILE))?.unwrap_or_default())
}

/// Adds the epochs of a job that have a checkpoint of their own and of the epoch before; `again` names one whose entry is of a lost state. Entries
/// beyond the newest epoch are of a lost state too, so that a run that was interrupted shows the same as one that was not.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn update(job: &Path, monitor: &Path, again: Option<usize>) -> Result<Vec<Drift>> {
    let mut marks = checkpoints::of_job(job)?;
    marks.retain(Mark::is_whole);
    let newest = marks.last().map_or(0, |mark| mark.epoch);
    let mut known = read(monitor)?;
    let before = known.clone();
    known.retain(|drift| drift.epoch <= newest && Some(drift.epoch) != again);
    for pair in marks.windows(2) {
        let epoch = pair[1].epoch;
        if pair[0].epoch + 1 != epoch || known.iter().any(|drift| drift.epoch == epoch) {
            continue;
        }
        let latents = |mark: &Mark| npy::read(&mark.path.join(LATENTS));
        let (one, other) = (latents(&pair[0])?, latents(&pair[1])?);
        let found = likeness(one.view(), other.view())?;
        known.push(Drift { epoch, alignment: found.alignment, neighbours: found.neighbours });
    }
    known.sort_by_key(|drift| drift.epoch);
    if known != before {
        atomic::write_json(&monitor.join(FILE), &known)?;
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::super::checkpoints::{CHECKPOINTS, HEADER};
    use super::*;
    use ndarray::Array2;

    fn checkpoint(job: &Path, epoch: usize, latents: &Array2<f32>) {
        let folder = job.join(CHECKPOINTS).join(format!("epoch-{epoch:03}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(HEADER), format!(r#"{{"position":{{"epoch":{epoch},"batches":0,"score":0.1}}}}"#)).unwrap();
        npy::write(&folder.join(LATENTS), latents.view()).unwrap();
    }

    #[test]
    fn epochs_are_held_against_those_before() {
        let job = tempfile::tempdir().unwrap();
        let monitor = job.path().join("monitor");
        std::fs::create_dir(&monitor).unwrap();
        let hash = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7) % 1000) as f32 / 1000.0;
        let first = Array2::from_shape_fn((60, 2), |(i, j)| hash(2 * i + j));
        let other = Array2::from_shape_fn((60, 2), |(i, j)| hash(7 * i + 31 * j + 1000));
        for (epoch, latents) in [(1, &first), (2, &(2.0 * &first)), (3, &other), (5, &other)] {
            checkpoint(job.path(), epoch, latents);
        }
        let found = update(job.path(), &monitor, None).unwrap();
        assert_eq!(found.iter().map(|d| d.epoch).collect::<Vec<_>>(), [2, 3], "epoch 5 has none before it");
        assert!((found[0].alignment - 1.0).abs() < 1e-6 && found[0].neighbours == 1.0 && found[1].alignment < 0.5, "{found:?}");
        assert_eq!(read(&monitor).unwrap(), found);
        // An epoch that was trained again has other latents; those beyond the newest are gone.
        checkpoint(job.path(), 2, &other);
        let again = update(job.path(), &monitor, Some(2)).unwrap();
        assert!(again[0].alignment < 0.5 && again.len() == 2, "{again:?}");
        for epoch in [3, 5] {
            std::fs::remove_dir_all(job.path().join(CHECKPOINTS).join(format!("epoch-{epoch:03}"))).unwrap();
        }
        assert_eq!(update(job.path(), &monitor, None).unwrap().len(), 1);
    }
}
