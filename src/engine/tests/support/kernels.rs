//! What tests of the kernels share: a settled library, random poses, and how far two results are apart.

#![allow(dead_code, reason = "each test program uses a part")]

use cryoem::geometry::{Matrix3, random_rotation};
use cryoem::random::Random;
use opus_dsd_engine::torch::init_torch;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};

pub(crate) const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);

/// One thread, and random numbers that repeat.
pub(crate) fn start() {
    init_torch().unwrap();
    tch::set_num_threads(1);
    tch::manual_seed(7);
}

/// The same for tests that change the library's number of threads, which is one for the process: they run one after the other.
pub(crate) fn start_alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    start();
    alone
}

/// Matrices as a tensor, `[n, 3, 3]`.
pub(crate) fn stack(matrices: &[Matrix3]) -> Tensor {
    let flat: Vec<f32> = matrices.iter().flatten().flatten().map(|&v| v as f32).collect();
    Tensor::from_slice(&flat).view([-1, 3, 3])
}

/// Random rotations, `[images, poses, 3, 3]`.
pub(crate) fn rotations(images: i64, poses: i64) -> Tensor {
    let mut random = Random::new(11, 2);
    let matrices: Vec<Matrix3> = (0..images * poses).map(|_| random_rotation(&mut random)).collect();
    stack(&matrices).view([images, poses, 3, 3])
}

/// Norm of the difference over the norm of `want`, where that is.
pub(crate) fn relative(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    ((got.to_device(want.device()) - want).norm() / want.norm()).double_value(&[])
}
