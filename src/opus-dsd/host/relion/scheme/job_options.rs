//! Which options RELION's jobs have. RELION drops an option that it does not know and goes on with the default.

use super::model::Dialect;

/// A line `LABEL NUMBER` a job type, then its options: `NAME`, `?` for yes or no, `#` for a number, `:345` for the RELIONs that have it where
/// not all do. From RELION 3.1.3, 4.0.2 and 5.0.1, whose own programs took every name.
const TABLE: &str = include_str!("job_options.txt");

/// Options that every job has.
const COMMON: &str = "do_queue? queuename qsub qsubscript min_dedicated# other_args";
/// Extra fields of the queue, as many as a site wants.
const QUEUE_EXTRA: &str = "qsub_extra";

/// Job types whose options are not in the table.
const OTHERS: [&str; 16] = [
    "relion.motioncorr",
    "relion.ctffind",
    "relion.manualpick",
    "relion.autopick",
    "relion.importtomo",
    "relion.excludetilts",
    "relion.aligntiltseries",
    "relion.reconstructtomograms",
    "relion.denoisetomo",
    "relion.picktomo",
    "relion.pseudosubtomo",
    "relion.ctfrefinetomo",
    "relion.framealigntomo",
    "relion.reconstructparticletomo",
    "dynamight",
    "modelangelo",
];
/// RELION 3.1's numbers of job types whose options are not in the table.
const OTHER_NUMBERS: std::ops::RangeInclusive<u32> = 1..=4;

/// What an option holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    YesOrNo,
    Number,
    Text,
}

/// A job type that RELION knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Its label, and its line of options.
    Known(&'static str, &'static str),
    /// It exists; its options are not checked.
    Unlisted,
    Unknown,
}

/// The type of a job by its label (RELION 4 and 5; parts after the second are free) or its number (3.1).
pub(super) fn type_of(word: &str) -> Type {
    for head in TABLE.lines() {
        let Some((label, number)) = head.split_once(' ').filter(|_| !head.starts_with(' ')) else { continue };
        if is_or_below(word, label) || word == number {
            let body = &TABLE[offset(head) + head.len()..];
            let end = body.match_indices('\n').find(|(i, _)| !body[i + 1..].starts_with(' ')).map_or(body.len(), |(i, _)| i);
            return Type::Known(label, &body[..end]);
        }
    }
    let other = OTHERS.iter().any(|label| is_or_below(word, label)) || word.parse().is_ok_and(|n: u32| OTHER_NUMBERS.contains(&n));
    if other { Type::Unlisted } else { Type::Unknown }
}

/// First byte of a line of the table.
fn offset(line: &str) -> usize {
    line.as_ptr() as usize - TABLE.as_ptr() as usize
}

fn is_or_below(word: &str, label: &str) -> bool {
    word.strip_prefix(label).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A job's own options and those of every job: name, what it holds, whether this dialect has it.
fn all(options: &str, dialect: Dialect) -> impl Iterator<Item = (&str, Takes)> {
    options.split_whitespace().chain(COMMON.split_whitespace()).filter_map(move |token| {
        let (token, versions) = token.split_once(':').unwrap_or((token, "345"));
        let there = match dialect {
            Dialect::Schedule => versions.contains('3'),
            Dialect::Scheme => versions.contains(['4', '5']),
        };
        let name = token.trim_end_matches(['?', '#']);
        let takes = match &token[name.len()..] {
            "?" => Takes::YesOrNo,
            "#" => Takes::Number,
            _ => Takes::Text,
        };
        there.then_some((name, takes))
    })
}

/// What an option of a job holds; `None` where the job has no such option.
pub(super) fn takes(options: &str, name: &str, dialect: Dialect) -> Option<Takes> {
    let extra = || name.strip_prefix(QUEUE_EXTRA).filter(|n| n.parse::<u8>().is_ok()).map(|_| Takes::Text);
    all(options, dialect).find(|(there, _)| *there == name).map(|(_, takes)| takes).or_else(extra)
}

/// The names of a job's options, for hints.
pub(super) fn names(options: &str, dialect: Dialect) -> String {
    all(options, dialect).map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_found() {
        let labels: Vec<&str> =
            TABLE.lines().filter(|l| !l.starts_with(' ')).filter_map(|l| l.split_once(' ').map(|(label, _)| label)).collect();
        assert_eq!(labels.len(), 16);
        for label in labels {
            let Type::Known(found, options) = type_of(label) else { panic!("{label}") };
            assert_eq!(found, label);
            assert!(!options.trim().is_empty());
        }
    }

    #[test]
    fn options_are_those_of_the_version() {
        let Type::Known("relion.select", select) = type_of("relion.select.split") else { panic!() };
        assert_eq!(type_of("7"), type_of("relion.select"));
        assert_eq!(takes(select, "do_split", Dialect::Scheme), Some(Takes::YesOrNo));
        assert_eq!(takes(select, "nr_split", Dialect::Schedule), Some(Takes::Number));
        assert_eq!(takes(select, "fn_coords", Dialect::Schedule), Some(Takes::Text));
        assert_eq!(takes(select, "fn_coords", Dialect::Scheme), None);
        assert_eq!(takes(select, "do_splt", Dialect::Scheme), None);
        assert_eq!(takes(select, "qsub_extra3", Dialect::Scheme), Some(Takes::Text));
        assert_eq!(type_of("relion.selects"), Type::Unknown);
        assert_eq!(type_of("relion.autopick"), Type::Unlisted);
    }
}
