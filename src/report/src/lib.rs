//! The report of a job: `report.html` to look and choose, `logfile.pdf` for the host's Display button, and its figures one by one.
//!
//! A [`Story`] holds all that is told; nothing here reads a file, a clock or the system's fonts, so equal stories give equal bytes. Pages are drawn as
//! SVG (A4 landscape, in points) with an embedded typeface, and turned into PDF with text that can be searched and copied.

mod chart;
mod chimerax;
mod html;
mod movie;
mod pages;
mod palette;
mod pdf;
mod picture;
mod sheet;
mod story;
mod subject;
mod surface;
mod thumbnail;
mod typeface;
mod verdict;

pub use chimerax::write_chimerax;
pub use html::write_html;
pub use movie::{write_movies, write_way};
pub use pdf::{write_figures, write_pdf, write_png};
pub use story::{
    Column, Difference, Differences, Embedding, EpochRecord, Evidence, Ground, Grouping, ImagePanels, NextStep, Part, PartMotion, State,
    Story, Variability, Way,
};
pub use subject::Subject;
pub use surface::{level as surface_level, reduced};
pub use verdict::Verdict;
