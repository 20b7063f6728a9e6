//! `simulate`: projections of a built-in phantom or of a series of maps, with their truth.

use crate::job::console::Console;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use contract::{Problem, Result};
use cryoem::simulate::{self, Motion, Optics, SimulateOptions, Specimen};
use std::path::PathBuf;

/// What is said of a simulated set.
#[derive(Args, Clone, Debug)]
struct SimulateSaid {
    /// Folder to write to
    #[arg(long = "o", short = 'o', value_name = "DIR/")]
    o: PathBuf,
    /// Number of particles
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1000)]
    particles: usize,
    /// What moves in the built-in phantom
    #[arg(long, value_name = "WORD", value_enum, default_value = "arm")]
    motion: MotionWord,
    /// Positions of the arm between its ends
    #[arg(long, value_name = "N", default_value_t = 20)]
    positions: usize,
    /// Maps to project instead of the phantom, one a state: A.mrc,B.mrc
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    volumes: Vec<PathBuf>,
    /// What follows the pixel size may be left out.
    #[arg(long, help = "Optics groups, each as BOX:APIX[:KV[:CS[:CONTRAST]]], separated by commas", value_name = "GROUPS", value_delimiter = ',', default_value = "64:1.6:300:2.7:0.1", value_parser = optics)]
    optics: Vec<Optics>,
    /// Signal over noise, in variance; 0: no noise
    #[arg(long, value_name = "RATIO", default_value_t = 0.1)]
    snr: f64,
    /// Deviation of the particles from their box centres, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 1.0)]
    shift: f64,
    /// Angular error of the poses that are written, degrees
    #[arg(long, value_name = "DEGREES", default_value_t = 0.0)]
    pose_error: f64,
    /// Error of the origins that are written, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0.0)]
    shift_error: f64,
    /// Smallest and largest defocus, Å: LOW:HIGH
    #[arg(long, value_name = "RANGE", default_value = "5000:12000", value_parser = range)]
    defocus: [f64; 2],
    /// Smallest and largest phase shift, degrees: LOW:HIGH
    #[arg(long, value_name = "RANGE", default_value = "0:0", value_parser = range)]
    phase_shift: [f64; 2],
    /// Write 16-bit numbers (half the space; RELION 3.1 cannot read them)
    #[arg(long)]
    half: bool,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MotionWord {
    /// Nothing
    None,
    /// An arm swings
    Arm,
    /// A part comes and goes
    Part,
    /// Both, independently
    Both,
}

pub(super) fn command() -> Command {
    SimulateSaid::augment_args(Command::new("simulate"))
        .about("Makes particles of a built-in chiral phantom or of given maps, with CTF, noise, pose errors, and the truth in labels.csv")
        .long_about(None)
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8> {
    let said = SimulateSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    let mut console = Console::detached();
    let summary = simulate::simulate(&options(&said), &said.o, &mut |_, _| Ok(()))?;
    console.say(&format!(
        "{} particles of {} states in {}; the truth is in labels.csv and gt/",
        summary.particles,
        summary.states,
        said.o.display()
    ));
    Ok(0)
}

fn options(said: &SimulateSaid) -> SimulateOptions {
    let motion = match said.motion {
        MotionWord::None => Motion::None,
        MotionWord::Arm => Motion::Arm,
        MotionWord::Part => Motion::Part,
        MotionWord::Both => Motion::Both,
    };
    let specimen = if said.volumes.is_empty() {
        Specimen::Phantom { motion, positions: said.positions, diameter_angstrom: None, sigma_angstrom: None }
    } else {
        Specimen::Volumes(said.volumes.clone())
    };
    SimulateOptions {
        specimen,
        particles: said.particles,
        groups: said.optics.clone(),
        snr: said.snr,
        shift_px: said.shift,
        pose_error_deg: said.pose_error,
        shift_error_px: said.shift_error,
        defocus_angstrom: said.defocus,
        phase_shift_deg: said.phase_shift,
        half_precision: said.half,
        seed: said.seed,
        ..SimulateOptions::default()
    }
}

fn optics(text: &str) -> std::result::Result<Optics, String> {
    let mut numbers = text.split(':').map(|n| n.parse::<f64>().map_err(|_| format!("`{n}` is not a number")));
    let default = Optics::default();
    let mut next = |or: f64| numbers.next().unwrap_or(Ok(or));
    let box_px = next(default.box_px as f64)?;
    if box_px < 1.0 || box_px.fract() != 0.0 {
        return Err(format!("`{box_px}` is not a number of pixels"));
    }
    Ok(Optics {
        box_px: box_px as usize,
        apix: next(default.apix)?,
        voltage_kv: next(default.voltage_kv)?,
        cs_mm: next(default.cs_mm)?,
        amplitude_contrast: next(default.amplitude_contrast)?,
    })
}

fn range(text: &str) -> std::result::Result<[f64; 2], String> {
    let (low, high) = text.split_once(':').ok_or("not of the form LOW:HIGH")?;
    let number = |n: &str| n.parse::<f64>().map_err(|_| format!("`{n}` is not a number"));
    Ok([number(low)?, number(high)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optics_groups_are_read() {
        let group = optics("48:2.3:200").unwrap();
        assert_eq!((group.box_px, group.apix, group.voltage_kv, group.cs_mm), (48, 2.3, 200.0, 2.7));
        assert!(optics("48.5:1").is_err());
        assert!(range("5000").is_err());
    }
}
