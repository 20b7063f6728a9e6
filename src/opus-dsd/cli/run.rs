//! `run`: a job from its `job.star` alone, as pipeliners and Schemes keep it.

use super::{arguments, arguments::Said, dry_run, hosted};
use crate::host::relion::job_star;
use crate::job::order::Order;
use clap::{Arg, ArgMatches, Command, value_parser};
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
    let star = job_star::read(path)?;
    let mut arguments = star.arguments(path)?;
    // The field of the executable may name a verb: `opus-dsd analyse`.
    let verb = star.words_of_executable().into_iter().nth(1).unwrap_or_else(|| "train".into());
    let command = super::job_command(&verb).ok_or_else(|| {
        Problem::input(format!("names `{verb}`, which is not a job"))
            .at(path.display().to_string())
            .hint(format!("a job is one of {}", super::manifest::verbs().iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ")))
    })?;
    arguments.extend(["--o".to_owned(), folder.to_string_lossy().into_owned()]);
    let normal = arguments::normalise(&command, &arguments)?;
    let verb = command.get_name().to_owned();
    let matches = arguments::parse(command, &verb, &normal)?;
    let order = match super::order(&verb, &matches)? {
        Order::Train(wish) if dry_run::is_asked(&matches) => return dry_run::run(&wish, &normal.notes),
        order => order,
    };
    hosted::start(order, Said { argv: said.argv, notes: said.notes.into_iter().chain(normal.notes).collect() })
}
