// Runs the GPU's kernels on the host, one thread after the other: the same source, other words for where a thread stands.
#include <cmath>
#include <cstring>

struct Index {
  unsigned x;
};
static Index blockIdx, blockDim, threadIdx;

#define __global__
#define __device__ static inline
#define __restrict__

template <typename T>
static T atomicAdd(T* place, T value) {
  const T before = *place;
  *place += value;
  return before;
}

#include "lift.cu"
#include "priors.cu"
#include "rays.cu"
#include "slices.cu"
#include "smoothing.cu"

template <typename Kernel>
static void each(long long items, Kernel kernel) {
  blockDim.x = 128;
  const long long blocks = (items + blockDim.x - 1) / blockDim.x;
  for (long long block = 0; block < blocks; ++block) {
    blockIdx.x = (unsigned)block;
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) kernel();
  }
}

template <typename T>
static T value(void* argument) {
  return *static_cast<T*>(argument);
}

extern "C" int run_on_host(const char* kernel, long long items, void** a) {
  const auto in = [&](int i) { return value<const float*>(a[i]); };
  if (!std::strcmp(kernel, "opus_project")) {
    each(items, [&] { opus_project(in(0), in(1), in(2), value<const int*>(a[3]), value<float*>(a[4]), value<Shape>(a[5]), value<long long>(a[6])); });
  } else if (!std::strcmp(kernel, "opus_project_volumes")) {
    each(items, [&] {
      opus_project_volumes(in(0), in(1), in(2), value<const int*>(a[3]), value<float*>(a[4]), value<Shape>(a[5]), value<long long>(a[6]));
    });
  } else if (!std::strcmp(kernel, "opus_project_poses")) {
    each(items, [&] {
      opus_project_poses(in(0), in(1), in(2), in(3), value<const int*>(a[4]), value<double*>(a[5]), value<Shape>(a[6]), value<long long>(a[7]));
    });
  } else if (!std::strcmp(kernel, "opus_prior_sums")) {
    each(items, [&] { opus_prior_sums(in(0), value<float*>(a[1]), value<PriorsShape>(a[2]), value<long long>(a[3])); });
  } else if (!std::strcmp(kernel, "opus_prior_gradient")) {
    each(items, [&] { opus_prior_gradient(in(0), in(1), value<float*>(a[2]), value<PriorsShape>(a[3]), value<long long>(a[4])); });
  } else if (!std::strcmp(kernel, "opus_smooth")) {
    each(items, [&] { opus_smooth(in(0), value<float*>(a[1]), value<SmoothingShape>(a[2]), value<long long>(a[3])); });
  } else if (!std::strcmp(kernel, "opus_lift")) {
    each(items, [&] { opus_lift(in(0), in(1), value<float*>(a[2]), value<LiftShape>(a[3]), value<long long>(a[4])); });
  } else if (!std::strcmp(kernel, "opus_slices")) {
    each(items, [&] { opus_slices(in(0), in(1), value<float*>(a[2]), value<SlicesShape>(a[3]), value<long long>(a[4])); });
  } else if (!std::strcmp(kernel, "opus_slices_spread")) {
    each(items, [&] { opus_slices_spread(in(0), in(1), value<float*>(a[2]), value<SlicesShape>(a[3]), value<long long>(a[4])); });
  } else {
    return 1;
  }
  return 0;
}
