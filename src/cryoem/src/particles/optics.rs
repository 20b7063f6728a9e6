//! Optics groups: from the optics table, or made of the rows of an older file.

use super::star::{culprit, star_problem};
use super::{OpticsGroup, Particle, ReadOptions};
use crate::legacy::CtfRow;
use contract::{Problem, Result};
use starfile::{Block, Column, StarFile};
use std::collections::HashMap;

/// Voltages outside are typing errors or other units, kV.
const VOLTAGE_KV: std::ops::RangeInclusive<f64> = 10.0..=2000.0;
/// Spherical aberrations beyond are other units, mm.
const CS_MM: std::ops::RangeInclusive<f64> = -20.0..=20.0;
/// A fraction.
const AMPLITUDE_CONTRAST: std::ops::RangeInclusive<f64> = 0.0..=1.0;
/// Pixel sizes above are no cryo-EM, Å.
const LARGEST_APIX: f64 = 100.0;
/// `rlnMagnification` is per unit and `rlnDetectorPixelSize` in µm: Å a µm.
const ANGSTROM_PER_MICROMETRE: f64 = 1e4;
/// Stands until a CTF archive's pixel size is set against the images' box.
const APIX_OF_ARCHIVE: f64 = 0.0;
/// Aberrations smaller than this are taken as none (they are written with six decimals).
const NO_ABERRATION: f64 = 1e-6;

/// Refinements of the imaging model that this program does not apply: labels, and what they are.
const ABERRATIONS: &[(&[&str], &str)] = &[
    (&["rlnBeamTiltX", "rlnBeamTiltY"], "beam tilt"),
    (&["rlnOddZernike"], "odd aberrations"),
    (&["rlnEvenZernike"], "even aberrations"),
    (&["rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11"], "anisotropic magnification"),
];

/// Groups, the group of every row, and the boxes that the optics table states.
pub(super) struct Optics {
    pub(super) groups: Vec<OpticsGroup>,
    pub(super) of_row: Vec<u32>,
    pub(super) declared_box_px: Vec<Option<usize>>,
}

/// A quantity of a group: its label, the option that overrides it, and what it may be.
struct Quantity {
    label: &'static str,
    option: &'static str,
    valid: fn(f64) -> bool,
    expected: &'static str,
}

const VOLTAGE: Quantity =
    Quantity { label: "rlnVoltage", option: "--voltage", valid: |value| VOLTAGE_KV.contains(&value), expected: "10 to 2000 kV" };
const CS: Quantity =
    Quantity { label: "rlnSphericalAberration", option: "--cs", valid: |value| CS_MM.contains(&value), expected: "-20 to 20 mm" };
const CONTRAST: Quantity = Quantity {
    label: "rlnAmplitudeContrast",
    option: "--amplitude-contrast",
    valid: |value| AMPLITUDE_CONTRAST.contains(&value),
    expected: "a fraction from 0 to 1",
};
const APIX: Quantity = Quantity {
    label: "rlnImagePixelSize",
    option: "--apix",
    valid: |value| value > 0.0 && value <= LARGEST_APIX,
    expected: "above 0 and at most 100 Å",
};

impl Quantity {
    /// The user's value, else the file's.
    fn get(&self, said: Option<f64>, column: Option<Column<'_>>, row: usize, file: &StarFile, block: &Block<'_>) -> Result<f64> {
        let (value, at) = match (said, column) {
            (Some(value), _) => (value, self.option.to_owned()),
            (None, Some(column)) => {
                let value = column.number(row).map_err(|error| star_problem(&error))?;
                if !(self.valid)(value) {
                    return Err(self.refuse(value, culprit(file, Some(column.line(row))), column.label()));
                }
                return Ok(value);
            }
            (None, None) => {
                return Err(Problem::input(format!("no label `_{}` in `data_{}`", self.label, block.name()))
                    .at(culprit(file, Some(block.line())))
                    .hint(format!("give the value with `{}`, or particles with their optics", self.option)));
            }
        };
        if (self.valid)(value) {
            Ok(value)
        } else {
            Err(Problem::input(format!("{value} is out of range: expected {}", self.expected)).at(at).hint("look at the unit"))
        }
    }

    fn refuse(&self, value: f64, at: String, label: &str) -> Problem {
        Problem::input(format!("`_{label}` is {value}: expected {}", self.expected))
            .at(at)
            .hint(format!("correct the file, or give the value with `{}`", self.option))
    }
}

/// Reads the groups; with a CTF archive, groups are also split by its rows' optics.
pub(super) fn read(
    file: &StarFile,
    particles: &Block<'_>,
    options: &ReadOptions,
    ctf: Option<&[CtfRow]>,
    notes: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Result<Optics> {
    let mut optics = match file.find("optics") {
        Some(table) => table_groups(file, &table, particles, options, notes, warnings)?,
        None => row_groups(file, particles, options)?,
    };
    refuse_phase_flipped(file, particles)?;
    if let Some(ctf) = ctf {
        optics = super::stacks::split_groups(&optics, ctf, options)?;
    }
    note_aberrations(file, particles, notes);
    Ok(optics)
}

/// Whether voltage, Cs and contrast are asked of the STAR file.
fn wants_ctf(options: &ReadOptions) -> bool {
    !options.without_ctf && options.ctf.is_none()
}

/// A group's quantities; `row` is a row of `block`.
fn group(
    file: &StarFile,
    block: &Block<'_>,
    row: usize,
    options: &ReadOptions,
    apix: f64,
    name: String,
    number: i64,
) -> Result<OpticsGroup> {
    let get = |quantity: &Quantity, said: Option<f64>| {
        if wants_ctf(options) {
            quantity.get(said, block.find(quantity.label), row, file, block)
        } else {
            // Overwritten by the archive, or never used.
            Ok(said.unwrap_or(0.0))
        }
    };
    Ok(OpticsGroup {
        name,
        number,
        voltage_kv: get(&VOLTAGE, options.voltage_kv)?,
        cs_mm: get(&CS, options.cs_mm)?,
        amplitude_contrast: get(&CONTRAST, options.amplitude_contrast)?,
        apix,
        box_px: 0,
        premultiplied: false,
        ctf_known: !options.without_ctf,
    })
}

/// Groups of a file with an optics table (3.1 and newer).
fn table_groups(
    file: &StarFile,
    table: &Block<'_>,
    particles: &Block<'_>,
    options: &ReadOptions,
    notes: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Result<Optics> {
    if table.rows() == 0 {
        return Err(Problem::input("`data_optics` has no rows")
            .at(culprit(file, Some(table.line())))
            .hint("look at the job that wrote the file"));
    }
    let pixel_size =
        ["rlnImagePixelSize", "rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"].iter().find_map(|label| table.find(label));
    if let Some(column) = pixel_size.filter(|column| column.label() != APIX.label && options.apix.is_none()) {
        warnings.push(format!("no `_rlnImagePixelSize` in `data_optics`: `_{}` is taken as the images' pixel size", column.label()));
    }
    let numbers = match table.find("rlnOpticsGroup") {
        Some(column) => column.integers().map_err(|error| star_problem(&error))?,
        None if table.rows() == 1 => vec![1],
        None => return Err(star_problem(&table.column("rlnOpticsGroup").err().ok_or_else(|| Problem::failed("label came and went"))?)),
    };
    let names = table.find("rlnOpticsGroupName");
    let premultiplied = table.find("rlnCtfDataAreCtfPremultiplied");
    let sizes = table.find("rlnImageSize");
    let mut groups = Vec::with_capacity(numbers.len());
    let mut declared_box_px = Vec::with_capacity(numbers.len());
    let mut index_of = HashMap::new();
    for (row, &number) in numbers.iter().enumerate() {
        if index_of.insert(number, row as u32).is_some() {
            return Err(Problem::input(format!("`_rlnOpticsGroup` {number} stands twice in `data_optics`"))
                .at(culprit(file, Some(table.row_line(row))))
                .hint("number the groups from 1, each once"));
        }
        let apix = match &options.ctf {
            Some(_) => options.apix.unwrap_or(APIX_OF_ARCHIVE),
            None => APIX.get(options.apix, pixel_size, row, file, table)?,
        };
        let name = names.map_or_else(|| format!("opticsGroup{number}"), |column| column.text(row).to_owned());
        let mut group = group(file, table, row, options, apix, name, number)?;
        if let Some(column) = premultiplied {
            group.premultiplied = column.integer(row).map_err(|error| star_problem(&error))? != 0;
        }
        let declared = match sizes {
            Some(column) => {
                let size = column.integer(row).map_err(|error| star_problem(&error))?;
                Some(usize::try_from(size).ok().filter(|size| *size > 0).ok_or_else(|| {
                    Problem::input(format!("`_rlnImageSize` is {size}: expected a number of pixels"))
                        .at(culprit(file, Some(column.line(row))))
                        .hint("correct the file")
                })?)
            }
            None => None,
        };
        declared_box_px.push(declared);
        groups.push(group);
    }
    let of_row = match particles.find("rlnOpticsGroup") {
        Some(column) => (0..particles.rows())
            .map(|row| {
                let number = column.integer(row).map_err(|error| star_problem(&error))?;
                index_of.get(&number).copied().ok_or_else(|| {
                    let there: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                    Problem::input(format!(
                        "`_rlnOpticsGroup` is {number}, which `data_optics` does not define; it defines {}",
                        there.join(", ")
                    ))
                    .at(culprit(file, Some(column.line(row))))
                    .hint("number the groups in `data_optics`, and name one of them in every row")
                })
            })
            .collect::<Result<Vec<u32>>>()?,
        None if numbers.len() == 1 => {
            notes.push(format!("no `_rlnOpticsGroup` in `data_{}`: all particles belong to the only group", particles.name()));
            vec![0; particles.rows()]
        }
        None => {
            return Err(Problem::input(format!(
                "no label `_rlnOpticsGroup` in `data_{}`, and {} groups in `data_optics`",
                particles.name(),
                numbers.len()
            ))
            .at(culprit(file, Some(particles.line())))
            .hint("number the groups in `data_optics`, and name one of them in every row"));
        }
    };
    Ok(Optics { groups, of_row, declared_box_px })
}

/// Groups of a file without an optics table: rows with the same optics.
fn row_groups(file: &StarFile, particles: &Block<'_>, options: &ReadOptions) -> Result<Optics> {
    let keys: Vec<Column<'_>> =
        ["rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnMagnification", "rlnDetectorPixelSize", "rlnPixelSize"]
            .iter()
            .chain(&["rlnImagePixelSize", "rlnOpticsGroup", "rlnOpticsGroupName"])
            .filter_map(|label| particles.find(label))
            .collect();
    let mut groups: Vec<OpticsGroup> = Vec::new();
    let mut index_of: HashMap<Vec<&str>, u32> = HashMap::new();
    let mut of_row: Vec<u32> = Vec::with_capacity(particles.rows());
    let mut key: Vec<&str> = Vec::with_capacity(keys.len());
    let mut last: Option<(Vec<&str>, u32)> = None;
    for row in 0..particles.rows() {
        key.clear();
        key.extend(keys.iter().map(|column| column.text(row)));
        // Rows of one group mostly follow each other.
        if let Some((_, index)) = last.as_ref().filter(|(earlier, _)| *earlier == key) {
            of_row.push(*index);
            continue;
        }
        let index = match index_of.get(&key) {
            Some(&index) => index,
            None => {
                let apix = row_apix(file, particles, row, options)?;
                let number = groups.len() as i64 + 1;
                let candidate = group(file, particles, row, options, apix, format!("opticsGroup{number}"), number)?;
                // The same numbers may be written in several ways.
                let same =
                    |there: &OpticsGroup| OpticsGroup { name: there.name.clone(), number: there.number, ..candidate.clone() } == *there;
                let index = groups.iter().position(same).unwrap_or_else(|| {
                    groups.push(candidate.clone());
                    groups.len() - 1
                }) as u32;
                index_of.insert(key.clone(), index);
                index
            }
        };
        of_row.push(index);
        last = Some((key.clone(), index));
    }
    let declared_box_px = vec![None; groups.len()];
    Ok(Optics { groups, of_row, declared_box_px })
}

/// Pixel size of a row of an older file: from magnification and detector pixel, or written as such.
fn row_apix(file: &StarFile, particles: &Block<'_>, row: usize, options: &ReadOptions) -> Result<f64> {
    if options.ctf.is_some() {
        return Ok(options.apix.unwrap_or(APIX_OF_ARCHIVE));
    }
    let detector = particles.find("rlnDetectorPixelSize");
    let magnification = particles.find("rlnMagnification");
    if let (None, Some(detector), Some(magnification)) = (options.apix, detector, magnification) {
        let number = |column: &Column<'_>| column.number(row).map_err(|error| star_problem(&error));
        let apix = number(&detector)? * ANGSTROM_PER_MICROMETRE / number(&magnification)?;
        if (APIX.valid)(apix) {
            return Ok(apix);
        }
        return Err(Problem::input(format!(
            "`_rlnDetectorPixelSize` {} µm and `_rlnMagnification` {} make a pixel size of {apix} Å: expected {}",
            detector.text(row),
            magnification.text(row),
            APIX.expected
        ))
        .at(culprit(file, Some(magnification.line(row))))
        .hint("correct the file, or give the value with `--apix`"));
    }
    let column = particles.find("rlnImagePixelSize").or_else(|| particles.find("rlnPixelSize"));
    if column.is_none() && options.apix.is_none() {
        return Err(Problem::input(format!(
            "no pixel size: neither `data_optics` nor `_rlnDetectorPixelSize` and `_rlnMagnification` in `data_{}`",
            particles.name()
        ))
        .at(culprit(file, Some(particles.line())))
        .hint("give it with `--apix`"));
    }
    APIX.get(options.apix, column, row, file, particles)
}

/// Images whose phases were flipped have another CTF than the one that is applied here.
fn refuse_phase_flipped(file: &StarFile, particles: &Block<'_>) -> Result<()> {
    for block in file.find("optics").iter().chain([particles]) {
        if let Some(column) = block.find("rlnCtfDataArePhaseFlipped")
            && let Some(row) = column.texts().position(|text| text == "1")
        {
            return Err(Problem::input("`_rlnCtfDataArePhaseFlipped` is 1: the CTF of phase-flipped images is not modelled")
                .at(culprit(file, Some(column.line(row))))
                .hint("extract the particles again without phase flipping"));
        }
    }
    Ok(())
}

/// One line about what the file knows of the optics and this program does not use.
fn note_aberrations(file: &StarFile, particles: &Block<'_>, notes: &mut Vec<String>) {
    let blocks: Vec<Block<'_>> = file.find("optics").into_iter().chain([*particles]).collect();
    let present: Vec<&str> = ABERRATIONS
        .iter()
        .filter(|(labels, _)| {
            labels.iter().any(|label| {
                blocks.iter().filter_map(|block| block.find(label)).any(|column| column.texts().any(|text| aberrates(label, text)))
            })
        })
        .map(|(_, what)| *what)
        .collect();
    if !present.is_empty() {
        notes.push(format!("not used, though the file has them: {}", present.join(", ")));
    }
}

/// Whether a cell changes anything: not zero (or, for the diagonal of a magnification matrix, not one).
fn aberrates(label: &str, text: &str) -> bool {
    let neutral = if matches!(label, "rlnMagMat00" | "rlnMagMat11") { 1.0 } else { 0.0 };
    text.trim_matches(['[', ']'])
        .split(',')
        .any(|number| number.trim().parse::<f64>().is_ok_and(|number| (number - neutral).abs() > NO_ABERRATION))
}

/// A line a group.
pub(super) fn describe(groups: &[OpticsGroup], rows: &[Particle], notes: &mut Vec<String>) {
    let mut counts = vec![0_usize; groups.len()];
    for row in rows {
        counts[row.group as usize] += 1;
    }
    for (group, count) in groups.iter().zip(counts) {
        let optics = if group.ctf_known {
            let [voltage, cs, contrast] = [group.voltage_kv, group.cs_mm, group.amplitude_contrast].map(short);
            format!("{voltage} kV, Cs {cs} mm, amplitude contrast {contrast}")
        } else {
            "no CTF".to_owned()
        };
        let premultiplied = if group.premultiplied { ", images multiplied by their CTF" } else { "" };
        let size = if group.box_px > 0 { format!(", box {} px", group.box_px) } else { String::new() };
        let apix = short(group.apix);
        notes
            .push(format!("optics group {} `{}`: {count} particles, {optics}, {apix} Å/px{size}{premultiplied}", group.number, group.name));
    }
}

/// At most four decimals, none where there is nothing to say.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
