//! The files that describe a simulated set.

use super::options::{SimulateOptions, StarVersion};
use super::plan::Planned;
use crate::atomic;
use contract::Result;
use starfile::Builder;
use std::fmt::Write;
use std::path::Path;

/// RELION 3.1's mark above every block.
const VERSION_31: u32 = 30001;
/// RELION 3.0 knows the pixel size as detector pixel (µm) over magnification; with this magnification the two numbers are equal.
const MAGNIFICATION: f64 = 10_000.0;

/// Name of the stack that a group's images go to: one for all where boxes agree.
pub(super) fn stack_name(options: &SimulateOptions, group: usize) -> String {
    if one_stack(options) { "particles.mrcs".into() } else { format!("particles_group{}.mrcs", group + 1) }
}

pub(super) fn one_stack(options: &SimulateOptions) -> bool {
    options.groups.iter().all(|g| g.box_px == options.groups[0].box_px)
}

fn number(v: f64) -> String {
    format!("{v:.6}")
}

/// `particles.star`. `numbers` are the images' places in their stacks, from 1.
pub(super) fn write_star(path: &Path, options: &SimulateOptions, plan: &[Planned], numbers: &[usize]) -> Result<()> {
    let row = |i: usize| {
        let p = &plan[i];
        let optics = options.groups[p.group];
        let [x, y] = p.coordinates_px;
        let c = &p.ctf;
        let angstrom = p.given_origin_px.map(|o| number(o * optics.apix));
        let pixels = p.given_origin_px.map(number);
        let new = options.star == StarVersion::Relion31;
        let mut cells = vec![
            number(x),
            number(y),
            format!("{:06}@{}", numbers[i], stack_name(options, p.group)),
            format!("mic_{:04}.mrc", p.micrograph + 1),
            number(c.defocus_u_angstrom),
            number(c.defocus_v_angstrom),
            number(c.defocus_angle_deg),
            number(c.phase_shift_deg),
            number(c.b_factor_angstrom2),
            number(c.scale),
            (p.micrograph + 1).to_string(),
            number(p.given.rot_deg),
            number(p.given.tilt_deg),
            number(p.given.psi_deg),
        ];
        cells.extend(if new { angstrom } else { pixels });
        cells.extend(["1".to_owned(), p.half.to_string()]);
        if new {
            cells.push((p.group + 1).to_string());
        } else {
            cells.extend([optics.voltage_kv, optics.cs_mm, optics.amplitude_contrast, MAGNIFICATION, optics.apix].map(number));
        }
        cells
    };
    let common = [
        "rlnCoordinateX",
        "rlnCoordinateY",
        "rlnImageName",
        "rlnMicrographName",
        "rlnDefocusU",
        "rlnDefocusV",
        "rlnDefocusAngle",
        "rlnPhaseShift",
        "rlnCtfBfactor",
        "rlnCtfScalefactor",
        "rlnGroupNumber",
        "rlnAngleRot",
        "rlnAngleTilt",
        "rlnAnglePsi",
    ];
    let rows = (0..plan.len()).map(row);
    let text = match options.star {
        StarVersion::Relion31 => {
            let tail = ["rlnOriginXAngst", "rlnOriginYAngst", "rlnClassNumber", "rlnRandomSubset", "rlnOpticsGroup"];
            Builder::new(Some(VERSION_31))
                .table("optics", &OPTICS_LABELS, optics_rows(options))
                .table("particles", &[&common[..], &tail].concat(), rows)
                .finish()
        }
        StarVersion::Relion30 => {
            let tail = [
                "rlnOriginX",
                "rlnOriginY",
                "rlnClassNumber",
                "rlnRandomSubset",
                "rlnVoltage",
                "rlnSphericalAberration",
                "rlnAmplitudeContrast",
                "rlnMagnification",
                "rlnDetectorPixelSize",
            ];
            Builder::new(None).table("", &[&common[..], &tail].concat(), rows).finish()
        }
    };
    atomic::write(path, text.as_bytes())
}

const OPTICS_LABELS: [&str; 9] = [
    "rlnOpticsGroupName",
    "rlnOpticsGroup",
    "rlnMicrographOriginalPixelSize",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnImagePixelSize",
    "rlnImageSize",
    "rlnImageDimensionality",
];

fn optics_rows(options: &SimulateOptions) -> impl Iterator<Item = Vec<String>> + '_ {
    options.groups.iter().enumerate().map(|(i, g)| {
        let mut cells = vec![format!("opticsGroup{}", i + 1), (i + 1).to_string()];
        cells.extend([g.apix, g.voltage_kv, g.cs_mm, g.amplitude_contrast, g.apix].map(number));
        cells.extend([g.box_px.to_string(), "2".into()]);
        cells
    })
}

/// `labels.csv`: the truth, for scoring only.
pub(super) fn write_labels(path: &Path, plan: &[Planned], coordinates: &[f64]) -> Result<()> {
    let mut text = String::from("index,state,t,true_rot,true_tilt,true_psi,true_origin_x_px,true_origin_y_px,pose_error_deg\n");
    for (i, p) in plan.iter().enumerate() {
        let (e, [x, y]) = (p.truth, p.true_origin_px);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{i},{},{:.6},{:.4},{:.4},{:.4},{x:.4},{y:.4},{:.3}",
            p.state, coordinates[p.state], e.rot_deg, e.tilt_deg, e.psi_deg, p.pose_error_deg
        );
    }
    atomic::write(path, text.as_bytes())
}
