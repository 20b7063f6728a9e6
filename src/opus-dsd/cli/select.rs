//! `select`: a particle STAR file by cluster, region, place in the latents, density or list, from a trained or analysed job.

use super::params;
use crate::job::order::Order;
use crate::settings::{form, said::SelectSaid};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};

pub(super) fn command() -> Command {
    form::explained(SelectSaid::augment_args(Command::new("select")))
        .arg(params::arg())
        .about("Particles of a trained job by cluster, region, place in the latents, density or list, for the next job")
        .long_about(None)
        .after_help(
            "Writes DIR/particles.star and DIR/latents.npy: every cell, the order and the optics stay as they were.\n\n\
             Examples:\n  opus-dsd select --job External/job008 --o External/job009/ --clusters 1,3-5\n  \
             opus-dsd select --job External/job008 --o External/job009/ --where 'cluster 2 and not density ..0.05' --rest rest.star",
        )
}

pub(super) fn order(matches: &ArgMatches) -> Result<Order> {
    SelectSaid::from_arg_matches(matches).map(Order::Select).map_err(|e| Problem::input(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_said_of_the_particles() {
        let parse = |line: &str| command().no_binary_name(true).try_get_matches_from(line.split_whitespace()).is_ok();
        assert!(parse("--o d/ --job j --clusters 1,2 --random 100 --rest rest.star"));
        assert!(parse("--o d/ --in-parts j/particles.star --random 100"));
        assert!(!parse("--o d/ --job j"));
        assert!(!parse("--o d/ --job j --in-parts j/particles.star --clusters 1"));
    }
}
