//! The given map beside the back-projection.

use crate::Halves;
use contract::{Problem, Result};
use cryoem::volume::resolution::{HALF_MAPS, last_shell_above};
use cryoem::volume::{Volume, fourier_shell_correlation};
use ndarray::Array3;

/// Pixel sizes that are tried: within this part of the map's own.
const SCALE_RANGE: f64 = 0.1;
/// Step of the scales.
const SCALE_STEP: f64 = 0.01;
/// Shells that are compared at least: fewer hold too few values to tell one map from another.
const LEAST_SHELLS: usize = 6;
/// The map is put on a grid with this margin before it is scaled, so that nothing falls over the rim.
const MARGIN: f64 = 1.25;

/// A position of the map: voxel axes swapped and flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Of the positioned map's z, y, x axes: which of the map's (0 z, 1 y, 2 x) each is.
    pub axes: [usize; 3],
    /// Whether each of them is flipped.
    pub flipped: [bool; 3],
}

impl Position {
    /// As the map is.
    pub const GIVEN: Self = Self { axes: [0, 1, 2], flipped: [false; 3] };

    /// All 48.
    fn all() -> impl Iterator<Item = Self> {
        const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        ORDERS.into_iter().flat_map(|axes| (0..8).map(move |bits| Self { axes, flipped: [bits & 1, bits & 2, bits & 4].map(|b| b != 0) }))
    }

    /// Whether the position is a mirror image, which no rotation brings back.
    #[must_use]
    pub fn mirrors(&self) -> bool {
        let odd_order = matches!(self.axes, [0, 2, 1] | [1, 0, 2] | [2, 1, 0]);
        odd_order ^ (self.flipped.iter().filter(|f| **f).count() % 2 == 1)
    }

    /// The map in this position; voxel n/2 stays.
    fn of(&self, map: &Volume) -> Volume {
        let n = map.data.dim().0;
        let swapped = map.data.view().permuted_axes(self.axes);
        let at = |i: usize, flipped: bool| if flipped { (n - i + n % 2 * (n - 1)) % n } else { i };
        let [z_flipped, y_flipped, x_flipped] = self.flipped;
        let data = Array3::from_shape_fn((n, n, n), |(z, y, x)| swapped[[at(z, z_flipped), at(y, y_flipped), at(x, x_flipped)]]);
        Volume { data, apix: map.apix }
    }
}

/// How the map compares.
#[derive(Clone, Debug, PartialEq)]
pub struct AgainstMap {
    /// Correlation of map and back-projection in Fourier shells 0..=n/2, the map as it is.
    pub fsc: Vec<f64>,
    /// Last shell that counts in the scores: where the halves still agree.
    pub last_shell: usize,
    /// Score of the map as it is; its sign is that of the contrast.
    ///
    /// Scores are means of the shells' correlations, weighted by number of values and by what the data can show; 1 is the best.
    pub score: f64,
    /// Score to be expected of a perfect map, from the agreement of the halves.
    pub expected: f64,
    /// The position that fits best, by size of the score.
    pub best_position: Position,
    /// Its score.
    pub best_position_score: f64,
    /// Best score of the positions that mirror.
    pub mirrored_score: f64,
    /// Best score of those that do not.
    pub unmirrored_score: f64,
    /// (pixel size / the map's own, score) at the best position, from −10 to +10 %.
    pub scales: Vec<(f64, f64)>,
    /// Pixel size, Å, at which the map fits best (a parabola through the best and its neighbours).
    pub best_apix: f64,
    /// The map's own pixel size, Å.
    pub apix: f64,
    /// Score at the best pixel size and position.
    pub best_score: f64,
}

/// Weights of the shells, and the score expected of the truth.
struct Scores {
    weights: Vec<f64>,
    expected: f64,
}

impl Scores {
    /// `halves`: correlation of the half maps.
    fn new(halves: &[f64], last: usize) -> Self {
        // Correlation of the whole set's map with the truth.
        let reach: Vec<f64> = halves.iter().map(|f| (2.0 * f.max(0.0) / (1.0 + f.max(0.0))).sqrt()).collect();
        let weight = |k: usize| if (1..=last).contains(&k) { (k * k) as f64 * reach[k] } else { 0.0 };
        let weights: Vec<f64> = (0..halves.len()).map(weight).collect();
        let sum: f64 = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let weights: Vec<f64> = weights.iter().map(|w| w / sum).collect();
        let expected = weights.iter().zip(&reach).map(|(w, r)| w * r).sum();
        Self { weights, expected }
    }

    fn score(&self, fsc: &[f64]) -> f64 {
        fsc.iter().zip(&self.weights).map(|(f, w)| f * w).sum()
    }
}

/// Compares a map of any box with the back-projection.
pub(super) fn compare(halves: &Halves, map: &Volume, ball: &Volume) -> Result<AgainstMap> {
    let (n, apix) = (halves.full.box_px()?, halves.full.apix);
    let facts = map.statistics();
    if facts.non_finite > 0 || facts.std == 0.0 {
        return Err(Problem::input("holds no density, or values that are no numbers").hint("give the map that the poses come from"));
    }
    let last = last_shell_above(&halves.fsc, HALF_MAPS).unwrap_or(0).max(LEAST_SHELLS).min(n / 2);
    let scores = Scores::new(&halves.fsc, last);
    let correlate = |map: &Volume| fourier_shell_correlation(&halves.full, map, Some(ball));
    let score = |map: &Volume| Ok::<_, Problem>(scores.score(&correlate(map)?));

    let wide = map.resampled(2 * (0.5 * MARGIN * n as f64).ceil() as usize, apix)?;
    let plain = wide.cropped(n)?;
    let fsc = correlate(&plain)?;
    let given = scores.score(&fsc);
    let mut best = (Position::GIVEN, given);
    let (mut mirrored, mut unmirrored) = (0.0f64, given);
    for position in Position::all().filter(|p| *p != Position::GIVEN) {
        let found = score(&position.of(&plain))?;
        let of_hand = if position.mirrors() { &mut mirrored } else { &mut unmirrored };
        if found.abs() > of_hand.abs() {
            *of_hand = found;
        }
        if found.abs() > best.1.abs() {
            best = (position, found);
        }
    }
    let steps = (SCALE_RANGE / SCALE_STEP).round() as i32;
    let scales = (-steps..=steps)
        .map(|step| {
            let scale = 1.0 + f64::from(step) * SCALE_STEP;
            let scaled = Volume { data: wide.data.clone(), apix: apix * scale }.resampled(n, apix)?;
            Ok((scale, score(&best.0.of(&scaled))?))
        })
        .collect::<Result<Vec<_>>>()?;
    let (scale, best_score) = peak(&scales);
    Ok(AgainstMap {
        fsc,
        last_shell: last,
        score: given,
        expected: scores.expected,
        best_position: best.0,
        best_position_score: best.1,
        mirrored_score: mirrored,
        unmirrored_score: unmirrored,
        best_apix: map.apix * scale,
        apix: map.apix,
        scales,
        best_score,
    })
}

/// Place and height of the curve's largest size, refined by a parabola where it is not at the rim.
fn peak(curve: &[(f64, f64)]) -> (f64, f64) {
    let at = (0..curve.len()).max_by(|a, b| curve[*a].1.abs().total_cmp(&curve[*b].1.abs())).unwrap_or(0);
    let (x, y) = curve[at];
    if at == 0 || at + 1 == curve.len() {
        return (x, y);
    }
    let (left, right) = (curve[at - 1].1, curve[at + 1].1);
    let bend = left - 2.0 * y + right;
    if bend == 0.0 {
        return (x, y);
    }
    let offset = 0.5 * (left - right) / bend;
    (x + offset * (curve[at + 1].0 - x), y - 0.25 * (left - right) * offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_keep_the_centre_and_half_of_them_mirror() {
        for n in [6, 7] {
            let c = n / 2;
            let mut map = Volume::zeros(n, 1.0);
            map.data[[c, c, c]] = 1.0;
            map.data[[c + 1, c, c]] = 2.0;
            map.data[[c, c + 2, c]] = 3.0;
            for position in Position::all() {
                let moved = position.of(&map);
                assert!((moved.data[[c, c, c]] - 1.0).abs() < 1e-6, "{position:?}");
            }
            assert_eq!(Position::all().filter(Position::mirrors).count(), 24);
            let flip = Position { axes: [0, 1, 2], flipped: [true, false, false] };
            assert!(flip.mirrors() && (flip.of(&map).data[[c - 1, c, c]] - 2.0).abs() < 1e-6);
            let cycle = Position { axes: [1, 2, 0], flipped: [false; 3] };
            assert!(!cycle.mirrors());
        }
    }

    #[test]
    fn a_parabola_is_met() {
        let curve: Vec<(f64, f64)> = (0..5).map(|i| (f64::from(i), 2.0 - 0.1 * (f64::from(i) - 2.3).powi(2))).collect();
        let (x, y) = peak(&curve);
        assert!((x - 2.3).abs() < 1e-9 && (y - 2.0).abs() < 1e-9);
        assert_eq!(peak(&[(0.0, 3.0), (1.0, 1.0)]), (0.0, 3.0));
    }
}
