//! Stage `series`: maps along the strongest principal components of the latents, and along ways through the particles between states.

use super::cluster::Findings;
use super::context::Context;
use super::decode;
use crate::job::engine_process::Engine;
use crate::job::npy;
use crate::job::way::{self, Land};
use crate::settings::decided::Decided;
use contract::{Problem, Result, Series, SeriesVolume, TrainOutcome};
use ndarray::{Array2, Axis};
use std::collections::HashSet;
use std::path::PathBuf;

/// Which series, and how many maps each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Principal components, from the first.
    pub(crate) components: usize,
    /// Ways, each from state to state, from 1.
    pub(crate) ways: Vec<Vec<usize>>,
    pub(crate) points: usize,
}

impl Extent {
    /// Ways that are asked for more than once are made once.
    pub(crate) fn new(components: usize, ways: Vec<Vec<usize>>, points: usize) -> Self {
        let mut known = HashSet::new();
        Self { components, ways: ways.into_iter().filter(|way| known.insert(way.clone())).collect(), points }
    }

    /// # Errors
    /// A way stops at a state that is not there.
    pub(crate) fn check(&self, states: usize) -> Result<()> {
        match self.ways.iter().flatten().find(|stop| **stop > states) {
            Some(stop) => {
                Err(Problem::input(format!("there is no state {stop}")).at("`--paths`").hint(format!("states count from 1 to {states}")))
            }
            None => Ok(()),
        }
    }

    /// First and last state of every way, from 1.
    pub(crate) fn ends(&self) -> Vec<(usize, usize)> {
        self.ways.iter().filter_map(|way| Some((*way.first()?, *way.last()?))).collect()
    }
}

/// A line through the latents.
enum Line {
    /// From 0.
    Component(usize),
    /// States, from 1.
    Way(Vec<usize>),
}

impl Line {
    /// Name of its folder.
    fn name(&self) -> String {
        match self {
            Self::Component(component) => format!("pc{}", component + 1),
            Self::Way(stops) => format!("path{}", stops.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")),
        }
    }
}

/// Names of maps that are of no line.
pub(crate) const LATENTS: &str = "latents";
pub(crate) const PARTICLES: &str = "particles";

/// A series' name for people.
pub(crate) fn title(name: &str) -> String {
    match (name.strip_prefix("pc"), name.strip_prefix("path")) {
        (Some(number), _) => format!("principal component {number}"),
        (None, Some("")) => "way through the particles".into(),
        _ if name == LATENTS => "the given latents".into(),
        _ if name == PARTICLES => "the chosen particles".into(),
        (None, Some(stops)) => format!("way from state {}", stops.replace('-', " to ")),
        _ => name.to_owned(),
    }
}

/// Where the maps of a series were decoded, in words.
pub(crate) fn whence(name: &str) -> String {
    match name {
        LATENTS | PARTICLES => format!("of {}", title(name)),
        _ if name.starts_with("pc") => format!("along {}", title(name)),
        _ => format!("along a {}", title(name)),
    }
}

/// Name of a row's map, in the series' folder.
pub(crate) fn map_file(row: usize) -> String {
    format!("vol_{row:03}.mrc")
}

pub(crate) fn run(
    context: &mut Context<'_>,
    engine: &mut Engine,
    decided: &Decided,
    outcome: &TrainOutcome,
    found: &Findings,
    extent: &Extent,
) -> Result<Vec<Series>> {
    let components = (0..extent.components.min(found.latents.ncols())).map(Line::Component);
    let lines: Vec<Line> = components.chain(extent.ways.iter().cloned().map(Line::Way)).collect();
    let mut land = Land::new(&found.latents);
    let mut all: Vec<Series> = Vec::new();
    for line in &lines {
        let name = line.name();
        let ground = decode::ground(decided, outcome, found).and(&(&name, extent.points));
        let latents = context.path(&name).join("z.npy");
        context.stage(&name, &ground, |context| {
            let folder = context.make_folder(&name)?;
            let path = stations(context, found, &mut land, line, extent.points)?;
            npy::write(&latents, path.view())?;
            let outputs: Vec<PathBuf> = (0..path.nrows()).map(|row| folder.join(map_file(row))).collect();
            let spec = decode::spec(decided, outcome, latents.clone(), outputs.clone());
            decode::maps(context, engine, spec, |_, _| Ok(()))?;
            let made: Vec<PathBuf> = outputs.into_iter().chain([latents.clone()]).collect();
            context.remove_earlier(&name, &folder, &made)?;
            Ok(made)
        })?;
        let path = npy::read(&latents)?;
        let volumes = path.rows().into_iter().enumerate();
        let volumes = volumes.map(|(row, z)| SeriesVolume { file: format!("{name}/{}", map_file(row)), z: z.to_vec() }).collect();
        all.push(Series { name, volumes });
        context.results.change(|now| now.series.clone_from(&all))?;
    }
    context.results.change(|now| now.series.clone_from(&all))?;
    Ok(all)
}

/// Latents along a line, `[points, zdim]`.
fn stations(context: &mut Context<'_>, found: &Findings, land: &mut Land<'_>, line: &Line, points: usize) -> Result<Array2<f32>> {
    match line {
        Line::Component(component) => Ok(found.pca.traversal(found.latents.view(), *component, points)?.mapv(|v| v as f32)),
        Line::Way(stops) => {
            let rows: Vec<usize> = stops.iter().map(|state| found.clusters.center_index[state - 1]).collect();
            let way = land.way(&rows, points)?;
            if let Some(warning) = way::gap_warning(&format!("the {}", title(&line.name())), &way) {
                context.warn(&warning);
            }
            Ok(found.latents.select(Axis(0), &way.stations))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_made_once_and_stop_at_states() {
        let extent = Extent::new(0, vec![vec![1, 2], vec![1, 3, 2], vec![1, 2]], 5);
        assert_eq!(extent.ways, [vec![1, 2], vec![1, 3, 2]]);
        assert!(extent.check(3).is_ok());
        assert!(extent.check(2).unwrap_err().to_string().contains("there is no state 3"));
    }

    #[test]
    fn series_have_names_for_folders_and_for_people() {
        let names = [Line::Component(1), Line::Way(vec![1, 3, 2])].map(|line| line.name());
        assert_eq!(names, ["pc2", "path1-3-2"]);
        assert_eq!(names.map(|name| title(&name)), ["principal component 2", "way from state 1 to 3 to 2"]);
        assert_eq!([LATENTS, PARTICLES, "path"].map(title), ["the given latents", "the chosen particles", "way through the particles"]);
        assert_eq!(
            ["pc2", "path", LATENTS].map(whence),
            ["along principal component 2", "along a way through the particles", "of the given latents"]
        );
    }
}
