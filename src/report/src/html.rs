//! `report.html`: one file that opens anywhere, without network or server. The page and its program are in `html/`; data travel as base64.

mod data;
mod evidence;

pub(crate) use evidence::local_scale;

use crate::pages;
use crate::palette::{Backdrop, FEW, STEPS, along, hex, hue};
use crate::story::Story;
use contract::{Problem, Result};
use plotters::style::RGBColor;
use std::path::Path;

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
/// In this order: later ones use earlier ones.
const PROGRAM: [&str; 8] = [
    include_str!("html/basics.js"),
    include_str!("html/next.js"),
    include_str!("html/charts.js"),
    include_str!("html/latents.js"),
    include_str!("html/scatter.js"),
    include_str!("html/states.js"),
    include_str!("html/evidence.js"),
    include_str!("html/main.js"),
];

/// Writes the report. The file appears under its name only when it is whole; equal stories give equal bytes.
///
/// # Errors
/// If the story contradicts itself or the file cannot be written.
pub fn write_html(story: &Story, path: &Path) -> Result<()> {
    pages::check(story)?;
    let data = serde_json::to_string(&data::of(story)?).map_err(|e| Problem::failed(format!("report could not be made: {e}")))?;
    // Inside a script element only this could end it early.
    let data = data.replace("</", "<\\/");
    let page = PAGE
        .replace("{{title}}", &escaped(&story.title))
        .replace("{{style}}", &format!("{STYLE}{}", colours(story)))
        .replace("{{program}}", &PROGRAM.join("\n"))
        .replace("{{data}}", &data);
    crate::pdf::replace(path, page.as_bytes())
}

/// Colours of marks as the style's variables, on light and on dark: of the classes from 1, of a few curves or groups, and of the scale's steps.
fn colours(story: &Story) -> String {
    let count = story.clusters.len();
    let on = |backdrop: Backdrop| {
        let marks = |name: &str, first: usize, hues: Vec<RGBColor>| -> String {
            hues.into_iter().enumerate().map(|(i, hue)| format!("--{name}-{}: {};", first + i, hex(backdrop.mark(hue)))).collect()
        };
        let classes = marks("class", 1, (0..count).map(|c| hue(c, count)).collect());
        let few = marks("few", 0, (0..FEW).map(|i| hue(i, FEW)).collect());
        let scale = marks("scale", 0, (0..STEPS).map(|i| along(i as f64 / (STEPS - 1) as f64)).collect());
        format!(":root {{ {classes}{few}{scale} }}")
    };
    format!("{}\n@media (prefers-color-scheme: dark) {{ {} }}\n", on(Backdrop::Light), on(Backdrop::Dark))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
