//! Did training arrive? In plain words, from its own figures.

use crate::story::Story;
use serde_json::{Value, json};

/// A change of the loss between the last two epochs below this share of the whole way counts as arrived.
const STILL_MOVING: f64 = 0.1;

/// One sentence and whether it is good news.
pub(super) fn of(story: &Story) -> Value {
    let (good, text) = judge(story);
    json!({ "good": good, "text": text })
}

fn judge(story: &Story) -> (bool, String) {
    let Some(last) = story.epochs.last() else { return (false, "There are no figures of the training.".into()) };
    let dimensions = format!("{} of {} latent dimensions are in use", last.active_dimensions, story.latents.ncols());
    if last.active_dimensions == 0 {
        return (
            false,
            "The latents carry nothing: to this program all particles look the same. Train longer, give a tighter mask, or accept that they are.".into(),
        );
    }
    let losses: Vec<f64> = story.epochs.iter().map(|e| e.validation.unwrap_or(e.terms.reconstruction)).collect();
    let n = losses.len();
    if n < 3 {
        return (
            false,
            format!("Trained for {n} epoch{}, too few to say whether it has arrived; {dimensions}.", if n == 1 { "" } else { "s" }),
        );
    }
    let way = losses[0] - losses.iter().copied().fold(f64::INFINITY, f64::min);
    let step = losses[n - 2] - losses[n - 1];
    if way > 0.0 && step > STILL_MOVING * way {
        return (false, format!("The loss was still falling at the last epoch: more epochs will help. {dimensions}."));
    }
    if way > 0.0 && step < -STILL_MOVING * way {
        return (
            false,
            format!("The loss rose at the last epoch: look at an earlier one with `opus-dsd analyse --epoch best`. {dimensions}."),
        );
    }
    (true, format!("Training has arrived: the loss has levelled out over {n} epochs; {dimensions}."))
}
