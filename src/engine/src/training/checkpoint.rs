//! Checkpoints: folders of safetensors, npy and JSON that appear whole or not at all.
//!
//! `epoch-NNN` holds the state after NNN epochs, `epoch-NNN-IMAGES` the state IMAGES into the epoch after that. A folder is written
//! under another name, synced, and renamed; `checkpoint.json` in it lists every other file with its size and hash, so that a folder that
//! a crash or a full disk left incomplete is told from a good one and ignored. Wall times are not written: a run that was interrupted
//! leaves the same bytes as one that was not.

use super::guards::Guard;
use super::meters::Meter;
use crate::model::schedules::SignalControl;
use contract::{OTHER_FORM, Problem, Result, TrainSettings, require_form};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// Raised when the meaning of a field or file changes. A field that is added has a default instead: what was in force before it.
const SCHEMA: u32 = 1;
const HEADER: &str = "checkpoint.json";
const WEIGHTS: &str = "weights.safetensors";
const MOMENTS: &str = "optimiser.safetensors";
const FIXED: &str = "fixed.safetensors";
const BANK: &str = "bank.npy";
/// Latents file in a checkpoint's folder: `[particles, zdim]`, the encoder's mean of every particle when it was last seen.
pub const LATENTS: &str = "latents.npy";
/// Epoch checkpoints that are kept besides the best and every k-th.
const KEEP_NEWEST: usize = 3;

/// Counters and running means: where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs completed.
    pub epoch: usize,
    /// Batches done in the running epoch.
    pub batches: usize,
    /// Images done in the running epoch.
    pub images: usize,
    /// Optimiser steps in all.
    pub steps: u64,
    /// Factor that roll-backs left on the learning rate.
    pub step_factor: f64,
    /// Running means that steer the weight of the divergence and the gate of the prior. (The first checkpoints have the ratio alone, as `snr`.)
    #[serde(alias = "snr")]
    pub signal: SignalControl,
    /// The same one batch earlier: what the next batch is steered by, whether or not the run was broken off in between. `None` in checkpoints
    /// of before batches were read late: it is `signal` there.
    #[serde(default)]
    pub signal_before: Option<SignalControl>,
    /// Sums over the running epoch.
    pub epoch_meter: Meter,
    /// Sums since the last metric.
    pub interval_meter: Meter,
    /// The guards' running means.
    pub guard: Guard,
    /// Bytes of the loss file that belong to this state.
    pub losses_bytes: u64,
    /// Mean validation loss of the last epoch, where there are validation images.
    pub validation: Option<f64>,
    /// What epochs are compared by: the validation loss, else the training loss; `None` before the first epoch.
    pub score: Option<f64>,
}

/// Facts about the data that the model was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
    /// Fingerprint of the prepared set.
    pub fingerprint: String,
    /// Particles.
    pub particles: usize,
    /// Side of the prepared images, pixels.
    pub size_px: usize,
    /// Pixel size of the render grid, Å.
    pub apix: f64,
    /// Factor from the base map's grey scale to the images' (1 without a base).
    pub base_scale: f64,
}

/// Everything that a run needs to go on, and that decoding and encoding need at all.
pub struct Checkpoint {
    /// Where the run stands.
    pub position: Position,
    /// The settings that it was trained with.
    pub settings: TrainSettings,
    /// What it was trained on.
    pub data: DataFacts,
    /// Learned tensors by name.
    pub weights: HashMap<String, Tensor>,
    /// Optimiser state by name; none of a model that another program trained.
    pub moments: HashMap<String, Tensor>,
    /// Tensors that are not learned: base volume, mask, warm-start scores.
    pub fixed: HashMap<String, Tensor>,
    /// `[particles, zdim]` f32: means when last seen.
    pub latents: Tensor,
    /// `[particles, zdim]` f32: the prior's latent bank; none of a model that another program trained.
    pub bank: Option<Tensor>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    schema: u32,
    position: Position,
    settings: TrainSettings,
    data: DataFacts,
    files: BTreeMap<String, Entry>,
}

/// What a header of any form has.
#[derive(Deserialize)]
struct Form {
    schema: u32,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    fnv1a: String,
}

impl Checkpoint {
    /// Name of this state's folder.
    #[must_use]
    pub fn name(&self) -> String {
        let Position { epoch, images, batches, .. } = self.position;
        if batches == 0 { format!("epoch-{epoch:03}") } else { format!("epoch-{epoch:03}-{images}") }
    }

    /// The latent bank, which training goes on from; `folder` is what the problem names.
    ///
    /// # Errors
    /// Another program trained the model.
    pub fn bank(&self, folder: &Path) -> Result<&Tensor> {
        self.bank.as_ref().ok_or_else(|| {
            Problem::input("is a model that another program trained: training cannot go on from it")
                .at(folder.display().to_string())
                .hint("train on the particles themselves, without `--load`")
        })
    }

    /// Writes the folder into `parent`, whole or not at all, and gives its path.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written.
    pub fn save(&self, parent: &Path) -> Result<PathBuf> {
        fs::create_dir_all(parent).map_err(|error| Problem::io(parent, &error))?;
        let target = parent.join(self.name());
        let temporary = parent.join(format!(".{}.{}.tmp", self.name(), std::process::id()));
        let written = self.write_files(&temporary).and_then(|()| replace(&temporary, &target));
        if written.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        written.map(|()| target)
    }

    fn write_files(&self, folder: &Path) -> Result<()> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(|error| Problem::io(folder, &error))?;
        write_tensors(&folder.join(WEIGHTS), &self.weights)?;
        write_tensors(&folder.join(MOMENTS), &self.moments)?;
        write_tensors(&folder.join(FIXED), &self.fixed)?;
        write_npy(&folder.join(LATENTS), &self.latents)?;
        let mut files = BTreeMap::new();
        for name in [WEIGHTS, MOMENTS, FIXED, LATENTS] {
            files.insert(name.to_owned(), entry(&folder.join(name))?);
        }
        if let Some(bank) = &self.bank {
            write_npy(&folder.join(BANK), bank)?;
            files.insert(BANK.to_owned(), entry(&folder.join(BANK))?);
        }
        let header =
            Header { schema: SCHEMA, position: self.position.clone(), settings: self.settings.clone(), data: self.data.clone(), files };
        let text = serde_json::to_vec_pretty(&header).map_err(|error| Problem::failed(error.to_string()))?;
        write_synced(&folder.join(HEADER), &text)?;
        sync_folder(folder)
    }

    /// Reads a folder, on the CPU.
    ///
    /// # Errors
    /// A file is missing, or is not what `checkpoint.json` says.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::read(folder, true)
    }

    /// The same without the optimiser's moments, which are twice the size of the weights: what a model is made from.
    ///
    /// # Errors
    /// As those of [`Self::load`].
    pub fn load_model(folder: &Path) -> Result<Self> {
        Self::read(folder, false)
    }

    fn read(folder: &Path, with_moments: bool) -> Result<Self> {
        let header = read_header(folder)?;
        for (name, expected) in header.files.iter().filter(|(name, _)| with_moments || *name != MOMENTS) {
            let path = folder.join(name);
            if entry(&path)? != *expected {
                return Err(Problem::input("is damaged: its content is not what `checkpoint.json` says").at(path.display().to_string()));
            }
        }
        let read = |name: &str| read_tensors(&folder.join(name));
        Ok(Self {
            position: header.position,
            settings: header.settings,
            data: header.data,
            weights: read(WEIGHTS)?,
            moments: if with_moments { read(MOMENTS)? } else { HashMap::new() },
            fixed: read(FIXED)?,
            latents: read_npy(&folder.join(LATENTS))?,
            bank: header.files.contains_key(BANK).then(|| read_npy(&folder.join(BANK))).transpose()?,
        })
    }
}

/// The newest complete checkpoint in a folder, with its path; folders that are not complete are reported to `ignored`.
///
/// # Errors
/// The folder exists and cannot be read, or a newer version of the program wrote a checkpoint in it: going on from an older one would lose it.
pub fn newest(parent: &Path, mut ignored: impl FnMut(&Path, &Problem)) -> Result<Option<(PathBuf, Checkpoint)>> {
    let mut found = list(parent)?;
    while let Some((_, path)) = found.pop() {
        let header = path.join(HEADER);
        if let Ok(text) = fs::read(&header) {
            refuse_other_forms(&header, &text)?;
        }
        match Checkpoint::load(&path) {
            Ok(checkpoint) => return Ok(Some((path, checkpoint))),
            Err(problem) => ignored(&path, &problem),
        }
    }
    Ok(None)
}

/// Removes what is not to be kept, given that the newest checkpoint (just saved) is good: older mid-epoch states, and epochs that are
/// neither among the last three, nor the best, nor a k-th. `keep_every` 0 keeps no k-th.
///
/// # Errors
/// A folder cannot be removed.
pub fn tidy(parent: &Path, keep_every: usize) -> Result<()> {
    let found = list(parent)?;
    let Some(newest) = found.last().map(|(key, _)| *key) else { return Ok(()) };
    let epochs: Vec<usize> = found.iter().filter(|(key, _)| key.1 == 0).map(|(key, _)| key.0).collect();
    let best = found
        .iter()
        .filter(|(key, _)| key.1 == 0)
        .filter_map(|(key, path)| Some((read_header(path).ok()?.position.score?, key.0)))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, epoch)| epoch);
    for (key, path) in &found {
        let (epoch, images) = *key;
        let recent = epochs.iter().rev().take(KEEP_NEWEST).any(|&e| e == epoch);
        let kept_for_good = keep_every > 0 && epoch > 0 && epoch % keep_every == 0;
        let keep = *key == newest || images == 0 && (recent || best == Some(epoch) || kept_for_good);
        if !keep {
            fs::remove_dir_all(path).map_err(|error| Problem::io(path, &error))?;
        }
    }
    // What a killed process left under construction.
    for item in fs::read_dir(parent).map_err(|error| Problem::io(parent, &error))?.flatten() {
        let name = item.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".epoch-") && name.ends_with(".tmp") {
            let _ = fs::remove_dir_all(item.path());
        }
    }
    Ok(())
}

/// Removes checkpoints later than an epoch's end: after a roll-back they must not be taken for the newest.
///
/// # Errors
/// A folder cannot be removed.
pub fn remove_after(parent: &Path, epoch: usize) -> Result<()> {
    for ((found, images), path) in list(parent)? {
        if (found, images) > (epoch, 0) {
            fs::remove_dir_all(&path).map_err(|error| Problem::io(&path, &error))?;
        }
    }
    Ok(())
}

/// Checkpoint folders by (epoch, images), ascending, complete or not.
fn list(parent: &Path) -> Result<Vec<((usize, usize), PathBuf)>> {
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Problem::io(parent, &error)),
    };
    let mut found: Vec<_> = entries.flatten().filter_map(|item| Some((key(&item.file_name().to_string_lossy())?, item.path()))).collect();
    found.sort();
    Ok(found)
}

fn key(name: &str) -> Option<(usize, usize)> {
    let rest = name.strip_prefix("epoch-")?;
    match rest.split_once('-') {
        Some((epoch, images)) => Some((epoch.parse().ok()?, images.parse().ok()?)),
        None => Some((rest.parse().ok()?, 0)),
    }
}

fn read_header(folder: &Path) -> Result<Header> {
    let path = folder.join(HEADER);
    let text = fs::read(&path).map_err(|error| Problem::io(&path, &error))?;
    refuse_other_forms(&path, &text)?;
    serde_json::from_slice(&text)
        .map_err(|error| Problem::input(format!("is not understood: {error}")).at(path.display().to_string()).hint(OTHER_FORM))
}

/// Refuses headers of a form that this version does not read; one without any form is damaged, and refused when it is read.
fn refuse_other_forms(path: &Path, text: &[u8]) -> Result<()> {
    match serde_json::from_slice::<Form>(text) {
        Ok(Form { schema }) => require_form(path, schema, SCHEMA),
        Err(_) => Ok(()),
    }
}

/// Size and FNV-1a hash (64 bits) of a file.
fn entry(path: &Path) -> Result<Entry> {
    let fail = |error: std::io::Error| Problem::io(path, &error);
    let mut file = File::open(path).map_err(fail)?;
    let (mut hash, mut bytes) = (0xcbf2_9ce4_8422_2325u64, 0u64);
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            break;
        }
        bytes += n as u64;
        for &byte in &buffer[..n] {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    Ok(Entry { bytes, fnv1a: format!("{hash:016x}") })
}

/// Writes tensors as safetensors, in the order of their names.
///
/// # Errors
/// The disk is full or the file cannot be written.
pub fn write_tensors(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<()> {
    let mut named: Vec<(&str, Tensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), plain(tensor))).collect();
    named.sort_by_key(|(name, _)| *name);
    Tensor::write_safetensors(&named, path).map_err(|error| write_problem(path, &error.to_string()))?;
    sync_file(path)
}

/// Reads a safetensors file, on the CPU.
///
/// # Errors
/// The file is missing or not a safetensors file.
pub fn read_tensors(path: &Path) -> Result<HashMap<String, Tensor>> {
    let tensors = Tensor::read_safetensors(path)
        .map_err(|error| Problem::new(contract::Kind::InputOutput, error.to_string()).at(path.display().to_string()))?;
    Ok(tensors.into_iter().collect())
}

/// Writes an npy file and syncs it.
///
/// # Errors
/// The disk is full or the file cannot be written.
pub fn write_npy(path: &Path, tensor: &Tensor) -> Result<()> {
    plain(tensor).write_npy(path).map_err(|error| write_problem(path, &error.to_string()))?;
    sync_file(path)
}

/// Writes an npy file beside its name and renames it.
///
/// # Errors
/// As [`write_npy`].
pub fn replace_npy(path: &Path, tensor: &Tensor) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    write_npy(&temporary, tensor)?;
    fs::rename(&temporary, path).map_err(|error| Problem::io(path, &error))
}

/// Reads an npy file.
///
/// # Errors
/// The file is missing or not an npy file that the tensor library reads.
pub fn read_npy(path: &Path) -> Result<Tensor> {
    Tensor::read_npy(path).map_err(|error| Problem::new(contract::Kind::InputOutput, error.to_string()).at(path.display().to_string()))
}

fn plain(tensor: &Tensor) -> Tensor {
    tensor.detach().to_device(Device::Cpu).contiguous()
}

fn write_problem(path: &Path, what: &str) -> Problem {
    Problem::new(contract::Kind::InputOutput, what.to_owned()).at(path.display().to_string()).hint("is the disk full?")
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |error: std::io::Error| Problem::io(path, &error);
    let mut file = File::create(path).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.sync_all().map_err(fail)
}

fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| Problem::io(path, &error))
}

fn sync_folder(path: &Path) -> Result<()> {
    sync_file(path)
}

/// Renames a folder over another one.
fn replace(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(|error| Problem::io(to, &error))?;
    }
    fs::rename(from, to).map_err(|error| Problem::io(to, &error))?;
    to.parent().map_or(Ok(()), sync_folder)
}
