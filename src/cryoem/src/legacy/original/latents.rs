//! `z.N.pkl`: latents of all particles.

use crate::legacy::{TorchFile, Value};
use contract::{Problem, Result};
use ndarray::Array2;
use std::path::Path;

/// Latents of structure of all particles, `[particles, zdim]`; row i belongs to image i.
///
/// # Errors
/// The file cannot be read, holds anything but plain values and tensors, or no finite table `mu`.
pub fn read_latents(path: &Path) -> Result<Array2<f32>> {
    let wrong = |what: String| Problem::input(what).at(path.display().to_string()).hint("give the `z.N.pkl` that the original wrote");
    let file = TorchFile::open(path)?;
    let array = match file.value().get("mu") {
        Some(Value::Tensor(view)) => file.array(view)?,
        Some(Value::Array(array)) => array.clone(),
        _ => return Err(wrong("has no latents: there is no tensor `mu`".into())),
    };
    let [rows, columns] = array.shape[..] else { return Err(wrong(format!("`mu` is {:?}, expected [particles, zdim]", array.shape))) };
    let values: Vec<f32> = array.to_f64()?.into_iter().map(|value| value as f32).collect();
    if rows == 0 || columns == 0 {
        return Err(wrong(format!("`mu` is {:?}: it holds nothing", array.shape)));
    }
    if let Some(bad) = values.iter().position(|value| !value.is_finite()) {
        return Err(wrong(format!("the latent of particle {} is not finite", bad / columns + 1)));
    }
    Array2::from_shape_vec((rows, columns), values).map_err(|error| wrong(error.to_string()))
}
