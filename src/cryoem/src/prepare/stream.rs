//! Images as preparation makes them, but straight from the stacks, at any size and one at a time: nothing is written, and memory does not
//! grow with the number of particles. For maps at the images' own pixel size, which the prepared folder, made for training, does not hold.

use super::background::Level;
use super::grid::Grid;
use super::{PrepareOptions, Remarks, counts, grid_apix, levels, source};
use crate::ctf::Ctf;
use crate::geometry::{Euler, Matrix3};
use crate::mrc::StackReader;
use crate::particles::{Particle, ParticleSet};
use contract::{Problem, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Stacks that are mapped at a time; a process may have some 65,000 mappings.
const MOST_MAPPED: usize = 4096;

/// A particle set's images on one grid; readable from many threads.
pub struct ImageStream<'a> {
    set: &'a ParticleSet,
    size_px: usize,
    apix: f64,
    grids: Vec<Grid>,
    levels: Vec<Level>,
    mapped: Mutex<HashMap<u32, Arc<StackReader>>>,
    remarks: Remarks,
}

impl<'a> ImageStream<'a> {
    /// Opens a set; background, noise and sign of every optics group are estimated from a sample of its images, as preparation does.
    ///
    /// # Errors
    /// The set is empty, the options make no sense, or an image of the sample cannot be read.
    pub fn open(set: &'a ParticleSet, options: &PrepareOptions) -> Result<Self> {
        let apix = grid_apix(set, options)?;
        if set.is_empty() {
            return Err(Problem::input("there are no particles"));
        }
        let grids: Vec<Grid> = set.groups.iter().map(|g| Grid::new(g.box_px, g.apix, options.size_px, apix)).collect();
        let mut remarks = Remarks::default();
        let levels = levels(set, options, &grids, &counts(set), &mut source::Source::new(set), &mut remarks)?;
        Ok(Self { set, size_px: options.size_px, apix, grids, levels, mapped: Mutex::new(HashMap::new()), remarks })
    }

    /// Side of the images, pixels.
    #[must_use]
    pub fn size_px(&self) -> usize {
        self.size_px
    }

    /// Pixel size of the grid, Å.
    #[must_use]
    pub fn apix(&self) -> f64 {
        self.apix
    }

    /// The particles.
    #[must_use]
    pub fn set(&self) -> &'a ParticleSet {
        self.set
    }

    /// What is to be said about background, noise and sign.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.remarks.notes
    }

    /// What people should know before they go on: images whose sign is turned, or not turned though they look so.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.remarks.warnings
    }

    /// Whether the sign of a particle's image is turned.
    #[must_use]
    pub fn inverted(&self, index: usize) -> bool {
        self.levels[self.set.rows[index].group as usize].inverted
    }

    /// Image `index`, `[y][x]`: centred at n/2, white, background 0, noise of variance 1.
    ///
    /// # Errors
    /// The stack is missing, truncated or of another box, or a pixel is no number.
    ///
    /// # Panics
    /// There is no such particle, or `out` is not `size_px`² long.
    pub fn image_into(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let row = &self.set.rows[index];
        let group = row.group as usize;
        let reader = self.reader(row)?;
        let image = source::read(&reader, row, &self.grids[group])?;
        out.copy_from_slice(image.as_slice().expect("a fresh array is contiguous"));
        self.levels[group].apply(out, &self.grids[group]);
        Ok(())
    }

    fn reader(&self, row: &Particle) -> Result<Arc<StackReader>> {
        let mut mapped = self.mapped.lock().map_err(|_| Problem::failed("reading of the images was broken off in another thread"))?;
        if let Some(reader) = mapped.get(&row.stack) {
            return Ok(Arc::clone(reader));
        }
        let reader = Arc::new(StackReader::open(&self.set.stacks[row.stack as usize])?);
        source::check_box(self.set, row, &reader)?;
        if mapped.len() >= MOST_MAPPED {
            mapped.clear();
        }
        mapped.insert(row.stack, Arc::clone(&reader));
        Ok(reader)
    }

    /// A particle's rotation: image frame = A · map frame.
    #[must_use]
    pub fn rotation(&self, index: usize) -> Matrix3 {
        let row = &self.set.rows[index];
        Euler::new(row.rot_deg, row.tilt_deg, row.psi_deg).matrix()
    }

    /// A particle's CTF, where it has a known one.
    #[must_use]
    pub fn ctf(&self, index: usize) -> Option<Ctf> {
        let row = &self.set.rows[index];
        let group = &self.set.groups[row.group as usize];
        group.ctf_known.then(|| source::ctf(group, row))
    }

    /// Pixel size of a particle's image, Å: the grid's but for a fraction of a percent.
    #[must_use]
    pub fn image_apix(&self, index: usize) -> f64 {
        self.grids[self.set.rows[index].group as usize].image_apix
    }

    /// Whether a particle's image is multiplied by its CTF already.
    #[must_use]
    pub fn premultiplied(&self, index: usize) -> bool {
        self.set.groups[self.set.rows[index].group as usize].premultiplied
    }
}

impl PrepareOptions {
    /// Images as they are: box and pixel size of the optics group with the most particles (an odd box becomes one pixel smaller).
    #[must_use]
    pub fn native(set: &ParticleSet) -> Self {
        let counts = counts(set);
        let largest = (0..set.groups.len()).max_by_key(|&g| (counts[g], std::cmp::Reverse(g)));
        let (box_px, apix) = largest.map_or((0, None), |g| (set.groups[g].box_px, Some(set.groups[g].apix)));
        Self { size_px: box_px - box_px % 2, apix, invert: super::Invert::Auto, known: Vec::new() }
    }
}
