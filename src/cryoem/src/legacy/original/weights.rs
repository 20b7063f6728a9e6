//! `weights.N.pkl`: the networks' layers and the masks.

use super::{Config, Revision};
use crate::legacy::array::Elements;
use crate::legacy::{TorchFile, Value, View};
use crate::volume::Volume;
use contract::{EncoderGrid, ModelLayout, Problem, ResizeAt, Result, Width};
use ndarray::Array3;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a layer's tensors are called.
const LEARNED: [&str; 2] = [".weight", ".bias"];
/// A part of a name that wrappers for several GPUs put in.
const WRAPPER: &str = "module";
/// Channels of the encoder's first level in the original, and divided by 4.
const FIRST_CHANNELS: [(usize, Width); 2] = [(32, Width::Full), (8, Width::Small)];
/// Numbers that the head of the pose correction gives a body.
const POSE_NUMBERS: usize = 6;
/// Names of the decoder's layers where the first revision keeps all of them in one row because nothing is resampled between them
/// (volumes of 256³), and in two parts otherwise: `template2.4` is `template3.0`, and so on.
const ONE_ROW: [(&str, &str); 5] = [
    ("template2.4.", "template3.0."),
    ("template2.6.", "template3.2."),
    ("template2.8.", "template3.4."),
    ("template2.10.", "template4.0."),
    ("template2.12.", "template4.2."),
];

/// A file of weights, open.
pub struct Weights {
    path: PathBuf,
    file: TorchFile,
    /// Layers by the names that they have here, which are the original's without wrappers.
    layers: BTreeMap<String, View>,
    /// Everything else: grids, masks.
    others: BTreeMap<String, View>,
}

impl Weights {
    /// Opens a file of either revision, from one GPU or several.
    ///
    /// # Errors
    /// The file cannot be read, holds anything but plain values and tensors, or no encoder and decoder.
    pub fn open(path: &Path) -> Result<Self> {
        let file = TorchFile::open(path)?;
        let mut weights = Self { path: path.to_owned(), file, layers: BTreeMap::new(), others: BTreeMap::new() };
        for (name, view) in weights.tensors()? {
            let kind = if LEARNED.iter().any(|ending| name.ends_with(ending)) { &mut weights.layers } else { &mut weights.others };
            if kind.insert(name.clone(), view).is_some() {
                return Err(weights.wrong(format!("tensor `{name}` is there twice")));
            }
        }
        Ok(weights)
    }

    /// All tensors of the networks, by name.
    fn tensors(&self) -> Result<Vec<(String, View)>> {
        let value = self.file.value();
        let parts: Vec<(&str, &Value)> = match value.get("model_state_dict") {
            Some(model) => vec![("", model)],
            None => [("encoder.", "encoder_state_dict"), ("decoder.", "decoder_state_dict")]
                .into_iter()
                .filter_map(|(prefix, part)| Some((prefix, value.get(part)?)))
                .collect(),
        };
        let mut tensors = Vec::new();
        for (prefix, part) in parts {
            let Value::Dict(entries) = part else { return Err(self.wrong("its state is no dictionary".into())) };
            for (name, value) in entries {
                let (Value::Text(name), Value::Tensor(view)) = (name, value) else {
                    return Err(self.wrong("its state holds something that is no tensor with a name".into()));
                };
                tensors.push((name_here(&format!("{prefix}{name}")), view.clone()));
            }
        }
        // All in one row: the names of the parts stand for the same layers.
        if tensors.iter().any(|(name, _)| name == "decoder.template.template2.4.weight") {
            for (name, _) in &mut tensors {
                if let Some((there, here)) = ONE_ROW.iter().find(|(there, _)| name.starts_with(&format!("decoder.template.{there}"))) {
                    *name = name.replace(there, here);
                }
            }
        }
        Ok(tensors)
    }

    fn wrong(&self, what: String) -> Problem {
        Problem::input(what)
            .at(self.path.display().to_string())
            .hint("give the `weights.N.pkl` that the original wrote, and its `config.pkl`")
    }

    /// The shape of a layer's tensor.
    fn shape(&self, name: &str) -> Result<&[usize]> {
        let view = self.layers.get(name).ok_or_else(|| self.wrong(format!("lacks the tensor `{name}`")))?;
        Ok(&view.shape)
    }

    /// Length of one axis of a layer's tensor.
    fn side(&self, name: &str, axis: usize) -> Result<usize> {
        let shape = self.shape(name)?;
        shape.get(axis).copied().ok_or_else(|| self.wrong(format!("tensor `{name}` is {shape:?}")))
    }

    /// Which revision wrote the file.
    ///
    /// # Errors
    /// It has neither's layers.
    pub fn revision(&self) -> Result<Revision> {
        if self.layers.contains_key("encoder.down3.0.weight") {
            return Ok(Revision::Second);
        }
        // The first revision's fully connected layer; where convolutions stand, it is the second revision's without the next part.
        match self.shape("encoder.down2.0.weight")? {
            [_, _] => Ok(Revision::First),
            _ => Err(self.wrong("lacks the tensor `encoder.down3.0.weight`".into())),
        }
    }

    /// The networks' layout, from the shapes, held against `config.pkl`.
    ///
    /// # Errors
    /// A tensor is missing or of a shape that no layout has, the two files disagree, or the model is one of several moving bodies.
    pub fn layout(&self, config: &Config) -> Result<ModelLayout> {
        let revision = self.revision()?;
        let first = self.side("encoder.down1.0.weight", 0)?;
        let width = FIRST_CHANNELS.iter().find(|(channels, _)| *channels == first).map(|(_, width)| *width);
        let width = width.ok_or_else(|| self.wrong(format!("tensor `encoder.down1.0.weight` has {first} channels, expected 32")))?;
        let zdim = self.side("decoder.template.template1.0.weight", 1)?;
        self.agree("zdim", zdim, config.zdim)?;
        let all = self.side("encoder.mu.weight", 0)?;
        let z_affine_dim = match revision {
            Revision::First => 0,
            Revision::Second => self.side("decoder.template.affine_common.0.weight", 1)?,
        };
        if all != zdim + z_affine_dim {
            return Err(self.wrong(format!(
                "tensor `encoder.mu.weight` gives {all} latent dimensions, the decoder takes {zdim} and {z_affine_dim} of the pose"
            )));
        }
        if revision == Revision::Second {
            let numbers = self.side("decoder.template.affine_head.weight", 0)?;
            if numbers != POSE_NUMBERS {
                return Err(Problem::input(format!(
                    "a model of several bodies: tensor `decoder.template.affine_head.weight` gives {numbers} numbers, {POSE_NUMBERS} are one body's"
                ))
                .at(self.path.display().to_string())
                .hint("only models that were trained without `--masks` can be imported"));
            }
            if let Some(said) = config.z_affine_dim {
                self.agree("z_affine_dim", z_affine_dim, said)?;
            }
        }
        if let Some((side, _)) = self.cube("decoder.ref_mask")? {
            self.agree("down_vol_size", side, config.crop_px)?;
        }
        let step = if revision == Revision::First { 8 } else { 16 };
        if config.template_px == 0 || !config.template_px.is_multiple_of(step) {
            return Err(self.wrong(format!("`model_args.templateres` is {}, which is no multiple of {step}", config.template_px)));
        }
        Ok(ModelLayout {
            zdim,
            z_affine_dim,
            width,
            encoder_grid: if revision == Revision::First { EncoderGrid::Fixed110 } else { EncoderGrid::Native },
            resize_at: if revision == Revision::First { ResizeAt::Side32 } else { ResizeAt::Side16 },
            template: config.template_px,
            crop: config.crop_px,
        })
    }

    fn agree(&self, name: &str, here: usize, config: usize) -> Result<()> {
        if here == config {
            return Ok(());
        }
        Err(self.wrong(format!("its tensors have {name} {here}, `config.pkl` says {config}")))
    }

    /// Names of the layers' tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.keys().map(String::as_str)
    }

    /// Shape and little-endian single-precision values of a layer's tensor, in C order.
    ///
    /// # Errors
    /// There is no such tensor, it is of another type, or holds values that are not finite.
    pub fn layer(&self, name: &str) -> Result<(Vec<usize>, Vec<u8>)> {
        let view = self.layers.get(name).ok_or_else(|| self.wrong(format!("lacks the tensor `{name}`")))?;
        if view.elements != Elements::Float(4) {
            return Err(self.wrong(format!("tensor `{name}` is not of single precision")));
        }
        let data = self.file.array(view)?.data;
        let finite = data.chunks_exact(4).all(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]]).is_finite());
        if finite { Ok((view.shape.clone(), data)) } else { Err(self.wrong(format!("tensor `{name}` holds values that are not finite"))) }
    }

    /// The decoder's mask on the crop's grid, 0..1; `None`: the file has none.
    ///
    /// # Errors
    /// It is no cube, or holds values that are not finite.
    pub fn decoder_mask(&self) -> Result<Option<Array3<f32>>> {
        self.mask("decoder.ref_mask")
    }

    /// The encoder's mask on its grid, 0..1; `None`: the file has none.
    ///
    /// # Errors
    /// It is no cube, or holds values that are not finite.
    pub fn encoder_mask(&self) -> Result<Option<Array3<f32>>> {
        self.mask("encoder.in_mask")
    }

    fn mask(&self, name: &str) -> Result<Option<Array3<f32>>> {
        let Some((side, view)) = self.cube(name)? else { return Ok(None) };
        let values: Vec<f32> = self.file.array(view)?.to_f64()?.into_iter().map(|value| value as f32).collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(self.wrong(format!("tensor `{name}` holds values that are not finite")));
        }
        Array3::from_shape_vec((side, side, side), values).map(Some).map_err(|error| self.wrong(error.to_string()))
    }

    /// A tensor that is a cube, whatever axes of length 1 it has besides; `None`: there is none.
    fn cube(&self, name: &str) -> Result<Option<(usize, &View)>> {
        let Some(view) = self.others.get(name) else { return Ok(None) };
        let axes: Vec<usize> = view.shape.iter().copied().filter(|axis| *axis != 1).collect();
        match axes[..] {
            [side, b, c] if side == b && b == c => Ok(Some((side, view))),
            _ => Err(self.wrong(format!("tensor `{name}` is {:?}, which is no cube", view.shape))),
        }
    }
}

/// A name without what wrappers put in.
fn name_here(name: &str) -> String {
    name.split('.').filter(|part| *part != WRAPPER).collect::<Vec<_>>().join(".")
}

/// A mask of the crop's grid in the centre of a larger cube.
#[must_use]
pub fn embedded(mask: &Array3<f32>, size_px: usize, apix: f64) -> Volume {
    let side = mask.dim().0;
    let mut whole = Volume::zeros(size_px, apix);
    // Voxel n/2 on voxel n/2.
    let start = size_px / 2 - side / 2;
    whole.data.slice_mut(ndarray::s![start..start + side, start..start + side, start..start + side]).assign(mask);
    whole
}
