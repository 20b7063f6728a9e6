//! Did training arrive? In plain words, from its own figures.

use crate::story::EpochRecord;

/// Epochs below which a curve shows no bend.
const LEAST_EPOCHS: usize = 3;
/// Share of the whole fall of the loss that the last quarter of the epochs may bring. A straight line brings a quarter and more; runs that had
/// arrived brought 0.03 to 0.15 (docs/concepts/latents.md).
const STILL_FALLING: f64 = 0.2;
/// Share of it by which the last epoch may rise.
const RISEN: f64 = 0.1;

/// Alignment of the latents with those of the epoch before from which on they are at rest, and below which they still move: the good runs of the
/// tiny sets ended at 0.9996 and 0.9998, and came from 0.994 and 0.996 in their second epoch (docs/concepts/latents.md).
const AT_REST: f64 = 0.999;
const STILL_MOVING: f64 = 0.99;

/// What the figures say of the training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it arrived.
    pub good: bool,
    /// One or two sentences, with what to do.
    pub text: String,
}

impl Verdict {
    /// From one entry an epoch; `dimensions` is the number of latent dimensions.
    #[must_use]
    pub fn of(epochs: &[EpochRecord], dimensions: usize) -> Self {
        let losses: Vec<f64> = epochs.iter().map(|e| e.validation.unwrap_or(e.terms.reconstruction)).collect();
        match epochs.last() {
            Some(last) => judge(&losses, last.drift.map(|drift| drift.alignment), last.active_dimensions, dimensions),
            None => Self { good: false, text: "There are no figures of the training.".into() },
        }
    }
}

/// `alignment`: of the latents with those of the epoch before the last, where it is known.
fn judge(losses: &[f64], alignment: Option<f64>, active: usize, dimensions: usize) -> Verdict {
    let bad = |text: String| Verdict { good: false, text };
    if active == 0 {
        return bad(
            "The latents carry nothing: to this program all particles look the same. Train longer, give a tighter mask, or accept \
                    that they are."
                .into(),
        );
    }
    let used = format!("{active} of {dimensions} latent dimensions are in use");
    let n = losses.len();
    if n < LEAST_EPOCHS {
        let epochs = if n == 1 { "1 epoch" } else { "2 epochs" };
        return bad(format!(
            "Training had {epochs}, too few to say whether it has arrived: continue the job with a larger `--epochs`, and compare. {used}."
        ));
    }
    let fall = losses[0] - losses.iter().copied().fold(f64::INFINITY, f64::min);
    let quarter = (n / 4).max(1);
    let late = losses[n - 1 - quarter] - losses[n - 1];
    let rise = losses[n - 1] - losses[n - 2];
    if rise > RISEN * fall && rise > 0.0 {
        return bad(format!("The loss rose at the last epoch: look at an earlier one with `opus-dsd analyse --epoch best`. {used}."));
    }
    if late > STILL_FALLING * fall {
        let resting = alignment.filter(|a| *a >= AT_REST);
        let resting = resting.map_or(String::new(), |a| {
            format!(" The latents hardly moved in the last epoch (alignment {a:.4}): the states are likely to stay.")
        });
        return bad(format!(
            "The loss was still falling when training ended ({:.0}% of its fall came with the last {}): continue the job with a larger `--epochs`.{resting} {used}.",
            100.0 * late / fall,
            if quarter == 1 { "epoch".into() } else { format!("{quarter} epochs") }
        ));
    }
    match alignment {
        Some(a) if a < STILL_MOVING => bad(format!(
            "The loss has levelled out, but the latents still moved in the last epoch (alignment {a:.3} with the epoch before; {AT_REST} is at \
             rest): continue the job with a larger `--epochs`. {used}."
        )),
        Some(a) if a >= AT_REST => Verdict {
            good: true,
            text: format!("Training has arrived: the loss has levelled out over {n} epochs, and the latents are at rest; {used}."),
        },
        _ => Verdict { good: true, text: format!("Training has arrived: the loss has levelled out over {n} epochs; {used}.") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_levelled_out_is_good_and_all_else_is_named() {
        let said = |losses: &[f64]| judge(losses, None, 2, 8);
        let curve = |n: i32, rate: f64| (0..n).map(|i| 0.5 + 0.02 * (-rate * f64::from(i)).exp()).collect::<Vec<_>>();
        for n in [4, 8, 20] {
            let levelled = said(&curve(n, 6.0 / f64::from(n)));
            assert!(levelled.good && levelled.text.contains("2 of 8"), "{n}: {levelled:?}");
            let line: Vec<f64> = (0..n).map(|i| 0.52 - 0.001 * f64::from(i)).collect();
            let falling = said(&line);
            assert!(!falling.good && falling.text.contains("still falling") && falling.text.contains("`--epochs`"), "{n}: {falling:?}");
        }
        for n in [1, 2] {
            let few = said(&curve(n, 1.0));
            assert!(!few.good && few.text.contains("too few") && few.text.contains("`--epochs`"), "{few:?}");
        }
        let mut risen = curve(6, 1.0);
        risen.push(0.51);
        assert!(!said(&risen).good && said(&risen).text.contains("rose"));
        assert!(said(&[0.5; 5]).good, "a loss that never moves has arrived");
        assert!(!said(&[0.5, 0.51, 0.52]).good, "one that only rises has not");
        let dead = judge(&curve(8, 1.0), None, 0, 8);
        assert!(!dead.good && dead.text.contains("carry nothing"));
        // The latents have a say as well.
        let with = |alignment: f64| judge(&curve(8, 1.0), Some(alignment), 2, 8);
        assert!(with(0.9997).good && with(0.9997).text.contains("at rest"), "{:?}", with(0.9997));
        assert!(with(0.995).good && !with(0.995).text.contains("at rest"), "{:?}", with(0.995));
        assert!(!with(0.97).good && with(0.97).text.contains("still moved") && with(0.97).text.contains("`--epochs`"), "{:?}", with(0.97));
        let line: Vec<f64> = (0..8).map(|i| 0.52 - 0.001 * f64::from(i)).collect();
        let falling = judge(&line, Some(0.9997), 2, 8);
        assert!(!falling.good && falling.text.contains("hardly moved"), "{falling:?}");
        assert!(!Verdict::of(&[], 8).good);
    }
}
