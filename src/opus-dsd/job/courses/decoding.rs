//! `decode`: volumes of chosen latents of a trained job, written to another folder.

use super::{start_engine, threads};
use crate::host::relion::nodes::{self, Content, Node};
use crate::job::stage::Fingerprint;
use crate::job::stages::context::Context;
use crate::job::stages::report::LOGFILE;
use crate::job::stages::report::decoded::{self as report, Decoded};
use crate::job::stages::series::map_file;
use crate::job::stages::{decode, next};
use crate::job::trained::Trained;
use crate::job::{atomic, checkpoints, chosen, npy, wishes};
use crate::settings::devices;
use crate::settings::said::DecodeSaid;
use contract::{DecodeSpec, Result, Series, SeriesVolume};
use ndarray::Array2;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Name in the ledger of what goes to the job folder itself; what goes to a folder in it has the folder's name besides.
const STAGE: &str = "decode";

pub(super) fn run(context: &mut Context<'_>, said: &DecodeSaid) -> Result<()> {
    context.ledger.redo_if(said.redo.is_said());
    let mut engine = start_engine(context.job)?;
    let trained = Trained::open_at(&said.trained.folder()?, said.trained.epoch)?;
    let wish = wishes::wish(said, &trained)?;
    let form = wishes::form(&said.maps, &trained)?;
    engine.greet()?;
    let device = devices::choose_device((said.machine.device.as_deref(), said.machine.gpu.as_deref(), None), &engine.devices)?;
    context.say(&format!(
        "{} volumes of {}, from epoch {} of {}",
        wish.latents.nrows(),
        wishes::in_words(&form),
        trained.epoch,
        trained.folder.display()
    ));
    if let Some(chosen) = &trained.chosen {
        context.say(&format!("particles: {}, by {}", chosen.in_words(), chosen.selection.display()));
    }
    if let Some(warning) = &wish.warning {
        context.warn(warning);
    }
    let folder = context.make_folder(&wish.folder)?;
    let files: Vec<String> = (0..wish.latents.nrows()).map(|row| wish.beside(&map_file(row))).collect();
    let series = |volumes| vec![Series { name: wish.name.clone(), volumes }];
    let volume = |row: usize| SeriesVolume { file: files[row].clone(), z: wish.latents.row(row).to_vec() };
    let ground = Fingerprint::new(STAGE).and_content(&trained.checkpoint.join(checkpoints::HEADER))?.and(&form);
    let ground = ground.and(&(wish.latents.dim(), wish.latents.iter().collect::<Vec<_>>(), &wish.particles, &wish.name));
    let stage = if wish.folder.is_empty() { STAGE.to_owned() } else { format!("{STAGE}-{}", wish.folder) };
    context.results.change(|now| {
        now.complete = false;
        (now.epoch, now.zdim, now.apix, now.box_px) = (trained.epoch, wish.latents.ncols(), form.apix, form.box_px);
        now.origin_angstrom = form.origin_angstrom;
        now.trained_job = Some(trained.latents_of.to_string_lossy().into_owned());
    })?;
    chosen::write(&context.job.folder, &mut context.results, trained.chosen.as_ref())?;
    context.stage(&stage, &ground, |context| {
        let latents = folder.join("z.npy.part");
        npy::write(&latents, wish.latents.view())?;
        context.results.change(|now| now.series = series(Vec::new()))?;
        let spec = DecodeSpec {
            checkpoint: trained.checkpoint.clone(),
            latents: latents.clone(),
            outputs: files.iter().map(|f| context.path(f)).collect(),
            form,
            device: device.id,
            threads: threads(context.job),
        };
        let decoded =
            decode::maps(context, &mut engine, spec, |context, row| context.results.change(|now| now.series[0].volumes.push(volume(row))));
        let _ = std::fs::remove_file(&latents);
        decoded?;
        let mut written: Vec<PathBuf> = files.iter().map(|f| context.path(f)).collect();
        let (rows, owners) = (folder.join("z.txt"), folder.join("pairs.csv"));
        atomic::write(&rows, table(&wish.latents).as_bytes())?;
        written.push(rows);
        if let Some(particles) = &wish.particles {
            atomic::write(&owners, pairs(particles).as_bytes())?;
            written.push(owners);
        }
        // Maps of a longer series, or the owners of other maps, which these have taken the place of.
        context.remove_earlier(&stage, &folder, &written)?;
        Ok(written)
    })?;
    context.say(&format!("written to {}", folder.display()));
    report::write(context, &Decoded { trained: &trained, wish: &wish, files: &files, form: &form }, &ground)?;
    next::say(context, &next::of_decoded(context, &trained, &wish, &files));
    let log = Node { file: LOGFILE.into(), content: Content::Log };
    let all: Vec<Node> = files.iter().map(|file| Node { file: file.clone(), content: Content::Map }).chain([log]).collect();
    nodes::write(context.folder(), &context.job.folder_name, &all, context.host)?;
    context.results.change(|now| {
        now.series = series((0..files.len()).map(volume).collect());
        now.complete = true;
    })
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

/// Which map belongs to which particle, as they are counted from 1.
fn pairs(particles: &[usize]) -> String {
    let mut text = "particle,volume\n".to_owned();
    for (row, particle) in particles.iter().enumerate() {
        let _ = writeln!(text, "{},{}", particle + 1, map_file(row));
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
        assert_eq!(pairs(&[7, 0]), "particle,volume\n8,vol_000.mrc\n1,vol_001.mrc\n");
    }
}
