//! The order in which the leaves of a hierarchical clustering are drawn.

use kodama::{Method, linkage};
use ndarray::ArrayView2;

/// Leaf order of average-linkage (Euclidean) hierarchical clustering of points `[k, d]`: at every fork the older cluster (points by their row,
/// then mergers by their distance) comes first, as SciPy draws its trees.
#[must_use]
pub fn leaf_order(points: ArrayView2<'_, f32>) -> Vec<usize> {
    let k = points.nrows();
    if k < 2 {
        return (0..k).collect();
    }
    let mut condensed = Vec::with_capacity(k * (k - 1) / 2);
    for i in 0..k {
        for j in i + 1..k {
            let squares = points.row(i).into_iter().zip(points.row(j)).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
            condensed.push(squares.sum::<f64>().sqrt());
        }
    }
    let tree = linkage(&mut condensed, k, Method::Average);
    let mut order = Vec::with_capacity(k);
    let mut pending = vec![2 * k - 2]; // the last merger holds all points
    while let Some(node) = pending.pop() {
        if node < k {
            order.push(node);
        } else {
            let step = &tree[node - k];
            let (older, younger) = (step.cluster1.min(step.cluster2), step.cluster1.max(step.cluster2));
            pending.extend([younger, older]);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn neighbours_stand_together() {
        // scipy.cluster.hierarchy.leaves_list(linkage(x, "average")) gives these.
        let x = array![[0.0f32, 0.0], [10.0, 0.0], [0.5, 0.0], [10.4, 0.0], [4.0, 1.0]];
        assert_eq!(leaf_order(x.view()), vec![1, 3, 4, 0, 2]);
        assert_eq!(leaf_order(array![[1.0f32]].view()), vec![0]);
        assert_eq!(leaf_order(array![[1.0f32], [0.0]].view()), vec![0, 1]);
    }
}
