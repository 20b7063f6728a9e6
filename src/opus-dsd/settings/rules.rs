//! How what is not said is derived from the data: a function a rule, each with its reason and its test.
//!
//! The numbers come from trials on small sets (docs/concepts/learning.md); where nothing was measured, they are the original's.

use super::values::Preset;
use contract::{EncoderGrid, Guards, Hypotheses, LearningRate, ProjectionRoute, Width};

/// Clusters where their number is not said, at most: twelve make 28 nodes with the four files of the whole.
pub(crate) const MOST_DECIDED_CLUSTERS: usize = analysis::clusters::MOST_CLUSTERS;

/// A value and why it is so.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ruled<T> {
    pub(crate) value: T,
    pub(crate) reason: String,
}

fn ruled<T>(value: T, reason: impl Into<String>) -> Ruled<T> {
    Ruled { value, reason: reason.into() }
}

/// Without a GPU only the small networks end within a day; on one, the original's networks need images to be worth it.
pub(crate) fn preset(on_gpu: bool, box_px: usize) -> Ruled<Preset> {
    /// The original supports no images below this side.
    const FULL_FROM_PX: usize = 128;
    match (on_gpu, box_px >= FULL_FROM_PX) {
        (false, _) => ruled(Preset::Tiny, "no GPU"),
        (true, false) => ruled(Preset::Small, format!("a GPU, and images of {box_px} pixels (below {FULL_FROM_PX})")),
        (true, true) => ruled(Preset::Full, format!("a GPU, and images of {box_px} pixels")),
    }
}

/// Side of the down-sampled images, pixels, even.
pub(crate) fn size_px(preset: Preset, box_px: usize, downfrac: Option<f64>) -> Ruled<usize> {
    /// The original's smallest image.
    const FULL_LEAST_PX: usize = 128;
    /// Beyond it a volume and its gradients do not fit on a GPU.
    const FULL_MOST_PX: usize = 256;
    let even = |n: usize| n.max(2) / 2 * 2;
    if let Some(fraction) = downfrac {
        let wanted = (box_px as f64 * fraction / 2.0).round() as usize * 2;
        return ruled(wanted.clamp(2, even(box_px)), format!("{fraction} of {box_px} pixels, made even"));
    }
    let (wanted, why) = match preset {
        Preset::Tiny => (32, "preset tiny"),
        Preset::Small => (64, "preset small"),
        Preset::Full => (even(box_px / 2).clamp(FULL_LEAST_PX, FULL_MOST_PX), "half the box, from 128 to 256"),
    };
    if wanted < box_px { ruled(wanted, why) } else { ruled(even(box_px), "the images' own box") }
}

/// Side of the render region: what holds the mask, pixels, even.
pub(crate) fn crop_px(preset: Preset, size_px: usize, mask_crop_px: usize) -> Ruled<usize> {
    if preset == Preset::Tiny {
        return ruled(size_px, "the whole image (preset tiny)");
    }
    if mask_crop_px < size_px { ruled(mask_crop_px, "what holds the mask") } else { ruled(size_px, "the mask reaches the images' edge") }
}

/// Side of the decoded volume, voxels, a multiple of 16.
pub(crate) fn template(preset: Preset, crop_px: usize) -> Ruled<usize> {
    match preset {
        Preset::Tiny => ruled(32, "preset tiny"),
        Preset::Small => ruled(crop_px.next_multiple_of(16).clamp(32, 96), "the render region, made a multiple of 16, from 32 to 96"),
        Preset::Full => ruled(192, "as the original"),
    }
}

/// Channel widths and the grid that images are lifted to.
pub(crate) fn networks(preset: Preset) -> (Width, EncoderGrid) {
    match preset {
        Preset::Tiny => (Width::Tiny, EncoderGrid::Native),
        Preset::Small => (Width::Small, EncoderGrid::Native),
        Preset::Full => (Width::Full, EncoderGrid::Capped),
    }
}

/// Passes over the training images.
pub(crate) fn epochs(preset: Preset, warm: bool) -> Ruled<usize> {
    match (preset, warm) {
        (Preset::Tiny, true) => ruled(4, "preset tiny: nothing is gained beyond"),
        (Preset::Tiny, false) => ruled(8, "preset tiny, without a warm start: maps grow noisier beyond"),
        (Preset::Small, _) => ruled(10, "preset small"),
        (Preset::Full, _) => ruled(20, "as the original"),
    }
}

/// Learning rate and its course.
pub(crate) fn learning_rate(preset: Preset, warm: bool, said: Option<f64>) -> Ruled<LearningRate> {
    /// What the cosine leaves at the end.
    const LAST_FRACTION: f64 = 0.02;
    let (start, warm_up_steps) = match (preset, warm) {
        (Preset::Tiny, true) => (4e-3, 0),
        (Preset::Tiny, false) => (2e-3, 0),
        (Preset::Small, _) => (1e-3, 100),
        (Preset::Full, _) => (2e-4, 200),
    };
    let start = said.unwrap_or(start);
    ruled(
        LearningRate { start, decay: 1.0, cosine_to: Some(LAST_FRACTION), warm_up_steps },
        format!("preset {}, cosine to {:.0}% of it", preset_name(preset), LAST_FRACTION * 100.0),
    )
}

/// Epochs of the warm start.
pub(crate) fn warm_start_epochs(preset: Preset, epochs: usize) -> Ruled<f64> {
    let wanted = if preset == Preset::Tiny { 0.5 } else { 1.0 };
    // A run of few epochs still has to train its encoder by itself for most of the time.
    let most = epochs as f64 / 4.0;
    if wanted <= most {
        ruled(wanted, format!("preset {}", preset_name(preset)))
    } else {
        ruled(most, format!("a quarter of {epochs} epochs"))
    }
}

/// Weight of the structural-disentanglement prior.
pub(crate) fn lamb(preset: Preset) -> Ruled<f64> {
    match preset {
        Preset::Tiny => ruled(0.0, "preset tiny: measured to neither help nor harm"),
        _ => ruled(0.5, format!("preset {}, as the original's example", preset_name(preset))),
    }
}

/// Dampening of rendered images.
pub(crate) fn bfactor(preset: Preset) -> Ruled<f64> {
    match preset {
        Preset::Full => ruled(2.0, "preset full: the lower end of the original's range"),
        _ => ruled(0.0, format!("preset {}", preset_name(preset))),
    }
}

/// Fraction of the particles kept for validation.
pub(crate) fn validation_fraction(preset: Preset) -> Ruled<f64> {
    match preset {
        Preset::Tiny => ruled(0.0, "preset tiny: every particle counts"),
        _ => ruled(0.1, "as the original"),
    }
}

/// Poses tried besides the given one.
pub(crate) fn hypotheses(preset: Preset, crop_px: usize) -> Ruled<Hypotheses> {
    /// Directions of the ring.
    const RING: usize = 6;
    // One pixel at the rim of the render region.
    let angle_deg = (2.0 / crop_px as f64).atan().to_degrees();
    match preset {
        Preset::Full => ruled(Hypotheses { ring: RING, angle_deg }, "a ring of one render pixel at the rim"),
        _ => ruled(Hypotheses { ring: 0, angle_deg }, format!("the given pose only (preset {})", preset_name(preset))),
    }
}

/// How volumes are projected for so many poses an image.
pub(crate) fn projection(poses: usize) -> Ruled<ProjectionRoute> {
    let route = ProjectionRoute::quicker(poses);
    let reason = match route {
        ProjectionRoute::Rays => "quicker than Fourier slices for few poses",
        ProjectionRoute::Slices => "Fourier slices: quicker than rays for many poses (measured on CPUs), and more exact",
    };
    ruled(route, reason)
}

/// Weights of mean |v| and total variation of the decoded volume.
pub(crate) fn volume_priors(has_base: bool) -> Ruled<(f64, f64)> {
    if has_base { ruled((0.0, 0.0), "the base volume holds the map") } else { ruled((0.15, 0.5), "as the original, without a base volume") }
}

/// Number of clusters: where the latents have parted ones, theirs; else few enough to look at, and to be offered as nodes by the host.
pub(crate) fn clusters(particles: usize, curve: &analysis::Choice) -> Ruled<usize> {
    /// Particles that a cluster should have to be worth a map.
    const A_CLUSTER: usize = 250;
    const FEWEST: usize = 4;
    if curve.is_parted() {
        return ruled(curve.k, curve.reason.clone());
    }
    let value = (particles / A_CLUSTER).clamp(FEWEST, MOST_DECIDED_CLUSTERS).min(particles);
    ruled(
        value,
        format!("one for every {A_CLUSTER} particles, from {FEWEST} to {MOST_DECIDED_CLUSTERS}, since none are parted: {}", curve.reason),
    )
}

/// Images between two measurements of the loss.
pub(crate) fn log_interval(particles: usize) -> Ruled<usize> {
    /// Points of the loss curve that an epoch gives.
    const AN_EPOCH: usize = 10;
    ruled((particles / AN_EPOCH).max(1), format!("{AN_EPOCH} points an epoch"))
}

/// Thresholds of the guards over training.
pub(crate) fn guards() -> Guards {
    // In 54 trials the worst batch loss was 1.22 of its running mean, and live latents carried more than 0.5 nats.
    Guards { roll_backs: 3, step_factor: 0.5, loss_ratio: 3.0, volume_ratio: 10.0, dead_kl: 0.5 }
}

/// The preset's name as it is written on a command line.
pub(crate) fn preset_name(preset: Preset) -> &'static str {
    match preset {
        Preset::Tiny => "tiny",
        Preset::Small => "small",
        Preset::Full => "full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_follow_the_device() {
        assert_eq!(preset(false, 320).value, Preset::Tiny);
        assert_eq!(preset(true, 64).value, Preset::Small);
        assert_eq!(preset(true, 320).value, Preset::Full);
    }

    #[test]
    fn images_are_never_made_larger_and_always_even() {
        assert_eq!(size_px(Preset::Tiny, 48, None).value, 32);
        assert_eq!(size_px(Preset::Tiny, 31, None).value, 30);
        assert_eq!(size_px(Preset::Full, 100, None).value, 100);
        assert_eq!(size_px(Preset::Full, 320, None).value, 160);
        assert_eq!(size_px(Preset::Full, 1000, None).value, 256);
        assert_eq!(size_px(Preset::Small, 48, Some(0.5)).value, 24);
        assert_eq!(size_px(Preset::Small, 49, Some(1.0)).value, 48);
    }

    #[test]
    fn the_render_region_holds_the_mask() {
        assert_eq!(crop_px(Preset::Full, 160, 104).value, 104);
        assert_eq!(crop_px(Preset::Full, 100, 104).value, 100);
        assert_eq!(crop_px(Preset::Tiny, 32, 10).value, 32);
    }

    #[test]
    fn templates_are_multiples_of_16() {
        assert_eq!(template(Preset::Small, 50).value, 64);
        assert_eq!(template(Preset::Small, 20).value, 32);
        assert_eq!(template(Preset::Full, 114).value, 192);
    }

    #[test]
    fn networks_follow_the_preset() {
        assert_eq!(networks(Preset::Tiny), (Width::Tiny, EncoderGrid::Native));
        assert_eq!(networks(Preset::Full), (Width::Full, EncoderGrid::Capped));
    }

    #[test]
    fn a_short_run_keeps_time_for_its_own_training() {
        assert_eq!(warm_start_epochs(Preset::Tiny, 4).value, 0.5);
        assert_eq!(warm_start_epochs(Preset::Tiny, 1).value, 0.25);
        assert_eq!(warm_start_epochs(Preset::Full, 20).value, 1.0);
    }

    #[test]
    fn training_numbers_of_the_presets() {
        assert_eq!([true, false].map(|warm| epochs(Preset::Tiny, warm).value), [4, 8]);
        assert_eq!([true, false].map(|warm| learning_rate(Preset::Tiny, warm, None).value.start), [4e-3, 2e-3]);
        assert_eq!(learning_rate(Preset::Tiny, true, Some(1e-4)).value.start, 1e-4);
        assert_eq!(lamb(Preset::Tiny).value, 0.0);
        assert_eq!(lamb(Preset::Full).value, 0.5);
        assert_eq!(bfactor(Preset::Full).value, 2.0);
        assert_eq!(validation_fraction(Preset::Full).value, 0.1);
        assert_eq!(volume_priors(true).value, (0.0, 0.0));
    }

    #[test]
    fn the_ring_is_a_pixel_wide() {
        let ring = hypotheses(Preset::Full, 114).value;
        assert_eq!(projection(1 + ring.ring).value, ProjectionRoute::Slices);
        assert_eq!(ring.ring, 6);
        assert!((ring.angle_deg - 1.005).abs() < 1e-3);
        assert_eq!(hypotheses(Preset::Tiny, 32).value.ring, 0);
        assert_eq!(projection(1).value, ProjectionRoute::Rays);
    }

    #[test]
    fn clusters_are_those_of_the_latents_or_neither_few_nor_many() {
        let curve = |silhouette| analysis::Choice {
            k: 3,
            curve: vec![contract::CurvePoint { k: 3, within: 0.2, silhouette }],
            reason: "why".into(),
        };
        assert_eq!([32, 1000, 2000, 100_000].map(|n| clusters(n, &curve(0.4)).value), [4, 4, 8, 12]);
        assert_eq!([32, 1000, 2000, 100_000].map(|n| clusters(n, &curve(0.6)).value), [3; 4]);
    }

    #[test]
    fn loss_is_measured_ten_times_an_epoch() {
        assert_eq!([5, 1000].map(|n| log_interval(n).value), [1, 100]);
    }

    #[test]
    fn guards_are_wider_than_what_healthy_runs_do() {
        assert!(guards().loss_ratio > 1.22);
    }
}
