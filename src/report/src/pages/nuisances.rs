//! What the latents know that they should not: bars with the limits beyond which a warning comes, and the latents coloured by the first figures.

use super::grouped;
use super::latents::Plane;
use crate::palette::{ACCENT, ALERT, GREY, HAIRLINE, INK, hex, shade};
use crate::sheet::{Anchor, BOTTOM, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::{Column, Story};
use contract::Result;

/// Names stand left of this.
const NAMES: f64 = 110.0;
/// Between the two charts.
const GAP: f64 = 60.0;
/// Height of a row, and of its bar.
const ROW: f64 = 25.0;
const BAR: f64 = 12.0;
/// Figures that the latents are coloured by, in so many colours, with so many dots: small charts need no more.
const SHOWN: usize = 3;
const COLOURS: usize = 24;
const MOST_DOTS: usize = 3_000;

pub(super) fn sheet(story: &Story) -> Result<Sheet> {
    let mut page = Sheet::page(
        "What the latents should not know",
        "Structure does not depend on how a particle was taken. Left: how well each of these is read from a particle's neighbours in the latents (0: not at \
         all, 1: completely). Right: how much of the latents' variance each explains. A bar beyond its mark brings a warning: clusters may then be of it \
         rather than of structure.",
    );
    let width = (WIDTH - 2.0 * MARGIN - NAMES - GAP) / 2.0;
    let (left, right, top) = (MARGIN + NAMES, MARGIN + NAMES + width + GAP, TOP + 42.0);
    let share = |v: f64| format!("{:.0}%", 100.0 * v);
    for (x, title) in [(left, "Told by the latents"), (right, "Share of the latents' variance")] {
        page.text(x, top - 14.0, title, Style::new(TEXT).strong());
    }
    for (i, nuisance) in story.nuisances.iter().enumerate() {
        let y = top + ROW * i as f64;
        page.text(left - 10.0, y + BAR - 2.5, &nuisance.name, Style::new(TEXT).anchor(Anchor::End));
        bar(&mut page, (left, y, width), nuisance.told, nuisance.told_limit, &format!("{:.2}", nuisance.told));
        bar(&mut page, (right, y, width), nuisance.share, nuisance.share_limit, &share(nuisance.share));
    }
    let end = top + ROW * story.nuisances.len() as f64;
    for (x, labels) in [(left, ["0", "0.5", "1"]), (right, ["0%", "50%", "100%"])] {
        for (k, label) in labels.into_iter().enumerate() {
            page.text(x + 0.5 * k as f64 * width, end + 4.0, label, Style::new(SMALL).colour(GREY).anchor(Anchor::Middle));
        }
    }
    coloured(&mut page, story, end + 34.0)?;
    Ok(page)
}

/// The plane of the first two components, coloured by each of the first figures.
fn coloured(page: &mut Sheet, story: &Story, top: f64) -> Result<()> {
    let plane = Plane::of(story, MOST_DOTS);
    let seam = 22.0;
    let width = (WIDTH - 2.0 * MARGIN - seam * (SHOWN - 1) as f64) / SHOWN as f64;
    for (i, column) in story.columns.iter().take(SHOWN).enumerate() {
        let left = MARGIN + i as f64 * (width + seam);
        let (least, most) = range(column);
        let span = if most > least { most - least } else { 1.0 };
        let class = |row: usize| (((column.values[row] - least) / span).clamp(0.0, 1.0) * (COLOURS - 1) as f32).round() as usize;
        page.text(left, top, &column.name, Style::new(TEXT).strong());
        let colour = |c: usize| shade(c as f64 / (COLOURS - 1) as f64);
        page.inset(left, top, &plane.chart((width, BOTTOM - top - 16.0), COLOURS, class, colour, Vec::new())?);
        // The key: 5th percentile, colours, 95th percentile.
        let (start, step, y) = (left + 84.0, 4.0, BOTTOM - 2.0);
        (0..COLOURS).for_each(|c| page.rectangle(start + step * c as f64, y - 6.0, step + 0.1, 6.0, &hex(colour(c))));
        let grey = Style::new(SMALL).colour(GREY);
        page.text(start - 4.0, y, &figure(least), grey.anchor(Anchor::End));
        page.text(start + step * COLOURS as f64 + 4.0, y, &figure(most), grey);
    }
    Ok(())
}

/// 5th and 95th percentile, beyond which a few particles would take all colours.
fn range(column: &Column) -> (f32, f32) {
    let finite: Vec<f64> = column.values.iter().filter(|v| v.is_finite()).map(|&v| f64::from(v)).collect();
    if finite.is_empty() {
        return (0.0, 0.0);
    }
    let ends = analysis::pca::percentiles(finite, &[5.0, 95.0]);
    (ends[0] as f32, ends[1] as f32)
}

/// A number as books print it.
fn figure(value: f32) -> String {
    let size = value.abs();
    let text = if size >= 100.0 { grouped(size.round() as usize) } else { format!("{size:.2}") };
    if value < 0.0 { format!("−{text}") } else { text }
}

/// A bar of a value from 0 to 1 on its track, with the limit as an upright mark.
fn bar(page: &mut Sheet, (x, y, width): (f64, f64, f64), value: f64, limit: f64, label: &str) {
    let length = width * value.clamp(0.0, 1.0);
    page.rectangle(x, y, width, BAR, "#f2f3f5");
    page.rectangle(x, y, length, BAR, &hex(if value > limit { ALERT } else { ACCENT }));
    page.rectangle(x + width * limit - 0.6, y - 3.0, 1.2, BAR + 6.0, &hex(INK));
    page.rectangle(x, y + BAR, width, 0.5, &hex(HAIRLINE));
    page.text(x + width + 6.0, y + BAR - 2.5, label, Style::new(SMALL).colour(GREY));
}
