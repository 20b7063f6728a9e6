// Central slices of padded transforms on a GPU: one thread a frequency of an image. The numbers are those of the CPU kernel (slices.rs) to
// rounding.
//
// Layouts: spectra [image][z][y][x], complex, x from 0, y and z from 0 and on to the negative ones, which end the axis; slices
// [image][pose][9] = steps of a spectrum (x, y, z) that a step along the image's x is, the same along y, turns of the phase that these are,
// scale; half planes [image][pose][y][x], complex, with x from 0 to side/2.

#define TAPS 3

struct SlicesShape {
  int poses;     // an image
  int side;      // of the images whose half planes these are, pixels
  int padded;    // side of the padded transform
  int rows;      // of a spectrum along y and z
  int columns;   // of a spectrum along x
  float limit2;  // square of the highest frequency that a spectrum holds
  float beta;    // of the window
};

struct Point {
  int first[3];
  float weight[3][TAPS];
  float factor[2];  // complex
  bool conjugate;
  bool inside;
};

__device__ Point point_of(const float* slice, SlicesShape shape, int x, int row) {
  Point point;
  const int y = row < shape.side / 2 ? row : row - shape.side;
  point.inside = 4 * (x * x + y * y) < shape.side * shape.side;
  if (!point.inside) return point;
  float at[3], norm = 0.0f;
  for (int j = 0; j < 3; ++j) {
    at[j] = slice[j] * (float)x + slice[3 + j] * (float)y;
    norm += at[j] * at[j];
  }
  point.inside = norm <= shape.limit2;  // false for what is not a number
  if (!point.inside) return point;
  point.conjugate = at[0] < 0.0f;
  for (int j = 0; j < 3; ++j) {
    const float here = point.conjugate ? -at[j] : at[j];
    const float first = ceilf(here - 0.5f * TAPS);
    point.first[j] = (int)first;
    for (int tap = 0; tap < TAPS; ++tap) {
      const float part = (here - first - (float)tap) * (2.0f / TAPS);
      point.weight[j][tap] = expf(shape.beta * (sqrtf(fmaxf(1.0f - part * part, 0.0f)) - 1.0f));
    }
  }
  const float turns = slice[6] * (float)x + slice[7] * (float)y;
  const float angle = 6.283185307179586f * (turns - rintf(turns));
  point.factor[0] = cosf(angle) * slice[8];
  point.factor[1] = sinf(angle) * slice[8];
  return point;
}

__device__ bool is_slice(const float* slice) {
  return fabsf(slice[8]) < 1e30f;  // false for what is not a number
}

__device__ long long wrapped(int index, int count) { return index < 0 ? index + count : index; }

// Where a frequency of a real volume's transform lies in a spectrum, and whether its conjugate lies there.
__device__ long long place_of(const Point& point, SlicesShape shape, int i, int j, int k, bool* mirrored) {
  int x = point.first[0] + i, y = point.first[1] + j, z = point.first[2] + k;
  *mirrored = x < 0 || x > shape.padded / 2;
  if (*mirrored) {
    x = x < 0 ? -x : shape.padded - x;
    y = -y;
    z = -z;
  }
  return (wrapped(z, shape.rows) * shape.rows + wrapped(y, shape.rows)) * shape.columns + x;
}

// What a thread works on.
struct Frequency {
  const float* slice;
  long long spectrum;  // where that of its volume begins
  int x, row;          // in the half plane
};

__device__ Frequency frequency_of(long long item, const float* slices, SlicesShape shape) {
  const int width = shape.side / 2 + 1, area = shape.side * width, index = (int)(item % area);
  const long long pose = item / area, numbers = 2 * (long long)shape.rows * shape.rows * shape.columns;
  return {slices + pose * 9, pose / shape.poses * numbers, index % width, index / width};
}

// One thread a frequency of a half plane.
extern "C" __global__ void opus_slices(const float* __restrict__ spectra, const float* __restrict__ slices, float* __restrict__ planes,
                                       SlicesShape shape, long long frequencies) {
  const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= frequencies) return;
  const Frequency frequency = frequency_of(item, slices, shape);
  float* to = planes + 2 * item;
  to[0] = to[1] = 0.0f;
  if (!is_slice(frequency.slice)) {
    to[0] = to[1] = nanf("");
    return;
  }
  const Point point = point_of(frequency.slice, shape, frequency.x, frequency.row);
  if (!point.inside) return;
  const float* spectrum = spectra + frequency.spectrum;
  float real = 0.0f, imaginary = 0.0f;
  for (int k = 0; k < TAPS; ++k)
    for (int j = 0; j < TAPS; ++j)
      for (int i = 0; i < TAPS; ++i) {
        bool mirrored;
        const float* from = spectrum + 2 * place_of(point, shape, i, j, k, &mirrored);
        const float weight = point.weight[2][k] * point.weight[1][j] * point.weight[0][i];
        real += weight * from[0];
        imaginary += (mirrored ? -weight : weight) * from[1];
      }
  if (point.conjugate) imaginary = -imaginary;
  to[0] = real * point.factor[0] - imaginary * point.factor[1];
  to[1] = real * point.factor[1] + imaginary * point.factor[0];
}

// The transpose of opus_slices (real and imaginary parts as numbers of their own): adds every frequency's gradient to the points that it was
// read from.
extern "C" __global__ void opus_slices_spread(const float* __restrict__ planes, const float* __restrict__ slices,
                                              float* __restrict__ spectra, SlicesShape shape, long long frequencies) {
  const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= frequencies) return;
  const Frequency frequency = frequency_of(item, slices, shape);
  if (!is_slice(frequency.slice)) return;
  const Point point = point_of(frequency.slice, shape, frequency.x, frequency.row);
  if (!point.inside) return;
  const float* from = planes + 2 * item;
  const float real = from[0] * point.factor[0] + from[1] * point.factor[1];
  float imaginary = from[1] * point.factor[0] - from[0] * point.factor[1];
  if (point.conjugate) imaginary = -imaginary;
  float* spectrum = spectra + frequency.spectrum;
  for (int k = 0; k < TAPS; ++k)
    for (int j = 0; j < TAPS; ++j)
      for (int i = 0; i < TAPS; ++i) {
        bool mirrored;
        float* to = spectrum + 2 * place_of(point, shape, i, j, k, &mirrored);
        const float weight = point.weight[2][k] * point.weight[1][j] * point.weight[0][i];
        atomicAdd(to, weight * real);
        atomicAdd(to + 1, (mirrored ? -weight : weight) * imaginary);
      }
}
