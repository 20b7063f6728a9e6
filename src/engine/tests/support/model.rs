//! Layouts and settings of small models.

#![allow(dead_code, reason = "each test program uses a part")]

use contract::*;

/// Networks for volumes and images of `side`.
pub(crate) fn layout(width: Width, zdim: usize, side: usize) -> ModelLayout {
    let (encoder_grid, resize_at) = (EncoderGrid::Native, ResizeAt::Side16);
    ModelLayout { zdim, z_affine_dim: 0, width, encoder_grid, resize_at, template: side, crop: side }
}

/// Small, quick settings of a run from a base volume.
pub(crate) fn settings(layout: ModelLayout) -> TrainSettings {
    TrainSettings {
        layout,
        numerics: Numerics::default(),
        base: BaseVolume::Fixed,
        warm_start: Some(WarmStart { epochs: 1.0, components: 1, particles: 1000 }),
        encoder_input: EncoderInput::ResidualTimesCtf,
        hypotheses: Hypotheses { ring: 0, angle_deg: 0.0 },
        projection: ProjectionRoute::Rays,
        epochs: 3,
        batch: 8,
        micro_batch: 4,
        recompute_encoder: false,
        learning_rate: LearningRate { start: 2e-3, decay: 1.0, cosine_to: Some(0.02), warm_up_steps: 0 },
        weight_decay: 0.0,
        beta: Schedule::Constant(0.1),
        beta_control: None,
        lamb: 0.0,
        view_class_batches: false,
        bfactor: 0.0,
        volume_l1: 0.0,
        volume_tv: 0.0,
        validation_fraction: 0.1,
        seed: 5,
        logstd_bounds: (-6.0, 1.0),
        guards: Guards { roll_backs: 2, step_factor: 0.5, loss_ratio: 5.0, volume_ratio: 20.0, dead_kl: 0.01 },
        checkpoint_minutes: 10.0,
        keep_every: 0,
        log_interval: 16,
        precision: Precision::F32,
    }
}
