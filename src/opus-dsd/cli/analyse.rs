//! `analyse`: clusters, maps, series and a report of a trained job, at any of its epochs, in a folder of its own.

use super::params;
use crate::job::order::Order;
use crate::settings::{form, said::AnalyseSaid};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};

pub(super) fn command() -> Command {
    form::explained(AnalyseSaid::augment_args(Command::new("analyse")))
        .arg(params::arg())
        .visible_alias("analyze")
        .about("Clusters, maps, particle files and a report of a trained job, at any of its epochs")
        .long_about(None)
        .after_help(
            "The trained job is not changed. The same command again makes only what is not there yet.\n\n\
             Example:\n  opus-dsd analyse --o External/job008/ --in_parts External/job007/particles.star --clusters 8 --pcs 2",
        )
}

pub(super) fn order(matches: &ArgMatches) -> Result<Order> {
    AnalyseSaid::from_arg_matches(matches).map(Order::Analyse).map_err(|e| Problem::input(e.to_string()))
}
