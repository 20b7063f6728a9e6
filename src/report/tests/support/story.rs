//! Made-up jobs for the tests.

#![allow(dead_code, reason = "each test program uses a part")]

use analysis::{kmeans, pca};
use contract::{Clustering, Comparison, CurvePoint, Drift, LossTerms, Nuisance, StateMatch};
use ndarray::{Array2, Array3};
use opus_dsd_report::{
    Column, Difference, Differences, Embedding, EpochRecord, Evidence, Ground, Grouping, ImagePanels, NextStep, Part, PartMotion, State,
    Story, Subject, Variability, Verdict, Way,
};
use std::path::{Path, PathBuf};

/// Repeatable numbers, about normal.
pub(crate) fn noise(i: usize) -> f32 {
    let uniform = |i: u64| {
        let x = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 40) as f32 / (1 << 24) as f32
    };
    (0..6).map(|k| uniform(6 * i as u64 + k + 1)).sum::<f32>() * 1.41 - 4.24
}

/// A ball with an arm that swings by an angle.
fn map(side: usize, angle: f32) -> Array3<f32> {
    let centre = side as f32 / 2.0;
    Array3::from_shape_fn((side, side, side), |(z, y, x)| {
        let p = [x, y, z].map(|v| (v as f32 - centre) / centre);
        let blob = |c: [f32; 3], width: f32| (-p.iter().zip(c).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / (2.0 * width * width)).exp();
        let arm = (1..5).map(|i| blob([0.15 * i as f32 * angle.cos(), 0.15 * i as f32 * angle.sin(), 0.05], 0.09)).sum::<f32>();
        blob([-0.15, -0.1, 0.0], 0.2) + 0.7 * blob([-0.25, 0.15, 0.2], 0.12) + 0.6 * arm
    })
}

/// A state's back-projection: its map in noise.
fn evidence(map: Array3<f32>, c: usize) -> Evidence {
    let at = |fall: f64| (0..=16).map(|k| (k as f64 / (32.0 * 2.3), 1.0 / (1.0 + (k as f64 / fall).powi(4)))).collect();
    let mut noisy = map.clone();
    noisy.iter_mut().enumerate().for_each(|(i, v)| *v = 2.0 * *v + 0.1 * noise(i));
    Evidence {
        map: noisy,
        file: format!("halves/cluster{:03}_map.mrc", c + 1),
        local_angstrom: map.mapv(|v| if v > 0.1 { 14.0 - 6.0 * v } else { 0.0 }),
        effective_particles: 412.3,
        resolution_angstrom: (c != 1).then_some(7.4),
        resolution_half_angstrom: Some(9.8),
        decoded_agrees_angstrom: Some(8.1),
        local_median_angstrom: Some(8.6),
        b_factor_angstrom2: Some(-85.0),
        fsc: at(8.0 + c as f64),
        decoded_fsc: at(6.0 + c as f64),
    }
}

/// How the states of a made-up job differ.
fn differences(states: &[State]) -> Differences {
    let levels = [0.05, 0.1, 0.2, 0.3, 0.6];
    let occupancy = |state: &State| (state.class, levels.map(|level| (level, (1.0 - level) / state.class as f64)).to_vec());
    let motions = states.iter().skip(1).map(|state| PartMotion {
        from: 1,
        to: state.class,
        angle_deg: 4.5 * state.class as f64,
        shift_angstrom: 1.5,
        correlation_before: 0.71,
        correlation_after: 0.95,
    });
    Differences {
        detail_angstrom: 9.0,
        part: Some(Part {
            mask: "MaskCreate/job008/mask.mrc".into(),
            occupancy: states.iter().map(occupancy).collect(),
            motions: motions.collect(),
        }),
        variability: Some(Variability { maps: 50, mean: map(32, 0.7), deviation: map(32, 0.7) - map(32, 0.5) }),
    }
}

/// A job of `n` particles, `d` latent dimensions, `k` clusters.
pub(crate) fn story(n: usize, d: usize, k: usize) -> Story {
    let latents = Array2::from_shape_fn((n, d), |(i, j)| {
        let t = (i * 7919 % n) as f32 / n as f32;
        0.3 * noise(i * d + j) + [3.0 * (3.0 * t).cos(), 2.0 * (3.0 * t).sin(), t][j.min(2)] * if j < 3 { 1.0 } else { 0.0 }
    });
    let clusters = kmeans(latents.view(), k, 0).unwrap();
    let angle = |c: usize| 1.4 * c as f32 / k as f32;
    let states = (0..clusters.len()).map(|c| State {
        class: c + 1,
        particles: clusters.sizes[c],
        map: map(32, angle(c)),
        file: format!("cluster{:03}.mrc", c + 1),
        note: None,
        difference: Some(Difference { map: map(32, angle(c)) - map(32, 0.7), of_consensus: 0.1 * (c + 1) as f64 }),
        evidence: Some(evidence(map(32, angle(c)), c)),
    });
    let states: Vec<State> = states.collect();
    let epochs = (1..=12).map(|epoch| {
        let t = epoch as f64;
        let terms = LossTerms {
            reconstruction: -0.4 + 0.3 / t,
            kl: 0.002 + 0.004 * (-t / 3.0).exp(),
            prior: 0.003 / t,
            volume: 0.0008,
            warm_start: 0.0,
            total: -0.39,
        };
        EpochRecord {
            epoch,
            terms,
            validation: (epoch > 1).then_some(-0.38 + 0.3 / t),
            kl_nats: 4.0 * (1.0 - (-t / 3.0).exp()),
            active_dimensions: 4,
            snr: 0.11 - 0.05 / t,
            drift: (epoch > 1).then(|| Drift { epoch, alignment: 1.0 - 0.4 / t, neighbours: 0.6 - 0.5 / t }),
        }
    });
    let picture = |angle: f32, noisy: f32| {
        let projection = map(48, angle).sum_axis(ndarray::Axis(0));
        Array2::from_shape_fn((48, 48), |(y, x)| projection[[y, x]] * 0.3 + noisy * noise(y * 48 + x + (angle * 1e4) as usize))
    };
    let panels = (0..5).map(|i| {
        let angle = 0.25 * i as f32;
        ImagePanels {
            particle: 1 + 211 * i,
            projection: picture(angle, 0.0),
            ctf_projection: picture(angle, 0.1),
            masked_image: picture(angle, 0.8),
            encoder_input: picture(angle, 0.5),
            reconstruction: picture(angle, 0.05),
            image: picture(angle, 1.0),
        }
    });
    let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Story {
        subject: Subject::States,
        verdict: None,
        ground: None,
        title: "External/job007".into(),
        epoch: 12,
        fingerprint: "0123456789abcdef".into(),
        subtitle: "opus-dsd train: how every particle of Refine3D/job005/run_data.star differs from the consensus".into(),
        facts: vec![
            fact("Particles", &format!("{n} rows, {n} used, in 2 optics groups")),
            fact("Input", "Refine3D/job005/run_data.star"),
            fact("Mask", "MaskCreate/job006/mask.mrc (resampled from 1.10 to 2.30 Å/px)"),
            fact("Pixel size", "2.30 Å after preparation, box 48 px"),
            fact("Preset", "tiny: four levels and 8, 16, 32, 64 channels, decoded at 32³, which suits a first look on two cores"),
            fact("Latent dimensions", "8"),
            fact("Epochs", "12"),
            fact("Device", "cpu, 2 threads"),
            fact("Seed", "1"),
        ],
        warnings: vec!["500 particles are few: fewer than 1,000 seldom show more than two states".into()],
        next_steps: vec![
            step(
                "Refine a state from its own particles: only that proves it. State 3 is the largest",
                "opus-dsd select --job External/job007 --clusters 3 --o External/job007-state3/",
                "3D auto-refine: Input images `External/job007/cluster003_particles.star`, Reference map `External/job007/cluster003.mrc`",
            ),
            step("Look at the states side by side", "chimerax External/job007/states.cxc", "Display: out: logfile.pdf"),
        ],
        epochs: epochs.collect(),
        pca: pca(latents.view()).unwrap(),
        embeddings: vec![Embedding {
            name: "UMAP".into(),
            points: Array2::from_shape_fn((n, 2), |(i, j)| latents[[i, j.min(d - 1)]] * latents[[i, j.min(d - 1)]].abs()),
        }],
        columns_asked: 0,
        region_command: "opus-dsd select --job External/job007 --region selection.json --o External/job007-region/".into(),
        columns: vec![Column { name: "defocus (Å)".into(), values: (0..n).map(|i| 15_000.0 + 3000.0 * noise(i)).collect() }],
        groupings: vec![Grouping {
            name: "micrograph".into(),
            names: (0..40).map(|i| format!("MotionCorr/job002/mic{i:03}.mrc")).collect(),
            of: (0..n).map(|i| i * 40 / n).collect(),
        }],
        ways: vec![Way {
            name: "principal component 1".into(),
            stem: "pc1".into(),
            folder: "pc1".into(),
            maps: (0..5).map(|i| map(32, 0.35 * i as f32)).collect(),
        }],
        view_classes: (0..n).map(|i| (i * 31 + i / 7) % 48).collect(),
        latents,
        clusters,
        nuisances: vec![
            nuisance("view direction", (0.04, 0.5), 0.01),
            nuisance("defocus", (0.31, 0.5), 0.14),
            nuisance("optics group", (0.02, 0.1), 0.0),
            nuisance("micrograph", (0.06, 0.1), 0.03),
        ],
        clustering: Some(Clustering {
            method: "kmeans".into(),
            clusters: k,
            chosen: true,
            reason: format!("{k} clusters have a silhouette of 0.58 (best of 1 to 12: 0.58); the clusters are parted"),
            curve: (1..=12).map(|k| CurvePoint { k, within: 1.0 / k as f64, silhouette: 0.58 - 0.04 * (k as f64 - 4.0).abs() }).collect(),
            mean_certainty: None,
        }),
        comparison: Some(comparison(n, k)),
        reference: Some(map(32, 0.7)),
        files_inverted: false,
        differences: Some(differences(&states)),
        states,
        apix: 2.3,
        panels: panels.collect(),
        image_apix: 2.3,
    }
}

fn step(what: &str, command: &str, relion: &str) -> NextStep {
    let [what, command, relion] = [what, command, relion].map(String::from);
    NextStep { what, command, relion, scipion: "relion - 3D auto-refine".into(), pipeliner: "relion.refine3d".into() }
}

fn nuisance(name: &str, (told, told_limit): (f64, f64), share: f64) -> Nuisance {
    let share_limit = 0.1;
    Nuisance { name: name.into(), told, told_limit, share, share_limit, noteworthy: told > told_limit || share > share_limit }
}

fn comparison(n: usize, k: usize) -> Comparison {
    let of = |c: usize| StateMatch {
        here: c + 1,
        there: k - c,
        shared: n / k / 2 + c,
        overlap: 0.5 + 0.04 * c as f64,
        map_correlation: 0.97,
        difference_correlation: (c > 0).then_some(0.3 * c as f64 - 0.4),
    };
    Comparison {
        job: "External/job003".into(),
        epoch: 7,
        particles: n,
        alignment: 0.93,
        neighbours: 0.41,
        neighbours_by_chance: 0.02,
        rand_index: 0.71,
        mutual_information: 0.69,
        kept: 0.82,
        matches: (0..k).map(of).collect(),
        conclusion: "the two agree on most particles; look at the states that have no counterpart".into(),
    }
}

/// A short report's story: of decoded maps, encoded particles, or an imported run.
pub(crate) fn brief(subject: Subject) -> Story {
    let told = story(400, 4, 6);
    let moved = &told.latents + 1.5;
    let (pca, latents) = (told.pca.clone(), if subject == Subject::Encoded { moved } else { told.latents.clone() });
    let with_maps = subject == Subject::Maps;
    let clusters = match subject {
        Subject::Latents => analysis::clusters::assign(latents.view(), latents.select(ndarray::Axis(0), &[0]).view()).unwrap(),
        _ => analysis::clusters::assign(latents.view(), told.clusters.centers.view()).unwrap(),
    };
    let states = told.states.iter().enumerate().map(|(c, state)| State {
        particles: clusters.sizes.get(c).copied().unwrap_or(0),
        file: format!("vol_{c:03}.mrc"),
        note: Some(format!("decoded at particle {}", 7 * c + 1)),
        difference: None,
        evidence: None,
        ..state.clone()
    });
    let states: Vec<State> = states.filter(|_| with_maps).collect();
    let ways = states.iter().map(|state| state.map.clone()).collect();
    Story {
        epoch: 12,
        subtitle: "what was done, in one line".into(),
        verdict: Some(Verdict { good: true, text: "12 of 400 particles (3%) lie farther from every cluster.".into() }),
        facts: told.facts.clone(),
        next_steps: told.next_steps.clone(),
        ground: (subject == Subject::Encoded)
            .then(|| Ground { name: "particles that the model was trained on".into(), latents: told.latents.clone() }),
        nuisances: if with_maps { Vec::new() } else { told.nuisances.clone() },
        columns: if with_maps { Vec::new() } else { told.columns.clone() },
        view_classes: if with_maps { Vec::new() } else { told.view_classes.clone() },
        ways: if with_maps {
            vec![Way { name: "the chosen particles".into(), stem: "maps".into(), folder: String::new(), maps: ways }]
        } else {
            Vec::new()
        },
        states,
        apix: 2.3,
        ..Story::of(subject, "External/job021", latents, pca, clusters)
    }
}

/// A fresh folder for one test's files.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
