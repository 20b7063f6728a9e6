//! The prepared data set: what the `prepare` stage leaves on disk for the base volume, the engine and the reconstructions.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Raised when the meaning of a prepared folder changes.
pub const PREPARED_SCHEMA: u32 = 1;

/// Describes a prepared folder (`prepared.json`). Paths are relative to the process' working folder.
///
/// Images are Fourier-cropped to `size_px`, shifted so that the particle's centre lies at pixel `size_px / 2`, have white (positive)
/// protein, background mean 0 and noise standard deviation 1 (estimated a group, after down-sampling).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// [`PREPARED_SCHEMA`].
    pub schema: u32,
    /// Number of particles; row i is row i of the input.
    pub particles: usize,
    /// Side of the prepared images and of the volumes that they are compared with, pixels (even).
    pub size_px: usize,
    /// Pixel size of the render grid, Å.
    pub apix: f64,
    /// Half-precision little-endian images, `[particles, size_px, size_px]`, no header.
    pub images: PathBuf,
    /// safetensors file with one row a particle:
    /// `rotation` f32 `[n, 3, 3]` (image = A · map, RELION's matrix), `ctf` f32 `[n, 9]` (defocus U, V in Å, angle in °, voltage in kV,
    /// Cs in mm, amplitude contrast, phase shift in °, B-factor in Å², scale), `apix` f32 `[n]` (pixel size of this image after preparation, Å;
    /// differs from the grid's by a fraction of a percent where optics groups differ), `premultiplied` u8 `[n]`, `group` i64 `[n]` (0-based),
    /// `ctf_known` u8 `[n]` (0: no CTF is applied).
    pub table: PathBuf,
    /// One entry an optics group.
    pub groups: Vec<GroupSummary>,
    /// Changes when the input, or a setting that shapes the images, changes.
    pub fingerprint: String,
}

/// What preparation found in an optics group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSummary {
    /// The group's name in the STAR file.
    pub name: String,
    /// Number of particles.
    pub particles: usize,
    /// Box of the original images, pixels.
    pub box_px: usize,
    /// Pixel size of the original images, Å.
    pub apix: f64,
    /// Voltage, kV.
    pub voltage_kv: f64,
    /// Standard deviation of the noise after down-sampling, in the original grey scale (images were divided by it).
    pub noise_std: f64,
    /// Mean of the background in the original grey scale (subtracted).
    pub background: f64,
    /// Whether the sign was turned to make protein white.
    pub inverted: bool,
    /// Whether each image was normalised by its own background, since they differ much.
    #[serde(default)]
    pub one_by_one: bool,
}
