//! The latents in a plane, that of their first two principal components or another, coloured by cluster and by view.

use super::grouped;
use crate::chart::{Axis, Marks, Series, chart};
use crate::palette::{GREY, along, class, hex};
use crate::sheet::{Anchor, BOTTOM, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::{Embedding, Story};
use analysis::neighbours::even_sample;
use contract::Result;
use ndarray::Axis as Along;
use plotters::style::RGBColor;

/// Projection classes: pixels of a HEALPix sphere of nside 2.
pub(super) const VIEW_CLASSES: usize = 48;
/// Dots drawn at most: more only blacken the page and bloat the file.
const MOST_DOTS: usize = 8_000;
/// Between the two charts.
const GAP: f64 = 26.0;

/// The latents in a plane, ready to be coloured.
pub(super) struct Plane {
    /// Particles shown.
    pub(super) rows: Vec<usize>,
    points: Vec<(f64, f64)>,
    axes: (Axis, Axis),
    /// Of a dot, points.
    radius: f64,
    /// Where the particles lie that stand for the clusters, with their numbers.
    numbers: Vec<(f64, f64, String)>,
}

impl Plane {
    pub(super) fn of(story: &Story, most: usize) -> Self {
        let rows = even_sample(story.latents.nrows(), most);
        let scores = story.pca.project(story.latents.select(Along(0), &rows).view());
        let flat = scores.ncols() == 1;
        let point = |i: usize| (f64::from(scores[[i, 0]]), if flat { rows[i] as f64 + 1.0 } else { f64::from(scores[[i, 1]]) });
        let points: Vec<(f64, f64)> = (0..rows.len()).map(point).collect();
        let title = |component: usize| {
            format!("principal component {} ({:.1}% of the variance)", component + 1, 100.0 * story.pca.explained[component])
        };
        let y_title = if flat { "particle".to_owned() } else { title(1) };
        let center_scores = story.pca.project(story.clusters.centers.view());
        let number = |c: usize| {
            let y = if flat { story.clusters.center_index[c] as f64 + 1.0 } else { f64::from(center_scores[[c, 1]]) };
            (f64::from(center_scores[[c, 0]]), y, story.clusters.class_number(c).to_string())
        };
        let numbers = (0..story.clusters.len()).map(number).collect();
        Self::with(rows, points, [&title(0), &y_title], numbers)
    }

    fn of_embedding(story: &Story, embedding: &Embedding, most: usize) -> Self {
        let rows = even_sample(story.latents.nrows(), most);
        let point = |row: usize| (f64::from(embedding.points[[row, 0]]), f64::from(embedding.points[[row, 1]]));
        let number = |c: usize| {
            let (x, y) = point(story.clusters.center_index[c]);
            (x, y, story.clusters.class_number(c).to_string())
        };
        let points = rows.iter().map(|&row| point(row)).collect();
        let [x, y] = [1, 2].map(|axis| format!("{} {axis} (no unit)", embedding.name));
        Self::with(rows, points, [&x, &y], (0..story.clusters.len()).map(number).collect())
    }

    fn with(rows: Vec<usize>, points: Vec<(f64, f64)>, titles: [&str; 2], numbers: Vec<(f64, f64, String)>) -> Self {
        let axes = (Axis::around(titles[0], points.iter().map(|p| p.0)), Axis::around(titles[1], points.iter().map(|p| p.1)));
        // Small dots where there are many.
        let radius = (40.0 / (rows.len() as f64).sqrt()).clamp(0.7, 1.8);
        Self { rows, points, axes, radius, numbers }
    }

    /// A chart with a colour a class, of `count`; `numbers` are written over the dots.
    pub(super) fn chart(
        &self,
        (width, height): (f64, f64),
        count: usize,
        class_of: impl Fn(usize) -> usize,
        colour: impl Fn(usize) -> RGBColor,
        numbers: Vec<(f64, f64, String)>,
    ) -> Result<Sheet> {
        let mut series: Vec<Series> = (0..count).map(|c| Series { name: String::new(), colour: colour(c), points: Vec::new() }).collect();
        self.points.iter().zip(&self.rows).for_each(|(&point, &row)| series[class_of(row)].points.push(point));
        chart(width, height, &self.axes.0, &self.axes.1, Marks::Dots { series, radius: self.radius, numbers })
    }
}

pub(super) fn sheet(story: &Story) -> Result<Sheet> {
    drawn(
        story,
        &Plane::of(story, MOST_DOTS),
        "Latent space",
        "in the plane of the first two principal components. Left: the particle that stands for each cluster is numbered. Right: colours that are mixed everywhere are a good sign; patches of one colour mean that the latents follow the view.",
    )
}

/// The same in the plane of an embedding.
pub(super) fn of_embedding(story: &Story, embedding: &Embedding) -> Result<Sheet> {
    drawn(
        story,
        &Plane::of_embedding(story, embedding, MOST_DOTS),
        &format!("Latent space, {}", embedding.name),
        "neighbours kept together. Islands of one colour on the left are states that the latents part; distances between islands, and their sizes, mean nothing. Islands of one colour on the right mean that the latents follow the view.",
    )
}

fn drawn(story: &Story, plane: &Plane, title: &str, reading: &str) -> Result<Sheet> {
    let n = story.latents.nrows();
    let shown = if plane.rows.len() < n {
        format!("{} of {} particles, evenly drawn", grouped(plane.rows.len()), grouped(n))
    } else {
        format!("{} particles", grouped(n))
    };
    let mut page = Sheet::page(title, &format!("{shown}, {reading}"));
    let width = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
    let (top, height) = (TOP + 20.0, BOTTOM - TOP - 50.0);

    let count = story.clusters.len();
    page.text(MARGIN, top, &format!("By cluster ({count})"), Style::new(TEXT).strong());
    let numbers = plane.numbers.clone();
    page.inset(MARGIN, top, &plane.chart((width, height), count, |row| story.clusters.labels[row], |c| class(c, count), numbers)?);

    let right = MARGIN + width + GAP;
    let colour = |c: usize| along(c as f64 / (VIEW_CLASSES - 1) as f64);
    page.text(right, top, "By projection class", Style::new(TEXT).strong());
    page.inset(right, top, &plane.chart((width, height), VIEW_CLASSES, |row| story.view_classes[row], colour, Vec::new())?);

    // Key of the view classes.
    let (bar, step, key_y) = (right + 56.0, 3.0, BOTTOM - 10.0);
    for c in 0..VIEW_CLASSES {
        page.rectangle(bar + step * c as f64, key_y - 7.0, step + 0.1, 7.0, &hex(colour(c)));
    }
    let grey = Style::new(SMALL).colour(GREY);
    page.text(bar - 4.0, key_y, "0", grey.anchor(Anchor::End));
    let end = bar + step * VIEW_CLASSES as f64;
    page.text(end + 4.0, key_y, &(VIEW_CLASSES - 1).to_string(), grey);
    page.text(end + 22.0, key_y, "projection class (HEALPix pixel, nside 2)", grey);
    if !story.nuisances.is_empty() {
        let told = story.nuisances.iter().map(|n| format!("{} {:.2}", n.name, n.told)).collect::<Vec<_>>().join(", ");
        page.text(MARGIN + 46.0, key_y, &format!("Told by a particle's neighbours, 0 to 1: {told}."), grey);
    }
    Ok(page)
}
