//! Interpolation of central slices on a GPU: the kernels of `slices.cu`, compiled when they are first needed. (The transforms before and after
//! are libtorch's.)

use super::{PLANE, Sizes, TAPS};
use crate::kernels::cuda::{Kernels, Program, Source, launch};
use crate::kernels::tensors::plain;
use crate::native::Operator;
use contract::{Problem, Result};
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Device, Kind, Tensor};

const READ: &str = "opus_slices";
const SPREAD: &str = "opus_slices_spread";

/// The kernels' source.
pub static SOURCE: Source = Source { name: "slices.cu", text: include_str!("slices.cu"), kernels: &[READ, SPREAD] };

/// Reads slices from spectra as `model::slices` makes them. The gradient is added up by atomic operations, so that equal runs differ by rounding.
pub struct GpuSlices {
    kernels: Arc<dyn Kernels>,
    sizes: Sizes,
    beta: f32,
}

/// As in `slices.cu`.
#[repr(C)]
struct SlicesShape {
    poses: i32,
    side: i32,
    padded: i32,
    rows: i32,
    columns: i32,
    limit2: f32,
    beta: f32,
}

impl GpuSlices {
    /// Compiles the kernels for the device, where they are not yet.
    ///
    /// # Errors
    /// The device is no GPU, or has no driver or compiler.
    pub fn new(sizes: Sizes, device: Device) -> Result<Self> {
        let Device::Cuda(index) = device else { return Err(Problem::failed(format!("{device:?} is no GPU"))) };
        Ok(Self::with(Program::of(&SOURCE, index)?, sizes))
    }

    /// With kernels that are ready.
    #[must_use]
    pub fn with(kernels: Arc<dyn Kernels>, sizes: Sizes) -> Self {
        const { assert!(TAPS == 3, "as slices.cu has it") }
        Self { kernels, sizes, beta: sizes.window().beta() as f32 }
    }

    /// The operator for slices `[b, k, 9]` ([`PLANE`]).
    ///
    /// # Panics
    /// The slices are not of that shape.
    #[must_use]
    pub fn at(self: &Arc<Self>, slices: &Tensor) -> Arc<dyn Operator> {
        assert_eq!(slices.size()[2], PLANE as i64, "nine numbers a slice");
        Arc::new(AtSlices { kernel: Arc::clone(self), slices: Mutex::new(plain(slices)) })
    }

    fn shape(&self, poses: i64) -> SlicesShape {
        let short = |number: i64| i32::try_from(number).expect("sides and numbers of poses are small");
        SlicesShape {
            poses: short(poses),
            side: short(self.sizes.wide as i64),
            padded: short(self.sizes.padded as i64),
            rows: short(self.sizes.rows()),
            columns: short(self.sizes.columns()),
            limit2: self.sizes.limit2(),
            beta: self.beta,
        }
    }
}

/// Reads half planes `[b, k, w, w/2+1, 2]` from spectra `[b, z, y, x, 2]` at some slices.
struct AtSlices {
    kernel: Arc<GpuSlices>,
    /// (Tensors may go from thread to thread, not be shared.)
    slices: Mutex<Tensor>,
}

impl AtSlices {
    /// Runs a kernel between the spectra of `images` and their half planes, `[b, k, w, w/2+1, 2]`.
    fn run(&self, kernel: &str, [from, to]: [&Tensor; 2], [images, poses]: [i64; 2], planes: &Tensor) {
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(slices.size()[..2], [images, poses], "slices of every image");
        // SAFETY: the kernels take three pointers to plain tensors of these sizes on one device, the shape and the number of frequencies.
        unsafe { launch(&*self.kernel.kernels, kernel, planes.numel() as i64 / 2, &[from, &slices, to], self.kernel.shape(poses)) };
    }
}

impl Operator for AtSlices {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        let (spectra, side) = (plain(&inputs[0]), self.kernel.sizes.wide as i64);
        let poses = self.slices.lock().unwrap_or_else(PoisonError::into_inner).size()[1];
        let images = spectra.size()[0];
        assert_eq!(spectra.size(), spectra_size(&self.kernel.sizes, images), "spectra of the sizes");
        let planes = Tensor::empty([images, poses, side, side / 2 + 1, 2], (Kind::Float, spectra.device()));
        self.run(READ, [&spectra, &planes], [images, poses], &planes);
        planes
    }

    fn backward(&self, _: &[Tensor], gradient: &Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let gradient = plain(gradient);
        let (images, poses) = (gradient.size()[0], gradient.size()[1]);
        let spectra = Tensor::zeros(spectra_size(&self.kernel.sizes, images), (Kind::Float, gradient.device()));
        self.run(SPREAD, [&gradient, &spectra], [images, poses], &gradient);
        vec![Some(spectra)]
    }

    fn needs_inputs(&self) -> bool {
        false
    }
}

fn spectra_size(sizes: &Sizes, images: i64) -> [i64; 5] {
    [images, sizes.rows(), sizes.rows(), sizes.columns(), 2]
}
