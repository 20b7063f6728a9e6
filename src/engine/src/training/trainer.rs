//! The run: epochs, checkpoints, roll-backs, and the final pass over all particles.

mod epoch_end;
mod fitting;
mod recovery;
mod schedule;

use super::batches::{Batches, Split};
use super::checkpoint::{self, Checkpoint, DataFacts, Position};
use super::guards::Fault;
use super::inputs::Inputs;
use super::meters::PendingFigures;
use super::monitor::{Line, Monitor};
use super::optimiser::{AdamW, Parameter};
use super::step::{Classes, Draws, Step, TermWeights, Yield};
use super::{Faults, Injection, Outcome, Work, ground, resume};
use crate::assembly::Assembly;
use crate::data::{Batch, Particles};
use crate::devices;
use crate::encode;
use crate::link::Link;
use crate::model::bank::LatentBank;
use crate::model::schedules::RunningSignal;
use crate::model::tuning;
use crate::world::Ranks;
use contract::{BaseVolume, Event, Problem, Result, TrainOutcome, TrainSettings, TrainSpec};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

/// Time between two progress messages, at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(900);
/// Batches of a GPU whose figures are read together, at most: reading waits for all that is queued. A fault shows so much later.
const MOST_UNREAD: usize = 32;

/// Trains as the command says, from the newest checkpoint where there is one.
///
/// # Errors
/// Input that does not fit together, a checkpoint of another model, a full disk, or numbers that stay wrong after all roll-backs.
pub fn train(spec: &TrainSpec, link: &dyn Link, faults: Faults) -> Result<Outcome> {
    let device = devices::find(&spec.device)?;
    tch::set_num_threads(i32::try_from(spec.threads).unwrap_or(1).max(1));
    devices::keep_freed_memory(device);
    let wishes = tuning::Wishes::of_environment()?;
    let tuning = wishes.settle(device);
    if wishes != tuning::Wishes::default() {
        link.warn(format!("works as the environment asks, not by default: {tuning}"));
    }
    let particles = Particles::open(&spec.prepared, device)?;
    let ranks = Ranks::join(spec.world.as_ref(), device, &|event| link.tell(event))?;
    let ignored = |path: &Path, problem: &Problem| link.warn(format!("ignoring the checkpoint {}: {problem}", path.display()));
    let newest = if ranks.is_first() { checkpoint::newest(&spec.checkpoints, ignored)? } else { None };
    let outcome = match Trainer::new(spec, link, &particles, device, faults, newest, ranks)? {
        Some(mut trainer) => {
            let outcome = trainer.run()?;
            if let Outcome::Complete(_) = &outcome {
                trainer.ranks.leave();
            }
            outcome
        }
        None => Outcome::Stopped,
    };
    // What is decoded next needs less, and in other pieces.
    devices::release_unused(device);
    Ok(outcome)
}

struct Trainer<'a> {
    spec: &'a TrainSpec,
    settings: &'a TrainSettings,
    link: &'a dyn Link,
    particles: &'a Particles,
    device: Device,
    ranks: Ranks,
    assembly: Assembly,
    inputs: Inputs,
    optimiser: AdamW,
    bank: LatentBank,
    latents: Tensor,
    position: Position,
    split: Split,
    batches: Batches,
    classes: Option<Classes>,
    data: DataFacts,
    box_px: usize,
    /// Of the first rank.
    monitor: Option<Monitor>,
    notes: Vec<String>,
    faults: Faults,
    progress: Cell<Progress>,
    saved_at: Instant,
    /// The last batches' figures, not read yet.
    unread: Vec<Unread>,
    /// What the next batch is steered by: of all batches but the last.
    signal_before: RunningSignal,
    /// Of all batches.
    signal: RunningSignal,
}

/// A batch whose figures have not been read.
struct Unread {
    figures: PendingFigures,
    rate: f64,
    /// Images of the epoch, with this batch.
    images: usize,
}

/// When what was last said.
#[derive(Clone, Copy)]
struct Progress {
    /// When something was last said, whatever the epoch.
    told: Instant,
    /// Since when images are counted.
    at: Instant,
    images: usize,
}

/// How a batch or an epoch went.
enum Course {
    Done,
    Stop,
    Ill(Fault),
}

impl<'a> Trainer<'a> {
    /// `None`: stopped before the first step.
    fn new(
        spec: &'a TrainSpec,
        link: &'a dyn Link,
        particles: &'a Particles,
        device: Device,
        faults: Faults,
        newest: Option<(std::path::PathBuf, Checkpoint)>,
        ranks: Ranks,
    ) -> Result<Option<Self>> {
        let settings = &spec.settings;
        let stop = || link.stop_asked();
        let prepared = particles.prepared();
        let maps = ground::read_maps(spec, prepared.size_px, prepared.apix)?;
        let mut data = DataFacts {
            fingerprint: prepared.fingerprint.clone(),
            particles: prepared.particles,
            size_px: prepared.size_px,
            apix: prepared.apix,
            base_scale: 1.0,
        };
        let mut notes = Vec::new();
        let assembly = match &newest {
            Some((folder, checkpoint)) => {
                resume::require_same(checkpoint, folder, settings, &data, &maps)?;
                for note in resume::notes(checkpoint, settings) {
                    link.log(note);
                }
                let mut assembly = Assembly::of_checkpoint(checkpoint, device)?;
                assembly.take_settings(settings);
                assembly
            }
            None if ranks.is_first() => match ground::fresh(spec, maps, particles, device, &stop)? {
                Some(assembly) => assembly,
                None => return Ok(None),
            },
            None => ground::following(spec, maps, &ranks, particles, device)?,
        };
        if let Some(problem) = assembly.without_kernel() {
            link.warn(format!(
                "projections, the encoder's input, the smoothing or the volume priors take longer and more memory than they need: {problem}"
            ));
        }
        if ranks.is_first() {
            ground::lead(&assembly, &ranks);
        }
        data.base_scale = assembly.maps.base_scale;
        if settings.base != BaseVolume::None {
            notes.push(format!("grey scale of the base volume in the images: {:.4}", data.base_scale));
        }
        let anchors = assembly.scores.as_ref().map(|scores| assembly.anchors(scores));
        let Some(inputs) = Inputs::new(&assembly, particles, anchors, ranks.here(), &stop) else { return Ok(None) };
        let parameters = assembly.weights().into_iter().map(|(name, value)| Parameter { name, value, rate: 1.0 }).collect();
        let split = Split::new(settings.seed, particles.len(), settings.validation_fraction);
        let batches = if settings.view_class_batches {
            Batches::by_view(settings.seed, &split.training, settings.batch, |i| particles.rotation(i))
        } else {
            Batches::random(settings.seed, &split.training, settings.batch)
        };
        let shape = [particles.len() as i64, assembly.latent_dimensions()];
        let start = inputs.all_anchors().map_or_else(|| Tensor::zeros(shape, (tch::Kind::Float, device)), Tensor::copy);
        let position = Position { step_factor: 1.0, ..Position::default() };
        let mut trainer = Self {
            optimiser: AdamW::new(parameters, settings.weight_decay),
            bank: LatentBank::new(&start),
            latents: start,
            classes: (settings.lamb > 0.0).then(|| ground::view_classes(particles, &split.training)),
            box_px: prepared.groups.first().map_or(prepared.size_px, |group| group.box_px),
            monitor: ranks
                .is_first()
                .then(|| Monitor::open(&spec.monitor, newest.as_ref().map_or(0, |(_, checkpoint)| checkpoint.position.losses_bytes)))
                .transpose()?,
            progress: Cell::new(Progress { told: Instant::now(), at: Instant::now(), images: 0 }),
            saved_at: Instant::now(),
            unread: Vec::new(),
            signal_before: RunningSignal::new(position.signal, device),
            signal: RunningSignal::new(position.signal, device),
            spec,
            settings,
            link,
            particles,
            device,
            ranks,
            assembly,
            inputs,
            position,
            split,
            batches,
            data,
            notes,
            faults,
        };
        match newest {
            Some((folder, checkpoint)) => {
                trainer.restore(&checkpoint)?;
                link.log(format!("going on from {}", folder.display()));
            }
            None if trainer.ranks.is_first() => trainer.begin()?,
            None => {}
        }
        trainer.follow_first()?;
        Ok(Some(trainer))
    }

    /// The state before the first step: what a roll-back in the first epoch returns to.
    fn begin(&mut self) -> Result<()> {
        if let Some(folder) = &self.spec.load {
            let loaded = Checkpoint::load_model(folder)?;
            let bank = loaded.bank(folder)?.to_device(self.device);
            self.assembly
                .load_weights(&loaded.weights)
                .map_err(|problem| problem.hint(format!("`--load` needs the same architecture as {}", folder.display())))?;
            if loaded.latents.size() == self.latents.size() {
                self.latents = loaded.latents.to_device(self.device);
                self.bank = LatentBank::new(&bank);
            } else {
                self.link.warn(format!("{} has other particles: its weights are taken over, its latents are not", folder.display()));
            }
        }
        self.save()?;
        Ok(())
    }

    fn run(&mut self) -> Result<Outcome> {
        while self.position.epoch < self.settings.epochs {
            match self.epoch()? {
                Course::Done => {}
                Course::Stop => {
                    // A last batch that went wrong is not worth keeping: the checkpoint before it is there.
                    if let Course::Done = self.settle()? {
                        self.save()?;
                    }
                    return Ok(Outcome::Stopped);
                }
                Course::Ill(fault) => self.roll_back(&fault)?,
            }
        }
        let anchors = self.inputs.all_anchors();
        let share = self.ranks.share(self.particles.len());
        let own: Vec<usize> = (share.from..share.from + share.count).collect();
        let own = if own.is_empty() { vec![0] } else { own };
        let encoded = |batch: Batch| {
            Injection::starve(self.injected(), Work::LastPass, batch.len(), self.device);
            encode::means_of(&self.assembly, self.particles, batch, anchors)
        };
        let (stop, warn) = (|| self.link.stop_asked(), |message: String| self.warn_of_own(&message));
        let Some(means) = encode::in_parts(self.particles, &own, &stop, &warn, &encoded)? else { return Ok(Outcome::Stopped) };
        let latents = self.ranks.rows(&means, share);
        let path = self.latents_path(self.position.epoch);
        if self.ranks.is_first() {
            checkpoint::replace_npy(&path, &latents)?;
        }
        Ok(Outcome::Complete(TrainOutcome {
            checkpoint: self.spec.checkpoints.join(format!("epoch-{:03}", self.position.epoch)),
            epochs: self.position.epoch,
            latents: path,
            notes: std::mem::take(&mut self.notes),
        }))
    }

    /// The rest of the running epoch.
    fn epoch(&mut self) -> Result<Course> {
        let began = Instant::now();
        let order = self.batches.epoch(self.position.epoch + 1, self.position.guard.roll_backs);
        let particles = self.particles;
        let rest = &order[self.position.batches..];
        let own = rest.iter().map(|whole| self.ranks.share(whole.len()).select(whole)).collect();
        for (batch, whole) in particles.stream(own).zip(rest) {
            match self.batch(&batch, whole)? {
                Course::Done => {}
                other => return Ok(other),
            }
        }
        self.end_epoch(began.elapsed())
    }

    /// One effective batch, of which `batch` is this rank's share. Figures of batches before it are read where that is due, while the device
    /// works on this one; a fault is seen so much later, and the roll-back undoes the batches since, too.
    fn batch(&mut self, batch: &Batch, whole: &[usize]) -> Result<Course> {
        let weights = self.weights();
        let Some(result) = self.gradients(batch, whole, &weights)? else { return Ok(Course::Stop) };
        if self.is_reading_due() {
            match self.settle()? {
                Course::Done => {}
                other => return Ok(other),
            }
            // Here all figures are read, on all ranks after the same batch, and this one's gradients have not been used yet.
            let overdue = self.saved_at.elapsed().as_secs_f64() > 60.0 * self.settings.checkpoint_minutes;
            if overdue && self.ranks.is_first() && self.position.batches > 0 {
                self.save()?;
            }
        }
        let rate = self.learning_rate();
        self.optimiser.step(rate);
        self.bank.update(&result.index, &result.means);
        let _ = self.latents.index_copy_(0, &result.index, &result.means);
        let position = &mut self.position;
        position.images += result.figures.images;
        position.batches += 1;
        position.steps += 1;
        let images = position.images;
        let signal = self.signal.with(&result.figures.signal());
        self.signal_before = std::mem::replace(&mut self.signal, signal);
        self.unread.push(Unread { figures: result.figures, rate, images });
        self.tell_progress(0);
        Ok(Course::Done)
    }

    /// The batch's gradients, in parts that fit into memory; `None`: stopped as asked. The other ranks wait where this one does its share again.
    fn gradients(&mut self, batch: &Batch, whole: &[usize], weights: &TermWeights) -> Result<Option<Yield>> {
        self.optimiser.zero_grad();
        self.ranks.keep_sums();
        let result = self.fitted(|trainer| {
            let step = Step {
                assembly: &trainer.assembly,
                inputs: &trainer.inputs,
                bank: &trainer.bank,
                classes: trainer.classes.as_ref(),
                ranks: &trainer.ranks,
                weights,
                draws: Draws {
                    seed: trainer.settings.seed,
                    epoch: trainer.position.epoch as u64 + 1,
                    attempt: trainer.position.guard.roll_backs as u64,
                    batch: trainer.position.batches as u64,
                },
                box_px: trainer.box_px,
                injected: trainer.injected(),
            };
            let asked = |done: usize| {
                trainer.tell_progress(done * trainer.ranks.size());
                trainer.link.stop_asked()
            };
            step.gradients(batch, whole, &asked)
        })?;
        // A stop may leave sums that a GPU is still working on: they stay until the group is left.
        if result.is_some() {
            self.ranks.forget_sums();
        }
        Ok(result)
    }

    /// Whether the unread figures fill an interval, or are as many as may wait; on a CPU each batch's have been made when it is done. The same
    /// on all ranks, whose clocks must not matter here.
    fn is_reading_due(&self) -> bool {
        let most = self.faults.read_together.unwrap_or(if self.device == Device::Cpu { 1 } else { MOST_UNREAD });
        let images: usize = self.unread.iter().map(|batch| batch.figures.images).sum();
        let full = self.position.interval_meter.images() + images >= self.settings.log_interval;
        !self.unread.is_empty() && (self.unread.len() >= most || full)
    }

    /// Reads the figures that have not been read: meters, guards, metrics.
    fn settle(&mut self) -> Result<Course> {
        let unread = std::mem::take(&mut self.unread);
        let figures = PendingFigures::read(&unread.iter().map(|batch| &batch.figures).collect::<Vec<_>>());
        for (batch, figures) in unread.iter().zip(&figures) {
            let position = &mut self.position;
            if let Err(fault) = position.guard.batch(&self.settings.guards, self.settings.logstd_bounds, figures) {
                return Ok(Course::Ill(fault));
            }
            position.epoch_meter.add(figures);
            position.interval_meter.add(figures);
            self.report(batch)?;
        }
        if !unread.is_empty() {
            self.position.signal_before = Some(self.signal_before.read());
            self.position.signal = self.signal.read();
        }
        Ok(Course::Done)
    }

    /// Metrics by the number of images.
    fn report(&mut self, &Unread { rate, images, .. }: &Unread) -> Result<()> {
        let epoch = self.position.epoch + 1;
        if self.position.interval_meter.images() >= self.settings.log_interval {
            let meter = std::mem::take(&mut self.position.interval_meter);
            self.note(&Line::new("interval", epoch, images, &meter, rate, None))?;
            self.link.tell(Event::Metric {
                epoch,
                images,
                terms: meter.terms(),
                kl_nats: meter.kl_nats(),
                snr: meter.snr(),
                learning_rate: rate,
            });
        }
        Ok(())
    }

    /// Adds a line to the loss figures.
    fn note(&mut self, line: &Line) -> Result<()> {
        if let Some(monitor) = &mut self.monitor {
            monitor.line(line)?;
            self.position.losses_bytes = monitor.bytes();
        }
        Ok(())
    }

    /// Tells how far the epoch is, where that was not told lately; `done` images of the running batch are decoded.
    fn tell_progress(&self, done: usize) {
        let last = self.progress.get();
        if last.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        let seconds = last.at.elapsed().as_secs_f64();
        let images = self.position.images + done;
        self.progress.set(Progress { told: Instant::now(), at: Instant::now(), images });
        self.link.tell(Event::Progress {
            epoch: self.position.epoch + 1,
            epochs: self.settings.epochs,
            images,
            of: self.split.training.len(),
            images_per_second: images.saturating_sub(last.images) as f64 / seconds,
        });
    }

    fn injected(&self) -> Option<Injection> {
        self.faults.inject.filter(|(from, _)| self.position.steps >= *from).map(|(_, injection)| injection)
    }
}
