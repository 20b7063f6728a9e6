//! Settings of a model that the original trained: its layout and its numerics. What shapes training is ours, and not used.

use super::decided::{Decided, MapTouch, Reason, SETTINGS_SCHEMA};
use super::defaults::{BATCH, BETA, CHECKPOINT_MINUTES, PREVIEW, SEED};
use super::grid::Grid;
use super::rules;
use super::values::{ClusterMethod, Preset};
use contract::{BaseVolume, Device, EncoderInput, ModelLayout, Numerics, Precision, ProjectionRoute, Schedule, TrainSettings};
use cryoem::legacy::original::Revision;

/// Bounds on the predicted log standard deviation of a latent: the original has none, and these are never met.
const LOGSTD_BOUNDS: (f64, f64) = (-20.0, 20.0);

/// What is known of the model.
pub(crate) struct Model {
    pub(crate) revision: Revision,
    pub(crate) layout: ModelLayout,
    /// Its last epoch, by the original's number.
    pub(crate) epoch: usize,
    /// Latents.
    pub(crate) particles: usize,
    /// Side of the down-sampled images, pixels.
    pub(crate) size_px: usize,
    /// Their pixel size, Å.
    pub(crate) apix: f64,
}

/// A job of such a model; its maps are what the original writes: the rendered region at the pixel size of the down-sampled images.
pub(crate) fn decide(model: &Model, device: Device, threads: usize) -> Decided {
    let Model { layout, revision, .. } = model;
    let preset = Preset::Full;
    let (volume_l1, volume_tv) = rules::volume_priors(false).value;
    let train = TrainSettings {
        numerics: Numerics {
            rotate_about_half_pixel: true,
            exclude_given_pose: true,
            ctf_unturned: true,
            mask_target_only: true,
            snr_unclamped: true,
            maps_unmasked: *revision == Revision::First,
        },
        base: BaseVolume::None,
        warm_start: None,
        encoder_input: EncoderInput::Image,
        hypotheses: rules::hypotheses(preset, layout.crop).value,
        // As the original, whose volumes are seen so, and whose poses may be learned.
        projection: ProjectionRoute::Rays,
        epochs: model.epoch,
        batch: BATCH,
        micro_batch: 1,
        learning_rate: rules::learning_rate(preset, false, None).value,
        weight_decay: 0.0,
        beta: Schedule::Constant(BETA),
        beta_control: None,
        lamb: rules::lamb(preset).value,
        view_class_batches: true,
        bfactor: rules::bfactor(preset).value,
        volume_l1,
        volume_tv,
        validation_fraction: rules::validation_fraction(preset).value,
        seed: SEED,
        logstd_bounds: LOGSTD_BOUNDS,
        guards: rules::guards(),
        checkpoint_minutes: CHECKPOINT_MINUTES,
        keep_every: 0,
        log_interval: rules::log_interval(model.particles).value,
        recompute_encoder: false,
        precision: Precision::F32,
        layout: layout.clone(),
    };
    let words = match revision {
        Revision::First => "the first (encoder on 110³)",
        Revision::Second => "the second (encoder on the rendered region, learned poses)",
    };
    let reasons = [
        ("revision", words.to_owned(), "the layers' names"),
        ("zdim", layout.zdim.to_string(), "the layers' shapes"),
        ("image size", format!("{} pixels of {:.4} Å", model.size_px, model.apix), "config.pkl"),
        ("render region", layout.crop.to_string(), "config.pkl and the mask's size"),
        ("templateres", layout.template.to_string(), "config.pkl"),
        ("maps", format!("{} voxels of {:.4} Å", layout.crop, model.apix), "as the original writes them"),
    ];
    Decided {
        schema: SETTINGS_SCHEMA,
        grid: Grid { preset, size_px: model.size_px, device, others: Vec::new(), engines: Vec::new(), launched: None, threads },
        clusters: None,
        cluster_method: ClusterMethod::default(),
        map_box_px: layout.crop,
        map_apix: model.apix,
        map_touch: MapTouch::default(),
        preview: PREVIEW.into(),
        plot: false,
        base_from_reference: false,
        load: None,
        train,
        reasons: reasons.into_iter().map(|(name, value, reason)| Reason { name: name.into(), value, reason: reason.into() }).collect(),
    }
}
