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

/// Sizes of the text that are tried, as parts of the usual one: what fits one page a little smaller is not spread over two.
const SIZES: [f64; 3] = [1.0, 0.95, 0.9];
/// Blocks of a column that go to its last page, at least, where it needs several: one alone looks lost.
const LEAST_FACTS: usize = 5;
const LEAST_ENTRIES: usize = 2;

pub(super) fn sheets(story: &Story) -> Vec<Sheet> {
    let fits = |size: &&f64| pages(story, **size).iter().all(|column| column.len() == 1);
    let size = *SIZES.iter().find(fits).unwrap_or(&SIZES[0]);
    let [left, right] = pages(story, size);
    let count = left.len().max(right.len());
    let mut end = TOP;
    let mut sheets: Vec<Sheet> = (0..count)
        .map(|page| {
            let mut sheet = Sheet::page(&story.title, if page == 0 { &story.subtitle } else { "continued" });
            end = TOP;
            for blocks in [left.get(page), right.get(page)].into_iter().flatten() {
                end = blocks.iter().fold(TOP, |y, block| block.draw(&mut sheet, y, y == TOP)).max(end);
            }
            sheet
        })
        .collect();
    if let Some(sheet) = sheets.last_mut().filter(|_| end + GLANCE < BOTTOM) {
        glance(story, sheet);
    }
    sheets
}

/// Facts on the left, warnings and steps on the right, each on as many pages as they need.
fn pages(story: &Story, size: f64) -> [Vec<Vec<Block<'_>>>; 2] {
    [parted(facts(story, size), LEAST_FACTS), parted(entries(story, size), LEAST_ENTRIES)]
}

/// Parts blocks into pages; the last of several has at least `least` of them, where those before can spare them.
fn parted(blocks: Vec<Block<'_>>, least: usize) -> Vec<Vec<Block<'_>>> {
    let mut pages: Vec<Vec<Block<'_>>> = vec![Vec::new()];
    let mut y = TOP;
    for block in blocks {
        let page = pages.last_mut().filter(|page| page.is_empty() || y + block.height(false) <= BOTTOM);
        match page {
            Some(page) => {
                y += block.height(page.is_empty());
                page.push(block);
            }
            None => {
                y = TOP + block.height(true);
                pages.push(vec![block]);
            }
        }
    }
    if let [.., before, last] = &mut pages[..] {
        while last.len() < least && before.len() > least {
            last.splice(..0, before.pop());
        }
    }
    pages
}

/// What stays together: one entry of a column, and the heading above the first of a part.
struct Block<'a> {
    heading: Option<(&'static str, RGBColor)>,
    /// Left edge and width.
    column: (f64, f64),
    /// What stands left of the paragraphs, in which style, and how far they are moved to the right.
    label: (Cow<'a, str>, Style, f64),
    paragraphs: Vec<(Cow<'a, str>, Style)>,
    /// Below it.
    gap: f64,
}

/// Above the first line of a page; above a heading that does not stand first; from a heading to what follows.
const FIRST: f64 = 14.0;
const ABOVE_HEADING: f64 = 16.0;
const BELOW_HEADING: f64 = 20.0;

impl Block<'_> {
    fn height(&self, first: bool) -> f64 {
        let room = self.column.1 - self.label.2;
        let lines = |(text, style): &(Cow<'_, str>, Style)| wrap(text, style.size, room).len() as f64 * style.size * LEADING;
        let label = wrap(&self.label.0, self.label.1.size, self.label.2 - 8.0).len() as f64 * self.label.1.size * LEADING;
        self.above(first) + label.max(self.paragraphs.iter().map(lines).sum()) + self.gap
    }

    fn above(&self, first: bool) -> f64 {
        match (self.heading, first) {
            (Some(_), true) => FIRST + BELOW_HEADING,
            (Some(_), false) => ABOVE_HEADING + BELOW_HEADING,
            (None, true) => FIRST,
            (None, false) => 0.0,
        }
    }

    /// Draws it from `y` on and returns where the next one begins.
    fn draw(&self, sheet: &mut Sheet, y: f64, first: bool) -> f64 {
        let (x, width) = self.column;
        let top = y + self.above(first);
        if let Some((title, colour)) = self.heading {
            heading(sheet, x, width, top - BELOW_HEADING, title, colour);
        }
        let (label, style, indent) = &self.label;
        sheet.paragraph(x, top, indent - 8.0, label, *style);
        self.paragraphs.iter().fold(top, |y, (text, style)| sheet.paragraph(x + indent, y, width - indent, text, *style));
        y + self.height(first)
    }
}

fn facts(story: &Story, size: f64) -> Vec<Block<'_>> {
    let style = Style::new(size * (TEXT - 0.5));
    let facts = story.facts.iter().enumerate().map(|(i, (name, value))| Block {
        heading: (i == 0).then_some(("Facts and settings", ACCENT)),
        column: (MARGIN, LEFT),
        label: (name.as_str().into(), style.colour(GREY), NAME),
        paragraphs: vec![(value.as_str().into(), style)],
        gap: 2.4 * size,
    });
    facts.collect()
}

fn entries(story: &Story, size: f64) -> Vec<Block<'_>> {
    let (text, small) = (Style::new(size * (TEXT - 0.5)), Style::new(size * SMALL));
    let column = (RIGHT_X, WIDTH - MARGIN - RIGHT_X);
    let entry = |i: usize, title, marker: Cow<'static, str>, colour, paragraphs| Block {
        heading: (i == 0).then_some((title, colour)),
        column,
        label: (marker, text.strong().colour(colour), 14.0),
        paragraphs,
        gap: 4.0 * size,
    };
    let none = story.warnings.is_empty().then(|| entry(0, "Warnings", "".into(), GREY, vec![("none".into(), small.colour(GREY))]));
    let warnings = story.warnings.iter().enumerate();
    let warnings = warnings.map(|(i, line)| entry(i, "Warnings", "•".into(), ALERT, vec![(line.as_str().into(), text)]));
    let steps = story.next_steps.iter().enumerate();
    let steps = steps.map(|(i, step)| entry(i, "Next steps", (i + 1).to_string().into(), ACCENT, paragraphs(step, text, small)));
    none.into_iter().chain(warnings).chain(steps).collect()
}

/// A step: what it is good for, its command, and what RELION's users do, whose Display button shows this page.
fn paragraphs(step: &NextStep, text: Style, small: Style) -> Vec<(Cow<'_, str>, Style)> {
    vec![
        (step.what.as_str().into(), text),
        (step.command.as_str().into(), small.colour(ACCENT)),
        (format!("RELION: {}", step.relion).into(), small.colour(GREY)),
    ]
}

/// A row of all states at the foot of the page, where it has room: slices across z, in one grey scale.
fn glance(story: &Story, sheet: &mut Sheet) {
    if story.states.is_empty() {
        return;
    }
    let shown = &story.states[..story.states.len().min(GLANCE_STATES)];
    let title = if shown.len() < story.states.len() {
        format!("The first {} of {} {}s", shown.len(), story.states.len(), story.subject.noun())
    } else {
        format!("The {}s", story.subject.noun())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(count: usize, lines: usize) -> Vec<Block<'static>> {
        let style = Style::new(TEXT);
        let block = |i: usize| Block {
            heading: (i == 0).then_some(("Next steps", ACCENT)),
            column: (RIGHT_X, 300.0),
            label: ("1".into(), style, 14.0),
            paragraphs: (0..lines).map(|_| ("a line".into(), style)).collect(),
            gap: 4.0,
        };
        (0..count).map(block).collect()
    }

    #[test]
    fn no_entry_stands_alone_on_the_last_page() {
        let sizes = |count: usize, lines: usize| parted(blocks(count, lines), LEAST_ENTRIES).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(7, 4), [7]);
        assert_eq!(sizes(8, 4), [6, 2], "not seven and one");
        assert_eq!(sizes(9, 4), [7, 2]);
        assert_eq!(sizes(0, 4), [0]);
        for count in 1..40 {
            let pages = parted(blocks(count, 4), LEAST_ENTRIES);
            assert_eq!(pages.iter().map(Vec::len).sum::<usize>(), count);
            assert!(count == 1 || pages.iter().all(|page| page.len() >= LEAST_ENTRIES), "{count}");
            for page in pages {
                let end = page.iter().fold(TOP, |y, block| y + block.height(y == TOP));
                assert!(end - 4.0 <= BOTTOM + 1.0, "{count}: {end}");
            }
        }
    }
}
