//! Tables on pages.

use crate::palette::GREY;
use crate::sheet::{Anchor, SMALL, Sheet, Style, TEXT};

/// From one row to the next.
pub(super) const STEP: f64 = 14.0;

/// Draws a table whose columns have the given titles and widths, numbers aligned at the right; returns where it ends.
pub(super) fn draw(sheet: &mut Sheet, x: f64, y: f64, columns: &[(&str, f64)], rows: &[Vec<String>]) -> f64 {
    let line = |sheet: &mut Sheet, y: f64, cells: &[&str], style: Style| {
        let mut right = x;
        for (cell, (_, width)) in cells.iter().zip(columns) {
            right += width;
            sheet.text(right - 8.0, y, cell, style.anchor(Anchor::End));
        }
    };
    let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    line(sheet, y, &titles, Style::new(SMALL).colour(GREY));
    let width: f64 = columns.iter().map(|(_, width)| width).sum();
    sheet.rule(x, y + 4.0, x + width, y + 4.0);
    let mut y = y + STEP + 2.0;
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        line(sheet, y, &cells, Style::new(TEXT - 0.5));
        y += STEP;
    }
    y
}

/// A number with one decimal, or a dash.
pub(super) fn tenths(value: Option<f64>) -> String {
    value.map_or("–".into(), |v| format!("{v:.1}").replace('-', "−"))
}
