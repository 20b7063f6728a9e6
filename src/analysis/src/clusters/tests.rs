use super::*;
use ndarray::{Array2, array, s};
use std::time::Instant;

/// Repeatable numbers in [-1, 1).
fn noise(i: usize) -> f32 {
    let mut x = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// `n` particles in `k` well-parted blobs on a line of `d` dimensions.
fn blobs(n: usize, d: usize, k: usize) -> Array2<f32> {
    Array2::from_shape_fn((n, d), |(i, j)| (if j == 0 { 10.0 * (i % k) as f32 } else { 0.0 }) + noise(i * d + j))
}

#[test]
fn blobs_are_found_in_order() {
    let z = blobs(600, 3, 5);
    let clusters = kmeans(z.view(), 5, 1).unwrap();
    assert_eq!((clusters.len(), clusters.sizes.clone()), (5, vec![120; 5]));
    for (i, &label) in clusters.labels.iter().enumerate() {
        assert_eq!(label, clusters.labels[i % 5], "particle {i}");
    }
    for (cluster, &row) in clusters.center_index.iter().enumerate() {
        assert_eq!(clusters.labels[row], cluster);
        assert_eq!(clusters.centers.row(cluster), z.row(row));
        assert_eq!(clusters.members(cluster).len(), 120);
    }
    let along: Vec<f32> = clusters.centers.slice(s![.., 0]).to_vec();
    let steps: Vec<f32> = along.windows(2).map(|w| (w[1] - w[0]).abs()).collect();
    assert!(steps.iter().sum::<f32>() < 75.0, "numbers do not follow the line: {along:?}");
}

#[test]
fn equal_input_gives_equal_clusters_and_seeds_matter_little() {
    let z = blobs(400, 4, 3);
    assert_eq!(kmeans(z.view(), 6, 7).unwrap(), kmeans(z.view(), 6, 7).unwrap());
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one_thread.install(|| kmeans(z.view(), 6, 7).unwrap()), kmeans(z.view(), 6, 7).unwrap());
    let (a, b) = (kmeans(z.view(), 3, 1).unwrap(), kmeans(z.view(), 3, 2).unwrap());
    assert!((a.inertia - b.inertia).abs() < 1e-6 * a.inertia);
}

#[test]
fn fewer_distinct_latents_than_clusters_leave_no_empty_cluster() {
    let z = array![[1.0f32, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]];
    let clusters = kmeans(z.view(), 4, 0).unwrap();
    assert_eq!((clusters.len(), clusters.asked), (2, 4));
    assert_eq!(clusters.sizes.iter().sum::<usize>(), 5);
    assert!(clusters.sizes.iter().all(|&size| size > 0));
    let same = Array2::<f32>::zeros((40, 2));
    assert_eq!(kmeans(same.view(), 3, 0).unwrap().len(), 1);
}

#[test]
fn impossible_numbers_are_refused() {
    let z = blobs(10, 2, 2);
    assert_eq!(kmeans(z.view(), 11, 0).unwrap_err().to_string(), "11 clusters of 10 particles cannot be made; hint: choose from 1 to 10");
    assert!(kmeans(z.view(), 0, 0).is_err());
    assert_eq!(kmeans(z.view(), 1, 0).unwrap().sizes, vec![10]);
    assert_eq!(kmeans(z.view(), 10, 0).unwrap().len(), 10);
    assert!(kmeans(array![[f32::INFINITY]].view(), 1, 0).is_err());
}

#[test]
fn many_particles_start_from_a_sample() {
    let z = blobs(60_000, 3, 4);
    let clusters = kmeans(z.view(), 4, 3).unwrap();
    assert_eq!(clusters.sizes, vec![15_000; 4]);
}

#[test]
#[ignore = "a measurement: 10⁶ × 8 latents within a minute"]
fn a_million_particles_take_less_than_a_minute() {
    let z = Array2::from_shape_fn((1_000_000, 8), |(i, j)| noise(i * 8 + j) + noise(i * 8 + j + 1));
    let clock = Instant::now();
    let p = crate::pca(z.view()).unwrap();
    println!("PCA {:.2} s, {:?}", clock.elapsed().as_secs_f64(), p.explained);
    let clock = Instant::now();
    let clusters = kmeans(z.view(), 20, 0).unwrap();
    println!("k-means {:.1} s, sizes {:?}", clock.elapsed().as_secs_f64(), clusters.sizes);
    assert!(clock.elapsed().as_secs() < 60);
}
