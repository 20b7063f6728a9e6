//! `decode`: volumes of chosen latents of a trained job, written to another folder.

use super::{start_engine, threads};
use crate::host::relion::nodes::{self, Content, Node};
use crate::job::stages::context::Context;
use crate::job::stages::decode;
use crate::job::trained::Trained;
use crate::job::{atomic, npy, wishes};
use crate::settings::decided;
use crate::settings::said::DecodeSaid;
use contract::{DecodeSpec, Problem, Result, Series, SeriesVolume};
use ndarray::Array2;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Name of a row's map.
fn map_file(row: usize) -> String {
    format!("vol_{row:03}.mrc")
}

pub(super) fn run(context: &mut Context<'_>, said: &DecodeSaid) -> Result<()> {
    let mut engine = start_engine(context.job)?;
    let trained = Trained::open(&said.trained.folder()?, said.trained.epoch.unwrap_or_default())?;
    let wish = wishes::wish(said, &trained)?;
    let (box_px, apix) = wishes::form((said.maps.box_px, said.maps.apix), trained.box_px, trained.apix)?;
    engine.greet()?;
    let device = decided::choose_device((said.machine.device.as_deref(), said.machine.gpu.as_deref(), None), &engine.devices)?;
    context.say(&format!(
        "{} volumes of {box_px} voxels of {apix:.4} Å, from epoch {} of {}",
        wish.latents.nrows(),
        trained.epoch,
        trained.folder.display()
    ));
    let folder = context.path(&wish.folder);
    std::fs::create_dir_all(&folder).map_err(|e| Problem::io(&folder, &e))?;
    let latents = folder.join("z.npy.part");
    npy::write(&latents, wish.latents.view())?;
    let files: Vec<String> = (0..wish.latents.nrows()).map(|row| within(&wish.folder, &map_file(row))).collect();
    let outputs: Vec<PathBuf> = files.iter().map(|f| context.path(f)).collect();
    context.results.change(|now| {
        now.complete = false;
        (now.epoch, now.zdim, now.apix, now.box_px) = (trained.epoch, wish.latents.ncols(), apix, box_px);
        now.trained_job = Some(trained.folder.to_string_lossy().into_owned());
        now.series = vec![Series { name: wish.name.clone(), volumes: Vec::new() }];
    })?;
    let spec = DecodeSpec {
        checkpoint: trained.checkpoint.clone(),
        latents: latents.clone(),
        outputs,
        box_px,
        apix,
        flip: said.flip.is_some_and(|y| y.0),
        invert: said.invert.is_some_and(|y| y.0),
        device: device.id,
        threads: threads(context.job),
    };
    let decoded = decode::maps(context, &mut engine, spec, |context, row| {
        let volume = SeriesVolume { file: files[row].clone(), z: wish.latents.row(row).to_vec() };
        context.results.change(|now| now.series[0].volumes.push(volume))
    });
    let _ = std::fs::remove_file(&latents);
    decoded?;
    atomic::write(&folder.join("z.txt"), table(&wish.latents).as_bytes())?;
    if let Some(particles) = &wish.particles {
        atomic::write(&folder.join("pairs.csv"), pairs(particles).as_bytes())?;
    }
    context.say(&format!("written to {}", folder.display()));
    let maps: Vec<Node> = files.iter().map(|file| Node { file: file.clone(), content: Content::Map }).collect();
    nodes::write(context.folder(), &context.job.folder_name, &maps, context.host)?;
    context.results.change(|now| now.complete = true)
}

fn within(folder: &str, file: &str) -> String {
    Path::new(folder).join(file).to_string_lossy().into_owned()
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
