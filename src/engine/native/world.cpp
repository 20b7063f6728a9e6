// Processes that train together: libtorch's own store and Gloo on CPUs, and a stream beside the running one for NCCL on GPUs.

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "guarded.h"

namespace {

struct Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;
};

struct Work {
  c10::intrusive_ptr<c10d::Work> work;
};

struct Side {
  c10::Stream stream;
};

const c10::impl::VirtualGuardImpl& cuda() {
  static const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  return guard;
}

// `later` goes on when all that is queued on `first` so far is done.
void order(const c10::Stream& first, const c10::Stream& later) {
  c10::Event event(c10::DeviceType::CUDA);
  event.record(first);
  event.block(later);
}

}  // namespace

extern "C" {

// Meets the other ranks. Rank 0 takes the listening socket `listener` over and serves the store at host:port; the others give -1.
// `own` is the address that the others reach this process at. The caller owns `group`.
int opus_world_join(const char* host, int port, int listener, const char* own, int rank, int size, int64_t timeout_s, Group** group,
                    char* what, size_t room) {
  return guarded(what, room, [&] {
    const auto timeout = std::chrono::milliseconds(1000 * timeout_s);
    c10d::TCPStoreOptions meeting;
    meeting.port = static_cast<uint16_t>(port);
    meeting.isServer = rank == 0;
    meeting.numWorkers = size;
    meeting.waitWorkers = false;
    meeting.timeout = timeout;
    if (rank == 0) meeting.masterListenFd = listener;
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(own));
    auto made = std::make_unique<Group>();
    made->store = c10::make_intrusive<c10d::TCPStore>(host, meeting);
    made->backend = c10::make_intrusive<c10d::ProcessGroupGloo>(made->store, rank, size, options);
    *group = made.release();
  });
}

void opus_world_leave(Group* group) { delete group; }

// Starts the sum of `x` over all ranks, in place; the caller waits for `work`, which it owns.
int opus_world_sum(Group* group, at::Tensor* x, Work** work, char* what, size_t room) {
  return guarded(what, room, [&] {
    std::vector<at::Tensor> tensors{*x};
    *work = new Work{group->backend->allreduce(tensors, c10d::AllreduceOptions())};
  });
}

// Starts to copy rank 0's `x` to all ranks.
int opus_world_broadcast(Group* group, at::Tensor* x, Work** work, char* what, size_t room) {
  return guarded(what, room, [&] {
    std::vector<at::Tensor> tensors{*x};
    *work = new Work{group->backend->broadcast(tensors, c10d::BroadcastOptions())};
  });
}

// Forgets a work that may still be going on.
void opus_world_forget(Work* work) { delete work; }

// Waits for a work and forgets it.
int opus_world_wait(Work* work, char* what, size_t room) {
  std::unique_ptr<Work> owned(work);
  return guarded(what, room, [&] { owned->work->wait(); });
}

// A stream of a GPU beside the one that computes, and its handle; makes the GPU this thread's. The caller owns `side`.
int opus_side_open(int device, Side** side, void** handle, char* what, size_t room) {
  return guarded(what, room, [&] {
    const c10::Device gpu(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device));
    cuda().setDevice(gpu);
    const c10::Stream stream = cuda().getStreamFromGlobalPool(gpu, /*isHighPriority=*/true);
    *handle = cuda().getStreamNativeHandle(stream);
    *side = new Side{stream};
  });
}

void opus_side_close(Side* side) { delete side; }

// What is queued beside from now on waits for all that the computing stream has queued so far.
int opus_side_after(Side* side, char* what, size_t room) {
  return guarded(what, room, [&] { order(cuda().getStream(side->stream.device()), side->stream); });
}

// What the computing stream queues from now on waits for all that is queued beside.
int opus_side_before(Side* side, char* what, size_t room) {
  return guarded(what, room, [&] { order(side->stream, cuda().getStream(side->stream.device())); });
}

}  // extern "C"
