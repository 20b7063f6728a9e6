//! What NVIDIA's driver and its management library (NVML) tell of a GPU. Nothing is done on the GPU: that would take memory of the one that is
//! asked about, and fails where another program has it for itself.

use libloading::os::unix::{Library, Symbol};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

/// Bytes that the driver may write for a device's name.
const NAME_BYTES: usize = 256;
/// What the driver writes for a device's identifier.
const UUID_BYTES: usize = 16;
/// Both libraries return this where all went well.
const SUCCESS: c_int = 0;
/// How the management library writes the identifier of a GPU, and of a part of one (MIG).
const PREFIXES: [&str; 2] = ["GPU", "MIG"];

/// A device's identifier, as the driver has it.
pub(super) type Uuid = [u8; UUID_BYTES];

/// What the driver tells of a GPU.
pub(super) struct Told {
    pub(super) name: String,
    pub(super) memory_bytes: u64,
    /// `None`: a driver before 11.4.
    pub(super) uuid: Option<Uuid>,
}

/// Asks the driver, which counts GPUs as libtorch does, within `CUDA_VISIBLE_DEVICES`. `None`: it is not there or does not answer.
pub(super) fn ask(index: c_int) -> Option<Told> {
    // SAFETY: libcuda's documented C interface; every pointer outlives its call, and failures are return codes.
    unsafe {
        let driver = Library::new("libcuda.so.1").ok()?;
        let init: Symbol<unsafe extern "C" fn(c_uint) -> c_int> = driver.get(b"cuInit\0").ok()?;
        let get: Symbol<unsafe extern "C" fn(*mut c_int, c_int) -> c_int> = driver.get(b"cuDeviceGet\0").ok()?;
        let get_name: Symbol<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int> = driver.get(b"cuDeviceGetName\0").ok()?;
        let get_memory: Symbol<unsafe extern "C" fn(*mut usize, c_int) -> c_int> = driver.get(b"cuDeviceTotalMem_v2\0").ok()?;
        let get_uuid = driver.get::<unsafe extern "C" fn(*mut Uuid, c_int) -> c_int>(b"cuDeviceGetUuid_v2\0").ok();
        let (mut handle, mut name, mut bytes, mut uuid) = (0, [0 as c_char; NAME_BYTES], 0usize, [0; UUID_BYTES]);
        let told = init(0) == SUCCESS
            && get(&raw mut handle, index) == SUCCESS
            && get_name(name.as_mut_ptr(), NAME_BYTES as c_int, handle) == SUCCESS
            && get_memory(&raw mut bytes, handle) == SUCCESS;
        let known = told && get_uuid.is_some_and(|get_uuid| get_uuid(&raw mut uuid, handle) == SUCCESS);
        // The library stays loaded: libtorch uses it too.
        let name = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
        std::mem::forget(driver);
        told.then_some(Told { name, memory_bytes: bytes as u64, uuid: known.then_some(uuid) })
    }
}

/// `nvmlMemory_t`.
#[repr(C)]
#[derive(Default)]
struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

/// The management library, which also knows what other programs have taken. It counts GPUs in an order of its own, so that they are named by
/// their identifiers.
pub(super) struct Management {
    handle_by_uuid: unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int,
    memory: unsafe extern "C" fn(*mut c_void, *mut Memory) -> c_int,
    shutdown: unsafe extern "C" fn() -> c_int,
    /// What the calls are in, where it is not this program.
    _library: Option<Library>,
}

impl Management {
    /// `None`: it is not there (containers may leave it out), or does not work.
    pub(super) fn open() -> Option<Self> {
        // SAFETY: NVML's documented C interface; the calls are kept with the library that they are in.
        unsafe {
            let library = Library::new("libnvidia-ml.so.1").ok()?;
            let init: Symbol<unsafe extern "C" fn() -> c_int> = library.get(b"nvmlInit_v2\0").ok()?;
            let handle_by_uuid = *library.get(b"nvmlDeviceGetHandleByUUID\0").ok()?;
            let memory = *library.get(b"nvmlDeviceGetMemoryInfo\0").ok()?;
            let shutdown = *library.get(b"nvmlShutdown\0").ok()?;
            (init() == SUCCESS).then(|| Self { handle_by_uuid, memory, shutdown, _library: Some(library) })
        }
    }

    /// Bytes of a device that nobody has taken. `None`: not to be known, as where a device shares the host's memory.
    pub(super) fn free_bytes(&self, uuid: Uuid) -> Option<u64> {
        PREFIXES.iter().find_map(|prefix| {
            let name = CString::new(written(prefix, uuid)).ok()?;
            let (mut handle, mut memory) = (std::ptr::null_mut(), Memory::default());
            // SAFETY: a text that ends in a zero, and room for what is written; the handle is used only where it was given.
            let told = unsafe {
                (self.handle_by_uuid)(name.as_ptr(), &raw mut handle) == SUCCESS && (self.memory)(handle, &raw mut memory) == SUCCESS
            };
            told.then_some(memory.free)
        })
    }
}

impl Drop for Management {
    fn drop(&mut self) {
        // SAFETY: it was begun, and nothing of it is used any more.
        unsafe { (self.shutdown)() };
    }
}

/// `GPU-8f3b5d02-…`, as `nvidia-smi -L` writes it.
fn written(prefix: &str, uuid: Uuid) -> String {
    let mut text = prefix.to_owned();
    for (index, byte) in uuid.iter().enumerate() {
        if [0, 4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A whole GPU, and a part of one.
    const WHOLE: Uuid = [0x8f, 0x3b, 0x5d, 0x02, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    const PART: Uuid = [7; UUID_BYTES];
    static ENDS: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" fn handle_by_uuid(name: *const c_char, handle: *mut *mut c_void) -> c_int {
        // SAFETY: the caller's text and room.
        unsafe {
            let number = match CStr::from_ptr(name).to_str() {
                Ok("GPU-8f3b5d02-0001-0203-0405-060708090a0b") => 1,
                Ok("MIG-07070707-0707-0707-0707-070707070707") => 2,
                _ => return 6,
            };
            *handle = std::ptr::without_provenance_mut(number);
        }
        SUCCESS
    }

    unsafe extern "C" fn memory(handle: *mut c_void, memory: *mut Memory) -> c_int {
        let free = 1000 * handle.addr() as u64;
        // SAFETY: the caller's room.
        unsafe { *memory = Memory { total: 5000, free, used: 5000 - free } };
        SUCCESS
    }

    unsafe extern "C" fn shutdown() -> c_int {
        ENDS.fetch_add(1, Ordering::Relaxed);
        SUCCESS
    }

    #[test]
    fn what_is_free_is_asked_by_the_name_that_the_library_knows() {
        let management = Management { handle_by_uuid, memory, shutdown, _library: None };
        assert_eq!([WHOLE, PART, [0; UUID_BYTES]].map(|uuid| management.free_bytes(uuid)), [Some(1000), Some(2000), None]);
        drop(management);
        assert_eq!(ENDS.load(Ordering::Relaxed), 1);
    }
}
