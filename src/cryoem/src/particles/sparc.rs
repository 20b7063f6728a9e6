//! cryoSPARC's particles as the STAR table that RELION would have of them.
//!
//! Turned into the conventions used here:
//! - `alignments3D/pose` is a rotation vector, radians; RELION's matrix is the transpose of its rotation matrix.
//! - `alignments3D/shift` is RELION's origin, in pixels of `alignments3D/psize_A` (which need not be those of the images).
//! - `ctf/df_angle_rad` and `ctf/phase_shift_rad` are RELION's angles in radians; `alignments3D/split` counts half sets from 0.
//! - `blob/idx` counts images from 0; a `>` before `blob/path` stands for the project's folder.

use super::{ParticleSet, ReadOptions, StackSource, star};
use crate::cryosparc::{Column, Table};
use crate::geometry::{Euler, axis_angle};
use contract::{Problem, Result};
use starfile::{Builder, StarFile};
use std::collections::HashMap;
use std::path::Path;

/// RELION 3.1 and newer read tables of this version.
const STAR_VERSION: u32 = 30001;

/// What messages call a table that is in no file.
const NAMELESS: &str = "STAR file, line ";

/// Aberrations that are not applied: the field, and what it is.
const ABERRATIONS: [(&str, usize, &str); 5] = [
    ("ctf/tilt_A", 2, "beam tilt"),
    ("ctf/trefoil_A", 2, "trefoil"),
    ("ctf/tetra_A", 4, "tetrafoil"),
    ("ctf/shift_A", 2, "image shift by the CTF"),
    ("ctf/anisomag", 4, "anisotropic magnification"),
];

/// Reads a `.cs` file's particles.
pub(super) fn read(path: &Path, options: &ReadOptions, source: &dyn StackSource) -> Result<ParticleSet> {
    let joined = Joined::read(path, options.passthrough.as_deref())?;
    let needed =
        Needed { poses: options.poses.is_none(), ctf: options.ctf.is_none() && !options.without_ctf, apix: options.apix.is_none() };
    let file = joined.star(&needed)?;
    let first_line = super::particles_block(&file)?.row_line(0);
    let rows = joined.main.rows();
    let beside = joined.beside.as_ref().map_or_else(String::new, |(table, _)| format!(" and {}", table.path().display()));
    let opening = format!("{}{beside}: cryoSPARC particles: {rows} rows, {rows} used", path.display());
    let mut set = star::read_file(file, opening, options, source).map_err(|problem| restate(problem, path, first_line))?;
    set.notes.extend(joined.remarks()?);
    Ok(set)
}

/// The particles of a `.cs` file as a STAR table, with all that the file knows of poses and CTF; images are not looked at.
///
/// `passthrough` holds fields that the file lacks, as cryoSPARC's jobs write them.
///
/// # Errors
/// A file cannot be read, or images are not named in it.
pub fn cryosparc_table(path: &Path, passthrough: Option<&Path>) -> Result<StarFile> {
    Joined::read(path, passthrough)?.star(&Needed { poses: false, ctf: false, apix: false })
}

/// Lines of a table that was made are particles of the one that it was made of.
fn restate(mut problem: Problem, path: &Path, first_line: usize) -> Problem {
    problem.culprit = problem.culprit.map(|culprit| match culprit.strip_prefix(NAMELESS) {
        Some(rest) => {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            match rest[..digits].parse::<usize>().ok().and_then(|line| line.checked_sub(first_line)) {
                Some(row) => format!("{}, particle {}{}", path.display(), row + 1, &rest[digits..]),
                None => path.display().to_string(),
            }
        }
        None => culprit,
    });
    problem
}

/// What must be in the tables; the rest is taken where it is there.
struct Needed {
    poses: bool,
    ctf: bool,
    apix: bool,
}

/// A table, and another with more fields of the same particles.
struct Joined {
    main: Table,
    /// The other, and its row of every particle.
    beside: Option<(Table, Vec<usize>)>,
}

/// A field of every particle.
struct Field<'t> {
    column: Column<'t>,
    rows: Option<&'t [usize]>,
}

impl Field<'_> {
    fn row(&self, particle: usize) -> usize {
        self.rows.map_or(particle, |rows| rows[particle])
    }

    fn number(&self, particle: usize, part: usize) -> Result<f64> {
        self.column.number(self.row(particle), part)
    }

    fn unsigned(&self, particle: usize) -> Result<u64> {
        self.column.unsigned(self.row(particle))
    }
}

/// Fields that are there together or not at all.
struct Pose<'t> {
    pose: Field<'t>,
    shift: Field<'t>,
    apix: Field<'t>,
}

struct Ctf<'t> {
    per_particle: [Field<'t>; 3],
    per_group: [Field<'t>; 3],
    phase_shift: Option<Field<'t>>,
    bfactor: Option<Field<'t>>,
    scale: Option<Field<'t>>,
}

impl Joined {
    fn read(path: &Path, passthrough: Option<&Path>) -> Result<Self> {
        let main = Table::read(path)?;
        if main.rows() == 0 {
            return Err(Problem::input("has no rows: zero particles")
                .at(path.display().to_string())
                .hint("look at the job that wrote the file"));
        }
        let beside = passthrough
            .map(|path| {
                let table = Table::read(path)?;
                let rows = table.rows_by_uid(&main)?;
                Ok((table, rows))
            })
            .transpose()?;
        Ok(Self { main, beside })
    }

    fn find(&self, name: &str) -> Option<Field<'_>> {
        let own = self.main.find(name).map(|column| Field { column, rows: None });
        own.or_else(|| {
            let (table, rows) = self.beside.as_ref()?;
            Some(Field { column: table.find(name)?, rows: Some(rows) })
        })
    }

    fn need(&self, name: &str) -> Result<Field<'_>> {
        self.find(name).ok_or_else(|| {
            let problem = Problem::input(format!("no field `{name}`")).at(self.main.path().display().to_string());
            problem.hint(match (&self.beside, name.split('/').next()) {
                (None, _) => "give the passthrough table of the same job with `--passthrough`",
                (_, Some("alignments3D")) => "give the particles of a refinement (homogeneous, non-uniform or local)",
                _ => "give the particles and the passthrough table of one refinement",
            })
        })
    }

    fn pose(&self, needed: bool) -> Result<Option<Pose<'_>>> {
        if !needed && (self.find("alignments3D/pose").is_none() || self.find("alignments3D/shift").is_none()) {
            return Ok(None);
        }
        let apix = self.find("alignments3D/psize_A").map_or_else(|| self.need("blob/psize_A"), Ok)?;
        Ok(Some(Pose { pose: self.need("alignments3D/pose")?, shift: self.need("alignments3D/shift")?, apix }))
    }

    fn ctf(&self, needed: bool) -> Result<Option<Ctf<'_>>> {
        const NEEDED: [&str; 6] = ["ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast"];
        if !needed && NEEDED.iter().any(|name| self.find(name).is_none()) {
            return Ok(None);
        }
        let [u, v, angle, voltage, cs, contrast] = NEEDED.map(|name| self.need(name));
        Ok(Some(Ctf {
            per_particle: [u?, v?, angle?],
            per_group: [voltage?, cs?, contrast?],
            phase_shift: self.find("ctf/phase_shift_rad"),
            bfactor: self.find("ctf/bfactor"),
            scale: self.find("ctf/scale"),
        }))
    }

    /// The STAR table.
    fn star(&self, needed: &Needed) -> Result<StarFile> {
        let (paths, numbers) = (self.need("blob/path")?, self.need("blob/idx")?);
        let pose = self.pose(needed.poses)?;
        let ctf = self.ctf(needed.ctf)?;
        let apix = if needed.apix { Some(self.need("blob/psize_A")?) } else { self.find("blob/psize_A") };
        let (side, group, split) = (self.find("blob/shape"), self.find("ctf/exp_group_id"), self.find("alignments3D/split"));

        let mut labels = vec!["rlnImageName", "rlnOpticsGroup"];
        if pose.is_some() {
            labels.extend(["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"]);
        }
        if let Some(ctf) = &ctf {
            labels.extend(["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]);
            let optional = [(&ctf.phase_shift, "rlnPhaseShift"), (&ctf.bfactor, "rlnCtfBfactor"), (&ctf.scale, "rlnCtfScalefactor")];
            labels.extend(optional.iter().filter(|(field, _)| field.is_some()).map(|(_, label)| *label));
        }
        labels.extend(split.iter().map(|_| "rlnRandomSubset"));

        let mut groups = Groups::default();
        let mut particles = Vec::with_capacity(self.main.rows());
        for row in 0..self.main.rows() {
            let mut optics = Vec::new();
            for field in ctf.iter().flat_map(|ctf| &ctf.per_group).chain(&apix) {
                optics.push(decimal(field.number(row, 0)?));
            }
            optics.extend(side.as_ref().map(|field| field.number(row, 0).map(|side| side.to_string())).transpose()?);
            let id = group.as_ref().map(|field| field.unsigned(row)).transpose()?.unwrap_or(0);
            let path = paths.column.text(paths.row(row))?.trim_start_matches('>');
            let mut cells = vec![format!("{:06}@{}", numbers.unsigned(row)? + 1, as_stack(path)), groups.number(id, optics).to_string()];
            if let Some(pose) = &pose {
                cells.extend(pose.cells(row)?.map(decimal));
            }
            if let Some(ctf) = &ctf {
                cells.extend(ctf.cells(row)?.into_iter().map(decimal));
            }
            if let Some(split) = &split {
                cells.push((split.unsigned(row)? + 1).to_string());
            }
            particles.push(cells);
        }

        let mut optics_labels = vec!["rlnOpticsGroup", "rlnOpticsGroupName"];
        if ctf.is_some() {
            optics_labels.extend(["rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"]);
        }
        optics_labels.extend(apix.iter().map(|_| "rlnImagePixelSize"));
        optics_labels.extend(side.iter().map(|_| "rlnImageSize"));
        let text =
            Builder::new(Some(STAR_VERSION)).table("optics", &optics_labels, groups.cells).table("particles", &labels, particles).finish();
        StarFile::parse(text).map_err(|error| star::star_problem(&error))
    }

    /// Facts that the STAR table does not tell.
    fn remarks(&self) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let mut present = Vec::new();
        for (name, parts, what) in ABERRATIONS {
            let Some(field) = self.find(name) else { continue };
            let there = |row| (0..parts).any(|part| field.number(row, part).is_ok_and(|value| value != 0.0));
            if (0..self.main.rows()).any(there) {
                present.push(what);
            }
        }
        if !present.is_empty() {
            notes.push(format!("not used, though the file has them: {}", present.join(", ")));
        }
        if let Some(sign) = self.find("blob/sign") {
            let mut black = 0;
            for row in 0..self.main.rows() {
                black += usize::from(sign.number(row, 0)? < 0.0);
            }
            if black > 0 {
                notes
                    .push(format!("`blob/sign` says of {black} particles that they are dark on light; the sign is measured in the images"));
            }
        }
        Ok(notes)
    }
}

impl Pose<'_> {
    /// RELION's three angles, degrees, and origin, Å.
    fn cells(&self, row: usize) -> Result<[f64; 5]> {
        let [x, y, z] = [self.pose.number(row, 0)?, self.pose.number(row, 1)?, self.pose.number(row, 2)?];
        let angle_rad = (x * x + y * y + z * z).sqrt();
        // The transpose turns the other way. A vector of no length turns by nothing, about any axis.
        let axis = if angle_rad > 0.0 { [x / angle_rad, y / angle_rad, z / angle_rad] } else { [0.0, 0.0, 1.0] };
        let Euler { rot_deg, tilt_deg, psi_deg } = Euler::of_matrix(&axis_angle(axis, -angle_rad));
        let apix = self.apix.number(row, 0)?;
        Ok([rot_deg, tilt_deg, psi_deg, self.shift.number(row, 0)? * apix, self.shift.number(row, 1)? * apix])
    }
}

impl Ctf<'_> {
    fn cells(&self, row: usize) -> Result<Vec<f64>> {
        let [u, v, angle] = &self.per_particle;
        let mut cells = vec![u.number(row, 0)?, v.number(row, 0)?, angle.number(row, 0)?.to_degrees()];
        cells.extend(self.phase_shift.as_ref().map(|field| field.number(row, 0).map(f64::to_degrees)).transpose()?);
        cells.extend(self.bfactor.as_ref().map(|field| field.number(row, 0)).transpose()?);
        cells.extend(self.scale.as_ref().map(|field| field.number(row, 0)).transpose()?);
        Ok(cells)
    }
}

/// Optics groups: an exposure group of cryoSPARC, or more where values differ within it.
#[derive(Default)]
struct Groups {
    number_of: HashMap<(u64, Vec<String>), usize>,
    cells: Vec<Vec<String>>,
}

impl Groups {
    /// The group's number from 1.
    fn number(&mut self, id: u64, optics: Vec<String>) -> usize {
        if let Some(&number) = self.number_of.get(&(id, optics.clone())) {
            return number;
        }
        let number = self.cells.len() + 1;
        let mut cells = vec![number.to_string(), format!("exposureGroup{id}")];
        cells.extend(optics.iter().cloned());
        self.cells.push(cells);
        self.number_of.insert((id, optics), number);
        number
    }
}

/// cryoSPARC calls its stacks `.mrc`, which RELION takes for maps unless it is told.
fn as_stack(path: &str) -> String {
    if path.ends_with(".mrc") { format!("{path}:mrcs") } else { path.to_owned() }
}

/// Six decimals, as RELION writes.
fn decimal(value: f64) -> String {
    format!("{value:.6}")
}
