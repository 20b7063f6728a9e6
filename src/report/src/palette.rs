//! Colours that people with any colour vision can tell apart.

use plotters::style::RGBColor;

/// Okabe and Ito's set without black and yellow (too pale on white), with a grey: for up to seven classes.
const CLASSES: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// Nine stops of viridis, dark to light, cut at both ends so that no colour fades on white.
const VIRIDIS: [RGBColor; 9] = [
    RGBColor(68, 1, 84),
    RGBColor(71, 44, 122),
    RGBColor(59, 81, 139),
    RGBColor(44, 113, 142),
    RGBColor(33, 144, 141),
    RGBColor(39, 173, 129),
    RGBColor(92, 200, 99),
    RGBColor(146, 215, 65),
    RGBColor(202, 224, 31),
];

/// Particles beneath others.
pub(crate) const BENEATH: RGBColor = RGBColor(205, 208, 213);
/// Text and axes.
pub(crate) const INK: RGBColor = RGBColor(34, 38, 46);
/// Secondary text, hairlines' labels.
pub(crate) const GREY: RGBColor = RGBColor(105, 112, 122);
/// Hairlines.
pub(crate) const HAIRLINE: RGBColor = RGBColor(205, 210, 216);
/// What stands out.
pub(crate) const ACCENT: RGBColor = RGBColor(0, 114, 178);
/// Warnings.
pub(crate) const ALERT: RGBColor = RGBColor(180, 70, 0);

/// Classes that have hues of their own.
pub(crate) const FEW: usize = CLASSES.len();
/// Steps of the scale.
pub(crate) const STEPS: usize = VIRIDIS.len();

/// What marks are drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backdrop {
    Light,
    Dark,
}

impl Backdrop {
    /// The page and its panels, as `html/page.css` has them; paper is the first.
    fn colours(self) -> [RGBColor; 2] {
        match self {
            Self::Light => [RGBColor(255, 255, 255), RGBColor(245, 246, 248)],
            Self::Dark => [RGBColor(21, 24, 29), RGBColor(30, 34, 41)],
        }
    }

    /// Contrast that marks have at least. WCAG 2.1 (1.4.11) asks for 3:1; thin curves of dark hues look faint on dark even then.
    fn least_contrast(self) -> f64 {
        match self {
            Self::Light => 3.0,
            Self::Dark => 4.5,
        }
    }

    /// Marks are mixed with this until they are seen.
    fn away(self) -> RGBColor {
        match self {
            Self::Light => RGBColor(0, 0, 0),
            Self::Dark => RGBColor(255, 255, 255),
        }
    }

    /// A hue as a mark that is seen on this.
    pub(crate) fn mark(self, hue: RGBColor) -> RGBColor {
        const PARTS: u32 = 100;
        let seen = |colour: &RGBColor| self.colours().into_iter().all(|behind| contrast(*colour, behind) >= self.least_contrast());
        let mixed = (0..=PARTS).map(|part| mix(hue, self.away(), f64::from(part) / f64::from(PARTS)));
        mixed.into_iter().find(seen).unwrap_or(self.away())
    }
}

/// Hue of a class; more than seven have theirs along a scale, which suits clusters as they are numbered along their tree.
pub(crate) fn hue(index: usize, count: usize) -> RGBColor {
    if count <= FEW { CLASSES[index % FEW] } else { along(index as f64 / (count - 1) as f64) }
}

/// Colour of a class on paper.
pub(crate) fn class(index: usize, count: usize) -> RGBColor {
    Backdrop::Light.mark(hue(index, count))
}

/// Colour on paper of a mark at a share from 0 to 1 of the scale.
pub(crate) fn shade(share: f64) -> RGBColor {
    Backdrop::Light.mark(along(share))
}

/// The scale's colour at a share from 0 to 1, in pictures.
pub(crate) fn along(share: f64) -> RGBColor {
    let at = share.clamp(0.0, 1.0) * (STEPS - 1) as f64;
    mix(VIRIDIS[at.floor() as usize], VIRIDIS[at.ceil() as usize], at.fract())
}

/// From one colour (0) to another (1).
fn mix(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Contrast of two colours, 1 to 21 (WCAG 2.1).
fn contrast(a: RGBColor, b: RGBColor) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Relative luminance, 0 to 1 (WCAG 2.1).
fn luminance(colour: RGBColor) -> f64 {
    let linear = |channel: u8| {
        let v = f64::from(channel) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2)
}

/// As SVG writes it.
pub(crate) fn hex(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_wcag() {
        assert!((contrast(RGBColor(0, 0, 0), RGBColor(255, 255, 255)) - 21.0).abs() < 1e-9);
        // The lightest grey that text may have on white.
        assert!((contrast(RGBColor(118, 118, 118), RGBColor(255, 255, 255)) - 4.54).abs() < 0.01);
    }

    #[test]
    fn every_mark_is_seen_on_what_it_is_drawn_on() {
        let style = include_str!("html/page.css");
        for backdrop in [Backdrop::Light, Backdrop::Dark] {
            let [page, panel] = backdrop.colours().map(hex);
            assert!(style.contains(&format!("--paper: {page}; --panel: {panel};")), "the page is drawn on {page} and {panel}");
            let hues = (1..=40).flat_map(|count| (0..count).map(move |index| hue(index, count)));
            for hue in hues.chain((0..=100).map(|percent| along(f64::from(percent) / 100.0))) {
                for behind in backdrop.colours() {
                    let seen = contrast(backdrop.mark(hue), behind);
                    assert!(seen >= 3.0 && seen >= backdrop.least_contrast(), "{} on {}: {seen:.2}", hex(hue), hex(behind));
                }
            }
            // Those for a few classes stay apart.
            let apart = |a: RGBColor, b: RGBColor| a.0.abs_diff(b.0).max(a.1.abs_diff(b.1)).max(a.2.abs_diff(b.2));
            let few: Vec<RGBColor> = (0..FEW).map(|index| backdrop.mark(hue(index, FEW))).collect();
            for (i, a) in few.iter().enumerate() {
                assert!(few[..i].iter().all(|b| apart(*a, *b) >= 32), "{few:?}");
            }
        }
    }
}
