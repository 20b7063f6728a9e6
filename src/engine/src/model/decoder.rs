//! The decoder: a latent to a volume by a ladder of transposed convolutions, and, where asked for, to a correction of the pose.

use super::geometry::quaternions;
use super::layers::{BLOCKS, HALVING, KEEPING, Layer, RECTIFIED_GAIN, channels_to_space, resize};
use super::tuning;
use contract::{ModelLayout, ResizeAt, Width};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Weight of "no rotation" in the learned quaternion (16, a, b, c), as in the original.
const IDENTITY_WEIGHT: f64 = 16.0;
/// Numbers that the pose head gives a body: three of the quaternion, three of the translation.
const POSE_NUMBERS: i64 = 6;

/// The last step, from the finest channels to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A transposed convolution to one channel (`conv_out`), as the original.
    Transposed,
    /// A convolution to eight channels that become the eight voxels of a block: the same reach, several times faster on a CPU.
    Shuffled,
}

/// Shape of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Latent dimensions of structure.
    pub latent: i64,
    /// Latent dimensions of the pose correction; 0: none.
    pub pose_latent: i64,
    /// Units of the first fully connected layer (and of the pose head's).
    pub dense: i64,
    /// Channels and side of the grid that the second fully connected layer fills.
    pub root: (i64, i64),
    /// Channels of the doubling steps without overlap (`template2`).
    pub blocks: Vec<i64>,
    /// Channels of the doubling steps before resampling (`template3`).
    pub before: Vec<i64>,
    /// Side that the grid is resampled to; `None`: not at all.
    pub waist: Option<i64>,
    /// Channels of the doubling steps after resampling (`template4`).
    pub after: Vec<i64>,
    /// The last doubling.
    pub finish: Finish,
    /// Gain of the last layer.
    pub gain: f64,
    /// Numbers of the convolutions; what leads to them, and the volume, is single precision.
    pub kind: Kind,
}

impl DecoderConfig {
    /// The decoder of a layout.
    #[must_use]
    pub fn of(layout: &ModelLayout) -> Self {
        let template = layout.template as i64;
        let divisor = if layout.width == Width::Small { 4 } else { 1 };
        let divide = |channels: &[i64]| channels.iter().map(|c| c / divisor).collect();
        let common = Self {
            latent: layout.zdim as i64,
            pose_latent: layout.z_affine_dim as i64,
            dense: 512 / divisor,
            root: (2048 / divisor, 1),
            blocks: divide(&[1024, 512]),
            before: divide(&[256, 128]),
            waist: Some(template / 16),
            after: divide(&[64, 32, 16]),
            finish: Finish::Transposed,
            gain: 1.0,
            kind: Kind::Float,
        };
        match (layout.width, layout.resize_at) {
            // Four doublings, the first from template/16: no resampling needed, so `resize_at` has no say.
            (Width::Tiny, _) => Self {
                dense: 128,
                root: (64, template / 16),
                blocks: Vec::new(),
                before: vec![32, 16, 8],
                waist: None,
                after: Vec::new(),
                finish: Finish::Shuffled,
                ..common
            },
            (Width::Full | Width::Small, ResizeAt::Side16) => common,
            (Width::Full | Width::Small, ResizeAt::Side32) => {
                Self { before: divide(&[256, 128, 64]), waist: Some(template / 8), after: divide(&[32, 16]), ..common }
            }
        }
    }
}

/// A learned correction of the pose.
#[derive(Debug)]
pub struct PoseCorrection {
    /// Quaternion (16, a, b, c), not normalised, `[b, 4]`.
    pub quaternion: Tensor,
    /// Its matrix, `[b, 3, 3]`, between the particle's rotation and the hypothesis.
    pub rotation: Tensor,
    /// Translation in pixels of the original box, `[b, 3]`.
    pub translation_px: Tensor,
}

/// The decoder network.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    dense: [Layer; 2],
    doubling: Vec<Layer>,
    after: Vec<Layer>,
    last: Layer,
    pose: Option<[Layer; 2]>,
}

impl Decoder {
    /// A new decoder below `path`; names are the original's (`template.template1.0.weight`, …).
    #[must_use]
    pub fn new(path: &Path, config: DecoderConfig) -> Self {
        let path = &(path / "template");
        let (root_channels, root_side) = config.root;
        let root = root_channels * root_side * root_side * root_side;
        let dense = [
            Layer::linear(&(path / "template1" / 0), config.latent, config.dense, RECTIFIED_GAIN),
            Layer::linear(&(path / "template1" / 2), config.dense, root, RECTIFIED_GAIN),
        ];
        let pose = (config.pose_latent > 0).then(|| {
            let common = Layer::linear(&(path / "affine_common" / 0), config.pose_latent, config.dense, RECTIFIED_GAIN);
            let head = Layer::linear(&(path / "affine_head"), config.dense, POSE_NUMBERS, 1.0);
            head.silence(0.0); // training starts with the given poses
            [common, head]
        });
        let mut inputs = root_channels;
        let mut part = |name: &str, channels: &[i64], shape| -> Vec<Layer> {
            let path = path / name;
            let layer = |(level, &outputs): (usize, &i64)| {
                let layer = Layer::transposed(&(&path / (2 * level)), inputs, outputs, shape, RECTIFIED_GAIN);
                inputs = outputs;
                layer
            };
            channels.iter().enumerate().map(layer).collect()
        };
        let mut doubling = part("template2", &config.blocks, BLOCKS);
        doubling.extend(part("template3", &config.before, HALVING));
        let after = part("template4", &config.after, HALVING);
        let finish = &(path / "conv_out");
        let last = match config.finish {
            Finish::Transposed => Layer::transposed(finish, inputs, 1, HALVING, config.gain),
            Finish::Shuffled => Layer::convolution(finish, inputs, 8, KEEPING, config.gain),
        };
        Self { config, dense, doubling, after, last, pose }
    }

    /// The shape.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Computes convolutions in these numbers from here on.
    pub fn set_kind(&mut self, kind: Kind) {
        self.config.kind = kind;
    }

    /// Volumes `[b, 1, t, t, t]` of latents `[b, latent]` (columns beyond the structure's are left to [`Self::pose`]).
    pub fn forward(&self, latents: &Tensor) -> Tensor {
        let batch = latents.size()[0];
        let (channels, side) = self.config.root;
        let structure = latents.narrow(1, 0, self.config.latent);
        let root = self.dense[1].rectified(&self.dense[0].rectified(&structure)).view([batch, channels, side, side, side]);
        let run = |layers: &[Layer], x: Tensor| layers.iter().fold(x, |x, layer| layer.rectified(&x));
        let ladder = run(&self.doubling, tuning::of(root.device()).layout.of(&root.to_kind(self.config.kind))); // the layout is handed on from level to level
        let ladder = match self.config.waist {
            Some(side) => resize(&ladder, side),
            None => ladder,
        };
        let finest = run(&self.after, ladder);
        let last = self.last.forward(&finest).to_kind(Kind::Float);
        match self.config.finish {
            Finish::Transposed => last,
            Finish::Shuffled => channels_to_space(&last),
        }
    }

    /// The pose correction of latents `[b, latent + pose_latent]`; `None` where the layout has none.
    #[must_use]
    pub fn pose(&self, latents: &Tensor) -> Option<PoseCorrection> {
        let [common, head] = self.pose.as_ref()?;
        let numbers = head.forward(&common.rectified(&latents.narrow(1, self.config.latent, self.config.pose_latent)));
        let identity = Tensor::full([numbers.size()[0], 1], IDENTITY_WEIGHT, (Kind::Float, numbers.device()));
        let quaternion = Tensor::cat(&[identity, numbers.narrow(1, 0, 3)], 1);
        Some(PoseCorrection { rotation: quaternions(&quaternion), quaternion, translation_px: numbers.narrow(1, 3, 3) })
    }
}
