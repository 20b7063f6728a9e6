//! NVRTC: CUDA C++ to what the driver loads.

use super::Source;
use contract::{Kind, Problem, Result};
use libloading::os::unix::Library;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Names of the library, newest first; CUDA 12's for libtorch's builds for older drivers.
const NAMES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];
/// Where PyTorch's packages keep it, seen from libtorch's own folder of libraries.
const PLACES: [&str; 2] = ["../../nvidia/cu13/lib", "../../nvidia/cuda_nvrtc/lib"];
/// How the library that NVRTC opens by itself is called, before its version.
const BUILTINS: &str = "libnvrtc-builtins.so";

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(*mut Handle, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int;
type Compile = unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> c_int;
type Size = unsafe extern "C" fn(Handle, *mut usize) -> c_int;
type Get = unsafe extern "C" fn(Handle, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Handle) -> c_int;
type CountArchitectures = unsafe extern "C" fn(*mut c_int) -> c_int;
type ListArchitectures = unsafe extern "C" fn(*mut c_int) -> c_int;

/// Compiles for an architecture, ten times the compute capability's major number plus its minor one: 90 for an H100.
///
/// For an architecture that the compiler knows machine code is made; for a newer one the newest intermediate code, which the driver
/// finishes.
///
/// # Errors
/// There is no NVRTC, or the source does not compile; its log is in the message.
pub fn compile(source: &Source, architecture: u32) -> Result<Vec<u8>> {
    let library = open()?;
    let known = architectures(&library)?;
    let (option, machine_code) = if known.contains(&architecture) {
        (format!("--gpu-architecture=sm_{architecture}"), true)
    } else {
        let newest = known.iter().copied().filter(|&known| known < architecture).max().ok_or_else(|| {
            Problem::new(
                Kind::Device,
                format!("compute capability {}.{} is older than NVRTC supports", architecture / 10, architecture % 10),
            )
            .hint("install the build for older GPUs (`cargo xtask setup --cuda cu126`)")
        })?;
        (format!("--gpu-architecture=compute_{newest}"), false)
    };
    // SAFETY: NVRTC's documented C interface; every pointer outlives its call, and every handle is destroyed once.
    unsafe {
        let (text, name) = (c_string(source.text)?, c_string(source.name)?);
        let mut program: Handle = std::ptr::null_mut();
        let create = *symbol::<Create>(&library, "nvrtcCreateProgram")?;
        check(create(&raw mut program, text.as_ptr(), name.as_ptr(), 0, std::ptr::null(), std::ptr::null()), "nvrtcCreateProgram")?;
        let result = build(&library, program, source, &option, machine_code);
        (symbol::<Destroy>(&library, "nvrtcDestroyProgram")?)(&raw mut program);
        result
    }
}

unsafe fn build(library: &Library, program: Handle, source: &Source, option: &str, machine_code: bool) -> Result<Vec<u8>> {
    // SAFETY: as in `compile`, which hands over a live program.
    unsafe {
        let options = [c_string(option)?, c_string("--std=c++17")?];
        let pointers = options.each_ref().map(|option| option.as_ptr());
        let compiled = (symbol::<Compile>(library, "nvrtcCompileProgram")?)(program, pointers.len() as c_int, pointers.as_ptr());
        if compiled != 0 {
            let log = text(library, program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog").unwrap_or_default();
            let log = String::from_utf8_lossy(&log).trim_end_matches('\0').trim().to_owned();
            return Err(Problem::failed(format!("does not compile: {log}")).at(source.name));
        }
        if machine_code {
            text(library, program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN")
        } else {
            text(library, program, "nvrtcGetPTXSize", "nvrtcGetPTX")
        }
    }
}

/// What a pair of NVRTC's calls gives: first the size, then the bytes.
unsafe fn text(library: &Library, program: Handle, size: &str, get: &str) -> Result<Vec<u8>> {
    // SAFETY: a live program, and room for as many bytes as were announced.
    unsafe {
        let mut bytes = 0usize;
        check((symbol::<Size>(library, size)?)(program, &raw mut bytes), size)?;
        let mut text = vec![0u8; bytes];
        check((symbol::<Get>(library, get)?)(program, text.as_mut_ptr().cast()), get)?;
        Ok(text)
    }
}

fn architectures(library: &Library) -> Result<Vec<u32>> {
    // SAFETY: room for as many numbers as were announced.
    unsafe {
        let mut count = 0;
        check((symbol::<CountArchitectures>(library, "nvrtcGetNumSupportedArchs")?)(&raw mut count), "nvrtcGetNumSupportedArchs")?;
        let mut all = vec![0; usize::try_from(count).unwrap_or(0)];
        check((symbol::<ListArchitectures>(library, "nvrtcGetSupportedArchs")?)(all.as_mut_ptr()), "nvrtcGetSupportedArchs")?;
        Ok(all.into_iter().filter_map(|number| u32::try_from(number).ok()).collect())
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Problem::failed("text for NVRTC holds a zero"))
}

unsafe fn symbol<'a, T>(library: &'a Library, name: &str) -> Result<libloading::os::unix::Symbol<T>>
where
    T: 'a,
{
    // SAFETY: the caller names the documented type.
    unsafe { library.get(format!("{name}\0").as_bytes()) }.map_err(|e| Problem::new(Kind::Device, format!("NVRTC lacks `{name}`: {e}")))
}

fn check(code: c_int, call: &str) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(Problem::new(Kind::Device, format!("`{call}` failed with {code}")).at("NVRTC")) }
}

/// From the search path (libtorch's CUDA part has opened it, or its place is known to the loader), else beside libtorch.
fn open() -> Result<Library> {
    let beside: Vec<PathBuf> =
        crate::torch::library_folder().into_iter().flat_map(|folder| PLACES.map(|place| folder.join(place))).collect();
    let places = std::iter::once(PathBuf::new()).chain(beside);
    for candidate in places.flat_map(|place| NAMES.map(|name| place.join(name))) {
        // SAFETY: NVRTC's initialisers have no side effects.
        if let Ok(library) = unsafe { Library::new(&candidate) } {
            open_builtins(&library)?;
            return Ok(library);
        }
    }
    Err(Problem::new(Kind::Device, "NVRTC is not there")
        .at(NAMES[0])
        .hint("it comes with PyTorch's CUDA packages: run `cargo xtask setup --cuda`"))
}

/// Opens what NVRTC opens by its bare name while it compiles and, in PyTorch's packages, does not find: there it lies in the same folder,
/// which no search path names. Once opened by its path, it is found by its name.
fn open_builtins(library: &Library) -> Result<()> {
    static OPENED: OnceLock<()> = OnceLock::new();
    if OPENED.get().is_some() {
        return Ok(());
    }
    let folder = folder_of(library)?;
    let entries = std::fs::read_dir(&folder)
        .map_err(|e| Problem::new(Kind::Device, format!("cannot be read: {e}")).at(folder.display().to_string()))?;
    let builtins = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(BUILTINS));
    for path in builtins.map(|entry| entry.path()) {
        // SAFETY: tables of code without initialisers.
        let opened = unsafe { Library::new(&path) };
        // Stays open until the end: NVRTC asks for it at each compilation.
        std::mem::forget(opened.map_err(|e| Problem::new(Kind::Device, format!("does not open: {e}")).at(path.display().to_string()))?);
    }
    // Where there are none, the loader may still know some; if not, compiling says so.
    let _ = OPENED.set(());
    Ok(())
}

/// The folder that NVRTC was loaded from, whoever has loaded it.
fn folder_of(library: &Library) -> Result<PathBuf> {
    // SAFETY: `dladdr` fills the record for an address in a loaded library; its text lives as long as that library.
    unsafe {
        let address = *symbol::<*const c_void>(library, "nvrtcCompileProgram")?;
        let mut record: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(address, &raw mut record) == 0 || record.dli_fname.is_null() {
            return Err(Problem::new(Kind::Device, "the loader does not say where it lies").at("NVRTC"));
        }
        let path = PathBuf::from(OsStr::from_bytes(CStr::from_ptr(record.dli_fname).to_bytes()));
        Ok(path.parent().map(Path::to_path_buf).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Source = Source {
        name: "good.cu",
        text: "extern \"C\" __global__ void twice(float* x, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] *= 2; }",
        kernels: &["twice"],
    };

    /// Whether there is a compiler; says so where there is none.
    fn there(test: &str) -> bool {
        crate::torch::init_torch().unwrap();
        if let Err(problem) = crate::nvrtc::find(|| open().map(drop)) {
            crate::skip::skipped(format_args!("{test}: {problem}; nothing was compiled"));
            return false;
        }
        true
    }

    #[test]
    fn known_and_newer_architectures() {
        if !there("known_and_newer_architectures") {
            return;
        }
        for architecture in [80, 90, 100] {
            assert!(compile(&GOOD, architecture).unwrap().starts_with(b"\x7fELF"), "{architecture}");
        }
        let newer = compile(&GOOD, 990).unwrap();
        assert!(String::from_utf8_lossy(&newer).contains(".entry twice"));
        assert!(compile(&GOOD, 20).unwrap_err().to_string().contains("2.0 is older"));
    }

    #[test]
    fn mistakes_are_shown() {
        if !there("mistakes_are_shown") {
            return;
        }
        let bad = Source { name: "bad.cu", text: "extern \"C\" __global__ void f() { nonsense(); }", kernels: &["f"] };
        let problem = compile(&bad, 90).unwrap_err().to_string();
        assert!(problem.contains("bad.cu") && problem.contains("nonsense"), "{problem}");
    }
}
