//! What ends an epoch: its figures, the validation images, pictures and the checkpoint.

use super::{Course, Progress, Trainer};
use crate::data::Batch;
use crate::decode::map_of;
use crate::model::loss::Fit;
use crate::training::checkpoint;
use crate::training::meters::Meter;
use crate::training::monitor::Line;
use crate::training::{Injection, Work};
use contract::{Event, MapForm, Result};
use cryoem::mrc;
use std::time::{Duration, Instant};
use tch::Tensor;

/// A latent dimension counts as active when its means vary more than this over particles.
const ACTIVE_VARIANCE: f64 = 0.02;
/// Epochs that latents may take to come alive before a warning.
const EPOCHS_TO_LIVE: usize = 2;

impl Trainer<'_> {
    pub(super) fn end_epoch(&mut self, took: Duration) -> Result<Course> {
        match self.settle()? {
            Course::Done => {}
            other => return Ok(other),
        }
        let rate = self.learning_rate();
        let meter = self.position.epoch_meter;
        let warm = self.is_warm(self.position.epoch as f64 + 0.5);
        if !warm {
            match self.position.guard.epoch(&self.settings.guards, meter.kl_nats()) {
                Err(fault) => return Ok(Course::Ill(fault)),
                Ok(true) if self.position.epoch + 1 >= EPOCHS_TO_LIVE => self.warn_for_all(format!(
                    "the latents carry almost nothing after epoch {} (mean KL {:.3} nats): the particles may be homogeneous, or try `--warm-start yes`, a lower `--beta` or more epochs",
                    self.position.epoch + 1,
                    meter.kl_nats()
                )),
                Ok(_) => {}
            }
        }
        let validation = self.validate()?;
        self.position.validation = validation;
        let terms = meter.terms();
        // The warm start's epochs minimise something else and are not compared.
        self.position.score = if warm { None } else { Some(validation.unwrap_or(terms.total)) };
        self.position.epoch += 1;
        self.position.batches = 0;
        self.position.images = 0;
        self.position.epoch_meter = Meter::default();
        self.progress.set(Progress { at: Instant::now(), images: 0, ..self.progress.get() });
        let epoch = self.position.epoch;
        let line = Line::new("epoch", epoch, meter.images(), &meter, rate, validation).with_active_dimensions(self.active_dimensions());
        self.note(&line)?;
        if self.ranks.is_first() {
            self.fitted(Self::write_panels)??;
            self.write_preview()?;
            checkpoint::replace_npy(&self.latents_path(epoch), &self.latents)?;
            self.save()?;
            checkpoint::tidy(&self.spec.checkpoints, self.settings.keep_every)?;
        }
        self.link.tell(Event::Epoch {
            epoch,
            epochs: self.settings.epochs,
            terms,
            validation,
            kl_nats: meter.kl_nats(),
            active_dimensions: self.active_dimensions(),
            snr: meter.snr(),
            learning_rate: rate,
            seconds: took.as_secs_f64(),
        });
        Ok(Course::Done)
    }

    /// Mean reconstruction loss of the validation images at their latent means; nothing is changed but their latents.
    fn validate(&mut self) -> Result<Option<f64>> {
        if self.split.validation.is_empty() {
            return Ok(None);
        }
        let share = self.ranks.share(self.split.validation.len());
        let own = share.select(&self.split.validation);
        let (means, error) = self.fitted(|trainer| trainer.misfits(&own))?;
        let mut sum = [share.weight() * error];
        self.ranks.sum(&mut sum);
        let validation = &self.split.validation;
        let index = Tensor::from_slice(&validation.iter().map(|&i| i as i64).collect::<Vec<_>>()).to_device(self.device);
        let means = self.ranks.rows(&means, share);
        let _ = self.latents.index_copy_(0, &index, &means);
        Ok(Some(sum[0] / (validation.len() as f64 * self.inputs.mean_area)))
    }

    /// [`Self::misfit`] of some particles, a micro-batch at a time.
    fn misfits(&self, particles: &[usize]) -> (Tensor, f64) {
        let parts = particles.chunks(self.assembly.settings.micro_batch.max(1)).map(<[usize]>::to_vec).collect();
        let (mut sum, mut means) = (0.0, Vec::new());
        for batch in self.particles.stream(parts) {
            Injection::starve(self.injected(), Work::Validation, batch.len(), self.device);
            let (of_batch, error) = tch::no_grad(|| self.misfit(&batch));
            sum += error;
            means.push(of_batch);
        }
        (Tensor::cat(&means, 0), sum)
    }

    /// Latent means, and half the squared error of the renderings at them, summed.
    fn misfit(&self, batch: &Batch) -> (Tensor, f64) {
        let cubes = self.inputs.cubes(&self.assembly, batch);
        let (means, _) = self.assembly.encode(&cubes, self.inputs.anchors(batch).as_ref());
        let scene = &self.assembly.scene;
        let volumes = scene.volume.assemble(&self.assembly.net(&means));
        let rendered = self.assembly.render(&volumes, &means, batch, self.box_px);
        let silhouettes = self.inputs.silhouettes(&self.assembly, batch);
        let fit = Fit::new(&rendered, &scene.seen(&batch.images).unsqueeze(1), &silhouettes, &self.settings.numerics);
        let error = fit.squared_error().sum(tch::Kind::Double).double_value(&[]) * 0.5;
        (means, error)
    }

    fn write_panels(&self) -> Result<()> {
        let Some(monitor) = &self.monitor else { return Ok(()) };
        monitor.panels(&self.assembly, self.particles, &self.inputs, &self.latents, self.box_px)
    }

    fn write_preview(&self) -> Result<()> {
        let mean = self.latents.mean_dim([0i64].as_slice(), true, tch::Kind::Float);
        let form = MapForm::plain(self.data.size_px, self.data.apix);
        mrc::write_volume_at(&self.spec.preview, &map_of(&self.assembly, &mean, &form)?, self.spec.preview_origin_angstrom)
    }

    pub(super) fn latents_path(&self, epoch: usize) -> std::path::PathBuf {
        let folder = self.spec.checkpoints.join("latents");
        // A folder that cannot be made shows in the write that follows.
        let _ = std::fs::create_dir_all(&folder);
        folder.join(format!("epoch-{epoch:03}.npy"))
    }

    fn active_dimensions(&self) -> usize {
        let variances = self.latents.var_dim([0i64].as_slice(), false, false);
        usize::try_from(variances.gt(ACTIVE_VARIANCE).sum(tch::Kind::Int64).int64_value(&[])).unwrap_or(0)
    }
}
