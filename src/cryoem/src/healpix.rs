//! HEALPix pixels of the sphere in the nested numbering (Górski et al. 2005, ApJ 622, 759).
//!
//! A pixel is a base face (0–3 north, 4–7 equator, 8–11 south) and a position (x, y) inside it, x growing to the north-east and y to the
//! north-west; nested numbers interleave the bits of x and y. `nside` is a power of two throughout.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

/// Row of a face's southern corner, in units of `nside` rings (paper, eq. 10–12).
const FACE_ROW: [i64; 12] = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4];
/// Longitude of a face's middle, in units of π/4.
const FACE_COLUMN: [i64; 12] = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7];
/// Steps (x, y) to the neighbours SW, W, NW, N, NE, E, SE, S.
const STEPS: [(i64, i64); 8] = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)];

/// `nside` of the view classes: 48 pixels, as in the original.
pub const VIEW_CLASS_NSIDE: u32 = 2;

/// The pixel that holds the direction of polar angle `theta_rad` (0 at the north pole) and longitude `phi_rad`.
#[must_use]
pub fn pixel_of_angles(nside: u32, theta_rad: f64, phi_rad: f64) -> u64 {
    let n = f64::from(nside);
    let (sine, z) = theta_rad.sin_cos();
    let quarter = (phi_rad / FRAC_PI_2).rem_euclid(4.0);
    let last = i64::from(nside) - 1;
    if z.abs() <= 2.0 / 3.0 {
        // Lines of constant x and y are straight in (longitude, z).
        let rising = (n * (0.5 + quarter - 0.75 * z)).floor() as i64;
        let falling = (n * (0.5 + quarter + 0.75 * z)).floor() as i64;
        let (face_rising, face_falling) = (rising / (last + 1), falling / (last + 1));
        let face = match face_rising.cmp(&face_falling) {
            std::cmp::Ordering::Equal => 4 + face_rising % 4,
            std::cmp::Ordering::Less => face_rising % 4,
            std::cmp::Ordering::Greater => 8 + face_falling % 4,
        };
        return number(nside, face, falling & last, last - (rising & last));
    }
    let face = (quarter as i64).min(3);
    let along = quarter - face as f64;
    // n·sqrt(3(1 − |z|)), written so that nothing cancels near the poles.
    let ring = n * sine.abs() * (3.0 / (1.0 + z.abs())).sqrt();
    let rising = ((along * ring) as i64).min(last);
    let falling = (((1.0 - along) * ring) as i64).min(last);
    if z > 0.0 { number(nside, face, last - falling, last - rising) } else { number(nside, face + 8, rising, falling) }
}

/// Polar angle and longitude of a pixel's centre, radians; longitude in [0, 2π).
#[must_use]
pub fn angles_of_pixel(nside: u32, pixel: u64) -> (f64, f64) {
    let n = i64::from(nside);
    let (face, x, y) = position(nside, pixel);
    let row = FACE_ROW[face] * n - x - y - 1;
    let (in_ring, theta) = if row < n {
        (row, polar_angle(row, n))
    } else if row > 3 * n {
        (4 * n - row, std::f64::consts::PI - polar_angle(4 * n - row, n))
    } else {
        (n, ((2 * n - row) as f64 * 2.0 / (3 * n) as f64).acos())
    };
    let column = (FACE_COLUMN[face] * in_ring + x - y).rem_euclid(8 * in_ring);
    (theta, FRAC_PI_4 * column as f64 / in_ring as f64)
}

/// The eight neighbours in the order SW, W, NW, N, NE, E, SE, S; `None` where three faces meet and there is no such neighbour.
#[must_use]
pub fn neighbours(nside: u32, pixel: u64) -> [Option<u64>; 8] {
    let (face, x, y) = position(nside, pixel);
    STEPS.map(|(dx, dy)| across(i64::from(nside), face as i64, x + dx, y + dy).map(|(face, x, y)| number(nside, face, x, y)))
}

/// Largest distance of a pixel's corner from its centre at this `nside`, radians.
#[must_use]
pub fn max_pixel_radius_rad(nside: u32) -> f64 {
    let n = f64::from(nside);
    let at = |z: f64, phi: f64| {
        let r = (1.0 - z * z).sqrt();
        [r * phi.cos(), r * phi.sin(), z]
    };
    // The widest pixel lies at the rim of the polar cap.
    let (a, b) = (at(2.0 / 3.0, FRAC_PI_4 / n), at(1.0 - (1.0 - 1.0 / n).powi(2) / 3.0, 0.0));
    let cross = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let dot: f64 = a.iter().zip(b).map(|(p, q)| p * q).sum();
    cross.iter().map(|c| c * c).sum::<f64>().sqrt().atan2(dot)
}

/// Polar angle of ring `row` of the north cap: 1 − cos θ = row² / 3n².
fn polar_angle(row: i64, n: i64) -> f64 {
    let depth = (row * row) as f64 / (3 * n * n) as f64;
    (depth * (2.0 - depth)).sqrt().atan2(1.0 - depth)
}

/// Position (x, y), at most one step outside `face`, in terms of the face that holds it.
fn across(n: i64, face: i64, x: i64, y: i64) -> Option<(i64, i64, i64)> {
    let side = |v: i64| if v < 0 { -1 } else { i64::from(v >= n) };
    let (band, i) = (face / 4, face % 4);
    let (next, previous, opposite) = ((i + 1) % 4, (i + 3) % 4, (i + 2) % 4);
    let found = match (band, side(x), side(y)) {
        (_, 0, 0) => (face, x, y),
        (0, 1, 0) => (next, y, 2 * n - 1 - x),
        (0, 0, 1) => (previous, 2 * n - 1 - y, x),
        (0, -1, 0) => (4 + i, x + n, y),
        (0, 0, -1) => (4 + next, x, y + n),
        (0, 1, 1) => (opposite, 2 * n - 1 - x, 2 * n - 1 - y),
        (0, -1, -1) => (8 + i, x + n, y + n),
        (1, 1, 0) => (i, x - n, y),
        (1, 0, 1) => (previous, x, y - n),
        (1, -1, 0) => (8 + previous, x + n, y),
        (1, 0, -1) => (8 + i, x, y + n),
        (1, -1, 1) => (4 + previous, x + n, y - n),
        (1, 1, -1) => (4 + next, x - n, y + n),
        (2, 1, 0) => (4 + next, x - n, y),
        (2, 0, 1) => (4 + i, x, y - n),
        (2, 0, -1) => (8 + next, -1 - y, x),
        (2, -1, 0) => (8 + previous, y, -1 - x),
        (2, -1, -1) => (8 + opposite, -1 - x, -1 - y),
        (2, 1, 1) => (i, x - n, y - n),
        _ => return None,
    };
    Some(found)
}

fn number(nside: u32, face: i64, x: i64, y: i64) -> u64 {
    let n = u64::from(nside);
    face as u64 * n * n + spread(x as u64) + 2 * spread(y as u64)
}

fn position(nside: u32, pixel: u64) -> (usize, i64, i64) {
    let per_face = u64::from(nside) * u64::from(nside);
    let inside = pixel % per_face;
    ((pixel / per_face) as usize % 12, gather(inside) as i64, gather(inside >> 1) as i64)
}

/// Puts the bits of a number at the even places.
fn spread(v: u64) -> u64 {
    (0..29).fold(0, |out, bit| out | ((v >> bit) & 1) << (2 * bit))
}

/// Reads the bits at the even places.
fn gather(v: u64) -> u64 {
    (0..29).fold(0, |out, bit| out | ((v >> (2 * bit)) & 1) << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_lie_in_their_pixels() {
        for nside in [1, 2, 8, 32] {
            for pixel in 0..12 * u64::from(nside) * u64::from(nside) {
                let (theta, phi) = angles_of_pixel(nside, pixel);
                assert_eq!(pixel_of_angles(nside, theta, phi), pixel, "nside {nside}");
                assert_eq!(pixel_of_angles(nside, theta, phi - 4.0 * FRAC_PI_2), pixel, "nside {nside}, other turn");
            }
        }
    }

    #[test]
    fn neighbours_are_near_mutual_and_missing_at_24_places_only() {
        let nside = 8;
        let mut missing = 0;
        for pixel in 0..12 * 64 {
            let around = neighbours(nside, pixel);
            missing += around.iter().filter(|p| p.is_none()).count();
            for other in around.into_iter().flatten() {
                assert!(neighbours(nside, other).contains(&Some(pixel)), "{pixel} and {other}");
                let unit = |p| {
                    let (theta, phi) = angles_of_pixel(nside, p);
                    [theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()]
                };
                let dot: f64 = unit(pixel).iter().zip(unit(other)).map(|(a, b)| a * b).sum();
                assert!(dot.acos() < 2.0 * max_pixel_radius_rad(nside), "{pixel} and {other}");
            }
        }
        assert_eq!(missing, 24);
    }

    #[test]
    fn widest_pixel_of_nside_32() {
        assert!((max_pixel_radius_rad(32) - 0.033_206_7).abs() < 5e-8);
    }
}
