//! The report of `decode`: the maps, and where their latents lie among the particles of the trained job.

use super::{brief, fact, picture, title};
use crate::job::stage::Fingerprint;
use crate::job::stages::context::Context;
use crate::job::stages::{maps, next, series};
use crate::job::trained::Trained;
use crate::job::wishes::{self, Wish};
use analysis::clusters::assign;
use contract::{MapForm, Result};
use ndarray::Array3;
use report::{State, Story, Subject, Verdict, Way};

/// Maps that have a place of their own on the page, at most; those of a list beyond it are not drawn, those of a series are in its slider and movie.
const MOST_SHOWN: usize = 48;
/// Voxels of a side that are drawn, at most: finer detail is not seen on a page, and all maps are held at once.
const MOST_VOXELS: usize = 128;

/// Particles that principal components need.
const FEWEST: usize = 2;

/// What was decoded.
pub(crate) struct Decoded<'a> {
    pub(crate) trained: &'a Trained,
    pub(crate) wish: &'a Wish,
    /// One a map, relative to the job.
    pub(crate) files: &'a [String],
    pub(crate) form: &'a MapForm,
}

/// Writes the report, and script and movie where there are two maps or more; `ground` is that of the maps.
///
/// # Errors
/// A map cannot be read or a file not be written.
pub(crate) fn write(context: &mut Context<'_>, decoded: &Decoded<'_>, ground: &Fingerprint) -> Result<()> {
    let trained = decoded.trained;
    if trained.latents.nrows() < FEWEST {
        context.say(&format!("no report: it shows where maps lie among {FEWEST} particles or more"));
        return Ok(());
    }
    let ground = ground.clone().and(&picture(trained.latents.view(), None)).and(&(&trained.states, trained.states_epoch));
    brief(context, &ground, |context| story(context, decoded))
}

fn story(context: &Context<'_>, decoded: &Decoded<'_>) -> Result<Story> {
    let Decoded { trained, wish, files, form } = decoded;
    let count = files.len();
    let shown = if wish.is_series() { count } else { count.min(MOST_SHOWN) };
    let maps = files[..shown].iter().map(|file| Ok(report::reduced(&maps::density(&context.path(file), form)?.data, MOST_VOXELS)));
    let maps: Vec<Array3<f32>> = maps.collect::<Result<_>>()?;
    let clusters = assign(trained.latents.view(), wish.latents.view())?;
    let states = maps.iter().take(MOST_SHOWN).enumerate().map(|(row, map)| State {
        class: row + 1,
        particles: clusters.sizes[row],
        map: map.clone(),
        file: files[row].clone(),
        note: wish.particles.as_ref().map(|particles| format!("decoded at particle {}", particles[row] + 1)),
        difference: None,
        evidence: None,
    });
    let states: Vec<State> = states.collect();
    let side = maps.first().map_or(form.box_px, |map| map.dim().0);
    let mut facts = vec![
        fact("trained job", trained.folder.display().to_string()),
        fact("epoch", trained.epoch.to_string()),
        fact("maps", format!("{count}, {}", range(files))),
        fact("form", wishes::in_words(form)),
        fact("their latents", wish.beside("z.txt")),
    ];
    facts.extend(trained.chosen.as_ref().map(|chosen| fact("particles", chosen.in_words())));
    if wish.particles.is_some() {
        facts.push(fact("their particles", wish.beside("pairs.csv")));
    }
    if states.len() < count {
        facts.push(fact("drawn here", format!("the first {} of {count} maps", states.len())));
    }
    let way = Way { name: series::title(&wish.name), stem: wish.stem().to_owned(), folder: wish.folder.clone(), maps };
    let said = format!(
        "{count} {} {}, from epoch {} of {}",
        if count == 1 { "map" } else { "maps" },
        series::whence(&wish.name),
        trained.epoch,
        trained.folder.display()
    );
    Ok(Story {
        epoch: trained.epoch,
        subtitle: said.clone(),
        verdict: Some(Verdict { good: context.warnings.is_empty(), text: format!("{said}.") }),
        facts,
        warnings: context.warnings.clone(),
        next_steps: next::of_decoded(context, trained, wish, files),
        ways: if count > 1 { vec![way] } else { Vec::new() },
        states,
        files_inverted: form.invert,
        apix: form.box_px as f64 * form.apix / side as f64,
        ..Story::of(Subject::Maps, &title(context), trained.latents.clone(), analysis::pca(trained.latents.view())?, clusters)
    })
}

/// The first and the last file.
fn range(files: &[String]) -> String {
    match files {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first, .., last] => format!("{first} to {last}"),
    }
}
