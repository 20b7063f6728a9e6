//! Small symmetric matrices.

use ndarray::Array2;

/// Sweeps of the Jacobi method; a matrix of a dozen rows converges in six or seven.
const SWEEPS: usize = 30;

/// Inverse of a positive definite matrix (row-major, `n`²) by Cholesky factors; a matrix that is not positive definite beyond rounding is
/// made so by its smallest usable pivot.
pub(crate) fn inverse_positive(matrix: &[f64], n: usize) -> Vec<f64> {
    let mut l = vec![0.0f64; n * n];
    for j in 0..n {
        for i in j..n {
            let sum: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = matrix[i * n + j] - sum;
            l[i * n + j] =
                if i == j { rest.max(f64::EPSILON * matrix[j * n + j].abs()).max(f64::MIN_POSITIVE).sqrt() } else { rest / l[j * n + j] };
        }
    }
    // Inverse of the factor, then its transpose times itself.
    let mut inverse_factor = vec![0.0f64; n * n];
    for j in 0..n {
        inverse_factor[j * n + j] = 1.0 / l[j * n + j];
        for i in j + 1..n {
            let sum: f64 = (j..i).map(|k| l[i * n + k] * inverse_factor[k * n + j]).sum();
            inverse_factor[i * n + j] = -sum / l[i * n + i];
        }
    }
    let mut out = vec![0.0f64; n * n];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (i..n).map(|k| inverse_factor[k * n + i] * inverse_factor[k * n + j]).sum();
            out[i * n + j] = sum;
            out[j * n + i] = sum;
        }
    }
    out
}

/// Eigenvalues in falling order and eigenvectors as columns, by Jacobi rotations.
pub(crate) fn eigen(matrix: &Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = matrix.nrows();
    let (mut a, mut v) = (matrix.clone(), Array2::<f64>::eye(n));
    let total: f64 = matrix.iter().map(|x| x * x).sum();
    for _ in 0..SWEEPS {
        let off: f64 = a.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, x)| x * x).sum();
        if off <= f64::EPSILON * f64::EPSILON * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[[p, q]] == 0.0 {
                    continue;
                }
                let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[[k, p]], a[[k, q]]);
                    (a[[k, p]], a[[k, q]]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[[p, k]], a[[q, k]]);
                    (a[[p, k]], a[[q, k]]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[[k, p]], v[[k, q]]);
                    (v[[k, p]], v[[k, q]]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[[j, j]].total_cmp(&a[[i, i]]));
    let values = order.iter().map(|&i| a[[i, i]]).collect();
    let vectors = Array2::from_shape_fn((n, n), |(i, j)| v[[i, order[j]]]);
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_inverse_times_the_matrix_is_one() {
        let m = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];
        let inverse = inverse_positive(&m, 3);
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|k| m[i * 3 + k] * inverse[k * 3 + j]).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12, "({i}, {j}): {product}");
            }
        }
    }

    #[test]
    fn eigenvectors_rebuild_the_matrix_in_falling_order() {
        let m = array![[2.0, -1.0, 0.3], [-1.0, 3.0, 0.7], [0.3, 0.7, 1.0]];
        let (values, vectors) = eigen(&m);
        assert!(values.windows(2).all(|w| w[0] >= w[1]));
        let rebuilt = vectors.dot(&Array2::from_diag(&ndarray::Array1::from(values))).dot(&vectors.t());
        assert!((&rebuilt - &m).iter().all(|d| d.abs() < 1e-12), "{rebuilt}");
    }
}
