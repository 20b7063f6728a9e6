//! Scripts for ChimeraX, which runs them in their own folder: states side by side in one colour each at one level, and ways as a morph.

use crate::palette;
use crate::story::{Story, Way};
use crate::surface::shown_level;
use contract::Result;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Steps of a morph from end to end.
const MORPH_FRAMES: usize = 100;

/// Writes `states.cxc`, and one script a way of two maps or more, into the job's folder; returns the files.
///
/// # Errors
/// If a file cannot be written.
pub fn write_chimerax(story: &Story, folder: &Path) -> Result<Vec<PathBuf>> {
    let shown = level_in_files(shown_level(story).unwrap_or(0.0), story.files_inverted);
    let mut written = Vec::new();
    let mut write = |name: String, text: String| {
        let path = folder.join(name);
        crate::pdf::replace(&path, text.as_bytes()).map(|()| written.push(path))
    };
    if !story.states.is_empty() {
        write("states.cxc".into(), states(story, shown))?;
    }
    for way in story.ways.iter().filter(|way| way.moves()) {
        written.push(write_morph(way, shown, folder)?);
    }
    Ok(written)
}

/// The level of a map's surface in its file, which may hold it with its sign turned: ChimeraX draws the surface of negative levels about what lies below.
pub(crate) fn level_in_files(level: f32, files_inverted: bool) -> f32 {
    if files_inverted { -level } else { level }
}

/// Writes the script of a way beside its folder; returns the file.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write_morph(way: &Way, level: f32, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("{}.cxc", way.stem));
    crate::pdf::replace(&path, morph(way, level).as_bytes()).map(|()| path)
}

fn states(story: &Story, level: f32) -> String {
    let mut text = String::from("# The states of a job, at one level. Open this file in ChimeraX.\n");
    for state in &story.states {
        let _ = writeln!(text, "open {}", state.file);
    }
    for (i, _) in story.states.iter().enumerate() {
        let _ = writeln!(text, "color #{} {}", i + 1, palette::hex(palette::hue(i, story.states.len())));
    }
    let last = story.states.len();
    let _ = write!(text, "volume #1-{last} level {level:.5} style surface step 1\nlighting soft\nview\n");
    let _ = writeln!(text, "# side by side: tile; one at a time: mseries #1-{last}");
    text
}

fn morph(way: &Way, level: f32) -> String {
    let maps = way.maps.len();
    let mut text = String::from("# Maps along a way through the latents, as a morph. Open this file in ChimeraX.\n");
    for map in 0..maps {
        let _ = writeln!(text, "open {}", way.file(map));
    }
    // The morph's colour runs from one map's to the next one's.
    for map in 0..maps {
        let share = map as f64 / (maps.max(2) - 1) as f64;
        let _ = writeln!(text, "color #{} {}", map + 1, palette::hex(palette::along(share)));
    }
    let _ = write!(
        text,
        "volume #1-{maps} level {level:.5} style surface step 1\nvolume morph #1-{maps} frames {MORPH_FRAMES} slider true\nlighting soft\nview\n"
    );
    text
}
