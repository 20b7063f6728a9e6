//! What to do with a result: commands that run as they stand, in the folder that the job was started in, and the same in the windows of hosts.

use super::cluster::{self, Findings, PARTICLES};
use super::context::Context;
use super::{decode, reconstruct};
use crate::job::checkpoints::{self, Mark};
use crate::job::order::Order;
use crate::job::trained::Trained;
use crate::job::wishes::Wish;
use crate::settings::said::train::MOST_CLUSTERS;
use crate::settings::values::ClusterMethod;
use contract::{Clustering, Result};
use cryoem::mrc::read_volume;
use report::NextStep;
use std::borrow::Cow;
use std::path::Path;

/// More epochs are offered in this multiple of those that were trained: a loss that still falls needs more than a few.
const MORE_EPOCHS: usize = 2;
/// A finer division is offered in this multiple of the clusters that there are.
const FINER: usize = 2;
/// Where Scipion's plugin has nothing of the kind.
const NO_PROTOCOL: &str = "the plugin has no protocol for this: run the command in a terminal";
/// How far the mask around half maps reaches beyond the density, and its soft edge, as RELION's tutorial has them.
const MASK_EXTENSION_VOXELS: &str = "3";
const MASK_EDGE_VOXELS: &str = "6";

/// What the commands name.
struct Ground<'a> {
    /// This job's folder, without its closing slash.
    folder: &'a str,
    /// The job that trained, or whose particles were encoded, or the selection of these that is looked at; the same for a training.
    trained: String,
    epoch: usize,
    clusters: usize,
    /// How these were made, where it is not the usual way.
    method: Option<&'a str>,
    /// The largest cluster, from 1.
    class: usize,
    particles: usize,
}

/// What to do with states that were found, most telling first; `epoch` is the one that they are of.
///
/// # Errors
/// A map that was made cannot be read.
pub(crate) fn of_states(context: &Context<'_>, found: &Findings, epoch: usize) -> Result<Vec<NextStep>> {
    let results = context.results.now();
    let folder = context.job.folder_name.trim_end_matches('/');
    let largest = cluster::largest(&found.clusters);
    let trained = results.trained_job.as_deref().unwrap_or(folder);
    // An encoding has one epoch and no checkpoints.
    let marks = checkpoints::of_job(Path::new(trained)).unwrap_or_default();
    let ground = Ground {
        folder,
        trained: results.chosen.as_ref().map_or(trained, |chosen| &chosen.selection).trim_end_matches('/').to_owned(),
        epoch,
        clusters: found.clusters.len(),
        method: uncommon_method(found.clustering.as_ref()),
        class: found.clusters.class_number(largest),
        particles: found.clusters.sizes[largest],
    };
    let mut steps = vec![ground.look()];
    // RELION takes maps of light density, as references and to make masks of.
    let files_inverted = matches!(&context.job.order, Order::Analyse(said) if said.maps.invert.is_some_and(|yes| yes.0));
    if !files_inverted {
        steps.push(ground.refine());
    }
    if results.halves.is_empty() {
        steps.push(ground.halves());
    } else if !files_inverted {
        steps.extend(ground.post_process(context)?);
    }
    let series = results.series.iter().find(|series| series.volumes.len() > 1);
    steps.push(series.map_or_else(|| ground.movie(), |series| morph(folder, &series.name, &format!("figures/{}", series.name))));
    steps.extend(ground.other_epoch(&marks));
    if let Order::Train(_) = context.job.order {
        steps.push(ground.more_epochs(&context.job.command));
    }
    let finer = FINER * ground.clusters;
    if finer <= (MOST_CLUSTERS as usize).min(found.latents.nrows()) {
        steps.push(ground.divide(finer));
    }
    Ok(steps)
}

/// How particles were divided into states, where that is not the default.
fn uncommon_method(clustering: Option<&Clustering>) -> Option<&str> {
    clustering.map(|clustering| clustering.method.as_str()).filter(|method| *method != ClusterMethod::default().word())
}

/// Says them at the end of `run.out`.
pub(crate) fn say(context: &mut Context<'_>, steps: &[NextStep]) {
    for step in steps {
        context.say(&format!("next: {}: `{}`", step.what, step.command));
    }
}

/// What to do with particles that were encoded and given to clusters.
pub(crate) fn of_encoded(context: &Context<'_>, found: &Findings) -> Vec<NextStep> {
    let folder = context.job.folder_name.trim_end_matches('/');
    let class = found.clusters.class_number(cluster::largest(&found.clusters));
    vec![
        analyse(folder, "Draw these particles by themselves, decode their states, and make a report of them"),
        NextStep {
            what: "Take those of the largest state on".into(),
            command: command(&[
                "select",
                "--job",
                folder,
                "--clusters",
                &class.to_string(),
                "--o",
                &beside(folder, &format!("state{class}")),
            ]),
            relion: format!("3D auto-refine: Input images `{folder}/{}`", cluster::particles_file(class)),
            scipion: NO_PROTOCOL.into(),
            pipeliner: format!("relion.refine3d with particles `{folder}/{}`", cluster::particles_file(class)),
        },
    ]
}

/// What to do with particles that were chosen.
pub(crate) fn of_selection(context: &Context<'_>) -> String {
    let folder = context.job.folder_name.trim_end_matches('/');
    let analyse = command(&["analyse", "--job", folder, "--o", &beside(folder, "analysis")]);
    format!("look at these particles alone: `{analyse}`")
}

/// The command that takes the particles of a region, which the report saves under this name.
pub(crate) fn of_region(context: &Context<'_>) -> String {
    let folder = context.job.folder_name.trim_end_matches('/');
    command(&["select", "--job", folder, "--region", "selection.json", "--o", &beside(folder, "region")])
}

/// What to do with a job that was imported.
pub(crate) fn of_imported(context: &Context<'_>) -> Vec<NextStep> {
    let folder = context.job.folder_name.trim_end_matches('/');
    vec![
        analyse(folder, "Find clusters, decode their maps, and make a report of them"),
        NextStep {
            what: "See the strongest change: volumes along the first principal component of the latents".into(),
            command: command(&["decode", "--job", folder, "--pc", "1", "--o", &beside(folder, "pc1")]),
            relion: format!("External, executable `opus-dsd decode`, Input particles `{folder}/{PARTICLES}`, Params `pc` 1"),
            scipion: NO_PROTOCOL.into(),
            pipeliner: format!("opusdsd.decode of `{folder}/{PARTICLES}` with Principal component 1"),
        },
    ]
}

/// What to do with decoded maps: look at them, and ask the particles.
pub(crate) fn of_decoded(context: &Context<'_>, trained: &Trained, wish: &Wish, files: &[String]) -> Vec<NextStep> {
    let folder = context.job.folder_name.trim_end_matches('/');
    let look = match files {
        [only] => NextStep {
            what: "Look at it, at several levels".into(),
            command: words(&["chimerax", &format!("{folder}/{only}")]),
            relion: format!("Display: out: {only}"),
            scipion: "Analyze Results of this protocol shows its volumes".into(),
            pipeliner: "the results page of this job shows the map in 3D".into(),
        },
        _ => morph(folder, wish.stem(), wish.stem()),
    };
    let job = trained.chosen.as_ref().map_or(&trained.latents_of, |chosen| &chosen.selection).to_string_lossy();
    let job = job.trim_end_matches('/');
    let of_epoch = trained.states.iter().max_by_key(|state| state.n).filter(|_| trained.states_epoch == trained.epoch);
    let ask = of_epoch.map(|state| {
        let (epoch, clusters, method) = (trained.epoch, trained.states.len(), uncommon_method(trained.clustering.as_ref()));
        Ground { folder, trained: job.to_owned(), epoch, clusters, method, class: state.class, particles: state.n }.halves()
    });
    [Some(look), ask].into_iter().flatten().collect()
}

/// An analysis of a job that has latents and no states of its own.
fn analyse(folder: &str, what: &str) -> NextStep {
    NextStep {
        what: what.into(),
        command: command(&["analyse", "--job", folder, "--o", &beside(folder, "analysis")]),
        relion: format!("External, executable `opus-dsd analyse`, Input particles `{folder}/{PARTICLES}`"),
        scipion: NO_PROTOCOL.into(),
        pipeliner: format!("opusdsd.analyse of `{folder}/{PARTICLES}`"),
    }
}

/// How to watch a series: `script` and `movie` lie in the job's folder, without their extensions.
fn morph(folder: &str, script: &str, movie: &str) -> NextStep {
    NextStep {
        what: "Watch a change as a morph, to tell a motion from density that fades in and out".into(),
        command: words(&["chimerax", &format!("{folder}/{script}.cxc")]),
        relion: format!("open `{folder}/{movie}.apng` in a browser: the same as a movie"),
        scipion: format!("the volumes along it are an output of their own; `{folder}/{movie}.apng` is the movie"),
        pipeliner: format!("open `{folder}/{movie}.apng` in a browser: the same as a movie"),
    }
}

impl Ground<'_> {
    fn look(&self) -> NextStep {
        let Self { folder, .. } = self;
        NextStep {
            what: "Look at the states side by side, at several levels. A part that comes and goes at every level is real; one that only fades may be weak density".into(),
            command: words(&["chimerax", &format!("{folder}/states.cxc")]),
            relion: format!("Display: out: logfile.pdf shows the states on paper; open `{folder}/report.html` in a browser to turn them"),
            scipion: "Analyze Results of this protocol shows its volumes".into(),
            pipeliner: "the results page of this job shows every map in 3D".into(),
        }
    }

    fn refine(&self) -> NextStep {
        let Self { folder, class, particles, .. } = self;
        let (star, map) = (cluster::particles_file(*class), decode::map_file(*class));
        NextStep {
            what: format!(
                "Refine a state from its own particles: only that proves it. State {class} is the largest ({particles} particles); states that look alike can be joined, as in `--clusters 1,3`"
            ),
            command: self.with_output(&["select", "--job", folder, "--clusters", &class.to_string()], &format!("state{class}")),
            relion: format!(
                "3D auto-refine: Input images `{folder}/{star}`, Reference map `{folder}/{map}`; an Initial low-pass filter of 15 Å or more takes out what the network may have made up"
            ),
            scipion: format!(
                "in outputClasses of this protocol choose class {class} and create a subset of its particles; then relion - 3D auto-refine of it, with volume {class} of outputVolumes as reference"
            ),
            pipeliner: format!("relion.refine3d with particles `{folder}/{star}` and reference map `{folder}/{map}`"),
        }
    }

    fn halves(&self) -> NextStep {
        let Self { trained, clusters, epoch, .. } = self;
        NextStep {
            what: "Ask the particles themselves what resolution each state has: two half maps a state that share no particle".into(),
            command: self.again(*clusters, &["--halves", "yes"], "halves"),
            relion: format!(
                "External, executable `opus-dsd analyse`, Input particles `{trained}/{PARTICLES}`, Params `halves` yes, `clusters` {clusters}, `epoch` {epoch}; then Post-processing of the half maps that it makes"
            ),
            scipion: format!(
                "opusdsdrs - analyze of the training with Half maps and resolution: Yes, Clusters: {clusters}, Epoch: {epoch}"
            ),
            pipeliner: format!(
                "opusdsd.analyse of `{trained}/{PARTICLES}` with Half maps and resolution, Clusters {clusters} and Epoch {epoch}; then relion.postprocess"
            ),
        }
    }

    /// Nothing where the map has no density to make a mask of.
    fn post_process(&self, context: &Context<'_>) -> Result<Option<NextStep>> {
        let Self { folder, class, .. } = self;
        let (half, map) = (reconstruct::first_half_file(*class), reconstruct::map_file(*class));
        let level = report::surface_level(&read_volume(&context.path(&map))?.data);
        if !level.is_finite() {
            return Ok(None);
        }
        let (half, map, level) = (format!("{folder}/{half}"), format!("{folder}/{map}"), format!("{level:.5}"));
        let [mask, output] = ["mask.mrc", "postprocess"].map(|name| format!("{folder}/halves/cluster{class:03}_{name}"));
        let make_mask = words(
            &[
                &["relion_mask_create", "--i", &map, "--ini_threshold", &level][..],
                &["--extend_inimask", MASK_EXTENSION_VOXELS, "--width_soft_edge", MASK_EDGE_VOXELS, "--o", &mask],
            ]
            .concat(),
        );
        let post_process = words(&["relion_postprocess", "--i", &half, "--mask", &mask, "--o", &output]);
        Ok(Some(NextStep {
            what: format!(
                "Have RELION confirm the resolution of state {class} from its half maps, inside a mask made of their mean (the number in the files' names is the state's)"
            ),
            command: format!("{make_mask} && {post_process}"),
            relion: format!(
                "Mask creation of `{map}` with initial binarisation threshold {level}; then Post-processing: One of the 2 unfiltered half-maps `{half}` (the other is found by its name) and that mask"
            ),
            scipion: format!("import volumes `{half}` with its other half, relion - create 3D mask of it, then relion - post-processing"),
            pipeliner: format!(
                "relion.maskcreate of `{map}` with threshold {level}; then relion.postprocess with half map `{half}` and that mask"
            ),
        }))
    }

    fn movie(&self) -> NextStep {
        let Self { trained, epoch, .. } = self;
        let named = ["decode", "--job", trained, "--epoch", &epoch.to_string(), "--pc", "1"];
        NextStep {
            what: "See the strongest change as a movie: volumes along the first principal component of the latents".into(),
            command: self.with_output(&named, "pc1"),
            relion: format!(
                "External, executable `opus-dsd decode`, Input particles `{trained}/{PARTICLES}`, Params `pc` 1, `epoch` {epoch}"
            ),
            scipion: format!("opusdsdrs - generate volumes of the training with Principal component: 1, Epoch: {epoch}"),
            pipeliner: format!("opusdsd.decode of `{trained}/{PARTICLES}` with Principal component 1 and Epoch {epoch}"),
        }
    }

    /// The newest epoch where an older one was looked at, else the one of the best fit where that is another.
    fn other_epoch(&self, marks: &[Mark]) -> Option<NextStep> {
        let Self { folder, trained, .. } = self;
        let newest = marks.iter().filter(|mark| mark.is_whole()).map(|mark| mark.epoch).max()?;
        let best = checkpoints::best(marks).map(|mark| mark.epoch);
        let (epoch, what) = match best {
            _ if newest > self.epoch => {
                (newest, format!("Hold the newest epoch, {newest}, beside this one, {}: states that both have can be believed", self.epoch))
            }
            Some(best) if best != self.epoch => (
                best,
                format!(
                    "Hold epoch {best} beside this one: it fits images best that were not trained on. States that both have can be believed"
                ),
            ),
            _ => return None,
        };
        let number = epoch.to_string();
        let named = ["analyse", "--job", trained, "--epoch", &number, "--compare", folder];
        Some(NextStep {
            what,
            command: self.with_output(&named, &format!("epoch{epoch}")),
            relion: format!(
                "External, executable `opus-dsd analyse`, Input particles `{trained}/{PARTICLES}`, Params `epoch` {epoch}, `compare` {folder}"
            ),
            scipion: format!("opusdsdrs - analyze of the training with Epoch: {epoch}"),
            pipeliner: format!("opusdsd.analyse of `{trained}/{PARTICLES}` with Epoch {epoch}, Compare with {folder}"),
        })
    }

    fn more_epochs(&self, said: &[String]) -> NextStep {
        let Self { folder, epoch, .. } = self;
        let job = folder.rsplit('/').next().unwrap_or(folder);
        let more = (MORE_EPOCHS * epoch).to_string();
        let words = said.iter().skip(1).map(String::as_str).collect::<Vec<_>>();
        NextStep {
            what: format!("Train for longer, where the loss is still falling: the same job goes on from epoch {epoch}"),
            command: command(&[&without(&without(&words, "-n"), "--epochs")[..], &["--epochs", &more]].concat()),
            relion: format!("choose this job, put {more} for `epochs` in the tab Params, and press Continue!"),
            scipion: format!("edit this protocol: {more} for Epochs, then execute it with Continue"),
            pipeliner: format!("put {more} for `epochs` in `{folder}/continue_job.star`, then `pipeliner --continue_job {job}`"),
        }
    }

    fn divide(&self, clusters: usize) -> NextStep {
        let Self { trained, epoch, .. } = self;
        NextStep {
            what: format!("Divide more finely, where a state looks like a mixture: {clusters} clusters in place of {}", self.clusters),
            command: self.again(clusters, &[], &format!("{clusters}states")),
            relion: format!(
                "External, executable `opus-dsd analyse`, Input particles `{trained}/{PARTICLES}`, Params `clusters` {clusters}, `epoch` {epoch}"
            ),
            scipion: format!("opusdsdrs - analyze of the training with Clusters: {clusters}, Epoch: {epoch}"),
            pipeliner: format!("opusdsd.analyse of `{trained}/{PARTICLES}` with Clusters {clusters} and Epoch {epoch}"),
        }
    }

    /// Another analysis of the same latents.
    fn again(&self, clusters: usize, more: &[&str], name: &str) -> String {
        let (epoch, clusters) = (self.epoch.to_string(), clusters.to_string());
        let mut line = vec!["analyse", "--job", &self.trained, "--epoch", &epoch, "--clusters", &clusters];
        line.extend(self.method.iter().flat_map(|method| ["--cluster-method", method]));
        line.extend(more);
        self.with_output(&line, name)
    }

    /// A command whose folder lies beside this job's.
    fn with_output(&self, line: &[&str], name: &str) -> String {
        command(&[line, &["--o", &beside(self.folder, name)]].concat())
    }
}

/// The name of a folder beside a job's.
fn beside(folder: &str, name: &str) -> String {
    format!("{folder}-{name}/")
}

/// A command of this program.
fn command(line: &[&str]) -> String {
    words(&[&["opus-dsd"], line].concat())
}

/// Words as a shell takes them.
fn words(line: &[&str]) -> String {
    line.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

fn shell_word(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { Cow::Borrowed(word) } else { format!("'{}'", word.replace('\'', r"'\''")).into() }
}

/// A command line without an option and its value.
fn without<'a>(line: &[&'a str], option: &str) -> Vec<&'a str> {
    let is = |word: &str| word == option || word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='));
    let value = |i: usize| i > 0 && line[i - 1] == option;
    line.iter().enumerate().filter(|(i, word)| !is(word) && !value(*i)).map(|(_, word)| *word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_a_shell() {
        assert_eq!(
            command(&["select", "--job", "my runs/it's", "--clusters", "1,3"]),
            r"opus-dsd select --job 'my runs/it'\''s' --clusters 1,3"
        );
        assert_eq!(words(&["a", "", "$(b)"]), "a '' '$(b)'");
    }

    #[test]
    fn an_option_is_taken_out_with_its_value() {
        assert_eq!(without(&["train", "--epochs", "3", "--o", "x/"], "--epochs"), ["train", "--o", "x/"]);
        assert_eq!(without(&["--epochs=3", "--epochs-not", "4"], "--epochs"), ["--epochs-not", "4"]);
        assert_eq!(without(&["train", "-n", "2", "--o", "x/"], "-n"), ["train", "--o", "x/"]);
    }
}
