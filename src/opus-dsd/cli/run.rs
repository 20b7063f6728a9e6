//! `run`: a job from its `job.star` alone, as pipeliners and Schemes keep it.

use super::{arguments, arguments::Said, hosted, train};
use crate::host::relion::job_star;
use crate::settings::said::TrainSaid;
use clap::{Arg, ArgMatches, Command, FromArgMatches, value_parser};
use contract::{Problem, Result};
use std::path::{Path, PathBuf};

pub(super) fn command() -> Command {
    Command::new("run")
        .about("Runs an External job from its job.star alone; the job folder is the file's own, unless --o names another")
        .arg(Arg::new("job").value_name("JOB.STAR").required(true).value_parser(value_parser!(PathBuf)))
        .arg(Arg::new("o").long("o").short('o').value_name("DIR/").value_parser(value_parser!(PathBuf)))
}

pub(super) fn run(matches: &ArgMatches, said: Said) -> Result<u8> {
    let path = matches.get_one::<PathBuf>("job").ok_or_else(|| Problem::input("missing").at("`JOB.STAR`"))?;
    let folder = match matches.get_one::<PathBuf>("o") {
        Some(folder) => folder.clone(),
        None => path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf(),
    };
    let normal = arguments::normalise(&train::command(), &job_star::read(path)?.arguments(path)?)?;
    let train_matches = arguments::parse(train::command(), "train", &normal)?;
    let mut options = TrainSaid::from_arg_matches(&train_matches).map_err(|e| Problem::input(e.to_string()))?;
    options.o = Some(folder);
    hosted::start(options, Said { argv: said.argv, notes: said.notes.into_iter().chain(normal.notes).collect() })
}
