//! Kernels for NVIDIA GPUs that are compiled when they are first needed, by NVRTC, which comes with libtorch: users need no compiler.
//!
//! Driver and compiler are opened at run time, as libtorch's own CUDA part is. Kernels run in the device's primary context and on its
//! default stream, where libtorch's operators run too, so that they are in order with them.

mod compiler;
mod driver;

use contract::{Kind, Problem, Result};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tch::Tensor;

pub use compiler::compile;

/// Threads of a block: enough to hide the memory's latency, few enough for the registers of every kernel here.
const BLOCK: u32 = 128;

/// A source whose kernels are ready on a device.
pub struct Program {
    functions: HashMap<&'static str, driver::Function>,
}

impl Program {
    /// The program of a source on a device, compiled when it is asked for the first time in this process.
    ///
    /// # Errors
    /// No driver, no compiler, or a source that does not compile; the same each time.
    pub fn of(source: &'static Source, device: usize) -> Result<Arc<Self>> {
        type Known = HashMap<(&'static str, usize), Result<Arc<Program>>>;
        static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        known.entry((source.name, device)).or_insert_with(|| Self::build(source, device).map(Arc::new)).clone()
    }

    fn build(source: &'static Source, device: usize) -> Result<Self> {
        let driver = driver::Driver::get()?;
        let ordinal = i32::try_from(device).map_err(|_| Problem::new(Kind::Device, "there is no such GPU").at(format!("cuda:{device}")))?;
        let image = compile(source, driver.architecture(ordinal)?)?;
        let module = driver.load(ordinal, &image)?;
        let functions = source.kernels.iter().map(|&name| Ok((name, driver.function(module, name)?))).collect::<Result<_>>()?;
        Ok(Self { functions })
    }
}

/// What runs the kernels of a source: a GPU, or in tests the host.
pub trait Kernels: Send + Sync {
    /// Runs a kernel with one thread an item; `arguments` point to its parameters in their order.
    ///
    /// # Errors
    /// The driver refuses.
    ///
    /// # Safety
    /// The arguments are of the kernel's types, and the memory that they point to is on the device and large enough.
    unsafe fn run(&self, kernel: &str, items: usize, arguments: &mut [*mut c_void]) -> Result<()>;
}

impl Kernels for Program {
    unsafe fn run(&self, kernel: &str, items: usize, arguments: &mut [*mut c_void]) -> Result<()> {
        let Some(function) = self.functions.get(kernel) else { return Err(Problem::failed("is not in the program").at(kernel)) };
        let blocks = u32::try_from(items.div_ceil(BLOCK as usize)).map_err(|_| Problem::failed("too many items").at(kernel))?;
        if blocks == 0 {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { driver::Driver::get()?.launch(*function, blocks, BLOCK, arguments) }.map_err(|problem| problem.at(kernel))
    }
}

/// Runs a kernel whose parameters are pointers to the tensors' values, a shape, and the number of items (`long long`).
///
/// # Panics
/// The driver refuses; as libtorch's bindings do (the session makes a problem of it again).
///
/// # Safety
/// The kernel takes these parameters; all tensors are plain, on its device, and as large as the shape and the number say.
pub(super) unsafe fn launch<S>(kernels: &dyn Kernels, kernel: &str, items: i64, tensors: &[&Tensor], shape: S) {
    let mut pointers: Vec<*mut c_void> = tensors.iter().map(|tensor| tensor.data_ptr()).collect();
    let (mut shape, mut count) = (shape, items);
    let mut arguments: Vec<*mut c_void> = pointers.iter_mut().map(|pointer| std::ptr::from_mut(pointer).cast()).collect();
    arguments.push((&raw mut shape).cast());
    arguments.push((&raw mut count).cast());
    // SAFETY: the caller's promise.
    let started = unsafe { kernels.run(kernel, usize::try_from(items).unwrap_or(0), &mut arguments) };
    if let Err(problem) = started {
        panic!("{problem}");
    }
}

/// CUDA C++ and the kernels in it.
pub struct Source {
    /// For messages.
    pub name: &'static str,
    /// The text.
    pub text: &'static str,
    /// Names of its kernels (`extern "C"`).
    pub kernels: &'static [&'static str],
}
