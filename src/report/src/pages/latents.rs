//! The latents in a plane, that of their first two principal components or another, coloured by cluster and by view.

use super::grouped;
use crate::chart::{Axis, Marks, Series, chart};
use crate::palette::{BENEATH, GREY, class, hex, shade};
use crate::sheet::{Anchor, BOTTOM, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::{Embedding, Story};
use crate::subject::Subject;
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
    /// Other particles, beneath these.
    ground: Vec<(f64, f64)>,
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
        let ground = story.ground.as_ref().filter(|_| !flat).map_or_else(Vec::new, |ground| {
            let shown = even_sample(ground.latents.nrows(), most);
            let scores = story.pca.project(ground.latents.select(Along(0), &shown).view());
            scores.rows().into_iter().map(|row| (f64::from(row[0]), f64::from(row[1]))).collect()
        });
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
        Self::with(rows, points, ground, [&title(0), &y_title], numbers)
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
        Self::with(rows, points, Vec::new(), [&x, &y], (0..story.clusters.len()).map(number).collect())
    }

    fn with(
        rows: Vec<usize>,
        points: Vec<(f64, f64)>,
        ground: Vec<(f64, f64)>,
        titles: [&str; 2],
        numbers: Vec<(f64, f64, String)>,
    ) -> Self {
        let all = || points.iter().chain(&ground);
        let axes = (Axis::around(titles[0], all().map(|p| p.0)), Axis::around(titles[1], all().map(|p| p.1)));
        // Small dots where there are many.
        let radius = (40.0 / (rows.len() as f64).sqrt()).clamp(0.7, 1.8);
        Self { rows, points, ground, axes, radius, numbers }
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
        let beneath = Series { name: String::new(), colour: BENEATH, points: self.ground.clone() };
        let mut series: Vec<Series> = (0..count).map(|c| Series { name: String::new(), colour: colour(c), points: Vec::new() }).collect();
        self.points.iter().zip(&self.rows).for_each(|(&point, &row)| series[class_of(row)].points.push(point));
        chart(width, height, &self.axes.0, &self.axes.1, Marks::Dots { beneath, series, radius: self.radius, numbers })
    }
}

pub(super) fn sheet(story: &Story) -> Result<Sheet> {
    let left = match story.subject {
        Subject::States => "Left: the particle that stands for each cluster is numbered",
        Subject::Encoded => "Left: numbers stand at the middle of each state's trained particles, which are grey",
        Subject::Maps => "Numbers stand where the maps were decoded",
        Subject::Latents => "They are not divided yet",
    };
    drawn(story, &Plane::of(story, MOST_DOTS), "Latent space", &format!("in the plane of the first two principal components. {left}."))
}

/// The same in the plane of an embedding.
pub(super) fn of_embedding(story: &Story, embedding: &Embedding) -> Result<Sheet> {
    drawn(
        story,
        &Plane::of_embedding(story, embedding, MOST_DOTS),
        &format!("Latent space, {}", embedding.name),
        "neighbours kept together. Islands of one colour on the left are states that the latents part; distances between islands, and their sizes, mean nothing.",
    )
}

fn drawn(story: &Story, plane: &Plane, title: &str, reading: &str) -> Result<Sheet> {
    let n = story.latents.nrows();
    let shown = if plane.rows.len() < n {
        format!("{} of {} particles, evenly drawn", grouped(plane.rows.len()), grouped(n))
    } else {
        format!("{} particles", grouped(n))
    };
    let with_views = !story.view_classes.is_empty();
    let of_views = if with_views {
        " Right: colours that are mixed everywhere are a good sign; patches of one colour mean that the latents follow the view."
    } else {
        ""
    };
    let mut page = Sheet::page(title, &format!("{shown}, {reading}{of_views}"));
    let whole = WIDTH - 2.0 * MARGIN;
    let width = if with_views { (whole - GAP) / 2.0 } else { whole };
    let (top, height) = (TOP + 20.0, BOTTOM - TOP - 50.0);

    let count = story.clusters.len();
    page.text(MARGIN, top, &story.subject.by_division(count), Style::new(TEXT).strong());
    let numbers = if story.subject == Subject::Latents { Vec::new() } else { plane.numbers.clone() };
    page.inset(MARGIN, top, &plane.chart((width, height), count, |row| story.clusters.labels[row], |c| class(c, count), numbers)?);
    let (grey, key_y) = (Style::new(SMALL).colour(GREY), BOTTOM - 10.0);
    if !story.nuisances.is_empty() {
        let told = story.nuisances.iter().map(|n| format!("{} {:.2}", n.name, n.told)).collect::<Vec<_>>().join(", ");
        page.text(MARGIN + 46.0, key_y, &format!("Told by a particle's neighbours, 0 to 1: {told}."), grey);
    }
    if with_views {
        by_view(&mut page, story, plane, (MARGIN + width + GAP, top), (width, height))?;
    }
    Ok(page)
}

/// The same points, coloured by view.
fn by_view(page: &mut Sheet, story: &Story, plane: &Plane, (left, top): (f64, f64), size: (f64, f64)) -> Result<()> {
    let colour = |c: usize| shade(c as f64 / (VIEW_CLASSES - 1) as f64);
    page.text(left, top, "By projection class", Style::new(TEXT).strong());
    page.inset(left, top, &plane.chart(size, VIEW_CLASSES, |row| story.view_classes[row], colour, Vec::new())?);
    // Its key.
    let (bar, step, key_y) = (left + 56.0, 3.0, BOTTOM - 10.0);
    for c in 0..VIEW_CLASSES {
        page.rectangle(bar + step * c as f64, key_y - 7.0, step + 0.1, 7.0, &hex(colour(c)));
    }
    let grey = Style::new(SMALL).colour(GREY);
    page.text(bar - 4.0, key_y, "0", grey.anchor(Anchor::End));
    let end = bar + step * VIEW_CLASSES as f64;
    page.text(end + 4.0, key_y, &(VIEW_CLASSES - 1).to_string(), grey);
    page.text(end + 22.0, key_y, "projection class (HEALPix pixel, nside 2)", grey);
    Ok(())
}
