// A filter of three taps along each axis of volumes on a GPU. One thread makes a run of voxels along z, so that neighbouring threads read
// neighbouring voxels, and a plane is read once a run. The numbers are those of the CPU kernel (smoothing.rs) to rounding.
//
// Layout: volumes [image][z][y][x]. Outside a volume is nothing.

struct SmoothingShape {
  int side;       // voxels
  int run;        // voxels along z that a thread makes
  float taps[2];  // of a voxel, and of each of its neighbours
};

// Around (y, x) in plane z, filtered along both.
__device__ float opus_smooth_in_plane(const float* volume, const SmoothingShape& shape, int z, int y, int x) {
  if (z < 0 || z >= shape.side) return 0.0f;
  float sum = 0.0f;
  for (int row = y - 1; row <= y + 1; ++row) {
    if (row < 0 || row >= shape.side) continue;
    const float* here = volume + ((long long)z * shape.side + row) * shape.side + x;
    const float around = (x > 0 ? here[-1] : 0.0f) + (x + 1 < shape.side ? here[1] : 0.0f);
    sum += shape.taps[row != y] * (shape.taps[0] * *here + shape.taps[1] * around);
  }
  return sum;
}

extern "C" __global__ void opus_smooth(const float* __restrict__ volumes, float* __restrict__ smoothed, SmoothingShape shape, long long columns) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= columns) return;
  const long long side = shape.side, plane = side * side, runs = (side + shape.run - 1) / shape.run;
  const int x = (int)(i % side), y = (int)(i / side % side), from = (int)(i / plane % runs) * shape.run;
  const long long image = i / (plane * runs) * plane * side;
  const int to = from + shape.run < shape.side ? from + shape.run : shape.side;
  const float* volume = volumes + image;
  float before = opus_smooth_in_plane(volume, shape, from - 1, y, x), here = opus_smooth_in_plane(volume, shape, from, y, x);
  for (int z = from; z < to; ++z) {
    const float after = opus_smooth_in_plane(volume, shape, z + 1, y, x);
    smoothed[image + z * plane + y * side + x] = shape.taps[0] * here + shape.taps[1] * (before + after);
    before = here;
    here = after;
  }
}
