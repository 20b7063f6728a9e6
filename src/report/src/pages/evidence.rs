//! What the data support: correlation of half maps, and the network's map beside the back-projection of the same state.

use super::maps::slices;
use super::table::{self, STEP, tenths};
use super::{evenly, grouped};
use crate::chart::{Axis, Marks, Series, chart};
use crate::html::local_scale;
use crate::palette::{GREY, class};
use crate::sheet::{Anchor, BOTTOM, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::{Evidence, State, Story};
use crate::thumbnail::{Scale, along, grey};
use contract::Result;
use ndarray::Array3;

/// Between charts.
const GAP: f64 = 26.0;
/// Height of a chart.
const CHART: f64 = 248.0;
/// Side of a slice.
const SIDE: f64 = 76.0;
/// Between slices, and between groups of them.
const SEAM: f64 = 3.0;
const GROUP: f64 = 22.0;
/// Height of a state's row of slices.
const ROW: f64 = SIDE + 22.0;
/// States on a page of slices.
const ROWS: usize = 4;
/// Rows of the table that go on on a page of their own, at least.
const LEAST_ROWS: usize = 3;
/// Columns of the table.
const COLUMNS: [(&str, f64); 7] = [
    ("state", 60.0),
    ("particles that count", 116.0),
    ("halves agree to, 0.143 (Å)", 134.0),
    ("0.5 (Å)", 70.0),
    ("local, median (Å)", 106.0),
    ("B-factor (Å²)", 92.0),
    ("network's map agrees to, 0.5 (Å)", 164.0),
];

/// Reads a curve.
type Read = fn(&Evidence) -> &Vec<(f64, f64)>;

pub(super) fn sheets(story: &Story) -> Result<Vec<Sheet>> {
    let told: Vec<(&State, &Evidence)> = story.states.iter().filter_map(|s| s.evidence.as_ref().map(|e| (s, e))).collect();
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let mut sheets = curves(story, &told)?;
    sheets.extend(pictures(story, &told));
    Ok(sheets)
}

fn curves(story: &Story, told: &[(&State, &Evidence)]) -> Result<Vec<Sheet>> {
    let mut page = Sheet::page(
        "What the data support",
        "Every state reconstructed from the particles near it, in two halves that share no particle. Left: how far the halves agree. Right: how far the network's map agrees with all these particles; what it shows beyond, the data do not confirm. Both are upper bounds: one network chose the particles of both halves.",
    );
    let width = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
    let kinds: [(&str, Read, (f64, &'static str)); 2] = [
        ("Half maps of each state, inside the mask", |e| &e.fsc, (0.143, "0.143")),
        ("The network's map against the data", |e| &e.decoded_fsc, (0.5, "0.5")),
    ];
    for (i, (title, read, line)) in kinds.into_iter().enumerate() {
        let left = MARGIN + i as f64 * (width + GAP);
        let series = told.iter().map(|(state, evidence)| Series {
            name: format!("state {}", state.class),
            colour: class(state.class - 1, story.states.len()),
            points: read(evidence).clone(),
        });
        let series: Vec<Series> = series.collect();
        let most = series.iter().flat_map(|s| s.points.iter().map(|p| p.0)).fold(0.0, f64::max).max(1e-3);
        let x = Axis { title: "spatial frequency (1/Å)".into(), range: (0.0, most), whole: false };
        let y = Axis { title: "Fourier shell correlation".into(), range: (-0.1, 1.05), whole: false };
        page.text(left, TOP + 14.0, title, Style::new(TEXT).strong());
        page.inset(left, TOP + 16.0, &chart(width, CHART, &x, &y, Marks::Curves { series, line })?);
    }
    let rows: Vec<Vec<String>> = told
        .iter()
        .map(|(state, e)| {
            vec![
                state.class.to_string(),
                grouped(e.effective_particles.round() as usize),
                tenths(e.resolution_angstrom),
                tenths(e.resolution_half_angstrom),
                tenths(e.local_median_angstrom),
                tenths(e.b_factor_angstrom2),
                tenths(e.decoded_agrees_angstrom),
            ]
        })
        .collect();
    let top = TOP + CHART + 40.0;
    let room = ((BOTTOM - top) / STEP) as usize - 1;
    let (here, there) = rows.split_at(if rows.len() > room { room.min(rows.len() - LEAST_ROWS) } else { rows.len() });
    table::draw(&mut page, MARGIN, top, &COLUMNS, here);
    let mut sheets = vec![page];
    for rows in there.chunks(((BOTTOM - TOP) / STEP) as usize - 3) {
        let mut page = Sheet::page("What the data support", "continued");
        table::draw(&mut page, MARGIN, TOP + 14.0, &COLUMNS, rows);
        sheets.push(page);
    }
    Ok(sheets)
}

fn pictures(story: &Story, told: &[(&State, &Evidence)]) -> Vec<Sheet> {
    let local = local_scale(story);
    let [fine, coarse] = local.ends();
    let group = 3.0 * SIDE + 2.0 * SEAM + GROUP;
    let left = |column: usize| MARGIN + (column / 3) as f64 * group + (column % 3) as f64 * (SIDE + SEAM);
    let page = |rows: &[(&State, &Evidence)]| {
        let mut page = Sheet::page(
            "The network's map beside the data",
            &format!(
                "Central slices across z, y and x of each state. Left: decoded by the network. Middle: back-projected from the particles near the state, sharpened, cut off at its resolution. Right: local resolution, dark {fine:.0} Å to light {coarse:.0} Å. Each map has its own grey scale."
            ),
        );
        for (i, name) in ["network", "data", "local resolution"].into_iter().enumerate() {
            let middle = left(3 * i) + (group - GROUP) / 2.0;
            page.text(middle, TOP + 14.0, name, Style::new(TEXT - 0.5).strong().anchor(Anchor::Middle));
        }
        for (row, (state, evidence)) in rows.iter().enumerate() {
            let top = TOP + 22.0 + row as f64 * ROW;
            let in_grey = |map: &Array3<f32>| {
                let own = Scale::of(slices(map)[0].iter());
                slices(map).map(|slice| grey(slice, own))
            };
            let all = in_grey(&state.map).into_iter().chain(in_grey(&evidence.map));
            let all = all.chain(slices(&evidence.local_angstrom).map(|slice| along(slice, local)));
            for (column, uri) in all.enumerate() {
                page.picture(left(column), top, SIDE, SIDE, &uri);
                if column >= 6 {
                    page.frame(left(column), top, SIDE, SIDE);
                }
            }
            let said = evidence.resolution_angstrom.map_or("halves do not agree".into(), |r| format!("halves agree to {r:.1} Å"));
            let label = format!("state {} · {said}", state.class);
            page.text(left(0), top + SIDE + 11.0, &label, Style::new(SMALL).colour(GREY));
        }
        page
    };
    evenly(told, ROWS).map(page).collect()
}
