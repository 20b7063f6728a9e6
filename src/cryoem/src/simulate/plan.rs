//! What every particle is: its state, pose, optics and the errors of what the STAR file says. Drawn before any image is made.

use super::options::{SimulateOptions, States, Views};
use crate::ctf::Ctf;
use crate::geometry::{self, Euler, Matrix3};
use crate::random::Random;

/// Purposes that random numbers are drawn for; each has its own streams.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Draw {
    State,
    Pose,
    Shift,
    Micrograph,
    Defocus,
    PoseError,
    ShiftError,
    Noise,
    Half,
    Coordinates,
}

/// The sequence of a purpose and an index.
pub(super) fn draw(seed: u64, purpose: Draw, index: usize) -> Random {
    Random::keyed(seed, &[purpose as u64, index as u64])
}

/// A particle.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) state: usize,
    pub(super) micrograph: usize,
    pub(super) group: usize,
    pub(super) truth: Euler,
    /// RELION's origin: the particle lies at minus this, pixels.
    pub(super) true_origin_px: [f64; 2],
    /// What the STAR file says.
    pub(super) given: Euler,
    pub(super) given_origin_px: [f64; 2],
    pub(super) pose_error_deg: f64,
    pub(super) ctf: Ctf,
    pub(super) half: usize,
    pub(super) coordinates_px: [f64; 2],
}

impl Planned {
    pub(super) fn rotation(&self) -> Matrix3 {
        self.truth.matrix()
    }
}

/// Defocus differs within a micrograph by this standard deviation, Å.
const DEFOCUS_SPREAD_ANGSTROM: f64 = 100.0;
/// Origins are cut at this many standard deviations.
const SHIFT_CUT: f64 = 3.0;
/// Share of the particles in preferred views' caps.
const PREFERRED_SHARE: f64 = 0.8;

/// Plans all particles; `coordinates` are the states' positions along the reaction coordinate.
pub(super) fn plan(options: &SimulateOptions, coordinates: &[f64]) -> Vec<Planned> {
    let weights = weights(&options.states, coordinates);
    let halves = draw(options.seed, Draw::Half, 0).permutation(options.particles);
    (0..options.particles).map(|i| particle(options, &weights, i, halves[i] % 2 + 1)).collect()
}

fn weights(states: &States, coordinates: &[f64]) -> Vec<f64> {
    // Two populated ends and a thin middle; centres and widths as in common benchmark sets.
    let hill = |t: f64, centre: f64| (-0.5 * ((t - centre) / 0.12).powi(2)).exp();
    match states {
        States::Uniform => vec![1.0; coordinates.len()],
        States::Bimodal => coordinates.iter().map(|&t| hill(t, 0.15) + 0.7 * hill(t, 0.85) + 0.05).collect(),
        States::Weights(weights) => weights.clone(),
    }
}

fn particle(options: &SimulateOptions, weights: &[f64], i: usize, half: usize) -> Planned {
    let seed = options.seed;
    let micrograph = i / options.per_micrograph;
    let group = micrograph % options.groups.len();
    let optics = options.groups[group];

    let mut field = draw(seed, Draw::Micrograph, micrograph);
    let defocus = field.range(options.defocus_angstrom[0], options.defocus_angstrom[1]);
    let astigmatism = (options.astigmatism_angstrom * field.normal()).abs();
    let defocus_angle_deg = field.range(0.0, 180.0);
    let phase_shift_deg = field.range(options.phase_shift_deg[0], options.phase_shift_deg[1]);
    let defocus = defocus + DEFOCUS_SPREAD_ANGSTROM * draw(seed, Draw::Defocus, i).normal();

    let truth = view(options.views, &mut draw(seed, Draw::Pose, i));
    let mut shift = draw(seed, Draw::Shift, i);
    let true_origin_px: [f64; 2] = std::array::from_fn(|_| options.shift_px * shift.normal().clamp(-SHIFT_CUT, SHIFT_CUT));
    let (given, pose_error_deg) = if options.pose_error_deg > 0.0 {
        let error = geometry::random_small_rotation(&mut draw(seed, Draw::PoseError, i), options.pose_error_deg);
        let wrong = geometry::multiply(&error, &truth.matrix());
        (Euler::of_matrix(&wrong), geometry::angle_between_deg(&wrong, &truth.matrix()))
    } else {
        (truth, 0.0)
    };
    let mut shift_error = draw(seed, Draw::ShiftError, i);
    let given_origin_px = true_origin_px.map(|o| o + options.shift_error_px * shift_error.normal());
    let mut place = draw(seed, Draw::Coordinates, i);
    Planned {
        state: draw(seed, Draw::State, i).weighted(weights),
        micrograph,
        group,
        truth,
        true_origin_px,
        given,
        given_origin_px,
        pose_error_deg,
        ctf: Ctf {
            defocus_u_angstrom: defocus + 0.5 * astigmatism,
            defocus_v_angstrom: defocus - 0.5 * astigmatism,
            defocus_angle_deg,
            voltage_kv: optics.voltage_kv,
            cs_mm: optics.cs_mm,
            amplitude_contrast: optics.amplitude_contrast,
            phase_shift_deg,
            b_factor_angstrom2: options.b_factor_angstrom2,
            scale: 1.0,
        },
        half,
        // A field of 4,096 pixels, without its rim.
        coordinates_px: std::array::from_fn(|_| place.range(100.0, 3900.0)),
    }
}

fn view(views: Views, random: &mut Random) -> Euler {
    let (rot, psi) = (random.range(-180.0, 180.0), random.range(-180.0, 180.0));
    let tilt = random.range(-1.0, 1.0).acos().to_degrees();
    let Views::Preferred { kappa } = views else { return Euler::new(rot, tilt, psi) };
    let (which, height) = (random.uniform(), random.range((-2.0 * kappa).exp(), 1.0));
    let cosine = (1.0 + height.ln() / kappa).clamp(-1.0, 1.0);
    let sine = (1.0 - cosine * cosine).sqrt();
    let (s, c) = random.range(0.0, std::f64::consts::TAU).sin_cos();
    let cap = [sine * c, sine * s, cosine];
    if which >= PREFERRED_SHARE {
        return Euler::new(rot, tilt, psi);
    }
    // Half of all particles look along +z, the others of the share along +x.
    let [x, y, z] = if which < 0.5 { cap } else { [cap[2], cap[0], cap[1]] };
    Euler::new(y.atan2(x).to_degrees(), z.clamp(-1.0, 1.0).acos().to_degrees(), psi)
}
