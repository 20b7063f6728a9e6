//! The images that a check looks at, read once.

use super::purpose;
use crate::{Particle, Particles};
use contract::Result;
use cryoem::random::Random;
use rayon::prelude::*;
use std::sync::Arc;

/// Some particles in memory.
pub(super) struct Sample {
    size_px: usize,
    apix: f64,
    images: Arc<Vec<f32>>,
    particles: Vec<Particle>,
}

impl Sample {
    /// Reads the chosen particles.
    pub(super) fn read(source: &dyn Particles, chosen: &[usize]) -> Result<Self> {
        let n = source.size_px();
        let mut images = vec![0.0; chosen.len() * n * n];
        let particles =
            images.par_chunks_mut(n * n).zip(chosen).map(|(image, &index)| source.particle(index, image)).collect::<Result<Vec<_>>>()?;
        Ok(Self { size_px: n, apix: source.apix(), images: Arc::new(images), particles })
    }

    /// The same images, the rotations dealt out anew among them: what is left is what any poses give.
    pub(super) fn with_dealt_poses(&self, seed: u64) -> Self {
        let order = Random::keyed(seed, &[purpose::POSES]).permutation(self.particles.len());
        let particles =
            self.particles.iter().zip(order).map(|(own, other)| Particle { rotation: self.particles[other].rotation, ..*own }).collect();
        Self { size_px: self.size_px, apix: self.apix, images: Arc::clone(&self.images), particles }
    }
}

impl Particles for Sample {
    fn size_px(&self) -> usize {
        self.size_px
    }

    fn apix(&self) -> f64 {
        self.apix
    }

    fn len(&self) -> usize {
        self.particles.len()
    }

    fn particle(&self, index: usize, image: &mut [f32]) -> Result<Particle> {
        let pixels = self.size_px * self.size_px;
        image.copy_from_slice(&self.images[pixels * index..pixels * (index + 1)]);
        Ok(self.particles[index])
    }
}
