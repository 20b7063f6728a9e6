//! Random numbers from a counter: every draw is a function of (seed, stream, position), so that a result does not depend on the order of
//! work, the number of threads, the split of a batch, or a restart.
//!
//! The generator is Philox 4×32 with ten rounds (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC11): key = seed,
//! counter = (position, stream).

use std::f64::consts::TAU;

/// Multipliers and key increments of Philox 4×32 (paper, table 2 and section 5.1).
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// One block of Philox 4×32-10: 128 random bits of a 128-bit counter under a 64-bit key.
#[must_use]
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let a = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

/// A sequence of random numbers. Two sequences with different seed or stream have nothing to do with each other.
///
/// ```
/// use opus_dsd_cryoem::random::Random;
/// let mut a = Random::keyed(7, &[3, 41]); // say: epoch 3, particle 41
/// let mut b = Random::keyed(7, &[3, 41]);
/// assert_eq!(a.normal(), b.normal());
/// ```
#[derive(Clone, Debug)]
pub struct Random {
    key: [u32; 2],
    stream: [u32; 2],
    position: u64,
    block: [u32; 4],
    used: usize,
    spare_normal: Option<f64>,
}

impl Random {
    /// The sequence of a seed and a stream.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { key: halves(seed), stream: halves(stream), position: 0, block: [0; 4], used: 4, spare_normal: None }
    }

    /// The sequence of a seed and any number of coordinates (purpose, epoch, particle, …), which are hashed to a stream.
    #[must_use]
    pub fn keyed(seed: u64, coordinates: &[u64]) -> Self {
        Self::new(seed, coordinates.iter().fold(coordinates.len() as u64, |hash, &c| mix(hash.rotate_left(17) ^ mix(c))))
    }

    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        if self.used == 4 {
            let position = halves(self.position);
            self.block = philox([position[0], position[1], self.stream[0], self.stream[1]], self.key);
            self.position += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// 64 random bits.
    pub fn bits64(&mut self) -> u64 {
        u64::from(self.bits()) << 32 | u64::from(self.bits())
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits64() >> 11) as f64 * 2f64.powi(-53)
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform integer below `bound`, without bias (Lemire's method). `bound` 0 gives 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Standard normal (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sine, cosine) = (TAU * self.uniform()).sin_cos();
        self.spare_normal = Some(radius * sine);
        radius * cosine
    }

    /// Fills a slice with standard normals in single precision; about three times as fast as [`Random::normal`].
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        for pair in out.chunks_mut(2) {
            // 24 bits, shifted by half a step so that the logarithm never sees 0.
            let u = ((self.bits() >> 8) as f32 + 0.5) * 2f32.powi(-24);
            let angle = (self.bits() >> 8) as f32 * (2f32.powi(-24) * std::f32::consts::TAU);
            let radius = (-2.0 * u.ln()).sqrt();
            let (sine, cosine) = angle.sin_cos();
            pair[0] = radius * cosine;
            if let Some(second) = pair.get_mut(1) {
                *second = radius * sine;
            }
        }
    }

    /// A random order of 0..n (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u64 + 1) as usize);
        }
        order
    }

    /// `k` of 0..n (all, where there are fewer), each at most once, ascending: the first of a [`Random::permutation`].
    pub fn sample(&mut self, n: usize, k: usize) -> Vec<usize> {
        let mut drawn = self.permutation(n);
        drawn.truncate(k);
        drawn.sort_unstable();
        drawn
    }

    /// An index drawn with the given non-negative weights (they need not sum to 1).
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (i, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return i;
            }
        }
        weights.iter().rposition(|&w| w > 0.0).unwrap_or(0)
    }

    /// A direction, uniform on the sphere.
    pub fn direction(&mut self) -> [f64; 3] {
        let z = self.range(-1.0, 1.0);
        let (sine, cosine) = self.range(0.0, TAU).sin_cos();
        let r = (1.0 - z * z).max(0.0).sqrt();
        [r * cosine, r * sine, z]
    }
}

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// `SplitMix64`'s finaliser: a bijection that spreads every input bit over all output bits.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_vectors() {
        // Known answers that come with the authors' Random123 library.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normals_have_the_right_moments() {
        let mut random = Random::new(1, 2);
        let mut single = vec![0f32; 200_001];
        random.fill_normal(&mut single);
        let double: Vec<f64> = (0..200_000).map(|_| random.normal()).collect();
        for values in [single.iter().map(|&v| f64::from(v)).collect(), double] {
            let n = values.len() as f64;
            let moment = |power: i32| values.iter().map(|v| v.powi(power)).sum::<f64>() / n;
            assert!(moment(1).abs() < 0.01, "mean {}", moment(1));
            assert!((moment(2) - 1.0).abs() < 0.015, "variance {}", moment(2));
            assert!((moment(4) - 3.0).abs() < 0.12, "fourth moment {}", moment(4));
        }
    }

    #[test]
    fn draws_depend_on_every_coordinate_and_nothing_else() {
        let draw = |seed, coordinates: &[u64]| Random::keyed(seed, coordinates).bits64();
        assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
        let different = [draw(1, &[2, 3]), draw(1, &[3, 2]), draw(2, &[2, 3]), draw(1, &[2]), draw(1, &[2, 3, 0]), draw(1, &[2, 4])];
        for (i, a) in different.iter().enumerate() {
            assert!(different[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn samples_are_the_first_of_a_permutation() {
        let mut first = Random::new(5, 1).permutation(100);
        first.truncate(10);
        first.sort_unstable();
        assert_eq!(Random::new(5, 1).sample(100, 10), first);
        assert_eq!(Random::new(5, 1).sample(3, 10), [0, 1, 2]);
        assert_ne!(Random::new(6, 1).sample(100, 10), first);
    }

    #[test]
    fn permutations_and_choices_are_fair() {
        let mut random = Random::new(5, 0);
        let mut counts = [[0usize; 4]; 4];
        for _ in 0..8000 {
            for (place, value) in random.permutation(4).into_iter().enumerate() {
                counts[place][value] += 1;
            }
        }
        assert!(counts.iter().flatten().all(|&c| (1800..2200).contains(&c)), "{counts:?}");
        let picks = (0..9000).filter(|_| random.weighted(&[1.0, 0.0, 2.0]) == 0).count();
        assert!((2800..3200).contains(&picks), "{picks}");
    }
}
