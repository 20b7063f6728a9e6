//! One effective batch: encoded whole, decoded in parts that sum their gradients.
//!
//! The graph is cut at the latents. Every part decodes its latents as leaves and adds to their gradient; then one pass back through the
//! encoder takes that gradient together with the terms that live on latents. So nothing but rounding depends on the parts' size.
//!
//! Nothing here waits for a GPU: figures stay where they are made until somebody reads them.
//!
//! Of several ranks each takes its share of the batch. All means are over the whole batch, and gradients and figures are summed over
//! ranks, so that nothing but rounding depends on the number of ranks either. A rank may do all of it again ([`Ranks::repeat_sums`]).

use super::batches::Purpose;
use super::inputs::Inputs;
use super::meters::PendingFigures;
use super::reduction::{Half, Reduction};
use super::{Injection, Work};
use crate::assembly::Assembly;
use crate::data::{Batch, runs};
use crate::devices::send;
use crate::model::bank::{LatentBank, draw_pool, draw_random, far_of, near_of};
use crate::model::loss::{Fit, divergence_nats, gated_prior_weight};
use crate::model::prior::Prior;
use crate::world::{Ranks, Share};
use cryoem::random::Random;
use tch::{Device, Kind, Tensor};

/// Weights of the encoder's fit to the warm start: of the mean, of the log standard deviation, and the value that the latter is drawn to
/// (docs/concepts/learning.md).
const FIT_MEAN: f64 = 5.0;
const FIT_LOGSTD: f64 = 0.05;
const FIT_LOGSTD_TO: f64 = -1.6;
/// Noise on the scores that the decoder learns from, in their standard deviation.
const SCORE_NOISE: f64 = 0.2;
/// The original weighs its terms against the whole squared error; here half of it is the negative log likelihood.
const ORIGINAL_WEIGHT: f64 = 0.5;

/// What the terms weigh in this batch.
#[derive(Debug)]
pub struct TermWeights {
    /// Of the divergence, nats; double precision, `[]`, on the device, since it may follow figures that nobody has read.
    pub divergence: Tensor,
    /// Of the disentanglement prior, before its gate.
    pub prior: f64,
    /// Of mean |v|.
    pub magnitude: f64,
    /// Of the total variation.
    pub variation: f64,
    /// Running signal-to-noise ratio, for the prior's gate; double precision, `[]`, on the device.
    pub snr: Tensor,
    /// Whether latents are given by the warm start's scores.
    pub warm: bool,
}

/// Where random numbers come from in this batch.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 1.
    pub epoch: u64,
    /// Times that the run was rolled back.
    pub attempt: u64,
    /// Number of the batch in its epoch.
    pub batch: u64,
}

/// View classes for the prior's contrasts.
pub struct Classes {
    /// Class of each particle.
    pub of: Vec<usize>,
    /// Training particles of each class, ascending.
    pub members: Vec<Vec<i64>>,
}

/// What a batch left besides the gradients.
pub struct Yield {
    /// Figures of the whole batch, for meters and guards.
    pub figures: PendingFigures,
    /// Particles of the whole batch, `[b]`.
    pub index: Tensor,
    /// Their latent means, `[b, d]`.
    pub means: Tensor,
}

/// Everything that a batch is computed with.
pub struct Step<'a> {
    /// Model and scene.
    pub assembly: &'a Assembly,
    /// Fixed inputs.
    pub inputs: &'a Inputs,
    /// The prior's memory.
    pub bank: &'a LatentBank,
    /// View classes, where the prior has a weight.
    pub classes: Option<&'a Classes>,
    /// Who else works on the batch.
    pub ranks: &'a Ranks,
    /// Terms' weights.
    pub weights: &'a TermWeights,
    /// Random numbers.
    pub draws: Draws,
    /// Box of the original images, pixels.
    pub box_px: usize,
    /// A fault to inject (tests only).
    pub injected: Option<Injection>,
}

impl Step<'_> {
    /// Adds the gradients of the `whole` batch to the parameters; `batch` holds this rank's share of it. `stop` is asked before every part
    /// and told how many images of the share are done; `None` when it said so, and the gradients are then of no use.
    #[must_use]
    pub fn gradients(&self, batch: &Batch, whole: &[usize], stop: &dyn Fn(usize) -> bool) -> Option<Yield> {
        let settings = &self.assembly.settings;
        let share = self.ranks.share(whole.len());
        let (count, area) = (whole.len() as f64, self.inputs.mean_area);
        // Of an image in the mean over the whole batch.
        let portion = share.weight() / (count * area);
        let anchors = self.inputs.anchors(batch);
        let (mu, raw_logstd) = self.assembly.encode(&self.inputs.cubes(self.assembly, batch), anchors.as_ref());
        let (mu, raw_logstd) = self.inject_latents(mu, raw_logstd);
        let (low, high) = settings.logstd_bounds;
        let logstd = raw_logstd.clamp(low, high);
        let noise = self.noise(batch, mu.size()[1], Purpose::Latent);
        let scores = if self.weights.warm { anchors } else { None };
        let sampled = &mu + logstd.exp() * noise;
        let decoded_from = match &scores {
            Some(scores) => scores + self.noise(batch, mu.size()[1], Purpose::WarmStart) * SCORE_NOISE,
            None => sampled.shallow_clone(),
        };
        let leaf = decoded_from.detach().set_requires_grad(true);
        let mut sums = Sums::new(mu.device());
        for part in runs(batch.len(), settings.micro_batch) {
            let (from, size) = (part[0], part.len());
            if stop(from) {
                return None;
            }
            let loss = self.decode_part(&batch.part(from, size), &leaf.narrow(0, from as i64, size as i64), &mut sums);
            (loss * portion).backward();
        }
        let nothing = Tensor::zeros([], (Kind::Double, mu.device()));
        let (mut kl, mut prior, mut warm_start) = (nothing.shallow_clone(), nothing.shallow_clone(), nothing);
        // Of the unclamped deviation: the clamp has no gradient, this draws it back.
        let divergence = divergence_nats(&mu, &raw_logstd).sum(Kind::Float);
        let mut latent_loss = if let Some(scores) = &scores {
            let misfit =
                (&mu - scores).square().sum(Kind::Float) * FIT_MEAN + (&raw_logstd - FIT_LOGSTD_TO).square().sum(Kind::Float) * FIT_LOGSTD;
            let fit = misfit * portion;
            warm_start = figure(&fit);
            fit
        } else {
            let weighted = &divergence * (&self.weights.divergence * portion).to_kind(Kind::Float);
            kl = figure(&weighted);
            weighted + (&sampled * leaf.grad()).sum(Kind::Float)
        };
        let index = send(&Tensor::from_slice(&whole.iter().map(|&i| i as i64).collect::<Vec<_>>()), mu.device());
        let means = self.ranks.rows(&mu.detach(), share);
        if self.weights.prior > 0.0 && !self.weights.warm {
            let magnitude = self.ranks.total(&sums.magnitude * share.weight()) / count;
            let gated = gated_prior_weight(self.weights.prior, &self.weights.snr, &magnitude) * (ORIGINAL_WEIGHT / area);
            let samples = self.ranks.rows(&sampled, share);
            // Computed whole on every rank; the gradient goes to the rank's own latents.
            if let Some(term) = self.prior(whole, &index, &own_among(&means, &mu, share), &own_among(&samples, &sampled, share)) {
                let weighted = term * gated.to_kind(Kind::Float);
                if self.ranks.is_first() {
                    prior = figure(&weighted);
                }
                latent_loss += weighted;
            }
        }
        // A GPU's sums are queued: those above would wait for these gradients, and the encoder's pass, which needs them, too.
        let decoder = Reduction::begin(self.assembly, Half::Decoder, self.ranks);
        latent_loss.backward();
        let held = if settings.recompute_encoder { settings.micro_batch } else { batch.len() };
        Injection::starve(self.injected, Work::EncoderBackward, held, mu.device());
        let encoder = Reduction::begin(self.assembly, Half::Encoder, self.ranks);
        let raw = raw_logstd.detach();
        // In the order that the figures are read in.
        let own = [
            sums.half_error * portion,
            kl,
            prior,
            sums.volume * portion,
            warm_start,
            figure(&divergence) * (share.weight() / count),
            sums.snr * (share.weight() / count),
            sums.magnitude * (share.weight() / count),
            sums.volume_std * (share.weight() / count),
        ];
        let range = self.ranks.largest(Tensor::stack(&[-figure(&raw.min()), figure(&raw.max())], 0));
        let values = Tensor::cat(&[self.ranks.total(Tensor::stack(&own, 0)), -range.narrow(0, 0, 1), range.narrow(0, 1, 1)], 0);
        for reduction in [decoder, encoder].into_iter().flatten() {
            reduction.finish(self.ranks);
        }
        Some(Yield { figures: PendingFigures { images: whole.len(), values }, index, means })
    }

    /// The part's loss, summed over its images; adds its figures to `sums`.
    fn decode_part(&self, part: &Batch, latents: &Tensor, sums: &mut Sums) -> Tensor {
        let settings = &self.assembly.settings;
        Injection::starve(self.injected, Work::Decoding, part.len(), latents.device());
        let net = self.inject_volume(self.assembly.net(latents));
        let volumes = self.assembly.scene.volume.assemble(&net);
        let rendered = self.assembly.render(&volumes, latents, part, self.box_px);
        let silhouettes = self.inputs.silhouettes(self.assembly, part);
        let seen = self.assembly.scene.seen(&part.images).unsqueeze(1);
        let fit = Fit::new(&rendered, &seen, &silhouettes, &settings.numerics);
        let mut loss = fit.squared_error().sum(Kind::Float) * 0.5;
        sums.half_error += figure(&loss);
        sums.snr += fit.signal_to_noise(&settings.numerics).sum(Kind::Double);
        sums.volume_std += net.detach().flatten(1, -1).std_dim([1i64].as_slice(), false, false).sum(Kind::Double);
        let &TermWeights { magnitude, variation, prior, .. } = self.weights;
        if magnitude > 0.0 || variation > 0.0 || prior > 0.0 || settings.beta_control.is_some() {
            let priors = &self.assembly.scene.volume_priors;
            if magnitude > 0.0 || variation > 0.0 {
                let [size, total_variation] = priors.figures(&volumes).map(|figures| figures.sum(Kind::Float));
                sums.magnitude += figure(&size);
                let term = (size * magnitude + total_variation * variation) * ORIGINAL_WEIGHT;
                sums.volume += figure(&term);
                loss += term;
            } else {
                sums.magnitude += figure(&priors.magnitude(&volumes).sum(Kind::Float));
            }
        }
        loss
    }

    /// The disentanglement prior of the `whole` batch against latents of other view classes; `None` where there are too few of them.
    fn prior(&self, whole: &[usize], index: &Tensor, mu: &Tensor, sampled: &Tensor) -> Option<Tensor> {
        let classes = self.classes?;
        let Draws { seed, epoch, attempt, batch: number } = self.draws;
        let mut random = Random::keyed(seed, &[Purpose::Bank as u64, epoch, attempt, number]);
        let mut draw = |n: usize| random.below(n as u64) as usize;
        // Batches of one view class are held against the other classes, random ones against all.
        let class = if self.assembly.settings.view_class_batches { classes.of[whole[0]] } else { usize::MAX };
        let pool = draw_pool(&classes.members, class, 1, &mut draw);
        if near_of(pool.len() as i64) < 1 {
            return None;
        }
        let far = far_of(pool.len() as i64);
        let rows = draw_random(pool.len(), far as usize, whole.len(), &mut draw);
        let device = mu.device();
        let rows = send(&Tensor::from_slice(&rows).view([whole.len() as i64, far]), device);
        let contrast = self.bank.contrast(index, &send(&Tensor::from_slice(&pool), device), &rows);
        Some(Prior::new(mu, sampled, &contrast.near, &contrast.far).total())
    }

    /// Standard normal numbers of each particle in this epoch, `[b, d]`.
    fn noise(&self, batch: &Batch, dimensions: i64, purpose: Purpose) -> Tensor {
        let d = dimensions as usize;
        let mut values = vec![0f32; batch.len() * d];
        for (row, &particle) in values.chunks_exact_mut(d).zip(&batch.particles) {
            Random::keyed(self.draws.seed, &[purpose as u64, self.draws.epoch, self.draws.attempt, particle as u64]).fill_normal(row);
        }
        send(&Tensor::from_slice(&values).view([batch.len() as i64, dimensions]), batch.images.device())
    }

    fn inject_latents(&self, mu: Tensor, logstd: Tensor) -> (Tensor, Tensor) {
        match self.injected {
            Some(Injection::RunawayLogStd) => (mu, logstd + 100.0),
            Some(Injection::DeadLatents) => (mu * 0.0, logstd * 0.0),
            _ => (mu, logstd),
        }
    }

    fn inject_volume(&self, net: Tensor) -> Tensor {
        match self.injected {
            Some(Injection::NonFiniteLoss) => net * f64::NAN,
            Some(Injection::ExplodingVolume) => net * 1e3,
            _ => net,
        }
    }
}

/// The rows of the whole batch, this rank's with their graph.
fn own_among(all: &Tensor, own: &Tensor, share: Share) -> Tensor {
    if share.count == share.of {
        return own.shallow_clone();
    }
    let (from, to) = (share.from as i64, (share.from + share.count) as i64);
    let others = |from: i64, to: i64| all.narrow(0, from, to - from);
    Tensor::cat(&[others(0, from), own.narrow(0, 0, to - from), others(to, share.of as i64)], 0)
}

/// A scalar that is only to be looked at.
fn figure(scalar: &Tensor) -> Tensor {
    scalar.detach().to_kind(Kind::Double)
}

/// Sums over the parts, `[]` each, in double precision.
struct Sums {
    half_error: Tensor,
    volume: Tensor,
    magnitude: Tensor,
    snr: Tensor,
    volume_std: Tensor,
}

impl Sums {
    fn new(device: Device) -> Self {
        let zero = || Tensor::zeros([], (Kind::Double, device));
        Self { half_error: zero(), volume: zero(), magnitude: zero(), snr: zero(), volume_std: zero() }
    }
}
