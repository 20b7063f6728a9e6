//! What the page shows, as JSON; arrays and pictures in base64.

use super::evidence;
use crate::pages::grouped;
use crate::pages::images::pictures;
use crate::pages::maps::{density_scale, slices};
use crate::picture::Frames;
use crate::story::{Grouping, NextStep, State, Story, Way};
use crate::subject::Subject;
use crate::surface::View;
use crate::thumbnail::{Scale, grey};
use crate::verdict::Verdict;
use analysis::neighbours::even_sample;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use contract::Result;
use ndarray::{Array2, ArrayView1, Axis};
use serde_json::{Value, json};

/// Side of a surface's picture, pixels.
pub(super) const SURFACE_PX: usize = 168;
/// Pictures around a state; fewer where there are many states, so that the file stays small, and of maps along a way, which differ little.
const FRAMES: usize = 24;
const FEW_FRAMES: usize = 8;
/// Beyond this many states there are few frames.
const MANY_STATES: usize = 16;
/// Bytes that all figures of the particles may take in the file, which is to stay below 25 MB with its pictures.
const PARTICLE_BYTES: usize = 22_000_000;
/// Bytes a figure and particle: 16 bits in base64.
const FIGURE_BYTES: f64 = 8.0 / 3.0;
/// Particles that are drawn beneath others, at most: more only fill the same grey.
const MOST_BENEATH: usize = 50_000;
/// Quotes and comma around a name.
const NAME_BYTES: usize = 3;
/// Coordinates and figures are sent in this many steps (16 bits): finer than any screen.
const STEPS: f32 = 65535.0;

/// The page's data.
pub(super) fn of(story: &Story) -> Result<Value> {
    let shown = View::of(story);
    let frames = if story.states.len() > MANY_STATES || story.subject == Subject::Maps { FEW_FRAMES } else { FRAMES };
    let states = story.states.iter().map(|s| state(story, s, shown, frames)).collect::<Result<Vec<_>>>()?;
    let ways = story.ways.iter().map(|way| way_data(way, shown)).collect::<Result<Vec<_>>>()?;
    let verdict = story.verdict.clone().unwrap_or_else(|| Verdict::of(&story.epochs, story.latents.ncols()));
    // It stands above them already.
    let warnings: Vec<&String> = story.warnings.iter().filter(|line| **line != verdict.text).collect();
    let (columns, left_out) = columns(story);
    Ok(json!({
        "version": contract::VERSION,
        "title": story.title,
        "words": words_of(story),
        "subtitle": story.subtitle,
        "facts": story.facts,
        "verdict": { "good": verdict.good, "text": verdict.text },
        "warnings": warnings,
        "next_steps": story.next_steps.iter().map(next_step).collect::<Vec<_>>(),
        "region_command": story.region_command,
        "epochs": epochs(story),
        "particles": story.latents.nrows(),
        "drawn_on": { "job": story.title, "epoch": story.epoch, "particles": story.latents.nrows(), "fingerprint": story.fingerprint },
        "clustering": story.clustering,
        "nuisances": story.nuisances,
        "comparison": story.comparison,
        "embeddings": embeddings(story),
        "classes": classes(story),
        "columns": columns,
        "left_out": left_out,
        "frames": frames,
        "surface_px": SURFACE_PX,
        "states": states,
        "ways": ways,
        "evidence": evidence::evidence(story, shown, frames)?,
        "local_range": evidence::local_range(story),
        "differences": evidence::differences(story),
        "apix": story.apix,
        "panels": panels(story),
    }))
}

/// What the page calls things.
fn words_of(story: &Story) -> Value {
    let subject = story.subject;
    let of_ground = story.ground.as_ref().map(|ground| format!("grey: {} {}", grouped(ground.latents.nrows()), ground.name));
    json!({
        "noun": subject.noun(),
        "classes": (0..story.clusters.len()).map(|c| subject.name(story.clusters.class_number(c))).collect::<Vec<_>>(),
        "division": subject.division(),
        "crowd": subject.of_crowd(),
        "maps": subject.of_maps(),
        "surfaces": subject.of_surfaces(),
        "caution": subject.caution(),
        "ground": of_ground,
        // Regions are drawn along the axes of the job's own latents.
        "regions": matches!(subject, Subject::States | Subject::Latents),
    })
}

/// Particles drawn beneath the others.
fn beneath(story: &Story) -> usize {
    story.ground.as_ref().map_or(0, |ground| ground.latents.nrows().min(MOST_BENEATH))
}

fn next_step(step: &NextStep) -> Value {
    let NextStep { what, command, relion, scipion, pipeliner } = step;
    json!({ "what": what, "command": command, "relion": relion, "scipion": scipion, "pipeliner": pipeliner })
}

fn state(story: &Story, told: &State, view: View, frames: usize) -> Result<Value> {
    let State { class, particles, map, file, note, .. } = told;
    let around = Frames::of(&view.around(map, SURFACE_PX, frames)).strip_uri()?;
    let scale = density_scale(story);
    let cuts: Vec<String> = slices(map).into_iter().map(|slice| grey(slice, scale)).collect();
    Ok(json!({
        "class": class,
        "share": *particles as f64 / story.latents.nrows() as f64,
        "name": story.subject.heading(*class),
        "size": story.subject.of_size(&grouped(*particles)),
        "map": file,
        "note": note,
        "surface": around,
        "slices": cuts,
        "difference": evidence::difference(story, told),
        "of_consensus": told.difference.as_ref().map(|d| d.of_consensus),
        "box": map.dim().0,
    }))
}

/// From the front, one picture a map.
fn way_data(way: &Way, view: View) -> Result<Value> {
    let fronts: Vec<_> = way.maps.iter().map(|map| view.front(map, SURFACE_PX)).collect();
    let scale = Scale::of(way.maps.iter().flat_map(|map| slices(map)[0].into_iter()));
    let cuts: Vec<String> = way.maps.iter().map(|map| grey(slices(map)[0], scale)).collect();
    Ok(json!({
        "name": way.name,
        "files": (0..way.maps.len()).map(|map| way.file(map)).collect::<Vec<_>>(),
        "surface": Frames::of(&fronts).strip_uri()?,
        "slices": cuts,
    }))
}

fn epochs(story: &Story) -> Vec<Value> {
    let one = |e: &crate::story::EpochRecord| {
        json!({
            "epoch": e.epoch, "reconstruction": e.terms.reconstruction, "validation": e.validation, "kl": e.terms.kl, "prior": e.terms.prior,
            "volume": e.terms.volume, "warm_start": e.terms.warm_start, "kl_nats": e.kl_nats, "active": e.active_dimensions, "snr": e.snr,
            "alignment": e.drift.map(|d| d.alignment), "neighbours": e.drift.map(|d| d.neighbours),
        })
    };
    story.epochs.iter().map(one).collect()
}

/// Principal components first, then what else there is.
fn embeddings(story: &Story) -> Vec<Value> {
    let scores = story.pca.project(story.latents.view());
    let axis =
        |k: usize| format!("component {} ({:.0}% of the variance)", k + 1, 100.0 * story.pca.explained.get(k).copied().unwrap_or(0.0));
    let second = 1.min(scores.ncols() - 1);
    let [x, y] = [0, second].map(|k| scores.column(k));
    let along = |points: &Array2<f32>| story.pca.project(points.view()).select(Axis(1), &[0, second]);
    // Where the maps were decoded; of clusters the maps stand for crowds.
    let marks = if story.subject == Subject::Maps { along(&story.clusters.centers) } else { Array2::zeros((0, 2)) };
    let marks: Vec<[f32; 2]> = marks.rows().into_iter().map(|p| [p[0], p[1]]).collect();
    let ground = story.ground.as_ref().map(|ground| {
        let points = along(&ground.latents.select(Axis(0), &even_sample(ground.latents.nrows(), MOST_BENEATH)));
        json!({ "x": quantised(points.column(0)), "y": quantised(points.column(1)) })
    });
    let axes = [axis(0), axis(second)];
    let pca =
        json!({ "name": "principal components", "axes": axes, "x": quantised(x), "y": quantised(y), "ground": ground, "marks": marks });
    let others = story.embeddings.iter().map(|e| {
        let axes = [1, 2].map(|i| format!("{} {i}", e.name));
        json!({ "name": e.name, "axes": axes, "x": quantised(e.points.column(0)), "y": quantised(e.points.column(1)) })
    });
    std::iter::once(pca).chain(others).collect()
}

/// Class numbers of all particles, 16 bits each.
fn classes(story: &Story) -> String {
    let clusters = &story.clusters;
    words(clusters.labels.iter().map(|&c| clusters.class_number(c)))
}

/// Small numbers, 16 bits each.
fn words(numbers: impl Iterator<Item = usize>) -> String {
    BASE64_STANDARD.encode(numbers.flat_map(|n| (n as u16).to_le_bytes()).collect::<Vec<u8>>())
}

/// What points can be coloured by, as far as the file has room: the projection class, figures, groups. And the names of the others.
fn columns(story: &Story) -> (Vec<Value>, Vec<&str>) {
    let views: Vec<f32> = story.view_classes.iter().map(|&v| v as f32).collect();
    let own = (!views.is_empty()).then(|| json!({ "name": "projection class (0 to 47)", "values": quantised(ArrayView1::from(&views)) }));
    // Besides two coordinates an embedding, the state and the projection class.
    let a_figure = FIGURE_BYTES * story.latents.nrows() as f64;
    let mut room =
        PARTICLE_BYTES as f64 - 2.0 * FIGURE_BYTES * beneath(story) as f64 - a_figure * (2 * (1 + story.embeddings.len()) + 2) as f64;
    let mut fits = |bytes: f64| {
        let fits = bytes <= room;
        room -= if fits { bytes } else { 0.0 };
        fits
    };
    let names = |g: &Grouping| g.names.iter().map(|name| name.len() + NAME_BYTES).sum::<usize>() as f64;
    let (asked, others) = story.columns.split_at(story.columns_asked.min(story.columns.len()));
    let (mut figures, mut no_figures): (Vec<_>, Vec<_>) = asked.iter().partition(|_| fits(a_figure));
    let (groupings, no_groupings): (Vec<_>, Vec<_>) = story.groupings.iter().partition(|g| fits(a_figure + names(g)));
    let (more, no_more): (Vec<_>, Vec<_>) = others.iter().partition(|_| fits(a_figure));
    figures.extend(more);
    no_figures.extend(no_more);
    let groupings = groupings.into_iter().map(|g| json!({ "name": g.name, "names": g.names, "of": words(g.of.iter().copied()) }));
    let figures = figures.into_iter().map(|c| json!({ "name": c.name, "values": quantised(ArrayView1::from(&c.values)) }));
    let left_out = no_figures.into_iter().map(|c| c.name.as_str()).chain(no_groupings.into_iter().map(|g| g.name.as_str()));
    (own.into_iter().chain(figures).chain(groupings).collect(), left_out.collect())
}

/// Numbers between their least and their greatest, 16 bits each; what is not finite takes the least.
fn quantised(values: ArrayView1<'_, f32>) -> Value {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (least, most) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
    let (least, most) = if least <= most { (least, most) } else { (0.0, 0.0) };
    let span = if most > least { most - least } else { 1.0 };
    let step = |v: &f32| if v.is_finite() { ((v - least) / span * STEPS).round() as u16 } else { 0 };
    let bytes: Vec<u8> = values.iter().flat_map(|v| step(v).to_le_bytes()).collect();
    json!({ "least": least, "most": most, "data": BASE64_STANDARD.encode(bytes) })
}

fn panels(story: &Story) -> Vec<Value> {
    let one = |p: &crate::story::ImagePanels| {
        let shown: Vec<Value> = pictures(p)
            .into_iter()
            .map(|(name, image)| json!({ "name": name, "picture": grey(image.view(), Scale::of(image.iter())) }))
            .collect();
        json!({ "particle": p.particle, "pictures": shown })
    };
    story.panels.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let values = [1.0f32, -3.0, f32::NAN, 2.0];
        let sent = quantised(ArrayView1::from(&values));
        let bytes = BASE64_STANDARD.decode(sent["data"].as_str().unwrap()).unwrap();
        let back: Vec<f32> = bytes
            .chunks(2)
            .map(|b| sent["least"].as_f64().unwrap() as f32 + f32::from(u16::from_le_bytes([b[0], b[1]])) / STEPS * 5.0)
            .collect();
        for (value, read) in values.iter().zip(back).filter(|(v, _)| v.is_finite()) {
            assert!((value - read).abs() < 1e-4, "{value} {read}");
        }
    }
}
