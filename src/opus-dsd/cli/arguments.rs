//! What hosts and people do to a command line before clap can read it: underscores, upper case, bare flags, options given twice, options
//! of the original that have no meaning any more. And clap's errors in our words.

use super::params;
use crate::job::console;
use crate::settings::form;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};
use contract::{Problem, Result};
use std::num::{ParseFloatError, ParseIntError};
use std::path::PathBuf;

/// A command line as it was, and what there is to remark.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) argv: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// A command line that clap can read.
#[derive(Debug, Default)]
pub(crate) struct Normal {
    pub(crate) args: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) help: bool,
    pub(crate) long_help: bool,
    /// Options that a file of `--params` brought in.
    from_file: Vec<params::Origin>,
}

/// How clap names words without an option before them.
const STRAY: &str = "[PARTICLES]";

/// Options of the original and of its preparation scripts that are accepted and do nothing: name, whether a value follows, why.
const RETIRED: &[(&str, bool, &str)] = &[
    ("--lazy-single", false, "images are always streamed"),
    ("--lazy", false, "images are always streamed"),
    ("--multigpu", false, "`--gpu` or `--num-gpus` choose the devices"),
    ("--relion31", false, "the STAR file's version is recognised"),
    ("--pe-type", true, "there is no positional encoding"),
    ("--encode-mode", true, "there is one encoder"),
    ("--template-type", true, "there is one decoder"),
    ("--group", true, "optics groups come from the particles"),
    ("-o-g", true, "optics groups come from the particles"),
    ("--split", true, "the split follows from `--seed` and `--valfrac`, so it is the same again without a file"),
    ("--latents", true, "`--load JOB[:EPOCH]` takes the latents along"),
    ("-d", true, "the box is read from the image stacks"),
    ("--num-workers", true, "`--threads` covers reading too"),
];

/// Inputs that hosts offer in the form of every job; a verb without use for one says so and goes on.
const HOST_INPUTS: &[&str] =
    &["--in-parts", "--in-mask", "--in-3dref", "--in-mics", "--in-mic", "--in-movies", "--in-mov", "--in-coords", "--in-part"];

/// What every verb that hosts start takes.
const STARTED_BY_HOSTS: &str = "--pipeline-control";

/// Finds the job folder in a command line that may be wrong in every other way.
pub(crate) fn scan_for_folder(argv: &[String]) -> Option<PathBuf> {
    let mut found = None;
    for (i, token) in argv.iter().enumerate() {
        let (name, inline) = token.split_once('=').map_or((token.as_str(), None), |(n, v)| (n, Some(v)));
        if matches!(name.to_ascii_lowercase().replace('_', "-").as_str(), "--o" | "-o" | "--pipeline-control") {
            let value = inline.or_else(|| argv.get(i + 1).map(String::as_str).filter(|v| !v.starts_with('-')));
            found = value.filter(|v| !v.is_empty()).map(PathBuf::from).or(found);
        }
    }
    found
}

/// Takes the verb off the front; without one, options mean `train`. `None`: only help or version is asked for.
pub(crate) fn split_verb<'a>(root: &Command, argv: &'a [String]) -> Result<(Option<String>, &'a [String])> {
    let Some(first) = argv.first() else { return Ok((None, argv)) };
    if let Some(verb) = root.find_subcommand(first) {
        return Ok((Some(verb.get_name().to_owned()), &argv[1..]));
    }
    if matches!(first.as_str(), "--help" | "-h" | "--version" | "-V" | "help") {
        return Ok((None, argv));
    }
    if first.starts_with('-') {
        return Ok((Some("train".into()), argv));
    }
    let verbs: Vec<_> = root.get_subcommands().map(|c| format!("`{}`", c.get_name())).collect();
    Err(Problem::input("unknown verb").at(format!("`{first}`")).hint(format!("one of {}", verbs.join(", "))))
}

/// Prints the help of all verbs, or the version.
pub(crate) fn print_help_or_version(root: &mut Command, argv: &[String]) -> Result<u8> {
    let text = match argv.first().map(String::as_str) {
        Some("--version" | "-V") => format!("opus-dsd {}", contract::VERSION),
        _ => root.render_help().to_string(),
    };
    console::print(&text).map(|()| 0)
}

/// Prints the help of one verb.
pub(crate) fn print_verb_help(root: &mut Command, verb: &str, long: bool) -> Result<u8> {
    root.build();
    if let Some(command) = root.find_subcommand_mut(verb) {
        console::print(&if long { command.render_long_help() } else { command.render_help() }.to_string())?;
    }
    Ok(0)
}

/// Brings names to one spelling, takes retired options out, finds empty fields and repeated options.
pub(crate) fn normalise(spec: &Command, argv: &[String]) -> Result<Normal> {
    let (argv, from_file) = params::expand(spec, argv)?;
    let mut normal = Normal { from_file, ..Normal::default() };
    let mut seen: Vec<(clap::Id, String, usize)> = Vec::new();
    let mut tokens = argv.iter().peekable();
    while let Some(token) = tokens.next() {
        if !is_option(token) {
            normal.args.push(token.clone());
            continue;
        }
        let (name, inline) = token.split_once('=').map_or((token.as_str(), None), |(n, v)| (n, Some(v)));
        let name = if name.starts_with("--") || name == "-D" { name.to_ascii_lowercase().replace('_', "-") } else { name.into() };
        if matches!(name.as_str(), "--help" | "-h") {
            normal.help = true;
            normal.long_help |= name == "--help";
            continue;
        }
        if let Some((_, takes_value, why)) = RETIRED.iter().find(|(n, ..)| *n == name) {
            if *takes_value && inline.is_none() && tokens.peek().is_some_and(|t| !is_option(t)) {
                tokens.next();
            }
            normal.notes.push(format!("`{name}` is not needed: {why}"));
            continue;
        }
        if HOST_INPUTS.contains(&name.as_str()) && find(spec, &name).is_none() && find(spec, STARTED_BY_HOSTS).is_some() {
            let said = token.split('=').next().unwrap_or(token);
            let value = inline.or_else(|| tokens.next_if(|t| !is_option(t)).map(String::as_str)).unwrap_or_default();
            normal.notes.push(format!("`{said} {value}` is not used by this verb"));
            continue;
        }
        let Some(arg) = find(spec, &name) else {
            normal.args.push(inline.map_or(name.clone(), |v| format!("{name}={v}")));
            continue;
        };
        let needs_value = arg.get_num_args().is_none_or(|n| n.min_values() > 0) && arg.get_action().takes_values();
        let next_is_value = tokens.peek().is_some_and(|t| !is_option(t) && !t.is_empty());
        if needs_value && inline.is_none_or(str::is_empty) && (inline.is_some() || !next_is_value) {
            return Err(Problem::input("has no value; its field in the host's window is empty")
                .at(format!("`{name}`"))
                .hint("fill the field in, or clear the parameter's name as well to take the default"));
        }
        match seen.iter_mut().find(|(id, ..)| id == arg.get_id()) {
            Some((.., count)) => *count += 1,
            None => seen.push((arg.get_id().clone(), name.clone(), 1)),
        }
        let value = if needs_value && inline.is_none() { tokens.next().map(String::as_str) } else { inline };
        if value.is_some_and(|v| form::leaves_it_to_the_program(arg, v)) {
            normal.args.retain(|earlier| !earlier.starts_with(&format!("{name}=")));
            continue;
        }
        // Joined, so that a value which begins with a dash stays a value.
        normal.args.push(value.map_or(name.clone(), |v| format!("{name}={v}")));
    }
    normal.notes.extend(params::note(&normal.from_file));
    for (_, name, count) in seen.iter().filter(|(.., count)| *count > 1) {
        normal.notes.push(format!("`{name}` is given {count} times; the last value counts"));
    }
    Ok(normal)
}

/// Lets clap read it; its errors come back in our words.
pub(crate) fn parse(spec: Command, verb: &str, normal: &Normal) -> Result<ArgMatches> {
    let spec = spec.no_binary_name(true).allow_negative_numbers(true).args_override_self(true);
    let valid: Vec<String> = names(&spec);
    let matches = spec.clone().try_get_matches_from(&normal.args).map_err(|e| in_our_words(&e, verb, &valid));
    let checked = matches.and_then(|matches| form::check(&spec, &matches).map(|()| matches));
    checked.map_err(|problem| params::blame(&normal.from_file, problem))
}

fn in_our_words(error: &clap::Error, verb: &str, valid: &[String]) -> Problem {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(s)) => s.clone(),
        Some(ContextValue::Strings(s)) => s.join(", "),
        _ => String::new(),
    };
    let argument = text(ContextKind::InvalidArg);
    let name = argument.split([' ', '=']).next().unwrap_or_default().to_owned();
    let help = format!("`opus-dsd {verb} --help` lists all options");
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let near = nearest(&name, valid).map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
            Problem::input("unknown option").at(format!("`{name}`")).hint(format!("{near}{help}"))
        }
        ErrorKind::InvalidValue => {
            let expected = text(ContextKind::ValidValue);
            let problem = Problem::input(format!("`{}` is not a value it takes", text(ContextKind::InvalidValue))).at(format!("`{name}`"));
            problem.hint(if expected.is_empty() { help } else { format!("one of {expected}") })
        }
        ErrorKind::ValueValidation => {
            let reason = match std::error::Error::source(error) {
                Some(e) if e.is::<ParseIntError>() => ": a whole number is expected".into(),
                Some(e) if e.is::<ParseFloatError>() => ": a number is expected".into(),
                Some(e) => format!(": {e}"),
                None => String::new(),
            };
            Problem::input(format!("`{}` is not understood{reason}", text(ContextKind::InvalidValue))).at(format!("`{name}`")).hint(help)
        }
        ErrorKind::ArgumentConflict => {
            let prior = text(ContextKind::PriorArg);
            let problem = Problem::input(format!("cannot be given beside `{prior}`")).at(format!("`{name}`"));
            problem.hint(if argument == STRAY || prior == STRAY {
                "name the particles once: a word without an option before it is taken for them"
            } else {
                "give one of the two"
            })
        }
        ErrorKind::MissingRequiredArgument => {
            let options: Vec<String> =
                argument.split(['<', '>', '|', ' ']).filter(|w| w.starts_with("--")).map(|w| format!("`{w}`")).collect();
            match options.as_slice() {
                [] => Problem::input("missing").at(format!("`{argument}`")).hint(help),
                several => Problem::input("missing").at(several.join(" or ")).hint(help),
            }
        }
        _ => {
            let what = error.to_string();
            let first = what.lines().next().unwrap_or("wrong use").trim_start_matches("error: ").to_owned();
            Problem::input(first).at(format!("`opus-dsd {verb}`")).hint(help)
        }
    }
}

/// All options of a verb that are shown, with their dashes.
pub(super) fn names(spec: &Command) -> Vec<String> {
    spec.get_arguments().filter(|a| !a.is_hide_set()).filter_map(|a| a.get_long().map(|l| format!("--{l}"))).collect()
}

/// The option that was meant, where one is at most two letters away.
pub(super) fn nearest<'a>(name: &str, valid: &'a [String]) -> Option<&'a String> {
    valid.iter().map(|v| (distance(name, v), v)).min_by_key(|(d, _)| *d).filter(|(d, _)| *d <= 2).map(|(_, v)| v)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Whether a verb takes an option, its name as a parameter's label in RELION's form: without dashes, with underscores, in any case.
pub(crate) fn has_option(spec: &Command, label: &str) -> bool {
    let name = format!("--{}", label.trim_start_matches('-').to_ascii_lowercase().replace('_', "-"));
    find(spec, &name).is_some() || RETIRED.iter().any(|(retired, ..)| *retired == name)
}

/// The option of a name that is spelled as clap knows it.
pub(super) fn find<'a>(spec: &'a Command, name: &str) -> Option<&'a Arg> {
    spec.get_arguments().find(|arg| match (name.strip_prefix("--"), name.strip_prefix('-')) {
        (Some(long), _) => arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|a| a.contains(&long)),
        (None, Some(short)) => arg.get_short().is_some_and(|c| short == c.to_string()),
        _ => false,
    })
}

/// Options begin with a dash; negative numbers are values.
pub(super) fn is_option(token: &str) -> bool {
    token.len() > 1 && token.starts_with('-') && token.parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Command {
        super::super::train::command()
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    fn read(line: &str) -> Result<(ArgMatches, Vec<String>)> {
        let normal = normalise(&spec(), &words(line))?;
        let notes = normal.notes.clone();
        parse(spec(), "train", &normal).map(|m| (m, notes))
    }

    #[test]
    fn relions_line_is_read() {
        let (m, notes) =
            read("--o External/job002/ --in_parts run_data.star --in_3dref ref.mrc --in_mask mask.mrc --zdim 8 --epochs 20 --j 2 --gpu 0")
                .unwrap();
        assert_eq!(m.get_one::<usize>("zdim"), Some(&8));
        assert_eq!(m.get_one::<usize>("threads"), Some(&2));
        assert!(notes.is_empty());
    }

    #[test]
    fn names_with_underscores_and_capitals() {
        let (m, _) = read("--Apix 1.5 --log_interval 7 --in_3Dref a.mrc").unwrap();
        assert_eq!(m.get_one::<f64>("apix"), Some(&1.5));
        assert_eq!(m.get_one::<usize>("log_interval"), Some(&7));
    }

    #[test]
    fn inputs_that_a_verb_has_no_use_for_are_named_and_left_out() {
        let decode = super::super::decode::command();
        let normal = normalise(&decode, &words("--in_mask m.mrc --o d/ --in_coords=c.star --in_parts j/particles.star --pc 1")).unwrap();
        assert_eq!(normal.notes, ["`--in_mask m.mrc` is not used by this verb", "`--in_coords c.star` is not used by this verb"]);
        assert!(parse(decode, "decode", &normal).is_ok());
        let simulate = super::super::simulate::command();
        let normal = normalise(&simulate, &words("--o d --in_mask m.mrc")).unwrap();
        assert!(parse(simulate, "simulate", &normal).is_err(), "not a verb of hosts");
    }

    #[test]
    fn one_of_several_that_is_missing_is_named_plainly() {
        let decode = super::super::decode::command();
        let problem = parse(decode.clone(), "decode", &normalise(&decode, &words("--o d --job j")).unwrap()).unwrap_err();
        assert!(problem.culprit.as_deref().unwrap().starts_with("`--zfile` or `--pc`"), "{problem}");
    }

    #[test]
    fn auto_leaves_it_to_the_program() {
        let (m, notes) = read("--epochs 3 --epochs auto --clusters=auto --invert-data auto").unwrap();
        assert_eq!((m.get_one::<usize>("epochs"), m.get_one::<usize>("clusters")), (None, None));
        assert!(m.contains_id("invert_data"), "here it is a value of its own");
        assert_eq!(notes, ["`--epochs` is given 2 times; the last value counts"]);
        assert!(read("--zdim auto").is_err(), "its default is a number");
    }

    #[test]
    fn the_last_value_counts_and_a_line_says_so() {
        let (m, notes) = read("--zdim 8 --o x --zdim 12").unwrap();
        assert_eq!(m.get_one::<usize>("zdim"), Some(&12));
        assert_eq!(notes, ["`--zdim` is given 2 times; the last value counts"]);
    }

    #[test]
    fn an_empty_field_is_named() {
        for line in ["--o x --zdim --j 1", "--zdim", "--zdim="] {
            let problem = read(line).unwrap_err();
            assert_eq!(problem.culprit.as_deref(), Some("`--zdim`"), "{line}");
            assert!(problem.what.contains("empty"), "{problem}");
        }
    }

    #[test]
    fn flags_bare_or_with_a_word() {
        for (line, expected) in [("--plot --o x", true), ("--plot no --o x", false), ("--plot Yes", true), ("--plot=0", false)] {
            let (m, _) = read(line).unwrap();
            assert_eq!(m.get_one::<crate::settings::values::YesNo>("plot").map(|y| y.0), Some(expected), "{line}");
        }
    }

    #[test]
    fn negative_numbers_are_values() {
        let (m, _) = read("--phase-shift -1e-4").unwrap();
        assert_eq!(m.get_one::<f64>("phase_shift"), Some(&-1e-4));
    }

    #[test]
    fn the_originals_command_line_is_taken() {
        let (m, notes) = read(
            "hrd.txt --ctf ./hrd-ctf.pkl --poses ./hrd-pose-euler.pkl --lazy-single -n 20 --pe-type vanilla --group ./hrd-grp.pkl --encode-mode grad -b 18 --zdim 8 \
             --lr 1.e-4 --template-type conv --num-gpus 4 --multigpu --beta-control 0.01 --beta cos -o /work/hrd -r ./mask.mrc --downfrac 0.5 --lamb 0.5 \
             --log-interval 1800 --split hrd-split.pkl --bfactor 4.",
        )
        .unwrap();
        assert_eq!(m.get_one::<PathBuf>("particles"), Some(&PathBuf::from("hrd.txt")));
        assert_eq!(m.get_one::<usize>("batch"), Some(&18));
        assert_eq!(notes.len(), 7);
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        let problem = read("--zdmi 8").unwrap_err();
        assert!(problem.hint.unwrap().starts_with("did you mean `--zdim`?"));
    }

    #[test]
    fn a_stray_word_is_said_to_be_taken_for_particles() {
        let problem = read("--in_parts a.star b.star").unwrap_err();
        assert!(problem.what.contains("beside") && problem.hint.unwrap().starts_with("name the particles once"));
    }

    #[test]
    fn the_folder_is_found_in_a_wrong_line() {
        assert_eq!(scan_for_folder(&words("--bogus --o External/job001/ --zdim")), Some("External/job001/".into()));
        assert_eq!(scan_for_folder(&words("--pipeline_control=External/job003/")), Some("External/job003/".into()));
        assert_eq!(scan_for_folder(&words("--o --zdim 3")), None);
    }
}
