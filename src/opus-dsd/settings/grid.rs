//! What is decided before anything is prepared: preset, image size, and the devices and processes that work together.

use super::plan;
use super::values::Preset;
use contract::Device;
use serde::{Deserialize, Serialize};

/// Before the mask is on the render grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Grid {
    pub(crate) preset: Preset,
    /// Side of the prepared images, pixels.
    pub(crate) size_px: usize,
    /// Device that trains, or the first of them.
    pub(crate) device: Device,
    /// Devices of the other engines on this machine, where they are others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<Device>,
    /// Devices of the engines that this job starts to train together, one each.
    #[serde(default)]
    pub(crate) engines: Vec<String>,
    /// Where a cluster's launcher started the processes that train together.
    #[serde(default)]
    pub(crate) launched: Option<Launched>,
    /// Threads: of the engines that this job starts together; of each process where a launcher started them.
    pub(crate) threads: usize,
}

/// Processes that a cluster's launcher started, an engine each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launched {
    /// On all machines.
    pub(crate) processes: usize,
    /// On the first one's machine.
    pub(crate) here: usize,
    /// Threads of the first one's engine once training has ended, when the others stand by.
    #[serde(default)]
    pub(crate) threads_after: usize,
}

impl Grid {
    /// Engines that train together.
    pub(crate) fn ranks(&self) -> usize {
        self.launched.map_or(self.engines.len().max(1), |launched| launched.processes)
    }

    /// Those of them on this machine.
    pub(crate) fn ranks_here(&self) -> usize {
        self.launched.map_or(self.ranks(), |launched| launched.here)
    }

    /// The device on which a step has least room: the same plan holds for all.
    pub(crate) fn scarcest(&self) -> &Device {
        self.others.iter().fold(&self.device, |least, other| if plan::of_gpu(other) < plan::of_gpu(least) { other } else { least })
    }

    /// Threads of each engine.
    pub(crate) fn threads_an_engine(&self) -> usize {
        (self.threads / self.engines.len().max(1)).max(1)
    }

    /// Threads of the one engine that works once training has ended.
    pub(crate) fn threads_after_training(&self) -> usize {
        self.launched.map_or(self.threads, |launched| launched.threads_after.max(self.threads))
    }

    /// Has one engine do all that a trained job's model is used for later, whatever trained it.
    pub(crate) fn set_one_engine(&mut self, device: Device, threads: usize) {
        (self.device, self.threads) = (device, threads);
        (self.engines, self.others, self.launched) = (Vec::new(), Vec::new(), None);
    }

    /// Threads that train, of all engines.
    pub(crate) fn threads_that_train(&self) -> usize {
        self.launched.map_or(self.threads, |launched| self.threads * launched.processes)
    }

    /// The images of a batch that one engine takes, at most.
    pub(crate) fn share(&self, batch: usize) -> usize {
        batch.div_ceil(self.ranks())
    }
}
