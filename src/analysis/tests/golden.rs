//! The original's analysis, number by number: all cases `h_analysis_*` found in the folder named by `GOLDEN_DIR` (default: tests/data/golden).

use analysis::clusters::on_data;
use analysis::pca;
use analysis::pca::percentiles;
use ndarray::{Array2, ArrayView2};
use opus_dsd_analysis as analysis;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use std::path::PathBuf;

/// A tensor as doubles, with its rows and columns.
fn numbers(case: &SafeTensors<'_>, name: &str) -> (Vec<f64>, usize, usize) {
    let tensor = case.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
        Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
        other => panic!("{name} is {other:?}"),
    };
    let shape = tensor.shape();
    (values, shape[0], shape.get(1).copied().unwrap_or(1))
}

fn matrix(case: &SafeTensors<'_>, name: &str) -> Array2<f64> {
    let (values, rows, columns) = numbers(case, name);
    Array2::from_shape_vec((rows, columns), values).unwrap()
}

fn indices(case: &SafeTensors<'_>, name: &str) -> Vec<usize> {
    numbers(case, name).0.into_iter().map(|v| v as usize).collect()
}

fn largest_difference(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

fn row(values: Vec<f64>) -> Array2<f64> {
    Array2::from_shape_vec((1, values.len()), values).unwrap()
}

#[test]
fn analysis_agrees_with_the_original() {
    let folder = std::env::var_os("GOLDEN_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/golden")), PathBuf::from);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut cases: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    cases.retain(|p| {
        p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("h_analysis_")) && p.extension().is_some_and(|e| e == "safetensors")
    });
    assert!(!cases.is_empty(), "no case h_analysis_*.safetensors in {}", folder.display());

    for path in cases {
        let bytes = std::fs::read(&path).unwrap();
        let case = SafeTensors::deserialize(&bytes).unwrap();
        let z = matrix(&case, "z").mapv(|v| v as f32);
        let say = path.display();

        // Single precision of the stored numbers decides the tolerances.
        let p = pca(z.view()).unwrap();
        let components = largest_difference(p.components.view(), matrix(&case, "pca_components").view());
        assert!(components < 2e-5, "{say}: components differ by {components}");
        assert!(largest_difference(row(p.mean.to_vec()).view(), row(numbers(&case, "pca_mean").0).view()) < 1e-6, "{say}: mean");
        let variances = row(numbers(&case, "pca_explained_variance").0);
        assert!(largest_difference(row(p.variances.to_vec()).view(), variances.view()) < 1e-5 * variances[[0, 0]], "{say}: variances");
        assert!(
            largest_difference(row(p.explained.to_vec()).view(), row(numbers(&case, "pca_explained_ratio").0).view()) < 1e-6,
            "{say}: shares"
        );
        let scores = p.project(z.view()).mapv(f64::from);
        assert!(largest_difference(scores.view(), matrix(&case, "pc").view()) < 5e-5, "{say}: scores");
        let ends = percentiles(scores.column(0).to_vec(), &[5.0, 95.0]);
        assert!(largest_difference(row(ends).view(), row(numbers(&case, "pc1_percentiles_5_95").0).view()) < 5e-5, "{say}: percentiles");
        for component in 0..2 {
            let stored = matrix(&case, &format!("pc{}_traj", component + 1));
            let path = p.traversal(z.view(), component, stored.nrows()).unwrap();
            assert!(largest_difference(path.view(), stored.view()) < 5e-5, "{say}: traversal of component {}", component + 1);
        }

        let clusters = on_data(z.view(), &indices(&case, "kmeans_raw_labels"), &matrix(&case, "kmeans_raw_centers"));
        assert_eq!(clusters.center_index, indices(&case, "final_centers_index"), "{say}: centres on particles, in leaf order");
        assert_eq!(clusters.labels, indices(&case, "final_labels"), "{say}: labels");
        assert_eq!(clusters.centers.mapv(f64::from), matrix(&case, "final_centers"), "{say}: centres");
        let inertia = numbers(&case, "kmeans_inertia").0[0];
        // The stored sum is about the centres of the round before the last; ours about the means, which is never more.
        assert!(clusters.inertia <= inertia && clusters.inertia > 0.999 * inertia, "{say}: inertia {} against {inertia}", clusters.inertia);
        // Ours need not be the same partition, but must be as good.
        let own = analysis::kmeans(z.view(), clusters.len(), 0).unwrap();
        assert!(own.inertia < 1.03 * inertia, "{say}: own inertia {} against {inertia}", own.inertia);
    }
}
