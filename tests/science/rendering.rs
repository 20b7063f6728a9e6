//! A projector of the tests' own: sums along rays through a map, trilinearly, and the contrast transfer function. Slow and plain.

use cryoem::ctf::Ctf;
use cryoem::fft::{irfft2, rfft2};
use cryoem::volume::Volume;
use ndarray::{Array2, Array3};

/// Sum along z of a map turned by a rotation (row-major; image frame = A · map frame).
pub(crate) fn project(map: &Volume, rotation: &[f32; 9]) -> Array2<f32> {
    let n = map.data.dim().0;
    let half = (n / 2) as f32;
    Array2::from_shape_fn((n, n), |(y, x)| {
        let (u, v) = (x as f32 - half, y as f32 - half);
        let at = |w: f32| {
            // The inverse of a rotation is its transpose.
            let p: [f32; 3] = std::array::from_fn(|i| rotation[i] * u + rotation[3 + i] * v + rotation[6 + i] * w + half);
            trilinear(&map.data, p)
        };
        (0..n).map(|z| at(z as f32 - half)).sum()
    })
}

/// Value at (x, y, z); 0 outside.
fn trilinear(data: &Array3<f32>, [x, y, z]: [f32; 3]) -> f32 {
    let n = data.dim().0 as isize;
    let (x0, y0, z0) = (x.floor(), y.floor(), z.floor());
    let (fx, fy, fz) = (x - x0, y - y0, z - z0);
    let mut sum = 0.0;
    for (dz, wz) in [(0, 1.0 - fz), (1, fz)] {
        for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
            for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
                let [i, j, k] = [z0 as isize + dz, y0 as isize + dy, x0 as isize + dx];
                if [i, j, k].iter().all(|c| (0..n).contains(c)) {
                    sum += wz * wy * wx * data[[i as usize, j as usize, k as usize]];
                }
            }
        }
    }
    sum
}

/// A projection as the microscope shows it.
pub(crate) fn through_microscope(projection: &Array2<f32>, ctf: &[f32; 9], apix: f64) -> Array2<f32> {
    let n = projection.dim().0;
    let mut spectrum = rfft2(projection.view());
    for (value, transfer) in spectrum.iter_mut().zip(Ctf::of_row(ctf).half_plane(n, apix)) {
        *value *= transfer;
    }
    irfft2(spectrum, n)
}
