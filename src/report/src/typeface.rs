//! The typeface of all pages (Source Sans Pro, SIL Open Font License: fonts/LICENSE.txt), carried in the program.

use std::sync::{Arc, LazyLock};
use usvg::fontdb::Database;

/// Family name as in the font files.
pub(crate) const FAMILY: &str = "Source Sans Pro";

const REGULAR: &[u8] = include_bytes!("../fonts/SourceSansPro-Regular.ttf");
const SEMIBOLD: &[u8] = include_bytes!("../fonts/SourceSansPro-Semibold.ttf");

/// Widths of the regular weight; the semibold is some 3% wider.
static FACE: LazyLock<ttf_parser::Face<'static>> =
    LazyLock::new(|| ttf_parser::Face::parse(REGULAR, 0).expect("the embedded font is whole"));

/// A font collection that holds the embedded typeface and nothing of the system's.
pub(crate) fn database() -> Arc<Database> {
    let mut database = Database::new();
    database.load_font_data(REGULAR.to_vec());
    database.load_font_data(SEMIBOLD.to_vec());
    database.set_sans_serif_family(FAMILY);
    Arc::new(database)
}

/// Width of a line of text in points.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let units = f64::from(FACE.units_per_em());
    let advance = |c: char| FACE.glyph_index(c).and_then(|glyph| FACE.glyph_hor_advance(glyph)).map_or(0.6 * units, f64::from);
    text.chars().map(advance).sum::<f64>() * size / units
}

/// Breaks text at spaces into lines no wider than `most` points; longer words (paths) are broken where they must.
pub(crate) fn wrap(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, size) <= most {
            *line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(String::new());
        }
        for c in word.chars() {
            let line = lines.last_mut().expect("there is always a line");
            line.push(c);
            if width(line, size) > most && line.chars().count() > 1 {
                line.pop();
                lines.push(c.to_string());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        let lines = wrap("the quick brown fox jumps over External/job007/cluster001_particles.star and on", 10.0, 80.0);
        assert!(lines.iter().all(|line| width(line, 10.0) <= 80.0), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), "thequickbrownfoxjumpsoverExternal/job007/cluster001_particles.starandon");
        assert_eq!(wrap("", 10.0, 80.0), vec![String::new()]);
    }

    #[test]
    fn all_signs_that_reports_use_are_in_the_font() {
        for c in "ABCxyz0123456789Å²³°×−–…·≤≥σχΔλµ½→‘’±/%#@_`".chars() {
            assert!(FACE.glyph_index(c).is_some(), "no {c}");
        }
    }
}
