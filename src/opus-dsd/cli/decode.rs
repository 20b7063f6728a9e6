//! `decode`: volumes of given latents, of particles, along a principal component or along a way through the particles, from a trained job.

use super::params;
use crate::job::order::Order;
use crate::settings::{form, said::DecodeSaid};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};

pub(super) fn command() -> Command {
    form::explained(DecodeSaid::augment_args(Command::new("decode")))
        .arg(params::arg())
        .about("Volumes of given latents, of particles, along a principal component or between states, from a trained job")
        .long_about(None)
        .after_help(
            "Writes DIR/vol_000.mrc and so on (DIR/pcK/ with --pc, DIR/path/ with --path, and a movie and a ChimeraX script beside it), z.txt with \
             their latents, and pairs.csv where they are those of particles.\n\n\
             Examples:\n  opus-dsd decode --job External/job007 --o External/job008/ --pc 1\n  \
             opus-dsd decode --job External/job007 --o External/job009/ --path 1,3",
        )
}

pub(super) fn order(matches: &ArgMatches) -> Result<Order> {
    DecodeSaid::from_arg_matches(matches).map(Order::Decode).map_err(|e| Problem::input(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_them_is_asked_for() {
        let parse = |line: &str| command().no_binary_name(true).try_get_matches_from(line.split_whitespace()).is_ok();
        assert!(parse("--o d/ --job j --pc 1 --points 3"));
        assert!(parse("--o d/ --job j --path 1,p25 --lowpass 12"));
        assert!(!parse("--o d/ --job j"));
        assert!(!parse("--o d/ --job j --pc 1 --particles 0"));
    }
}
