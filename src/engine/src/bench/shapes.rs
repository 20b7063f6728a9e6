//! What is measured: named shapes, and what a command line changes of them.

use contract::memory::Footprint;
use contract::{
    BaseVolume, EncoderGrid, EncoderInput, Guards, Hypotheses, LearningRate, ModelLayout, Numerics, Precision, Problem, ProjectionRoute,
    ResizeAt, Result, Schedule, TrainSettings, Width,
};
use serde::{Deserialize, Serialize};

/// Part of an image that the compared region takes where nothing is said: 114 of 144 pixels at the original's example.
const CROP_PART: f64 = 0.8;
/// Pixel size of the original box, Å; the time does not depend on it.
pub(super) const APIX: f64 = 1.5;

/// Sizes of a training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// The name that it was asked for by, or the preset's.
    pub name: String,
    /// Channel widths.
    pub width: Width,
    /// Box of the original images, pixels.
    pub box_px: usize,
    /// Side of the prepared images, pixels.
    pub size_px: usize,
    /// Side of the compared region, pixels.
    pub crop_px: usize,
    /// Side of the decoded volume, voxels.
    pub template: usize,
    /// Latent dimensions.
    pub zdim: usize,
    /// Images an optimiser step.
    pub batch: usize,
    /// Images decoded at a time.
    pub micro_batch: usize,
    /// Pose hypotheses an image.
    pub poses: usize,
    /// How volumes are projected.
    #[serde(default)]
    pub projection: ProjectionRoute,
    /// What the decoder adds to.
    pub base: BaseVolume,
    /// Numbers of the convolutions.
    #[serde(default)]
    pub precision: Precision,
    /// The encoder is worked out again in the backward pass.
    #[serde(default)]
    pub recompute_encoder: bool,
}

/// What a command line says of a shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) name: Option<String>,
    pub(super) preset: Option<Width>,
    pub(super) box_px: Option<usize>,
    pub(super) downfrac: Option<f64>,
    pub(super) crop_px: Option<usize>,
    pub(super) template: Option<usize>,
    pub(super) zdim: Option<usize>,
    pub(super) batch: Option<usize>,
    pub(super) micro_batch: Option<usize>,
    pub(super) poses: Option<usize>,
    pub(super) projection: Option<ProjectionRoute>,
    pub(super) base: Option<BaseVolume>,
    pub(super) precision: Option<Precision>,
    pub(super) recompute_encoder: bool,
}

/// Box, part of it that is kept, template, batch, poses.
struct Defaults {
    width: Width,
    box_px: usize,
    downfrac: f64,
    template: usize,
    batch: usize,
    poses: usize,
}

/// Names of shapes, smallest first.
pub(super) const NAMES: [&str; 5] = ["tiny", "small", "seed", "256", "384"];

fn defaults(name: &str) -> Option<Defaults> {
    let full = |box_px, downfrac, template, batch| Defaults { width: Width::Full, box_px, downfrac, template, batch, poses: 8 };
    Some(match name {
        "tiny" => Defaults { width: Width::Tiny, box_px: 48, downfrac: 2.0 / 3.0, template: 32, batch: 16, poses: 1 },
        "small" => Defaults { width: Width::Small, box_px: 128, downfrac: 0.5, template: 64, batch: 16, poses: 1 },
        // The original's own example.
        "full" | "seed" => full(192, 0.75, 192, 18),
        "256" => full(256, 0.5625, 192, 18),
        "384" => full(384, 0.5, 256, 8),
        _ => return None,
    })
}

impl Shape {
    /// What was said, completed.
    ///
    /// # Errors
    /// An unknown name, or sizes that do not fit together.
    pub(super) fn decide(said: &Said) -> Result<Self> {
        let preset = said.preset.map(|width| match width {
            Width::Tiny => "tiny",
            Width::Small => "small",
            Width::Full => "full",
        });
        let name = said.name.as_deref().or(preset).unwrap_or("tiny");
        let defaults = defaults(name)
            .ok_or_else(|| Problem::input(format!("`{name}` is no shape")).at("`--shape`").hint(format!("one of {}", NAMES.join(", "))))?;
        let width = said.preset.unwrap_or(defaults.width);
        let box_px = said.box_px.unwrap_or(defaults.box_px);
        // A box that is said is taken as it is, but for preset tiny, whose images have 32 pixels.
        let downfrac = said.downfrac.unwrap_or(match (said.box_px, width) {
            (Some(said), Width::Tiny) if said > 32 => 32.0 / said as f64,
            (Some(_), _) => 1.0,
            (None, _) => defaults.downfrac,
        });
        let even = |v: f64| (v / 2.0 + 1e-9).floor() as usize * 2;
        let size_px = (box_px as f64 * downfrac / 2.0).round() as usize * 2;
        let whole = width == Width::Tiny;
        let crop_px = said.crop_px.unwrap_or(if whole { size_px } else { even(size_px as f64 * CROP_PART) });
        let batch = said.batch.unwrap_or(defaults.batch);
        let poses = said.poses.unwrap_or(defaults.poses);
        let shape = Self {
            name: name.into(),
            width,
            box_px,
            size_px,
            crop_px,
            template: said.template.unwrap_or(defaults.template),
            zdim: said.zdim.unwrap_or(8),
            batch,
            micro_batch: said.micro_batch.unwrap_or(batch).min(batch),
            poses,
            projection: said.projection.unwrap_or_else(|| ProjectionRoute::quicker(poses)),
            base: said.base.unwrap_or(BaseVolume::Fixed),
            precision: said.precision.unwrap_or_default(),
            recompute_encoder: said.recompute_encoder,
        };
        shape.check()?;
        Ok(shape)
    }

    fn check(&self) -> Result<()> {
        let refuse = |option: &str, what: String| Err(Problem::input(what).at(option));
        if self.size_px < 16 || self.size_px > self.box_px {
            return refuse(
                "`--downfrac`",
                format!("leaves {} of {} pixels; at least 16 and at most all are needed", self.size_px, self.box_px),
            );
        }
        if self.crop_px > self.size_px || !self.crop_px.is_multiple_of(2) || self.crop_px < 16 {
            return refuse("`--crop`", format!("{} is not an even number from 16 to {}", self.crop_px, self.size_px));
        }
        if !self.template.is_multiple_of(16) || self.template == 0 {
            return refuse("`--template`", format!("{} is not a multiple of 16", self.template));
        }
        for (option, value) in
            [("`--batch`", self.batch), ("`--micro-batch`", self.micro_batch), ("`--zdim`", self.zdim), ("`--poses`", self.poses)]
        {
            if value == 0 {
                return refuse(option, "must be at least 1".into());
            }
        }
        Ok(())
    }

    /// The settings of a run of this shape, with the product's defaults for the rest.
    pub(super) fn settings(&self) -> TrainSettings {
        let original = self.base == BaseVolume::None;
        TrainSettings {
            layout: ModelLayout {
                zdim: self.zdim,
                z_affine_dim: 0,
                width: self.width,
                encoder_grid: if self.width == Width::Full { EncoderGrid::Capped } else { EncoderGrid::Native },
                resize_at: ResizeAt::Side16,
                template: self.template,
                crop: self.crop_px,
            },
            numerics: Numerics::default(),
            base: self.base,
            warm_start: None,
            encoder_input: if original { EncoderInput::Image } else { EncoderInput::ResidualTimesCtf },
            hypotheses: Hypotheses { ring: self.poses - 1, angle_deg: (2.0 / self.crop_px as f64).atan().to_degrees() },
            projection: self.projection,
            epochs: 1,
            batch: self.batch,
            micro_batch: self.micro_batch,
            recompute_encoder: self.recompute_encoder,
            learning_rate: LearningRate { start: 1e-4, decay: 1.0, cosine_to: None, warm_up_steps: 0 },
            weight_decay: 0.0,
            beta: Schedule::Constant(0.1),
            beta_control: None,
            lamb: if self.width == Width::Tiny { 0.0 } else { 0.5 },
            view_class_batches: false,
            bfactor: if self.width == Width::Full { 2.0 } else { 0.0 },
            volume_l1: if original { 0.15 } else { 0.0 },
            volume_tv: if original { 0.5 } else { 0.0 },
            validation_fraction: 0.0,
            seed: 1,
            logstd_bounds: (-6.0, 1.0),
            guards: Guards { roll_backs: 0, step_factor: 1.0, loss_ratio: 1e9, volume_ratio: 1e9, dead_kl: 0.0 },
            checkpoint_minutes: 1e9,
            keep_every: 0,
            log_interval: usize::MAX,
            precision: self.precision,
        }
    }

    /// What the memory plan expects a step to take of its device, bytes.
    pub(super) fn predicted_bytes(&self) -> u64 {
        Footprint::of(&self.settings()).bytes(self.batch, self.micro_batch, self.recompute_encoder)
    }

    /// What makes the work of an image another one than `other`'s; names, numbers, batches and what is computed twice are how it is done.
    pub(super) fn differing_work(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("width", self.width != other.width),
            ("box", self.box_px != other.box_px),
            ("size of the images", self.size_px != other.size_px),
            ("crop", self.crop_px != other.crop_px),
            ("template", self.template != other.template),
            ("zdim", self.zdim != other.zdim),
            ("poses", self.poses != other.poses),
            ("base", self.base != other.base),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// Pixel size of the prepared images, Å.
    pub(super) fn apix(&self) -> f64 {
        APIX * self.box_px as f64 / self.size_px as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_originals_example_has_its_sizes() {
        let seed = Shape::decide(&Said { name: Some("seed".into()), ..Said::default() }).unwrap();
        assert_eq!((seed.box_px, seed.size_px, seed.crop_px, seed.template, seed.batch, seed.poses), (192, 144, 114, 192, 18, 8));
        let full = Said { preset: Some(Width::Full), box_px: Some(64), template: Some(64), batch: Some(8), ..Said::default() };
        let full = Shape::decide(&full).unwrap();
        assert_eq!((full.size_px, full.crop_px, full.template, full.batch, full.poses), (64, 50, 64, 8, 8));
        let tiny = Shape::decide(&Said { preset: Some(Width::Tiny), box_px: Some(48), ..Said::default() }).unwrap();
        assert_eq!((tiny.size_px, tiny.crop_px, tiny.template, tiny.poses), (32, 32, 32, 1));
        for name in NAMES {
            Shape::decide(&Said { name: Some(name.into()), ..Said::default() }).unwrap();
        }
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for said in [
            Said { name: Some("huge".into()), ..Said::default() },
            Said { template: Some(50), ..Said::default() },
            Said { crop_px: Some(33), ..Said::default() },
            Said { downfrac: Some(2.0), ..Said::default() },
            Said { batch: Some(0), ..Said::default() },
        ] {
            assert!(Shape::decide(&said).is_err(), "{said:?}");
        }
    }
}
