//! The pictures of the original's plot mode: how the model sees a few particles.

use super::evenly;
use crate::palette::GREY;
use crate::sheet::{Anchor, BOTTOM, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH, round_length};
use crate::story::{ImagePanels, Story};
use crate::thumbnail::{Scale, grey};
use ndarray::Array2;

/// Pictures of a particle.
const PICTURES: usize = 6;
/// Particles on a page: as many as the engine shows, so that none stands alone on a second page.
const ROWS: usize = 4;
/// Between pictures.
const SEAM: f64 = 10.0;
/// Largest side of a picture: six fill the width.
const SIDE: f64 = (WIDTH - 2.0 * MARGIN - 5.0 * SEAM) / PICTURES as f64;
/// Below a picture: the particle's name and a gap.
const CAPTION: f64 = 21.0;
/// Above the first row: the pictures' names.
const NAMES: f64 = 24.0;
/// Below the last row: the scale bar.
const FOOT: f64 = 12.0;

/// The six pictures with their names, in the original's order.
pub(crate) fn pictures(panels: &ImagePanels) -> [(&'static str, &Array2<f32>); PICTURES] {
    [
        ("projection", &panels.projection),
        ("projection × CTF", &panels.ctf_projection),
        ("image in the mask", &panels.masked_image),
        ("encoder's input", &panels.encoder_input),
        ("reconstruction", &panels.reconstruction),
        ("image", &panels.image),
    ]
}

pub(super) fn sheets(story: &Story) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    let most = story.panels.len().clamp(1, ROWS) as f64;
    let side = SIDE.min((BOTTOM - FOOT - TOP - NAMES) / most - CAPTION);
    let left = |column: usize| MARGIN + column as f64 * (SIDE + SEAM) + (SIDE - side) / 2.0;
    for rows in evenly(&story.panels, ROWS) {
        let mut page = Sheet::page(
            "Images",
            "A few particles as the model sees them: its projection, the same with CTF, the experimental image inside the projected mask, what the encoder was shown, the reconstruction, and the image without mask. Each picture has its own grey scale.",
        );
        let names = pictures(&rows[0]).map(|(name, _)| name);
        for (j, name) in names.into_iter().enumerate() {
            page.text(left(j) + side / 2.0, TOP + 16.0, name, Style::new(TEXT - 0.5).strong().anchor(Anchor::Middle));
        }
        for (i, panels) in rows.iter().enumerate() {
            let top = TOP + NAMES + i as f64 * (side + CAPTION);
            for (j, (_, image)) in pictures(panels).into_iter().enumerate() {
                page.picture(left(j), top, side, side, &grey(image.view(), Scale::of(image.iter())));
            }
            page.text(left(0), top + side + 11.0, &format!("particle {}", panels.particle), Style::new(SMALL).colour(GREY));
        }
        let span = rows[0].image.ncols() as f64 * story.image_apix;
        if span > 0.0 {
            page.scale_bar(MARGIN, BOTTOM - 2.0, round_length(span), span / side);
        }
        sheets.push(page);
    }
    sheets
}
