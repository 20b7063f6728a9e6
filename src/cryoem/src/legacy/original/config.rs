//! `config.pkl`: how the original was called, and the sizes that followed.

use crate::legacy::{StorageName, Value, read};
use crate::mask::even;
use contract::{Problem, Result};
use std::path::{Path, PathBuf};

/// The facts of `config.pkl` that a model needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Box of the images, pixels.
    pub box_px: usize,
    /// Side of the down-sampled images, pixels.
    pub size_px: usize,
    /// Side of the rendered region on the grid of the down-sampled images, pixels.
    pub crop_px: usize,
    /// Side of the decoded volume, voxels.
    pub template_px: usize,
    /// Latent dimensions of structure.
    pub zdim: usize,
    /// Latent dimensions of the pose correction, where the file speaks of them.
    pub z_affine_dim: Option<usize>,
    /// Pixel size of the down-sampled images, Å.
    pub apix: f64,
    /// Grey value that images were divided by (second revision), where the file has one.
    pub image_std: Option<f64>,
    /// Particles, as they were named.
    pub particles: Option<PathBuf>,
    /// Archive of poses, as it was named.
    pub poses: Option<PathBuf>,
    /// Archive of CTF parameters, as it was named.
    pub ctf: Option<PathBuf>,
    /// Folder of the images, as it was named.
    pub datadir: Option<PathBuf>,
}

impl Config {
    /// Reads the file; what follows its first part (times and versions) is not looked at.
    ///
    /// # Errors
    /// The file cannot be read, holds anything but plain values, or lacks one that is needed.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(&read(path)?).map_err(|problem| if problem.culprit.is_none() { problem.at(path.display().to_string()) } else { problem })
    }

    fn of(value: &Value) -> Result<Self> {
        let entry = |part: &str, name: &str| value.get(part).and_then(|part| part.get(name));
        let number = |part: &str, name: &str| {
            entry(part, name)
                .and_then(number_of)
                .ok_or_else(|| Problem::input(format!("has no number `{part}.{name}`")).hint("give the `config.pkl` of the same run"))
        };
        let count = |part: &str, name: &str| {
            let value = number(part, name)?;
            if value >= 1.0 && value.fract() == 0.0 && value <= f64::from(u16::MAX) {
                Ok(value as usize)
            } else {
                Err(Problem::input(format!("`{part}.{name}` is {value}, which is no size")).hint("give the `config.pkl` of the same run"))
            }
        };
        let path = |name: &str| match entry("dataset_args", name) {
            Some(Value::Text(text)) if !text.is_empty() => Some(PathBuf::from(text)),
            _ => None,
        };
        // The lattice has a point more than the image.
        let box_px = count("lattice_args", "D")?.saturating_sub(1);
        let downfrac = number("dataset_args", "downfrac")?;
        let apix = number("model_args", "Apix")?;
        if !(apix.is_finite() && apix > 0.0) {
            return Err(Problem::input(format!("`model_args.Apix` is {apix}, which is no pixel size")));
        }
        let size_px = even(box_px as f64 * downfrac.clamp(0.0, 1.0));
        let crop_px = count("model_args", "down_vol_size")?;
        if crop_px > size_px || crop_px % 2 == 1 {
            return Err(Problem::input(format!(
                "`model_args.down_vol_size` is {crop_px}, but images of {box_px} pixels times {downfrac} are {size_px} pixels wide"
            ))
            .hint("give the `config.pkl` of the same run"));
        }
        let image_std = match entry("dataset_args", "norm") {
            Some(Value::List(parts) | Value::Tuple(parts)) => parts.get(1).and_then(number_of).filter(|std| std.is_finite() && *std > 0.0),
            _ => None,
        };
        Ok(Self {
            box_px,
            size_px,
            crop_px,
            template_px: count("model_args", "templateres")?,
            zdim: count("model_args", "zdim")?,
            z_affine_dim: entry("model_args", "z_affine_dim").and_then(number_of).map(|number| number as usize),
            apix,
            image_std,
            particles: path("particles"),
            poses: path("poses"),
            ctf: path("ctf"),
            datadir: path("datadir"),
        })
    }
}

/// A number, also in an array or a tensor of one element.
fn number_of(value: &Value) -> Option<f64> {
    let first = |values: Result<Vec<f64>>| match values.ok()?.as_slice() {
        [number] => Some(*number),
        _ => None,
    };
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Array(array) => first(array.to_f64()),
        Value::Tensor(view) => match &view.storage {
            StorageName::Here(bytes) => first(view.gather(bytes).and_then(|array| array.to_f64())),
            StorageName::Named(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/legacy/config.pkl")
    }

    #[test]
    fn the_sizes_of_a_run_are_read() {
        let config = Config::read(&fixture()).unwrap();
        let expected = Config {
            box_px: 32,
            size_px: 24,
            crop_px: 20,
            template_px: 32,
            zdim: 8,
            z_affine_dim: Some(4),
            apix: 4.0,
            image_std: Some(2.0),
            particles: Some("set/images.txt".into()),
            poses: Some("set/poses.pkl".into()),
            ctf: Some("set/ctf.pkl".into()),
            datadir: None,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn what_is_missing_or_impossible_is_named() {
        let whole = read(&fixture()).unwrap();
        let changed = |part: &str, name: &str, value: Option<Value>| {
            let Value::Dict(mut parts) = whole.clone() else { panic!("no dictionary") };
            for (key, inner) in &mut parts {
                if let (Value::Text(key), Value::Dict(entries)) = (key, inner)
                    && key == part
                {
                    entries.retain(|(k, _)| *k != Value::Text(name.into()));
                    entries.extend(value.clone().map(|value| (Value::Text(name.into()), value)));
                }
            }
            Config::of(&Value::Dict(parts)).unwrap_err().to_string()
        };
        assert!(changed("model_args", "zdim", None).contains("has no number `model_args.zdim`"));
        assert!(changed("model_args", "Apix", Some(Value::Text("x".into()))).contains("has no number `model_args.Apix`"));
        assert!(changed("model_args", "Apix", Some(Value::Float(-1.0))).contains("no pixel size"));
        assert!(changed("model_args", "templateres", Some(Value::Float(1.5))).contains("which is no size"));
        assert!(changed("model_args", "down_vol_size", Some(Value::Int(26))).contains("are 24 pixels wide"));
        assert!(changed("lattice_args", "D", Some(Value::Int(-3))).contains("which is no size"));
    }
}
