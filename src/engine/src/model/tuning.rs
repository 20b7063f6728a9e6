//! Choices that change how long the networks take and not what they are, for those who measure a machine without building for it.

use super::layers::channels_last;
use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::sync::{PoisonError, RwLock};
use tch::{Device, Tensor};

/// Environment variables of [`Wishes`].
const LAYOUT: &str = "OPUS_DSD_LAYOUT";
const CONVOLUTIONS: &str = "OPUS_DSD_CONVOLUTIONS";
const SEARCH: &str = "OPUS_DSD_SEARCH";

/// What holds for the process.
static WISHES: RwLock<Wishes> = RwLock::new(Wishes { layout: None, convolutions: None, search: None });

/// How grids lie in memory between convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// A channel's voxels together.
    Plain,
    /// A voxel's channels together.
    ChannelsLast,
}

impl Layout {
    /// The same values in this layout.
    pub fn of(self, x: &Tensor) -> Tensor {
        match self {
            Self::Plain => x.shallow_clone(),
            Self::ChannelsLast => channels_last(x),
        }
    }
}

/// Whether convolutions that are something cheaper are done as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convolutions {
    /// All by the library's convolutions.
    Plain,
    /// As products and convolutions to the voxels of a block where they are such (`Layer::forward`).
    Rearranged,
}

/// What was asked for; the rest is as [`of`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Layout of the grids.
    pub layout: Option<Layout>,
    /// Kind of the convolutions.
    pub convolutions: Option<Convolutions>,
    /// Whether cuDNN tries its algorithms.
    pub search: Option<bool>,
}

/// What a device is worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    /// Layout of the grids.
    pub layout: Layout,
    /// Kind of the convolutions.
    pub convolutions: Convolutions,
    /// Whether cuDNN tries its algorithms for every shape that it meets first, and keeps the fastest.
    pub search: bool,
}

impl Display for Tuning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { layout, convolutions, search } = self;
        write!(f, "layout {layout:?}, convolutions {convolutions:?}, {} search", if *search { "with" } else { "no" })
    }
}

impl Wishes {
    /// What the environment asks for.
    ///
    /// # Errors
    /// A variable that is none of its words.
    pub fn of_environment() -> Result<Self> {
        Self::of_words(|name| std::env::var(name).ok())
    }

    /// The same of any source of words.
    fn of_words(said: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Ok(Self {
            layout: said(LAYOUT).map(|word| layout(LAYOUT, &word)).transpose()?,
            convolutions: said(CONVOLUTIONS).map(|word| convolutions(CONVOLUTIONS, &word)).transpose()?,
            search: said(SEARCH).map(|word| search(SEARCH, &word)).transpose()?,
        })
    }

    /// These where something is asked for, otherwise `other`'s.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            layout: self.layout.or(other.layout),
            convolutions: self.convolutions.or(other.convolutions),
            search: self.search.or(other.search),
        }
    }

    /// From here on, in this process; cuDNN is told, too.
    pub fn settle(self, device: Device) -> Tuning {
        *WISHES.write().unwrap_or_else(PoisonError::into_inner) = self;
        let tuning = of(device);
        // Without a GPU the library keeps the word and never asks for it.
        tch::Cuda::cudnn_set_benchmark(tuning.search);
        tuning
    }
}

/// What holds for a device: what was asked for; else on a CPU what was measured to be faster there (docs/benchmarks/speed-cpu.md), and on a GPU,
/// until somebody has measured it, what the library does by itself, with a search for the fastest algorithms, since shapes stay the same.
#[must_use]
pub fn of(device: Device) -> Tuning {
    let wishes = *WISHES.read().unwrap_or_else(PoisonError::into_inner);
    let (layout, convolutions) = match device {
        Device::Cpu => (Layout::ChannelsLast, Convolutions::Rearranged),
        _ => (Layout::Plain, Convolutions::Plain),
    };
    Tuning {
        layout: wishes.layout.unwrap_or(layout),
        convolutions: wishes.convolutions.unwrap_or(convolutions),
        search: wishes.search.unwrap_or(device != Device::Cpu),
    }
}

/// A layout's word.
///
/// # Errors
/// Another word.
pub fn layout(at: &str, word: &str) -> Result<Layout> {
    one_of(at, word, [("plain", Layout::Plain), ("channels-last", Layout::ChannelsLast)])
}

/// The word of a kind of convolutions.
///
/// # Errors
/// Another word.
pub fn convolutions(at: &str, word: &str) -> Result<Convolutions> {
    one_of(at, word, [("plain", Convolutions::Plain), ("rearranged", Convolutions::Rearranged)])
}

/// Whether to search.
///
/// # Errors
/// Another word.
pub fn search(at: &str, word: &str) -> Result<bool> {
    one_of(at, word, [("yes", true), ("no", false)])
}

fn one_of<T: Copy>(at: &str, word: &str, known: [(&str, T); 2]) -> Result<T> {
    let found = known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    found.ok_or_else(|| {
        Problem::input(format!("`{word}` is not known")).at(format!("`{at}`")).hint(format!("one of {}, {}", known[0].0, known[1].0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_named() {
        let said = |name: &str| (name == LAYOUT).then(|| "channels-last".to_owned());
        let wishes = Wishes::of_words(said).unwrap();
        assert_eq!(wishes, Wishes { layout: Some(Layout::ChannelsLast), ..Wishes::default() });
        let problem = Wishes::of_words(|name| (name == SEARCH).then(|| "perhaps".into())).unwrap_err().to_string();
        assert!(problem.contains(SEARCH) && problem.contains("perhaps"), "{problem}");
        let over = Wishes { layout: Some(Layout::Plain), search: Some(false), ..Wishes::default() }.or(wishes);
        assert_eq!(over, Wishes { layout: Some(Layout::Plain), search: Some(false), convolutions: None });
    }

    #[test]
    fn a_gpu_searches_and_a_cpu_has_what_was_measured() {
        assert_eq!(of(Device::Cpu), Tuning { layout: Layout::ChannelsLast, convolutions: Convolutions::Rearranged, search: false });
        assert_eq!(of(Device::Cuda(0)), Tuning { layout: Layout::Plain, convolutions: Convolutions::Plain, search: true });
    }
}
