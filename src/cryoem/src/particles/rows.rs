//! Rows of a particle table: image, pose and defocus of each.

use super::star::{culprit, star_problem};
use super::{OpticsGroup, Particle, ReadOptions, Stack, StackSource};
use contract::{Problem, Result};
use rayon::prelude::*;
use starfile::{Block, Column, StarFile};
use std::collections::HashMap;

/// Defocus beyond is another unit or a typing error, Å (20 µm).
const LARGEST_DEFOCUS_ANGSTROM: f64 = 2e5;

/// A largest defocus below this, but not zero, looks like micrometres, Å.
const SMALL_DEFOCUS_ANGSTROM: f64 = 50.0;

/// Which image each row names.
pub(super) struct Images {
    /// Stack and slice (from 0) of each row.
    pub(super) of_row: Vec<(u32, u32)>,
    pub(super) stacks: Vec<Stack>,
}

impl Images {
    /// Finds every stack and checks every slice.
    pub(super) fn read(file: &StarFile, block: &Block<'_>, source: &dyn StackSource) -> Result<Self> {
        let column = block.column("rlnImageName").map_err(|error| star_problem(&error))?;
        let mut images = Self { of_row: Vec::with_capacity(block.rows()), stacks: Vec::new() };
        let mut index_of: HashMap<&str, u32> = HashMap::new();
        let mut last = ("", 0);
        for row in 0..block.rows() {
            let refuse = |what: String| {
                Problem::input(what).at(culprit(file, Some(column.line(row)))).hint("an image is named `000001@stack.mrcs`, counted from 1")
            };
            let text = column.text(row);
            let (number, name) = match text.split_once('@') {
                Some((number, name)) => (Some(number), name),
                None => (None, text),
            };
            let stack = if !name.is_empty() && name == last.0 {
                last.1
            } else if let Some(&stack) = index_of.get(name) {
                stack
            } else {
                if name.is_empty() {
                    return Err(refuse(format!("`_rlnImageName` is `{text}`: it names no file")));
                }
                let stack = source.open(name).map_err(|mut problem| {
                    problem.culprit = Some(match problem.culprit.take() {
                        Some(inner) => format!("{}: {inner}", culprit(file, Some(column.line(row)))),
                        None => culprit(file, Some(column.line(row))),
                    });
                    problem
                })?;
                let index = images.stacks.len() as u32;
                images.stacks.push(stack);
                index_of.insert(name, index);
                index
            };
            last = (name, stack);
            let slices = images.stacks[stack as usize].slices;
            let slice = match number {
                Some(number) => {
                    let number: u64 = number
                        .parse()
                        .map_err(|_| refuse(format!("`_rlnImageName` is `{text}`: `{number}` before the `@` is no image number")))?;
                    if number == 0 {
                        return Err(refuse(format!("`_rlnImageName` is `{text}`: images are counted from 1")));
                    }
                    number - 1
                }
                None if slices == 1 => 0,
                None => return Err(refuse(format!("`_rlnImageName` is `{text}`: it does not say which of the {slices} images"))),
            };
            if slice >= slices as u64 {
                return Err(refuse(format!("`_rlnImageName` is `{text}`: the stack has {slices} images"))
                    .hint("the stack was cut short or replaced: extract the particles again"));
            }
            // `slices` comes from a header of 32 bits.
            images.of_row.push((stack, slice as u32));
        }
        Ok(images)
    }
}

/// Boxes of the groups from the headers of their stacks; all stacks of a group have one box, and the one that the file states.
pub(super) fn boxes(
    file: &StarFile,
    block: &Block<'_>,
    images: &Images,
    of_row: &[u32],
    declared: &[Option<usize>],
    groups: &mut [OpticsGroup],
) -> Result<()> {
    let mut first_row = vec![None; groups.len()];
    for (row, (&group, &(stack, _))) in of_row.iter().zip(&images.of_row).enumerate() {
        let group = group as usize;
        let stack = &images.stacks[stack as usize];
        if groups[group].box_px == 0 {
            groups[group].box_px = stack.box_px;
            first_row[group] = Some(row);
        } else if groups[group].box_px != stack.box_px {
            let first = first_row[group].map_or_else(String::new, |row| format!(" (line {})", block.row_line(row)));
            return Err(Problem::input(format!(
                "`{}` has images of {} px, others of optics group {} have {} px{first}",
                stack.path.display(),
                stack.box_px,
                groups[group].number,
                groups[group].box_px
            ))
            .at(culprit(file, Some(block.row_line(row))))
            .hint("images of another box belong to another optics group"));
        }
    }
    for ((group, declared), first_row) in groups.iter_mut().zip(declared).zip(first_row) {
        match (first_row, declared) {
            (Some(row), Some(declared)) if *declared != group.box_px => {
                return Err(Problem::input(format!(
                    "images are {} px wide, `_rlnImageSize` of optics group {} says {declared}",
                    group.box_px, group.number
                ))
                .at(culprit(file, Some(block.row_line(row))))
                .hint("the stack was extracted again with another box, or it is not this STAR file's: give the two that belong together"));
            }
            (None, Some(declared)) => group.box_px = *declared,
            _ => {}
        }
    }
    Ok(())
}

/// How shifts are written.
#[derive(Clone, Copy)]
enum Origin<'f> {
    Angstrom([Column<'f>; 2]),
    Pixels([Column<'f>; 2]),
    None,
}

/// The columns that are read of every row.
pub(super) struct Columns<'f> {
    file: &'f StarFile,
    angles: Option<[Column<'f>; 3]>,
    origin: Origin<'f>,
    defocus: Option<[Column<'f>; 3]>,
    phase_shift: Option<Column<'f>>,
    bfactor: Option<Column<'f>>,
    scale: Option<Column<'f>>,
    subset: Option<Column<'f>>,
}

impl<'f> Columns<'f> {
    /// Finds them; poses and CTF must be there unless they come from elsewhere.
    pub(super) fn find(file: &'f StarFile, block: &Block<'f>, options: &ReadOptions, notes: &mut Vec<String>) -> Result<Self> {
        let missing = |what: &str, labels: &[&str]| {
            let absent: Vec<String> = labels.iter().filter(|label| !block.has(label)).map(|label| format!("`_{label}`")).collect();
            Problem::input(format!("{what}: no label {} in `data_{}`", absent.join(", "), block.name()))
                .at(culprit(file, Some(block.line())))
        };
        let all = |labels: [&str; 3]| Some([block.find(labels[0])?, block.find(labels[1])?, block.find(labels[2])?]);
        let angle_labels = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"];
        let angles = all(angle_labels);
        if angles.is_none() && options.poses.is_none() {
            return Err(missing("no poses", &angle_labels)
                .hint("give particles with their poses, such as the `run_data.star` of a Refine3D job, or the poses with `--poses`"));
        }
        let origin = if options.poses.is_some() { Origin::None } else { find_origin(block, &missing, notes)? };
        let defocus_labels = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"];
        let wanted = !options.without_ctf && options.ctf.is_none();
        let defocus = all(defocus_labels).filter(|_| wanted);
        if defocus.is_none() && wanted {
            return Err(missing("no CTF", &defocus_labels)
                .hint("give particles with their CTF, or the CTF with `--ctf`; `--ctf none` if the images were made without one"));
        }
        let ctf_column = |label: &str| block.find(label).filter(|_| wanted);
        Ok(Self {
            file,
            angles: angles.filter(|_| options.poses.is_none()),
            origin,
            defocus,
            phase_shift: ctf_column("rlnPhaseShift"),
            bfactor: ctf_column("rlnCtfBfactor"),
            scale: ctf_column("rlnCtfScalefactor"),
            subset: block.find("rlnRandomSubset"),
        })
    }

    /// All rows.
    pub(super) fn particles(&self, block: &Block<'_>, images: &Images, of_row: &[u32], groups: &[OpticsGroup]) -> Result<Vec<Particle>> {
        let read = |row: usize| self.particle(row, images.of_row[row], of_row[row], groups);
        let particles: std::result::Result<Vec<Particle>, ()> =
            (0..block.rows()).into_par_iter().map(|row| read(row).map_err(|_| ())).collect();
        match particles {
            Ok(particles) => Ok(particles),
            // Threads meet errors in any order: the first in the file is the one to tell.
            Err(()) => (0..block.rows()).map(read).collect(),
        }
    }

    fn particle(&self, row: usize, (stack, slice): (u32, u32), group: u32, groups: &[OpticsGroup]) -> Result<Particle> {
        let number = |column: &Column<'_>| {
            let value = column.number(row).map_err(|error| star_problem(&error))?;
            if value.is_finite() { Ok(value) } else { Err(self.refuse(column, row, "a finite number")) }
        };
        let optional = |column: &Option<Column<'_>>, default: f64| column.as_ref().map_or(Ok(default), number);
        let [rot_deg, tilt_deg, psi_deg] = match &self.angles {
            Some([rot, tilt, psi]) => [number(rot)?, number(tilt)?, number(psi)?],
            None => [0.0; 3],
        };
        let [origin_x_angstrom, origin_y_angstrom] = match &self.origin {
            Origin::Angstrom([x, y]) => [number(x)?, number(y)?],
            Origin::Pixels([x, y]) => {
                let apix = groups[group as usize].apix;
                [number(x)? * apix, number(y)? * apix]
            }
            Origin::None => [0.0; 2],
        };
        let [defocus_u_angstrom, defocus_v_angstrom, defocus_angle_deg] = match &self.defocus {
            Some([u, v, angle]) => {
                let defocus = |column: &Column<'_>| {
                    let value = number(column)?;
                    if value.abs() <= LARGEST_DEFOCUS_ANGSTROM {
                        Ok(value)
                    } else {
                        Err(self.refuse(column, row, "Å, at most 200000 (20 µm)"))
                    }
                };
                [defocus(u)?, defocus(v)?, number(angle)?]
            }
            None => [0.0; 3],
        };
        let random_subset = match &self.subset {
            Some(column) => {
                u8::try_from(column.integer(row).map_err(|error| star_problem(&error))?).ok().filter(|subset| (1..=2).contains(subset))
            }
            None => None,
        };
        Ok(Particle {
            stack,
            slice,
            group,
            rot_deg,
            tilt_deg,
            psi_deg,
            origin_x_angstrom,
            origin_y_angstrom,
            defocus_u_angstrom,
            defocus_v_angstrom,
            defocus_angle_deg,
            phase_shift_deg: optional(&self.phase_shift, 0.0)?,
            ctf_bfactor_angstrom2: optional(&self.bfactor, 0.0)?,
            ctf_scale: optional(&self.scale, 1.0)?,
            random_subset,
        })
    }

    fn refuse(&self, column: &Column<'_>, row: usize, expected: &str) -> Problem {
        Problem::input(format!("`_{}` is `{}`: expected {expected}", column.label(), column.text(row)))
            .at(culprit(self.file, Some(column.line(row))))
            .hint("correct or remove the row, and look at the job that wrote it")
    }
}

/// Å win over pixels; files that were converted half may have both.
fn find_origin<'f>(block: &Block<'f>, missing: &dyn Fn(&str, &[&str]) -> Problem, notes: &mut Vec<String>) -> Result<Origin<'f>> {
    let pair = |labels: [&str; 2]| match (block.find(labels[0]), block.find(labels[1])) {
        (Some(x), Some(y)) => Ok(Some([x, y])),
        (None, None) => Ok(None),
        _ => Err(missing("half an origin", &labels).hint("write both columns, or neither")),
    };
    match (pair(["rlnOriginXAngst", "rlnOriginYAngst"])?, pair(["rlnOriginX", "rlnOriginY"])?) {
        (Some(angstrom), Some(_)) => {
            notes.push("origins are written in Å and in pixels: those in Å (`_rlnOriginXAngst`) are used".to_owned());
            Ok(Origin::Angstrom(angstrom))
        }
        (Some(angstrom), None) => Ok(Origin::Angstrom(angstrom)),
        (None, Some(pixels)) => Ok(Origin::Pixels(pixels)),
        (None, None) => {
            notes.push("no origins in the file: the particles are taken to be centred".to_owned());
            Ok(Origin::None)
        }
    }
}

/// Notes and warnings about all rows together.
pub(super) fn remark(rows: &[Particle], groups: &[OpticsGroup], notes: &mut Vec<String>, warnings: &mut Vec<String>) {
    let mut images: Vec<(u32, u32)> = rows.iter().map(|row| (row.stack, row.slice)).collect();
    images.par_sort_unstable();
    images.dedup();
    if images.len() < rows.len() {
        notes.push(format!(
            "{} rows name an image that another row names too (as symmetry expansion makes them): all {} are used",
            rows.len() - images.len(),
            rows.len()
        ));
    }
    let far = rows
        .iter()
        .filter(|row| {
            let group = &groups[row.group as usize];
            let half = group.apix * group.box_px as f64 / 2.0;
            row.origin_x_angstrom.abs().max(row.origin_y_angstrom.abs()) > half
        })
        .count();
    if far > 0 {
        warnings.push(format!("{far} particles have their centre outside their image: origins may be in another unit"));
    }
    let negative = rows.iter().map(|row| row.ctf_bfactor_angstrom2).filter(|bfactor| *bfactor < 0.0);
    let (growing, lowest) = negative.fold((0_usize, 0.0_f64), |(count, lowest), bfactor| (count + 1, lowest.min(bfactor)));
    if growing > 0 {
        warnings.push(format!(
            "{growing} particles have a negative `_rlnCtfBfactor`, down to {lowest} Å²: their CTF grows with resolution, as RELION takes it too \
             (Warp and M write dose weights with this sign)"
        ));
    }
    if groups.iter().any(|group| group.ctf_known) {
        let largest = rows.iter().map(|row| row.defocus_u_angstrom.abs().max(row.defocus_v_angstrom.abs())).fold(0.0, f64::max);
        if largest > 0.0 && largest < SMALL_DEFOCUS_ANGSTROM {
            warnings.push(format!("the largest defocus is {largest} Å: it may be written in micrometres, and Å are expected"));
        }
    }
}
