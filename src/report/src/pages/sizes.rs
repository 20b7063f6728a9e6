//! How many particles each cluster holds, what speaks for their number, and how many dimensions the latents use.

use super::grouped;
use crate::chart::{Axis, Marks, Series, chart};
use crate::palette::{ACCENT, class};
use crate::sheet::{BOTTOM, MARGIN, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::Story;
use crate::subject::Subject;
use contract::{CurvePoint, Result};

/// Between the two charts.
const GAP: f64 = 26.0;
/// Width of the charts on the right.
const RIGHT: f64 = 250.0;
/// Bars with their value above, at most: the values of more would touch.
const MOST_VALUES: usize = 24;

pub(super) fn sheet(story: &Story) -> Result<Option<Sheet>> {
    let sizes = &story.clusters.sizes;
    let curve = story.clustering.as_ref().map_or(&[][..], |c| &c.curve[..]);
    let (with_variance, with_curve) = (story.pca.explained.len() > 1, curve.len() > 1);
    let divided = story.subject != Subject::Latents;
    if !divided && !with_variance {
        return Ok(None);
    }
    let (title, caption, heading) = told(story);
    let mut page = Sheet::page(title, &caption);
    let (top, height) = (TOP + 26.0, BOTTOM - TOP - 30.0);
    let whole = WIDTH - 2.0 * MARGIN;
    let right = match (divided, with_variance || with_curve) {
        (false, _) => whole,
        (true, true) => RIGHT,
        (true, false) => 0.0,
    };
    let width = whole - if right > 0.0 { right + GAP } else { 0.0 };
    if divided {
        page.text(MARGIN, top, heading, Style::new(TEXT).strong());
        let number = |c: usize| story.clusters.class_number(c) as f64;
        let bars = sizes.iter().enumerate().map(|(c, &size)| (number(c), size as f64, class(c, sizes.len()))).collect();
        let x = Axis::whole(story.subject.noun(), 1, sizes.len());
        let y = Axis::around("particles", sizes.iter().map(|&size| size as f64).chain([0.0])).starting_at_zero();
        let value: fn(f64) -> String = if sizes.len() <= MOST_VALUES { |v| grouped(v as usize) } else { |_| String::new() };
        page.inset(MARGIN, top, &chart(width, height, &x, &y, Marks::Bars { bars, width: 0.72, value })?);
    }

    let left = WIDTH - MARGIN - right;
    let each = if with_variance && with_curve { (height - GAP) / 2.0 } else { height };
    if with_curve {
        page.text(left, top, "What speaks for each number of clusters", Style::new(TEXT).strong());
        page.inset(left, top, &number(right, each, curve)?);
    }
    if with_variance {
        let top = if with_curve { top + each + GAP } else { top };
        let shares = &story.pca.explained;
        page.text(left, top, "Variance along each principal component", Style::new(TEXT).strong());
        let bars = shares.iter().enumerate().map(|(i, share)| ((i + 1) as f64, 100.0 * share, ACCENT)).collect();
        let x = Axis::whole("principal component", 1, shares.len());
        let y = Axis::around("share of the variance (%)", shares.iter().map(|share| 100.0 * share).chain([0.0])).starting_at_zero();
        let value: fn(f64) -> String = if shares.len() <= 8 { |v| format!("{v:.1}") } else { |_| String::new() };
        page.inset(left, top, &chart(right, each, &x, &y, Marks::Bars { bars, width: 0.72, value })?);
    }
    Ok(Some(page))
}

/// Title, how to read the page, and heading of the bars.
fn told(story: &Story) -> (&'static str, String, &'static str) {
    match story.subject {
        Subject::States => {
            let made = story.clustering.as_ref().map_or_else(String::new, |c| {
                let how = if c.method == "mixture" { "A mixture of Gaussians" } else { "k-means" };
                format!("{how} of the latents: {}. ", c.reason)
            });
            let rest = "Neighbours in number are neighbours in latent space. A cluster far smaller than the others is often junk, or a rare state: look at its map.";
            ("Clusters", format!("{made}{rest}"), "Particles in each cluster")
        }
        Subject::Encoded => (
            "Clusters",
            "The states of the trained job, and how many of these particles belong to each; the facts say which share it had in training. A state that gains \
             much may gather particles that the model does not know."
                .to_owned(),
            "Particles in each state",
        ),
        Subject::Maps => (
            "Particles near the maps",
            "Every particle of the trained job counts for the map whose latent is nearest. A map that hardly any particle is near to is backed by none."
                .to_owned(),
            "Particles nearest to each map",
        ),
        Subject::Latents => (
            "Latents",
            "How much of the latents' variance lies along each principal component. Few large ones: the particles differ in few ways; components near 0 carry \
             nothing."
                .to_owned(),
            "",
        ),
    }
}

/// Silhouette and elbow curve.
fn number(width: f64, height: f64, curve: &[CurvePoint]) -> Result<Sheet> {
    let line = |name: &str, colour: usize, read: fn(&CurvePoint) -> f64| Series {
        name: name.into(),
        colour: class(colour, 7),
        points: curve.iter().map(|p| (p.k as f64, read(p))).collect(),
    };
    let series = vec![line("silhouette", 0, |p| p.silhouette), line("variance inside", 1, |p| p.within)];
    let y = Axis::around("share", series.iter().flat_map(|s| s.points.iter().map(|p| p.1)).chain([0.0, 1.0]));
    chart(width, height, &Axis::whole("clusters", 1, curve[curve.len() - 1].k), &y, Marks::Lines(series))
}
