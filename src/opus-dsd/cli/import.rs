//! `import`: a run of the original becomes a job folder that later verbs work on.

use super::params;
use crate::job::order::Order;
use crate::settings::{form, said::ImportSaid};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};

pub(super) fn command() -> Command {
    form::explained(ImportSaid::augment_args(Command::new("import")))
        .arg(params::arg())
        .about("A run of the original OPUS-DSD as a trained job, to analyse and decode; nothing in its pickles is executed")
        .long_about(None)
        .after_help(
            "Writes a checkpoint an epoch, DIR/latents.npy, DIR/particles.star and DIR/mask.mrc. Images are not needed.\n\n\
             Example:\n  opus-dsd import their/run/ --o External/job007/\n  \
             opus-dsd analyse --job External/job007 --o External/job008/",
        )
}

pub(super) fn order(matches: &ArgMatches) -> Result<Order> {
    ImportSaid::from_arg_matches(matches).map(Order::Import).map_err(|e| Problem::input(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_named_in_one_of_two_ways() {
        let parse = |line: &str| command().no_binary_name(true).try_get_matches_from(line.split_whitespace());
        for line in ["run --o d/", "--o d/ --original run --epoch 3"] {
            let Order::Import(said) = order(&parse(line).unwrap()).unwrap() else { panic!("another verb") };
            assert_eq!(said.folder().unwrap(), std::path::Path::new("run"));
        }
        assert!(parse("run --original run --o d/").is_err());
        let Order::Import(said) = order(&parse("--o d/").unwrap()).unwrap() else { panic!("another verb") };
        assert!(said.folder().unwrap_err().to_string().contains("`--original`"));
    }
}
