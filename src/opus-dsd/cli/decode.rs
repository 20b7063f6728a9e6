//! `decode`: volumes of given latents, of particles, or along a principal component, from a trained job.

use super::params;
use crate::job::order::Order;
use crate::settings::{form, said::DecodeSaid};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};

pub(super) fn command() -> Command {
    form::explained(DecodeSaid::augment_args(Command::new("decode")))
        .arg(params::arg())
        .about("Volumes of given latents, of particles, or along a principal component, from a trained job")
        .long_about(None)
        .after_help(
            "Writes DIR/vol_000.mrc and so on (DIR/pcK/ with --pc), z.txt with their latents, and pairs.csv where particles are named.\n\n\
             Example:\n  opus-dsd decode --job External/job007 --o External/job008/ --pc 1",
        )
}

pub(super) fn order(matches: &ArgMatches) -> Result<Order> {
    DecodeSaid::from_arg_matches(matches).map(Order::Decode).map_err(|e| Problem::input(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_three_is_asked_for() {
        let parse = |line: &str| command().no_binary_name(true).try_get_matches_from(line.split_whitespace()).is_ok();
        assert!(parse("--o d/ --job j --pc 1 --points 3"));
        assert!(!parse("--o d/ --job j"));
        assert!(!parse("--o d/ --job j --pc 1 --particles 0"));
    }
}
