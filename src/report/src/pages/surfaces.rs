//! Shaded surfaces: every state from two sides, and frames along the ways through the latents.

use super::maps::slices;
use super::{evenly, grouped};
use crate::palette::{GREY, class, hex};
use crate::picture::Frames;
use crate::sheet::{Anchor, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::{State, Story, Way};
use crate::surface::View;
use crate::thumbnail::{Scale, grey};
use contract::Result;
use std::f32::consts::FRAC_PI_2;

/// Pixels a side of a surface; twice its size on paper.
const SURFACE_PX: usize = 230;
/// Side of a state's picture.
const SIDE: f64 = 115.0;
/// Between the two pictures of a state.
const SEAM: f64 = 4.0;
/// States side by side and one above the other.
const COLUMNS: usize = 3;
/// See [`COLUMNS`].
const ROWS: usize = 3;
/// From one state to the one below.
const STATE_HEIGHT: f64 = SIDE + 34.0;
/// Maps of a way that are shown, at most; ends always are.
const FRAMES: usize = 7;
/// Side of a frame.
const FRAME: f64 = 92.0;
/// Ways on a page.
const WAYS: usize = 2;
/// From one way to the one below.
const WAY_HEIGHT: f64 = 2.0 * FRAME + 44.0;

/// The states' surfaces.
///
/// # Errors
/// If a picture cannot be encoded.
pub(super) fn states(story: &Story) -> Result<Vec<Sheet>> {
    let view = View::of(story);
    evenly(&story.states, COLUMNS * ROWS).map(|shown| states_page(story, view, shown)).collect()
}

fn states_page(story: &Story, view: View, shown: &[State]) -> Result<Sheet> {
    let noun = story.subject.noun();
    let mut page = Sheet::page(
        &format!("Surfaces of the {noun}s"),
        &format!(
            "Left from the front, right after a quarter of a turn, at one level and scale for all. Compare outlines: a part that one {noun} has and another lacks. Specks and thin bridges that come and go with the level are noise."
        ),
    );
    let card = 2.0 * SIDE + SEAM;
    let gutter = (WIDTH - 2.0 * MARGIN - COLUMNS as f64 * card) / (COLUMNS - 1) as f64;
    let columns = shown.len().div_ceil(shown.len().div_ceil(COLUMNS));
    for (i, state) in shown.iter().enumerate() {
        let (left, top) = (MARGIN + (i % columns) as f64 * (card + gutter), TOP + 14.0 + (i / columns) as f64 * STATE_HEIGHT);
        page.rectangle(left, top - 7.5, 8.0, 8.0, &hex(class(state.class - 1, story.clusters.len())));
        page.text(left + 13.0, top, &story.subject.heading(state.class), Style::new(TEXT).strong());
        let count = story.subject.of_size(&grouped(state.particles));
        page.text(left + card, top, &count, Style::new(SMALL).colour(GREY).anchor(Anchor::End));
        for (j, picture) in view.turned(&state.map, SURFACE_PX, &[0.0, FRAC_PI_2]).into_iter().enumerate() {
            page.picture(left + j as f64 * (SIDE + SEAM), top + 6.0, SIDE, SIDE, &Frames::of(&[picture]).strip_uri()?);
        }
    }
    Ok(page)
}

/// Frames along the ways.
///
/// # Errors
/// If a picture cannot be encoded.
pub(super) fn ways(story: &Story) -> Result<Vec<Sheet>> {
    let view = View::of(story);
    evenly(&story.ways, WAYS).map(|shown| ways_page(view, shown)).collect()
}

fn ways_page(view: View, shown: &[Way]) -> Result<Sheet> {
    let mut page = Sheet::page(
        "Ways through the latents",
        "Maps from one end of a way to the other: surfaces above, central slices across z below. A motion shifts an outline from frame to frame; where density only fades in and out, parts come and go. Ends hold few particles and are the least certain.",
    );
    let gap = (WIDTH - 2.0 * MARGIN - FRAMES as f64 * FRAME) / (FRAMES - 1) as f64;
    for (row, way) in shown.iter().enumerate() {
        let top = TOP + 14.0 + row as f64 * WAY_HEIGHT;
        page.text(MARGIN, top, &format!("Along {}", way.name), Style::new(TEXT).strong());
        let folder = format!("{} maps, {} to {}", way.maps.len(), way.file(0), way.file(way.maps.len() - 1));
        page.text(WIDTH - MARGIN, top, &folder, Style::new(SMALL).colour(GREY).anchor(Anchor::End));
        let scale = Scale::of(way.maps.iter().flat_map(|map| slices(map)[0].into_iter()));
        for (column, at) in spread(way.maps.len(), FRAMES).into_iter().enumerate() {
            let left = MARGIN + column as f64 * (FRAME + gap);
            let surface = Frames::of(&[view.front(&way.maps[at], SURFACE_PX)]).strip_uri()?;
            page.picture(left, top + 6.0, FRAME, FRAME, &surface);
            page.picture(left, top + 9.0 + FRAME, FRAME, FRAME, &grey(slices(&way.maps[at])[0], scale));
            let name = format!("vol_{at:03}.mrc");
            page.text(left + FRAME / 2.0, top + 19.0 + 2.0 * FRAME, &name, Style::new(SMALL).colour(GREY).anchor(Anchor::Middle));
        }
    }
    Ok(page)
}

/// At most `most` places of `n`, spread evenly, both ends among them.
fn spread(n: usize, most: usize) -> Vec<usize> {
    let shown = n.min(most);
    (0..shown).map(|i| if shown > 1 { (i * (n - 1) + (shown - 1) / 2) / (shown - 1) } else { 0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn both_ends_are_shown() {
        assert_eq!(spread(10, 4), [0, 3, 6, 9]);
        assert_eq!(spread(5, 7), [0, 1, 2, 3, 4]);
        assert_eq!((spread(1, 7), spread(0, 7)), (vec![0], vec![]));
    }
}
