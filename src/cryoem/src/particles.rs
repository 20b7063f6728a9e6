//! Particles of a consensus refinement: where their images lie, how each was taken, and how each was oriented.
//!
//! Read from RELION's particle STAR files (3.0 and older, 3.1, 4, 5; also as written by Scipion and pyem), from cryoSPARC's tables, or from image
//! stacks with the original's pose and CTF archives. A row is never dropped: a row that cannot be used ends the reading with its line and label.
//! What is not a table of single-particle images (sub-tomograms, micrographs, a job file …) is refused by name.

mod check;
mod identify;
mod locate;
mod optics;
mod rows;
mod sparc;
mod stacks;
mod star;

#[cfg(test)]
mod tests;

pub use check::{FEW_PARTICLES, MINIMUM_PARTICLES, check_count};
pub use identify::particles as particles_block;
pub use sparc::cryosparc_table;
pub use star::star_problem;

use crate::cryosparc;
use contract::{Problem, Result};
use starfile::StarFile;
use std::path::{Path, PathBuf};

/// What the user may say besides the file's name. The values override those of the file for all particles.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Pixel size of the images as they lie on disk, Å (`--apix`).
    pub apix: Option<f64>,
    /// Acceleration voltage, kV (`--voltage`).
    pub voltage_kv: Option<f64>,
    /// Spherical aberration, mm (`--cs`).
    pub cs_mm: Option<f64>,
    /// Amplitude contrast, 0..1 (`--amplitude-contrast`).
    pub amplitude_contrast: Option<f64>,
    /// Phase shift, degrees (`--phase-shift`).
    pub phase_shift_deg: Option<f64>,
    /// Folder in which image names are looked up first (`--datadir`).
    pub datadir: Option<PathBuf>,
    /// The host's project folder, which image names are relative to; `None`: the working folder.
    pub project: Option<PathBuf>,
    /// Pose archive of the original or of cryoDRGN (`--poses`), in place of the STAR file's poses.
    pub poses: Option<PathBuf>,
    /// CTF archive (`--ctf`), in place of the STAR file's optics and defocus.
    pub ctf: Option<PathBuf>,
    /// Table with the fields that a `.cs` file lacks (`--passthrough`).
    pub passthrough: Option<PathBuf>,
    /// The images have no CTF (`--ctf none`), as simulated projections.
    pub without_ctf: bool,
    /// Image files are not looked at, and need not be there.
    pub unseen: Option<Unseen>,
}

/// What is taken for granted of image files that are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Side of the images, pixels.
    pub box_px: usize,
    /// Images in each file; where a table numbers them, any number that is not too small.
    pub images: usize,
}

impl Unseen {
    /// Files that a table numbers the images of.
    #[must_use]
    pub fn of_box(box_px: usize) -> Self {
        Self { box_px, images: u32::MAX as usize }
    }
}

impl StackSource for Unseen {
    fn open(&self, name: &str) -> Result<Stack> {
        Ok(Stack { path: PathBuf::from(name), slices: self.images, box_px: self.box_px })
    }
}

/// One image of one particle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Particle {
    /// Index into [`ParticleSet::stacks`].
    pub stack: u32,
    /// Image in the stack, from 0.
    pub slice: u32,
    /// Index into [`ParticleSet::groups`].
    pub group: u32,
    /// RELION's first Euler angle, degrees.
    pub rot_deg: f64,
    /// Second Euler angle, degrees.
    pub tilt_deg: f64,
    /// Third Euler angle, in plane, degrees.
    pub psi_deg: f64,
    /// Shift that centres the particle, Å: it appears at −origin from the box centre.
    pub origin_x_angstrom: f64,
    /// See `origin_x_angstrom`.
    pub origin_y_angstrom: f64,
    /// Defocus along the first axis, Å, underfocus positive.
    pub defocus_u_angstrom: f64,
    /// Defocus along the second axis, Å.
    pub defocus_v_angstrom: f64,
    /// Direction of the first axis, degrees.
    pub defocus_angle_deg: f64,
    /// Phase shift of a phase plate, degrees.
    pub phase_shift_deg: f64,
    /// B-factor of the CTF's envelope, Å².
    pub ctf_bfactor_angstrom2: f64,
    /// Scale of the CTF.
    pub ctf_scale: f64,
    /// Half set, 1 or 2, where the file has one.
    pub random_subset: Option<u8>,
}

impl Particle {
    /// A row that only knows its image, `(stack, slice)`, and its optics group: unturned, in the centre, at focus.
    #[must_use]
    pub fn of_image((stack, slice): (u32, u32), group: u32) -> Self {
        Self {
            stack,
            slice,
            group,
            rot_deg: 0.0,
            tilt_deg: 0.0,
            psi_deg: 0.0,
            origin_x_angstrom: 0.0,
            origin_y_angstrom: 0.0,
            defocus_u_angstrom: 0.0,
            defocus_v_angstrom: 0.0,
            defocus_angle_deg: 0.0,
            phase_shift_deg: 0.0,
            ctf_bfactor_angstrom2: 0.0,
            ctf_scale: 1.0,
            random_subset: None,
        }
    }
}

/// Images that were taken with the same optics.
#[derive(Clone, Debug, PartialEq)]
pub struct OpticsGroup {
    /// Its name in the file; made up where the file has no optics table.
    pub name: String,
    /// Its number in the file (`rlnOpticsGroup`), or from 1 where the file has no optics table.
    pub number: i64,
    /// Acceleration voltage, kV.
    pub voltage_kv: f64,
    /// Spherical aberration, mm.
    pub cs_mm: f64,
    /// Amplitude contrast, 0..1.
    pub amplitude_contrast: f64,
    /// Pixel size of the images, Å.
    pub apix: f64,
    /// Side of the images, pixels.
    pub box_px: usize,
    /// Whether the images are already multiplied by their CTF once.
    pub premultiplied: bool,
    /// Whether the images have a CTF that is known; without it none is applied, and voltage, Cs and contrast mean nothing.
    pub ctf_known: bool,
}

/// Where a set was read from; decides how subsets of it are written.
#[derive(Clone, Debug)]
pub enum Source {
    /// A STAR file, kept whole; for cryoSPARC's particles, the one that was made of their table.
    Star {
        /// The file.
        file: StarFile,
        /// Index of the particles' block; row i of it is particle i.
        block: usize,
    },
    /// Image stacks with pose and CTF archives.
    Stacks,
}

/// All particles of a job's input, in file order.
#[derive(Clone, Debug)]
pub struct ParticleSet {
    /// One entry a row of the input.
    pub rows: Vec<Particle>,
    /// Optics groups; one without particles may be among them.
    pub groups: Vec<OpticsGroup>,
    /// Image files as found on disk.
    pub stacks: Vec<PathBuf>,
    /// Where the set was read from.
    pub source: Source,
    /// Facts for the log, a line each.
    pub notes: Vec<String>,
    /// Things that are legal but odd, a line each.
    pub warnings: Vec<String>,
}

impl ParticleSet {
    /// Number of particles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none (never so in a set that was read).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether the set can be learned from; warnings about numbers and views.
    ///
    /// # Errors
    /// There are fewer than [`MINIMUM_PARTICLES`].
    pub fn check(&self) -> Result<Vec<String>> {
        let mut warnings: Vec<String> = check_count(self.len())?.into_iter().collect();
        warnings.extend(check::views(&self.rows));
        Ok(warnings)
    }
}

/// What a stack's header says.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    /// The file on disk.
    path: PathBuf,
    /// Number of images.
    slices: usize,
    /// Side of the images, pixels.
    box_px: usize,
}

/// Opens a stack by the name that the input gives it.
pub(crate) trait StackSource {
    /// Finds the file and reads its header.
    fn open(&self, name: &str) -> Result<Stack>;
}

/// Reads particles from a STAR file (`.star`), a cryoSPARC table (`.cs`), an image stack (`.mrcs`, `.mrc`) or a list of stacks (`.txt`).
///
/// Stacks and lists need `options.poses` and `options.ctf`.
///
/// # Errors
/// The file is no table of particles (the message says what it is), a label is missing, a value is impossible (with its line), or an image
/// file is not found (with the paths tried).
pub fn read(path: &Path, options: &ReadOptions) -> Result<ParticleSet> {
    match &options.unseen {
        Some(unseen) => read_with(path, options, unseen),
        None => read_with(path, options, &locate::Locator::new(path, options)),
    }
}

/// [`read`] with the stacks' headers from elsewhere.
fn read_with(path: &Path, options: &ReadOptions, stacks: &dyn StackSource) -> Result<ParticleSet> {
    if options.without_ctf && options.ctf.is_some() {
        return Err(Problem::input("cannot be both a file and none").at("--ctf").hint("leave one of the two out"));
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    if let Some(passthrough) = options.passthrough.as_ref().filter(|_| !cryosparc::is_table(path)) {
        return Err(Problem::input("belongs to a cryoSPARC table, and the particles are none")
            .at(format!("`--passthrough` {}", passthrough.display()))
            .hint("give the particles as `.cs`, or leave `--passthrough` out"));
    }
    match extension {
        Some("mrcs" | "mrc" | "txt") => stacks::read(path, options, stacks),
        Some(cryosparc::EXTENSION) => sparc::read(path, options, stacks),
        Some("pkl") => Err(Problem::input("an archive of poses or CTF holds no images")
            .at(path.display().to_string())
            .hint("give the image stack as `--in_parts` and the archive as `--poses` or `--ctf`")),
        _ => star::read(path, options, stacks),
    }
}
