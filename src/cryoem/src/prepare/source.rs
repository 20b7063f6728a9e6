//! The original images, stack after stack.

use super::grid::Grid;
use crate::ctf::Ctf;
use crate::mrc::StackReader;
use crate::particles::{OpticsGroup, Particle, ParticleSet};
use contract::{Problem, Result};
use ndarray::Array2;
use std::collections::HashMap;

/// Opens the stacks that the next few images need and closes the others: there may be more stacks than a process can have open.
pub(super) struct Source<'a> {
    set: &'a ParticleSet,
    open: HashMap<u32, StackReader>,
}

impl<'a> Source<'a> {
    pub(super) fn new(set: &'a ParticleSet) -> Self {
        Self { set, open: HashMap::new() }
    }

    /// Opens what these particles need.
    pub(super) fn open(&mut self, rows: &[Particle]) -> Result<()> {
        let mut before = std::mem::take(&mut self.open);
        for row in rows {
            if self.open.contains_key(&row.stack) {
                continue;
            }
            let reader = match before.remove(&row.stack) {
                Some(reader) => reader,
                None => StackReader::open(&self.set.stacks[row.stack as usize])?,
            };
            check_box(self.set, row, &reader)?;
            self.open.insert(row.stack, reader);
        }
        Ok(())
    }

    /// A particle's image on the grid, in its original grey scale. [`Source::open`] has been called for it.
    pub(super) fn prepared(&self, row: &Particle, grid: &Grid) -> Result<Array2<f32>> {
        read(&self.open[&row.stack], row, grid)
    }
}

/// Refuses a stack whose box is not its optics group's.
pub(super) fn check_box(set: &ParticleSet, row: &Particle, reader: &StackReader) -> Result<()> {
    let group = &set.groups[row.group as usize];
    let (found, expected) = (reader.box_px()?, group.box_px);
    if found == expected {
        return Ok(());
    }
    let problem = Problem::input(format!("images of {found} pixels, optics group `{}` has {expected}", group.name));
    Err(problem.at(reader.path().display().to_string()).hint("give images of different boxes different optics groups"))
}

/// A particle's image on the grid, in its original grey scale.
pub(super) fn read(reader: &StackReader, row: &Particle, grid: &Grid) -> Result<Array2<f32>> {
    let mut image = Array2::zeros((grid.box_px, grid.box_px));
    let pixels = image.as_slice_mut().expect("a fresh array is contiguous");
    reader.read_into(row.slice as usize, pixels)?;
    let bad = pixels.iter().filter(|v| !v.is_finite()).count();
    if bad > 0 {
        let all = pixels.len();
        let how_many = if bad == all { "all".to_owned() } else { format!("{bad} of {all}") };
        return Err(Problem::input(format!("image {} has {how_many} pixels that are no numbers (NaN or infinite)", row.slice + 1))
            .at(reader.path().display().to_string())
            .hint("remove the particle from the STAR file, or extract it again"));
    }
    Ok(grid.apply(image.view(), row.origin_x_angstrom / grid.apix, row.origin_y_angstrom / grid.apix))
}

/// A particle's CTF.
pub(super) fn ctf(group: &OpticsGroup, row: &Particle) -> Ctf {
    Ctf {
        defocus_u_angstrom: row.defocus_u_angstrom,
        defocus_v_angstrom: row.defocus_v_angstrom,
        defocus_angle_deg: row.defocus_angle_deg,
        voltage_kv: group.voltage_kv,
        cs_mm: group.cs_mm,
        amplitude_contrast: group.amplitude_contrast,
        phase_shift_deg: row.phase_shift_deg,
        b_factor_angstrom2: row.ctf_bfactor_angstrom2,
        scale: row.ctf_scale,
    }
}
