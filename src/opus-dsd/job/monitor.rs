//! What the engine leaves for people while it trains: loss figures (`losses.jsonl`) and pictures of a few particles (`panels.safetensors`).

use super::drift;
use contract::{LossTerms, Problem, Result};
use ndarray::{Array2, ArrayView3, Axis};
use report::{EpochRecord, ImagePanels};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::path::Path;

const LOSSES: &str = "losses.jsonl";
const PANELS: &str = "panels.safetensors";
/// Lines that sum up an epoch.
const OF_EPOCH: &str = "epoch";

#[derive(Deserialize)]
struct Line {
    of: String,
    epoch: usize,
    terms: LossTerms,
    kl_nats: f64,
    snr: f64,
    validation: Option<f64>,
    #[serde(default)]
    active_dimensions: usize,
}

/// One entry an epoch; none where nothing was trained. The engine cuts lines of a lost state off, so that a run that was interrupted shows the same as one that was not.
pub(crate) fn epochs(folder: &Path) -> Result<Vec<EpochRecord>> {
    let path = folder.join(LOSSES);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).map_err(|e| Problem::io(&path, &e))?;
    let drift = drift::read(folder)?;
    text.lines()
        .map(|line| {
            serde_json::from_str::<Line>(line).map_err(|e| Problem::failed(format!("not understood: {e}")).at(path.display().to_string()))
        })
        .filter(|line| line.as_ref().map_or(true, |l| l.of == OF_EPOCH))
        .map(|line| {
            line.map(|l| EpochRecord {
                epoch: l.epoch,
                terms: l.terms,
                validation: l.validation,
                kl_nats: l.kl_nats,
                active_dimensions: l.active_dimensions,
                snr: l.snr,
                drift: drift.iter().find(|d| d.epoch == l.epoch).copied(),
            })
        })
        .collect()
}

/// The six pictures of each shown particle; none where the engine left none.
pub(crate) fn panels(folder: &Path) -> Result<Vec<ImagePanels>> {
    let path = folder.join(PANELS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = std::fs::read(&path).map_err(|e| Problem::io(&path, &e))?;
    let wrong = |what: String| Problem::failed(what).at(path.display().to_string());
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    let numbers = |name: &str| {
        let tensor = tensors.tensor(name).map_err(|e| wrong(format!("{name}: {e}")))?;
        let &[n, height, width] = tensor.shape() else { return Err(wrong(format!("{name} is no stack of images"))) };
        if tensor.dtype() != Dtype::F32 {
            return Err(wrong(format!("{name} is not of 32-bit numbers")));
        }
        let data: Vec<f32> = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(((n, height, width), data))
    };
    let stack = |name: &str| -> Result<Vec<Array2<f32>>> {
        let (shape, data) = numbers(name)?;
        let view = ArrayView3::from_shape(shape, &data).map_err(|e| wrong(format!("{name}: {e}")))?;
        Ok(view.axis_iter(Axis(0)).map(|image| image.to_owned()).collect())
    };
    let particles: Vec<usize> = tensors
        .tensor("particles")
        .map_err(|e| wrong(e.to_string()))?
        .data()
        .chunks_exact(8)
        .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as usize + 1)
        .collect();
    let names = ["projection", "projection_ctf", "masked_image", "encoder_input", "reconstruction", "image"];
    let [projection, blurred, masked, encoder, reconstruction, image] = names.map(stack);
    let mut columns = [projection?, blurred?, masked?, encoder?, reconstruction?, image?].map(Vec::into_iter);
    let mut all = Vec::with_capacity(particles.len());
    for particle in particles {
        let [Some(projection), Some(ctf_projection), Some(masked_image), Some(encoder_input), Some(reconstruction), Some(image)] =
            columns.each_mut().map(Iterator::next)
        else {
            return Err(wrong("fewer pictures than particles".into()));
        };
        all.push(ImagePanels { particle, projection, ctf_projection, masked_image, encoder_input, reconstruction, image });
    }
    Ok(all)
}
