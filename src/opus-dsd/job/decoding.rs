//! Volumes of chosen latents of a trained job, written to another folder.

use super::console::Console;
use super::engine_process::Engine;
use super::trained::Trained;
use super::{atomic, npy};
use crate::host::relion::exit_files;
use contract::{Command, DecodeSpec, Event, Kind, Problem, Result};
use ndarray::Array2;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for an event before the abort file is looked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to decode.
pub(crate) struct Wish {
    /// One a row, `[n, zdim]`.
    pub(crate) latents: Array2<f32>,
    /// The particles that they belong to, 0-based, where they belong to particles.
    pub(crate) particles: Option<Vec<usize>>,
    /// Where the maps go; it is made where it is missing.
    pub(crate) folder: PathBuf,
}

/// How to write the maps.
pub(crate) struct Form {
    /// Box, voxels.
    pub(crate) box_px: usize,
    /// Voxel size, Å.
    pub(crate) apix: f64,
    /// Mirror along z.
    pub(crate) flip: bool,
    /// Turn the sign.
    pub(crate) invert: bool,
}

/// Name of a row's map.
pub(crate) fn map_file(row: usize) -> String {
    format!("vol_{row:03}.mrc")
}

/// Writes the maps, `z.txt`, and `pairs.csv` where particles are named. `job_folder` is where the host leaves its abort file.
///
/// # Errors
/// The engine cannot be had or fails, the host asks for an end, or a file cannot be written; maps that were written by then are whole.
pub(crate) fn run(
    trained: &Trained,
    wish: &Wish,
    form: &Form,
    machine: (Option<&str>, usize),
    job_folder: &Path,
    console: &mut Console,
) -> Result<()> {
    let (device, threads) = machine;
    std::fs::create_dir_all(&wish.folder).map_err(|e| Problem::io(&wish.folder, &e))?;
    let mut engine = Engine::start(threads, |_| {})?;
    engine.greet()?;
    let device = choose(device, &engine)?;
    let outputs: Vec<PathBuf> = (0..wish.latents.nrows()).map(|row| wish.folder.join(map_file(row))).collect();
    let latents = wish.folder.join("z.npy.part");
    npy::write(&latents, wish.latents.view())?;
    let decoded = decode(
        &mut engine,
        DecodeSpec {
            checkpoint: trained.checkpoint.clone(),
            latents: latents.clone(),
            outputs,
            box_px: form.box_px,
            apix: form.apix,
            flip: form.flip,
            invert: form.invert,
            device,
            threads,
        },
        job_folder,
        console,
    );
    let _ = std::fs::remove_file(&latents);
    decoded?;
    atomic::write(&wish.folder.join("z.txt"), table(&wish.latents).as_bytes())?;
    if let Some(particles) = &wish.particles {
        atomic::write(&wish.folder.join("pairs.csv"), pairs(particles).as_bytes())?;
    }
    Ok(())
}

fn choose(wanted: Option<&str>, engine: &Engine) -> Result<String> {
    let ids: Vec<&str> = engine.devices.iter().map(|d| d.id.as_str()).collect();
    let wanted = match wanted {
        Some("cuda") => Some("cuda:0"),
        other => other,
    };
    match wanted {
        None => Ok(ids[0].to_owned()),
        Some(id) if ids.contains(&id) => Ok(id.to_owned()),
        Some(id) => {
            Err(Problem::new(Kind::Device, format!("`{id}` is not there")).at("`--device`").hint(format!("one of {}", ids.join(", "))))
        }
    }
}

fn decode(engine: &mut Engine, spec: DecodeSpec, job_folder: &Path, console: &mut Console) -> Result<()> {
    engine.send(&Command::Decode(spec))?;
    let mut asked = false;
    loop {
        if !asked && exit_files::abort_requested(job_folder) {
            asked = true;
            engine.send(&Command::Stop)?;
        }
        match engine.next(PATIENCE)? {
            Some(Event::DecodeDone) => return Ok(()),
            Some(Event::Stopped) => {
                return Err(Problem::new(Kind::Aborted, "stopped in order; the maps so far are whole").at("RELION_JOB_ABORT_NOW"));
            }
            Some(Event::Failed { problem }) => return Err(problem),
            Some(Event::Warning { message }) => console.warn(&message),
            Some(Event::Log { message }) => console.say(&message),
            _ => {}
        }
    }
}

/// Latents as text, a row each, as `--zfile` takes them.
fn table(latents: &Array2<f32>) -> String {
    let mut text = String::new();
    for row in latents.rows() {
        let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
        text.push_str(&cells.join(" "));
        text.push('\n');
    }
    text
}

/// Which map belongs to which particle.
fn pairs(particles: &[usize]) -> String {
    let mut text = "index,volume\n".to_owned();
    for (row, particle) in particles.iter().enumerate() {
        let _ = writeln!(text, "{particle},{}", map_file(row));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn tables_hold_every_digit() {
        let latents = array![[0.1f32, -2.0], [1.0 / 3.0, 1e-9]];
        let read: Vec<f32> = table(&latents).split_whitespace().map(|c| c.parse().unwrap()).collect();
        assert_eq!(read, latents.iter().copied().collect::<Vec<_>>());
        assert_eq!(pairs(&[7, 0]), "index,volume\n7,vol_000.mrc\n0,vol_001.mrc\n");
    }
}
