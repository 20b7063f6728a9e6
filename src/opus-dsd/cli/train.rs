//! `train`: the whole job. This is what RELION's External job starts.

use super::{dry_run, params};
use crate::job::order::Order;
use crate::settings::{form, said::TrainSaid};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};

pub(super) fn command() -> Command {
    let about = "Trains on the particles of a consensus refinement and writes states, clusters, latents and a report";
    form::explained(TrainSaid::augment_args(Command::new("train"))).arg(params::arg()).arg(dry_run::arg()).about(about).long_about(None).after_help(
        "Names may be written with dashes or underscores; flags take yes or no; `auto` stands for what the program decides.\n\nExample:\n  opus-dsd train --o External/job007/ --in_parts Refine3D/job019/run_data.star --in_mask MaskCreate/job020/mask.mrc --j 4\n\n\
         The same command again goes on where it was stopped. Options of the original that are gone: docs/guides/from-opus-dsd.md.",
    )
}

pub(super) fn order(matches: &ArgMatches) -> Result<Order> {
    let said = TrainSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    if said.folder().is_some() && said.input().is_none() {
        return Err(Problem::input("missing").at("`--in_parts`").hint("name the particles: `--in_parts Refine3D/job019/run_data.star`"));
    }
    Ok(Order::Train(Box::new(said)))
}
