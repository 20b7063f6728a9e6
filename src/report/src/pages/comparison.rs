//! Another job or epoch, held against this one.

use super::grouped;
use crate::palette::{GREY, HAIRLINE, hex};
use crate::sheet::{Anchor, BOTTOM, MARGIN, Sheet, Style, TEXT, TOP, WIDTH};
use contract::{Comparison, StateMatch};

/// Right ends of the table's columns, from the left margin.
const COLUMNS: [(f64, &str); 6] = [
    (90.0, "state here"),
    (190.0, "state there"),
    (310.0, "particles in both"),
    (440.0, "share of either"),
    (570.0, "correlation of maps"),
    (740.0, "correlation of differences"),
];
/// Height of a table's row.
const ROW: f64 = 19.0;

pub(super) fn sheets(comparison: &Comparison) -> Vec<Sheet> {
    let c = comparison;
    let lead = format!(
        "Against {}, epoch {} ({} particles that both have): {}. Differences are those of each map from the mean of its job's maps; maps are compared inside the mask.",
        c.job,
        c.epoch,
        grouped(c.particles),
        c.conclusion
    );
    let figures = [
        ("Alignment of the latents (1: a turned copy)", format!("{:.2}", c.alignment)),
        ("Common neighbours", format!("{:.0}% (by chance {:.1}%)", 100.0 * c.neighbours, 100.0 * c.neighbours_by_chance)),
        ("Particles in matched states", format!("{:.0}%", 100.0 * c.kept)),
        ("Adjusted Rand index of the clusters", format!("{:.2}", c.rand_index)),
        ("Adjusted mutual information", format!("{:.2}", c.mutual_information)),
    ];
    let mut sheets = vec![Sheet::page("Comparison", &lead)];
    let mut y = TOP + 32.0;
    for (name, value) in figures {
        sheets[0].text(MARGIN, y, name, Style::new(TEXT).colour(GREY));
        sheets[0].text(MARGIN + 230.0, y, &value, Style::new(TEXT).strong());
        y += ROW;
    }
    y += ROW;
    let mut page = 0;
    heading(&mut sheets[0], y);
    for found in &c.matches {
        y += ROW;
        if y > BOTTOM - 8.0 {
            sheets.push(Sheet::page("Comparison", "continued"));
            page += 1;
            y = TOP + 20.0;
            heading(&mut sheets[page], y);
            y += ROW;
        }
        for ((x, _), cell) in COLUMNS.into_iter().zip(cells(found)) {
            sheets[page].text(MARGIN + x, y, &cell, Style::new(TEXT).anchor(Anchor::End));
        }
    }
    sheets
}

fn heading(sheet: &mut Sheet, y: f64) {
    for (x, title) in COLUMNS {
        sheet.text(MARGIN + x, y, title, Style::new(TEXT).strong().anchor(Anchor::End));
    }
    sheet.rectangle(MARGIN, y + 5.0, WIDTH - 2.0 * MARGIN, 0.7, &hex(HAIRLINE));
}

fn cells(found: &StateMatch) -> [String; 6] {
    [
        found.here.to_string(),
        found.there.to_string(),
        grouped(found.shared),
        format!("{:.0}%", 100.0 * found.overlap),
        format!("{:.3}", found.map_correlation),
        found.difference_correlation.map_or_else(|| "–".to_owned(), |c| format!("{c:.3}").replace('-', "−")),
    ]
}
