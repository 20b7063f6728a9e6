//! Gloo, as it is inside libtorch: collectives on tensors in host memory.

use crate::native::try_call;
use contract::World;
use std::ffi::{CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use tch::Tensor;
use torch_sys::C_tensor;

/// How long a rank waits for the others. Long, since rank 0 may be busy with files or with all particles meanwhile; that a rank has died is
/// noticed by its closed connections and by the worker, not by this.
const PATIENCE_S: i64 = 24 * 3600;

#[repr(C)]
struct RawGroup([u8; 0]);
#[repr(C)]
struct RawWork([u8; 0]);

unsafe extern "C" {
    fn opus_world_join(
        host: *const c_char,
        port: c_int,
        listener: c_int,
        own: *const c_char,
        rank: c_int,
        size: c_int,
        timeout_s: i64,
        group: *mut *mut RawGroup,
        what: *mut c_char,
        room: usize,
    ) -> c_int;
    fn opus_world_leave(group: *mut RawGroup);
    fn opus_world_sum(group: *mut RawGroup, x: *mut C_tensor, work: *mut *mut RawWork, what: *mut c_char, room: usize) -> c_int;
    fn opus_world_broadcast(group: *mut RawGroup, x: *mut C_tensor, work: *mut *mut RawWork, what: *mut c_char, room: usize) -> c_int;
    fn opus_world_forget(work: *mut RawWork);
    fn opus_world_wait(work: *mut RawWork, what: *mut c_char, room: usize) -> c_int;
}

/// A group of processes.
pub(super) struct Gloo(*mut RawGroup);

/// A collective on its way; libtorch keeps the tensor until it is done.
pub(super) struct Work(*mut RawWork);

impl Gloo {
    /// As rank 0, which the others meet at `listener`.
    pub(super) fn serve(listener: TcpListener, address: SocketAddr, size: usize) -> Result<Self, String> {
        Self::open(address, listener.into_raw_fd(), address.ip(), 0, size)
    }

    /// As another rank, reached by the others at `own`.
    pub(super) fn meet(address: SocketAddr, own: IpAddr, rank: usize, size: usize) -> Result<Self, String> {
        Self::open(address, -1, own, rank, size)
    }

    fn open(address: SocketAddr, listener: c_int, own: IpAddr, rank: usize, size: usize) -> Result<Self, String> {
        let text = |ip: IpAddr| CString::new(ip.to_string()).map_err(|e| e.to_string());
        let number = |n: usize| c_int::try_from(n).map_err(|e| e.to_string());
        let (host, own, rank, size) = (text(address.ip())?, text(own)?, number(rank)?, number(size)?);
        let mut group = std::ptr::null_mut();
        // SAFETY: every pointer outlives the call; the bridge owns the listener from here on.
        try_call(|what, room| unsafe {
            let port = c_int::from(address.port());
            opus_world_join(host.as_ptr(), port, listener, own.as_ptr(), rank, size, PATIENCE_S, &raw mut group, what, room)
        })?;
        Ok(Self(group))
    }

    /// Starts to replace `x` (contiguous, in host memory) by its sum over ranks.
    pub(super) fn begin_sum(&self, x: &Tensor) -> Work {
        let mut work = std::ptr::null_mut();
        // SAFETY: group and tensor are alive; libtorch holds its own reference to the tensor.
        expect(try_call(|what, room| unsafe { opus_world_sum(self.0, x.as_ptr().cast_mut(), &raw mut work, what, room) }));
        Work(work)
    }

    /// Replaces `x` (contiguous, in host memory) by rank 0's.
    pub(super) fn broadcast(&self, x: &Tensor) {
        let mut work = std::ptr::null_mut();
        // SAFETY: as above.
        expect(try_call(|what, room| unsafe { opus_world_broadcast(self.0, x.as_ptr().cast_mut(), &raw mut work, what, room) }));
        Work(work).wait();
    }
}

impl Drop for Gloo {
    fn drop(&mut self) {
        // SAFETY: made by the bridge, given back once.
        unsafe { opus_world_leave(self.0) };
    }
}

impl Work {
    /// Waits until it is done.
    pub(super) fn wait(self) {
        let work = ManuallyDrop::new(self).0;
        // SAFETY: made by the bridge, which forgets it here.
        expect(try_call(|what, room| unsafe { opus_world_wait(work, what, room) }));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // SAFETY: made by the bridge, given back once; libtorch has its own hold on what is under way.
        unsafe { opus_world_forget(self.0) };
    }
}

/// A collective that fails ends the run: without the others there is nothing to go on with.
fn expect(done: Result<(), String>) {
    if let Err(reason) = done {
        panic!("{}: {reason}", World::LOST);
    }
}
