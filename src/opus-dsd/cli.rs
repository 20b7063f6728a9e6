//! The command line: a file a verb, and what all verbs share.

mod analyse;
mod arguments;
mod decode;
mod demo;
mod hosted;
mod install;
pub(crate) mod manifest;
mod run;
mod serve;
mod simulate;
mod train;

use crate::host::relion::exit_files;
use crate::job::console::Console;
use crate::job::order::Order;
use clap::{ArgMatches, Command};
use contract::{Problem, Result};
use std::path::PathBuf;

/// Runs one command line (without the program's name) and returns the exit status.
///
/// Whatever goes wrong before a guard is in place is said on stderr, and in the job folder too where the command line names one,
/// because RELION looks at nothing else.
pub(crate) fn run(argv: &[String]) -> u8 {
    if argv.first().is_some_and(|a| a == crate::job::worker::VERB) {
        return crate::job::worker::main();
    }
    match dispatch(argv) {
        Ok(status) => status,
        Err(problem) => report(&problem, arguments::scan_for_folder(argv)),
    }
}

fn report(problem: &Problem, folder: Option<PathBuf>) -> u8 {
    let mut console = match &folder {
        Some(folder) if std::fs::create_dir_all(folder).is_ok() => Console::open(folder),
        _ => Console::detached(),
    };
    console.problem(problem);
    if let Some(folder) = folder {
        // A folder that cannot be written has no exit file; the reason above stays the last line.
        let _ = exit_files::write(&folder, exit_files::Outcome::Failure);
    }
    problem.kind.exit_status()
}

fn dispatch(argv: &[String]) -> Result<u8> {
    let mut root = command();
    let (verb, rest) = arguments::split_verb(&root, argv)?;
    let Some(verb) = verb else {
        return Ok(arguments::print_help_or_version(&mut root, rest));
    };
    let spec = root.find_subcommand(&verb).cloned().unwrap_or_else(|| Command::new("train"));
    let normal = arguments::normalise(&spec, rest)?;
    if normal.help {
        return Ok(arguments::print_verb_help(&mut root, &verb, normal.long_help));
    }
    let matches = arguments::parse(spec, &verb, &normal)?;
    let said = arguments::Said { argv: argv.to_vec(), notes: normal.notes };
    match verb.as_str() {
        "run" => run::run(&matches, said),
        "simulate" => simulate::run(&matches),
        "demo" => demo::run(&matches),
        "install" => install::run(&matches),
        "manifest" => manifest::run(&matches),
        "serve" => serve::run(),
        job => hosted::start(order(job, &matches)?, said),
    }
}

/// What a verb that is a job is to do.
fn order(verb: &str, matches: &ArgMatches) -> Result<Order> {
    match verb {
        "analyse" => analyse::order(matches),
        "decode" => decode::order(matches),
        _ => train::order(matches),
    }
}

/// The command of a verb that is a job.
fn job_command(verb: &str) -> Option<Command> {
    match verb {
        "train" => Some(train::command()),
        "analyse" | "analyze" => Some(analyse::command()),
        "decode" => Some(decode::command()),
        _ => None,
    }
}

/// The whole command line, for parsing and for help.
fn command() -> Command {
    Command::new("opus-dsd")
        .version(contract::VERSION)
        .about("Learns how every particle of a consensus refinement differs, and hands the answer back to the host")
        .after_help("Without a verb, `--o DIR/ --in_parts FILE` means `train`, as RELION's External job calls it.")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .term_width(110)
        .subcommand(train::command())
        .subcommand(analyse::command())
        .subcommand(decode::command())
        .subcommand(run::command())
        .subcommand(simulate::command())
        .subcommand(demo::command())
        .subcommand(install::command())
        .subcommand(manifest::command())
        .subcommand(serve::command())
}
