// Rotation and projection of volumes on a GPU: samples are taken and added along each ray as they come, one thread a ray, so that neither
// positions nor rotated volumes are ever held. The numbers are those of the CPU kernel (ray.rs) to rounding.
//
// Layouts: volumes [image][z][y][x], t^3 each; matrices [image][pose][3][3], rows the steps along x, y, z of the image; offsets
// [image][pose][3]; spans [pixel][2] = first sample and number of samples; projections [image][pose][y][x].
// The sample (x, y, z), pixels from the origin, lies at voxel index offset + x * row 0 + y * row 1 + z * row 2.

struct Shape {
  int poses;       // an image
  int side;        // of the projections, pixels
  int template_side;  // of the volumes, voxels
  float origin;    // index of the rotation's origin along each axis of the projections
};

struct Line {
  float start[3], step[3];
  int count;
};

// Far beyond any volume, far below what an index holds: such a pose gives no numbers.
#define MOST 1e5f

__device__ bool is_usable(const float* matrix, const float* offset) {
  bool usable = true;
  for (int j = 0; j < 9; ++j) usable = usable && fabsf(matrix[j]) < MOST;  // false for what is not a number
  for (int j = 0; j < 3; ++j) usable = usable && fabsf(offset[j]) < MOST;
  return usable;
}

__device__ Line line_of(const float* matrix, const float* offset, const int* spans, Shape shape, int x, int y) {
  const int* span = spans + 2 * (y * shape.side + x);
  const float at[3] = {x - shape.origin, y - shape.origin, span[0] - shape.origin};
  Line line;
  for (int j = 0; j < 3; ++j) {
    line.start[j] = offset[j] + at[0] * matrix[j] + at[1] * matrix[3 + j] + at[2] * matrix[6 + j];
    line.step[j] = matrix[6 + j];
  }
  line.count = span[1];
  return line;
}

// Lower corner of a sample and its distance from it.
struct Place {
  int low[3];
  float part[3];
  bool inside;   // all eight corners are in the volume
  bool outside;  // none is
};

__device__ Place place_of(const Line& line, int n, int side) {
  Place place;
  place.inside = true;
  place.outside = false;
  for (int j = 0; j < 3; ++j) {
    // NVRTC makes one operation of it. As ray.rs has it, so that on a host a sample at a voxel's face takes its slope from the same side.
    const float at = line.start[j] + line.step[j] * (float)n;
    const float low = floorf(at);
    place.low[j] = (int)low;
    place.part[j] = at - low;
    place.inside = place.inside && place.low[j] >= 0 && place.low[j] < side - 1;
    place.outside = place.outside || place.low[j] < -1 || place.low[j] >= side;
  }
  return place;
}

__device__ bool corner_of(const Place& place, int corner, int side, int* index, float weight[3], float sign[3]) {
  const int high[3] = {corner & 1, corner >> 1 & 1, corner >> 2};
  int at[3];
  for (int j = 0; j < 3; ++j) {
    at[j] = place.low[j] + high[j];
    if (at[j] < 0 || at[j] >= side) return false;
    weight[j] = high[j] ? place.part[j] : 1.0f - place.part[j];
    sign[j] = high[j] ? 1.0f : -1.0f;
  }
  *index = (at[2] * side + at[1]) * side + at[0];
  return true;
}

__device__ float mix(float a, float b, float part) { return fmaf(part, b - a, a); }

__device__ float sample(const float* volume, int side, const Place& place) {
  if (place.outside) return 0.0f;
  if (place.inside) {
    const int row = side, plane = side * side;
    const float* at = volume + (place.low[2] * plane + place.low[1] * row + place.low[0]);
    const float near_left = mix(at[0], at[plane], place.part[2]), near_right = mix(at[1], at[plane + 1], place.part[2]);
    const float far_left = mix(at[row], at[plane + row], place.part[2]), far_right = mix(at[row + 1], at[plane + row + 1], place.part[2]);
    return mix(mix(near_left, far_left, place.part[1]), mix(near_right, far_right, place.part[1]), place.part[0]);
  }
  float total = 0.0f;
  for (int corner = 0; corner < 8; ++corner) {
    int index;
    float weight[3], sign[3];
    if (corner_of(place, corner, side, &index, weight, sign)) total += weight[0] * weight[1] * weight[2] * volume[index];
  }
  return total;
}

// One thread a pixel.
extern "C" __global__ void opus_project(const float* __restrict__ volumes, const float* __restrict__ matrices,
                                        const float* __restrict__ offsets, const int* __restrict__ spans, float* __restrict__ projections,
                                        Shape shape, long long pixels) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pixels) return;
  const int area = shape.side * shape.side, t = shape.template_side;
  const long long pose = i / area;
  const int pixel = (int)(i % area);
  const float *matrix = matrices + pose * 9, *offset = offsets + pose * 3;
  if (!is_usable(matrix, offset)) {
    projections[i] = nanf("");
    return;
  }
  const float* volume = volumes + pose / shape.poses * ((long long)t * t * t);
  const Line line = line_of(matrix, offset, spans, shape, pixel % shape.side, pixel / shape.side);
  float total = 0.0f;
  for (int n = 0; n < line.count; ++n) total += sample(volume, t, place_of(line, n, t));
  projections[i] = total;
}

// Adds a number to a sample's corners: the transpose of `sample`.
__device__ void spread(float* volume, int side, const Place& place, float value) {
  if (place.inside) {
    const int row = side, plane = side * side;
    float* at = volume + (place.low[2] * plane + place.low[1] * row + place.low[0]);
    const float right = value * place.part[0], left = value - right;
    const float far_right = right * place.part[1], near_right = right - far_right, far_left = left * place.part[1], near_left = left - far_left;
    const float z = place.part[2];
    atomicAdd(at, near_left - near_left * z);
    atomicAdd(at + 1, near_right - near_right * z);
    atomicAdd(at + row, far_left - far_left * z);
    atomicAdd(at + row + 1, far_right - far_right * z);
    atomicAdd(at + plane, near_left * z);
    atomicAdd(at + plane + 1, near_right * z);
    atomicAdd(at + plane + row, far_left * z);
    atomicAdd(at + plane + row + 1, far_right * z);
    return;
  }
  for (int corner = 0; corner < 8; ++corner) {
    int index;
    float weight[3], sign[3];
    if (corner_of(place, corner, side, &index, weight, sign)) atomicAdd(volume + index, weight[0] * weight[1] * weight[2] * value);
  }
}

// The transpose of opus_project: adds every pixel's gradient to the voxels of its samples. One thread a pixel.
extern "C" __global__ void opus_project_volumes(const float* __restrict__ gradient, const float* __restrict__ matrices,
                                                const float* __restrict__ offsets, const int* __restrict__ spans,
                                                float* __restrict__ volumes, Shape shape, long long pixels) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pixels) return;
  const float g = gradient[i];
  if (g == 0.0f) return;  // outside the mask
  const int area = shape.side * shape.side, t = shape.template_side;
  const long long pose = i / area;
  const int pixel = (int)(i % area);
  const float *matrix = matrices + pose * 9, *offset = offsets + pose * 3;
  if (!is_usable(matrix, offset)) return;
  float* volume = volumes + pose / shape.poses * ((long long)t * t * t);
  const Line line = line_of(matrix, offset, spans, shape, pixel % shape.side, pixel / shape.side);
  for (int n = 0; n < line.count; ++n) {
    const Place place = place_of(line, n, t);
    if (!place.outside) spread(volume, t, place, g);
  }
}

// Gradients by matrices (nine numbers a pose) and offsets (three), [pose][12], double: one thread a row of a projection.
extern "C" __global__ void opus_project_poses(const float* __restrict__ volumes, const float* __restrict__ gradient,
                                              const float* __restrict__ matrices, const float* __restrict__ offsets,
                                              const int* __restrict__ spans, double* __restrict__ sums, Shape shape, long long rows) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= rows) return;
  const int t = shape.template_side, y = (int)(i % shape.side);
  const long long pose = i / shape.side;
  const float *matrix = matrices + pose * 9, *offset = offsets + pose * 3;
  if (!is_usable(matrix, offset)) return;
  const float* volume = volumes + pose / shape.poses * ((long long)t * t * t);
  double total[12] = {0.0};
  for (int x = 0; x < shape.side; ++x) {
    const double g = gradient[i * shape.side + x];
    if (g == 0.0) continue;
    const Line line = line_of(matrix, offset, spans, shape, x, y);
    double slopes[3] = {0.0}, along[3] = {0.0};
    for (int n = 0; n < line.count; ++n) {
      const Place place = place_of(line, n, t);
      if (place.outside) continue;
      float here[3] = {0.0f, 0.0f, 0.0f};
      for (int corner = 0; corner < 8; ++corner) {
        int index;
        float weight[3], sign[3];
        if (!corner_of(place, corner, t, &index, weight, sign)) continue;
        const float value = volume[index];
        here[0] += sign[0] * weight[1] * weight[2] * value;
        here[1] += weight[0] * sign[1] * weight[2] * value;
        here[2] += weight[0] * weight[1] * sign[2] * value;
      }
      for (int j = 0; j < 3; ++j) {
        slopes[j] += here[j];
        along[j] += (double)here[j] * n;
      }
    }
    const double at[3] = {x - shape.origin, y - shape.origin, spans[2 * (y * shape.side + x)] - shape.origin};
    for (int j = 0; j < 3; ++j) {
      const double s = g * slopes[j];
      total[j] += at[0] * s;
      total[3 + j] += at[1] * s;
      total[6 + j] += at[2] * s + g * along[j];
      total[9 + j] += s;
    }
  }
  for (int j = 0; j < 12; ++j) atomicAdd(sums + pose * 12 + j, total[j]);
}
