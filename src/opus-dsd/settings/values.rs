//! The words that options take.

use clap::ValueEnum;
use contract::Precision;
use cryoem::prepare::Invert;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// `yes`, `no` and the other ways in which people and graphical interfaces say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct YesNo(pub(crate) bool);

impl FromStr for YesNo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "1" | "on" => Ok(Self(true)),
            "no" | "false" | "0" | "off" => Ok(Self(false)),
            _ => Err("neither `yes` nor `no`".into()),
        }
    }
}

/// How large the networks are and which defaults go with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Preset {
    /// 32 pixels, narrow networks: minutes on a CPU
    Tiny,
    /// Networks of a quarter of the width: hours on a CPU, or one GPU
    Small,
    /// The original's networks: a GPU
    Full,
}

/// Numbers of the networks' convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrecisionWish {
    /// Single precision
    F32,
    /// bfloat16: half the memory and, on GPUs since Ampere, up to twice the speed
    Bf16,
}

impl From<PrecisionWish> for Precision {
    fn from(wish: PrecisionWish) -> Self {
        match wish {
            PrecisionWish::F32 => Self::F32,
            PrecisionWish::Bf16 => Self::Bf16,
        }
    }
}

/// What the decoder adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Base {
    /// A map back-projected from the same images
    Auto,
    /// The map given with --in_3dref
    Reference,
    /// As auto, and learned as well
    Learned,
    /// Nothing: the decoder makes the whole map, as the original
    None,
}

/// The sign of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InvertData {
    /// Look at the images
    Auto,
    /// Particles are black: turn the sign
    Yes,
    /// Particles are white
    No,
}

impl From<InvertData> for Invert {
    fn from(word: InvertData) -> Self {
        match word {
            InvertData::Auto => Self::Auto,
            InvertData::Yes => Self::Yes,
            InvertData::No => Self::No,
        }
    }
}

/// How latents are divided into clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClusterMethod {
    /// The nearest of K centres
    #[default]
    Kmeans,
    /// The most probable of K Gaussians, which may be wide, narrow, and overlap; says how certain each particle's is
    Mixture,
}

impl ClusterMethod {
    /// As it is written on a command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kmeans => "kmeans",
            Self::Mixture => "mixture",
        }
    }
}

/// Length of the warm start of the latents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum WarmStartWish {
    /// As the preset has it, or none.
    Switch(bool),
    /// Epochs.
    Epochs(f64),
}

impl FromStr for WarmStartWish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // `0` and `1` are epochs here, not switches: no epochs is no warm start.
        match (text.parse::<f64>(), text.parse::<YesNo>()) {
            (Ok(epochs), _) if epochs >= 0.0 && epochs.is_finite() => Ok(Self::Epochs(epochs)),
            (_, Ok(YesNo(on))) => Ok(Self::Switch(on)),
            _ => Err("neither `yes`, `no` nor a number of epochs".into()),
        }
    }
}

/// Weight of the Kullback–Leibler term.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum BetaWish {
    /// The cyclic schedule of the original.
    Cos,
    /// A constant.
    Constant(f64),
}

impl FromStr for BetaWish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Self::Constant(value)),
            _ if text == "cos" => Ok(Self::Cos),
            _ => Err("neither `cos` nor a number".into()),
        }
    }
}

/// Another job, and the epoch of it: `External/job007` or `External/job007:12`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobEpoch {
    pub(crate) job: String,
    pub(crate) epoch: Option<usize>,
}

impl FromStr for JobEpoch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((job, epoch)) => match epoch.parse() {
                Ok(epoch) => Ok(Self { job: job.into(), epoch: Some(epoch) }),
                Err(_) => Err(format!("`{epoch}` is not an epoch")),
            },
            None => Ok(Self { job: text.into(), epoch: None }),
        }
    }
}

/// Which epoch's model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Epoch {
    /// The last one.
    #[default]
    Latest,
    /// The one of the smallest loss on validation images, else on all.
    Best,
    /// This one.
    Number(usize),
}

impl FromStr for Epoch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" | "last" => Ok(Self::Latest),
            "best" => Ok(Self::Best),
            number => number.parse().map(Self::Number).map_err(|_| "neither an epoch's number nor `latest` nor `best`".into()),
        }
    }
}

/// Where a way through the latents stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stop {
    /// A state, from 1.
    State(usize),
    /// A particle's row, from 0; it is written from 1.
    Particle(usize),
}

/// A way from stop to stop: `1,3`, or `2,p25,4`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stops(pub(crate) Vec<Stop>);

impl FromStr for Stops {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let stop = |word: &str| {
            let wrong = || format!("`{word}` is neither a state's number nor a particle's with `p` before it; both count from 1");
            match word.strip_prefix('p') {
                Some(number) => number_from_one(number).map(|number| Stop::Particle(number - 1)).ok_or_else(wrong),
                None => number_from_one(word).map(Stop::State).ok_or_else(wrong),
            }
        };
        let stops = text.split(',').map(|word| stop(word.trim())).collect::<Result<Vec<_>, _>>()?;
        if stops.len() < 2 { Err("a way needs two ends at least, as in `1,3`".into()) } else { Ok(Self(stops)) }
    }
}

/// Ways between states, each from stop to stop: `1-2,2-3`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ways(pub(crate) Vec<Vec<usize>>);

impl FromStr for Ways {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let way = |word: &str| {
            let stops = word.split('-').map(|number| number_from_one(number.trim())).collect::<Option<Vec<_>>>();
            stops.filter(|stops| stops.len() >= 2).ok_or_else(|| format!("`{word}` is no way between states, such as `1-2`"))
        };
        text.split(',').map(|word| way(word.trim())).collect::<Result<_, _>>().map(Self)
    }
}

/// Labels of a STAR file's columns: `rlnDefocusU,rlnCtfFigureOfMerit`, with or without their underscore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Labels(pub(crate) Vec<String>);

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let label = |word: &str| {
            let label = word.trim().trim_start_matches('_');
            let plain = !label.is_empty() && !label.contains(char::is_whitespace);
            plain.then(|| label.to_owned()).ok_or_else(|| format!("`{word}` is no label of a column, such as `rlnDefocusU`"))
        };
        text.split(',').map(label).collect::<Result<_, _>>().map(Self)
    }
}

fn number_from_one(word: &str) -> Option<usize> {
    word.parse().ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_lead_from_stop_to_stop() {
        assert_eq!("1, 3".parse(), Ok(Stops(vec![Stop::State(1), Stop::State(3)])));
        assert_eq!("2,p1,4".parse(), Ok(Stops(vec![Stop::State(2), Stop::Particle(0), Stop::State(4)])));
        assert_eq!("1-2,2-3-1".parse(), Ok(Ways(vec![vec![1, 2], vec![2, 3, 1]])));
        for wrong in ["1", "0,1", "1,q3", "", "1,p", "1,p0"] {
            assert!(wrong.parse::<Stops>().is_err(), "{wrong}");
        }
        for wrong in ["1", "1-0", "1-2,", "1-a"] {
            assert!(wrong.parse::<Ways>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_come_with_and_without_their_underscore() {
        assert_eq!("_rlnDefocusU, rlnMagMat00".parse(), Ok(Labels(vec!["rlnDefocusU".into(), "rlnMagMat00".into()])));
        for wrong in ["", "rlnDefocusU,", "a b", "_"] {
            assert!(wrong.parse::<Labels>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn many_ways_to_say_yes() {
        for yes in ["yes", "Yes", "true", "1", "on"] {
            assert_eq!(yes.parse(), Ok(YesNo(true)));
        }
        assert_eq!("No".parse(), Ok(YesNo(false)));
        assert!("maybe".parse::<YesNo>().is_err());
    }

    #[test]
    fn warm_start_is_a_switch_or_a_number() {
        assert_eq!("no".parse(), Ok(WarmStartWish::Switch(false)));
        assert_eq!("1.5".parse(), Ok(WarmStartWish::Epochs(1.5)));
        assert!("-1".parse::<WarmStartWish>().is_err());
    }

    #[test]
    fn a_job_and_its_epoch() {
        assert_eq!("External/job007:12".parse(), Ok(JobEpoch { job: "External/job007".into(), epoch: Some(12) }));
        assert_eq!("External/job007/".parse(), Ok(JobEpoch { job: "External/job007/".into(), epoch: None }));
        assert!("x:last".parse::<JobEpoch>().is_err());
    }
}
