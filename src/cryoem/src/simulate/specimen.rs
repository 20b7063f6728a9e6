//! The specimen's states, as Gaussians or as maps.

use super::options::{Motion, Optics, SimulateOptions, Specimen};
use super::phantom::{Gaussians, phantom};
use super::slicer::Slicer;
use crate::geometry::Matrix3;
use crate::mrc::read_volume;
use crate::volume::Volume;
use contract::{Problem, Result};
use ndarray::Array2;

/// The phantom's extent, in sides of the first group's box: leaves room for its swing, its shift and the CTF's spread.
const PHANTOM_EXTENT: f64 = 0.62;

/// All states.
pub(super) struct Model {
    /// Position of each state along the reaction coordinate, 0..1.
    pub(super) coordinates: Vec<f64>,
    states: States,
}

enum States {
    Gaussians(Vec<Gaussians>),
    Maps(Vec<Volume>),
}

impl Model {
    pub(super) fn new(options: &SimulateOptions) -> Result<Self> {
        match &options.specimen {
            Specimen::Phantom { motion, positions, diameter_angstrom, sigma_angstrom } => {
                let first = options.groups[0];
                let diameter = diameter_angstrom.unwrap_or(PHANTOM_EXTENT * first.box_px as f64 * first.apix);
                // Wide enough that neighbouring Gaussians merge, and that no group's pixels alias them.
                let coarsest = options.groups.iter().map(|g| g.apix).fold(0.0, f64::max);
                let sigma = sigma_angstrom.unwrap_or((0.8 * coarsest).max(0.035 * diameter));
                let usable = |v: f64| v.is_finite() && v > 0.0;
                if !usable(diameter) || !usable(sigma) {
                    return Err(Problem::input(format!("phantom of {diameter} Å made of Gaussians of {sigma} Å")).at("`specimen`"));
                }
                Ok(Self::phantom(*motion, *positions, diameter, sigma))
            }
            Specimen::Volumes(paths) => {
                let maps = paths.iter().map(|p| Ok(read_volume(p)?.or_apix(options.groups[0].apix))).collect::<Result<Vec<_>>>()?;
                for (map, path) in maps.iter().zip(paths) {
                    map.box_px().map_err(|p| p.at(path.display().to_string()))?;
                }
                Ok(Self { coordinates: even_steps(maps.len()), states: States::Maps(maps) })
            }
        }
    }

    fn phantom(motion: Motion, positions: usize, diameter: f64, sigma: f64) -> Self {
        let steps = even_steps(positions);
        // (arm, part) of every state, and its coordinate.
        let (shapes, coordinates): (Vec<(f64, bool)>, Vec<f64>) = match motion {
            Motion::None => (vec![(0.5, true)], vec![0.0]),
            Motion::Arm => (steps.iter().map(|&t| (t, true)).collect(), steps),
            Motion::Part => (vec![(0.5, false), (0.5, true)], vec![0.0, 1.0]),
            Motion::Both => {
                let shapes = steps.iter().flat_map(|&t| [(t, false), (t, true)]).collect();
                (shapes, steps.iter().flat_map(|&t| [t, t]).collect())
            }
        };
        let states = shapes.into_iter().map(|(t, part)| phantom(t, part, diameter, sigma)).collect();
        Self { coordinates, states: States::Gaussians(states) }
    }

    /// A state's density.
    pub(super) fn volume(&self, state: usize, box_px: usize, apix: f64) -> Result<Volume> {
        match &self.states {
            States::Gaussians(states) => Ok(states[state].volume(box_px, apix)),
            States::Maps(maps) => maps[state].resampled(box_px, apix),
        }
    }

    /// What projects the states onto a group's images.
    pub(super) fn projector(&self, optics: Optics) -> Result<Projector<'_>> {
        let Optics { box_px, apix, .. } = optics;
        Ok(match &self.states {
            States::Gaussians(states) => Projector::Gaussians { states, box_px, apix },
            States::Maps(maps) => {
                Projector::Maps(maps.iter().map(|m| Slicer::new(&m.resampled(box_px, apix)?)).collect::<Result<Vec<_>>>()?)
            }
        })
    }
}

/// Projects the states onto the images of an optics group.
pub(super) enum Projector<'a> {
    Gaussians { states: &'a [Gaussians], box_px: usize, apix: f64 },
    Maps(Vec<Slicer>),
}

impl Projector<'_> {
    pub(super) fn project(&self, state: usize, rotation: &Matrix3, shift_px: [f64; 2]) -> Array2<f32> {
        match self {
            Self::Gaussians { states, box_px, apix } => states[state].projection(rotation, shift_px, *box_px, *apix),
            Self::Maps(slicers) => slicers[state].projection(rotation, shift_px),
        }
    }
}

fn even_steps(n: usize) -> Vec<f64> {
    (0..n).map(|i| if n > 1 { i as f64 / (n - 1) as f64 } else { 0.0 }).collect()
}
