//! Which particles are seen, and in which order.
//!
//! Every training particle is used once an epoch. Batches differ in size by one at most, so that no step rests on a few left-over
//! images. The order is a function of (seed, epoch) alone.

use cryoem::geometry::{Hopf, Matrix3};
use cryoem::random::Random;

/// What a random number is drawn for; the first coordinate of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// Which particles are kept for validation.
    Validation = 2,
    /// Order of particles in an epoch.
    Order = 3,
    /// The reparametrisation noise of a particle in an epoch.
    Latent = 4,
    /// Which particles the warm start's components come from.
    Components = 5,
    /// Noise on the scores that the decoder sees in the warm start.
    WarmStart = 6,
    /// The latent bank's draws.
    Bank = 7,
}

/// Training and validation particles, each in ascending order.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Particles that gradients come from.
    pub training: Vec<usize>,
    /// Particles kept aside.
    pub validation: Vec<usize>,
}

impl Split {
    /// Keeps the given fraction of `particles` aside, drawn at random.
    #[must_use]
    pub fn new(seed: u64, particles: usize, validation_fraction: f64) -> Self {
        let aside = ((particles as f64 * validation_fraction) as usize).min(particles.saturating_sub(1));
        let order = Random::keyed(seed, &[Purpose::Validation as u64]).permutation(particles);
        let mut validation = order[..aside].to_vec();
        let mut training = order[aside..].to_vec();
        validation.sort_unstable();
        training.sort_unstable();
        Self { training, validation }
    }
}

/// Particles in groups that batches are drawn from: one group, or one a view class.
pub struct Batches {
    groups: Vec<Vec<usize>>,
    batch: usize,
    seed: u64,
}

impl Batches {
    /// Batches drawn from all particles at random.
    #[must_use]
    pub fn random(seed: u64, particles: &[usize], batch: usize) -> Self {
        Self { groups: vec![particles.to_vec()], batch, seed }
    }

    /// Batches of one view class each. `rotation` gives a particle's matrix (image = A · map).
    #[must_use]
    pub fn by_view(seed: u64, particles: &[usize], batch: usize, rotation: impl Fn(usize) -> Matrix3) -> Self {
        let mut groups = vec![Vec::new(); VIEW_CLASSES];
        for &particle in particles {
            groups[Hopf::of_matrix(&rotation(particle)).view_class()].push(particle);
        }
        groups.retain(|group| !group.is_empty());
        Self { groups, batch, seed }
    }

    /// The batches of an epoch (from 1), in order. `attempt` counts the times that the run was rolled back, so that another order is
    /// tried after each.
    #[must_use]
    pub fn epoch(&self, epoch: usize, attempt: usize) -> Vec<Vec<usize>> {
        let mut random = Random::keyed(self.seed, &[Purpose::Order as u64, epoch as u64, attempt as u64]);
        let mut batches = Vec::new();
        for group in &self.groups {
            let order = random.permutation(group.len());
            let count = group.len().div_ceil(self.batch);
            for i in 0..count {
                let (from, to) = (i * group.len() / count, (i + 1) * group.len() / count);
                batches.push(order[from..to].iter().map(|&j| group[j]).collect());
            }
        }
        if self.groups.len() > 1 {
            let order = random.permutation(batches.len());
            batches = order.into_iter().map(|i| std::mem::take(&mut batches[i])).collect();
        }
        batches
    }
}

/// Base pixels of the view classes (nside 2).
const VIEW_CLASSES: usize = 12 * (cryoem::healpix::VIEW_CLASS_NSIDE * cryoem::healpix::VIEW_CLASS_NSIDE) as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use cryoem::geometry::random_rotation;

    #[test]
    fn every_particle_once_and_sizes_even() {
        let split = Split::new(3, 1000, 0.1);
        assert_eq!((split.training.len(), split.validation.len()), (900, 100));
        let batches = Batches::random(3, &split.training, 16).epoch(2, 0);
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, split.training);
        assert!(batches.iter().all(|b| b.len() == 15 || b.len() == 16));
    }

    #[test]
    fn order_changes_with_epoch_and_attempt_only() {
        let particles: Vec<usize> = (0..100).collect();
        let batches = Batches::random(1, &particles, 8);
        assert_eq!(batches.epoch(1, 0), Batches::random(1, &particles, 8).epoch(1, 0));
        assert_ne!(batches.epoch(1, 0), batches.epoch(2, 0));
        assert_ne!(batches.epoch(1, 0), batches.epoch(1, 1));
    }

    #[test]
    fn view_batches_hold_one_class_and_all_particles() {
        let mut random = Random::new(4, 0);
        let rotations: Vec<Matrix3> = (0..500).map(|_| random_rotation(&mut random)).collect();
        let particles: Vec<usize> = (0..500).collect();
        let batches = Batches::by_view(4, &particles, 8, |i| rotations[i]).epoch(1, 0);
        let class = |i: usize| Hopf::of_matrix(&rotations[i]).view_class();
        assert!(batches.iter().all(|b| b.len() <= 8 && b.iter().all(|&i| class(i) == class(b[0]))));
        let mut seen = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, particles);
    }
}
