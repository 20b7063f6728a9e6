//! Mean and deviation of every voxel over many maps, without holding them.

use super::Volume;
use contract::{Problem, Result};
use ndarray::{Array3, Zip};

/// Sums over the maps that were added (Welford's recurrence: no loss for maps that differ little).
#[derive(Clone, Debug)]
pub struct Variability {
    apix: f64,
    weight: f64,
    mean: Array3<f64>,
    squares: Array3<f64>,
}

impl Variability {
    /// For maps of this box (voxels) and voxel size (Å).
    #[must_use]
    pub fn new(box_px: usize, apix: f64) -> Self {
        let zeros = Array3::zeros((box_px, box_px, box_px));
        Self { apix, weight: 0.0, mean: zeros.clone(), squares: zeros }
    }

    /// Adds a map that stands for `weight` particles.
    ///
    /// # Errors
    /// The map has another box, or the weight is negative or no number.
    pub fn push(&mut self, map: &Volume, weight: f64) -> Result<()> {
        if map.data.dim() != self.mean.dim() || weight.is_nan() || weight < 0.0 {
            let what = format!("a map of {:?} voxels and weight {weight} among maps of {:?}", map.data.dim(), self.mean.dim());
            return Err(Problem::failed(what));
        }
        if weight == 0.0 {
            return Ok(());
        }
        self.weight += weight;
        let share = weight / self.weight;
        Zip::from(&mut self.mean).and(&mut self.squares).and(&map.data).par_for_each(|mean, squares, &v| {
            let off = f64::from(v) - *mean;
            *mean += share * off;
            *squares += weight * off * (f64::from(v) - *mean);
        });
        Ok(())
    }

    /// The weighted mean.
    ///
    /// # Errors
    /// No map was added.
    pub fn mean(&self) -> Result<Volume> {
        self.known()?;
        Ok(Volume { data: self.mean.mapv(|v| v as f32), apix: self.apix })
    }

    /// Standard deviation of every voxel over the maps (of the population).
    ///
    /// # Errors
    /// No map was added.
    pub fn deviation(&self) -> Result<Volume> {
        self.known()?;
        Ok(Volume { data: self.squares.mapv(|v| (v / self.weight).max(0.0).sqrt() as f32), apix: self.apix })
    }

    fn known(&self) -> Result<()> {
        if self.weight > 0.0 { Ok(()) } else { Err(Problem::failed("no map was added of which a mean could be taken")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighted_moments_are_exact_far_from_zero() {
        let mut all = Variability::new(2, 1.5);
        assert!(all.mean().is_err());
        let values = [(1000.1f32, 1.0), (1000.3, 3.0), (999.8, 2.0), (5.0, 0.0)];
        for (v, w) in values {
            all.push(&Volume { data: Array3::from_elem((2, 2, 2), v), apix: 1.5 }, w).unwrap();
        }
        let total: f64 = values.iter().map(|v| v.1).sum();
        let mean = values.iter().map(|(v, w)| f64::from(*v) * w).sum::<f64>() / total;
        let variance = values.iter().map(|(v, w)| (f64::from(*v) - mean).powi(2) * w).sum::<f64>() / total;
        assert!((f64::from(all.mean().unwrap().data[[1, 0, 1]]) - mean).abs() < 1e-4);
        assert!((f64::from(all.deviation().unwrap().data[[0, 0, 1]]) - variance.sqrt()).abs() < 1e-6);
        assert!(all.push(&Volume::zeros(3, 1.5), 1.0).is_err() && all.push(&Volume::zeros(2, 1.5), -1.0).is_err());
    }
}
