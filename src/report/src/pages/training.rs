//! How training went: the loss's terms and what the latents carry, epoch by epoch.

use crate::chart::{Axis, Marks, Series, chart};
use crate::palette::class;
use crate::sheet::{BOTTOM, MARGIN, Sheet, Style, TEXT, TOP, WIDTH};
use crate::story::{EpochRecord, Story};
use contract::Result;

/// Between charts.
const GAP: f64 = 26.0;
/// Room for a chart's heading.
const HEADING: f64 = 14.0;

/// Reads one figure of an epoch.
type Read = fn(&EpochRecord) -> Option<f64>;

/// Title, axis title, and curves (name, colour, figure) of a chart.
struct Plan {
    title: &'static str,
    axis: &'static str,
    from_zero: bool,
    curves: Vec<(&'static str, usize, Read)>,
}

pub(super) fn sheet(story: &Story) -> Result<Sheet> {
    let dimensions = story.epochs.last().map_or(0, |epoch| epoch.active_dimensions);
    let mut page = Sheet::page(
        "Training",
        &format!(
            "Means over the training images of each epoch. Loss terms are shown as they enter the total, weights applied. Latent dimensions in use at the end: {dimensions} of {}.",
            story.latents.ncols()
        ),
    );
    let plans = [
        Plan {
            title: "Fit to the images",
            axis: "reconstruction loss",
            from_zero: false,
            curves: vec![("training", 0, |e| Some(e.terms.reconstruction)), ("validation", 4, |e| e.validation)],
        },
        Plan {
            title: "Other loss terms",
            axis: "loss term",
            from_zero: false,
            curves: vec![
                ("KL", 0, |e| Some(e.terms.kl)),
                ("prior", 1, |e| Some(e.terms.prior)),
                ("volume", 2, |e| Some(e.terms.volume)),
                ("warm start", 3, |e| Some(e.terms.warm_start)),
            ],
        },
        Plan {
            title: "What the latents carry",
            axis: "KL divergence (nats per image)",
            from_zero: true,
            curves: vec![("KL", 0, |e| Some(e.kl_nats))],
        },
        Plan {
            title: "Signal that the model explains",
            axis: "signal-to-noise ratio",
            from_zero: true,
            curves: vec![("SNR", 2, |e| Some(e.snr))],
        },
        Plan {
            title: "Likeness of the latents to the epoch before",
            axis: "1: nothing moved",
            from_zero: true,
            curves: vec![("alignment", 0, |e| e.drift.map(|d| d.alignment)), ("common neighbours", 1, |e| e.drift.map(|d| d.neighbours))],
        },
    ];
    // What was never measured has no chart.
    let plans: Vec<Plan> =
        plans.into_iter().filter(|plan| plan.curves.iter().any(|(.., read)| story.epochs.iter().any(|e| read(e).is_some()))).collect();
    let columns = plans.len().div_ceil(2);
    let width = (WIDTH - 2.0 * MARGIN - GAP * (columns - 1) as f64) / columns as f64;
    let height = (BOTTOM - TOP - GAP) / 2.0 - HEADING;
    let epochs = &story.epochs;
    let x = || Axis::whole("epoch", epochs[0].epoch, epochs[epochs.len() - 1].epoch);
    for (i, plan) in plans.into_iter().enumerate() {
        let (left, top) = (MARGIN + (i % columns) as f64 * (width + GAP), TOP + (i / columns) as f64 * (height + HEADING + GAP));
        let curve =
            |read: Read| epochs.iter().filter_map(|e| read(e).filter(|v| v.is_finite()).map(|v| (e.epoch as f64, v))).collect::<Vec<_>>();
        let series = plan.curves.into_iter().map(|(name, colour, read)| Series {
            name: name.to_owned(),
            colour: class(colour, 7),
            points: curve(read),
        });
        // A term that is off has no curve.
        let series: Vec<Series> = series.filter(|s| s.points.iter().any(|p| p.1 != 0.0)).collect();
        let y = Axis::around(plan.axis, series.iter().flat_map(|s| s.points.iter().map(|p| p.1)));
        let y = if plan.from_zero && y.range.1 > 0.0 { y.starting_at_zero() } else { y };
        page.text(left, top, plan.title, Style::new(TEXT).strong());
        page.inset(left, top + 4.0, &chart(width, height + HEADING - 4.0, &x(), &y, Marks::Lines(series))?);
    }
    Ok(page)
}
