//! Charts with axes, drawn by `plotters` and handed back as sheets to be set on pages.

use crate::pages::grouped;
use crate::palette::{GREY, HAIRLINE, INK};
use crate::sheet::Sheet;
use crate::typeface::FAMILY;
use contract::{Problem, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// plotters draws text 1/1.24 of the size it is told.
const FONT_SCALE: f64 = 1.24;
/// Size of numbers at ticks.
const TICK_SIZE: f64 = 8.0;
/// Size of axis titles.
const AXIS_SIZE: f64 = 9.0;
/// Drawn this much larger and scaled down, as plotters sets marks on whole pixels.
const FINENESS: f64 = 8.0;

/// Ticks along an axis, at most.
const X_TICKS: usize = 9;
/// See [`X_TICKS`].
const Y_TICKS: usize = 6;

/// What an axis says, and its range.
pub(crate) struct Axis {
    pub(crate) title: String,
    pub(crate) range: (f64, f64),
    /// Only whole numbers have ticks.
    pub(crate) whole: bool,
}

impl Axis {
    /// An axis that holds all finite values, with a little room at both ends.
    pub(crate) fn around(title: &str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) =
            values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let room = if high > low { 0.06 * (high - low) } else { 0.5 * high.abs().max(1e-3) };
        Self { title: title.to_owned(), range: (low - room, high + room), whole: false }
    }

    /// An axis of whole numbers, as of epochs.
    pub(crate) fn whole(title: &str, low: usize, high: usize) -> Self {
        Self { title: title.to_owned(), range: (low as f64 - 0.5, high as f64 + 0.5), whole: true }
    }

    /// The same from 0 on.
    pub(crate) fn starting_at_zero(mut self) -> Self {
        self.range.0 = 0.0;
        self
    }

    fn ticks(&self, most: usize) -> usize {
        /// Whole numbers up to this many all have a tick.
        const ALL: usize = 24;
        let numbers = (self.range.1 - self.range.0).round() as usize;
        if self.whole && numbers <= ALL { numbers.max(1) } else { most }
    }

    /// A tick's number, with as many decimals as tell ticks apart, where there are at most `most` ticks.
    fn label(&self, value: f64, most: usize) -> String {
        if self.whole {
            return if (value - value.round()).abs() < 1e-6 { format!("{value:.0}") } else { String::new() };
        }
        // Ticks stand 1, 2 or 5 times a power of ten apart: the smallest such step that puts no more than `most` of them into the range.
        let (low, high) = self.range;
        let decade = 10f64.powf(((high - low) / most as f64).log10().floor() - 1.0);
        let fits = |step: &f64| (high / step).floor() - (low / step).ceil() < most as f64;
        let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].map(|factor| factor * decade).into_iter().find(fits).unwrap_or(100.0 * decade);
        let decimals = (-(step * (1.0 + 1e-9)).log10().floor()).clamp(0.0, 6.0) as usize;
        let text = format!("{value:.decimals$}");
        if decimals == 0 && value >= 0.0 {
            return grouped(value.round() as usize);
        }
        // Signs as printed in books; no minus in front of nothing.
        match text.strip_prefix('-') {
            Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.to_owned(),
            Some(rest) => format!("−{rest}"),
            None => text,
        }
    }
}

/// Points or lines of one colour.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) colour: RGBColor,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Marks of a chart.
pub(crate) enum Marks {
    /// Lines with a dot at each point, and names of more than one at the top.
    Lines(Vec<Series>),
    /// Lines without dots, names at the top, and a dashed line across at a value, with its name.
    Curves { series: Vec<Series>, line: (f64, &'static str) },
    /// Dots of a radius in points, over those of `beneath`; `numbers` are written over them.
    Dots { beneath: Series, series: Vec<Series>, radius: f64, numbers: Vec<(f64, f64, String)> },
    /// Upright bars at x of a width in units of x, with their value above.
    Bars { bars: Vec<(f64, f64, RGBColor)>, width: f64, value: fn(f64) -> String },
}

/// A chart of `width` × `height` points.
///
/// # Errors
/// If the drawing library fails, which it does on ranges without extent.
pub(crate) fn chart(width: f64, height: f64, x: &Axis, y: &Axis, marks: Marks) -> Result<Sheet> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, ((width * FINENESS) as u32, (height * FINENESS) as u32)).into_drawing_area();
        draw(&area, x, y, marks)
            .map_err(|e| Problem::failed(format!("chart of {} against {} could not be drawn: {e}", y.title, x.title)))?;
    }
    // Only the elements inside the drawing's own `svg`.
    let start = svg.find('>').map_or(0, |at| at + 1);
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    // The sheet names the typeface, and what stands in for it where it is not there.
    let inner = svg[start..end].replace(&format!(" font-family=\"{FAMILY}\""), "");
    let mut sheet = Sheet::new(width, height);
    sheet.raw(&format!("<g transform=\"scale({:.6})\">{inner}</g>\n", 1.0 / FINENESS));
    Ok(sheet)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn font(size: f64, colour: RGBColor) -> TextStyle<'static> {
    (FAMILY, size * FONT_SCALE * FINENESS).into_font().color(&colour)
}

/// A little towards white, as dots lie on dots; opaque, since transparent ones make files ten times as large.
fn lightened(colour: RGBColor) -> RGBColor {
    let lighten = |channel: u8| 255 - ((f64::from(255 - channel)) * 0.8).round() as u8;
    RGBColor(lighten(colour.0), lighten(colour.1), lighten(colour.2))
}

fn px(points: f64) -> i32 {
    (points * FINENESS).round() as i32
}

fn draw(area: &Area<'_>, x: &Axis, y: &Axis, marks: Marks) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let thin = INK.stroke_width(px(0.6) as u32);
    let mut chart = ChartBuilder::on(area)
        .margin_top(px(18.0))
        .margin_right(px(10.0))
        .margin_left(px(2.0))
        .x_label_area_size(px(32.0))
        .y_label_area_size(px(46.0))
        .build_cartesian_2d(x.range.0..x.range.1, y.range.0..y.range.1)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(HAIRLINE.mix(0.6).stroke_width(px(0.4) as u32))
        .axis_style(thin)
        .set_all_tick_mark_size(px(3.0))
        .x_labels(x.ticks(X_TICKS))
        .y_labels(y.ticks(Y_TICKS))
        .x_label_formatter(&|v| x.label(*v, X_TICKS))
        .y_label_formatter(&|v| y.label(*v, Y_TICKS))
        .label_style(font(TICK_SIZE, GREY))
        .axis_desc_style(font(AXIS_SIZE, INK))
        .x_desc(x.title.as_str())
        .y_desc(y.title.as_str())
        .draw()?;
    match marks {
        Marks::Lines(series) => {
            names(area, &series)?;
            for line in series {
                chart.draw_series(LineSeries::new(line.points.iter().copied(), stroke(&line)))?;
                chart.draw_series(line.points.iter().map(|&p| Circle::new(p, px(1.7), line.colour.filled())))?;
            }
        }
        Marks::Curves { series, line: (at, name) } => {
            names(area, &series)?;
            for line in &series {
                chart.draw_series(LineSeries::new(line.points.iter().copied(), stroke(line)))?;
            }
            let across = [(x.range.0, at), (x.range.1, at)];
            chart.draw_series(DashedLineSeries::new(across, px(4.0), px(3.0), INK.stroke_width(px(0.7) as u32)))?;
            let style = font(TICK_SIZE, INK).pos(Pos::new(HPos::Right, VPos::Bottom));
            chart.draw_series([EmptyElement::at(across[1]) + Text::new(name, (0, -px(2.0)), style)])?;
        }
        Marks::Dots { beneath, series, radius, numbers } => {
            chart.draw_series(beneath.points.iter().map(|&p| Circle::new(p, px(radius), beneath.colour.filled())))?;
            // In turn, so that no class lies on top of all others.
            let longest = series.iter().map(|s| s.points.len()).max().unwrap_or(0);
            for i in 0..longest {
                let dots = series.iter().filter_map(|s| s.points.get(i).map(|&p| Circle::new(p, px(radius), lightened(s.colour).filled())));
                chart.draw_series(dots)?;
            }
            for (at_x, at_y, number) in numbers {
                let radius = px(if number.len() > 2 { 8.5 } else { 6.8 });
                chart.draw_series([
                    Circle::new((at_x, at_y), radius, WHITE.filled()),
                    Circle::new((at_x, at_y), radius, INK.stroke_width(px(0.9) as u32)),
                ])?;
                let style = font(8.5, INK).pos(Pos::new(HPos::Center, VPos::Center));
                chart.draw_series([Text::new(number, (at_x, at_y), style)])?;
            }
        }
        Marks::Bars { bars, width, value } => {
            chart.draw_series(
                bars.iter()
                    .map(|&(at, height, colour)| Rectangle::new([(at - width / 2.0, 0.0), (at + width / 2.0, height)], colour.filled())),
            )?;
            let style = font(TICK_SIZE, INK).pos(Pos::new(HPos::Center, VPos::Bottom));
            chart.draw_series(
                bars.iter().map(|&(at, height, _)| EmptyElement::at((at, height)) + Text::new(value(height), (0, -px(2.0)), style.clone())),
            )?;
        }
    }
    area.present()?;
    Ok(())
}

fn stroke(line: &Series) -> ShapeStyle {
    line.colour.stroke_width(px(1.3) as u32)
}

/// Names of more than one line above the chart, shortened where they need it; as many as there is room for.
fn names(area: &Area<'_>, series: &[Series]) -> std::result::Result<(), Box<dyn std::error::Error>> {
    if series.len() < 2 {
        return Ok(());
    }
    let mut left = px(50.0);
    let end = area.dim_in_pixel().0 as i32;
    let width = |name: &str| px(18.0 + crate::typeface::width(name, TICK_SIZE) + 14.0);
    // Where there are many, `state 1, 2, 3 …` says the same as `state 1, state 2 …`.
    let short = left + series.iter().map(|line| width(&line.name)).sum::<i32>() > end;
    for (i, line) in series.iter().enumerate() {
        let name = if short && i > 0 { line.name.rsplit(' ').next().unwrap_or(&line.name) } else { &line.name };
        if left + width(name) > end {
            break;
        }
        area.draw(&PathElement::new(vec![(left, px(9.0)), (left + px(14.0), px(9.0))], stroke(line)))?;
        let style = font(TICK_SIZE, INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name.to_owned(), (left + px(18.0), px(9.0)), style))?;
        left += width(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_labels_are_short_and_distinct() {
        let axis = Axis::around("loss", [0.0, 0.8].into_iter());
        assert_eq!(axis.label(-0.001, 6), "0.0");
        assert_eq!(axis.label(-0.5, 6), "−0.5");
        assert_eq!(Axis::around("loss", [0.0, 0.005].into_iter()).label(0.003, 6), "0.003");
        let tight = Axis { title: String::new(), range: (-1.8, 1.4), whole: false };
        assert_eq!(tight.label(0.5, 6), "0.5");
        assert_eq!(Axis::around("particles", [0.0, 9000.0].into_iter()).label(2000.0, 6), "2,000");
        let axis = Axis::whole("epoch", 1, 3);
        assert_eq!((axis.label(2.0, 9), axis.label(2.5, 9), axis.ticks(9)), ("2".to_owned(), String::new(), 3));
        let flat = Axis::around("loss", [2.0, 2.0].into_iter());
        assert!(flat.range.0 < 2.0 && flat.range.1 > 2.0);
        assert!(Axis::around("nothing", std::iter::empty()).range.1 > 0.0);
    }

    #[test]
    fn a_chart_without_points_is_still_a_chart() {
        let axis = || Axis::around("x", std::iter::empty());
        let sheet = chart(100.0, 80.0, &axis(), &axis(), Marks::Lines(Vec::new())).unwrap();
        assert!(sheet.svg().contains("<polyline"));
    }
}
