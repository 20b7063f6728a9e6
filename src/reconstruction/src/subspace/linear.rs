//! The fitted linear model by itself: scores of any images that are prepared alike, and its file.

use super::expectation::Posterior;
use super::observations::Observations;
use crate::Particles;
use crate::lattice::Lattice;
use contract::{Problem, Result};
use cryoem::volume::Volume;
use ndarray::{Array2, Array3};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Particles held at a time while they are scored.
const BLOCK: usize = 2_048;
/// Extents of the images and of the model that agree to this part are one.
const SAME_EXTENT: f64 = 1e-6;

/// What scores are computed with.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearModel {
    /// Base volume on the grid that the components were learned on, in its own grey scale.
    pub base: Volume,
    /// Grey scale of the base volume that fits the images best.
    pub base_scale: f64,
    /// Component maps in the images' grey scale, on the same grid; strongest first.
    pub components: Vec<Volume>,
    /// Inverse noise power of the images' Fourier rings, of what the base leaves.
    pub inverse_noise: Vec<f32>,
}

impl LinearModel {
    /// Posterior means of all particles, `[particles, components]`, in units of the prior's standard deviation; streamed a block at a time. Each
    /// depends on its own image alone.
    ///
    /// # Errors
    /// The images have another extent than the model, or one cannot be read.
    pub fn score(&self, set: &dyn Particles) -> Result<Array2<f32>> {
        let (grid, apix) = (self.base.box_px()?, self.base.apix);
        let (own, expected) = (set.size_px() as f64 * set.apix(), grid as f64 * apix);
        if (own / expected - 1.0).abs() > SAME_EXTENT || set.size_px() < grid {
            return Err(Problem::input(format!("images of {own:.3} Å do not fit a model of {expected:.3} Å"))
                .at("scores")
                .hint("prepare the particles as in the job that trained the model"));
        }
        let lattice = Lattice::new(grid);
        let maps: Vec<Array3<f32>> = self.components.iter().map(|map| map.data.clone()).collect();
        let maps = lattice.spectra(&maps);
        let base = lattice.spectra(std::slice::from_ref(&self.base.data));
        let mut scores = Array2::zeros((set.len(), self.components.len()));
        let all: Vec<usize> = (0..set.len()).collect();
        for block in all.chunks(BLOCK) {
            let mut observations = Observations::gather(set, &lattice, apix, block)?;
            observations.subtract(&lattice, &base, self.base_scale as f32);
            observations.weigh_as(&lattice, &self.inverse_noise);
            let posterior = Posterior::of(&observations, &lattice, &maps, self.components.len());
            for (row, &i) in block.iter().enumerate() {
                scores.row_mut(i).iter_mut().zip(posterior.mean(row)).for_each(|(s, m)| *s = *m as f32);
            }
        }
        Ok(scores)
    }

    /// The model as a safetensors file: `base` f32 `[n, n, n]`, `components` f32 `[k, n, n, n]`, `inverse_noise` f32 `[n/2 + 1]`, `apix` (Å) and
    /// `base_scale` f64 `[1]`.
    ///
    /// # Errors
    /// The maps are of several sizes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let n = self.base.box_px()?;
        let singles = |values: &mut dyn Iterator<Item = &f32>| values.flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let tensors = [
            ("base", Dtype::F32, vec![n, n, n], singles(&mut self.base.data.iter())),
            (
                "components",
                Dtype::F32,
                vec![self.components.len(), n, n, n],
                singles(&mut self.components.iter().flat_map(|map| map.data.iter())),
            ),
            ("inverse_noise", Dtype::F32, vec![self.inverse_noise.len()], singles(&mut self.inverse_noise.iter())),
            ("apix", Dtype::F64, vec![1], self.base.apix.to_le_bytes().to_vec()),
            ("base_scale", Dtype::F64, vec![1], self.base_scale.to_le_bytes().to_vec()),
        ];
        let failed = |e: safetensors::SafeTensorError| Problem::failed(format!("the linear model cannot be written: {e}"));
        let views =
            tensors.iter().map(|(name, dtype, shape, bytes)| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes).map_err(failed)?)));
        safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(failed)
    }

    /// The model of [`Self::to_bytes`].
    ///
    /// # Errors
    /// It is another file, or cut off.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let wrong =
            |what: &dyn std::fmt::Display| Problem::input(format!("is no linear model: {what}")).hint("let the trained job write it again");
        let file = SafeTensors::deserialize(bytes).map_err(|e| wrong(&e))?;
        let tensor = |name: &str, dtype: Dtype, rank: usize| {
            let view = file.tensor(name).map_err(|e| wrong(&e))?;
            let right = view.dtype() == dtype && view.shape().len() == rank;
            if right { Ok(view) } else { Err(wrong(&format!("`{name}` is {:?} {:?}", view.dtype(), view.shape()))) }
        };
        let number = |name: &str| -> Result<f64> {
            let view = tensor(name, Dtype::F64, 1)?;
            view.data().first_chunk().map(|b| f64::from_le_bytes(*b)).ok_or_else(|| wrong(&format!("`{name}` is empty")))
        };
        let singles = |data: &[u8]| data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<f32>>();
        let (base, components) = (tensor("base", Dtype::F32, 3)?, tensor("components", Dtype::F32, 4)?);
        let n = base.shape()[0];
        let inverse_noise = singles(tensor("inverse_noise", Dtype::F32, 1)?.data());
        if n == 0 || base.shape() != [n; 3] || components.shape()[1..] != [n; 3] || inverse_noise.len() != n / 2 + 1 {
            return Err(wrong(&"its maps and noise are of several sizes"));
        }
        let apix = number("apix")?;
        let map = |values: &[f32]| -> Result<Volume> {
            Ok(Volume { data: Array3::from_shape_vec((n, n, n), values.to_vec()).map_err(|e| wrong(&e))?, apix })
        };
        Ok(Self {
            base: map(&singles(base.data()))?,
            base_scale: number("base_scale")?,
            components: singles(components.data()).chunks(n * n * n).map(map).collect::<Result<_>>()?,
            inverse_noise,
        })
    }
}
