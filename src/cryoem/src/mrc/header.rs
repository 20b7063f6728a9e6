//! The 1024-byte header, read leniently.

use contract::{Problem, Result};
use mrc::{FileEndian, Mode};
use std::path::Path;

/// Bytes of the fixed header.
pub(super) const HEADER_BYTES: usize = 1024;
/// A side beyond this is taken for a sign of the wrong byte order (no detector or map comes near it).
const LARGEST_SIDE: i32 = 1 << 20;
/// Offset of the machine stamp in the header.
const STAMP: usize = 212;

/// What is needed of a header.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Columns, rows, sections as they lie in the file.
    pub(super) size: [usize; 3],
    /// Value type.
    pub(super) mode: Mode,
    /// Byte order of the values.
    pub(super) endian: FileEndian,
    /// First byte of the values.
    pub(super) offset: usize,
    /// Voxel size along x, y, z, Å; 0 where unknown.
    pub(super) voxel_angstrom: [f64; 3],
    /// Which of x (0), y (1), z (2) runs along the file's columns, rows, sections.
    pub(super) axes: [usize; 3],
    /// Where voxel 0 lies (x, y, z), Å.
    pub(super) origin_angstrom: [f64; 3],
}

impl Layout {
    /// Bytes of one section.
    pub(super) fn section_bytes(&self) -> usize {
        self.size[0] * self.size[1] * self.mode.byte_size()
    }
}

/// Reads a header and holds it against the file's length.
///
/// Without a valid machine stamp the byte order is the one in which sizes and mode make sense. A header without axes has x, y, z; one whose
/// sampling is missing counts its own columns.
pub(super) fn parse(bytes: &[u8], file_bytes: usize, path: &Path) -> Result<Layout> {
    let at = |p: Problem| p.at(path.display().to_string());
    let Some(raw) = bytes.first_chunk::<HEADER_BYTES>() else {
        let what = format!("is too short for an MRC file: {HEADER_BYTES} bytes expected at least, {file_bytes} found");
        return Err(at(Problem::input(what).hint("copy or write the file again")));
    };
    let header = decode(raw);
    let [nx, ny, nz] = [header.nx, header.ny, header.nz];
    if [nx, ny, nz].iter().any(|&n| n <= 0 || n > LARGEST_SIDE) {
        let what = if is_text(raw) { "it is a text".to_owned() } else { format!("sizes {nx} × {ny} × {nz} make no sense") };
        return Err(at(Problem::input(format!("is not an MRC file: {what}")).hint("give a map or an image stack in the MRC format")));
    }
    let mode = match Mode::from_i32(header.mode) {
        Some(m @ (Mode::Int8 | Mode::Int16 | Mode::Float32 | Mode::Uint16 | Mode::Float16)) => m,
        _ => {
            let problem = Problem::input(format!("MRC mode {} cannot be read (0, 1, 2, 6 and 12 can)", header.mode));
            return Err(at(problem.hint("write the file again as 32-bit floats")));
        }
    };
    if header.nsymbt < 0 {
        let what = format!("has an extended header of {} bytes", header.nsymbt);
        return Err(at(Problem::input(what).hint("write the file again")));
    }
    let size = [nx as usize, ny as usize, nz as usize];
    let endian = header.detect_endian();
    let axes = axes([header.mapc, header.mapr, header.maps]);
    let voxel_angstrom = voxel(&header, axes);
    let origin_angstrom = origin(&header, axes, voxel_angstrom);
    let layout = Layout { size, mode, endian, offset: HEADER_BYTES + header.nsymbt as usize, voxel_angstrom, axes, origin_angstrom };
    let expected = size[2].checked_mul(layout.section_bytes()).and_then(|n| n.checked_add(layout.offset));
    match expected {
        Some(expected) if expected <= file_bytes => Ok(layout),
        expected => {
            let expected = expected.map_or_else(|| "more than any file".to_owned(), |n| n.to_string());
            let what = format!(
                "is truncated: {expected} bytes expected for {nx} × {ny} × {nz} values of mode {}, {file_bytes} found",
                header.mode
            );
            Err(at(Problem::input(what).hint("copy or write the file again")))
        }
    }
}

/// Whether a file begins as a text does: a STAR file, a list, a script.
fn is_text(raw: &[u8; HEADER_BYTES]) -> bool {
    raw.iter().all(|&byte| byte >= b' ' || byte.is_ascii_whitespace())
}

/// Decodes in the byte order that the stamp says, or in the other one if only that makes sense.
fn decode(raw: &[u8; HEADER_BYTES]) -> mrc::Header {
    let plausible = |h: &mrc::Header| [h.nx, h.ny, h.nz].iter().all(|&n| n > 0 && n <= LARGEST_SIDE) && Mode::from_i32(h.mode).is_some();
    let first = mrc::Header::decode_from_bytes(raw);
    if plausible(&first) {
        return first;
    }
    let mut turned = *raw;
    turned[STAMP..STAMP + 4].copy_from_slice(&first.detect_endian().opposite().to_machst());
    let second = mrc::Header::decode_from_bytes(&turned);
    if plausible(&second) { second } else { first }
}

/// Axis numbers 1..3 as 0..2; anything but a permutation is read as x, y, z.
fn axes(numbers: [i32; 3]) -> [usize; 3] {
    let mut sorted = numbers;
    sorted.sort_unstable();
    if sorted == [1, 2, 3] { numbers.map(|n| n as usize - 1) } else { [0, 1, 2] }
}

/// Place of voxel 0 as viewers find it: the origin where one is given, else the start indices times the voxel size.
fn origin(header: &mrc::Header, axes: [usize; 3], voxel_angstrom: [f64; 3]) -> [f64; 3] {
    let given = header.origin.map(f64::from);
    if given.iter().any(|v| *v != 0.0) {
        return given.map(|v| if v.is_finite() { v } else { 0.0 });
    }
    let mut origin = [0.0; 3];
    for (axis, start) in axes.iter().zip([header.nxstart, header.nystart, header.nzstart]) {
        origin[*axis] = f64::from(start) * voxel_angstrom[*axis];
    }
    origin
}

/// Cell over sampling along x, y, z; 0 where the header does not say.
fn voxel(header: &mrc::Header, axes: [usize; 3]) -> [f64; 3] {
    let mut own = [0i32; 3];
    for (axis, n) in axes.iter().zip([header.nx, header.ny, header.nz]) {
        own[*axis] = n;
    }
    let cell = [header.xlen, header.ylen, header.zlen];
    let sampling = [header.mx, header.my, header.mz];
    std::array::from_fn(|i| {
        let samples = if sampling[i] > 0 { sampling[i] } else { own[i] };
        let size = f64::from(cell[i]) / f64::from(samples);
        if size.is_finite() && size > 0.0 { size } else { 0.0 }
    })
}
