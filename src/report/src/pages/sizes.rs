//! How many particles each cluster holds, and how many dimensions the latents use.

use super::grouped;
use crate::chart::{Axis, Marks, chart};
use crate::palette::{ACCENT, class};
use crate::sheet::{BOTTOM, MARGIN, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::Story;
use contract::Result;

/// Between the two charts.
const GAP: f64 = 26.0;
/// Bars with their value above, at most: the values of more would touch.
const MOST_VALUES: usize = 24;

pub(super) fn sheet(story: &Story) -> Result<Sheet> {
    let sizes = &story.clusters.sizes;
    let mut page = Sheet::page(
        "Clusters",
        "k-means of the latents; neighbours in number are neighbours in latent space. A cluster far smaller than the others is often junk, or a rare state: look at its map.",
    );
    let (top, height) = (TOP + 20.0, BOTTOM - TOP - 24.0);
    let right = if story.pca.explained.len() > 1 { 230.0 } else { 0.0 };
    let width = WIDTH - 2.0 * MARGIN - if right > 0.0 { right + GAP } else { 0.0 };

    page.text(MARGIN, top, "Particles in each cluster", Style::new(TEXT).strong());
    let bars =
        sizes.iter().enumerate().map(|(c, &size)| (story.clusters.class_number(c) as f64, size as f64, class(c, sizes.len()))).collect();
    let x = Axis::whole("cluster", 1, sizes.len());
    let y = Axis::around("particles", sizes.iter().map(|&size| size as f64).chain([0.0])).starting_at_zero();
    let value: fn(f64) -> String = if sizes.len() <= MOST_VALUES { |v| grouped(v as usize) } else { |_| String::new() };
    page.inset(MARGIN, top, &chart(width, height, &x, &y, Marks::Bars { bars, width: 0.72, value })?);

    if right > 0.0 {
        let left = MARGIN + width + GAP;
        let shares = &story.pca.explained;
        page.text(left, top, "Variance along each principal component", Style::new(TEXT).strong());
        let bars = shares.iter().enumerate().map(|(i, share)| ((i + 1) as f64, 100.0 * share, ACCENT)).collect();
        let x = Axis::whole("principal component", 1, shares.len());
        let y = Axis::around("share of the variance (%)", shares.iter().map(|share| 100.0 * share).chain([0.0])).starting_at_zero();
        let value: fn(f64) -> String = if shares.len() <= 8 { |v| format!("{v:.1}") } else { |_| String::new() };
        page.inset(left, top, &chart(right, height, &x, &y, Marks::Bars { bars, width: 0.72, value })?);
    }
    Ok(page)
}
