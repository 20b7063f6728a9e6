//! A memory of every particle's latent, from which the prior draws its near and far ones.

use tch::{Kind, Tensor};

/// Weight of the old latent when a new one arrives, as in the original.
const MEMORY: f64 = 0.7;
/// Other view classes that a pool is drawn from.
const POOL_CLASSES: usize = 8;
/// Latents that all classes together would give a pool.
const POOL_SIZE: usize = 12_800;
/// Near latents a particle, where the pool holds four times as many.
const NEAR: i64 = 128;
/// Far latents for one near one.
const FAR_PER_NEAR: i64 = 4;
/// Part of a far latent that is replaced by a random one of the pool.
const RANDOM_PART: f64 = 0.2;

/// Running latents of all particles.
#[derive(Debug)]
pub struct LatentBank {
    latents: Tensor,
}

/// Near and far latents of a batch, without gradient.
#[derive(Debug)]
pub struct Contrast {
    /// `[b, n, d]`, nearest first.
    pub near: Tensor,
    /// `[b, 4n, d]`, farthest first, each mixed with a random one.
    pub far: Tensor,
    /// Particle of the nearest, `[b]`.
    pub nearest: Tensor,
}

impl LatentBank {
    /// From a start, `[particles, d]`.
    #[must_use]
    pub fn new(start: &Tensor) -> Self {
        Self { latents: start.detach().to_kind(Kind::Float).copy() }
    }

    /// All latents, `[particles, d]`.
    pub fn latents(&self) -> &Tensor {
        &self.latents
    }

    /// Moves the latents of `particles` (`[b]`, i64) towards `mu` (`[b, d]`).
    pub fn update(&mut self, particles: &Tensor, mu: &Tensor) {
        let moved = self.latents.index_select(0, particles) * MEMORY + mu.detach() * (1.0 - MEMORY);
        let _ = self.latents.index_copy_(0, particles, &moved);
    }

    /// Near and far latents of `particles` (`[b]`, i64) among `pool` (`[m]`, i64; at least 4).
    ///
    /// `random` (`[b, 4n]`, i64) are rows of the pool, n = [`near_of`]`(m)`.
    #[must_use]
    pub fn contrast(&self, particles: &Tensor, pool: &Tensor, random: &Tensor) -> Contrast {
        let near_count = near_of(pool.size()[0]);
        let candidates = self.latents.index_select(0, pool);
        let own = self.latents.index_select(0, particles);
        // Differences, not the expanded square: neighbours must be told apart where distances are small.
        let distances = Tensor::cdist(&own, &candidates, 2.0, Some(2));
        let (_, near) = distances.topk(near_count, 1, false, true);
        let (_, far) = distances.topk(near_count * FAR_PER_NEAR, 1, true, true);
        let gather = |rows: &Tensor| {
            let size = rows.size();
            candidates.index_select(0, &rows.reshape([-1])).view([size[0], size[1], -1])
        };
        Contrast {
            near: gather(&near),
            far: gather(&far) * (1.0 - RANDOM_PART) + gather(random) * RANDOM_PART,
            nearest: pool.index_select(0, &near.select(1, 0)),
        }
    }
}

/// Near latents that a pool of `pool` latents gives.
#[must_use]
pub fn near_of(pool: i64) -> i64 {
    NEAR.min(pool / FAR_PER_NEAR)
}

/// Far latents that a pool of `pool` latents gives.
#[must_use]
pub fn far_of(pool: i64) -> i64 {
    near_of(pool) * FAR_PER_NEAR
}

/// Draws a pool: up to eight other classes, from each a share of its members in proportion to its size.
///
/// `members[c]` are the particles of class c, of which whole batches count; `draw(n)` gives a number below n. Empty where no other class
/// holds a whole batch.
pub fn draw_pool(members: &[Vec<i64>], class: usize, batch: usize, mut draw: impl FnMut(usize) -> usize) -> Vec<i64> {
    let whole = |class: &Vec<i64>| class.len() / batch * batch;
    let total: usize = members.iter().map(whole).sum();
    let mut others: Vec<usize> = (0..members.len()).filter(|&other| other != class && whole(&members[other]) > 0).collect();
    let chosen = POOL_CLASSES.min(others.len());
    shuffle_first(&mut others, chosen, &mut draw);
    let mut pool = Vec::new();
    for &other in &others[..chosen] {
        let count = whole(&members[other]);
        let share = (count as f64 / total as f64 * POOL_SIZE as f64) as usize;
        let share = share.min(count);
        let mut candidates = members[other][..count].to_vec();
        shuffle_first(&mut candidates, share, &mut draw);
        pool.extend_from_slice(&candidates[..share]);
    }
    pool
}

/// Draws `count` different rows below `pool` for each of `batch` particles, row by row; for [`LatentBank::contrast`].
pub fn draw_random(pool: usize, count: usize, batch: usize, mut draw: impl FnMut(usize) -> usize) -> Vec<i64> {
    let mut rows: Vec<i64> = (0..pool as i64).collect();
    let mut drawn = Vec::with_capacity(batch * count);
    for _ in 0..batch {
        shuffle_first(&mut rows, count, &mut draw);
        drawn.extend_from_slice(&rows[..count]);
    }
    drawn
}

/// Brings a random choice of `count` elements, in random order, to the front.
fn shuffle_first<T>(items: &mut [T], count: usize, draw: &mut impl FnMut(usize) -> usize) {
    for place in 0..count {
        let other = place + draw(items.len() - place);
        items.swap(place, other);
    }
}
