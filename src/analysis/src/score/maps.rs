//! Decoded maps against the true map of each particle's state.

use contract::{Problem, Result};
use cryoem::volume::{Volume, fourier_shell_correlation};
use std::collections::BTreeMap;

/// Scores maps decoded at particles' latents, one after another, so that no more than one need be in memory.
pub struct MapScorer {
    truths: BTreeMap<usize, Volume>,
    mask: Option<Volume>,
    reference_areas: BTreeMap<usize, f64>,
    areas: Vec<f64>,
    gains: Vec<f64>,
}

/// Areas under Fourier shell correlations (0 to 1: mean over shells 1 to half the box) with the true map of a particle's state.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MapScore {
    /// Maps scored.
    pub maps: usize,
    /// Mean area of the decoded maps.
    pub area_mean: f64,
    /// Median area of the decoded maps.
    pub area_median: f64,
    /// Mean area where every decoded map is replaced by the reference.
    pub reference_area_mean: f64,
    /// Mean gain over the reference: above 0 where the maps show their particles better than it does.
    pub gain_mean: f64,
    /// Share of maps that gain.
    pub better_share: f64,
}

impl MapScorer {
    /// `truths`: the true map of each state; `reference`: a map that knows no states (a consensus reconstruction, a base volume); `mask`: multiplied
    /// on all maps before they are compared. All cubes of one size.
    ///
    /// # Errors
    /// If sizes differ.
    pub fn new(truths: BTreeMap<usize, Volume>, reference: &Volume, mask: Option<Volume>) -> Result<Self> {
        let areas = truths.iter().map(|(&state, truth)| Ok((state, area(reference, truth, mask.as_ref())?)));
        let reference_areas = areas.collect::<Result<_>>()?;
        Ok(Self { truths, mask, reference_areas, areas: Vec::new(), gains: Vec::new() })
    }

    /// Compares a map decoded at a particle's latent with the true map of that particle's state, and hands back the area.
    ///
    /// # Errors
    /// If the state has no true map, or sizes differ.
    pub fn add(&mut self, decoded: &Volume, state: usize) -> Result<f64> {
        let truth = self.truths.get(&state).ok_or_else(|| Problem::input(format!("state {state} has no true map")))?;
        let area = area(decoded, truth, self.mask.as_ref())?;
        self.areas.push(area);
        self.gains.push(area - self.reference_areas[&state]);
        Ok(area)
    }

    /// The score of all maps added.
    ///
    /// # Errors
    /// If none was.
    pub fn finish(self) -> Result<MapScore> {
        /// A gain that is more than rounding.
        const REAL_GAIN: f64 = 1e-4;
        if self.areas.is_empty() {
            return Err(Problem::failed("no map was scored"));
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (area_mean, gain_mean) = (mean(&self.areas), mean(&self.gains));
        Ok(MapScore {
            maps: self.areas.len(),
            area_mean,
            area_median: crate::pca::percentiles(self.areas, &[50.0])[0],
            reference_area_mean: area_mean - gain_mean,
            gain_mean,
            better_share: self.gains.iter().filter(|&&gain| gain > REAL_GAIN).count() as f64 / self.gains.len() as f64,
        })
    }
}

/// Mean Fourier shell correlation, shells 1 to half the box.
fn area(a: &Volume, b: &Volume, mask: Option<&Volume>) -> Result<f64> {
    let shells = fourier_shell_correlation(a, b, mask)?;
    Ok(shells[1..].iter().sum::<f64>() / (shells.len() - 1).max(1) as f64)
}
