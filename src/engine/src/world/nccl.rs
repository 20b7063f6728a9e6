//! NCCL, bound at run time from the `libnccl.so.2` that libtorch's CUDA part brings along: sums of tensors on GPUs.

use super::Queue;
use crate::native::try_call;
use contract::{Kind, Problem, Result, World};
use libloading::os::unix::{Library, Symbol};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use tch::{Device, Tensor};

/// The library's name; libtorch has loaded it already.
const LIBRARY: &str = "libnccl.so.2";
/// `NCCL_UNIQUE_ID_BYTES`.
const ID_BYTES: usize = 128;
/// `ncclSum`.
const SUM: c_int = 0;

/// What ranks find each other by; made by the first.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueId([u8; ID_BYTES]);

type Communicator = *mut c_void;
type Stream = *mut c_void;

/// The functions that are used, with the types of `nccl.h`; a result other than 0 is an error.
struct Functions {
    get_unique_id: Symbol<unsafe extern "C" fn(*mut UniqueId) -> c_int>,
    init_rank: Symbol<unsafe extern "C" fn(*mut Communicator, c_int, UniqueId, c_int) -> c_int>,
    all_reduce: Symbol<unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Communicator, Stream) -> c_int>,
    destroy: Symbol<unsafe extern "C" fn(Communicator) -> c_int>,
    abort: Symbol<unsafe extern "C" fn(Communicator) -> c_int>,
    error_text: Symbol<unsafe extern "C" fn(c_int) -> *const c_char>,
}

#[repr(C)]
struct RawSide([u8; 0]);

unsafe extern "C" {
    fn opus_side_open(device: c_int, side: *mut *mut RawSide, handle: *mut *mut c_void, what: *mut c_char, room: usize) -> c_int;
    fn opus_side_close(side: *mut RawSide);
    fn opus_side_after(side: *mut RawSide, what: *mut c_char, room: usize) -> c_int;
    fn opus_side_before(side: *mut RawSide, what: *mut c_char, room: usize) -> c_int;
}

/// A communicator and the stream that it works on, beside the one that computes.
pub(super) struct Nccl {
    functions: &'static Functions,
    communicator: Communicator,
    side: *mut RawSide,
    stream: Stream,
    device: usize,
}

impl Default for UniqueId {
    fn default() -> Self {
        Self([0; ID_BYTES])
    }
}

impl UniqueId {
    /// Two hexadecimal digits a byte.
    #[must_use]
    pub fn to_words(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The reverse of [`Self::to_words`].
    #[must_use]
    pub fn of_words(words: &str) -> Option<Self> {
        let digits: Vec<u8> = words.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        (digits.len() == 2 * ID_BYTES).then_some(())?;
        bytes.try_into().ok().map(Self)
    }
}

/// A new id, as the first rank makes it.
///
/// # Errors
/// NCCL is missing or fails.
pub fn unique_id() -> Result<UniqueId> {
    let functions = functions()?;
    let mut id = UniqueId::default();
    // SAFETY: `id` has the size that NCCL writes.
    functions.check(unsafe { (functions.get_unique_id)(&raw mut id) }, "cannot begin")?;
    Ok(id)
}

impl Nccl {
    /// Joins the others on a GPU; returns when all have.
    pub(super) fn join(id: &UniqueId, rank: usize, size: usize, device: usize) -> Result<Self> {
        let functions = functions()?;
        let number = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX);
        let (mut side, mut stream) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: both places outlive the call.
        try_call(|what, room| unsafe { opus_side_open(number(device), &raw mut side, &raw mut stream, what, room) })
            .map_err(|reason| Problem::new(Kind::Device, reason).at(format!("cuda:{device}")))?;
        let mut nccl = Self { functions, communicator: std::ptr::null_mut(), side, stream, device };
        // SAFETY: the place outlives the call, and the GPU has been made this thread's.
        let result = unsafe { (functions.init_rank)(&raw mut nccl.communicator, number(size), *id, number(rank)) };
        functions.check(result, "the GPUs did not meet")?;
        Ok(nccl)
    }
}

impl Queue for Nccl {
    fn takes(&self, x: &Tensor) -> bool {
        x.device() != Device::Cpu
    }

    fn begin_sum(&self, x: &Tensor) {
        let kind = data_type(x.kind());
        // SAFETY: tensor, communicator and streams are alive, and the caller keeps the tensor.
        let result = try_call(|what, room| unsafe { opus_side_after(self.side, what, room) }).and_then(|()| {
            let result =
                unsafe { (self.functions.all_reduce)(x.data_ptr(), x.data_ptr(), x.numel(), kind, SUM, self.communicator, self.stream) };
            self.functions.check(result, "a sum over GPUs failed").map_err(|problem| problem.to_string())
        });
        if let Err(reason) = result {
            panic!("{}: {reason}", World::LOST);
        }
    }

    fn finish(&self) {
        // SAFETY: the side is alive.
        if let Err(reason) = try_call(|what, room| unsafe { opus_side_before(self.side, what, room) }) {
            panic!("{}: {reason}", World::LOST);
        }
    }

    fn wait_for_all(&self) {
        tch::Cuda::synchronize(i64::try_from(self.device).unwrap_or(i64::MAX));
    }

    fn leave(mut self: Box<Self>) {
        let communicator = std::mem::replace(&mut self.communicator, std::ptr::null_mut());
        // SAFETY: the communicator is alive, and is given back once. All that it was for is done: nothing follows from an error.
        unsafe { (self.functions.destroy)(communicator) };
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        // SAFETY: both were made above and are given back once. Abort and not destroy: the others may be gone, and nobody waits for them.
        unsafe {
            if !self.communicator.is_null() {
                (self.functions.abort)(self.communicator);
            }
            opus_side_close(self.side);
        }
    }
}

impl Functions {
    fn check(&self, result: c_int, what: &str) -> Result<()> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: NCCL gives a constant text for any number.
        let reason = unsafe { CStr::from_ptr((self.error_text)(result)) }.to_string_lossy().into_owned();
        Err(Problem::new(Kind::Device, format!("{what}: {reason}"))
            .at("NCCL")
            .hint("set `NCCL_DEBUG=WARN` to see what NCCL says, or train on one GPU (`--gpu 0`)"))
    }
}

/// NCCL's number of an element type.
fn data_type(kind: tch::Kind) -> c_int {
    match kind {
        tch::Kind::Float => 7,
        tch::Kind::Double => 8,
        other => panic!("{other:?} is not added up over GPUs"),
    }
}

fn functions() -> Result<&'static Functions> {
    static FUNCTIONS: OnceLock<Result<Functions>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| load(LIBRARY)).as_ref().map_err(Clone::clone)
}

fn load(library: &str) -> Result<Functions> {
    let missing = |e: libloading::Error| {
        Problem::new(Kind::Device, format!("NCCL does not open: {e}"))
            .at(library.to_owned())
            .hint("run `cargo xtask setup --cuda`, which fetches all that it needs, or train on one GPU (`--gpu 0`)")
    };
    // SAFETY: the names and types are those of nccl.h of NCCL 2, whose C interface has kept them; the library stays loaded.
    unsafe {
        let nccl = Library::new(library).map_err(missing)?;
        let functions = Functions {
            get_unique_id: nccl.get(b"ncclGetUniqueId\0").map_err(missing)?,
            init_rank: nccl.get(b"ncclCommInitRank\0").map_err(missing)?,
            all_reduce: nccl.get(b"ncclAllReduce\0").map_err(missing)?,
            destroy: nccl.get(b"ncclCommDestroy\0").map_err(missing)?,
            abort: nccl.get(b"ncclCommAbort\0").map_err(missing)?,
            error_text: nccl.get(b"ncclGetErrorString\0").map_err(missing)?,
        };
        std::mem::forget(nccl);
        Ok(functions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_travel_as_words() {
        let id = UniqueId(std::array::from_fn(|i| (i * 7 % 256) as u8));
        assert_eq!(UniqueId::of_words(&id.to_words()), Some(id));
        for bad in ["", "0g", &id.to_words()[1..]] {
            assert_eq!(UniqueId::of_words(bad), None);
        }
    }

    #[test]
    fn a_library_that_is_missing_is_named() {
        let problem = load("libnccl-of-nobody.so.2").err().unwrap();
        assert_eq!((problem.kind, problem.culprit.as_deref()), (Kind::Device, Some("libnccl-of-nobody.so.2")));
        assert!(problem.hint.unwrap().contains("--gpu 0"));
    }

    #[test]
    fn the_functions_are_those_of_the_library_that_is_set_up() {
        let cache = std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cache/opus-dsd")).unwrap_or_default();
        let folders = std::fs::read_dir(&cache).into_iter().flatten().flatten();
        let found = folders.map(|entry| entry.path().join("nvidia/nccl/lib").join(LIBRARY)).find(|path| path.is_file());
        let Some(path) = found else {
            crate::skip::skipped(format_args!("no {LIBRARY} below {} (`cargo xtask setup --cuda`)", cache.display()));
            return;
        };
        let functions = load(&path.to_string_lossy()).unwrap();
        assert!(functions.check(0, "nothing").is_ok());
        // ncclInvalidArgument
        let problem = functions.check(4, "it failed").unwrap_err();
        assert!(problem.to_string().starts_with("NCCL: it failed: invalid argument"), "{problem}");
    }
}
