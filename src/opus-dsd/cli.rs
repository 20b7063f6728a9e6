//! The command line: a file a verb, and what all verbs share.

mod analyse;
mod arguments;
mod bench;
mod check;
mod clean;
mod decode;
mod demo;
mod doctor;
mod dry_run;
mod encode;
mod hosted;
mod import;
mod install;
pub(crate) mod manifest;
mod params;
mod run;
mod select;
mod serve;
mod simulate;
mod status;
mod train;

use crate::host::relion::exit_files;
use crate::job::console::Console;
use crate::job::lock;
use crate::job::order::Order;
use crate::job::presence::Presence;
use crate::machine::launch::Launch;
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
        Err(problem) => {
            // Of several processes that were started with the same words, the first one says it in the folder.
            let is_first = Launch::of_this_process().ok().flatten().is_none_or(|launch| launch.rank == 0);
            let in_folder = is_job(argv) && !dry_run::is_meant(argv) && is_first;
            report(&problem, arguments::scan_for_folder(argv).filter(|_| in_folder), argv)
        }
    }
}

/// Whether a command line, right or wrong, is that of a job.
fn is_job(argv: &[String]) -> bool {
    let other = |verb: &String| verb != "run" && job_command(verb).is_none() && command().find_subcommand(verb).is_some();
    !argv.first().is_some_and(other)
}

fn report(problem: &Problem, folder: Option<PathBuf>, argv: &[String]) -> u8 {
    let status = problem.kind.exit_status();
    // A folder that cannot be made or opened has no exit file, and that of a job that runs is not ours; the reason is on stderr.
    let held = folder.filter(|f| std::fs::create_dir_all(f).is_ok()).and_then(|f| Some((lock::take(&f).ok()??, f)));
    let Some((_lock, folder)) = held else {
        Console::detached().problem(problem);
        return status;
    };
    let presence = Presence::announce(&folder, &std::env::args().take(1).chain(argv.iter().cloned()).collect::<Vec<_>>(), None);
    Console::open(&folder).problem(problem);
    // What cannot be written here is on stderr.
    let _ = presence.and_then(|p| p.end(status));
    let _ = exit_files::write(&folder, exit_files::Outcome::Failure);
    status
}

fn dispatch(argv: &[String]) -> Result<u8> {
    let mut root = command();
    let (verb, rest) = arguments::split_verb(&root, argv)?;
    let Some(verb) = verb else {
        return arguments::print_help_or_version(&mut root, rest);
    };
    if verb == "bench" {
        return bench::run(rest);
    }
    let spec = root.find_subcommand(&verb).cloned().unwrap_or_else(|| Command::new("train"));
    let normal = arguments::normalise(&spec, rest)?;
    if normal.help {
        return arguments::print_verb_help(&mut root, &verb, normal.long_help);
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
        "status" => status::run(&matches),
        "doctor" => doctor::run(&matches),
        "clean" => clean::run(&matches),
        job => match order(job, &matches)? {
            Order::Train(wish) if dry_run::is_asked(&matches) => dry_run::run(&wish, &said.notes),
            Order::Check(wish) if wish.folder().is_none() => check::here(&wish),
            order => hosted::start(order, said),
        },
    }
}

/// What a verb that is a job is to do.
fn order(verb: &str, matches: &ArgMatches) -> Result<Order> {
    match verb {
        "analyse" => analyse::order(matches),
        "decode" => decode::order(matches),
        "encode" => encode::order(matches),
        "check" => check::order(matches),
        "select" => select::order(matches),
        "import" => import::order(matches),
        _ => train::order(matches),
    }
}

/// The command of a verb that is a job.
fn job_command(verb: &str) -> Option<Command> {
    match verb {
        "train" => Some(train::command()),
        "analyse" | "analyze" => Some(analyse::command()),
        "decode" => Some(decode::command()),
        "encode" => Some(encode::command()),
        "check" => Some(check::command()),
        "select" => Some(select::command()),
        "import" => Some(import::command()),
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
        .subcommand(encode::command())
        .subcommand(select::command())
        .subcommand(import::command())
        .subcommand(run::command())
        .subcommand(check::command())
        .subcommand(status::command())
        .subcommand(doctor::command())
        .subcommand(clean::command())
        .subcommand(simulate::command())
        .subcommand(demo::command())
        .subcommand(install::command())
        .subcommand(manifest::command())
        .subcommand(serve::command())
        .subcommand(bench::command())
}
