//! Latents and maps of a job against the truth.

use crate::runs::{self, Run};
use analysis::score::{self, Continuous, Discrete, MapScore, MapScorer};
use cryoem::mrc::read_volume;
use cryoem::volume::Volume;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::path::Path;

/// Maps that a score of maps is taken over.
const SCORED_MAPS: usize = 40;
/// Box of the true maps, voxels.
const TRUTH_BOX_PX: usize = 32;

/// What a particle is.
#[derive(Clone, Copy)]
pub(crate) struct Label {
    pub(crate) state: usize,
    /// Position on the path, 0 to 1.
    pub(crate) position: f64,
}

/// Labels of all particles of a set.
pub(crate) fn labels(set: &Path) -> Vec<Label> {
    let text = std::fs::read_to_string(set.join("labels.csv")).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        Label { state: cells[1].parse().unwrap(), position: cells[2].parse().unwrap() }
    });
    rows.collect()
}

/// A NumPy table of 32-bit numbers.
pub(crate) fn read_npy(path: &Path) -> Array2<f32> {
    let bytes = std::fs::read(path).unwrap();
    let body = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..body]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let sides: Vec<usize> = shape.split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let values = bytes[body..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Array2::from_shape_vec((sides[0], sides[1]), values).unwrap()
}

/// Latents of a job.
pub(crate) fn latents(run: &Run) -> Array2<f32> {
    read_npy(&run.job.join("latents.npy"))
}

/// How well the latents tell the position on the path.
pub(crate) fn continuous(run: &Run) -> Continuous {
    let positions: Vec<f64> = labels(&run.set).iter().map(|l| l.position).collect();
    score::continuous(latents(run).view(), &positions).unwrap()
}

/// How well the latents tell the state.
pub(crate) fn discrete(run: &Run) -> Discrete {
    let states: Vec<usize> = labels(&run.set).iter().map(|l| l.state).collect();
    score::discrete(latents(run).view(), &states).unwrap()
}

/// True maps of some states, by state.
pub(crate) fn truth(molecule: &str) -> BTreeMap<usize, Volume> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/truth");
    let mut maps = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(state) = name.strip_prefix(molecule).and_then(|rest| rest.strip_prefix('_')).and_then(|rest| rest.strip_suffix(".mrc"))
        {
            maps.insert(state.parse().unwrap(), read_volume(&entry.path()).unwrap());
        }
    }
    assert!(maps.len() >= 4, "true maps of {molecule}");
    maps
}

/// Maps decoded at particles' latents, held against the true map of each particle's state, in the mask; the base volume is the reference.
pub(crate) fn maps(run: &Run, molecule: &str) -> MapScore {
    let (truth, labels) = (truth(molecule), labels(&run.set));
    let each = SCORED_MAPS / truth.len();
    let of_state = |state: usize| labels.iter().enumerate().filter(move |(_, l)| l.state == state).map(|(i, _)| i).take(each);
    let particles: Vec<usize> = truth.keys().flat_map(|&state| of_state(state)).collect();
    // Counted from 1 there.
    let list: Vec<String> = particles.iter().map(|row| (row + 1).to_string()).collect();
    let folder = runs::decode(run, "at-particles", &format!("--particles {} --box {TRUTH_BOX_PX}", list.join(",")));
    let mut scorer = MapScorer::new(truth, &read_volume(&run.job.join("base.mrc")).unwrap(), Some(mask(run))).unwrap();
    for (row, &particle) in particles.iter().enumerate() {
        let map = read_volume(&folder.join(format!("vol_{row:03}.mrc"))).unwrap();
        scorer.add(&map, labels[particle].state).unwrap();
    }
    scorer.finish().unwrap()
}

/// The job's mask on the grid of the true maps.
fn mask(run: &Run) -> Volume {
    read_volume(&run.job.join("mask.mrc")).unwrap()
}

/// The state whose true map correlates best with a map, in the job's mask.
pub(crate) fn best_state(run: &Run, map: &Path, truth: &BTreeMap<usize, Volume>) -> usize {
    let mask = mask(run);
    let map = read_volume(map).unwrap().resampled(TRUTH_BOX_PX, mask.apix).unwrap();
    let correlations: Vec<(usize, f64)> = truth.iter().map(|(&state, t)| (state, correlation(&map, t, &mask))).collect();
    correlations.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
}

/// Pearson's correlation of voxels in a mask.
fn correlation(a: &Volume, b: &Volume, mask: &Volume) -> f64 {
    let inside: Vec<(f64, f64)> =
        a.data.iter().zip(&b.data).zip(&mask.data).filter(|(_, m)| **m > 0.5).map(|((a, b), _)| (f64::from(*a), f64::from(*b))).collect();
    let n = inside.len() as f64;
    let (ma, mb) = (inside.iter().map(|p| p.0).sum::<f64>() / n, inside.iter().map(|p| p.1).sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in inside {
        ab += (a - ma) * (b - mb);
        aa += (a - ma).powi(2);
        bb += (b - mb).powi(2);
    }
    ab / (aa * bb).sqrt()
}
