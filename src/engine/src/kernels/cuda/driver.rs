//! The NVIDIA driver: loads compiled kernels and starts them.

use contract::{Kind, Problem, Result};
use libloading::os::unix::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

/// Numbers of the driver's attributes.
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;

type Handle = *mut c_void;

/// A loaded module and the context that it is in.
#[derive(Clone, Copy)]
pub(super) struct Module {
    module: Handle,
    context: Handle,
}

/// A kernel and the context that it is in.
#[derive(Clone, Copy)]
pub(super) struct Function {
    function: Handle,
    context: Handle,
}

// SAFETY: the driver's handles may be used from any thread; they are never freed.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

type Launch = unsafe extern "C" fn(
    Handle,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    Handle,
    *mut *mut c_void,
    *mut *mut c_void,
) -> c_int;

/// The calls that are needed of `libcuda.so.1`.
pub(super) struct Driver {
    get_device: unsafe extern "C" fn(*mut c_int, c_int) -> c_int,
    get_attribute: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int,
    retain_context: unsafe extern "C" fn(*mut Handle, c_int) -> c_int,
    current_context: unsafe extern "C" fn(*mut Handle) -> c_int,
    set_context: unsafe extern "C" fn(Handle) -> c_int,
    load: unsafe extern "C" fn(*mut Handle, *const c_void) -> c_int,
    get_function: unsafe extern "C" fn(*mut Handle, Handle, *const c_char) -> c_int,
    launch: Launch,
    error_name: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int,
}

impl Driver {
    /// The driver, opened once.
    pub(super) fn get() -> Result<&'static Self> {
        static DRIVER: OnceLock<Result<Driver>> = OnceLock::new();
        DRIVER.get_or_init(Self::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Self> {
        let gone = |e: libloading::Error| {
            Problem::new(Kind::Device, format!("the NVIDIA driver cannot be used: {e}")).at("libcuda.so.1").hint("run `opus-dsd doctor`")
        };
        // SAFETY: libcuda's documented C interface; the library stays loaded, libtorch uses it too.
        unsafe {
            let library = Library::new("libcuda.so.1").map_err(gone)?;
            macro_rules! call {
                ($name:literal) => {
                    *library.get(concat!($name, "\0").as_bytes()).map_err(gone)?
                };
            }
            let init: unsafe extern "C" fn(c_uint) -> c_int = call!("cuInit");
            let driver = Self {
                get_device: call!("cuDeviceGet"),
                get_attribute: call!("cuDeviceGetAttribute"),
                retain_context: call!("cuDevicePrimaryCtxRetain"),
                current_context: call!("cuCtxGetCurrent"),
                set_context: call!("cuCtxSetCurrent"),
                load: call!("cuModuleLoadData"),
                get_function: call!("cuModuleGetFunction"),
                launch: call!("cuLaunchKernel"),
                error_name: call!("cuGetErrorName"),
            };
            driver.check(init(0), "cuInit")?;
            std::mem::forget(library);
            Ok(driver)
        }
    }

    fn check(&self, code: c_int, call: &str) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let mut name: *const c_char = std::ptr::null();
        // SAFETY: the driver gives a text of its own, or leaves null.
        let name = unsafe {
            if (self.error_name)(code, &raw mut name) == 0 && !name.is_null() {
                CStr::from_ptr(name).to_string_lossy().into_owned()
            } else {
                code.to_string()
            }
        };
        Err(Problem::new(Kind::Device, format!("`{call}` failed: {name}")).at("NVIDIA driver"))
    }

    fn handle(&self, ordinal: c_int) -> Result<c_int> {
        let mut device = 0;
        // SAFETY: room for one number.
        self.check(unsafe { (self.get_device)(&raw mut device, ordinal) }, "cuDeviceGet")?;
        Ok(device)
    }

    /// Ten times the major compute capability plus the minor one.
    pub(super) fn architecture(&self, ordinal: c_int) -> Result<u32> {
        let device = self.handle(ordinal)?;
        let mut parts = [0; 2];
        for (part, attribute) in parts.iter_mut().zip([CAPABILITY_MAJOR, CAPABILITY_MINOR]) {
            // SAFETY: room for one number.
            self.check(unsafe { (self.get_attribute)(part, attribute, device) }, "cuDeviceGetAttribute")?;
        }
        Ok((10 * parts[0] + parts[1]).unsigned_abs())
    }

    /// Loads machine code (or intermediate code, as text that ends in a zero) into the device's primary context.
    pub(super) fn load(&self, ordinal: c_int, image: &[u8]) -> Result<Module> {
        let device = self.handle(ordinal)?;
        let (mut context, mut module): (Handle, Handle) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: room for each handle; the image is whole. The primary context is libtorch's own: keeping it costs nothing.
        unsafe {
            self.check((self.retain_context)(&raw mut context, device), "cuDevicePrimaryCtxRetain")?;
            self.enter(context)?;
            self.check((self.load)(&raw mut module, image.as_ptr().cast()), "cuModuleLoadData")?;
        }
        Ok(Module { module, context })
    }

    /// Makes a context current on this thread, where it is not: libtorch does so only once the thread has used its device.
    fn enter(&self, context: Handle) -> Result<()> {
        let mut current: Handle = std::ptr::null_mut();
        // SAFETY: room for a handle, and a context that is kept for the life of the process.
        unsafe {
            self.check((self.current_context)(&raw mut current), "cuCtxGetCurrent")?;
            if current != context {
                self.check((self.set_context)(context), "cuCtxSetCurrent")?;
            }
        }
        Ok(())
    }

    pub(super) fn function(&self, module: Module, name: &str) -> Result<Function> {
        let text = CString::new(name).map_err(|_| Problem::failed("a kernel's name holds a zero"))?;
        let mut function: Handle = std::ptr::null_mut();
        // SAFETY: a loaded module and a text that ends in a zero.
        self.check(unsafe { (self.get_function)(&raw mut function, module.module, text.as_ptr()) }, "cuModuleGetFunction")?;
        Ok(Function { function, context: module.context })
    }

    /// Starts a kernel on the default stream of its context.
    ///
    /// # Safety
    /// The arguments are those of the kernel, and what they point to on the device is there.
    pub(super) unsafe fn launch(&self, function: Function, blocks: u32, threads: u32, arguments: &mut [*mut c_void]) -> Result<()> {
        self.enter(function.context)?;
        // SAFETY: the caller's promise.
        let code = unsafe {
            (self.launch)(
                function.function,
                blocks,
                1,
                1,
                threads,
                1,
                1,
                0,
                std::ptr::null_mut(),
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        self.check(code, "cuLaunchKernel")
    }
}
