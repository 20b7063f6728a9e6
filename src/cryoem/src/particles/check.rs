//! Whether there are enough particles, and whether they were seen from everywhere.

use super::Particle;
use crate::healpix;
use contract::{Problem, Result};

/// Fewer particles than this are refused: no statistics can be made of them.
pub const MINIMUM_PARTICLES: usize = 32;

/// Fewer particles than this get a warning: the networks will rather learn the noise.
pub const FEW_PARTICLES: usize = 1000;

/// Views per pixel below which an empty pixel means nothing.
const VIEWS_PER_PIXEL: usize = 5;

/// Part of an even share of the views that a pixel must hold to count as filled (stray views from local searches do not fill it).
const FILLED: f64 = 0.1;

/// Part of the sphere below which views are called confined: C2, the smallest symmetry, leaves half.
const CONFINED: f64 = 0.6;

/// Tilts that span less than this are called constant, degrees.
const CONSTANT_TILT_DEG: f64 = 1e-3;

/// Refuses too few particles; a warning for few.
///
/// # Errors
/// There are fewer than [`MINIMUM_PARTICLES`].
pub fn check_count(particles: usize) -> Result<Option<String>> {
    if particles < MINIMUM_PARTICLES {
        return Err(Problem::input(format!(
            "{particles} particles are too few: at least {MINIMUM_PARTICLES} are needed, and thousands to learn from"
        ))
        .hint("give the particles of a whole consensus refinement"));
    }
    Ok((particles < FEW_PARTICLES).then(|| {
        format!("{particles} particles are few: fewer than {FEW_PARTICLES} rarely show how they differ, take the result with care")
    }))
}

/// Warnings about the views' directions.
pub(super) fn views(rows: &[Particle]) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(first) = rows.first() else { return warnings };
    if rows.iter().all(|row| row.rot_deg == first.rot_deg && row.tilt_deg == first.tilt_deg && row.psi_deg == first.psi_deg)
        && rows.len() > 1
    {
        warnings.push("every particle has the same orientation: these are not the poses of a refinement".to_owned());
        return warnings;
    }
    let (low, high) = rows.iter().fold((f64::MAX, f64::MIN), |(low, high), row| (low.min(row.tilt_deg), high.max(row.tilt_deg)));
    if high - low < CONSTANT_TILT_DEG && rows.len() > 1 {
        warnings.push(format!("every particle has the same tilt, {low}°: the views lie on a circle and cannot make a map without gaps"));
        return warnings;
    }
    if let Some((filled, pixels)) = filled_pixels(rows) {
        let part = filled as f64 / pixels as f64;
        if part < CONFINED {
            warnings.push(format!(
                "views fill {:.0}% of the sphere: if the particles were refined with a symmetry, expand it first (`relion_particle_symmetry_expand`); \
                 otherwise they prefer some directions, and what is seen from the others is learned badly",
                100.0 * part
            ));
        }
    }
    warnings
}

/// Filled and all HEALPix pixels of the finest division that the number of views allows; `None` for too few views.
fn filled_pixels(rows: &[Particle]) -> Option<(usize, usize)> {
    let nside = [4_u32, 2].into_iter().find(|nside| rows.len() >= VIEWS_PER_PIXEL * 12 * (nside * nside) as usize)?;
    let mut counts = vec![0_usize; 12 * (nside * nside) as usize];
    for row in rows {
        let pixel = healpix::pixel_of_angles(nside, polar_angle_rad(row.tilt_deg), longitude_rad(row));
        if let Some(count) = counts.get_mut(pixel as usize) {
            *count += 1;
        }
    }
    let enough = (FILLED * rows.len() as f64 / counts.len() as f64).max(1.0);
    Some((counts.iter().filter(|count| **count as f64 >= enough).count(), counts.len()))
}

/// Tilts may be written negative or above 180°.
fn polar_angle_rad(tilt_deg: f64) -> f64 {
    tilt_deg.to_radians().cos().clamp(-1.0, 1.0).acos()
}

/// Longitude of the view; a tilt on the far side of a pole turns it by half a circle.
fn longitude_rad(row: &Particle) -> f64 {
    let turn = if row.tilt_deg.to_radians().sin() < 0.0 { 180.0 } else { 0.0 };
    (row.rot_deg + turn).to_radians()
}
