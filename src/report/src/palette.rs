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

/// Colour of a class; more than seven are coloured along a scale, which suits clusters as they are numbered along their tree.
pub(crate) fn class(index: usize, count: usize) -> RGBColor {
    if count <= CLASSES.len() { CLASSES[index % CLASSES.len()] } else { along(index as f64 / (count - 1) as f64) }
}

/// Colour of a share from 0 to 1.
pub(crate) fn along(share: f64) -> RGBColor {
    let at = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let (low, high) = (VIRIDIS[at.floor() as usize], VIRIDIS[at.ceil() as usize]);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * at.fract()).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// As SVG writes it.
pub(crate) fn hex(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}
