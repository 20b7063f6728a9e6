//! Central slices of every state's map, and how they differ from the reference.

use super::{evenly, grouped};
use crate::palette::GREY;
use crate::sheet::{Anchor, BOTTOM, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH, round_length};
use crate::story::{State, Story};
use crate::subject::Subject;
use crate::thumbnail::{Scale, diverging, grey};
use ndarray::{Array3, ArrayView2, Axis};

/// Side of a slice.
const SIDE: f64 = 76.0;
/// Between slices of a state.
const SEAM: f64 = 3.0;
/// States side by side and one above the other.
const COLUMNS: usize = 3;
/// See [`COLUMNS`].
const ROWS: usize = 2;
/// From one state to the one below.
const ROW_HEIGHT: f64 = 2.0 * SIDE + SEAM + 52.0;

pub(super) fn sheets(story: &Story) -> Vec<Sheet> {
    if story.states.is_empty() {
        return Vec::new();
    }
    let maps: Vec<&Array3<f32>> = story.states.iter().map(|state| &state.map).collect();
    let equal = maps.iter().all(|map| map.dim() == maps[0].dim());
    let mean = || maps.iter().skip(1).fold(maps[0].clone(), |sum, map| sum + *map) / maps.len() as f32;
    let (reference, name) = match &story.reference {
        Some(reference) => (Some(reference.clone()), "the consensus"),
        // One map by itself is its own mean.
        None => ((equal && maps.len() > 1).then(mean), "the mean of all"),
    };
    let density = density_scale(story);
    let subtracted = |state: &State| match &state.difference {
        Some(difference) => Some(difference.map.clone()),
        None => reference.as_ref().map(|reference| &state.map - reference),
    };
    let differences: Vec<Option<Array3<f32>>> = story.states.iter().map(subtracted).collect();
    let all_differences: Vec<f32> =
        differences.iter().flatten().flat_map(|map| slices(map).into_iter().flat_map(|slice| slice.to_owned())).collect();
    let difference = Scale::about_zero(all_differences.iter());

    let lower = if differences.iter().all(Option::is_none) {
        String::new()
    } else {
        format!(
            " Lower rows: what is left after subtracting {name}; blue where there is less density, orange where there is more, in one scale for all."
        )
    };
    let title = if story.subject == Subject::Maps { "Slices of the maps" } else { "Maps of the states" };
    let cells: Vec<_> = story.states.iter().zip(&differences).collect();
    let gutter = (WIDTH - 2.0 * MARGIN - COLUMNS as f64 * (3.0 * SIDE + 2.0 * SEAM)) / (COLUMNS - 1) as f64;
    let mut sheets = Vec::new();
    for page_cells in evenly(&cells, COLUMNS * ROWS) {
        let columns = page_cells.len().div_ceil(page_cells.len().div_ceil(COLUMNS));
        let mut page =
            Sheet::page(title, &format!("Central slices across z, y and x. Upper rows: density, in one grey scale for all.{lower}"));
        for (i, (state, difference_map)) in page_cells.iter().enumerate() {
            let left = MARGIN + (i % columns) as f64 * (3.0 * SIDE + 2.0 * SEAM + gutter);
            let top = TOP + 16.0 + (i / columns) as f64 * ROW_HEIGHT;
            page.text(left, top, &story.subject.heading(state.class), Style::new(TEXT).strong());
            let count = story.subject.of_size(&grouped(state.particles));
            page.text(left + 3.0 * SIDE + 2.0 * SEAM, top, &count, Style::new(SMALL).colour(GREY).anchor(Anchor::End));
            for (j, slice) in slices(&state.map).into_iter().enumerate() {
                page.picture(left + j as f64 * (SIDE + SEAM), top + 6.0, SIDE, SIDE, &grey(slice, density));
            }
            for (j, slice) in difference_map.iter().flat_map(slices).enumerate() {
                let (x, y) = (left + j as f64 * (SIDE + SEAM), top + 6.0 + SIDE + SEAM);
                page.picture(x, y, SIDE, SIDE, &diverging(slice, difference));
                page.frame(x, y, SIDE, SIDE);
            }
            for (j, across) in ["across z", "across y", "across x"].into_iter().enumerate() {
                let x = left + j as f64 * (SIDE + SEAM) + SIDE / 2.0;
                page.text(x, top + 6.0 + 2.0 * SIDE + SEAM + 10.0, across, Style::new(SMALL - 0.5).colour(GREY).anchor(Anchor::Middle));
            }
        }
        let span = story.states[0].map.dim().2 as f64 * story.apix;
        if span > 0.0 {
            page.scale_bar(MARGIN, BOTTOM - 6.0, round_length(span), span / SIDE);
        }
        sheets.push(page);
    }
    sheets
}

/// One grey scale for the central slices of all states.
pub(crate) fn density_scale(story: &Story) -> Scale {
    let values: Vec<f32> =
        story.states.iter().flat_map(|state| slices(&state.map).into_iter().flat_map(|slice| slice.to_owned())).collect();
    Scale::of(values.iter())
}

/// Central slices `[row][column]`: across z `[y][x]`, across y `[z][x]`, across x `[z][y]`.
pub(crate) fn slices(map: &Array3<f32>) -> [ArrayView2<'_, f32>; 3] {
    let centre = |axis: usize| map.len_of(Axis(axis)) / 2;
    [0, 1, 2].map(|axis| map.index_axis(Axis(axis), centre(axis)))
}
