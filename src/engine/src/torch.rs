//! Loading libtorch's CUDA part before anything asks for it.
//!
//! The program is linked against `libtorch_cpu` only, so that one executable serves machines with and without a GPU. libtorch decides
//! once, at the first question, whether it has CUDA; the library must have been opened by then.

use contract::{Kind, Problem, Result};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Opens `libtorch_cuda.so` where it lies beside the loaded `libtorch_cpu.so`. Call first in `main` and in every test.
///
/// Without the CUDA library this does nothing. A CUDA library that does not open is an error only where there is a GPU.
///
/// # Errors
/// When libtorch itself is not loaded, or when its CUDA part cannot be opened on a machine with an NVIDIA device.
pub fn init_torch() -> Result<()> {
    static DONE: OnceLock<Result<()>> = OnceLock::new();
    DONE.get_or_init(open_cuda).clone()
}

fn open_cuda() -> Result<()> {
    // A call into libtorch's own code: the linker drops libraries that nothing is used from, and the search below needs it mapped.
    let _ = tch::get_num_threads();
    let folder = library_folder()
        .ok_or_else(|| Problem::failed("`libtorch_cpu.so` is not loaded").hint("run `cargo xtask setup` and build again"))?;
    let cuda = folder.join("libtorch_cuda.so"); // its sibling, so that both are of one build
    if !cuda.exists() {
        return Ok(());
    }
    // SAFETY: libtorch_cuda's initialisers only register its kernels; the library is never closed.
    match unsafe { Library::open(Some(&cuda), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(error) if Path::new("/dev/nvidiactl").exists() => {
            Err(Problem::new(Kind::Device, format!("libtorch's CUDA part does not open: {error}"))
                .at(cuda.display().to_string())
                .hint("run `cargo xtask setup --cuda`, which fetches all that it needs"))
        }
        Err(_) => Ok(()),
    }
}

/// The folder of the `libtorch_cpu.so` that is loaded.
pub(crate) fn library_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mut files = maps.lines().filter_map(|line| line.split_once('/')).map(|(_, rest)| PathBuf::from(format!("/{rest}")));
    let libtorch = files.find(|path| path.file_name().is_some_and(|name| name == "libtorch_cpu.so"))?;
    libtorch.parent().map(Path::to_path_buf)
}
