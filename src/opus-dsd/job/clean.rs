//! Frees the disk space of a job that has ended: prepared images, old checkpoints, unfinished files. What the host knows as output stays,
//! and what stays is enough to analyse, to decode and to encode.

use super::checkpoints::{self, CHECKPOINTS, Mark};
use super::lock::{self, Held};
use super::order::Order;
use super::stage::Ledger;
use super::stages::prepare;
use super::status::{self, State};
use super::{atomic, settings_file};
use crate::host::relion::nodes;
use crate::machine::disk;
use contract::{Problem, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a folder of ours below a scratch is called.
const SCRATCH_PREFIX: &str = "opus-dsd-";
/// Component maps and scores that the latents started from.
const SUBSPACE: &str = "subspace";

/// What may go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// Leave the prepared images.
    pub(crate) keep_prepared: bool,
    /// Keep every N-th epoch's checkpoint; `None` as the job was told, 0 none.
    pub(crate) keep_every: Option<usize>,
    /// Take everything that analysis and decoding can do without.
    pub(crate) all_intermediates: bool,
}

/// A file or folder that goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Item {
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// What is to be done in a job folder. The folder is locked until this is dropped.
pub(crate) struct Plan {
    pub(crate) folder: PathBuf,
    pub(crate) items: Vec<Item>,
    /// Names of the checkpoints that stay, oldest first.
    pub(crate) kept: Vec<String>,
    /// What continuing the job has to make again.
    pub(crate) made_again: Vec<&'static str>,
    _lock: Held,
}

impl Plan {
    /// Bytes that it frees.
    pub(crate) fn bytes(&self) -> u64 {
        self.items.iter().map(|i| i.bytes).sum()
    }

    /// Does it.
    ///
    /// # Errors
    /// Something cannot be removed; what was removed by then is gone, the rest stays whole.
    pub(crate) fn carry_out(&self) -> Result<()> {
        for item in &self.items {
            let removed = if item.path.is_dir() { remove_folder(&item.path) } else { std::fs::remove_file(&item.path) };
            removed.map_err(|e| Problem::io(&item.path, &e))?;
        }
        Ok(())
    }
}

/// Renamed first, so that a checkpoint that is half removed is not taken for one.
fn remove_folder(path: &Path) -> std::io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let going = path.with_file_name(name);
    if going == path || std::fs::rename(path, &going).is_err() {
        return std::fs::remove_dir_all(path);
    }
    std::fs::remove_dir_all(&going)
}

/// Finds what may go.
///
/// # Errors
/// The folder holds no job of this program, or one that runs or may run.
pub(crate) fn plan(folder: &Path, wish: Wish) -> Result<Plan> {
    let culprit = || folder.display().to_string();
    let running = || {
        Problem::input("a job is running in this folder; nothing was removed")
            .at(culprit())
            .hint("wait for it: `opus-dsd status` says how far it is")
    };
    let status = status::look(folder)?;
    match status.state {
        State::Running => return Err(running()),
        State::Unknown => {
            return Err(Problem::input(format!("the job may be running: {}", status.why.unwrap_or_default()))
                .at(culprit())
                .hint("clean it on that machine; if the machine is gone, remove `process.json` in the folder first"));
        }
        State::Empty => {
            return Err(Problem::input("holds no job of this program")
                .at(culprit())
                .hint("name a job folder: `opus-dsd clean External/job007`"));
        }
        State::Done | State::Failed | State::Aborted | State::Terminated | State::Lost => {}
    }
    let lock = lock::take(folder)?.ok_or_else(running)?;
    let mut plan = Plan { folder: folder.to_path_buf(), items: Vec::new(), kept: Vec::new(), made_again: Vec::new(), _lock: lock };
    if !wish.keep_prepared {
        for path in prepared(folder) {
            plan.add("prepared images", path);
        }
        if !plan.items.is_empty() {
            plan.made_again.push("the prepared images");
        }
    }
    let keep_every = if wish.all_intermediates { Some(0) } else { wish.keep_every };
    plan.checkpoints(keep_every.unwrap_or_else(|| kept_by_settings(folder)))?;
    if wish.all_intermediates && folder.join(SUBSPACE).is_dir() {
        plan.add("linear subspace", folder.join(SUBSPACE));
        plan.made_again.push("the linear subspace");
    }
    plan.unfinished(folder);
    let registered: Vec<PathBuf> = nodes::read(folder).iter().map(|name| folder.join(name)).collect();
    plan.items.retain(|item| !registered.iter().any(|path| path.starts_with(&item.path)));
    Ok(plan)
}

impl Plan {
    fn add(&mut self, what: &'static str, path: PathBuf) {
        let bytes = disk::bytes_below(&path);
        self.items.push(Item { what, path, bytes });
    }

    /// Keeps the last and the best epoch's, every `keep_every`-th, and a newer one from the middle of an epoch.
    fn checkpoints(&mut self, keep_every: usize) -> Result<()> {
        if !self.folder.join(CHECKPOINTS).exists() {
            return Ok(()); // a job that has not trained yet
        }
        let found = checkpoints::of_job(&self.folder)?;
        let best = checkpoints::best(&found).map(|c| c.epoch);
        let last = found.iter().filter(|c| c.is_whole()).map(|c| c.epoch).max();
        let newest = found.iter().map(|c| (c.epoch, c.batches)).max();
        for checkpoint in found {
            let Mark { epoch, batches, .. } = checkpoint;
            let regular = keep_every > 0 && epoch > 0 && epoch % keep_every == 0;
            let stays = Some((epoch, batches)) == newest || (batches == 0 && (Some(epoch) == last || Some(epoch) == best || regular));
            if stays {
                self.kept.push(checkpoint.name());
            } else {
                self.add("checkpoint", checkpoint.path);
            }
        }
        Ok(())
    }

    /// Files and folders that processes which are gone left half written.
    fn unfinished(&mut self, folder: &Path) {
        for path in atomic::unfinished(folder) {
            self.add("unfinished", path);
        }
    }
}

/// Folders of prepared images: in the job, and below the scratch that it was given.
fn prepared(folder: &Path) -> Vec<PathBuf> {
    let noted = Ledger::outputs(folder, prepare::STAGE).first().and_then(|path| Some(path.parent()?.to_path_buf()));
    // A job that was ended while it prepared has noted nothing.
    let order = settings_file::read(folder).ok().flatten().and_then(|settings| settings.order);
    let scratch = order.as_ref().and_then(Order::scratch).map(Path::to_path_buf);
    let told = scratch.and_then(|scratch| prepare::folder(folder, Some(&scratch)).ok());
    let own = folder.join(prepare::FOLDER);
    let is_ours = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(SCRATCH_PREFIX));
    let mut found: Vec<PathBuf> = noted.into_iter().chain(told).filter(is_ours).chain([own]).filter(|p| p.is_dir()).collect();
    found.sort();
    found.dedup();
    found
}

fn kept_by_settings(folder: &Path) -> usize {
    settings_file::read(folder).ok().flatten().map_or(0, |p| p.settings.train.keep_every)
}

#[cfg(test)]
mod tests {
    use super::super::checkpoints::HEADER;
    use super::*;

    /// A job that ended after five epochs; the second is the best, every second is to be kept.
    fn job() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        for (name, epoch, batches, score) in [
            ("epoch-000", 0, 0, "null"),
            ("epoch-001", 1, 0, "0.5"),
            ("epoch-001-64", 1, 4, "0.01"),
            ("epoch-002", 2, 0, "0.3"),
            ("epoch-003", 3, 0, "0.4"),
            ("epoch-004", 4, 0, "0.4"),
            ("epoch-005", 5, 0, "0.4"),
        ] {
            let header = format!(r#"{{"position":{{"epoch":{epoch},"batches":{batches},"score":{score}}}}}"#);
            write(&format!("checkpoint/{name}/{HEADER}"), header.as_bytes());
            write(&format!("checkpoint/{name}/weights.safetensors"), &[0; 1000]);
        }
        write("checkpoint/.epoch-006.77.tmp/weights.safetensors", &[0; 10]);
        write("prepared/images.f16", &[0; 5000]);
        write("subspace/component01.mrc", &[0; 70]);
        write("cluster001.mrc", &[0; 9]);
        write("events.jsonl", b"");
        write("RELION_JOB_EXIT_SUCCESS", b"");
        folder
    }

    fn names(plan: &Plan) -> Vec<String> {
        plan.items.iter().map(|i| i.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_last_the_best_and_the_regular_ones_stay() {
        let folder = job();
        let plan = |wish| plan(folder.path(), wish).unwrap();
        let found = plan(Wish::default());
        assert_eq!(names(&found), ["prepared", "epoch-000", "epoch-001", "epoch-001-64", "epoch-003", "epoch-004", ".epoch-006.77.tmp"]);
        assert_eq!(found.kept, ["epoch-002", "epoch-005"]);
        assert_eq!(found.items[0].bytes, 5000);
        drop(found);
        let found = plan(Wish { keep_every: Some(4), keep_prepared: true, ..Wish::default() });
        assert_eq!(found.kept, ["epoch-002", "epoch-004", "epoch-005"]);
        assert!(found.made_again.is_empty() && !names(&found).contains(&"prepared".to_owned()));
        drop(found);
        let found = plan(Wish { keep_every: Some(2), all_intermediates: true, ..Wish::default() });
        assert!(names(&found).contains(&SUBSPACE.to_owned()));
        assert_eq!(found.kept, ["epoch-002", "epoch-005"]);
        found.carry_out().unwrap();
        drop(found);
        assert!(plan(Wish { all_intermediates: true, ..Wish::default() }).items.is_empty());
        assert!(folder.path().join("cluster001.mrc").exists());
    }

    #[test]
    fn a_stop_in_the_middle_of_an_epoch_keeps_its_checkpoint() {
        let folder = job();
        let from = folder.path().join("checkpoint/epoch-001-64");
        let header = r#"{"position":{"epoch":5,"batches":3,"score":null}}"#;
        std::fs::write(from.join(HEADER), header).unwrap();
        std::fs::rename(&from, folder.path().join("checkpoint/epoch-005-48")).unwrap();
        let found = plan(folder.path(), Wish::default()).unwrap();
        assert_eq!(found.kept, ["epoch-002", "epoch-005", "epoch-005-48"]);
    }

    #[test]
    fn what_the_host_knows_stays() {
        let folder = job();
        let node = "data_output_nodes\n\nloop_\n_rlnPipeLineNodeName #1\n_rlnPipeLineNodeTypeLabel #2\nExternal/job001/prepared x\n";
        std::fs::write(folder.path().join("RELION_OUTPUT_NODES.star"), node).unwrap();
        assert!(!names(&plan(folder.path(), Wish::default()).unwrap()).contains(&"prepared".to_owned()));
    }

    #[test]
    fn a_running_job_is_left_alone() {
        let folder = job();
        std::fs::remove_file(folder.path().join("RELION_JOB_EXIT_SUCCESS")).unwrap();
        let held = lock::take(folder.path()).unwrap();
        assert!(plan(folder.path(), Wish::default()).err().unwrap().to_string().contains("running"));
        drop(held);
        assert!(plan(folder.path(), Wish::default()).is_ok(), "a lost job may be cleaned");
        let empty = tempfile::tempdir().unwrap();
        assert!(plan(empty.path(), Wish::default()).err().unwrap().to_string().contains("no job"));
    }
}
