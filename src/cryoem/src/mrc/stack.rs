//! Random access to the sections of a file.

use super::header::{HEADER_BYTES, Layout, parse};
use crate::mapped::Mapped;
use contract::{Problem, Result};
use half::slice::HalfFloatSliceExt;
use mrc::{Mode, decode_into};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A memory-mapped stack of images (or sections of a map). Cheap to open; can be read from many threads; what is resident does not grow with
/// what was read.
#[derive(Debug)]
pub struct StackReader {
    path: PathBuf,
    map: Mapped,
    layout: Layout,
}

impl StackReader {
    /// Opens a file; a type suffix (`stack.mrc:mrcs`) is removed first.
    ///
    /// # Errors
    /// The file is missing, no MRC file, of a mode that is no image, or truncated; the problem names the file, and for a truncated one the
    /// bytes expected and found.
    pub fn open(path: &Path) -> Result<Self> {
        let path = super::plain_path(path);
        let file = File::open(&path)
            .map_err(|e| Problem::io(&path, &e).hint("look at the file's path and rights: paths are relative to the project's folder"))?;
        let facts = file.metadata().map_err(|e| Problem::io(&path, &e))?;
        if !facts.is_file() {
            return Err(Problem::input("is not a file")
                .at(path.display().to_string())
                .hint("give a map or an image stack in the MRC format"));
        }
        if facts.len() < HEADER_BYTES as u64 {
            // An empty file cannot be mapped.
            parse(&[], facts.len() as usize, &path)?;
        }
        let map = Mapped::new(&file, &path)?;
        let layout = parse(&map, map.len(), &path)?;
        Ok(Self { path, map, layout })
    }

    /// The file, without type suffix.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of sections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layout.size[2]
    }

    /// Never true: a file without sections is not opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns and rows of a section, pixels.
    #[must_use]
    pub fn size_px(&self) -> (usize, usize) {
        (self.layout.size[0], self.layout.size[1])
    }

    /// Side of the square images, pixels.
    ///
    /// # Errors
    /// The images are not square.
    pub fn box_px(&self) -> Result<usize> {
        match self.size_px() {
            (x, y) if x == y => Ok(x),
            (x, y) => Err(Problem::input(format!("images are not square: {x} × {y} pixels"))
                .at(self.path.display().to_string())
                .hint("extract the particles again with a square box")),
        }
    }

    /// Pixel size along x, Å, where the header has one. Many programs leave 0 or 1 there: the STAR file is the better source.
    #[must_use]
    pub fn apix(&self) -> Option<f64> {
        Some(self.layout.voxel_angstrom[0]).filter(|&v| v > 0.0)
    }

    pub(super) fn header(&self) -> &Layout {
        &self.layout
    }

    /// Decodes section `index` (0-based) into `out`, row by row.
    ///
    /// # Errors
    /// There is no such section.
    ///
    /// # Panics
    /// `out` is not columns × rows long.
    pub fn read_into(&self, index: usize, out: &mut [f32]) -> Result<()> {
        if index >= self.len() {
            let problem = Problem::input(format!("has {} images, image {} was asked for", self.len(), index + 1));
            return Err(problem.at(self.path.display().to_string()).hint("check that the STAR file belongs to this stack"));
        }
        assert_eq!(out.len(), self.layout.size[0] * self.layout.size[1], "one value a pixel");
        let bytes = self.layout.section_bytes();
        let start = self.layout.offset + index * bytes;
        self.map.look(start..start + bytes, |section| decode(section, &self.layout, out));
        Ok(())
    }
}

/// Bytes of one section to `f32`.
fn decode(bytes: &[u8], layout: &Layout, out: &mut [f32]) {
    const LENGTHS: &str = "a section has as many values as pixels";
    let endian = layout.endian;
    match layout.mode {
        Mode::Float32 => decode_into(bytes, out, endian).expect(LENGTHS),
        Mode::Int16 => {
            let mut values = vec![0i16; out.len()];
            decode_into(bytes, &mut values, endian).expect(LENGTHS);
            out.iter_mut().zip(values).for_each(|(o, v)| *o = f32::from(v));
        }
        Mode::Uint16 => {
            let mut values = vec![0u16; out.len()];
            decode_into(bytes, &mut values, endian).expect(LENGTHS);
            out.iter_mut().zip(values).for_each(|(o, v)| *o = f32::from(v));
        }
        Mode::Float16 => {
            let mut values = vec![half::f16::ZERO; out.len()];
            decode_into(bytes, &mut values, endian).expect(LENGTHS);
            values.convert_to_f32_slice(out);
        }
        Mode::Int8 => out.iter_mut().zip(bytes).for_each(|(o, &b)| *o = f32::from(b.cast_signed())),
        _ => unreachable!("other modes are refused when the file is opened"),
    }
}
