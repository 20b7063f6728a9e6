//! `check`: whether particles, poses, map and mask belong together, before hours are spent on them.

use super::params;
use crate::job::console::Console;
use crate::job::courses::checking::{self, Listener};
use crate::job::order::Order;
use crate::settings::{form, said::CheckSaid};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};

pub(super) fn command() -> Command {
    form::explained(CheckSaid::augment_args(Command::new("check")))
        .arg(params::arg())
        .about("Whether particles, poses, map and mask belong together: contrast, hand, pixel size; in seconds")
        .long_about(None)
        .after_help(
            "Back-projects some of the particles and compares. Exit status 0: nothing is surely wrong; 2: something is.\n\n\
             Example:\n  opus-dsd check --in_parts Refine3D/job020/run_data.star --in_3dref Refine3D/job020/run_class001.mrc",
        )
}

pub(super) fn order(matches: &ArgMatches) -> Result<Order> {
    CheckSaid::from_arg_matches(matches).map(|said| Order::Check(Box::new(said))).map_err(|e| Problem::input(e.to_string()))
}

/// A check without a folder, here and now.
///
/// # Errors
/// What is surely wrong.
pub(super) fn here(said: &CheckSaid) -> Result<u8> {
    let mut console = Console::detached();
    checking::tell(&checking::look(said, &mut console)?, &mut console)?;
    Ok(0)
}

impl Listener for Console {
    fn say(&mut self, line: &str) {
        Console::say(self, line);
    }

    fn warn(&mut self, line: &str) {
        Console::warn(self, line);
    }
}
