//! Other particles in clusters that were found before.

use super::{Clusters, inertia, nearest_rows, squared_distance};
use crate::blocks::{check_latents, map_blocks};
use contract::{Problem, Result};
use ndarray::{Array2, ArrayView2};

/// Puts latents `[n, d]` into the clusters of the nearest of `centers` `[k, d]`, the first of equals. Clusters keep their centres and numbers;
/// one may stay empty.
///
/// # Errors
/// A latent is not finite, or latents and centres are of different dimensions.
pub fn assign(latents: ArrayView2<'_, f32>, centers: ArrayView2<'_, f32>) -> Result<Clusters> {
    check_latents(latents)?;
    let (k, width) = centers.dim();
    if k == 0 || width != latents.ncols() {
        return Err(Problem::failed(format!("{k} centres of {width} dimensions for latents of {}", latents.ncols())));
    }
    let wide = centers.mapv(f64::from);
    let labels: Vec<usize> = nearest(latents, &wide).into_iter().map(|(label, _)| label).collect();
    let mut sizes = vec![0; k];
    labels.iter().for_each(|&label| sizes[label] += 1);
    let inertia = inertia(latents, &labels, k);
    Ok(Clusters { center_index: nearest_rows(latents, &wide), centers: centers.to_owned(), labels, sizes, inertia, asked: k })
}

/// Distance of every particle to the nearest centre.
///
/// # Errors
/// As [`assign`].
pub fn distances(latents: ArrayView2<'_, f32>, clusters: &Clusters) -> Result<Vec<f64>> {
    check_latents(latents)?;
    Ok(nearest(latents, &clusters.centers.mapv(f64::from)).into_iter().map(|(_, squared)| squared.sqrt()).collect())
}

/// Nearest centre of every particle, and the squared distance to it.
fn nearest(latents: ArrayView2<'_, f32>, centers: &Array2<f64>) -> Vec<(usize, f64)> {
    let blocks = map_blocks(latents, |rows| {
        let of_row = |row| {
            let all = centers.rows().into_iter().map(|center| squared_distance(row, center)).enumerate();
            all.fold((0, f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
        };
        rows.rows().into_iter().map(of_row).collect::<Vec<_>>()
    });
    blocks.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmeans;
    use ndarray::array;

    #[test]
    fn particles_come_to_the_nearest_cluster_and_one_may_stay_empty() {
        let known = kmeans(array![[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.1, 5.0], [-9.0, 0.0]].view(), 3, 0).unwrap();
        let of = |x: f32, y: f32| {
            known.labels[if x > 2.0 {
                2
            } else if y < -1.0 || x < -2.0 {
                4
            } else {
                0
            }]
        };
        let others = array![[4.0, 4.0], [0.3, -0.2], [6.0, 5.0]];
        let found = assign(others.view(), known.centers.view()).unwrap();
        assert_eq!(found.labels, [of(4.0, 4.0), of(0.3, 0.0), of(6.0, 5.0)]);
        assert_eq!(found.sizes[of(-9.0, 0.0)], 0);
        assert_eq!((found.len(), found.sizes.iter().sum::<usize>(), &found.centers), (3, 3, &known.centers));
        let far = distances(array![[0.0f32, 3.0]].view(), &known).unwrap();
        assert!((far[0] - 3.0).abs() < 0.2, "{far:?}");
        assert!(assign(array![[f32::NAN, 0.0]].view(), known.centers.view()).is_err());
        assert!(assign(array![[0.0f32]].view(), known.centers.view()).is_err());
    }
}
