//! Writing maps and stacks, whole or not at all.

use super::header::HEADER_BYTES;
use crate::atomic::AtomicFile;
use crate::volume::Volume;
use contract::{Problem, Result};
use std::path::{Path, PathBuf};

/// Value type of a written file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Values {
    /// 32-bit floats (mode 2), read by everything.
    #[default]
    Single,
    /// 16-bit floats (mode 12): half the space; RELION 3.1 cannot read them.
    Half,
}

/// Writes a map as mode 2 with cell = size × voxel size, origin and start 0, space group 1, one label, and its statistics.
/// The file appears under its name when it is complete.
///
/// # Errors
/// The file cannot be written (the problem names it), or the map has no voxel size.
pub fn write_volume(path: &Path, volume: &Volume) -> Result<()> {
    write_volume_at(path, volume, [0.0; 3])
}

/// As [`write_volume`], with the centre of voxel 0 at a place (x, y, z), Å, so that viewers lay the map over another one.
///
/// # Errors
/// As [`write_volume`].
pub fn write_volume_at(path: &Path, volume: &Volume, origin_angstrom: [f64; 3]) -> Result<()> {
    volume.require_apix().map_err(|p| p.at(path.display().to_string()))?;
    let (nz, ny, nx) = volume.data.dim();
    let mut header = header([nx, ny, nz], volume.apix, Values::Single)?;
    header.ispg = 1;
    header.mz = header.nz;
    header.zlen = (nz as f64 * volume.apix) as f32;
    header.origin = origin_angstrom.map(|v| v as f32);
    let mut body = Body::create(path, header, Values::Single)?;
    match volume.data.as_slice() {
        Some(values) => values.chunks(nx * ny).try_for_each(|section| body.push(section))?,
        None => volume.data.outer_iter().try_for_each(|section| body.push(&section.iter().copied().collect::<Vec<_>>()))?,
    }
    body.finish()
}

/// Writes square images (`images` holds `box_px`² values each) as a stack of space group 0.
///
/// # Errors
/// As [`StackWriter`]; `images` is not a whole number of images.
pub fn write_stack(path: &Path, images: &[f32], box_px: usize, apix: f64, values: Values) -> Result<()> {
    let pixels = box_px * box_px;
    if pixels == 0 || !images.len().is_multiple_of(pixels) || images.is_empty() {
        return Err(
            Problem::failed(format!("{} values are no stack of {box_px} × {box_px} images", images.len())).at(path.display().to_string())
        );
    }
    let mut writer = StackWriter::create(path, images.len() / pixels, box_px, apix, values)?;
    images.chunks(pixels).try_for_each(|image| writer.push(image))?;
    writer.finish()
}

/// Writes a stack image by image; the file appears under its name when [`StackWriter::finish`] returns.
pub struct StackWriter {
    body: Body,
    path: PathBuf,
    images: usize,
    pixels: usize,
    pushed: usize,
}

impl StackWriter {
    /// Starts a stack of `images` square images; `apix` in Å (0: unknown).
    ///
    /// # Errors
    /// The file cannot be created, or the sizes do not fit an MRC header.
    pub fn create(path: &Path, images: usize, box_px: usize, apix: f64, values: Values) -> Result<Self> {
        let mut header = header([box_px, box_px, images], apix, values)?;
        header.ispg = 0;
        header.mz = 1;
        header.zlen = apix as f32;
        let body = Body::create(path, header, values)?;
        Ok(Self { body, path: path.to_path_buf(), images, pixels: box_px * box_px, pushed: 0 })
    }

    /// Appends an image, row by row.
    ///
    /// # Errors
    /// The disk is full (or another write error), or the image has the wrong number of pixels.
    pub fn push(&mut self, image: &[f32]) -> Result<()> {
        if image.len() != self.pixels {
            return Err(Problem::failed(format!("image of {} pixels where {} belong", image.len(), self.pixels))
                .at(self.path.display().to_string()));
        }
        self.pushed += 1;
        self.body.push(image)
    }

    /// Writes the header with its statistics and gives the file its name.
    ///
    /// # Errors
    /// A write error, or fewer or more images than announced.
    pub fn finish(self) -> Result<()> {
        if self.pushed != self.images {
            let problem = Problem::failed(format!("{} images written where {} were announced", self.pushed, self.images));
            return Err(problem.at(self.path.display().to_string()));
        }
        self.body.finish()
    }
}

/// A file between its provisional and its final header.
struct Body {
    file: AtomicFile,
    header: mrc::Header,
    values: Values,
    bytes: Vec<u8>,
    sum: f64,
    squares: f64,
    count: u64,
    /// First value: sums are taken about it, so that a large mean does not drown the deviation.
    pivot: Option<f64>,
    min: f32,
    max: f32,
}

impl Body {
    fn create(path: &Path, header: mrc::Header, values: Values) -> Result<Self> {
        let mut file = AtomicFile::create(path)?;
        file.write(&[0; HEADER_BYTES])?;
        let (min, max) = (f32::INFINITY, f32::NEG_INFINITY);
        Ok(Self { file, header, values, bytes: Vec::new(), sum: 0.0, squares: 0.0, count: 0, pivot: None, min, max })
    }

    fn push(&mut self, section: &[f32]) -> Result<()> {
        self.bytes.clear();
        match self.values {
            Values::Single => self.bytes.extend(section.iter().flat_map(|v| v.to_le_bytes())),
            Values::Half => self.bytes.extend(section.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes())),
        }
        let pivot = *self.pivot.get_or_insert_with(|| section.first().map_or(0.0, |&v| f64::from(v)));
        for &v in section {
            let d = f64::from(v) - pivot;
            self.sum += d;
            self.squares += d * d;
            self.min = self.min.min(v);
            self.max = self.max.max(v);
        }
        self.count += section.len() as u64;
        self.file.write(&self.bytes)
    }

    fn finish(mut self) -> Result<()> {
        let mean = self.sum / self.count as f64;
        self.header.dmin = self.min;
        self.header.dmax = self.max;
        self.header.dmean = (mean + self.pivot.unwrap_or(0.0)) as f32;
        self.header.rms = (self.squares / self.count as f64 - mean * mean).max(0.0).sqrt() as f32;
        let mut bytes = [0; HEADER_BYTES];
        self.header.encode_to_bytes(&mut bytes);
        self.file.commit(Some(&bytes))
    }
}

/// What maps and stacks have in common.
fn header(size: [usize; 3], apix: f64, values: Values) -> Result<mrc::Header> {
    let mut header = mrc::Header::new();
    let mut count = [0i32; 3];
    for (to, from) in count.iter_mut().zip(size) {
        *to = i32::try_from(from)
            .ok()
            .filter(|&n| n > 0)
            .ok_or_else(|| Problem::failed(format!("{size:?} values do not fit an MRC file")))?;
    }
    [header.nx, header.ny, header.nz] = count;
    [header.mx, header.my] = [count[0], count[1]];
    header.xlen = (size[0] as f64 * apix) as f32;
    header.ylen = (size[1] as f64 * apix) as f32;
    header.mode = match values {
        Values::Single => 2,
        Values::Half => 12,
    };
    header.add_label(&format!("opus-dsd {}", contract::VERSION));
    Ok(header)
}
