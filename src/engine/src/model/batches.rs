//! Batches whose particles are seen from one side (HEALPix class of nside 2), which the prior's contrasts need.

/// What becomes of the particles of a class that do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remainder {
    /// A smaller batch at the class' end: every particle is used in every epoch.
    Smaller,
    /// Left out, always the same ones: as the original.
    Left,
}

/// Particles of each class, in the order that they are visited in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassBatches {
    orders: Vec<Vec<i64>>,
    batch: usize,
}

/// Particles of each class in ascending order; `classes[i]` is the class of particle `particles[i]`.
#[must_use]
pub fn members(particles: &[i64], class_of: impl Fn(i64) -> usize, classes: usize) -> Vec<Vec<i64>> {
    let mut members = vec![Vec::new(); classes];
    for &particle in particles {
        members[class_of(particle)].push(particle);
    }
    for class in &mut members {
        class.sort_unstable();
    }
    members
}

impl ClassBatches {
    /// How many of a class of `size` particles are visited.
    #[must_use]
    pub fn visited(size: usize, batch: usize, remainder: Remainder) -> usize {
        match remainder {
            Remainder::Smaller => size,
            Remainder::Left => size / batch * batch,
        }
    }

    /// `permutations[c]` orders the visited particles of class c (positions in `members[c]`).
    #[must_use]
    pub fn new(members: &[Vec<i64>], permutations: &[Vec<usize>], batch: usize) -> Self {
        let order = |(members, permutation): (&Vec<i64>, &Vec<usize>)| permutation.iter().map(|&position| members[position]).collect();
        Self { orders: members.iter().zip(permutations).map(order).collect(), batch }
    }

    /// The batches of an epoch: classes are drawn by `draw(classes)`, exhausted ones are drawn again.
    pub fn epoch(&self, mut draw: impl FnMut(usize) -> usize) -> Vec<Vec<i64>> {
        let mut rest: Vec<&[i64]> = self.orders.iter().map(Vec::as_slice).collect();
        let count: usize = rest.iter().map(|order| order.len().div_ceil(self.batch)).sum();
        let mut batches = Vec::with_capacity(count);
        while batches.len() < count {
            let class = draw(rest.len());
            if rest[class].is_empty() {
                continue;
            }
            let (next, later) = rest[class].split_at(self.batch.min(rest[class].len()));
            batches.push(next.to_vec());
            rest[class] = later;
        }
        batches
    }
}
