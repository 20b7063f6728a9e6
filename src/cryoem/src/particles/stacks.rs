//! Image stacks with the original's pose and CTF archives, and archives in place of a STAR file's own columns.

use super::optics::{self, Optics};
use super::rows;
use super::{OpticsGroup, Particle, ParticleSet, ReadOptions, Source, Stack, StackSource};
use crate::legacy::{self, CtfRow, Poses};
use contract::{Problem, Result};
use std::path::Path;

/// Reads a stack or a list of stacks.
pub(super) fn read(path: &Path, options: &ReadOptions, source: &dyn StackSource) -> Result<ParticleSet> {
    let names = names(path)?;
    let stacks: Vec<Stack> = names.iter().map(|name| source.open(name)).collect::<Result<_>>()?;
    let images: Vec<(u32, u32)> =
        stacks.iter().enumerate().flat_map(|(stack, header)| (0..header.slices).map(move |slice| (stack as u32, slice as u32))).collect();
    let Some(first) = stacks.first() else {
        return Err(Problem::input("the list names no stack").at(path.display().to_string()).hint("write the path of one stack a line"));
    };
    if let Some(other) = stacks.iter().find(|stack| stack.box_px != first.box_px) {
        return Err(Problem::input(format!(
            "images of {} px, while `{}` has {} px: a list of stacks has one box",
            other.box_px,
            first.path.display(),
            first.box_px
        ))
        .at(other.path.display().to_string())
        .hint("give a STAR file with optics groups instead"));
    }

    let Some(poses) = &options.poses else {
        return Err(Problem::input("no poses: an image stack has none")
            .at(path.display().to_string())
            .hint("give them with `--poses`, or give a STAR file"));
    };
    let poses = legacy::read_poses(poses)?;
    let ctf = options.ctf.as_deref().map(legacy::read_ctf).transpose()?;
    if ctf.is_none() && !options.without_ctf {
        return Err(Problem::input("no CTF: an image stack has none")
            .at(path.display().to_string())
            .hint("give it with `--ctf`, or give a STAR file; `--ctf none` if the images were made without one"));
    }
    let apix = match (options.apix, &ctf) {
        (Some(apix), _) if !(apix > 0.0 && apix.is_finite()) => {
            return Err(Problem::input(format!("{apix} is out of range: expected a pixel size above 0 Å"))
                .at("--apix")
                .hint("give the pixel size of the images as they lie on disk"));
        }
        (Some(apix), _) => apix,
        (None, Some(_)) => 0.0, // every row's own, below
        (None, None) => return Err(Problem::input("no pixel size").at(path.display().to_string()).hint("give it with `--apix`")),
    };
    let group = OpticsGroup {
        name: "opticsGroup1".to_owned(),
        number: 1,
        voltage_kv: 0.0,
        cs_mm: 0.0,
        amplitude_contrast: 0.0,
        apix,
        box_px: first.box_px,
        premultiplied: false,
        ctf_known: ctf.is_some(),
    };
    let mut optics = Optics { groups: vec![group], of_row: vec![0; images.len()], declared_box_px: vec![None] };
    if let Some(ctf) = &ctf {
        optics = split_groups(&optics, ctf, options)?;
        for group in &mut optics.groups {
            group.box_px = first.box_px;
        }
        rescale_apix(&mut optics.groups, &optics.of_row, ctf, options);
    }
    let mut particles: Vec<Particle> = images.iter().zip(&optics.of_row).map(|(&image, &group)| Particle::of_image(image, group)).collect();
    set_poses(&mut particles, &poses, &optics.groups, options)?;
    if let Some(ctf) = &ctf {
        set_ctf(&mut particles, ctf, options)?;
    }
    let mut notes = vec![format!(
        "{}: {} image stack{}, {} images, {} used",
        path.display(),
        stacks.len(),
        if stacks.len() == 1 { "" } else { "s" },
        images.len(),
        particles.len()
    )];
    let mut warnings = Vec::new();
    optics::describe(&optics.groups, &particles, &mut notes);
    rows::remark(&particles, &optics.groups, &mut notes, &mut warnings);
    Ok(ParticleSet {
        rows: particles,
        groups: optics.groups,
        stacks: stacks.into_iter().map(|stack| stack.path).collect(),
        source: Source::Stacks,
        notes,
        warnings,
    })
}

/// Stack names of a `.txt` list (one a line, relative to the list's folder), or the stack itself.
fn names(path: &Path) -> Result<Vec<String>> {
    if path.extension().is_none_or(|extension| extension != "txt") {
        return Ok(vec![path.to_string_lossy().into_owned()]);
    }
    let text = std::fs::read_to_string(path).map_err(|error| Problem::io(path, &error))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Splits groups by the optics that a CTF archive's rows name.
pub(super) fn split_groups(optics: &Optics, ctf: &[CtfRow], options: &ReadOptions) -> Result<Optics> {
    check_length(ctf.len(), optics.of_row.len(), options.ctf.as_deref())?;
    let mut split = Optics { groups: Vec::new(), of_row: Vec::with_capacity(ctf.len()), declared_box_px: Vec::new() };
    // What makes a group: its group before, and the archive's values.
    let mut keys: Vec<(u32, [f64; 4])> = Vec::new();
    let mut last = 0;
    for (row, &before) in ctf.iter().zip(&optics.of_row) {
        let key = (before, [row.voltage_kv, row.cs_mm, row.amplitude_contrast, row.width_angstrom()]);
        if keys.get(last) != Some(&key) {
            last = keys.iter().position(|there| *there == key).unwrap_or_else(|| {
                let number = keys.len() as i64 + 1;
                keys.push(key);
                split.declared_box_px.push(optics.declared_box_px[before as usize]);
                split.groups.push(OpticsGroup {
                    name: format!("opticsGroup{number}"),
                    number,
                    voltage_kv: options.voltage_kv.unwrap_or(row.voltage_kv),
                    cs_mm: options.cs_mm.unwrap_or(row.cs_mm),
                    amplitude_contrast: options.amplitude_contrast.unwrap_or(row.amplitude_contrast),
                    ..optics.groups[before as usize].clone()
                });
                keys.len() - 1
            });
        }
        split.of_row.push(last as u32);
    }
    Ok(split)
}

/// Pixel sizes from a CTF archive: its box and pixel size span the image, whatever the image's own box is.
pub(super) fn rescale_apix(groups: &mut [OpticsGroup], of_row: &[u32], ctf: &[CtfRow], options: &ReadOptions) {
    for (row, &group) in ctf.iter().zip(of_row) {
        let group = &mut groups[group as usize];
        if group.box_px > 0 {
            group.apix = options.apix.unwrap_or(row.width_angstrom() / group.box_px as f64);
        }
    }
}

/// Orientations and shifts of an archive.
pub(super) fn set_poses(particles: &mut [Particle], poses: &Poses, groups: &[OpticsGroup], options: &ReadOptions) -> Result<()> {
    check_length(poses.euler.len(), particles.len(), options.poses.as_deref())?;
    for (index, (particle, euler)) in particles.iter_mut().zip(&poses.euler).enumerate() {
        (particle.rot_deg, particle.tilt_deg, particle.psi_deg) = (euler.rot_deg, euler.tilt_deg, euler.psi_deg);
        if let Some(shifts) = &poses.shifts {
            let group = &groups[particle.group as usize];
            let width_angstrom = group.apix * group.box_px as f64;
            let [x, y] = shifts[index];
            (particle.origin_x_angstrom, particle.origin_y_angstrom) = (x * width_angstrom, y * width_angstrom);
        }
    }
    Ok(())
}

/// Defocus and phase shift of an archive.
pub(super) fn set_ctf(particles: &mut [Particle], ctf: &[CtfRow], options: &ReadOptions) -> Result<()> {
    check_length(ctf.len(), particles.len(), options.ctf.as_deref())?;
    for (particle, row) in particles.iter_mut().zip(ctf) {
        particle.defocus_u_angstrom = row.defocus_u_angstrom;
        particle.defocus_v_angstrom = row.defocus_v_angstrom;
        particle.defocus_angle_deg = row.defocus_angle_deg;
        particle.phase_shift_deg = options.phase_shift_deg.unwrap_or(row.phase_shift_deg);
    }
    Ok(())
}

fn check_length(archive: usize, images: usize, path: Option<&Path>) -> Result<()> {
    if archive == images {
        return Ok(());
    }
    Err(Problem::input(format!("has {archive} rows, there are {images} images"))
        .at(path.map_or_else(String::new, |path| path.display().to_string()))
        .hint("row i of an archive belongs to image i: give the archive that was made from these images"))
}
