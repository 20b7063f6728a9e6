//! What the original and cryoDRGN archive: poses and CTF as Python pickles of plain arrays, and the original's models as files of PyTorch.
//!
//! They are read by a machine that knows the few instructions of which tuples, lists, dictionaries, numbers, arrays and tensors are made.
//! Nothing that a pickle names is looked up or run; one that asks for anything else is refused with the name that it asked for.

mod array;
pub mod original;
mod pickle;
mod stream;
mod tensor;
mod torch;
mod zip;

#[cfg(test)]
mod tests;

pub use array::{Array, Elements};
pub use pickle::{Value, parse};
pub use tensor::{StorageName, View};
pub use torch::TorchFile;

use crate::geometry::{Euler, Matrix3};
use contract::{Problem, Result};
use std::path::Path;

/// How far a pose's matrix may be from a rotation (single precision, and programs that round).
const ROTATION_TOLERANCE: f64 = 1e-2;

/// What a CTF archive holds, for people.
const CTF_HINT: &str = "expected box, pixel size, defocus U, V and angle, voltage, Cs, amplitude contrast, phase shift of every image";

/// Columns of a CTF archive.
const CTF_COLUMNS: usize = 9;

/// Orientations and shifts.
#[derive(Clone, Debug)]
pub struct Poses {
    /// RELION's angles of each image.
    pub euler: Vec<Euler>,
    /// Shift (x, y) that centres each image, in box widths; `None`: the archive has none.
    pub shifts: Option<Vec<[f64; 2]>>,
}

/// A row of a CTF archive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CtfRow {
    /// Box that the pixel size belongs to, pixels.
    pub box_px: f64,
    /// Pixel size at that box, Å.
    pub apix: f64,
    /// Defocus along the first axis, Å.
    pub defocus_u_angstrom: f64,
    /// Defocus along the second axis, Å.
    pub defocus_v_angstrom: f64,
    /// Direction of the first axis, degrees.
    pub defocus_angle_deg: f64,
    /// Voltage, kV.
    pub voltage_kv: f64,
    /// Spherical aberration, mm.
    pub cs_mm: f64,
    /// Amplitude contrast.
    pub amplitude_contrast: f64,
    /// Phase shift, degrees.
    pub phase_shift_deg: f64,
}

impl CtfRow {
    /// Width of the image, Å.
    #[must_use]
    pub fn width_angstrom(&self) -> f64 {
        self.box_px * self.apix
    }
}

/// Reads the values of an archive.
///
/// # Errors
/// The file cannot be read or is no archive of plain arrays.
pub fn read(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|error| Problem::io(path, &error))?;
    pickle::parse(&bytes).map_err(|problem| problem.at(path.display().to_string()))
}

/// Reads a pose archive: rotation matrices `[n, 3, 3]`; a tuple of these and shifts `[n, 2]` in box widths; or both and Euler angles
/// `[n, 3]` in degrees, which then count instead of the matrices. What follows (poses of bodies) is not used.
///
/// # Errors
/// The file is no such archive, or holds matrices that are no rotations or shifts beyond the box.
pub fn read_poses(path: &Path) -> Result<Poses> {
    let parts = match read(path)? {
        Value::Tuple(parts) | Value::List(parts) => parts,
        value => vec![value],
    };
    poses(&parts).map_err(|problem| problem.at(path.display().to_string()))
}

fn poses(parts: &[Value]) -> Result<Poses> {
    let shape_problem = |what: &str| {
        Problem::input(format!("no pose archive: {what}"))
            .hint("expected rotation matrices [n, 3, 3], or a tuple of these, shifts [n, 2] and Euler angles [n, 3]")
    };
    let Some(Value::Array(rotations)) = parts.first() else { return Err(shape_problem("it does not begin with an array")) };
    let [n, 3, 3] = rotations.shape[..] else { return Err(shape_problem(&format!("the first array is {:?}", rotations.shape))) };
    let values = rotations.to_f64()?;
    let matrices = values.chunks_exact(9).map(|m| [[m[0], m[1], m[2]], [m[3], m[4], m[5]], [m[6], m[7], m[8]]]);
    let mut euler = Vec::with_capacity(n);
    for (index, matrix) in matrices.enumerate() {
        if !is_rotation(&matrix) {
            return Err(Problem::input(format!("the matrix of image {} is no rotation", index + 1))
                .hint("write the archive again from the refinement"));
        }
        euler.push(Euler::of_matrix(&matrix));
    }
    let shifts = match parts.get(1) {
        None | Some(Value::None) => None,
        Some(Value::Array(array)) => match array.shape[..] {
            [rows, columns @ (2 | 3)] if rows == n => Some(shifts(&array.to_f64()?, columns)?),
            _ => return Err(shape_problem(&format!("the shifts are {:?} for {n} images", array.shape))),
        },
        Some(_) => return Err(shape_problem("the second part is no array")),
    };
    match parts.get(2) {
        None | Some(Value::None) => {}
        Some(Value::Array(array)) if array.shape == [n, 3] => {
            let angles = array.to_f64()?;
            if let Some(bad) = angles.iter().position(|angle| !angle.is_finite()) {
                return Err(Problem::input(format!("an Euler angle of image {} is not finite", bad / 3 + 1))
                    .hint("write the archive again from the refinement"));
            }
            euler = angles.chunks_exact(3).map(|a| Euler::new(a[0], a[1], a[2])).collect();
        }
        Some(_) => return Err(shape_problem("the third part is no array of Euler angles")),
    }
    Ok(Poses { euler, shifts })
}

fn shifts(values: &[f64], columns: usize) -> Result<Vec<[f64; 2]>> {
    values
        .chunks_exact(columns)
        .enumerate()
        .map(|(index, shift)| {
            if shift[..2].iter().all(|fraction| fraction.abs() <= 1.0) {
                Ok([shift[0], shift[1]])
            } else {
                Err(Problem::input(format!(
                    "the shift of image {} is {:?}: expected fractions of the box, -1 to 1",
                    index + 1,
                    &shift[..2]
                ))
                .hint("the archive may have been made in pixels or with another box"))
            }
        })
        .collect()
}

/// Orthonormal, right-handed and finite.
fn is_rotation(matrix: &Matrix3) -> bool {
    let dot = |a: usize, b: usize| (0..3).map(|k| matrix[a][k] * matrix[b][k]).sum::<f64>();
    let orthonormal = (0..3).all(|a| (0..3).all(|b| (dot(a, b) - f64::from(u8::from(a == b))).abs() <= ROTATION_TOLERANCE));
    let [a, b, c] = matrix;
    let determinant = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0]);
    orthonormal && determinant > 0.0
}

/// Reads a CTF archive: `[n, 9]` of box (px), pixel size (Å), defocus U and V (Å), angle (°), voltage (kV), Cs (mm), amplitude contrast,
/// phase shift (°).
///
/// # Errors
/// The file is no such archive, or holds impossible values.
pub fn read_ctf(path: &Path) -> Result<Vec<CtfRow>> {
    let value = read(path)?;
    ctf(&value).map_err(|problem| problem.at(path.display().to_string()))
}

fn ctf(value: &Value) -> Result<Vec<CtfRow>> {
    let array = match value {
        Value::Array(array) if array.shape.len() == 2 && array.shape[1] == CTF_COLUMNS => array,
        Value::Array(array) => {
            return Err(Problem::input(format!("no CTF archive: an array {:?}, expected [n, 9]", array.shape)).hint(CTF_HINT));
        }
        _ => return Err(Problem::input("no CTF archive: expected one array [n, 9]").hint(CTF_HINT)),
    };
    let values = array.to_f64()?;
    values
        .chunks_exact(CTF_COLUMNS)
        .enumerate()
        .map(|(index, row)| {
            let possible =
                row.iter().all(|value| value.is_finite()) && row[0] > 0.0 && row[1] > 0.0 && row[5] > 0.0 && (0.0..=1.0).contains(&row[7]);
            if !possible {
                return Err(Problem::input(format!("impossible values for image {}: {row:?}", index + 1)).hint(CTF_HINT));
            }
            Ok(CtfRow {
                box_px: row[0],
                apix: row[1],
                defocus_u_angstrom: row[2],
                defocus_v_angstrom: row[3],
                defocus_angle_deg: row[4],
                voltage_kv: row[5],
                cs_mm: row[6],
                amplitude_contrast: row[7],
                phase_shift_deg: row[8],
            })
        })
        .collect()
}
