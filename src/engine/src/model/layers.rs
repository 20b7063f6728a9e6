//! The few layers that both networks are made of, with the original's initialisation and parameter names (`weight`, `bias`).

use super::tuning::{self, Convolutions};
use super::volume::interpolate;
use crate::native::leaky_relu_;
use tch::nn::{Init, Path};
use tch::{Device, Kind, Tensor};

/// Slope of the leaky rectifier below zero, as in the original.
pub const LEAKY_SLOPE: f64 = 0.2;

/// Gain of a layer that a leaky rectifier follows: √(2/(1+slope²)).
pub const RECTIFIED_GAIN: f64 = 1.386_750_490_563_073; // sqrt(2/1.04)

/// What kind of layer a [`Layer`] is.
#[derive(Clone, Copy, Debug)]
enum Kernel {
    Linear,
    Convolution { stride: i64, padding: i64 },
    Transposed { stride: i64, padding: i64 },
}

/// An affine layer: matrix product, 3D convolution, or transposed 3D convolution, with bias.
#[derive(Debug)]
pub struct Layer {
    weight: Tensor,
    bias: Tensor,
    kernel: Kernel,
    /// [`TAPS`] where the layer is a doubling to one channel, on its device: sent there once, since a device would wait for it every time.
    taps: Option<Tensor>,
}

impl Layer {
    /// `[.., inputs] → [.., outputs]`; weight `[outputs, inputs]`.
    #[must_use]
    pub fn linear(path: &Path, inputs: i64, outputs: i64, gain: f64) -> Self {
        Self::new(path, &[outputs, inputs], bound(gain, inputs + outputs, 1.0), outputs, Kernel::Linear)
    }

    /// 3D convolution; weight `[outputs, inputs, k, k, k]`.
    #[must_use]
    pub fn convolution(path: &Path, inputs: i64, outputs: i64, shape: Shape, gain: f64) -> Self {
        let Shape { size: k, stride, padding } = shape;
        let width = bound(gain, inputs + outputs, (k * k * k) as f64);
        Self::new(path, &[outputs, inputs, k, k, k], width, outputs, Kernel::Convolution { stride, padding })
    }

    /// Transposed 3D convolution; weight `[inputs, outputs, k, k, k]`. The taps of each stride³ block start equal, so that the first
    /// up-sampling shows no checkerboard (as the original).
    #[must_use]
    pub fn transposed(path: &Path, inputs: i64, outputs: i64, shape: Shape, gain: f64) -> Self {
        let Shape { size: k, stride, padding } = shape;
        let taps = (k * k * k) as f64 / (stride * stride * stride) as f64;
        let width = bound(gain, inputs + outputs, taps);
        let layer = Self::new(path, &[inputs, outputs, k, k, k], width, outputs, Kernel::Transposed { stride, padding });
        tch::no_grad(|| {
            let blocks = k / stride;
            let corner = layer.weight.slice(2, 0, None, stride).slice(3, 0, None, stride).slice(4, 0, None, stride);
            let spread = corner
                .reshape([inputs, outputs, blocks, 1, blocks, 1, blocks, 1])
                .expand([inputs, outputs, blocks, stride, blocks, stride, blocks, stride], false)
                .reshape([inputs, outputs, k, k, k]);
            layer.weight.shallow_clone().copy_(&spread);
        });
        layer
    }

    fn new(path: &Path, shape: &[i64], width: f64, outputs: i64, kernel: Kernel) -> Self {
        let weight = path.var("weight", shape, Init::Uniform { lo: -width, up: width });
        let bias = path.var("bias", &[outputs], Init::Const(0.0));
        let is_doubling = matches!(kernel, Kernel::Transposed { stride: 2, padding: 1 }) && shape[1..] == [1, 4, 4, 4];
        let taps = is_doubling.then(|| Tensor::from_slice(&TAPS).to_device(path.device()));
        Self { weight, bias, kernel, taps }
    }

    /// The same layer: weight and bias are shared.
    #[must_use]
    pub fn share(&self) -> Self {
        let [weight, bias] = self.parameters();
        Self { weight, bias, kernel: self.kernel, taps: self.taps.as_ref().map(Tensor::shallow_clone) }
    }

    /// Weight and bias (shared).
    pub fn parameters(&self) -> [Tensor; 2] {
        [self.weight.shallow_clone(), self.bias.shallow_clone()]
    }

    /// Sets the weights to zero and the bias to a value: a head that starts by saying nothing.
    pub fn silence(&self, bias: f64) {
        tch::no_grad(|| {
            let _ = self.weight.shallow_clone().zero_();
        });
        self.set_bias(bias);
    }

    /// Sets every element of the bias.
    pub fn set_bias(&self, bias: f64) {
        tch::no_grad(|| {
            let _ = self.bias.shallow_clone().fill_(bias);
        });
    }

    /// Applies the layer in the input's kind of numbers; the weights, and the sums of their gradients, stay as they are.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = [&self.weight, &self.bias].map(|learned| learned.to_kind(x.kind()));
        if tuning::of(x.device()).convolutions == Convolutions::Rearranged
            && let Some(result) = self.rearranged(x, &weight, &bias)
        {
            return result;
        }
        match self.kernel {
            Kernel::Linear => x.linear(&weight, Some(&bias)),
            Kernel::Convolution { stride, padding } => x.conv3d(&weight, Some(&bias), [stride; 3], [padding; 3], [1; 3], 1),
            Kernel::Transposed { stride, padding } => {
                x.conv_transpose3d(&weight, Some(&bias), [stride; 3], [padding; 3], [0; 3], 1, [1; 3])
            }
        }
    }

    /// A convolution as what a CPU does faster (docs/benchmarks/speed-cpu.md): a plain matrix product where it is one to a single voxel, or a
    /// transposed one without overlap, since libtorch's convolutions go through such large weights many times; and a doubling to a single channel
    /// as a convolution to the eight voxels of a block. `None` for all others.
    fn rearranged(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Option<Tensor> {
        let (size, side) = (weight.size(), x.size().get(2).copied()?);
        match self.kernel {
            Kernel::Convolution { stride, padding } if side + padding <= size[2] && side + 2 * padding < size[2] + stride => {
                let behind = size[2] - padding - side;
                let padded = x.constant_pad_nd([padding, behind, padding, behind, padding, behind]);
                Some(padded.flatten(1, -1).linear(&weight.flatten(1, -1), Some(bias)).view([-1, size[0], 1, 1, 1]))
            }
            Kernel::Transposed { stride, padding: 0 } if size[2] == stride => {
                let (inputs, outputs, finer) = (size[0], size[1], side * stride);
                let blocks = x.permute([0, 2, 3, 4, 1]).reshape([-1, inputs]).matmul(&weight.flatten(1, -1));
                let blocks = blocks.view([-1, side, side, side, outputs, stride, stride, stride].as_slice());
                let voxels = blocks.permute([0, 1, 5, 2, 6, 3, 7, 4]).reshape([-1, finer, finer, finer, outputs]) + bias;
                Some(voxels.permute([0, 4, 1, 2, 3]))
            }
            _ => {
                let blocks = to_blocks(weight, self.taps.as_ref()?);
                Some(channels_to_space(&x.conv3d(&blocks, Some(&bias.expand([8], false)), [1; 3], [1; 3], [1; 3], 1)))
            }
        }
    }

    /// Applies the layer, then the leaky rectifier with [`LEAKY_SLOPE`], in place: one tensor less is held for the backward pass.
    pub fn rectified(&self, x: &Tensor) -> Tensor {
        leaky_relu_(self.forward(x), LEAKY_SLOPE)
    }
}

/// Along an axis: the taps with which the first voxel of a block sees the grid's voxel before the block, the block's own, and the one
/// behind; then the second's. 4 is the zero behind the last tap.
const TAPS: [i64; 6] = [3, 1, 4, 4, 2, 0];

/// The weights of a doubling to one channel, `[c, 1, 4, 4, 4]`, as those of a convolution to the eight voxels of a block, `[8, c, 3, 3, 3]`;
/// `taps` are [`TAPS`] on their device.
fn to_blocks(weight: &Tensor, taps: &Tensor) -> Tensor {
    let channels = weight.size()[0];
    let padded = weight.squeeze_dim(1).constant_pad_nd([0, 1, 0, 1, 0, 1]);
    let chosen = (1..=3).fold(padded, |weight, axis| weight.index_select(axis, taps));
    chosen.view([channels, 2, 3, 2, 3, 2, 3].as_slice()).permute([1, 3, 5, 0, 2, 4, 6]).reshape([8, channels, 3, 3, 3])
}

/// A cubic kernel.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Side.
    pub size: i64,
    /// Step.
    pub stride: i64,
    /// Zeros on each side.
    pub padding: i64,
}

/// Halves (or, transposed, doubles) a grid.
pub const HALVING: Shape = Shape { size: 4, stride: 2, padding: 1 };
/// Doubles a grid with no overlap.
pub const BLOCKS: Shape = Shape { size: 2, stride: 2, padding: 0 };
/// Keeps a grid.
pub const KEEPING: Shape = Shape { size: 3, stride: 1, padding: 1 };

/// Half width of the uniform distribution that weights start from.
fn bound(gain: f64, features: i64, taps: f64) -> f64 {
    gain * (2.0 / (features as f64 * taps)).sqrt() * 3f64.sqrt()
}

/// Moves eight channels into the eight positions of a grid twice as fine: `[b, 8·c, n, n, n] → [b, c, 2n, 2n, 2n]`.
pub fn channels_to_space(x: &Tensor) -> Tensor {
    let s = x.size();
    let (c, n) = (s[1] / 8, s[2]);
    x.view([s[0], c, 2, 2, 2, n, n, n].as_slice()).permute([0, 1, 5, 2, 6, 3, 7, 4]).reshape([s[0], c, 2 * n, 2 * n, 2 * n])
}

/// Trilinear resampling in which the corners keep their place, `[b, c, n, n, n] → [b, c, side, side, side]`, in the device's layout. On a GPU by
/// products, since the library gives every voxel of the result a single thread for all images and channels.
pub fn resize(x: &Tensor, side: i64) -> Tensor {
    match x.device() {
        _ if x.size()[2] == side => x.shallow_clone(),
        Device::Cpu => x.upsample_trilinear3d([side; 3], true, None, None, None),
        device => tuning::of(device).layout.of(&resize_by_products(x, side).contiguous()),
    }
}

/// [`resize`] by a product an axis, in single precision whatever the numbers are.
pub fn resize_by_products(x: &Tensor, side: i64) -> Tensor {
    let step = (x.size()[2] - 1) as f64 / (side - 1).max(1) as f64;
    interpolate(&x.to_kind(Kind::Float), &(Tensor::arange(side, (Kind::Double, x.device())) * step)).to_kind(x.kind())
}

/// The same values laid out with channels last, with which a CPU's convolutions of few channels take half the time.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 4, 1]).contiguous().permute([0, 4, 1, 2, 3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::VarStore;

    #[test]
    fn rearranged_convolutions_are_convolutions() {
        crate::torch::init_torch().unwrap();
        let store = VarStore::new(Device::Cpu);
        let gradients = |y: &Tensor, x: &Tensor, layer: &Layer| {
            let weights = (Tensor::arange(y.numel() as i64, (Kind::Float, Device::Cpu)) * 0.7).sin().view(y.size().as_slice());
            Tensor::run_backward(&[&(y * weights).sum(Kind::Float)], &[x, &layer.weight, &layer.bias], false, false)
        };
        let halving = Layer::convolution(&(store.root() / "halving"), 5, 6, HALVING, 1.0);
        let blocks = Layer::transposed(&(store.root() / "blocks"), 5, 6, BLOCKS, 1.0);
        tch::no_grad(|| blocks.weight.shallow_clone().copy_(&blocks.weight.randn_like()));
        let last = Layer::transposed(&(store.root() / "last"), 5, 1, HALVING, 1.0);
        let doubling = Layer::transposed(&(store.root() / "doubling"), 5, 2, HALVING, 1.0);
        tch::no_grad(|| last.weight.shallow_clone().copy_(&last.weight.randn_like()));
        for (layer, side, is_rearranged) in [
            (&halving, 2, true),
            (&halving, 3, true),
            (&halving, 4, false),
            (&blocks, 1, true),
            (&blocks, 3, true),
            (&last, 1, true),
            (&last, 6, true),
            (&doubling, 3, false),
        ] {
            layer.set_bias(0.3);
            let x = channels_last(&Tensor::randn([3, 5, side, side, side], (Kind::Float, Device::Cpu))).set_requires_grad(true);
            assert_eq!(layer.rearranged(&x, &layer.weight, &layer.bias).is_some(), is_rearranged, "{layer:?} of {side}");
            let got = layer.forward(&x);
            let want = match layer.kernel {
                Kernel::Convolution { stride, padding } => x.conv3d(&layer.weight, Some(&layer.bias), [stride; 3], [padding; 3], [1; 3], 1),
                Kernel::Transposed { stride, padding } => {
                    x.conv_transpose3d(&layer.weight, Some(&layer.bias), [stride; 3], [padding; 3], [0; 3], 1, [1; 3])
                }
                Kernel::Linear => x.linear(&layer.weight, Some(&layer.bias)),
            };
            assert_eq!(got.size(), want.size());
            let error = |got: &Tensor, want: &Tensor| ((got - want).norm() / want.norm()).double_value(&[]);
            assert!(error(&got, &want) < 1e-5);
            for (got, want) in gradients(&got, &x, layer).iter().zip(&gradients(&want, &x, layer)) {
                assert!(error(got, want) < 1e-5);
            }
        }
    }
}
