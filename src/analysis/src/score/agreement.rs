//! Agreement of two partitions, corrected for chance.

/// How often class i of the first meets class j of the second, with the sums over each.
struct Contingency {
    cells: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    total: f64,
}

impl Contingency {
    fn new(a: &[usize], b: &[usize]) -> Self {
        let (a, first_classes) = renumber(a);
        let (b, second_classes) = renumber(b);
        let mut table = Self {
            cells: vec![0.0; first_classes * second_classes],
            first: vec![0.0; first_classes],
            second: vec![0.0; second_classes],
            total: a.len() as f64,
        };
        for (&i, &j) in a.iter().zip(&b) {
            table.cells[i * second_classes + j] += 1.0;
            table.first[i] += 1.0;
            table.second[j] += 1.0;
        }
        table
    }
}

/// Classes numbered from 0 without gaps, and their number.
fn renumber(classes: &[usize]) -> (Vec<usize>, usize) {
    let mut distinct = classes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    (classes.iter().map(|class| distinct.partition_point(|d| d < class)).collect(), distinct.len())
}

/// Adjusted Rand index of two partitions of the same items (Hubert & Arabie 1985): 1 for equal ones, 0 on average for unrelated ones.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn adjusted_rand_index(a: &[usize], b: &[usize]) -> f64 {
    assert_eq!(a.len(), b.len(), "partitions of the same items");
    let table = Contingency::new(a, b);
    let pairs = |counts: &[f64]| counts.iter().map(|n| n * (n - 1.0) / 2.0).sum::<f64>();
    let (both, first, second) = (pairs(&table.cells), pairs(&table.first), pairs(&table.second));
    let (expected, most) = (first * second / pairs(&[table.total]), 0.5 * (first + second));
    if most == expected || table.total < 2.0 { 1.0 } else { (both - expected) / (most - expected) }
}

/// Adjusted mutual information of two partitions of the same items (Vinh, Epps & Bailey 2010), with the mean of the entropies as norm.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn adjusted_mutual_information(a: &[usize], b: &[usize]) -> f64 {
    assert_eq!(a.len(), b.len(), "partitions of the same items");
    let table = Contingency::new(a, b);
    let n = table.total;
    let entropy = |counts: &[f64]| -counts.iter().map(|c| c / n * (c / n).ln()).sum::<f64>();
    let mut log_factorial = vec![0.0; a.len() + 1];
    (1..=a.len()).for_each(|i| log_factorial[i] = log_factorial[i - 1] + (i as f64).ln());
    let lf = |x: f64| log_factorial[x as usize];

    let (mut information, mut expected) = (0.0, 0.0);
    for (i, &u) in table.first.iter().enumerate() {
        for (j, &v) in table.second.iter().enumerate() {
            let cell = table.cells[i * table.second.len() + j];
            if cell > 0.0 {
                information += cell / n * (cell * n / (u * v)).ln();
            }
            let (least, most) = ((u + v - n).max(1.0) as usize, u.min(v) as usize);
            for k in (least..=most).map(|k| k as f64) {
                let weight = lf(u) + lf(v) + lf(n - u) + lf(n - v) - lf(n) - lf(k) - lf(u - k) - lf(v - k) - lf(n - u - v + k);
                expected += k / n * (n * k / (u * v)).ln() * weight.exp();
            }
        }
    }
    let room = 0.5 * (entropy(&table.first) + entropy(&table.second)) - expected;
    if room.abs() > 1e-12 { (information - expected) / room } else { 1.0 }
}
