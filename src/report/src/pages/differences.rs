//! How the states differ: a part's occupancy and motion, and the variability of every voxel.

use super::maps::slices;
use super::table;
use crate::chart::{Axis, Marks, Series, chart};
use crate::palette::class;
use crate::sheet::{BOTTOM, MARGIN, Sheet, Style, TEXT, TOP, WIDTH, round_length};
use crate::story::{Differences, Part, Story, Variability};
use crate::thumbnail::{Scale, along, grey};
use contract::Result;
use ndarray::Array3;

/// Between the parts of a page.
const GAP: f64 = 30.0;
/// Side of a slice of the variability.
const SIDE: f64 = 178.0;
const SEAM: f64 = 4.0;
/// Columns of the motions' table.
const COLUMNS: [(&str, f64); 6] =
    [("from", 36.0), ("to", 36.0), ("turn (°)", 62.0), ("shift (Å)", 62.0), ("correlation before", 100.0), ("after", 54.0)];
/// Motions that a page has room for.
const MOST_MOTIONS: usize = 28;

pub(super) fn sheets(story: &Story) -> Result<Vec<Sheet>> {
    let Some(Differences { part, variability, .. }) = &story.differences else { return Ok(Vec::new()) };
    let mut sheets = Vec::new();
    if let Some(part) = part {
        sheets.push(occupancy(story, part)?);
    }
    sheets.extend(variability.as_ref().map(|v| deviation(story, v)));
    Ok(sheets)
}

fn occupancy(story: &Story, part: &Part) -> Result<Sheet> {
    let mut page = Sheet::page(
        "A part in every state",
        &format!(
            "The density inside {}. A part that is missing is missing at all contour levels; a weak one fades as the level rises. Motions lay the part of one state over another, where both have it; they mean something where the correlation afterwards is high.",
            part.mask
        ),
    );
    let right: f64 = COLUMNS.iter().map(|(_, width)| width).sum();
    let width = WIDTH - 2.0 * MARGIN - if part.motions.is_empty() { 0.0 } else { right + GAP };
    let series = part.occupancy.iter().map(|(number, points)| Series {
        name: format!("state {number}"),
        colour: class(number - 1, story.states.len()),
        points: points.iter().map(|(level, filled)| (*level, 100.0 * filled)).collect(),
    });
    let series: Vec<Series> = series.collect();
    let most = series.iter().flat_map(|s| s.points.iter().map(|p| p.0)).fold(0.0, f64::max).max(0.01);
    let x = Axis { title: "contour level (part of the density in the consensus' midst)".into(), range: (0.0, 1.04 * most), whole: false };
    let y = Axis { title: "of the mask's volume above the level (%)".into(), range: (0.0, 105.0), whole: false };
    page.text(MARGIN, TOP + 14.0, "Occupancy", Style::new(TEXT).strong());
    page.inset(MARGIN, TOP + 16.0, &chart(width, BOTTOM - TOP - 30.0, &x, &y, Marks::Lines(series))?);
    if !part.motions.is_empty() {
        let left = MARGIN + width + GAP;
        page.text(left, TOP + 14.0, "Rigid motion between states", Style::new(TEXT).strong());
        let rows: Vec<Vec<String>> = part
            .motions
            .iter()
            .take(MOST_MOTIONS)
            .map(|m| {
                let numbers = [(m.angle_deg, 1), (m.shift_angstrom, 1), (m.correlation_before, 3), (m.correlation_after, 3)];
                let cells = [m.from, m.to].map(|n| n.to_string()).into_iter();
                cells.chain(numbers.map(|(v, decimals)| format!("{v:.decimals$}"))).collect()
            })
            .collect();
        let end = table::draw(&mut page, left, TOP + 36.0, &COLUMNS, &rows);
        if part.motions.len() > MOST_MOTIONS {
            page.text(left, end, &format!("and {} more in results.json", part.motions.len() - MOST_MOTIONS), Style::new(TEXT - 1.0));
        }
    }
    Ok(page)
}

fn deviation(story: &Story, told: &Variability) -> Sheet {
    let mut page = Sheet::page(
        "Where the maps vary",
        &format!(
            "Central slices across z, y and x of {} maps decoded at particles drawn at random. Upper row: their mean. Lower row: the standard deviation of every voxel, from dark (none) to light (most).",
            told.maps
        ),
    );
    let rows: [(&Array3<f32>, bool); 2] = [(&told.mean, false), (&told.deviation, true)];
    for (row, (map, coloured)) in rows.into_iter().enumerate() {
        let values: Vec<f32> = slices(map).into_iter().flat_map(|slice| slice.to_owned()).collect();
        let scale = Scale::of(values.iter());
        for (column, slice) in slices(map).into_iter().enumerate() {
            let (x, y) = (MARGIN + column as f64 * (SIDE + SEAM), TOP + 18.0 + row as f64 * (SIDE + 24.0));
            page.picture(x, y, SIDE, SIDE, &if coloured { along(slice, scale) } else { grey(slice, scale) });
            page.frame(x, y, SIDE, SIDE);
        }
        let y = TOP + 30.0 + row as f64 * (SIDE + 24.0);
        let name = if coloured { "standard deviation" } else { "mean" };
        page.text(MARGIN + 3.0 * (SIDE + SEAM) + 12.0, y, name, Style::new(TEXT).strong());
    }
    let span = told.mean.dim().2 as f64 * story.apix;
    if span > 0.0 {
        page.scale_bar(MARGIN, TOP + 36.0 + 2.0 * (SIDE + 24.0), round_length(span), span / SIDE);
    }
    page
}
