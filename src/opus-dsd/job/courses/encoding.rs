//! `encode`: latents of any particles by a trained model, and the clusters of the trained job that they belong to.

use super::{provenance, reading_like, say_decided, start_engine, threads};
use crate::job::engine_process::Engine;
use crate::job::settings_file::{self, Provenance};
use crate::job::stage::Fingerprint;
use crate::job::stages::base::{BASE, MASK};
use crate::job::stages::check::Wish;
use crate::job::stages::context::Context;
use crate::job::stages::read::{self, Input};
use crate::job::stages::report::encoded::Encoded;
use crate::job::stages::{check, cluster, encode, prepare, publish, subspace};
use crate::job::trained::{self, Trained};
use crate::job::{checkpoints, encode_kit};
use crate::settings::decided::{Decided, Reason};
use crate::settings::devices;
use crate::settings::rules;
use crate::settings::said::EncodeSaid;
use crate::settings::values::Epoch;
use analysis::Clusters;
use contract::{EncodeSpec, Problem, Result, Results};
use cryoem::mrc::read_volume;
use cryoem::particles::{self, particles_block, star_problem};
use ndarray::{Array2, Axis};
use reconstruction::check::ENOUGH_PARTICLES;
use starfile::StarFile;
use std::path::{Path, PathBuf};

/// Latents as the engine writes them, for the stages that follow.
const LATENTS: &str = "encoded-latents.npy";
/// Share of the trained job's particles that lie nearer to their cluster than the distance beyond which a particle counts as far.
const NEAR: f64 = 0.99;
/// Share of far particles above which they are hardly of the kind that the model knows; of the trained ones it is 1 - [`NEAR`].
const MANY_FAR: f64 = 0.1;

pub(super) fn run(context: &mut Context<'_>, said: &EncodeSaid) -> Result<()> {
    context.ledger.redo_if(said.redo.is_said());
    let mut engine = start_engine(context.job)?;
    let known = Known::open(&said.trained_job()?)?;
    let trained = Trained::open(&known.job, said.epoch.unwrap_or(Epoch::Number(known.results.epoch)))?;
    let model = settings_file::of_trained(&trained.folder)?;
    let known_images = encode_kit::images(&trained.folder)?;
    let linear = model.settings.train.warm_start.map(|_| encode_kit::linear_file(&trained.folder)).transpose()?;
    let centres = known.centres(&trained)?;
    let reading = reading_like(&said.images, &model);
    let particles = particles::read(&said.in_parts, &reading.options)?;
    particles.notes.iter().for_each(|note| context.say(note));
    particles.warnings.iter().for_each(|warning| context.warn(warning));
    let input = Input { path: said.in_parts.clone(), particles, chosen: None, mask: None, reference: None };
    let options = known_images.options(reading.invert);
    let fingerprint = cryoem::prepare::fingerprint(&input.particles, &options)?;
    engine.greet()?;
    let decided = decide(said, &trained, &known, &model, &engine, threads(context.job))?;
    settle(context, &trained, &input, &fingerprint, &decided, &engine)?;
    check_input(context, said, &trained, &input, reading.invert, &fingerprint)?;
    let images = prepare::run(context, &input.particles, &options, said.scratch.as_deref(), &fingerprint)?;
    let scores = linear.map(|file| subspace::score(context, &images, &file)).transpose()?;
    let latents = context.path("stages").join(LATENTS);
    let header = trained.checkpoint.join(checkpoints::HEADER);
    let ground = Fingerprint::new("encode").and(&images.prepared.fingerprint).and(&trained.checkpoint).and_content(&header)?;
    let ground = match &scores {
        Some(file) => ground.and_content(file)?,
        None => ground,
    };
    let spec = EncodeSpec {
        prepared: images.description.clone(),
        checkpoint: trained.checkpoint.clone(),
        scores,
        latents: latents.clone(),
        device: decided.grid.device.id.clone(),
        threads: decided.grid.threads,
    };
    encode::run(context, &mut engine, spec, &images, &ground)?;
    let found = cluster::assign(&latents, centres.view(), analysis::pca(trained.latents.view())?)?;
    let (far, few_far) = tell_far_ones(context, &trained, &found.latents, &found.clusters)?;
    cluster::hand_on(context, &input, &found)?;
    let states = &known.results.volumes;
    let told = Encoded { trained: &trained, states_of: &known.job, states, input: &input, found: &found, far: &far, few_far };
    told.write(context)?;
    publish::encoded(context, &found, &known.job)
}

/// The job whose clusters are taken: the trained one, or an analysis of it.
struct Known {
    job: PathBuf,
    results: Results,
}

impl Known {
    /// Of a job without clusters of its own making (of an encoding, a selection), that of the job that it looked at.
    fn open(job: &Path) -> Result<Self> {
        let results = trained::results_of(job)?;
        match (&results.trained_job, results.volumes.is_empty()) {
            (Some(other), true) => Self::open(Path::new(other)),
            (None, true) => Err(Problem::input("has not found its clusters yet").at(job.display().to_string()).hint(
                "wait for it, or continue it; a job that was stopped gets clusters from `opus-dsd analyse`, whose folder can be named here",
            )),
            (_, false) => Ok(Self { job: job.to_path_buf(), results }),
        }
    }

    /// Centres of the clusters at the epoch of `trained`, `[clusters, zdim]`: the means of their particles there, since every epoch has latents of
    /// its own, and since k-means drew its borders between means (the centres that it reports are particles near them).
    fn centres(&self, trained: &Trained) -> Result<Array2<f32>> {
        let states = &self.results.volumes;
        let (k, width) = (states.len(), trained.latents.ncols());
        let path = self.job.join(&self.results.particles);
        let table = StarFile::read(&path).map_err(|e| star_problem(&e))?;
        let classes = particles_block(&table)?.column("rlnClassNumber").and_then(|c| c.integers()).map_err(|e| star_problem(&e))?;
        let mut centres = Array2::zeros((k, width));
        for (state, mut centre) in states.iter().zip(centres.rows_mut()) {
            let members: Vec<usize> = (0..classes.len()).filter(|&row| usize::try_from(classes[row]) == Ok(state.class)).collect();
            if classes.len() != trained.latents.nrows() || members.is_empty() {
                return Err(Problem::input(format!("does not hold the particles of cluster {} as they were left", state.class))
                    .at(path.display().to_string())
                    .hint("give the job's folder as it was left"));
            }
            let mean = trained.latents.select(Axis(0), &members).mean_axis(Axis(0));
            mean.into_iter().for_each(|mean| centre.assign(&mean));
        }
        Ok(centres)
    }
}

/// The trained job's values, with what is said now.
fn decide(said: &EncodeSaid, trained: &Trained, known: &Known, model: &Provenance, engine: &Engine, threads: usize) -> Result<Decided> {
    let mut decided = model.settings.clone();
    let device = devices::choose_device((said.machine.device.as_deref(), said.machine.gpu.as_deref(), None), &engine.devices)?;
    decided.grid.set_one_engine(device, threads);
    let clusters = known.results.volumes.len();
    decided.clusters = Some(clusters);
    const KEPT: &str = "as the trained job";
    let (grid, layout) = (&decided.grid, &decided.train.layout);
    let whence = |given: bool, otherwise: &'static str| if given { "as said" } else { otherwise };
    let device_is_said = said.machine.device.is_some() || said.machine.gpu.is_some();
    let reasons = [
        ("trained job", trained.folder.display().to_string(), "as said"),
        ("epoch", trained.epoch.to_string(), whence(said.epoch.is_some(), "that of the clusters")),
        ("device", format!("{} ({})", grid.device.id, grid.device.name), whence(device_is_said, "the best there is")),
        ("preset", rules::preset_name(grid.preset).into(), KEPT),
        ("image size", format!("{} pixels", grid.size_px), KEPT),
        ("zdim", layout.zdim.to_string(), KEPT),
        ("clusters", format!("{clusters} of {}", known.job.display()), KEPT),
    ];
    decided.reasons = reasons.into_iter().map(|(name, value, reason)| Reason { name: name.into(), value, reason: reason.into() }).collect();
    Ok(decided)
}

/// Says and writes what is decided.
fn settle(
    context: &mut Context<'_>,
    trained: &Trained,
    input: &Input,
    fingerprint: &str,
    decided: &Decided,
    engine: &Engine,
) -> Result<()> {
    say_decided(context, engine, decided);
    let from = settings_file::Input {
        particles: input.path.clone(),
        rows: input.particles.len(),
        fingerprint: fingerprint.to_owned(),
        mask: None,
        mask_fingerprint: None,
        reference: None,
        reference_fingerprint: None,
        unseen_box_px: None,
    };
    let now = Provenance { trained_job: Some(trained.folder.clone()), ..provenance(context, engine, from, decided) };
    settings_file::write(context.folder(), &now)?;
    context.results.change(|now| {
        (now.epoch, now.zdim) = (trained.epoch, decided.train.layout.zdim);
        (now.apix, now.box_px) = (trained.apix, trained.box_px);
        now.trained_job = Some(trained.folder.to_string_lossy().into_owned());
    })
}

/// Holds the particles against the map that the model adds to.
fn check_input(
    context: &mut Context<'_>,
    said: &EncodeSaid,
    trained: &Trained,
    input: &Input,
    invert: cryoem::prepare::Invert,
    fingerprint: &str,
) -> Result<()> {
    let file = |name: &str| {
        let path = trained.folder.join(name);
        if path.exists() { read::given(&path, read_volume(&path)?).map(Some) } else { Ok(None) }
    };
    let (map, mask) = (file(BASE)?, file(MASK)?);
    let wish =
        Wish { wanted: said.check.is_none_or(|yes| yes.0), map: map.as_ref(), mask: mask.as_ref(), invert, stops_from: ENOUGH_PARTICLES };
    check::run(context, &input.particles, &wish, fingerprint)
}

/// Says how many particles lie farther from every cluster than the trained ones do; the line, and whether they are few.
fn tell_far_ones(context: &mut Context<'_>, trained: &Trained, latents: &Array2<f32>, clusters: &Clusters) -> Result<(String, bool)> {
    let mut before = analysis::clusters::distances(trained.latents.view(), clusters)?;
    let rank = ((before.len() - 1) as f64 * NEAR).round() as usize;
    let (_, limit, _) = before.select_nth_unstable_by(rank, f64::total_cmp);
    let far = analysis::clusters::distances(latents.view(), clusters)?.iter().filter(|d| **d > *limit).count();
    let share = far as f64 / latents.nrows() as f64;
    let line = format!(
        "{far} of {} particles ({:.0}%) lie farther from every cluster than {:.0}% of those that the model was trained on",
        latents.nrows(),
        100.0 * share,
        100.0 * NEAR
    );
    let few = share <= MANY_FAR;
    if few {
        context.say(&line);
    } else {
        context.warn(&format!(
            "{line}: look at them in an analysis before you trust their clusters, and train on them if they are of another kind"
        ));
    }
    Ok((line, few))
}
