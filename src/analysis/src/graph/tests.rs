use super::*;
use ndarray::Array2;

/// Repeatable normals.
fn cloud(n: usize, d: usize) -> Array2<f32> {
    let mut random = cryoem::random::Random::new(5, 0);
    Array2::from_shape_simple_fn((n, d), || random.normal() as f32)
}

#[test]
fn few_particles_have_exact_lists() {
    let z = ndarray::array![[0.0f32], [1.0], [3.0], [3.0], [10.0]];
    let graph = NeighbourGraph::build(z.view(), 2, 0).unwrap();
    let lists: Vec<&[u32]> = (0..5).map(|row| graph.neighbours(row)).collect();
    assert_eq!(lists, [[1, 2], [0, 2], [3, 1], [2, 1], [2, 3]]);
    assert_eq!(graph.distances(4), [7.0, 7.0]);
    assert_eq!(NeighbourGraph::build(z.view(), 9, 0).unwrap().k(), 4);
    assert_eq!(NeighbourGraph::build(z.slice(ndarray::s![..1, ..]), 3, 0).unwrap().k(), 0);
}

#[test]
fn many_particles_find_nearly_all_true_neighbours() {
    for d in [2, 8, 32] {
        let (n, k) = (20_000, 14);
        let z = cloud(n, d);
        let graph = NeighbourGraph::build(z.view(), k, 1).unwrap();
        let (mut found, mut asked) = (0, 0);
        for row in (0..n).step_by(97) {
            let own = z.row(row).to_vec();
            let mut all: Vec<Near> =
                (0..n).filter(|&j| j != row).map(|j| (squared_distance(&own, z.row(j).as_slice().unwrap()), j as u32)).collect();
            all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let list = graph.neighbours(row);
            assert!(graph.distances(row).is_sorted());
            assert!(!list.contains(&(row as u32)));
            asked += k;
            found += all[..k].iter().filter(|(_, j)| list.contains(j)).count();
        }
        let recall = found as f64 / asked as f64;
        println!("{d} dimensions: recall {recall:.4}");
        // A round cloud of 32 dimensions is the worst case: all distances are about equal there.
        assert!(recall > if d > 16 { 0.8 } else { 0.98 }, "{d} dimensions: {recall}");
    }
}

#[test]
fn threads_change_nothing_and_no_particle_is_its_own_neighbour() {
    let z = Array2::from_shape_fn((EXACT_ROWS + 1000, 2), |(i, j)| ((i * 13 + j * 7) % 50) as f32);
    let build = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| NeighbourGraph::build(z.view(), 10, 2).unwrap())
    };
    let graph = build(1);
    assert_eq!(graph, build(3));
    for row in 0..graph.len() {
        let mut list = graph.neighbours(row).to_vec();
        list.sort_unstable();
        list.dedup();
        assert!(list.len() == 10 && !list.contains(&(row as u32)) && list.iter().all(|&j| (j as usize) < graph.len()));
    }
}
