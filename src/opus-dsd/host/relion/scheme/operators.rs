//! Every operator's type and the kinds of variables that it takes and sets.

use super::Report;
use super::model::{Dialect, Holds, Operator, Scheme, UNDEFINED};

/// What belongs into a slot of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Empty,
    A(Holds),
    /// Such a variable, or nothing.
    Perhaps(Holds),
    /// Any variable, or nothing.
    Any,
}

/// Which RELION has an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Three,
    Four,
}

const NUMBER: Slot = Slot::A(Holds::Number);
const BOOLEAN: Slot = Slot::A(Holds::Boolean);
const TEXT: Slot = Slot::A(Holds::Text);
const NONE: Slot = Slot::Empty;
const ROW: Slot = Slot::Perhaps(Holds::Number);

/// Type, output, first and second input (RELION's schemer and scheduler, 3.1.3 to 5.0.1).
const OPERATORS: &[(&str, Slot, Slot, Slot, Since)] = &[
    ("bool=set", BOOLEAN, BOOLEAN, NONE, Since::Four),
    ("bool=and", BOOLEAN, BOOLEAN, BOOLEAN, Since::Three),
    ("bool=or", BOOLEAN, BOOLEAN, BOOLEAN, Since::Three),
    ("bool=not", BOOLEAN, BOOLEAN, NONE, Since::Three),
    ("bool=gt", BOOLEAN, NUMBER, NUMBER, Since::Three),
    ("bool=lt", BOOLEAN, NUMBER, NUMBER, Since::Three),
    ("bool=ge", BOOLEAN, NUMBER, NUMBER, Since::Three),
    ("bool=le", BOOLEAN, NUMBER, NUMBER, Since::Three),
    ("bool=eq", BOOLEAN, NUMBER, NUMBER, Since::Three),
    ("bool=file_exists", BOOLEAN, TEXT, NONE, Since::Three),
    ("bool=read_star", BOOLEAN, TEXT, ROW, Since::Three),
    ("float=set", NUMBER, NUMBER, NONE, Since::Three),
    ("float=plus", NUMBER, NUMBER, NUMBER, Since::Three),
    ("float=minus", NUMBER, NUMBER, NUMBER, Since::Three),
    ("float=mult", NUMBER, NUMBER, NUMBER, Since::Three),
    ("float=divide", NUMBER, NUMBER, NUMBER, Since::Three),
    ("float=round", NUMBER, NUMBER, NONE, Since::Three),
    ("float=count_images", NUMBER, TEXT, Slot::Perhaps(Holds::Text), Since::Three),
    ("float=count_words", NUMBER, TEXT, NONE, Since::Three),
    ("float=read_star", NUMBER, TEXT, ROW, Since::Three),
    ("float=star_table_max", NUMBER, TEXT, NONE, Since::Three),
    ("float=star_table_min", NUMBER, TEXT, NONE, Since::Three),
    ("float=star_table_avg", NUMBER, TEXT, NONE, Since::Three),
    ("float=star_table_sort_idx", NUMBER, TEXT, NUMBER, Since::Three),
    ("string=set", TEXT, TEXT, NONE, Since::Four),
    ("string=join", TEXT, TEXT, TEXT, Since::Three),
    ("string=before_first", TEXT, TEXT, TEXT, Since::Three),
    ("string=after_first", TEXT, TEXT, TEXT, Since::Three),
    ("string=before_last", TEXT, TEXT, TEXT, Since::Three),
    ("string=after_last", TEXT, TEXT, TEXT, Since::Three),
    ("string=read_star", TEXT, TEXT, ROW, Since::Three),
    ("string=glob", TEXT, TEXT, NONE, Since::Three),
    ("string=nth_word", TEXT, TEXT, NUMBER, Since::Three),
    ("touch_file", NONE, TEXT, NONE, Since::Three),
    ("copy_file", NONE, TEXT, TEXT, Since::Three),
    ("move_file", NONE, TEXT, TEXT, Since::Three),
    ("delete_file", NONE, TEXT, NONE, Since::Three),
    (WAIT, ROW, NUMBER, NONE, Since::Three),
    ("email", NONE, Slot::Any, Slot::Any, Since::Three),
    (EXIT_MAXTIME, NONE, NUMBER, NONE, Since::Four),
    (EXIT, NONE, NONE, NONE, Since::Three),
];

/// The operator that ends a run.
pub(crate) const EXIT: &str = "exit";
/// The operator that ends a run after a time.
const EXIT_MAXTIME: &str = "exit_maxtime";
/// Operators that end a run.
pub(crate) const ENDS: [&str; 2] = [EXIT, EXIT_MAXTIME];
/// The operator that lets time pass.
pub(crate) const WAIT: &str = "wait";

/// Whether an operator reads a figure from a table that its first input names.
pub(crate) fn reads_table(kind: &str) -> bool {
    kind.ends_with("=read_star") || kind.starts_with("float=star_table_")
}

pub(crate) fn check(scheme: &Scheme, report: &mut Report) {
    for operator in &scheme.operators {
        let Some((_, output, first, second, since)) = OPERATORS.iter().find(|(kind, ..)| *kind == operator.kind) else {
            let what = format!("`{}` is not a type of operator", operator.kind);
            report.problem(&operator.place, what, format!("RELION has {}", names(scheme.dialect)));
            continue;
        };
        if *since == Since::Four && scheme.dialect == Dialect::Schedule {
            let what = format!("`{}` came with RELION 4", operator.kind);
            report.problem(&operator.place, what, format!("RELION 3.1 has {}", names(scheme.dialect)));
        }
        for (which, slot, name) in
            [("output", output, &operator.output), ("first input", first, &operator.first), ("second input", second, &operator.second)]
        {
            check_slot(scheme, operator, which, *slot, name, report);
        }
    }
}

fn names(dialect: Dialect) -> String {
    let known = OPERATORS.iter().filter(|(.., since)| dialect == Dialect::Scheme || *since == Since::Three);
    known.map(|(kind, ..)| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
}

fn check_slot(scheme: &Scheme, operator: &Operator, which: &str, slot: Slot, name: &str, report: &mut Report) {
    let empty = name == UNDEFINED || name.is_empty();
    let wanted = match slot {
        Slot::Empty if empty => return,
        Slot::Empty => {
            let what = format!("`{}` takes no {which}, and `{name}` is given", operator.kind);
            report.problem(&operator.place, what, format!("write `{UNDEFINED}`"));
            return;
        }
        Slot::Perhaps(_) | Slot::Any if empty => return,
        Slot::Any => None,
        Slot::A(holds) | Slot::Perhaps(holds) => Some(holds),
    };
    match scheme.variable(name) {
        Some(variable) if wanted.is_none_or(|holds| holds == variable.holds) => {}
        Some(variable) => {
            let wanted = wanted.unwrap_or(variable.holds);
            let what = format!("the {which} `{name}` holds {}, and `{}` wants {}", variable.holds.words(), operator.kind, wanted.words());
            report.problem(&operator.place, what, format!("variables of that kind are {}", scheme.names(Some(wanted))));
        }
        None if name.parse::<f64>().is_ok() => {
            report.problem(&operator.place, format!("the {which} is the number {name}, which RELION takes for 0"), "make a variable of it");
        }
        None => {
            let what = format!("the {which} `{name}` of `{}` is not a variable", operator.name);
            report.problem(&operator.place, what, format!("variables are {}", scheme.names(wanted)));
        }
    }
}
