//! The pictures of the original's plot mode: how the model sees a few particles.

use crate::palette::GREY;
use crate::sheet::{Anchor, BOTTOM, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH, round_length};
use crate::story::{ImagePanels, Story};
use crate::thumbnail::{Scale, grey};
use ndarray::Array2;

/// Pictures of a particle.
const PICTURES: usize = 6;
/// Particles on a page.
const ROWS: usize = 3;
/// Between pictures.
const SEAM: f64 = 10.0;
/// Side of a picture.
const SIDE: f64 = (WIDTH - 2.0 * MARGIN - 5.0 * SEAM) / PICTURES as f64;
/// From one particle to the next.
const ROW_HEIGHT: f64 = SIDE + 21.0;

/// The six pictures with their names, in the original's order.
pub(super) fn pictures(panels: &ImagePanels) -> [(&'static str, &Array2<f32>); PICTURES] {
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
    for rows in story.panels.chunks(ROWS) {
        let mut page = Sheet::page(
            "Images",
            "A few particles as the model sees them: its projection, the same with CTF, the experimental image inside the projected mask, what the encoder was shown, the reconstruction, and the image without mask. Each picture has its own grey scale.",
        );
        let names = pictures(&rows[0]).map(|(name, _)| name);
        for (j, name) in names.into_iter().enumerate() {
            let x = MARGIN + j as f64 * (SIDE + SEAM) + SIDE / 2.0;
            page.text(x, TOP + 16.0, name, Style::new(TEXT - 0.5).strong().anchor(Anchor::Middle));
        }
        for (i, panels) in rows.iter().enumerate() {
            let top = TOP + 24.0 + i as f64 * ROW_HEIGHT;
            for (j, (_, image)) in pictures(panels).into_iter().enumerate() {
                page.picture(MARGIN + j as f64 * (SIDE + SEAM), top, SIDE, SIDE, &grey(image.view(), Scale::of(image.iter())));
            }
            page.text(MARGIN, top + SIDE + 11.0, &format!("particle {}", panels.particle), Style::new(SMALL).colour(GREY));
        }
        let span = rows[0].image.ncols() as f64 * story.image_apix;
        if span > 0.0 {
            page.scale_bar(MARGIN, BOTTOM - 2.0, round_length(span), span / SIDE);
        }
        sheets.push(page);
    }
    sheets
}
