//! Tensors as the plain numbers that kernels on the CPU work with.

use tch::{Device, Kind, Tensor};

/// The same values as single-precision numbers one after the other.
pub(super) fn plain(tensor: &Tensor) -> Tensor {
    tensor.to_kind(Kind::Float).contiguous()
}

/// A plain CPU tensor's values.
///
/// # Panics
/// The tensor is not what [`plain`] makes, or is not on the CPU.
pub(super) fn values(tensor: &Tensor) -> &[f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu, "made so");
    // SAFETY: contiguous, f32, on the CPU, and borrowed as long as the slice.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>().cast_const(), tensor.numel()) }
}

/// A new CPU tensor's values, to be written.
///
/// # Panics
/// As [`values`].
pub(super) fn values_mut(tensor: &mut Tensor) -> &mut [f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu, "made so");
    // SAFETY: contiguous, f32, on the CPU, just made and shared with nobody.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
}

/// A small tensor's values, wherever it is.
///
/// # Panics
/// They are not `count`.
pub(super) fn numbers(tensor: &Tensor, count: usize) -> Vec<f32> {
    let flat = Vec::<f32>::try_from(plain(tensor).view([-1])).unwrap_or_default();
    assert_eq!(flat.len(), count, "as many numbers as the shapes say");
    flat
}

/// How many threads the tensor library uses.
pub(super) fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}
