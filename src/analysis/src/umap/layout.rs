//! Moves particles in the plane: towards those they are tied to, away from random others.

use super::fuzzy::Ties;
use cryoem::random::Random;
use rayon::prelude::*;

/// The curve 1/(1 + a·r^(2b)) that is nearest to 1 up to the minimal distance 0.1 and exp(0.1 − r) beyond (umap-learn's least squares).
const A: f32 = 1.576_943_5;
/// Its exponent.
const B: f32 = 0.895_060_9;
/// A gradient's component is cut off here (umap-learn's).
const LARGEST_STEP: f32 = 4.0;
/// Others that push for each one that pulls (umap-learn's).
const PUSHES: usize = 5;
/// Keeps the push of a near one finite (umap-learn's).
const SOFTENING: f32 = 1e-3;
/// Parts of an epoch: those of one part move at once, seeing where the rest stand. Neighbours are in different parts for the most part.
const PARTS: usize = 16;
/// Up to this many particles the long schedule is used (umap-learn's).
const FEW_PARTICLES: usize = 10_000;
/// log2(1 + m) ≈ m·(c0 + c1·m + …) for m in [0, 1], and 2^f ≈ 1 + f·(…): least squares, exact at both ends; to 2·10⁻⁵ and 6·10⁻⁶.
const LOG2: [f32; 5] = [1.441_740_3, -0.707_770_2, 0.412_344_2, -0.190_319_03, 0.044_004_69];
const EXP2: [f32; 4] = [0.692_995_66, 0.241_565_6, 0.051_752_276, 0.013_686_471];
/// Purpose of the random numbers here.
const PURPOSE: u64 = 0x7075_7368;

/// Epochs for a number of particles (umap-learn's).
pub(super) fn epochs(particles: usize) -> usize {
    if particles <= FEW_PARTICLES { 500 } else { 200 }
}

/// The positions after all epochs.
pub(super) fn arrange(places: Vec<[f32; 2]>, ties: &Ties, epochs: usize, seed: u64) -> Vec<[f32; 2]> {
    // Inside the pool, or every part would wait for its threads to wake.
    rayon::scope(|_| move_all(places, ties, epochs, seed))
}

fn move_all(mut places: Vec<[f32; 2]>, ties: &Ties, epochs: usize, seed: u64) -> Vec<[f32; 2]> {
    let n = places.len();
    for epoch in 0..epochs {
        let rate = 1.0 - epoch as f32 / epochs as f32;
        let stream = Random::keyed(seed, &[PURPOSE, epoch as u64]).bits64();
        for part in 0..PARTS.min(n) {
            let seen = &places;
            let rows = (n - part).div_ceil(PARTS);
            let moved: Vec<[f32; 2]> = (0..rows)
                .into_par_iter()
                .with_min_len(64)
                .map(|i| {
                    let row = part + i * PARTS;
                    let random = Random::new(seed, stream.wrapping_add(row as u64));
                    step(seen, row, ties, epoch, rate, random)
                })
                .collect();
            moved.into_iter().enumerate().for_each(|(i, place)| places[part + i * PARTS] = place);
        }
    }
    places
}

/// Where a particle goes in an epoch.
fn step(places: &[[f32; 2]], row: usize, ties: &Ties, epoch: usize, rate: f32, mut random: Random) -> [f32; 2] {
    // A tie is used as often as it is strong: the strongest in every epoch.
    let used = |strength: f32| ((epoch + 1) as f32 * strength).floor() > (epoch as f32 * strength).floor();
    let moved = |own: [f32; 2], gradient: f32, difference: [f32; 2]| {
        [0, 1].map(|axis| own[axis] + rate * (gradient * difference[axis]).clamp(-LARGEST_STEP, LARGEST_STEP))
    };
    let pulled = |own: [f32; 2], other: usize| {
        let (difference, squared, power) = apart(own, places[other]);
        if squared > 0.0 { moved(own, -2.0 * A * B * power / (squared * (1.0 + A * power)), difference) } else { own }
    };
    let mut own = places[row];
    for (other, _) in ties.of(row).filter(|tie| used(tie.1)) {
        own = pulled(own, other);
        for _ in 0..PUSHES {
            let other = ((u64::from(random.bits()) * places.len() as u64) >> 32) as usize;
            let (difference, squared, power) = apart(own, places[other]);
            if other != row && squared > 0.0 {
                own = moved(own, 2.0 * B / ((SOFTENING + squared) * (1.0 + A * power)), difference);
            }
        }
    }
    // Each tie stands in the lists of both ends, and either use moves both. The other end's uses come after the pushes: two pulls in a row undo each
    // other where they overshoot, and connected latents fall into islands.
    ties.of(row).filter(|tie| used(tie.1)).fold(own, |own, (other, _)| pulled(own, other))
}

/// Difference, its squared length, and that to the power of b.
fn apart(a: [f32; 2], b: [f32; 2]) -> ([f32; 2], f32, f32) {
    let difference = [a[0] - b[0], a[1] - b[1]];
    let squared = difference[0] * difference[0] + difference[1] * difference[1];
    (difference, squared, power_of_b(squared))
}

/// x to the power of b to 1 part in 10⁴, for positive normal x (0 gives nearly 0): the library's function took most of the time.
fn power_of_b(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as f32 - 127.0;
    let m = f32::from_bits(bits & 0x007F_FFFF | 0x3F80_0000) - 1.0;
    let log2 = exponent + m * (LOG2[0] + m * (LOG2[1] + m * (LOG2[2] + m * (LOG2[3] + m * LOG2[4]))));
    let y = (B * log2).clamp(-120.0, 120.0);
    let whole = y.floor();
    let f = y - whole;
    let fraction = 1.0 + f * (EXP2[0] + f * (EXP2[1] + f * (EXP2[2] + f * EXP2[3])));
    f32::from_bits((whole as i32 + 127) as u32 * (1 << 23)) * fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_power_is_that_of_the_library() {
        assert!(power_of_b(0.0) < 1e-30);
        for i in -400..400 {
            let x = 2f32.powf(i as f32 / 9.7);
            let (found, expected) = (power_of_b(x), x.powf(B));
            assert!((found / expected - 1.0).abs() < 1e-4, "{x}: {found} against {expected}");
        }
    }
}
