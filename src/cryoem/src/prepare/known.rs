//! Optics groups that an earlier preparation has measured. Other images of the same group are brought to the same scale by the same numbers: a
//! sample of few of them would give others, and the same particle would come out differently in another company.

use super::background::Level;
use super::sign::SURE_ALONE;
use super::{Invert, PrepareOptions};
use crate::particles::OpticsGroup;
use contract::GroupSummary;

/// Part by which the noise, and by which of it the background, of a group's images may differ between two large samples.
const TOLERANCE: f64 = 0.1;
/// The same of a single image, beyond [`TOLERANCE`]: ice and crowding differ; it shrinks with the root of the number of images.
const SPREAD: f64 = 0.5;
/// Pixel sizes and voltages that agree to this part are one.
const SAME: f64 = 1e-3;

/// How a group's level was found.
pub(super) struct Sample {
    /// Images that were measured.
    pub(super) images: usize,
    /// How surely particles are white (positive) or black, standard deviations.
    pub(super) vote: f64,
}

/// The level that a group's images are brought to, and whether its sign is settled with it. `found` is what its own sample says; where that
/// is not taken, what was remarked about it goes.
pub(super) fn level(
    group: &OpticsGroup,
    options: &PrepareOptions,
    found: Level,
    sample: Sample,
    remarks: &mut Vec<String>,
) -> (Level, bool) {
    let name = &group.name;
    if let Some(known) = options.known.iter().find(|known| known.particles > 0 && same_optics(known, group)) {
        let expected = Level::of(known);
        let turned = sample.vote.abs() >= SURE_ALONE && (sample.vote < 0.0) != expected.inverted && options.invert == Invert::Auto;
        if agrees(&found, &expected, sample.images) && !turned {
            remarks.clear();
            return (expected, true);
        }
        remarks.push(format!(
            "optics group `{name}`: its images are others than those of that name before (background {:.3e}, noise {:.3e}, were {:.3e}, {:.3e}); \
             they are normalised by their own",
            found.background, found.noise_std, expected.background, expected.noise_std
        ));
    }
    let mut signs = options.known.iter().filter(|known| known.particles > 0).map(|known| known.inverted);
    let alike = signs.next().filter(|first| signs.all(|sign| sign == *first));
    match alike {
        Some(inverted) if options.invert == Invert::Auto && sample.vote.abs() < SURE_ALONE => {
            let done = if inverted { "turned" } else { "left" };
            remarks.push(format!("optics group `{name}`: the sign is {done}, as in the groups before"));
            (Level { inverted, ..found }, true)
        }
        _ => (found, false),
    }
}

fn same_optics(known: &GroupSummary, group: &OpticsGroup) -> bool {
    let same = |a: f64, b: f64| (a / b - 1.0).abs() < SAME || a == b;
    known.name == group.name && known.box_px == group.box_px && same(known.apix, group.apix) && same(known.voltage_kv, group.voltage_kv)
}

fn agrees(found: &Level, expected: &Level, images: usize) -> bool {
    // Images that are normalised one by one have no common background to compare.
    let allowed = TOLERANCE + SPREAD / (images as f64).sqrt();
    expected.one_by_one
        || (found.noise_std / expected.noise_std).ln().abs() <= allowed
            && (found.background - expected.background).abs() <= allowed * expected.noise_std
}
