//! What is to be simulated.

use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Everything that shapes a simulated set. The same options give the same files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulateOptions {
    /// What is seen.
    pub specimen: Specimen,
    /// Number of particles.
    pub particles: usize,
    /// Optics groups; micrographs take turns among them.
    pub groups: Vec<Optics>,
    /// How the particles spread over the states.
    pub states: States,
    /// Variance of the CTF-affected signal over variance of the noise, both inside the circle that fits the image; 0: no noise.
    pub snr: f64,
    /// Colour of the noise.
    pub noise: Noise,
    /// Directions of view.
    pub views: Views,
    /// Standard deviation of the particles' offsets from their box centres, pixels (cut at three).
    pub shift_px: f64,
    /// Standard deviation of the angular errors that the STAR file's poses carry, degrees.
    pub pose_error_deg: f64,
    /// Standard deviation of the errors of the STAR file's origins along each axis, pixels.
    pub shift_error_px: f64,
    /// Smallest and largest defocus of a micrograph, Å.
    pub defocus_angstrom: [f64; 2],
    /// Standard deviation of defocus U − V over micrographs, Å.
    pub astigmatism_angstrom: f64,
    /// Smallest and largest phase shift of a micrograph, degrees.
    pub phase_shift_deg: [f64; 2],
    /// B-factor of the contrast transfer function, Å².
    pub b_factor_angstrom2: f64,
    /// Whether images are seen through the contrast transfer function (the STAR file lists one either way).
    pub ctf: bool,
    /// Particles a micrograph.
    pub per_micrograph: usize,
    /// Images have mean 0 and standard deviation 1 outside this radius, in box sides.
    pub background_radius: f64,
    /// Which generation of STAR file.
    pub star: StarVersion,
    /// Write half-precision stacks (MRC mode 12).
    pub half_precision: bool,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        Self {
            specimen: Specimen::default(),
            particles: 1000,
            groups: vec![Optics::default()],
            states: States::Uniform,
            snr: 0.1,
            noise: Noise::White,
            views: Views::Uniform,
            shift_px: 1.0,
            pose_error_deg: 0.0,
            shift_error_px: 0.0,
            defocus_angstrom: [5000.0, 12000.0],
            astigmatism_angstrom: 200.0,
            phase_shift_deg: [0.0, 0.0],
            b_factor_angstrom2: 0.0,
            ctf: true,
            per_micrograph: 50,
            background_radius: 0.45,
            star: StarVersion::Relion31,
            half_precision: false,
            seed: 1,
        }
    }
}

/// What is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Specimen {
    /// The built-in phantom.
    Phantom {
        /// What moves.
        motion: Motion,
        /// Positions of the arm between its ends, where it swings.
        positions: usize,
        /// Extent, Å; `None`: 0.62 of the first group's box.
        diameter_angstrom: Option<f64>,
        /// Width of the Gaussians, Å; `None`: the larger of 0.8 pixels and 0.035 of the diameter.
        sigma_angstrom: Option<f64>,
    },
    /// Maps (MRC), a state each, in the order of their coordinate.
    Volumes(Vec<PathBuf>),
}

impl Default for Specimen {
    fn default() -> Self {
        Self::Phantom { motion: Motion::default(), positions: 20, diameter_angstrom: None, sigma_angstrom: None }
    }
}

/// What moves in the phantom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Motion {
    /// Nothing: a homogeneous set.
    None,
    /// The arm swings.
    #[default]
    Arm,
    /// The part comes and goes.
    Part,
    /// Both, independently; state = 2 · position + (part there).
    Both,
}

/// An optics group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optics {
    /// Side of the images, pixels (even).
    pub box_px: usize,
    /// Pixel size, Å.
    pub apix: f64,
    /// Voltage, kV.
    pub voltage_kv: f64,
    /// Spherical aberration, mm.
    pub cs_mm: f64,
    /// Amplitude contrast.
    pub amplitude_contrast: f64,
}

impl Default for Optics {
    fn default() -> Self {
        Self { box_px: 64, apix: 1.6, voltage_kv: 300.0, cs_mm: 2.7, amplitude_contrast: 0.1 }
    }
}

/// How particles spread over the states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum States {
    /// Evenly.
    Uniform,
    /// Most near both ends of the coordinate, few between.
    Bimodal,
    /// In these proportions, a number a state.
    Weights(Vec<f64>),
}

/// Colour of the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// White.
    White,
    /// More power at low frequencies, as ice and background give it.
    Coloured,
}

/// Directions of view.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// All alike.
    Uniform,
    /// Four fifths of the particles in von Mises–Fisher caps about +z and +x.
    Preferred {
        /// Concentration of the caps; 6 gives caps some 25° wide.
        kappa: f64,
    },
}

/// Generation of STAR file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StarVersion {
    /// One table, optics in every row, origins in pixels.
    Relion30,
    /// Optics groups, origins in Å.
    Relion31,
}

impl SimulateOptions {
    /// Refuses what cannot be simulated.
    ///
    /// # Errors
    /// The first value that is out of range, by name.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, what: String| Err(Problem::input(what).at(format!("`{name}`")));
        if self.particles == 0 {
            return refuse("particles", "is 0".into());
        }
        if self.groups.is_empty() {
            return refuse("groups", "holds no optics group".into());
        }
        for (i, group) in self.groups.iter().enumerate() {
            if group.box_px < 8 || !group.box_px.is_multiple_of(2) {
                return refuse("groups", format!("box of group {} is {} pixels, even and at least 8 is needed", i + 1, group.box_px));
            }
            for (what, value) in [("pixel size", group.apix), ("voltage", group.voltage_kv)] {
                if value.is_nan() || value <= 0.0 {
                    return refuse("groups", format!("{what} of group {} is {value}", i + 1));
                }
            }
            if !(0.0..1.0).contains(&group.amplitude_contrast) {
                return refuse("groups", format!("amplitude contrast of group {} is {}", i + 1, group.amplitude_contrast));
            }
        }
        let not_negative = [
            ("snr", self.snr),
            ("shift_px", self.shift_px),
            ("pose_error_deg", self.pose_error_deg),
            ("shift_error_px", self.shift_error_px),
            ("astigmatism_angstrom", self.astigmatism_angstrom),
            ("b_factor_angstrom2", self.b_factor_angstrom2),
        ];
        if let Some((name, value)) = not_negative.into_iter().find(|(_, v)| !v.is_finite() || *v < 0.0) {
            return refuse(name, format!("is {value}, 0 or more is needed"));
        }
        if self.per_micrograph == 0 {
            return refuse("per_micrograph", "is 0".into());
        }
        if !(0.1..0.6).contains(&self.background_radius) {
            return refuse("background_radius", format!("is {}, 0.1 to 0.6 box sides are possible", self.background_radius));
        }
        for (name, [low, high]) in [("defocus_angstrom", self.defocus_angstrom), ("phase_shift_deg", self.phase_shift_deg)] {
            if !low.is_finite() || !high.is_finite() || low > high {
                return refuse(name, format!("runs from {low} to {high}"));
            }
        }
        match &self.specimen {
            Specimen::Volumes(paths) if paths.is_empty() => refuse("specimen", "names no map".into()),
            Specimen::Phantom { positions: 0, .. } => refuse("positions", "is 0".into()),
            _ => Ok(()),
        }
    }
}
