use super::*;
use cryoem::volume::Volume;
use ndarray::{Array2, Array3};
use serde_json::Value;
use std::collections::BTreeMap;

/// Small arrays and the figures that NumPy, SciPy and an independent implementation of the scores gave for them (tests/data/README.md).
fn reference() -> Value {
    serde_json::from_str(include_str!("../../tests/data/score_reference.json")).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn classes(value: &Value) -> Vec<usize> {
    list(value).into_iter().map(|v| v as usize).collect()
}

fn rows(value: &Value) -> Array2<f32> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(list).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j] as f32)
}

fn assert_near(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

#[test]
fn continuous_scores_agree() {
    let r = reference();
    let found = continuous_with_folds(rows(&r["latents"]).view(), &list(&r["t"]), &classes(&r["folds"])).unwrap();
    assert_near(found.knn_r2, &r["continuous"]["knn_r2"], 1e-6);
    assert_near(found.knn_k as f64, &r["continuous"]["knn_k"], 0.0);
    // Predictions that are equal but for rounding share a rank in one program and not in the other.
    assert_near(found.knn_spearman, &r["continuous"]["knn_spearman"], 1e-3);
    assert_near(found.spearman_pc1, &r["continuous"]["spearman_pc1"], 1e-6);
    // Other folds change little.
    let own = continuous(rows(&r["latents"]).view(), &list(&r["t"])).unwrap();
    assert_near(own.knn_r2, &r["continuous"]["knn_r2"], 0.03);
}

#[test]
fn discrete_scores_agree() {
    let r = reference();
    let found = discrete_with_folds(rows(&r["state_latents"]).view(), &classes(&r["states"]), &classes(&r["folds"])).unwrap();
    assert_eq!(found.states, 4);
    assert_near(found.knn_accuracy, &r["discrete"]["knn_accuracy"], 1e-9);
    assert_near(found.largest_state_share, &r["discrete"]["largest_class_share"], 1e-9);
    // k-means of other starts may put a few particles at the borders elsewhere.
    assert_near(found.kmeans_ari, &r["discrete"]["kmeans_ari"], 0.02);
    assert_near(found.kmeans_ami, &r["discrete"]["kmeans_ami"], 0.02);
}

#[test]
fn agreement_is_corrected_for_chance() {
    let r = reference();
    let (a, b) = (classes(&r["states"]), classes(&r["other"]));
    assert_near(adjusted_rand_index(&a, &b), &r["other_ari"], 1e-9);
    assert_near(adjusted_mutual_information(&a, &b), &r["other_ami"], 1e-9);
    let renamed: Vec<usize> = a.iter().map(|s| 90 - 7 * s).collect();
    assert_eq!(adjusted_rand_index(&a, &renamed), 1.0);
    assert!((adjusted_mutual_information(&a, &renamed) - 1.0).abs() < 1e-9);
    assert_eq!(adjusted_rand_index(&[1, 1, 1], &[4, 4, 4]), 1.0);
}

#[test]
fn maps_are_scored_by_their_shells() {
    let r = reference();
    let map = |name: &str| {
        let values = list(&r[name]).into_iter().map(|v| v as f32).collect();
        Volume { data: Array3::from_shape_vec((12, 12, 12), values).unwrap(), apix: 2.0 }
    };
    let (a, b) = (map("map_a"), map("map_b"));
    let mut scorer = MapScorer::new(BTreeMap::from([(3, a.clone())]), &b, None).unwrap();
    assert_near(scorer.add(&b, 3).unwrap(), &r["area_ab"], 1e-5);
    assert!((scorer.add(&a, 3).unwrap() - 1.0).abs() < 1e-6);
    assert!(scorer.add(&a, 4).unwrap_err().to_string().contains("state 4 has no true map"));
    let score = scorer.finish().unwrap();
    assert_eq!((score.maps, score.better_share), (2, 0.5));
    assert!((score.gain_mean - 0.5 * (1.0 - score.reference_area_mean)).abs() < 1e-6, "{score:?}");
    assert_near(score.reference_area_mean, &r["area_ab"], 1e-5);
}

#[test]
fn ranks_share_ties() {
    assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), vec![3.5, 1.0, 3.5, 2.0]);
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 15.0]), 0.5);
    assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), 0.0);
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let z = Array2::<f32>::zeros((10, 2));
    assert!(continuous(z.view(), &[0.0; 9]).unwrap_err().to_string().contains("10 latents but 9 labels"));
    assert!(continuous(z.view(), &[0.0; 10]).unwrap_err().to_string().contains("too few"));
}
