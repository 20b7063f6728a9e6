//! Two halves of the particles that have nothing in common.

use cryoem::particles::ParticleSet;
use cryoem::random::Random;
use std::collections::HashMap;

/// What the random numbers of the split are for.
const PURPOSE: u64 = 0x4a1f;

/// The halves, and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfSets {
    /// Of each particle whether it belongs to the second half.
    pub second: Vec<bool>,
    /// The refinement's own halves (`rlnRandomSubset`) are kept.
    pub given: bool,
    /// What is to be said about them.
    pub note: String,
}

/// The refinement's halves where every particle has one and both occur, else a random split that depends on the seed and the image alone.
///
/// Rows that show the same image (a set expanded by symmetry) always come into the same half: a particle that stood in both would correlate
/// with itself. Where the file's halves break this, the image's first row decides.
#[must_use]
pub fn half_sets(set: &ParticleSet, seed: u64) -> HalfSets {
    let subsets = || set.rows.iter().map(|row| row.random_subset);
    let given = subsets().all(|s| matches!(s, Some(1 | 2))) && [1, 2].iter().all(|half| subsets().any(|s| s == Some(*half)));
    let mut of_image: HashMap<(u32, u32), bool> = HashMap::with_capacity(set.len());
    let (mut repeated, mut torn) = (0usize, 0usize);
    let second = set
        .rows
        .iter()
        .map(|row| {
            let own = if given {
                row.random_subset == Some(2)
            } else {
                Random::keyed(seed, &[PURPOSE, u64::from(row.stack), u64::from(row.slice)]).bits() & 1 == 1
            };
            *of_image
                .entry((row.stack, row.slice))
                .and_modify(|half| {
                    repeated += 1;
                    torn += usize::from(*half != own);
                })
                .or_insert(own)
        })
        .collect::<Vec<bool>>();
    let mut note = if given {
        "half sets: those of the refinement (`rlnRandomSubset`)".to_owned()
    } else {
        "half sets: a random split (the particles have no `rlnRandomSubset`); the consensus' own halves are unknown, so what its refinement \
         fitted into noise counts as signal"
            .to_owned()
    };
    if repeated > 0 {
        note.push_str(&format!("; {repeated} rows show an image that another row shows too, and stay with it"));
    }
    if torn > 0 {
        note.push_str(&format!(", {torn} of them against the file's halves"));
    }
    HalfSets { second, given, note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryoem::particles::{Particle, Source};

    fn set(rows: impl Iterator<Item = (u32, Option<u8>)>) -> ParticleSet {
        let rows = rows.map(|(slice, random_subset)| Particle { random_subset, ..Particle::of_image((0, slice), 0) }).collect();
        ParticleSet { rows, groups: vec![], stacks: vec![], source: Source::Stacks, notes: vec![], warnings: vec![] }
    }

    #[test]
    fn halves_of_the_refinement_are_kept() {
        let given = half_sets(&set((0..10).map(|i| (i, Some(1 + (i / 3 % 2) as u8)))), 0);
        assert!(given.given);
        assert_eq!(given.second, (0..10).map(|i| i / 3 % 2 == 1).collect::<Vec<_>>());
        // One particle without a half, or only one half: nothing that can be kept.
        let gap = half_sets(&set((0..10).map(|i| (i, (i != 4).then_some(1 + (i % 2) as u8)))), 0);
        let single = half_sets(&set((0..10).map(|i| (i, Some(1)))), 0);
        assert!(!gap.given && !single.given && single.second.iter().any(|s| *s));
    }

    #[test]
    fn a_random_split_is_even_and_depends_on_image_and_seed_alone() {
        let all = half_sets(&set((0..4000).map(|i| (i, None))), 7).second;
        let count = all.iter().filter(|s| **s).count();
        assert!((1850..2150).contains(&count), "{count}");
        let subset = half_sets(&set((0..4000).step_by(7).map(|i| (i, None))), 7).second;
        assert!(subset.iter().enumerate().all(|(i, s)| *s == all[7 * i]));
        assert_ne!(half_sets(&set((0..4000).map(|i| (i, None))), 8).second, all);
    }

    #[test]
    fn an_image_is_never_in_both_halves() {
        for subsets in [None, Some(2)] {
            let expanded = set((0..300).map(|i| (i / 3, subsets.map(|_| 1 + (i % 2) as u8))));
            let halves = half_sets(&expanded, 1);
            assert!(halves.second.chunks(3).all(|image| image.iter().all(|s| *s == image[0])));
            assert!(halves.note.contains("200 rows"), "{}", halves.note);
            assert_eq!(halves.note.contains("against the file's"), subsets.is_some());
        }
    }
}
