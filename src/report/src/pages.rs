//! The pages of a report, in order. One module a kind of page; each returns finished sheets.

mod comparison;
mod differences;
mod evidence;
pub(crate) mod images;
mod latents;
pub(crate) mod maps;
mod nuisances;
mod sizes;
mod summary;
mod surfaces;
mod table;
mod training;

use crate::sheet::Sheet;
use crate::story::Story;
use contract::{Problem, Result};

/// Name of the first pages, which hold text.
pub(crate) const SUMMARY: &str = "summary";

/// Groups of one kind, at most: their numbers travel in 16 bits.
const MOST_GROUPS: usize = 1 << 16;

/// A page and what its file is called when it stands alone.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) sheet: Sheet,
}

/// All pages of a story.
///
/// # Errors
/// If the story contradicts itself.
pub(crate) fn pages(story: &Story) -> Result<Vec<Figure>> {
    check(story)?;
    let mut figures: Vec<Figure> = summary::sheets(story).into_iter().map(|sheet| Figure { name: SUMMARY.to_owned(), sheet }).collect();
    let mut add = |name: &str, sheets: Vec<Sheet>| {
        let several = sheets.len() > 1;
        for (i, sheet) in sheets.into_iter().enumerate() {
            let name = if several { format!("{name}{:02}", i + 1) } else { name.to_owned() };
            figures.push(Figure { name, sheet });
        }
    };
    if !story.epochs.is_empty() {
        add("training", vec![training::sheet(story)?]);
    }
    add("latents", vec![latents::sheet(story)?]);
    for embedding in &story.embeddings {
        add(&embedding.name.to_lowercase(), vec![latents::of_embedding(story, embedding)?]);
    }
    if !story.nuisances.is_empty() {
        add("nuisances", vec![nuisances::sheet(story)?]);
    }
    add("clusters", sizes::sheet(story)?.into_iter().collect());
    add("states", maps::sheets(story));
    add("surfaces", surfaces::states(story)?);
    add("ways", surfaces::ways(story)?);
    add("evidence", evidence::sheets(story)?);
    add("differences", differences::sheets(story)?);
    if let Some(comparison) = &story.comparison {
        add("comparison", comparison::sheets(comparison));
    }
    add("images", images::sheets(story));
    Ok(figures)
}

/// Refuses stories that cannot be drawn; they are mistakes of the program, not of its user.
pub(crate) fn check(story: &Story) -> Result<()> {
    let (n, d) = story.latents.dim();
    let wrong = |what: String| Err(Problem::failed(format!("report was given {what}")));
    if n == 0 || d == 0 {
        return wrong("no latents".to_owned());
    }
    let views = story.view_classes.len();
    if story.clusters.labels.len() != n || (views != n && views != 0) || story.pca.mean.len() != d {
        return wrong(format!(
            "{n} × {d} latents, {} cluster labels, {} view classes and {} means",
            story.clusters.labels.len(),
            views,
            story.pca.mean.len()
        ));
    }
    if let Some(ground) = story.ground.as_ref().filter(|ground| ground.latents.ncols() != d) {
        return wrong(format!("latents of {} dimensions beneath those of {d}", ground.latents.ncols()));
    }
    if let Some(embedding) = story.embeddings.iter().find(|e| e.points.dim() != (n, 2)) {
        return wrong(format!("`{}` of {:?} points, of {n}", embedding.name, embedding.points.dim()));
    }
    let figures = story.columns.iter().map(|c| (&c.name, c.values.len())).chain(story.groupings.iter().map(|g| (&g.name, g.of.len())));
    if let Some((name, rows)) = figures.into_iter().find(|(_, rows)| *rows != n) {
        return wrong(format!("`{name}` of {rows} particles, of {n}"));
    }
    if let Some(grouping) = story.groupings.iter().find(|g| g.names.len() > MOST_GROUPS || g.of.iter().any(|&group| group >= g.names.len()))
    {
        return wrong(format!("groups of `{}` without a name, or more than {MOST_GROUPS}", grouping.name));
    }
    if let Some(class) = story.view_classes.iter().find(|&&class| class >= latents::VIEW_CLASSES) {
        return wrong(format!("view class {class}, of {}", latents::VIEW_CLASSES));
    }
    if let Some(state) =
        story.states.iter().find(|state| state.map.is_empty() || story.reference.as_ref().is_some_and(|r| r.dim() != state.map.dim()))
    {
        return wrong(format!(
            "a map of {:?} voxels for state {}, that of the reference being {:?}",
            state.map.dim(),
            state.class,
            story.reference.as_ref().map(ndarray::ArrayBase::dim)
        ));
    }
    if let Some(panels) = story.panels.iter().find(|panels| images::pictures(panels).iter().any(|(_, image)| image.is_empty())) {
        return wrong(format!("an empty image of particle {}", panels.particle));
    }
    Ok(())
}

/// Parts what is drawn into pages of at most `most`, about as many on each, so that none holds a single leftover.
pub(crate) fn evenly<T>(items: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    let pages = items.len().div_ceil(most).max(1);
    items.chunks(items.len().div_ceil(pages).max(1))
}

/// A number with thousands parted, as 1,000,000.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn pages_hold_about_as_many() {
        let sizes = |n: usize| super::evenly(&vec![0; n], 6).map(<[i32]>::len).collect::<Vec<_>>();
        assert_eq!([0, 1, 6, 7, 8, 13].map(sizes), [vec![], vec![1], vec![6], vec![4, 3], vec![4, 4], vec![5, 5, 3]]);
    }

    #[test]
    fn thousands_are_parted() {
        assert_eq!([0, 999, 1000, 1_234_567].map(super::grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
