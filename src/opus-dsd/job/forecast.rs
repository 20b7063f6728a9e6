//! What a training job would do and need, decided as the job itself decides it, without writing anything.

use super::engine_process::Engine;
use super::stages::{prepare, read};
use super::status::{self, State};
use crate::machine::{disk, memory};
use crate::settings::decided::{self, Decided};
use crate::settings::devices::{is_elsewhere, planned_devices};
use crate::settings::plan;
use crate::settings::rules;
use crate::settings::said::TrainSaid;
use crate::settings::values::Preset;
use contract::memory::{Cache, Footprint, MOST_CACHED_BYTES};
use contract::{Kind, Problem, Result};
use cryoem::prepare::bytes_on_disk;
use std::path::{Path, PathBuf};

/// Newest checkpoints that are kept besides the best one.
const NEWEST: u64 = 3;
/// The engine with libtorch and nothing else, and the worker; resident, measured on Linux.
const ENGINE_BYTES: u64 = 480_000_000;
const WORKER_BYTES: u64 = 100_000_000;
/// On a CPU the engine keeps what a step frees for the next one, in pieces: resident over what the plan counts, at most
/// (docs/benchmarks/memory.md).
const KEPT_IN_PIECES: f64 = 1.6;
/// A particle's row in the worker, with poses, CTF and names.
const ROW_BYTES: u64 = 600;
/// A particle in an engine that trains: poses and CTF, the epoch's order, latents, bank and scores, with the copies that a checkpoint is written
/// from (docs/benchmarks/memory.md).
const TRAINED_ROW_BYTES: u64 = 430;
/// The report with its figures.
const REPORT_BYTES: u64 = 8_000_000;
/// Particle files that repeat the input's rows: all, selected, largest, and one a cluster.
const COPIES_OF_INPUT: u64 = 4;

/// Speeds of a preset's networks, measured (docs/benchmarks/forecast.md).
struct Measured {
    /// CPU seconds that an image takes an epoch whatever the template.
    epoch_cpu_s: f64,
    /// CPU seconds that an image takes an epoch besides, at [`Measured::template`]; they grow with its voxels.
    epoch_of_template_cpu_s: f64,
    /// What the other stages take; `None` where that was not measured.
    other: Option<Other>,
    /// Side of the decoded volume that this was measured with, voxels.
    template: usize,
}

/// All stages but training.
struct Other {
    /// CPU seconds an image.
    image_cpu_s: f64,
    /// CPU seconds of what does not grow with the images: three processes start, maps are decoded, a report is drawn.
    fixed_cpu_s: f64,
}

fn measured(preset: Preset) -> Measured {
    let plain = |epoch_of_template_cpu_s, image_cpu_s, fixed_cpu_s, template| Measured {
        epoch_cpu_s: 0.0,
        epoch_of_template_cpu_s,
        other: Some(Other { image_cpu_s, fixed_cpu_s }),
        template,
    };
    match preset {
        Preset::Tiny => plain(0.0065, 0.0135, 1.5, 32),
        Preset::Small => plain(0.057, 0.054, 13.0, 64),
        Preset::Full => Measured { epoch_cpu_s: 0.19, epoch_of_template_cpu_s: 1.9, other: None, template: 192 },
    }
}

/// What a job takes of one core.
pub(crate) struct CpuTime {
    /// CPU seconds.
    pub(crate) seconds: f64,
    /// Of an epoch of training.
    pub(crate) epoch_seconds: f64,
    /// Whether that is training alone, since nothing else was measured.
    pub(crate) training_only: bool,
}

/// A job that has not been started.
pub(crate) struct Forecast {
    pub(crate) decided: Decided,
    pub(crate) particles: usize,
    pub(crate) notes: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// What the folder holds already.
    pub(crate) folder: State,
    /// Where the prepared images go, and their bytes.
    pub(crate) prepared: (PathBuf, u64),
    /// A checkpoint's bytes, and how many are kept.
    pub(crate) checkpoint: (u64, u64),
    /// Maps, particle files, latents, report; bytes.
    pub(crate) results: u64,
    /// Bytes of host memory of all processes.
    pub(crate) host_memory: u64,
    /// Bytes on the GPU, where one trains; on each of several.
    pub(crate) device_memory: Option<u64>,
    /// What the job takes where the device is the CPU.
    pub(crate) cpu_time: Option<CpuTime>,
}

/// Decides everything. The engine is started for its devices, and ended.
///
/// # Errors
/// Whatever would end the job before it prepares its images.
pub(crate) fn forecast(said: &TrainSaid, folder: &Path) -> Result<Forecast> {
    let mut engine = Engine::start(1, |_| {})?;
    let read::Gathered { input, notes, mut warnings } = read::gather(said)?;
    engine.greet()?;
    let facts = input.facts()?;
    let (grid, book) = decided::grid(said, &facts, &planned_devices(said, &engine.devices)?, said.launch()?.as_ref())?;
    let mask = prepare::mask(&input, &facts, &grid)?;
    let crop_px = prepare::crop_px(&mask, &grid);
    let decided = decided::decide(said, &facts, grid, book, crop_px);
    warnings.extend(decided.idle_ranks());
    let particles = input.particles.len();
    let state = if folder.is_dir() { status::look(folder)?.state } else { State::Empty };
    let place = match &said.scratch {
        // The scratch folder is named after the job's place, which may not be there yet.
        Some(scratch) if !folder.is_dir() => scratch.clone(),
        scratch => prepare::folder(folder, scratch.as_deref())?,
    };
    let table = std::fs::metadata(&input.path).map_or(0, |m| m.len());
    Ok(Forecast {
        prepared: (place, bytes_on_disk(particles, decided.grid.size_px)),
        checkpoint: checkpoints(&decided, particles),
        results: results(&decided, particles, table),
        host_memory: host_memory(&decided, particles),
        device_memory: (decided.grid.device.id != "cpu").then(|| training_memory(&decided)),
        cpu_time: (decided.grid.device.id == "cpu").then(|| cpu_time(&decided, particles)),
        folder: state,
        decided,
        particles,
        notes,
        warnings,
    })
}

impl Forecast {
    /// Whether it is for another machine: one with GPUs, which this one has not.
    pub(crate) fn is_elsewhere(&self) -> bool {
        is_elsewhere(&self.decided.grid.device)
    }

    /// What the job would fail of for want of space or memory.
    ///
    /// # Errors
    /// The first of these.
    pub(crate) fn check(&self, folder: &Path) -> Result<()> {
        let room = |path: &Path, needed: u64| {
            let free = disk::free_bytes(path).unwrap_or(u64::MAX);
            let what = format!("{} are needed, {} are free", disk::for_people(needed), disk::for_people(free));
            let problem = Problem::new(Kind::InputOutput, what).at(path.display().to_string());
            if free < needed { Err(problem.hint("free space, or choose another disk with `--scratch` or `--o`")) } else { Ok(()) }
        };
        let (prepared, bytes) = &self.prepared;
        let own = self.results + self.checkpoint.0 * self.checkpoint.1;
        if prepared.starts_with(folder) {
            room(folder, own + bytes)?;
        } else {
            room(prepared, *bytes)?;
            room(folder, own)?;
        }
        let usable = memory::read().usable();
        if usable < self.host_memory && !self.is_elsewhere() {
            let what =
                format!("about {} of memory are needed, {} can be had", disk::for_people(self.host_memory), disk::for_people(usable));
            return Err(Problem::new(Kind::Device, what).at("memory").hint("ask the queue system for more, or lower `--micro-batch`"));
        }
        let device = self.decided.grid.scarcest();
        let there = device.free_bytes.unwrap_or(device.memory_bytes);
        let Some(needed) = self.device_memory.filter(|&needed| device.memory_bytes > 0 && needed > there) else { return Ok(()) };
        let needed = disk::for_people(needed);
        let problem = |what: String| Problem::new(Kind::Device, what).at(device.id.clone());
        Err(match plan::left_by_others(device) {
            Some(free) => {
                let (free, all) = (disk::for_people(free), disk::for_people(device.memory_bytes));
                problem(format!("about {needed} are needed, {free} of {all} are free"))
                    .hint("choose another GPU with `--gpu`, wait until what others run there has ended, or lower `--gpu-memory`, `--batch` or `--templateres`")
            }
            None => problem(format!("about {needed} are needed, it has {}", disk::for_people(there)))
                .hint("lower `--batch`, `--micro-batch` or `--templateres`"),
        })
    }
}

fn checkpoints(decided: &Decided, particles: usize) -> (u64, u64) {
    let (n, epochs) = (particles as u64, decided.train.epochs as u64);
    let zdim = decided.train.layout.zdim as u64;
    let map = 4 * (decided.grid.size_px as u64).pow(3);
    // Weights and two moments; base and mask; latents, the prior's bank, scores.
    let bytes = 3 * Footprint::of(&decided.train).weights + 2 * map + 3 * 4 * n * zdim;
    let regular = epochs.checked_div(decided.train.keep_every as u64).unwrap_or(0);
    // Of the first epochs and the start itself.
    (bytes, (epochs + 1).min(NEWEST + 1 + regular))
}

fn results(decided: &Decided, particles: usize, table: u64) -> u64 {
    let map = 4 * (decided.map_box_px as u64).pow(3);
    let grid = 4 * (decided.grid.size_px as u64).pow(3);
    let components = decided.train.warm_start.map_or(0, |w| w.components as u64);
    let latents = 4 * particles as u64 * decided.train.layout.zdim as u64 * (decided.train.epochs as u64 + 1);
    // Where the number of clusters follows from the latents, the most that there can be.
    let clusters = decided.clusters.unwrap_or(rules::MOST_DECIDED_CLUSTERS) as u64;
    (clusters + 1) * map + (components + 2) * grid + COPIES_OF_INPUT * table + latents + REPORT_BYTES
}

/// What a step takes of its device, or of each.
fn training_memory(decided: &Decided) -> u64 {
    let train = &decided.train;
    Footprint::of(train).bytes(decided.grid.share(train.batch), train.micro_batch, train.recompute_encoder)
}

fn host_memory(decided: &Decided, particles: usize) -> u64 {
    let ranks = decided.grid.ranks_here() as u64;
    let training = if decided.grid.device.id == "cpu" { (training_memory(decided) as f64 * KEPT_IN_PIECES) as u64 } else { 0 };
    let kept = Cache::within(&decided.train.layout, particles, MOST_CACHED_BYTES / ranks).bytes;
    let rows = particles as u64;
    WORKER_BYTES + ROW_BYTES * rows + ranks * (ENGINE_BYTES + TRAINED_ROW_BYTES * rows + kept + training)
}

fn cpu_time(decided: &Decided, particles: usize) -> CpuTime {
    let measured = measured(decided.grid.preset);
    let size = (decided.train.layout.template as f64 / measured.template as f64).powi(3);
    let epoch_seconds = particles as f64 * (measured.epoch_cpu_s + measured.epoch_of_template_cpu_s * size);
    let training = epoch_seconds * decided.train.epochs as f64;
    let other = measured.other.as_ref().map_or(0.0, |other| other.fixed_cpu_s + particles as f64 * other.image_cpu_s);
    CpuTime { seconds: training + other, epoch_seconds, training_only: measured.other.is_none() }
}
