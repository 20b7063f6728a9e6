//! What the page shows of the data behind the states, and of how the states differ.

use crate::pages::maps::slices;
use crate::picture::Frames;
use crate::story::{Evidence, State, Story};
use crate::surface::View;
use crate::thumbnail::{Scale, along, diverging, grey};
use contract::Result;
use ndarray::Array3;
use serde_json::{Value, json};

/// Side of a surface's picture, pixels: that of the states.
const SURFACE_PX: usize = super::data::SURFACE_PX;

/// One entry a state that was reconstructed from its particles.
pub(super) fn evidence(story: &Story, view: View, frames: usize) -> Result<Vec<Value>> {
    let scale = local_scale(story);
    let one = |(state, evidence): (&State, &Evidence)| {
        let around = Frames::of(&view.at_own_level(&evidence.map).around(&evidence.map, SURFACE_PX, frames)).strip_uri()?;
        let cuts = |map: &Array3<f32>| {
            let own = Scale::of(slices(map)[0].iter());
            slices(map).map(|slice| grey(slice, own)).to_vec()
        };
        Ok(json!({
            "class": state.class,
            "particles": evidence.effective_particles,
            "resolution": evidence.resolution_angstrom,
            "resolution_half": evidence.resolution_half_angstrom,
            "agrees": evidence.decoded_agrees_angstrom,
            "local_median": evidence.local_median_angstrom,
            "b_factor": evidence.b_factor_angstrom2,
            "file": evidence.file,
            "fsc": evidence.fsc,
            "decoded_fsc": evidence.decoded_fsc,
            "surface": around,
            "slices": cuts(&evidence.map),
            "local": slices(&evidence.local_angstrom).map(|slice| along(slice, scale)).to_vec(),
        }))
    };
    story.states.iter().filter_map(|s| s.evidence.as_ref().map(|e| (s, e))).map(one).collect()
}

/// Ends of the local resolution's scale, Å.
pub(super) fn local_range(story: &Story) -> Option<[f32; 2]> {
    story.states.iter().any(|s| s.evidence.is_some()).then(|| local_scale(story).ends())
}

/// One scale for the local resolution of all states.
pub(crate) fn local_scale(story: &Story) -> Scale {
    let all = story.states.iter().filter_map(|s| s.evidence.as_ref());
    let values: Vec<f32> = all.flat_map(|e| e.local_angstrom.iter().copied().filter(|v| *v > 0.0)).collect();
    Scale::of(values.iter())
}

/// Central slices of a state's difference from the consensus, in one scale for all states.
pub(super) fn difference(story: &Story, state: &State) -> Vec<String> {
    let all = story.states.iter().filter_map(|s| s.difference.as_ref());
    let values: Vec<f32> = all.flat_map(|d| slices(&d.map).into_iter().flat_map(|slice| slice.to_owned())).collect();
    let scale = Scale::about_zero(values.iter());
    state.difference.iter().flat_map(|d| slices(&d.map)).map(|slice| diverging(slice, scale)).collect()
}

/// Occupancy and motion of the part that was asked about, and the variability.
pub(super) fn differences(story: &Story) -> Value {
    let Some(told) = &story.differences else { return Value::Null };
    let part = told.part.as_ref().map(|part| {
        let occupancy = part.occupancy.iter().map(|(class, points)| json!({ "class": class, "points": points }));
        let motions = part.motions.iter().map(|m| {
            json!({ "from": m.from, "to": m.to, "angle": m.angle_deg, "shift": m.shift_angstrom, "before": m.correlation_before, "after": m.correlation_after })
        });
        json!({ "mask": part.mask, "occupancy": occupancy.collect::<Vec<_>>(), "motions": motions.collect::<Vec<_>>() })
    });
    let variability = told.variability.as_ref().map(|v| {
        let [mean, deviation] =
            [&v.mean, &v.deviation].map(|map| Scale::of(slices(map).into_iter().flat_map(|s| s.to_owned()).collect::<Vec<_>>().iter()));
        json!({
            "maps": v.maps,
            "mean": slices(&v.mean).map(|slice| grey(slice, mean)).to_vec(),
            "deviation": slices(&v.deviation).map(|slice| along(slice, deviation)).to_vec(),
        })
    });
    json!({ "detail": told.detail_angstrom, "part": part, "variability": variability })
}
