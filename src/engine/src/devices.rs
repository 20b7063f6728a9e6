//! What this machine can compute on.

mod nvidia;

use self::nvidia::Management;
use crate::native;
use contract::{Device, Kind, Problem, Result, World};
use std::any::Any;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use tch::Tensor;

/// The one libtorch version that the bindings accept (their build script checks it).
pub const TORCH_VERSION: &str = "2.11.0";
/// The C library's defaults: blocks that the kernel is asked for one by one, and free memory at the heap's end that is kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MOST_BLOCKS_OF_THEIR_OWN: c_int = 65_536;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_ABOVE_BYTES: c_int = 128 * 1024;

/// Devices, best first: GPUs in their order, then the CPU.
#[must_use]
pub fn list() -> Vec<Device> {
    let gpus = if tch::Cuda::is_available() { tch::Cuda::device_count().max(0) } else { 0 };
    let management = if gpus > 0 { Management::open() } else { None };
    let mut devices: Vec<Device> = (0..gpus).map(|index| gpu(i32::try_from(index).unwrap_or(i32::MAX), management.as_ref())).collect();
    devices.push(Device { id: "cpu".into(), name: cpu_name(), memory_bytes: host_memory_bytes(), free_bytes: None });
    devices
}

/// The device of an id (`cpu` or `cuda:N`).
///
/// # Errors
/// The id is none of these, or there is no such device.
pub fn find(id: &str) -> Result<tch::Device> {
    if id == "cpu" {
        return Ok(tch::Device::Cpu);
    }
    let index: usize = id
        .strip_prefix("cuda:")
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Problem::input(format!("`{id}` is neither `cpu` nor `cuda:N`")).at("device"))?;
    let count = if tch::Cuda::is_available() { tch::Cuda::device_count().max(0) as usize } else { 0 };
    if index >= count {
        return Err(Problem::new(Kind::Device, format!("there is no such GPU (this machine offers {count})"))
            .at(id)
            .hint("run `nvidia-smi` to see what the driver offers, or choose `--gpu none`"));
    }
    Ok(tch::Device::Cuda(index))
}

/// A problem made of what the tensor library said: running out of memory is the device's, anything else is a failure.
#[must_use]
pub fn problem(what: &str) -> Problem {
    let first = what.lines().next().unwrap_or(what).trim().to_owned();
    if is_out_of_memory(what) {
        return Problem::new(Kind::Device, format!("out of memory: {first}"))
            .hint("lower `--micro-batch`, `--templateres` or `--downfrac`");
    }
    Problem::failed(first)
}

/// Whether the tensor library says that an allocation failed.
#[must_use]
pub fn is_out_of_memory(what: &str) -> bool {
    let lower = what.to_lowercase();
    let phrases = [
        "out of memory",
        "can't allocate memory",
        "cannot allocate memory",
        "not enough memory",
        "bad_alloc",
        // The names of CUDA's codes: of the driver, and of cuBLAS, cuFFT and cuDNN for their own buffers.
        "out_of_memory",
        "alloc_failed",
        "allocation_failed",
        // oneDNN does not tell why; of shapes that ran before, this is the one reason.
        "could not create a primitive",
        "could not execute a primitive",
    ];
    // A descriptor is refused for what a shape or type is, not for memory.
    phrases.iter().any(|phrase| lower.contains(phrase)) && !lower.contains("primitive descriptor")
}

/// Does what may need more memory than there is. Panics of any other cause go on, those of ranks that lost each other among them: the sum is
/// not to be begun again.
///
/// # Errors
/// What the tensor library said when an allocation failed.
pub fn within_memory<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let what = panic_text(panic.as_ref()).to_owned();
        if what.starts_with(World::LOST) || !is_out_of_memory(&what) {
            resume_unwind(panic);
        }
        what
    })
}

/// What a caught panic said.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the engine panicked")
}

/// A tensor of host memory on a device, without waiting for the copy where a GPU is the device.
pub fn send(host: &Tensor, device: tch::Device) -> Tensor {
    match device {
        tch::Device::Cpu => host.shallow_clone(),
        // The library keeps the page-locked block until the copy is done.
        _ => lock_pages(host, device).to_device_(device, host.kind(), true, false),
    }
}

/// The same values in memory that a GPU can read by itself while the CPU goes on; as it is for a CPU.
pub fn lock_pages(host: &Tensor, device: tch::Device) -> Tensor {
    if device == tch::Device::Cpu || host.is_pinned(device) { host.shallow_clone() } else { host.pin_memory(device) }
}

/// Gives the blocks that an allocator keeps for later back, so that what remains is in one piece. On a CPU this also ends what
/// [`keep_freed_memory`] began: memory in pieces is what a run that met its limit cannot afford.
pub fn release_unused(device: tch::Device) {
    if let tch::Device::Cuda(_) = device {
        native::empty_device_cache();
        return;
    }
    // SAFETY: as below; freed blocks go back to the kernel.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, MOST_BLOCKS_OF_THEIR_OWN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_ABOVE_BYTES);
        libc::malloc_trim(0);
    }
}

/// Keeps what a step frees for the next one, where tensors are in host memory. By default the C library gives large blocks back and gets them
/// again as pages that the kernel has to clear: a quarter of the CPU time of a step of the original's networks.
pub fn keep_freed_memory(device: tch::Device) {
    if device != tch::Device::Cpu {
        return;
    }
    // SAFETY: plain settings of the C library's allocator; where it refuses, it goes on as before.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// Whether GPUs may round what convolutions of single-precision numbers multiply to TF32: ten bits of mantissa, sums in single precision.
/// They may, as in PyTorch, unless this says otherwise; matrix products are always in single precision. Returns what it was.
pub fn allow_tf32(allow: bool) -> bool {
    native::allow_tf32(allow)
}

/// Host memory that can be had now without swapping, bytes.
#[must_use]
pub fn host_memory_free_bytes() -> u64 {
    memory_field("MemAvailable:")
}

fn host_memory_bytes() -> u64 {
    memory_field("MemTotal:")
}

fn memory_field(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()));
    model.unwrap_or_else(|| "CPU".into())
}

/// Name and memory as the driver tells them; the tensor library's bindings have no call for it.
fn gpu(index: i32, management: Option<&Management>) -> Device {
    let id = format!("cuda:{index}");
    match nvidia::ask(index) {
        Some(told) => {
            let free_bytes = management.zip(told.uuid).and_then(|(management, uuid)| management.free_bytes(uuid));
            Device { id, name: told.name, memory_bytes: told.memory_bytes, free_bytes }
        }
        None => Device { id, name: "NVIDIA GPU".into(), memory_bytes: 0, free_bytes: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there() {
        crate::torch::init_torch().unwrap();
        let devices = list();
        let cpu = devices.last().unwrap();
        assert!(cpu.id == "cpu" && cpu.memory_bytes > 1 << 20 && !cpu.name.is_empty());
        assert_eq!(find("cpu").unwrap(), tch::Device::Cpu);
        assert_eq!(find("gpu").unwrap_err().kind, Kind::Input);
        assert_eq!(find("cuda:99").unwrap_err().kind, Kind::Device);
    }

    #[test]
    fn convolutions_are_in_tf32_unless_told_otherwise() {
        crate::torch::init_torch().unwrap();
        assert!(allow_tf32(false), "libtorch's default");
        assert!(!allow_tf32(true) && allow_tf32(true));
    }

    #[test]
    fn running_out_of_memory_is_the_devices_problem() {
        assert_eq!(problem("CUDA out of memory. Tried to allocate 20 MiB\nException raised from ...").kind, Kind::Device);
        for code in ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED", "CUFFT_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"] {
            assert!(is_out_of_memory(&format!("`launch` failed: {code}")), "{code}");
        }
        assert!(is_out_of_memory("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"));
        assert_eq!(problem("The size of tensor a (3) must match").kind, Kind::Failed);
    }

    #[test]
    fn only_an_allocation_that_failed_is_no_panic() {
        let ended = |what: &str| {
            let what = what.to_owned();
            catch_unwind(|| within_memory(move || -> () { panic!("{what}") }))
        };
        assert_eq!(within_memory(|| 3), Ok(3));
        assert_eq!(ended("CUDA out of memory").unwrap(), Err("CUDA out of memory".into()));
        for other in ["shapes differ", &format!("{}: CUDA_ERROR_OUT_OF_MEMORY", World::LOST)] {
            assert_eq!(panic_text(ended(other).unwrap_err().as_ref()), other);
        }
    }
}
