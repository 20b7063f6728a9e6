//! A sheet of paper under construction: SVG in points, with the few marks that reports need.

use crate::palette::{ACCENT, GREY, HAIRLINE, INK, hex};
use crate::typeface::{FAMILY, width, wrap};
use plotters::style::RGBColor;
use std::fmt::Write;

/// A4 landscape, points.
pub(crate) const WIDTH: f64 = 842.0;
/// See [`WIDTH`].
pub(crate) const HEIGHT: f64 = 595.0;
/// Free border.
pub(crate) const MARGIN: f64 = 44.0;
/// Where a page's content starts, below its title.
pub(crate) const TOP: f64 = 92.0;
/// Where content ends, above the footer.
pub(crate) const BOTTOM: f64 = HEIGHT - 44.0;

/// Size of running text.
pub(crate) const TEXT: f64 = 10.0;
/// Size of captions and labels.
pub(crate) const SMALL: f64 = 8.5;
/// From one line of text to the next.
pub(crate) const LEADING: f64 = 1.38;

/// Where a text's given point lies on its line.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How text looks.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    pub(crate) size: f64,
    pub(crate) colour: RGBColor,
    pub(crate) strong: bool,
    pub(crate) anchor: Anchor,
}

impl Style {
    pub(crate) fn new(size: f64) -> Self {
        Self { size, colour: INK, strong: false, anchor: Anchor::Start }
    }

    pub(crate) fn strong(self) -> Self {
        Self { strong: true, ..self }
    }

    pub(crate) fn colour(self, colour: RGBColor) -> Self {
        Self { colour, ..self }
    }

    pub(crate) fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }
}

/// A page or a figure; x to the right, y down, in points.
pub(crate) struct Sheet {
    width: f64,
    height: f64,
    body: String,
}

impl Sheet {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// An A4 page with its title and, below that, one grey line that says how to read it.
    pub(crate) fn page(title: &str, caption: &str) -> Self {
        let mut sheet = Self::new(WIDTH, HEIGHT);
        sheet.text(MARGIN, 52.0, title, Style::new(19.0).strong());
        sheet.paragraph(MARGIN, 70.0, WIDTH - 2.0 * MARGIN, caption, Style::new(SMALL + 0.5).colour(GREY));
        sheet
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, text: &str, style: Style) {
        self.element(x, y, &escape(text), style);
    }

    /// Text that is XML already.
    fn element(&mut self, x: f64, y: f64, text: &str, style: Style) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (weight, fill, size) = (if style.strong { 600 } else { 400 }, hex(style.colour), style.size);
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.2}" y="{y:.2}" font-size="{size}" font-weight="{weight}" fill="{fill}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    /// Text broken into lines of at most `most` points, what stands between backticks in the accent colour; returns the base line after the last.
    pub(crate) fn paragraph(&mut self, x: f64, y: f64, most: f64, text: &str, style: Style) -> f64 {
        // Semibold is wider than the weight that lines are measured with.
        let most = if style.strong { most / 1.04 } else { most };
        let mut y = y;
        let mut quoted = false;
        for line in wrap(text, style.size, most) {
            self.element(x, y, &marked(&line, &mut quoted), style);
            y += style.size * LEADING;
        }
        y
    }

    pub(crate) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        let _ = writeln!(self.body, r#"<rect x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" fill="{fill}"/>"#);
    }

    pub(crate) fn rule(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        let stroke = hex(HAIRLINE);
        let _ = writeln!(self.body, r#"<line x1="{x1:.2}" y1="{y1:.2}" x2="{x2:.2}" y2="{y2:.2}" stroke="{stroke}" stroke-width="0.6"/>"#);
    }

    /// A picture given as a data URI.
    pub(crate) fn picture(&mut self, x: f64, y: f64, width: f64, height: f64, uri: &str) {
        let _ = writeln!(
            self.body,
            r#"<image x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" preserveAspectRatio="none" href="{uri}"/>"#
        );
    }

    /// The outline of a picture.
    pub(crate) fn frame(&mut self, x: f64, y: f64, width: f64, height: f64) {
        let stroke = hex(HAIRLINE);
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" fill="none" stroke="{stroke}" stroke-width="0.6"/>"#
        );
    }

    /// A bar of `angstrom` Å on a picture where a point is `angstrom_per_point`, with its length below.
    pub(crate) fn scale_bar(&mut self, x: f64, y: f64, angstrom: f64, angstrom_per_point: f64) {
        let length = angstrom / angstrom_per_point;
        self.rectangle(x, y, length, 2.0, &hex(INK));
        self.text(x + length + 5.0, y + 3.5, &format!("{angstrom:.0} Å"), Style::new(SMALL).colour(GREY));
    }

    /// Another drawing, moved.
    pub(crate) fn inset(&mut self, x: f64, y: f64, drawing: &Sheet) {
        let _ = writeln!(self.body, r#"<g transform="translate({x:.2} {y:.2})">{}</g>"#, drawing.body);
    }

    /// SVG elements as they are.
    pub(crate) fn raw(&mut self, elements: &str) {
        self.body.push_str(elements);
    }

    /// Footer: what on the left, page on the right.
    pub(crate) fn footer(&mut self, what: &str, page: usize, pages: usize) {
        let y = HEIGHT - 22.0;
        self.rule(MARGIN, y - 12.0, WIDTH - MARGIN, y - 12.0);
        let style = Style::new(8.0).colour(GREY);
        let mut what = what.to_owned();
        while width(&what, 8.0) > WIDTH - 2.0 * MARGIN - 60.0 {
            what.pop();
        }
        self.text(MARGIN, y, &what, style);
        self.text(WIDTH - MARGIN, y, &format!("{page} / {pages}"), style.anchor(Anchor::End));
    }

    pub(crate) fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// The whole SVG document.
    pub(crate) fn svg(&self) -> String {
        let (width, height) = self.size();
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="{FAMILY}, Source Sans 3, Helvetica, Arial, sans-serif"><rect width="{width}" height="{height}" fill="#ffffff"/>
{}</svg>
"##,
            self.body
        )
    }
}

/// A line as XML, with spans in the accent colour for what stands between backticks; `quoted` tells whether a span goes on from the line before.
fn marked(line: &str, quoted: &mut bool) -> String {
    let mut xml = String::new();
    for (i, part) in line.split('`').enumerate() {
        if i > 0 {
            *quoted = !*quoted;
        }
        if *quoted && !part.is_empty() {
            let _ = write!(xml, r#"<tspan fill="{}">{}</tspan>"#, hex(ACCENT), escape(part));
        } else {
            xml.push_str(&escape(part));
        }
    }
    xml
}

/// Text as XML wants it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(|c: char| c.is_control(), " ")
}

/// A round length that fits into about a third of `span` Å.
pub(crate) fn round_length(span_angstrom: f64) -> f64 {
    let most = span_angstrom / 3.0;
    let decade = 10f64.powf(most.max(f64::MIN_POSITIVE).log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|step| step * decade).find(|&length| length <= most).unwrap_or(decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_bars_are_round() {
        assert_eq!([110.0, 200.0, 640.0, 1600.0].map(round_length), [20.0, 50.0, 200.0, 500.0]);
    }

    #[test]
    fn quoted_words_stay_marked_over_line_ends() {
        let mut quoted = false;
        assert_eq!(marked("use `a<b", &mut quoted), r##"use <tspan fill="#0072b2">a&lt;b</tspan>"##);
        assert_eq!(marked("c` now", &mut quoted), r##"<tspan fill="#0072b2">c</tspan> now"##);
    }

    #[test]
    fn text_is_escaped() {
        let mut sheet = Sheet::new(10.0, 10.0);
        sheet.text(0.0, 0.0, "a < b & \u{7}c", Style::new(8.0));
        assert!(sheet.svg().contains("a &lt; b &amp;  c</text>"));
    }
}
