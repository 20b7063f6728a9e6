//! `report.html`: one file that opens anywhere, without network or server. The page and its program are in `html/`; data travel as base64.

mod data;
mod evidence;

pub(crate) use evidence::local_scale;

use crate::pages;
use crate::story::Story;
use contract::{Problem, Result};
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
        .replace("{{style}}", STYLE)
        .replace("{{program}}", &PROGRAM.join("\n"))
        .replace("{{data}}", &data);
    crate::pdf::replace(path, page.as_bytes())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
