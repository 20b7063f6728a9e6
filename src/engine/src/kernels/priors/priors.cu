// Mean magnitude and total variation of volumes on a GPU. Sums: one thread a column along z, so that neighbouring threads read neighbouring
// voxels. Gradient: one thread a voxel, which gathers its own part and those of the three voxels after it, so that nothing is added to by
// two. The numbers are those of the CPU kernel (priors.rs) to rounding.
//
// Layouts: volumes and gradient [image][z][y][x]; sums [image][y][x][2] over the region; weights [image][2]. Axes are z, y, x.

struct PriorsShape {
  int side;     // voxels
  int from[3];  // the first voxel that counts, at least 1
  int to[3];    // and the first after the last
  float flat;   // under the root
};

__device__ float opus_slopes(const float* here, long long side, float flat, float slopes[3]) {
  slopes[0] = *here - here[-side * side];
  slopes[1] = *here - here[-side];
  slopes[2] = *here - here[-1];
  return sqrtf(slopes[0] * slopes[0] + slopes[1] * slopes[1] + slopes[2] * slopes[2] + flat);
}

__device__ bool opus_counts(const PriorsShape& shape, const int at[3]) {
  bool inside = true;
  for (int axis = 0; axis < 3; ++axis) inside = inside && at[axis] >= shape.from[axis] && at[axis] < shape.to[axis];
  return inside;
}

extern "C" __global__ void opus_prior_sums(const float* __restrict__ volumes, float* __restrict__ sums, PriorsShape shape, long long columns) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= columns) return;
  const long long side = shape.side, plane = side * side;
  const int width = shape.to[2] - shape.from[2], height = shape.to[1] - shape.from[1];
  const long long x = shape.from[2] + i % width, y = shape.from[1] + i / width % height, image = i / ((long long)width * height);
  const float* column = volumes + image * plane * side + y * side + x;
  float magnitude = 0.0f, variation = 0.0f;
  for (int z = shape.from[0]; z < shape.to[0]; ++z) {
    float slopes[3];
    magnitude += fabsf(column[z * plane]);
    variation += opus_slopes(column + z * plane, side, shape.flat, slopes);
  }
  sums[2 * i] = magnitude;
  sums[2 * i + 1] = variation;
}

extern "C" __global__ void opus_prior_gradient(const float* __restrict__ volumes, const float* __restrict__ weights, float* __restrict__ gradient,
                                               PriorsShape shape, long long voxels) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= voxels) return;
  const long long side = shape.side, cube = side * side * side, image = i / cube, voxel = i % cube;
  const int at[3] = {(int)(voxel / (side * side)), (int)(voxel / side % side), (int)(voxel % side)};
  const long long steps[3] = {side * side, side, 1};
  const float of_magnitude = weights[2 * image], of_variation = weights[2 * image + 1];
  float slopes[3], value = 0.0f;
  if (opus_counts(shape, at)) {
    const float here = volumes[i], root = opus_slopes(volumes + i, side, shape.flat, slopes);
    value = of_magnitude * ((here > 0.0f) - (here < 0.0f)) + of_variation * (slopes[0] + slopes[1] + slopes[2]) / root;
  }
  for (int axis = 0; axis < 3; ++axis) {
    const int after[3] = {at[0] + (axis == 0), at[1] + (axis == 1), at[2] + (axis == 2)};
    if (!opus_counts(shape, after)) continue;
    const float root = opus_slopes(volumes + i + steps[axis], side, shape.flat, slopes);
    value -= of_variation * slopes[axis] / root;
  }
  gradient[i] = value;
}
