//! Options that all verbs share that read images: where these are, and what the particles' file lacks.

use crate::settings::form::{Kind, field};
use clap::Args;
use cryoem::particles::ReadOptions;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const INPUT: &str = "Input";
const OVERRIDES: &str = "Input that lacks something";

/// Word that `--ctf` takes where the images have none.
const NO_CTF: &str = "none";

/// What is said of the images.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImagesSaid {
    /// Folder in which image stacks are looked for
    #[arg(long, value_name = "DIR", help_heading = INPUT,
        add = field(Kind::Folder, "Folder of image stacks").advanced())]
    pub(crate) datadir: Option<PathBuf>,

    /// The job's passthrough table, where cryoSPARC's particles (.cs) lack fields
    #[arg(long, value_name = "FILE", help_heading = OVERRIDES,
        add = field(Kind::File, "Passthrough particles (.cs)").advanced())]
    pub(crate) passthrough: Option<PathBuf>,
    /// Poses as the original keeps them (.pkl)
    #[arg(long, value_name = "FILE", help_heading = OVERRIDES,
        add = field(Kind::File, "Poses (.pkl)").advanced())]
    pub(crate) poses: Option<PathBuf>,
    /// CTF parameters as the original keeps them (.pkl), or none
    #[arg(long, value_name = "FILE|none", help_heading = OVERRIDES,
        add = field(Kind::File, "CTF (.pkl)").advanced())]
    pub(crate) ctf: Option<PathBuf>,
    /// Pixel size, Å
    #[arg(long, value_name = "Å", help_heading = OVERRIDES,
        add = field(Kind::Float, "Pixel size").unit("Å").above(0.0).to(1000).advanced())]
    pub(crate) apix: Option<f64>,
    /// Voltage, kV
    #[arg(long, alias = "kv", value_name = "kV", help_heading = OVERRIDES,
        add = field(Kind::Float, "Voltage").unit("kV").above(0.0).to(10_000).advanced())]
    pub(crate) voltage: Option<f64>,
    /// Spherical aberration, mm
    #[arg(long, value_name = "mm", help_heading = OVERRIDES,
        add = field(Kind::Float, "Spherical aberration").unit("mm").from(0).to(100).advanced())]
    pub(crate) cs: Option<f64>,
    /// Amplitude contrast, 0 to 1
    #[arg(long, short = 'w', value_name = "FRACTION", help_heading = OVERRIDES,
        add = field(Kind::Float, "Amplitude contrast").from(0).to(0.999).advanced())]
    pub(crate) amplitude_contrast: Option<f64>,
    /// Phase shift of a phase plate, degrees
    #[arg(long, alias = "ps", value_name = "DEGREES", help_heading = OVERRIDES,
        add = field(Kind::Float, "Phase shift").unit("degrees").from(-360).to(360).advanced())]
    pub(crate) phase_shift: Option<f64>,
}

impl ImagesSaid {
    /// How particles are read.
    pub(crate) fn options(&self) -> ReadOptions {
        let without_ctf = self.ctf.as_ref().is_some_and(|c| c.as_os_str() == NO_CTF);
        ReadOptions {
            apix: self.apix,
            voltage_kv: self.voltage,
            cs_mm: self.cs,
            amplitude_contrast: self.amplitude_contrast,
            phase_shift_deg: self.phase_shift,
            datadir: self.datadir.clone(),
            project: None,
            passthrough: self.passthrough.clone(),
            poses: self.poses.clone(),
            ctf: self.ctf.clone().filter(|_| !without_ctf),
            without_ctf,
            unseen: None,
        }
    }

    /// The same for other particles of the set that `before` was said of: numbers and the folder hold for these too, archives of poses
    /// and CTF and passthrough tables are those of their own particles.
    pub(crate) fn or(self, before: &Self) -> Self {
        let ctf = before.ctf.clone().filter(|c| c.as_os_str() == NO_CTF);
        Self {
            datadir: self.datadir.or_else(|| before.datadir.clone()),
            passthrough: self.passthrough,
            poses: self.poses,
            ctf: self.ctf.or(ctf),
            apix: self.apix.or(before.apix),
            voltage: self.voltage.or(before.voltage),
            cs: self.cs.or(before.cs),
            amplitude_contrast: self.amplitude_contrast.or(before.amplitude_contrast),
            phase_shift: self.phase_shift.or(before.phase_shift),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_particles_are_read_as_those_before_but_for_their_own_archives() {
        let before = ImagesSaid {
            poses: Some("a.pkl".into()),
            ctf: Some("none".into()),
            apix: Some(1.5),
            datadir: Some("stacks".into()),
            ..ImagesSaid::default()
        };
        let now = ImagesSaid { datadir: Some("more".into()), ..ImagesSaid::default() }.or(&before);
        assert_eq!((now.apix, now.datadir, &now.poses), (Some(1.5), Some("more".into()), &None));
        let read = ImagesSaid { ctf: now.ctf, ..before.clone() }.options();
        assert!(read.without_ctf && read.ctf.is_none());
        let archived = ImagesSaid { ctf: Some("ctf.pkl".into()), ..before };
        assert_eq!(ImagesSaid::default().or(&archived).ctf, None);
    }
}
