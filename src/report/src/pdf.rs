//! Pages to files: PDF for people, figures as SVG and PNG for their own papers and slides.

use crate::pages::{Figure, pages};
use crate::sheet::Sheet;
use crate::story::Story;
use crate::typeface;
use contract::{Problem, Result};
use krilla::Document;
use krilla::geom::Size;
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla_svg::{SurfaceExt, SvgSettings};
use std::path::{Path, PathBuf};

/// Pixels a point of figures' pictures: 144 to the inch, sharp on a slide.
const FIGURE_SCALE: f32 = 2.0;

/// Writes the report. The file appears under its name only when it is whole; equal stories give equal bytes.
///
/// # Errors
/// If the story contradicts itself (numbers of particles differ, a map or an image is empty) or the file cannot be written.
pub fn write_pdf(story: &Story, path: &Path) -> Result<()> {
    let figures = pages(story)?;
    let count = figures.len();
    let footer = format!("opus-dsd {} · {}", contract::VERSION, story.title);
    let fonts = typeface::database();
    let mut document = Document::new();
    document.set_metadata(Metadata::new().title(format!("opus-dsd: {}", story.title)).creator(format!("opus-dsd {}", contract::VERSION)));
    for (i, mut figure) in figures.into_iter().enumerate() {
        figure.sheet.footer(&footer, i + 1, count);
        let (width, height) = figure.sheet.size();
        let size = Size::from_wh(width as f32, height as f32).ok_or_else(|| Problem::failed("a page has no size"))?;
        let tree = tree(&figure.sheet, &fonts)?;
        let mut page = document.start_page_with(PageSettings::new(size));
        let mut surface = page.surface();
        surface
            .draw_svg(&tree, size, SvgSettings::default())
            .ok_or_else(|| Problem::failed(format!("page `{}` could not be drawn", figure.name)))?;
        surface.finish();
        page.finish();
    }
    let bytes = document.finish().map_err(|e| Problem::failed(format!("report could not be made: {e:?}")))?;
    replace(path, &bytes)
}

/// Writes every page but the summary as a figure into a folder, which is made where it is missing: as SVG, and as PNG of two pixels a
/// point. Returns the files, in the order of the pages. Pictures need no fonts of the system: the typeface is embedded.
///
/// # Errors
/// As [`write_pdf`].
pub fn write_figures(story: &Story, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(|e| Problem::io(folder, &e))?;
    let fonts = typeface::database();
    let mut files = Vec::new();
    for figure in pages(story)?.into_iter().filter(|figure| figure.name != crate::pages::SUMMARY) {
        let (drawing, picture) = (folder.join(format!("{}.svg", figure.name)), folder.join(format!("{}.png", figure.name)));
        replace(&drawing, figure.sheet.svg().as_bytes())?;
        replace(&picture, &png(&figure.sheet, &fonts, FIGURE_SCALE)?)?;
        files.extend([drawing, picture]);
    }
    Ok(files)
}

/// Writes one page (counted from 1) as a PNG picture, `scale` pixels a point.
///
/// # Errors
/// If there is no such page, and as [`write_pdf`].
pub fn write_png(story: &Story, page: usize, scale: f32, path: &Path) -> Result<()> {
    let Figure { sheet, .. } =
        pages(story)?.into_iter().nth(page.wrapping_sub(1)).ok_or_else(|| Problem::input(format!("the report has no page {page}")))?;
    replace(path, &png(&sheet, &typeface::database(), scale)?)
}

/// The sheet as a PNG picture, `scale` pixels a point.
fn png(sheet: &Sheet, fonts: &std::sync::Arc<usvg::fontdb::Database>, scale: f32) -> Result<Vec<u8>> {
    let tree = tree(sheet, fonts)?;
    let (width, height) = sheet.size();
    let mut picture = resvg::tiny_skia::Pixmap::new((width as f32 * scale) as u32, (height as f32 * scale) as u32)
        .ok_or_else(|| Problem::input(format!("{scale} pixels a point make no picture")))?;
    resvg::render(&tree, resvg::tiny_skia::Transform::from_scale(scale, scale), &mut picture.as_mut());
    picture.encode_png().map_err(|e| Problem::failed(format!("picture could not be made: {e}")))
}

/// The sheet as the SVG libraries understand it.
fn tree(sheet: &Sheet, fonts: &std::sync::Arc<usvg::fontdb::Database>) -> Result<usvg::Tree> {
    let options = usvg::Options { fontdb: fonts.clone(), font_family: typeface::FAMILY.to_owned(), ..Default::default() };
    usvg::Tree::from_str(&sheet.svg(), &options).map_err(|e| Problem::failed(format!("a page could not be read back: {e}")))
}

/// Writes to a temporary name in the same folder, then renames.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.part", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Problem::io(path, &e)
    })
}
