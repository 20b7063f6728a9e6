//! The prepared folder on disk: written image by image, read by mapping.

use crate::atomic::{self, AtomicFile};
use crate::mapped::Mapped;
use contract::{GroupSummary, PREPARED_SCHEMA, Prepared, Problem, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Describes the folder; written last.
pub const DESCRIPTION: &str = "prepared.json";
const IMAGES: &str = "images.f16";
const TABLE: &str = "table.safetensors";
/// Bytes of a row of the table.
const TABLE_ROW_BYTES: u64 = 9 * 4 + 9 * 4 + 4 + 1 + 8 + 1;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// `[row][column]` of A, row-major: image frame = A · map frame.
    pub rotation: [f32; 9],
    /// Defocus U, V in Å, angle in °, voltage in kV, Cs in mm, amplitude contrast, phase shift in °, B-factor in Å², scale.
    pub ctf: [f32; 9],
    /// Pixel size of this image after preparation, Å.
    pub apix: f32,
    /// Whether the image is multiplied by its CTF already.
    pub premultiplied: bool,
    /// Optics group, from 0.
    pub group: i64,
    /// Whether a CTF is to be applied.
    pub ctf_known: bool,
}

/// Bytes that a prepared set takes on disk.
#[must_use]
pub fn bytes_on_disk(particles: usize, size_px: usize) -> u64 {
    particles as u64 * (2 * (size_px * size_px) as u64 + TABLE_ROW_BYTES)
}

/// Writes a prepared folder. Nothing of it counts before [`PreparedWriter::finish`] has written `prepared.json`.
pub struct PreparedWriter {
    folder: PathBuf,
    size_px: usize,
    images: AtomicFile,
    bytes: Vec<u8>,
    pushed: usize,
}

impl PreparedWriter {
    /// Starts a folder for images of `size_px`² pixels.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn create(folder: &Path, size_px: usize) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Problem::io(folder, &e))?;
        let images = AtomicFile::create(&folder.join(IMAGES))?;
        Ok(Self { folder: folder.to_path_buf(), size_px, images, bytes: Vec::new(), pushed: 0 })
    }

    /// Appends an image (`size_px`² values, row by row); values beyond the range of half precision become its largest.
    ///
    /// # Errors
    /// The disk is full, or another write error; the problem names the file.
    pub fn push(&mut self, image: &[f32]) -> Result<()> {
        assert_eq!(image.len(), self.size_px * self.size_px, "one value a pixel");
        self.bytes.clear();
        let limit = f16::MAX.to_f32();
        self.bytes.extend(image.iter().flat_map(|v| f16::from_f32(v.clamp(-limit, limit)).to_le_bytes()));
        self.pushed += 1;
        self.images.write(&self.bytes)
    }

    /// Completes the folder; `apix` is the pixel size of the grid, Å.
    ///
    /// # Errors
    /// A write error, or another number of rows than images.
    pub fn finish(self, rows: &[Row], groups: Vec<GroupSummary>, apix: f64, fingerprint: String) -> Result<Prepared> {
        if rows.len() != self.pushed {
            return Err(Problem::failed(format!("{} images and {} rows", self.pushed, rows.len())).at(self.folder.display().to_string()));
        }
        let table = self.folder.join(TABLE);
        atomic::write(&table, &table_bytes(rows)?)?;
        self.images.commit(None)?;
        let prepared = Prepared {
            schema: PREPARED_SCHEMA,
            particles: rows.len(),
            size_px: self.size_px,
            apix,
            images: self.folder.join(IMAGES),
            table,
            groups,
            fingerprint,
        };
        let text = serde_json::to_string_pretty(&prepared).map_err(|e| Problem::failed(format!("`{DESCRIPTION}` cannot be made: {e}")))?;
        atomic::write(&self.folder.join(DESCRIPTION), text.as_bytes())?;
        Ok(prepared)
    }
}

/// The table as safetensors.
fn table_bytes(rows: &[Row]) -> Result<Vec<u8>> {
    let singles = |values: &mut dyn Iterator<Item = f32>| values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let rotation = singles(&mut rows.iter().flat_map(|r| r.rotation));
    let ctf = singles(&mut rows.iter().flat_map(|r| r.ctf));
    let apix = singles(&mut rows.iter().map(|r| r.apix));
    let premultiplied: Vec<u8> = rows.iter().map(|r| u8::from(r.premultiplied)).collect();
    let group: Vec<u8> = rows.iter().flat_map(|r| r.group.to_le_bytes()).collect();
    let ctf_known: Vec<u8> = rows.iter().map(|r| u8::from(r.ctf_known)).collect();
    let n = rows.len();
    let columns = [
        ("rotation", Dtype::F32, vec![n, 3, 3], &rotation),
        ("ctf", Dtype::F32, vec![n, 9], &ctf),
        ("apix", Dtype::F32, vec![n], &apix),
        ("premultiplied", Dtype::U8, vec![n], &premultiplied),
        ("group", Dtype::I64, vec![n], &group),
        ("ctf_known", Dtype::U8, vec![n], &ctf_known),
    ];
    let failed = |e: safetensors::SafeTensorError| Problem::failed(format!("the table of particles cannot be made: {e}"));
    let views = columns
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes).map_err(failed)?)))
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(failed)
}

/// A prepared set: images mapped (and not resident for longer than they are looked at), table in memory (86 bytes a particle).
#[derive(Debug)]
pub struct PreparedSet {
    prepared: Prepared,
    images: Mapped,
    rotation: Vec<[f32; 9]>,
    ctf: Vec<[f32; 9]>,
    apix: Vec<f32>,
    premultiplied: Vec<u8>,
    group: Vec<i64>,
    ctf_known: Vec<u8>,
}

impl PreparedSet {
    /// Opens the set that a `prepared.json` describes.
    ///
    /// # Errors
    /// The file cannot be read or understood, or as [`PreparedSet::open`].
    pub fn load(description: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(description).map_err(|e| Problem::io(description, &e))?;
        let prepared = serde_json::from_str(&text).map_err(|e| {
            let problem = Problem::input(format!("is no description of a prepared set: {e}")).at(description.display().to_string());
            problem.hint("remove it; it is made anew")
        })?;
        Self::open(&prepared)
    }

    /// Opens a set.
    ///
    /// # Errors
    /// A file is missing or has not the size that the description says; the problem names it.
    pub fn open(prepared: &Prepared) -> Result<Self> {
        if prepared.schema != PREPARED_SCHEMA {
            let what = format!("prepared set of schema {}, this version reads {PREPARED_SCHEMA}", prepared.schema);
            return Err(Problem::input(what).hint("prepare the images again"));
        }
        let path = &prepared.images;
        let file = File::open(path).map_err(|e| Problem::io(path, &e))?;
        let found = file.metadata().map_err(|e| Problem::io(path, &e))?.len();
        let expected = (prepared.particles * prepared.size_px * prepared.size_px * 2) as u64;
        if found != expected || found == 0 {
            let problem = Problem::input(format!("has {found} bytes where {expected} belong")).at(path.display().to_string());
            return Err(problem.hint("prepare the images again"));
        }
        let images = Mapped::new(&file, path)?;

        let bytes = std::fs::read(&prepared.table).map_err(|e| Problem::io(&prepared.table, &e))?;
        let wrong = |e: &dyn std::fmt::Display| {
            Problem::input(format!("is not the table of this set: {e}"))
                .at(prepared.table.display().to_string())
                .hint("prepare the images again")
        };
        let table = SafeTensors::deserialize(&bytes).map_err(|e| wrong(&e))?;
        let column = |name: &str, dtype: Dtype, width: usize| {
            let view = table.tensor(name).map_err(|e| wrong(&e))?;
            if view.dtype() != dtype || view.shape().iter().product::<usize>() != prepared.particles * width {
                return Err(wrong(&format!("`{name}` is {:?} {:?}", view.dtype(), view.shape())));
            }
            Ok(view)
        };
        let nines = |name: &str| -> Result<Vec<[f32; 9]>> {
            let view = column(name, Dtype::F32, 9)?;
            Ok(view.data().chunks_exact(36).map(|row| std::array::from_fn(|i| single(&row[4 * i..]))).collect())
        };
        Ok(Self {
            rotation: nines("rotation")?,
            ctf: nines("ctf")?,
            apix: column("apix", Dtype::F32, 1)?.data().chunks_exact(4).map(single).collect(),
            premultiplied: column("premultiplied", Dtype::U8, 1)?.data().to_vec(),
            group: column("group", Dtype::I64, 1)?.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            ctf_known: column("ctf_known", Dtype::U8, 1)?.data().to_vec(),
            prepared: prepared.clone(),
            images,
        })
    }

    /// The description.
    #[must_use]
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Number of particles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prepared.particles
    }

    /// Never true: an empty set is not opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Side of the images, pixels.
    #[must_use]
    pub fn size_px(&self) -> usize {
        self.prepared.size_px
    }

    /// Image `i`, `[y][x]`, into `out`.
    ///
    /// # Panics
    /// There is no such image, or `out` is not `size_px`² long.
    pub fn image_into(&self, i: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.size_px() * self.size_px(), "one value a pixel");
        self.look(i, |bytes| {
            if cfg!(target_endian = "little") {
                // SAFETY: every bit pattern is an f16; the parts before and after the aligned middle are checked to be empty.
                let (before, halves, after) = unsafe { bytes.align_to::<f16>() };
                if before.is_empty() && after.is_empty() {
                    halves.convert_to_f32_slice(out);
                    return;
                }
            }
            out.iter_mut().zip(bytes.as_chunks().0).for_each(|(o, b)| *o = f16::from_le_bytes(*b).to_f32());
        });
    }

    /// Image `i` as it lies in the file, `[y][x]` in little-endian half precision, into `out`: half the bytes to a GPU.
    ///
    /// # Panics
    /// There is no such image, or `out` is not 2 · `size_px`² bytes long.
    pub fn half_bytes_into(&self, i: usize, out: &mut [u8]) {
        self.look(i, |bytes| out.copy_from_slice(bytes));
    }

    fn look<T>(&self, i: usize, work: impl FnOnce(&[u8]) -> T) -> T {
        assert!(i < self.len(), "image {i} of {}", self.len());
        let bytes = 2 * self.size_px() * self.size_px();
        self.images.look(bytes * i..bytes * (i + 1), work)
    }

    /// The images of the given indices, one after the other, `[indices, size_px, size_px]`.
    ///
    /// # Panics
    /// An index is out of range.
    #[must_use]
    pub fn images(&self, indices: &[usize]) -> Vec<f32> {
        let pixels = self.size_px() * self.size_px();
        let mut out = vec![0.0; indices.len() * pixels];
        out.chunks_exact_mut(pixels).zip(indices).for_each(|(image, &i)| self.image_into(i, image));
        out
    }

    /// A of every particle, row-major `[3, 3]`: image frame = A · map frame.
    #[must_use]
    pub fn rotations(&self) -> &[[f32; 9]] {
        &self.rotation
    }

    /// CTF rows, see [`Prepared::table`]; [`crate::ctf::Ctf::of_row`] reads one.
    #[must_use]
    pub fn ctf(&self) -> &[[f32; 9]] {
        &self.ctf
    }

    /// Pixel size of every image, Å.
    #[must_use]
    pub fn apix(&self) -> &[f32] {
        &self.apix
    }

    /// 1 where the image is multiplied by its CTF already.
    #[must_use]
    pub fn premultiplied(&self) -> &[u8] {
        &self.premultiplied
    }

    /// Optics group of every particle, from 0.
    #[must_use]
    pub fn group(&self) -> &[i64] {
        &self.group
    }

    /// 0 where no CTF is to be applied.
    #[must_use]
    pub fn ctf_known(&self) -> &[u8] {
        &self.ctf_known
    }
}

/// The first four bytes as a little-endian `f32`.
fn single(bytes: &[u8]) -> f32 {
    f32::from_le_bytes(*bytes.first_chunk().expect("four bytes a value"))
}
