//! Fewer of the chosen particles: at random, or so that all views are seen alike.

use cryoem::random::Random;

/// Purposes of the random numbers here.
const RANDOM: u64 = 0x7261_6e64;
const BALANCE: u64 = 0x0062_616c;
/// A view class with fewer particles than this share of an even one does not hold the others down.
const LEAST_SHARE: f64 = 0.25;

/// `count` of the rows, ascending; all where there are no more. Whether a row is drawn depends on the seed and the row alone (and on who competes), so
/// that a larger draw holds a smaller one.
#[must_use]
pub fn random(rows: &[usize], count: usize, seed: u64) -> Vec<usize> {
    drawn(rows, count, seed, RANDOM)
}

/// Rows thinned out, ascending, so that no view class has more particles than the others allow: than the least filled class, but classes with less than
/// a quarter of an even share count as empty and keep what they have.
///
/// `view_classes` `[n]` are those of all particles ([`cryoem::geometry::Hopf::view_class`]).
#[must_use]
pub fn balanced(rows: &[usize], view_classes: &[usize], seed: u64) -> Vec<usize> {
    let count = rows.iter().map(|&row| view_classes[row] + 1).max().unwrap_or(0);
    let mut classes: Vec<Vec<usize>> = vec![Vec::new(); count];
    rows.iter().for_each(|&row| classes[view_classes[row]].push(row));
    let filled = classes.iter().filter(|class| !class.is_empty()).count().max(1);
    let least = (LEAST_SHARE * rows.len() as f64 / filled as f64).ceil() as usize;
    let most = classes.iter().map(Vec::len).filter(|&len| len >= least.max(1)).min().unwrap_or(0);
    let mut kept: Vec<usize> = classes.iter().flat_map(|class| drawn(class, most, seed, BALANCE)).collect();
    kept.sort_unstable();
    kept
}

fn drawn(rows: &[usize], count: usize, seed: u64, purpose: u64) -> Vec<usize> {
    let mut lots: Vec<(u64, usize)> = rows.iter().map(|&row| (Random::keyed(seed, &[purpose, row as u64]).bits64(), row)).collect();
    lots.sort_unstable();
    let mut kept: Vec<usize> = lots.into_iter().take(count).map(|lot| lot.1).collect();
    kept.sort_unstable();
    kept
}
