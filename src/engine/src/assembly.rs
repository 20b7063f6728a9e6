//! Networks and scene together: an image to a latent, a latent to a volume. Made fresh for a run, or from a checkpoint alone.

use crate::data::Batch;
use crate::model::decoder::{Decoder, DecoderConfig};
use crate::model::encoder::{Encoder, EncoderConfig};
use crate::model::smoothing::Smoothing;
use crate::scene::{Maps, Scene};
use crate::training::checkpoint::Checkpoint;
use contract::{BaseVolume, Precision, Problem, Result, TrainSettings};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Log standard deviation that the encoder starts with: certain enough for the decoder to listen from the first step.
const LOGSTD_START: f64 = -1.0;

/// Weights of the encoder's last layer of the mean (its bias starts at zero anyway).
const ENCODER_MEAN: &str = "encoder.mu.weight";

/// The library's generator, which initial weights are drawn from, is one for the whole process.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Model and fixed operators on one device.
pub struct Assembly {
    /// All learned tensors.
    pub store: VarStore,
    /// Cube to latent.
    pub encoder: Encoder,
    /// Latent to volume.
    pub decoder: Decoder,
    /// Fixed operators.
    pub scene: Scene,
    /// The maps that the scene was made from.
    pub maps: Maps,
    /// Decided settings.
    pub settings: TrainSettings,
    /// Where the latents of the particles that it was trained on start, `[n, k]`, with a warm start.
    pub scores: Option<Tensor>,
    /// Factor on images in their own grey scale that a model of another program was trained with; `None`: noise of standard deviation 1.
    pub image_scale: Option<f64>,
    /// Of what the decoder adds to a base.
    smoothing: Option<Smoothing>,
    device: Device,
}

impl Assembly {
    /// A fresh model with weights drawn from the settings' seed.
    ///
    /// # Errors
    /// Layout and maps do not fit together.
    pub fn new(settings: &TrainSettings, maps: Maps, device: Device) -> Result<Self> {
        let store = VarStore::new(device);
        let as_original = settings.base == BaseVolume::None && settings.warm_start.is_none();
        let kind = kind_of(settings.precision);
        let shape =
            EncoderConfig { logstd_bias: if as_original { 0.0 } else { LOGSTD_START }, kind, ..EncoderConfig::of(&settings.layout) };
        let grid = shape.grid;
        let (encoder, decoder) = {
            let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
            tch::manual_seed(settings.seed as i64);
            let encoder = Encoder::new(&(store.root() / "encoder"), shape);
            (encoder, Decoder::new(&(store.root() / "decoder"), DecoderConfig { kind, ..DecoderConfig::of(&settings.layout) }))
        };
        let scene = Scene::new(settings, &maps, grid, &store, device)?;
        Ok(Self {
            store,
            encoder,
            decoder,
            scene,
            maps,
            settings: settings.clone(),
            scores: None,
            image_scale: None,
            smoothing: (settings.base != BaseVolume::None).then(|| Smoothing::new(device)),
            device,
        })
    }

    /// The model of a checkpoint.
    ///
    /// # Errors
    /// The checkpoint lacks a tensor, or holds one of another shape.
    pub fn of_checkpoint(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        let tensor = |name: &str| checkpoint.fixed.get(name).map(Tensor::shallow_clone);
        let mask = tensor("mask").ok_or_else(|| Problem::input("lacks the tensor `mask`").at("fixed.safetensors"))?;
        let maps = Maps {
            mask,
            encoder_mask: tensor("encoder_mask"),
            base: tensor("base"),
            base_scale: checkpoint.data.base_scale,
            size_px: checkpoint.data.size_px,
            apix: checkpoint.data.apix,
        };
        let mut assembly = Self::new(&checkpoint.settings, maps, device)?;
        assembly.load_weights(&checkpoint.weights)?;
        if let Some(scale) = tensor("input_scale") {
            assembly.scene.input_scale = scale.double_value(&[0]);
        }
        assembly.image_scale = tensor("image_scale").map(|scale| scale.double_value(&[0]));
        assembly.scores = tensor("scores").map(|scores| scores.to_device(device));
        Ok(assembly)
    }

    /// Takes settings over that leave the model as it is: those of a run that goes on.
    pub fn take_settings(&mut self, settings: &TrainSettings) {
        let kind = kind_of(settings.precision);
        self.encoder.set_kind(kind);
        self.decoder.set_kind(kind);
        self.settings = settings.clone();
    }

    /// Where the model is.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Why a part of a step is made without its kernels, which takes longer and more memory; `None` where these make all.
    #[must_use]
    pub fn without_kernel(&self) -> Option<&Problem> {
        self.scene.without_kernel().or_else(|| self.smoothing.as_ref().and_then(Smoothing::without_kernel))
    }

    /// Makes the encoder's mean start at zero, so that latents which start from scores start exactly there.
    pub fn silence_mean(&mut self) {
        if let Some(mut weight) = self.store.variables().remove(ENCODER_MEAN) {
            let _ = tch::no_grad(|| weight.zero_());
        }
    }

    /// Learned tensors by name (shared storage).
    #[must_use]
    pub fn weights(&self) -> HashMap<String, Tensor> {
        self.store.variables()
    }

    /// Takes weights over by name.
    ///
    /// # Errors
    /// Names a tensor that is missing or has another shape.
    pub fn load_weights(&mut self, weights: &HashMap<String, Tensor>) -> Result<()> {
        for (name, mut target) in self.store.variables() {
            let source = weights.get(&name).filter(|source| source.size() == target.size()).ok_or_else(|| {
                Problem::input(format!("tensor `{name}` is missing or has another shape than the settings ask for"))
                    .at("weights.safetensors")
            })?;
            tch::no_grad(|| target.copy_(source));
        }
        Ok(())
    }

    /// Maps and operators that a checkpoint must hold to be complete in itself.
    #[must_use]
    pub fn fixed(&self) -> HashMap<String, Tensor> {
        let mut fixed = HashMap::from([("mask".to_owned(), self.maps.mask.shallow_clone())]);
        fixed.insert("input_scale".into(), Tensor::from_slice(&[self.scene.input_scale]));
        if let Some(base) = &self.maps.base {
            fixed.insert("base".into(), base.shallow_clone());
        }
        if let Some(scores) = &self.scores {
            fixed.insert("scores".into(), scores.shallow_clone());
        }
        fixed
    }

    /// Latent dimensions, the pose correction's included.
    #[must_use]
    pub fn latent_dimensions(&self) -> i64 {
        (self.settings.layout.zdim + self.settings.layout.z_affine_dim) as i64
    }

    /// Latent means and raw (unclamped) log standard deviations, `[b, d]` each. `anchors` are the batch's rows of [`Self::anchors`].
    pub fn encode(&self, cubes: &Tensor, anchors: Option<&Tensor>) -> (Tensor, Tensor) {
        let (mu, logstd) = if self.settings.recompute_encoder {
            self.encoder.forward_again(cubes, self.settings.micro_batch as i64)
        } else {
            self.encoder.forward(cubes)
        };
        match anchors {
            Some(anchors) => (mu + anchors, logstd),
            None => (mu, logstd),
        }
    }

    /// Scores `[n, k]` with zeros for the latent dimensions beyond them, `[n, d]`.
    pub fn anchors(&self, scores: &Tensor) -> Tensor {
        let scores = scores.to_device(self.device);
        let rest = self.latent_dimensions() - scores.size()[1];
        Tensor::cat(&[&scores, &Tensor::zeros([scores.size()[0], rest], (Kind::Float, self.device))], 1)
    }

    /// The decoder's output for latents `[b, d]`, smoothed where it adds to a base volume, `[b, 1, t, t, t]`.
    pub fn net(&self, latents: &Tensor) -> Tensor {
        let net = self.decoder.forward(latents);
        match &self.smoothing {
            Some(smoothing) => smoothing.smooth(&net),
            None => net,
        }
    }

    /// Renderings of volumes under the batch's poses (hypotheses included) and CTFs, `[b, k, crop, crop]`; `latents` give the learned pose.
    pub fn render(&self, volumes: &Tensor, latents: &Tensor, batch: &Batch, box_px: usize) -> Tensor {
        let pose = self.decoder.pose(latents);
        let correction = pose.as_ref().map(|pose| &pose.rotation);
        // The head speaks of pixels of the original box.
        let step = self.maps.size_px as f64 / box_px.max(1) as f64;
        let shift = pose.as_ref().map(|pose| &pose.translation_px * step);
        let projections = self.scene.project(volumes, batch, correction, shift.as_ref());
        let transfer = self.scene.transfer(batch, &self.scene.ctf(batch));
        crate::model::fourier::filter(&projections, &transfer)
    }
}

/// Of the networks' numbers.
pub(crate) fn kind_of(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}
