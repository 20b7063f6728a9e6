//! The first page: what was done, what to beware of, what to do next. Goes on where there is much to say.

use super::{grouped, maps};
use crate::palette::{ACCENT, ALERT, GREY, hex};
use crate::sheet::{Anchor, BOTTOM, LEADING, MARGIN, SMALL, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::{NextStep, Story};
use crate::thumbnail::grey;
use crate::typeface::wrap;
use plotters::style::RGBColor;
use std::borrow::Cow;

/// Width of the left column, which holds facts.
const LEFT: f64 = 400.0;
/// Between the columns.
const GUTTER: f64 = 36.0;
/// Width of a fact's name.
const NAME: f64 = 128.0;
/// Height of the row of states at the foot.
const GLANCE: f64 = 150.0;
/// States in it, at most.
const GLANCE_STATES: usize = 8;
/// Side of their pictures.
const GLANCE_SIDE: f64 = 86.0;
/// Right column.
const RIGHT_X: f64 = MARGIN + LEFT + GUTTER;

pub(super) fn sheets(story: &Story) -> Vec<Sheet> {
    let mut sheets = vec![Sheet::page(&story.title, &story.subtitle)];
    let left = facts(story, &mut sheets);
    let right = right_column(story, &mut sheets);
    if sheets.len() == 1 && left.max(right) + GLANCE < BOTTOM {
        glance(story, &mut sheets[0]);
    }
    sheets
}

/// The sheet that a column goes on with: an existing one, or a new one with the same title.
fn continue_on<'a>(story: &Story, sheets: &'a mut Vec<Sheet>, page: usize) -> &'a mut Sheet {
    if page == sheets.len() {
        sheets.push(Sheet::page(&story.title, "continued"));
    }
    &mut sheets[page]
}

/// Returns where the column ends.
fn facts(story: &Story, sheets: &mut Vec<Sheet>) -> f64 {
    let (mut page, mut y) = (0, TOP + 14.0);
    let step = (TEXT - 0.5) * LEADING;
    heading(&mut sheets[0], MARGIN, LEFT, y, "Facts and settings", ACCENT);
    y += 20.0;
    for (name, value) in &story.facts {
        let style = Style::new(TEXT - 0.5);
        let names = wrap(name, style.size, NAME - 8.0);
        let values = wrap(value, style.size, LEFT - NAME);
        let lines = names.len().max(values.len());
        if y + step * (lines as f64 - 1.0) > BOTTOM - 8.0 {
            page += 1;
            y = TOP + 14.0;
        }
        let sheet = continue_on(story, sheets, page);
        for (i, line) in names.iter().enumerate() {
            sheet.text(MARGIN, y + step * i as f64, line, style.colour(GREY));
        }
        for (i, line) in values.iter().enumerate() {
            sheet.text(MARGIN + NAME, y + step * i as f64, line, style);
        }
        y += step * lines as f64 + 2.4;
    }
    y
}

/// Paragraphs of one entry of a list.
type Entry<'a> = Vec<(Cow<'a, str>, Style)>;

/// A step: what it is good for, its command, and what RELION's users do, whose Display button shows this page.
fn step(step: &NextStep) -> Entry<'_> {
    vec![
        (Cow::from(step.what.as_str()), Style::new(TEXT - 0.5)),
        (Cow::from(step.command.as_str()), Style::new(SMALL).colour(ACCENT)),
        (Cow::from(format!("RELION: {}", step.relion)), Style::new(SMALL).colour(GREY)),
    ]
}

/// Returns where the column ends.
fn right_column(story: &Story, sheets: &mut Vec<Sheet>) -> f64 {
    let width = WIDTH - MARGIN - RIGHT_X;
    let (mut page, mut y) = (0, TOP + 14.0);
    let steps: Vec<Entry<'_>> = story.next_steps.iter().map(step).collect();
    let warnings: Vec<Entry<'_>> = story.warnings.iter().map(|line| vec![(line.into(), Style::new(TEXT - 0.5))]).collect();
    let parts = [("Warnings", "•", &warnings, ALERT), ("Next steps", "", &steps, ACCENT)];
    for (title, marker, entries, colour) in parts {
        let head = |sheet: &mut Sheet, y: f64| heading(sheet, RIGHT_X, width, y, title, colour);
        if entries.is_empty() {
            if title == "Warnings" {
                heading(&mut sheets[0], RIGHT_X, width, y, title, GREY);
                y = sheets[0].paragraph(RIGHT_X, y + 20.0, width, "none", Style::new(SMALL + 0.5).colour(GREY)) + 19.0;
            }
            continue;
        }
        for (i, entry) in entries.iter().enumerate() {
            let lines = |(text, style): &(Cow<'_, str>, Style)| wrap(text, style.size, width - 14.0).len() as f64 * style.size * LEADING;
            let height: f64 = entry.iter().map(lines).sum();
            if y + height + if i == 0 { 20.0 } else { 0.0 } > BOTTOM {
                page += 1;
                y = TOP + 14.0;
            }
            let sheet = continue_on(story, sheets, page);
            if i == 0 {
                head(sheet, y);
                y += 20.0;
            }
            let marker = if marker.is_empty() { format!("{}", i + 1) } else { marker.to_owned() };
            sheet.text(RIGHT_X, y, &marker, Style::new(TEXT - 0.5).strong().colour(colour));
            for (text, style) in entry {
                y = sheet.paragraph(RIGHT_X + 14.0, y, width - 14.0, text, *style);
            }
            y += 4.0;
        }
        y += 16.0;
    }
    y
}

/// A row of all states at the foot of the page, where it has room: slices across z, in one grey scale.
fn glance(story: &Story, sheet: &mut Sheet) {
    if story.states.is_empty() {
        return;
    }
    let shown = &story.states[..story.states.len().min(GLANCE_STATES)];
    let title = if shown.len() < story.states.len() {
        format!("The first {} of {} states", shown.len(), story.states.len())
    } else {
        "The states".to_owned()
    };
    let top = BOTTOM - GLANCE + 20.0;
    let width = WIDTH - 2.0 * MARGIN;
    heading(sheet, MARGIN, width, top, &title, ACCENT);
    let scale = maps::density_scale(story);
    let seam = (width - GLANCE_STATES as f64 * GLANCE_SIDE) / (GLANCE_STATES - 1) as f64;
    for (i, state) in shown.iter().enumerate() {
        let x = MARGIN + i as f64 * (GLANCE_SIDE + seam);
        sheet.picture(x, top + 12.0, GLANCE_SIDE, GLANCE_SIDE, &grey(maps::slices(&state.map)[0], scale));
        let label = format!("{} · {}", state.class, grouped(state.particles));
        sheet.text(x + GLANCE_SIDE / 2.0, top + 12.0 + GLANCE_SIDE + 11.0, &label, Style::new(SMALL).colour(GREY).anchor(Anchor::Middle));
    }
}

/// A small heading with a rule in its colour below.
fn heading(sheet: &mut Sheet, x: f64, width: f64, y: f64, title: &str, colour: RGBColor) {
    sheet.text(x, y, title, Style::new(TEXT + 1.5).strong().colour(colour));
    sheet.rectangle(x, y + 4.0, width, 0.8, &hex(colour));
}
