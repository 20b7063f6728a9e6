//! `encode`: latents and clusters of any particles, by a trained job's model.

use super::params;
use crate::job::order::Order;
use crate::settings::{form, said::EncodeSaid};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};

pub(super) fn command() -> Command {
    form::explained(EncodeSaid::augment_args(Command::new("encode")))
        .arg(params::arg())
        .about("Latents and clusters of any particles, by the model of a trained job")
        .long_about(None)
        .after_help(
            "The particles are prepared as those of the trained job were, whose told pixel size, voltage and so on hold for them too. The trained\n\
             job is not changed. The folder can be named to `analyse`, `decode` and `select` like a trained job's.\n\n\
             Examples:\n  opus-dsd encode --o External/job010/ --in_parts Refine3D/job021/run_data.star --job External/job007\n  \
             opus-dsd encode --o External/job010/ --in_parts Refine3D/job021/run_data.star --in_3dref External/job007/cluster001.mrc",
        )
}

pub(super) fn order(matches: &ArgMatches) -> Result<Order> {
    EncodeSaid::from_arg_matches(matches).map(|said| Order::Encode(Box::new(said))).map_err(|e| Problem::input(e.to_string()))
}
