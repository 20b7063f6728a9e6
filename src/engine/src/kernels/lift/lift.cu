// Lifting images into cubes on a GPU: one thread a voxel, which takes the image's value where the voxel is seen. The numbers are those of the
// CPU kernel (lift.rs) to rounding.
//
// Layouts: images [image][y][x]; rotations [image][3][3], map to image; cubes [image][z][y][x].

struct LiftShape {
  int image_side;      // pixels
  int grid;            // side of the cubes, voxels
  float image_origin;  // index of the origin along each axis of the images
  float grid_origin;   // and of the cubes
  float step;          // pixels from voxel to voxel
  int fades;           // whether the cube ends where an image copied along the view direction would
};

// Far beyond any rotation: such a pose gives no numbers.
#define MOST_OF_A_ROTATION 1e5f

__device__ float pixel_or_zero(const float* image, int side, int x, int y) {
  return x >= 0 && x < side && y >= 0 && y < side ? image[y * side + x] : 0.0f;
}

extern "C" __global__ void opus_lift(const float* __restrict__ images, const float* __restrict__ rotations, float* __restrict__ cubes,
                                     LiftShape shape, long long voxels) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= voxels) return;
  const int e = shape.grid, side = shape.image_side;
  const long long cube = (long long)e * e * e, image = i / cube;
  const int voxel = (int)(i % cube);
  const float* a = rotations + image * 9;
  bool usable = true;
  for (int j = 0; j < 9; ++j) usable = usable && fabsf(a[j]) < MOST_OF_A_ROTATION;  // false for what is not a number
  if (!usable) {
    cubes[i] = nanf("");
    return;
  }
  const float at[3] = {(voxel % e - shape.grid_origin) * shape.step, (voxel / e % e - shape.grid_origin) * shape.step,
                       (voxel / (e * e) - shape.grid_origin) * shape.step};
  float seen[3];
  for (int j = 0; j < 3; ++j) seen[j] = fmaf(a[3 * j], at[0], fmaf(a[3 * j + 1], at[1], fmaf(a[3 * j + 2], at[2], shape.image_origin)));
  // Beyond a pixel outside there is nothing but zero.
  const float x = fminf(fmaxf(seen[0], -1.0f), (float)side), y = fminf(fmaxf(seen[1], -1.0f), (float)side);
  const float left = floorf(x), top = floorf(y);
  const float* of = images + image * ((long long)side * side);
  float rows[2];
  for (int row = 0; row < 2; ++row) {
    const float near = pixel_or_zero(of, side, (int)left, (int)top + row), far = pixel_or_zero(of, side, (int)left + 1, (int)top + row);
    rows[row] = fmaf(x - left, far - near, near);
  }
  float value = fmaf(y - top, rows[1] - rows[0], rows[0]);
  if (shape.fades) value *= fminf(fmaxf(fminf(seen[2] + 1.0f, side - seen[2]), 0.0f), 1.0f);
  cubes[i] = value;
}
