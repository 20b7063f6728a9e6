//! What is decided: every value of a job, nothing optional that matters, each with its reason. Written to `settings.json`.

use super::defaults::{BATCH, BETA, CHECKPOINT_MINUTES, PREVIEW, SEED, ZDIM};
use super::devices::{choose_devices, engines, launched_device};
use super::grid::{Grid, Launched};
use super::plan;
use super::rules::{self, Ruled};
use super::said::{Grouping, TrainSaid};
use super::values::{Base, BetaWish, ClusterMethod, JobEpoch, Preset, WarmStartWish};
use crate::machine::cores::Cores;
use crate::machine::launch::Launch;
use contract::{
    BaseVolume, Device, EncoderInput, MapForm, ModelLayout, Numerics, Precision, ResizeAt, Result, Schedule, TrainSettings, WarmStart,
};
use serde::{Deserialize, Serialize};

/// Raised when a field of `settings.json` changes its meaning.
pub(crate) const SETTINGS_SCHEMA: u32 = 1;

/// Periods of the cyclic schedule.
const BETA_PERIODS: f64 = 4.0;
/// Particles that the warm start's components are computed from, at most.
const WARM_START_PARTICLES: usize = 5000;
/// Components of the warm start, at most.
const WARM_START_COMPONENTS: usize = 8;
/// Bounds on the predicted log standard deviation of a latent.
const LOGSTD_BOUNDS: (f64, f64) = (-6.0, 1.0);

/// A value in words, and why it is so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) reason: String,
}

/// What is known of the data before anything is decided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DataFacts {
    /// Particles.
    pub(crate) particles: usize,
    /// Box of the largest optics group, pixels.
    pub(crate) box_px: usize,
    /// Its pixel size, Å.
    pub(crate) apix: f64,
    /// Box and pixel size of the reference map.
    pub(crate) reference: Option<(usize, f64)>,
    /// Box and pixel size of the mask.
    pub(crate) mask: Option<(usize, f64)>,
    /// Where viewers find voxel 0 of the reference map, else of the mask (x, y, z), Å.
    pub(crate) origin_angstrom: [f64; 3],
}

/// Where maps lie, and what is done to them before they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MapTouch {
    /// Where viewers find voxel 0 (x, y, z), Å.
    pub(crate) origin_angstrom: [f64; 3],
    /// Mirror along z.
    pub(crate) flip: bool,
    /// Turn the sign.
    pub(crate) invert: bool,
    /// Low-pass, Å.
    pub(crate) lowpass_angstrom: Option<f64>,
}

/// A job, decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decided {
    /// [`SETTINGS_SCHEMA`].
    pub(crate) schema: u32,
    /// Preset, image size, device.
    pub(crate) grid: Grid,
    /// Clusters; none where their number follows from the latents.
    pub(crate) clusters: Option<usize>,
    /// How they are made.
    #[serde(default)]
    pub(crate) cluster_method: ClusterMethod,
    /// Box of the maps, voxels.
    pub(crate) map_box_px: usize,
    /// Voxel size of the maps, Å.
    pub(crate) map_apix: f64,
    /// What else is done to the maps.
    #[serde(default)]
    pub(crate) map_touch: MapTouch,
    /// Name of the preview, without `.mrc`.
    pub(crate) preview: String,
    /// Panels in the report.
    pub(crate) plot: bool,
    /// The base comes from the reference map.
    pub(crate) base_from_reference: bool,
    /// Start from another job.
    pub(crate) load: Option<JobEpoch>,
    /// Everything that shapes training.
    pub(crate) train: TrainSettings,
    /// Why, in the order of run.out.
    pub(crate) reasons: Vec<Reason>,
}

impl Decided {
    /// What to say where some engines never have an image of their own in a batch; `None` where all have.
    pub(crate) fn idle_ranks(&self) -> Option<String> {
        let (ranks, batch) = (self.grid.ranks(), self.train.batch);
        let cure = match (self.grid.launched.is_some(), self.grid.device.id.as_str()) {
            (true, _) => "start fewer of them",
            (false, "cpu") => "lower `--ranks`",
            (false, _) => "name fewer GPUs",
        };
        (ranks > batch).then(|| {
            format!(
                "{} of the {ranks} processes have no image of a batch of {batch}: they take cores and memory, and work for nothing; {cure}, or raise `--batch`",
                ranks - batch
            )
        })
    }

    /// What the job's maps look like.
    pub(crate) fn map_form(&self) -> MapForm {
        let MapTouch { origin_angstrom, flip, invert, lowpass_angstrom } = self.map_touch;
        MapForm { box_px: self.map_box_px, apix: self.map_apix, origin_angstrom, flip, invert, lowpass_angstrom }
    }

    /// Takes another form for the maps.
    pub(crate) fn set_map_form(&mut self, form: MapForm) {
        let MapForm { box_px, apix, origin_angstrom, flip, invert, lowpass_angstrom } = form;
        (self.map_box_px, self.map_apix) = (box_px, apix);
        self.map_touch = MapTouch { origin_angstrom, flip, invert, lowpass_angstrom };
    }
}

/// Collects values with their reasons.
#[derive(Default)]
pub(crate) struct Book(Vec<Reason>);

impl Book {
    /// The said value, else the rule's.
    fn take<T: Clone + Show>(&mut self, name: &str, said: Option<T>, rule: impl FnOnce() -> Ruled<T>) -> T {
        let ruled = match said {
            Some(value) => Ruled { value, reason: "as said".into() },
            None => rule(),
        };
        self.note(name, ruled.value.show(), ruled.reason);
        ruled.value
    }

    /// The said value, else a constant.
    fn or<T: Clone + Show>(&mut self, name: &str, said: Option<T>, value: T) -> T {
        self.take(name, said, || Ruled { value, reason: "default".into() })
    }

    fn note(&mut self, name: &str, value: String, reason: impl Into<String>) {
        self.0.push(Reason { name: name.into(), value, reason: reason.into() });
    }
}

/// How a value is written for people.
trait Show {
    fn show(&self) -> String;
}

macro_rules! show_plainly {
    ($($t:ty),*) => { $(impl Show for $t { fn show(&self) -> String { self.to_string() } })* };
}
show_plainly!(usize, u64, f64, String);

impl Show for bool {
    fn show(&self) -> String {
        if *self { "yes" } else { "no" }.into()
    }
}

impl Show for Preset {
    fn show(&self) -> String {
        rules::preset_name(*self).into()
    }
}

/// First half: what preparation needs. `devices` are the engine's, best first; `launch` is this process among those that a cluster's launcher
/// started.
///
/// # Errors
/// A device that is not there.
pub(crate) fn grid(said: &TrainSaid, facts: &DataFacts, devices: &[Device], launch: Option<&Launch>) -> Result<(Grid, Book)> {
    let mut book = Book::default();
    let chosen = match launch {
        Some(launch) => vec![launched_device(said, launch.local, devices)?],
        None => choose_devices((said.device.as_deref(), said.gpu.as_deref(), said.num_gpus), devices)?,
    };
    let device = chosen[0].clone();
    let engines = engines(&chosen, said.ranks)?;
    let mut others = chosen;
    for local in 0..launch.map_or(0, |launch| launch.here) {
        others.push(launched_device(said, local, devices)?);
    }
    others.retain(|other| *other != device);
    let why = if said.device.is_some() || said.gpu.is_some() || said.num_gpus.is_some() { "as said" } else { "the best there is" };
    book.note("device", format!("{} ({})", device.id, device.name), why);
    if engines.len() > 1 {
        book.note("ranks", format!("{} ({})", engines.len(), engines.join(", ")), why);
    }
    if let Some(launch) = launch {
        book.note("ranks", launch.size.to_string(), format!("started by {}, {} of them on this machine", launch.by, launch.here));
    }
    let cores = Cores::read();
    let threads = book.take("j", said.threads, || match launch {
        None => Ruled { value: cores.alone(), reason: "all cores".into() },
        Some(launch) => Ruled {
            value: cores.each_of(launch.here),
            reason: {
                let (each, all) = (cores.each_of(launch.here), cores.of_all());
                let later = if all > each { format!("; {all} for maps, when training has ended") } else { String::new() };
                format!("the part of each of the {} processes on this machine{later}", launch.here)
            },
        },
    });
    let launched = launch.map(|launch| {
        // What is said is of a process, whatever the others do.
        let threads_after = if said.threads.is_some() { threads } else { cores.of_all() };
        Launched { processes: launch.size, here: launch.here, threads_after }
    });
    let preset = book.take("preset", said.preset, || rules::preset(device.id != "cpu", facts.box_px));
    let size = rules::size_px(preset, facts.box_px, said.downfrac);
    book.note("image size", format!("{} pixels of {:.4} Å", size.value, facts.box_px as f64 * facts.apix / size.value as f64), size.reason);
    Ok((Grid { preset, size_px: size.value, device, others, engines, launched, threads }, book))
}

/// Second half: everything else. `mask_crop_px` is the side of the region of the render grid that holds the mask, pixels.
pub(crate) fn decide(said: &TrainSaid, facts: &DataFacts, grid: Grid, mut book: Book, mask_crop_px: usize) -> Decided {
    let preset = grid.preset;
    let zdim = book.or("zdim", said.zdim, ZDIM);
    let crop = book.take("render region", None, || rules::crop_px(preset, grid.size_px, mask_crop_px));
    let template = book.take("templateres", said.templateres, || rules::template(preset, crop));
    let (width, encoder_grid) = rules::networks(preset);
    let wish = said.base.unwrap_or(Base::Auto);
    let base = match wish {
        Base::None => BaseVolume::None,
        Base::Learned => BaseVolume::Learned,
        Base::Auto | Base::Reference => BaseVolume::Fixed,
    };
    book.note(
        "base",
        format!("{wish:?}").to_lowercase(),
        match (said.base.is_some(), facts.reference.is_some()) {
            (true, _) => "as said",
            (false, false) => "default: back-projected from the same images",
            (false, true) => "default: back-projected from the same images; `--base reference` takes --in_3dref",
        },
    );
    let has_base = base != BaseVolume::None;
    let warm = starts_warm(said, has_base);
    let epochs = book.take("epochs", said.epochs, || rules::epochs(preset, warm));
    let batch = book.or("batch", said.batch, BATCH).min(facts.particles);
    let rate = rules::learning_rate(preset, warm, said.lr);
    book.note("lr", rate.value.start.to_string(), if said.lr.is_some() { "as said, cosine to 2% of it".into() } else { rate.reason });
    let warm_start = warm_start(said, preset, epochs, zdim, has_base, &mut book);
    let beta = beta(said, &mut book);
    if let Some(control) = said.beta_control {
        book.note("beta-control", control.to_string(), "as said: the estimated signal-to-noise ratio steers the weight");
    }
    let lamb = book.take("lamb", said.lamb, || rules::lamb(preset));
    let bfactor = book.take("bfactor", said.bfactor, || rules::bfactor(preset));
    let priors = rules::volume_priors(has_base);
    book.note("volume priors", format!("{} on |v|, {} on variation", priors.value.0, priors.value.1), priors.reason);
    let hypotheses = rules::hypotheses(preset, crop);
    book.note("pose hypotheses", (1 + hypotheses.value.ring).to_string(), hypotheses.reason);
    let poses = 1 + hypotheses.value.ring;
    let projection = rules::projection(poses);
    book.note("projection", format!("{:?}", projection.value).to_lowercase(), projection.reason);
    let validation_fraction = book.take("valfrac", said.valfrac, || rules::validation_fraction(preset));
    let seed = book.or("seed", said.seed, SEED);
    let checkpoint_minutes = book.or("checkpoint-minutes", said.checkpoint_minutes, CHECKPOINT_MINUTES);
    let keep_every = book.or("keep-every", said.keep_every, 0);
    let precision = said.precision.map_or(Precision::F32, Precision::from);
    book.note("precision", format!("{precision:?}").to_lowercase(), if said.precision.is_some() { "as said" } else { "default" });
    let log_interval = book.take("log-interval", said.log_interval, || rules::log_interval(facts.particles));
    book.0.extend(cluster_reasons(&said.grouping));
    let (map_box_px, map_apix, whence) = match (facts.reference, facts.mask) {
        (Some((n, apix)), _) => (n, apix, "as --in_3dref"),
        (None, Some((n, apix))) => (n, apix, "as --in_mask"),
        (None, None) => (facts.box_px, facts.apix, "as the largest optics group"),
    };
    book.note("maps", format!("{map_box_px} voxels of {map_apix:.4} Å"), whence);
    let mut train = TrainSettings {
        layout: ModelLayout { zdim, z_affine_dim: 0, width, encoder_grid, resize_at: ResizeAt::Side16, template, crop },
        numerics: Numerics::default(),
        base,
        warm_start,
        encoder_input: if has_base { EncoderInput::ResidualTimesCtf } else { EncoderInput::Image },
        hypotheses: hypotheses.value,
        projection: projection.value,
        epochs,
        batch,
        micro_batch: batch,
        recompute_encoder: false,
        learning_rate: rate.value,
        weight_decay: 0.0,
        beta,
        beta_control: said.beta_control,
        lamb,
        view_class_batches: false,
        bfactor,
        volume_l1: priors.value.0,
        volume_tv: priors.value.1,
        validation_fraction,
        seed,
        logstd_bounds: LOGSTD_BOUNDS,
        guards: rules::guards(),
        checkpoint_minutes,
        keep_every,
        log_interval,
        precision,
    };
    let room = plan::room(said.gpu_memory, grid.scarcest(), grid.ranks_here());
    // What a machine has free differs from run to run, and is no change of the job.
    let most = format!("{:.1} GB at most", room.value as f64 / 1e9);
    match said.gpu_memory {
        Some(_) => book.note("memory of a step", most, room.reason),
        None => book.note("memory of a step", "as there is".into(), format!("{most}: {}", room.reason)),
    }
    let of_a_rank = TrainSettings { batch: grid.share(train.batch), ..train.clone() };
    let split = plan::split(&of_a_rank, said.micro_batch, room.value);
    (train.micro_batch, train.recompute_encoder) = (split.value.micro_batch, split.value.recompute_encoder);
    let again = if train.recompute_encoder { ", the encoder worked out again" } else { "" };
    book.note("micro-batch", format!("{}{again}", train.micro_batch), split.reason);
    Decided {
        schema: SETTINGS_SCHEMA,
        grid,
        clusters: said.grouping.clusters.map(|k| k.min(facts.particles)),
        cluster_method: said.grouping.cluster_method.unwrap_or_default(),
        map_box_px,
        map_apix,
        map_touch: MapTouch { origin_angstrom: facts.origin_angstrom, ..MapTouch::default() },
        preview: said.tmp_prefix.clone().unwrap_or_else(|| PREVIEW.into()),
        plot: said.plot.is_none_or(|p| p.0),
        base_from_reference: wish == Base::Reference,
        load: said.load.clone(),
        train,
        reasons: book.0,
    }
}

/// How clusters are made, for people.
pub(crate) fn cluster_reasons(said: &Grouping) -> [Reason; 2] {
    let reason = |name: &str, value: String, reason: &str| Reason { name: name.into(), value, reason: reason.into() };
    [
        match said.clusters {
            Some(k) => reason("clusters", k.to_string(), "as said"),
            None => reason("clusters", "auto".into(), "from the latents, once they are there"),
        },
        reason(
            "cluster-method",
            said.cluster_method.unwrap_or_default().word().into(),
            if said.cluster_method.is_some() { "as said" } else { "default" },
        ),
    ]
}

/// Whether the latents start from the linear subspace.
fn starts_warm(said: &TrainSaid, has_base: bool) -> bool {
    match said.warm_start {
        Some(WarmStartWish::Switch(on)) => on,
        Some(WarmStartWish::Epochs(n)) => n > 0.0,
        None => has_base && said.load.is_none(),
    }
}

fn warm_start(said: &TrainSaid, preset: Preset, epochs: usize, zdim: usize, has_base: bool, book: &mut Book) -> Option<WarmStart> {
    let rule = rules::warm_start_epochs(preset, epochs);
    let (length, why) = match said.warm_start {
        Some(WarmStartWish::Switch(false)) => (0.0, "as said".to_owned()),
        Some(WarmStartWish::Epochs(n)) => (n, "as said".into()),
        Some(WarmStartWish::Switch(true)) => (rule.value, rule.reason),
        None if !has_base => (0.0, "no base volume, so no residuals".into()),
        None if said.load.is_some() => (0.0, "the latents come from another job".into()),
        None => (rule.value, rule.reason),
    };
    book.note("warm start", if length > 0.0 { format!("{length} epochs") } else { "no".into() }, why);
    (length > 0.0).then(|| WarmStart { epochs: length, components: zdim.min(WARM_START_COMPONENTS), particles: WARM_START_PARTICLES })
}

fn beta(said: &TrainSaid, book: &mut Book) -> Schedule {
    match said.beta {
        Some(BetaWish::Cos) => {
            book.note("beta", format!("cos ({BETA_PERIODS} periods)"), "as said");
            Schedule::Cyclic { periods: BETA_PERIODS, scale: 1.0 }
        }
        Some(BetaWish::Constant(value)) => Schedule::Constant(book.or("beta", Some(value), BETA)),
        None => Schedule::Constant(book.or("beta", None, BETA)),
    }
}

#[cfg(test)]
pub(super) mod tests;
