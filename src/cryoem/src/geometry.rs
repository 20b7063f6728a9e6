//! Rotations: RELION's Euler angles and matrix, the original's view angles, and the local poses that training compares.
//!
//! A matrix A maps a point of the map (x, y, z in pixels from voxel n/2) to the image frame; the image is the sum along z there.
//! A = Rz(psi) · Ry(tilt) · Rz(rot), with Rz(t) = [[c, s, 0], [−s, c, 0], [0, 0, 1]] and Ry(t) = [[c, 0, −s], [0, 1, 0], [s, 0, c]].

use crate::healpix;
use crate::random::Random;
use std::f64::consts::TAU;

/// A 3×3 matrix, `[row][column]`.
pub type Matrix3 = [[f64; 3]; 3];

/// The identity.
pub const IDENTITY: Matrix3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// sin(tilt) below which rot and psi cannot be told apart in double precision.
const POLE: f64 = 1e-9;

/// `nside` of the original's pose hypotheses (pixels 1.8° wide).
const HYPOTHESES_NSIDE: u32 = 32;

/// RELION's Euler angles, degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Euler {
    /// First rotation, about z of the map.
    pub rot_deg: f64,
    /// Second rotation, about the new y.
    pub tilt_deg: f64,
    /// Third rotation, in the image plane.
    pub psi_deg: f64,
}

impl Euler {
    /// From the three angles, degrees.
    #[must_use]
    pub fn new(rot_deg: f64, tilt_deg: f64, psi_deg: f64) -> Self {
        Self { rot_deg, tilt_deg, psi_deg }
    }

    /// RELION's matrix.
    #[must_use]
    pub fn matrix(self) -> Matrix3 {
        multiply(
            &rotation_z(self.psi_deg.to_radians()),
            &multiply(&rotation_y(self.tilt_deg.to_radians()), &rotation_z(self.rot_deg.to_radians())),
        )
    }

    /// Angles of a rotation matrix: rot and psi in (−180, 180], tilt in [0, 180]; at the poles rot is 0.
    #[must_use]
    pub fn of_matrix(a: &Matrix3) -> Self {
        let sine = (a[0][2] * a[0][2] + a[1][2] * a[1][2]).sqrt();
        let tilt_deg = sine.atan2(a[2][2]).to_degrees();
        if sine > POLE {
            let rot_deg = a[2][1].atan2(a[2][0]).to_degrees();
            let psi_deg = a[1][2].atan2(-a[0][2]).to_degrees();
            Self { rot_deg, tilt_deg, psi_deg }
        } else {
            Self { rot_deg: 0.0, tilt_deg, psi_deg: a[0][1].atan2(a[1][1]).to_degrees() }
        }
    }
}

/// The original's angles: a view direction (phi, theta) and a turn of the image psi, degrees.
///
/// The matrix is Rz(−psi) · M, where M turns by theta about the axis (sin phi, cos phi, 0).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hopf {
    /// Azimuth of the view, in (−180, 180].
    pub phi_deg: f64,
    /// Polar angle of the view, in [0, 180].
    pub theta_deg: f64,
    /// Turn of the image.
    pub psi_deg: f64,
}

impl Hopf {
    /// Closed form: phi = 180 − rot, theta = tilt, psi = −(rot + psi).
    #[must_use]
    pub fn of_euler(euler: Euler) -> Self {
        let tilt = wrap_deg(euler.tilt_deg);
        // A negative tilt is the positive one seen from the other side, half a turn of rot and psi away.
        let (rot, tilt) = if tilt < 0.0 { (euler.rot_deg + 180.0, -tilt) } else { (euler.rot_deg, tilt) };
        Self { phi_deg: wrap_deg(180.0 - rot), theta_deg: tilt, psi_deg: wrap_deg(-(euler.rot_deg + euler.psi_deg)) }
    }

    /// Angles of a rotation matrix.
    #[must_use]
    pub fn of_matrix(a: &Matrix3) -> Self {
        Self::of_euler(Euler::of_matrix(a))
    }

    /// Euler angles of the same rotation: rot and psi in (−180, 180].
    #[must_use]
    pub fn euler(self) -> Euler {
        let rot_deg = 180.0 - self.phi_deg;
        Euler { rot_deg: wrap_deg(rot_deg), tilt_deg: self.theta_deg, psi_deg: wrap_deg(-self.psi_deg - rot_deg) }
    }

    /// RELION's matrix of the same rotation.
    #[must_use]
    pub fn matrix(self) -> Matrix3 {
        let (sine, cosine) = self.phi_deg.to_radians().sin_cos();
        multiply(&rotation_z(-self.psi_deg.to_radians()), &axis_angle([sine, cosine, 0.0], self.theta_deg.to_radians()))
    }

    /// View direction in the map's frame, the matrix' third row.
    #[must_use]
    pub fn direction(self) -> [f64; 3] {
        let (sine, cosine) = self.phi_deg.to_radians().sin_cos();
        let (sine_theta, cosine_theta) = self.theta_deg.to_radians().sin_cos();
        [-sine_theta * cosine, sine_theta * sine, cosine_theta]
    }

    /// HEALPix pixel of the view, nested numbering.
    #[must_use]
    pub fn pixel(self, nside: u32) -> u64 {
        healpix::pixel_of_angles(nside, self.theta_deg.to_radians(), self.phi_deg.to_radians())
    }

    /// One of the 48 view classes.
    #[must_use]
    pub fn view_class(self) -> usize {
        self.pixel(healpix::VIEW_CLASS_NSIDE) as usize
    }
}

/// Turn about z: [[c, s, 0], [−s, c, 0], [0, 0, 1]].
#[must_use]
pub fn rotation_z(angle_rad: f64) -> Matrix3 {
    let (s, c) = angle_rad.sin_cos();
    [[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]
}

/// Turn about y: [[c, 0, −s], [0, 1, 0], [s, 0, c]].
#[must_use]
pub fn rotation_y(angle_rad: f64) -> Matrix3 {
    let (s, c) = angle_rad.sin_cos();
    [[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]]
}

/// Counter-clockwise rotation about a unit axis (Rodrigues).
#[must_use]
pub fn axis_angle(axis: [f64; 3], angle_rad: f64) -> Matrix3 {
    let (s, c) = angle_rad.sin_cos();
    let [x, y, z] = axis;
    let t = 1.0 - c;
    [
        [c + t * x * x, t * x * y - s * z, t * x * z + s * y],
        [t * x * y + s * z, c + t * y * y, t * y * z - s * x],
        [t * x * z - s * y, t * y * z + s * x, c + t * z * z],
    ]
}

/// Matrix of a unit quaternion (w, x, y, z).
#[must_use]
pub fn of_quaternion([w, x, y, z]: [f64; 4]) -> Matrix3 {
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

/// a · b.
#[must_use]
pub fn multiply(a: &Matrix3, b: &Matrix3) -> Matrix3 {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

/// The inverse of a rotation.
#[must_use]
pub fn transpose(a: &Matrix3) -> Matrix3 {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

/// A · p.
#[must_use]
pub fn apply(a: &Matrix3, p: [f64; 3]) -> [f64; 3] {
    a.map(|row| row[0] * p[0] + row[1] * p[1] + row[2] * p[2])
}

/// Angle of the rotation that takes one pose to the other, degrees.
#[must_use]
pub fn angle_between_deg(a: &Matrix3, b: &Matrix3) -> f64 {
    let d = multiply(a, &transpose(b));
    let sine = 0.5 * ((d[2][1] - d[1][2]).powi(2) + (d[0][2] - d[2][0]).powi(2) + (d[1][0] - d[0][1]).powi(2)).sqrt();
    sine.atan2(0.5 * (d[0][0] + d[1][1] + d[2][2] - 1.0)).to_degrees()
}

/// A rotation, uniform over all.
pub fn random_rotation(random: &mut Random) -> Matrix3 {
    let q: [f64; 4] = std::array::from_fn(|_| random.normal());
    let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    of_quaternion(q.map(|v| v / norm))
}

/// A small rotation: axis uniform, angle |N(0, `sigma_deg`)|.
pub fn random_small_rotation(random: &mut Random, sigma_deg: f64) -> Matrix3 {
    let axis = random.direction();
    axis_angle(axis, (random.normal().abs() * sigma_deg).to_radians())
}

/// Local pose hypotheses: the identity first, then `count` rotations by `angle_deg` about axes spread evenly in the image plane, so that
/// their mean is the identity. A hypothesis of a particle is L · A. `count` 0 leaves the given pose alone.
#[must_use]
pub fn local_ring(count: usize, angle_deg: f64) -> Vec<Matrix3> {
    let ring = (0..count).map(|k| {
        let (sine, cosine) = (TAU * k as f64 / count as f64).sin_cos();
        axis_angle([cosine, sine, 0.0], angle_deg.to_radians())
    });
    std::iter::once(IDENTITY).chain(ring).collect()
}

/// The original's pose hypotheses of a view: the centres of the neighbours of its HEALPix pixel (`nside` 32), in ascending order, psi 0.
/// Eight of them, or seven at the 24 pixels where a neighbour is missing (the original puts a random view there). The pixel itself is
/// not among them; in training the original takes those of the pole (phi = theta = 0) as local rotations for every particle.
#[must_use]
pub fn healpix_hypotheses(phi_deg: f64, theta_deg: f64) -> Vec<Hopf> {
    let pixel = Hopf { phi_deg, theta_deg, psi_deg: 0.0 }.pixel(HYPOTHESES_NSIDE);
    let mut around: Vec<u64> = healpix::neighbours(HYPOTHESES_NSIDE, pixel).into_iter().flatten().collect();
    around.sort_unstable();
    around.dedup();
    around
        .into_iter()
        .map(|p| {
            let (theta, phi) = healpix::angles_of_pixel(HYPOTHESES_NSIDE, p);
            Hopf { phi_deg: wrap_deg(phi.to_degrees()), theta_deg: theta.to_degrees(), psi_deg: 0.0 }
        })
        .collect()
}

/// An angle in (−180, 180], degrees.
#[must_use]
pub fn wrap_deg(angle_deg: f64) -> f64 {
    let wrapped = angle_deg.rem_euclid(360.0);
    if wrapped > 180.0 { wrapped - 360.0 } else { wrapped }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(a: &Matrix3, b: &Matrix3) -> f64 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn angles_and_matrices_agree_both_ways() {
        let mut random = Random::new(3, 0);
        for _ in 0..500 {
            let a = random_rotation(&mut random);
            assert!(difference(&Euler::of_matrix(&a).matrix(), &a) < 1e-12);
            assert!(difference(&Hopf::of_matrix(&a).matrix(), &a) < 1e-12);
            assert!(difference(&Hopf::of_matrix(&a).euler().matrix(), &a) < 1e-12);
            let (direction, row) = (Hopf::of_matrix(&a).direction(), a[2]);
            assert!(direction.iter().zip(row).all(|(p, q)| (p - q).abs() < 1e-12));
            assert!(difference(&multiply(&a, &transpose(&a)), &IDENTITY) < 1e-14);
        }
        for euler in [Euler::new(30.0, 0.0, 40.0), Euler::new(30.0, 180.0, 40.0), Euler::new(10.0, -35.0, 5.0), Euler::new(0.0, 215.0, 9.0)]
        {
            let a = euler.matrix();
            assert!(difference(&Euler::of_matrix(&a).matrix(), &a) < 1e-12, "{euler:?}");
            assert!(difference(&Hopf::of_euler(euler).matrix(), &a) < 1e-12, "{euler:?}");
        }
    }

    #[test]
    fn the_ring_is_symmetric_and_holds_the_given_pose() {
        let ring = local_ring(6, 2.0);
        assert_eq!(ring[0], IDENTITY);
        assert!(ring[1..].iter().all(|r| (angle_between_deg(r, &IDENTITY) - 2.0).abs() < 1e-9));
        for column in 0..2 {
            assert!(ring.iter().map(|r| r[2][column]).sum::<f64>().abs() < 1e-12);
        }
        assert_eq!(local_ring(0, 2.0), vec![IDENTITY]);
    }

    #[test]
    fn random_rotations_cover_the_sphere_evenly() {
        let mut random = Random::new(9, 0);
        let mut counts = [0usize; 48];
        for _ in 0..9600 {
            counts[Hopf::of_matrix(&random_rotation(&mut random)).view_class()] += 1;
        }
        assert!(counts.iter().all(|&c| (130..280).contains(&c)), "{counts:?}");
        let mean = (0..4000).map(|_| angle_between_deg(&random_small_rotation(&mut random, 3.0), &IDENTITY)).sum::<f64>() / 4000.0;
        assert!((mean - 3.0 * (2.0 / std::f64::consts::PI).sqrt()).abs() < 0.1, "{mean}");
    }
}
