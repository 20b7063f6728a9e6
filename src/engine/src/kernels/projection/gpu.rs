//! The projection on a GPU: the kernels of `rays.cu`, compiled when they are first needed.

use super::Rays;
use crate::kernels::cuda::{Kernels, Program, Source, launch};
use crate::native::Operator;
use contract::Result;
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Device, Kind, Tensor};

const PROJECT: &str = "opus_project";
const BY_VOLUMES: &str = "opus_project_volumes";
const BY_POSES: &str = "opus_project_poses";

/// The kernels' source.
pub static SOURCE: Source = Source { name: "rays.cu", text: include_str!("rays.cu"), kernels: &[PROJECT, BY_VOLUMES, BY_POSES] };

/// Numbers of a pose that gradients are taken by: nine of its matrix, three of its offset.
const NUMBERS: i64 = 12;

/// As [`super::Projection`], for tensors on a GPU. The gradient by volumes is added up by atomic operations, so that equal runs differ by
/// rounding, as those of libtorch's own sampler do.
pub struct GpuProjection {
    kernels: Arc<dyn Kernels>,
    side: i64,
    origin: f32,
    /// First sample and number of samples of each pixel's ray, `[s·s, 2]` i32. (Tensors may go from thread to thread, not be shared.)
    spans: Mutex<Tensor>,
}

/// As in `rays.cu`.
#[repr(C)]
struct Shape {
    poses: i32,
    side: i32,
    template_side: i32,
    origin: f32,
}

impl GpuProjection {
    /// Compiles the kernels for the device, where they are not yet.
    ///
    /// # Errors
    /// The device is no GPU, or has no driver or compiler.
    pub fn new(rays: &Rays, device: Device) -> Result<Self> {
        let Device::Cuda(index) = device else { return Err(contract::Problem::failed(format!("{device:?} is no GPU"))) };
        Ok(Self::with(Program::of(&SOURCE, index)?, rays, device))
    }

    /// With kernels that are ready for tensors on `device`.
    #[must_use]
    pub fn with(kernels: Arc<dyn Kernels>, rays: &Rays, device: Device) -> Self {
        let spans: Vec<i32> = rays.spans.iter().flat_map(|&(first, count)| [i32::from(first), i32::from(count)]).collect();
        let spans = Tensor::from_slice(&spans).view([-1, 2]).to_device(device);
        Self { kernels, side: rays.side as i64, origin: rays.origin, spans: Mutex::new(spans) }
    }

    fn spans(&self) -> Tensor {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).shallow_clone()
    }

    fn shape(&self, inputs: &Inputs) -> Shape {
        let short = |number: i64| i32::try_from(number).expect("sides and numbers of poses are small");
        Shape { poses: short(inputs.poses), side: short(self.side), template_side: short(inputs.template), origin: self.origin }
    }

    fn run(&self, kernel: &str, items: i64, tensors: &[&Tensor], shape: Shape) {
        // SAFETY: the kernels of `rays.cu` take these pointers, a shape and a number; all tensors are plain, on the device, and as large as
        // the shape says.
        unsafe { launch(&*self.kernels, kernel, items, tensors, shape) };
    }
}

/// The inputs as the kernels read them.
struct Inputs {
    volumes: Tensor,
    matrices: Tensor,
    offsets: Tensor,
    images: i64,
    poses: i64,
    template: i64,
}

impl Inputs {
    fn of(inputs: &[Tensor]) -> Self {
        let [volumes, matrices, offsets] = inputs else { panic!("a projection has three inputs") };
        let [volumes, matrices, offsets] = [volumes, matrices, offsets].map(|tensor| tensor.to_kind(Kind::Float).contiguous());
        let (size, poses) = (volumes.size(), matrices.size()[1]);
        assert!(size.len() == 5 && size[1] == 1 && size[2..].iter().all(|&side| side == size[2]), "cubes, not {size:?}");
        assert_eq!(matrices.size(), [size[0], poses, 3, 3], "a pose for every image and hypothesis");
        assert_eq!(offsets.size(), [size[0], poses, 3], "an offset for every pose");
        Self { images: size[0], poses, template: size[2], volumes, matrices, offsets }
    }
}

impl Operator for GpuProjection {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        let inputs = Inputs::of(inputs);
        let projections = Tensor::empty([inputs.images, inputs.poses, self.side, self.side], (Kind::Float, inputs.volumes.device()));
        let tensors = [&inputs.volumes, &inputs.matrices, &inputs.offsets, &self.spans(), &projections];
        self.run(PROJECT, projections.numel() as i64, &tensors, self.shape(&inputs));
        projections
    }

    fn backward(&self, inputs: &[Tensor], gradient: &Tensor, wanted: &[bool]) -> Vec<Option<Tensor>> {
        let (given, inputs) = (inputs, Inputs::of(inputs));
        let gradient = gradient.to_kind(Kind::Float).contiguous();
        let volumes = wanted[0].then(|| {
            let volumes = inputs.volumes.zeros_like();
            let tensors = [&gradient, &inputs.matrices, &inputs.offsets, &self.spans(), &volumes];
            self.run(BY_VOLUMES, gradient.numel() as i64, &tensors, self.shape(&inputs));
            volumes
        });
        if !wanted[1] && !wanted[2] {
            return vec![volumes, None, None];
        }
        let sums = Tensor::zeros([inputs.images * inputs.poses, NUMBERS], (Kind::Double, gradient.device()));
        let tensors = [&inputs.volumes, &gradient, &inputs.matrices, &inputs.offsets, &self.spans(), &sums];
        self.run(BY_POSES, inputs.images * inputs.poses * self.side, &tensors, self.shape(&inputs));
        let sums = sums.to_kind(Kind::Float);
        let matrices = sums.narrow(1, 0, 9).contiguous().view_as(&given[1]);
        let offsets = sums.narrow(1, 9, 3).contiguous().view_as(&given[2]);
        vec![volumes, Some(matrices), Some(offsets)]
    }
}
