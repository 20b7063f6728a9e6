//! The latents in the plane of their first two principal components, coloured by cluster and by view.

use super::grouped;
use crate::chart::{Axis, Marks, Series, chart};
use crate::palette::{GREY, along, class, hex};
use crate::sheet::{Anchor, BOTTOM, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::Story;
use analysis::neighbours::even_sample;
use contract::Result;
use ndarray::Axis as Along;

/// Projection classes: pixels of a HEALPix sphere of nside 2.
pub(super) const VIEW_CLASSES: usize = 48;
/// Dots drawn at most: more only blacken the page and bloat the file.
const MOST_DOTS: usize = 8_000;
/// Between the two charts.
const GAP: f64 = 26.0;

pub(super) fn sheet(story: &Story) -> Result<Sheet> {
    let n = story.latents.nrows();
    let rows = even_sample(n, MOST_DOTS);
    let shown = if rows.len() < n {
        format!("{} of {} particles, evenly drawn", grouped(rows.len()), grouped(n))
    } else {
        format!("{} particles", grouped(n))
    };
    let mut page = Sheet::page(
        "Latent space",
        &format!(
            "{shown}, in the plane of the first two principal components. Left: the particle that stands for each cluster is numbered. Right: colours that are mixed everywhere are a good sign; patches of one colour mean that the latents follow the view."
        ),
    );
    let scores = story.pca.project(story.latents.select(Along(0), &rows).view());
    let flat = scores.ncols() == 1;
    let point = |i: usize| (f64::from(scores[[i, 0]]), if flat { rows[i] as f64 + 1.0 } else { f64::from(scores[[i, 1]]) });
    let points: Vec<(f64, f64)> = (0..rows.len()).map(point).collect();
    let title = |component: usize| {
        format!("principal component {} ({:.1}% of the variance)", component + 1, 100.0 * story.pca.explained[component])
    };
    let x = Axis::around(&title(0), points.iter().map(|p| p.0));
    let y_title = if flat { "particle".to_owned() } else { title(1) };
    let y = Axis::around(&y_title, points.iter().map(|p| p.1));
    // Small dots where there are many.
    let radius = (40.0 / (rows.len() as f64).sqrt()).clamp(0.7, 1.8);

    let width = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
    let (top, height) = (TOP + 20.0, BOTTOM - TOP - 50.0);
    let by_class = |count: usize, class_of: &dyn Fn(usize) -> usize, colour: &dyn Fn(usize) -> plotters::style::RGBColor| -> Vec<Series> {
        let mut series: Vec<Series> = (0..count).map(|c| Series { name: String::new(), colour: colour(c), points: Vec::new() }).collect();
        points.iter().zip(&rows).for_each(|(&point, &row)| series[class_of(row)].points.push(point));
        series
    };

    let count = story.clusters.len();
    let center_scores = story.pca.project(story.clusters.centers.view());
    let center = |c: usize| {
        let y = if flat { story.clusters.center_index[c] as f64 + 1.0 } else { f64::from(center_scores[[c, 1]]) };
        (f64::from(center_scores[[c, 0]]), y, story.clusters.class_number(c).to_string())
    };
    let clusters = by_class(count, &|row| story.clusters.labels[row], &|c| class(c, count));
    page.text(MARGIN, top, &format!("By cluster ({count})"), Style::new(TEXT).strong());
    let dots = Marks::Dots { series: clusters, radius, numbers: (0..count).map(center).collect() };
    page.inset(MARGIN, top, &chart(width, height, &x, &y, dots)?);

    let right = MARGIN + width + GAP;
    let colour = |c: usize| along(c as f64 / (VIEW_CLASSES - 1) as f64);
    let views = by_class(VIEW_CLASSES, &|row| story.view_classes[row], &colour);
    page.text(right, top, "By projection class", Style::new(TEXT).strong());
    page.inset(right, top, &chart(width, height, &x, &y, Marks::Dots { series: views, radius, numbers: Vec::new() })?);

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
    if let Some(leakage) = story.leakage {
        let line = format!(
            "Told by a particle's neighbours (cross-validated R²): view direction {}, defocus {}.",
            signed(leakage.view_r2),
            signed(leakage.defocus_r2)
        );
        page.text(MARGIN + 46.0, key_y, &line, grey);
    }
    Ok(page)
}

/// Two decimals, with a printed minus.
fn signed(value: f64) -> String {
    format!("{value:.2}").replace('-', "−")
}
