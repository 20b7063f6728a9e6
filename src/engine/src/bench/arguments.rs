//! The command line of `opus-dsd-engine bench`.

use super::shapes::{Said, Shape};
use crate::model::tuning::{self, Wishes};
use contract::{BaseVolume, Precision, Problem, ProjectionRoute, Result, Width};
use std::path::PathBuf;

/// What is printed for `--help`.
pub(super) const HELP: &str = "\
Measures a training step and its parts, beside what the same machine does with plain convolutions, products and copies.

opus-dsd bench [--shape NAME] [OPTIONS]
opus-dsd bench --compare A.json B.json

      --shape NAME        tiny, small, seed (box 192, the original's example), 256, 384 [default: tiny]
      --preset NAME       widths of the networks: tiny, small, full
      --box N             box of the images, pixels
      --downfrac X        part of the box that is kept
      --crop N            side of the compared region, pixels
      --template N        side of the decoded volume, voxels
      --zdim N            latent dimensions
      --batch N           images a step
      --micro-batch N     images decoded at a time
      --recompute-encoder work the encoder out again in the backward pass: less memory, another forward pass
      --poses N           pose hypotheses an image
      --projection WORD   volumes' projections: rays, slices (of their Fourier transform) [default: slices from 4 poses on]
      --base WORD         fixed: the decoder adds to a volume; none: it makes all of it, as the original
      --precision WORD    numbers of the convolutions: f32 or bf16 [default: f32]
      --layout WORD       grids in memory: plain, channels-last [default: OPUS_DSD_LAYOUT, else channels-last on a CPU, plain on a GPU]
      --convolutions WORD plain, or rearranged where they are products [default: OPUS_DSD_CONVOLUTIONS, else rearranged on a CPU, plain on a GPU]
      --search WORD       let cuDNN try its algorithms: yes or no [default: OPUS_DSD_SEARCH, else yes on a GPU]
      --device ID         cpu, cuda or cuda:N [default: cpu]
      --threads N         threads of the tensor library [default: all cores]
      --steps N           measured repetitions [default: 5]
      --warm-up N         unmeasured ones before [default: 2]
      --group             measure the step within a group of one engine, too: Gloo, on a GPU NCCL
      --only-step         leave out parts and ceilings
      --json              print JSON instead of a table
      --o FILE            write the JSON to a file, too
      --compare A B       two files' figures side by side";

/// What to do.
#[derive(Debug, PartialEq)]
pub(super) enum Order {
    Help,
    Compare(PathBuf, PathBuf),
    Measure(Box<Measurement>),
}

/// What to measure and how.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measurement {
    pub(super) shape: Shape,
    pub(super) wishes: Wishes,
    pub(super) device: String,
    pub(super) threads: usize,
    pub(super) steps: usize,
    pub(super) warm_up: usize,
    pub(super) group: bool,
    pub(super) parts: bool,
    pub(super) json: bool,
    pub(super) output: Option<PathBuf>,
}

/// Understands the words after `bench`.
pub(super) fn parse(words: &[String]) -> Result<Order> {
    let mut said = Said::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut device, mut threads, mut steps, mut warm_up) = ("cpu".to_owned(), cores, 5, 2);
    let mut wishes = Wishes::default();
    let (mut group, mut parts, mut json, mut output) = (false, true, false, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, inline) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
        let mut value = || {
            let next = inline.clone().or_else(|| words.next().cloned());
            next.ok_or_else(|| Problem::input("lacks its value").at(format!("`{name}`")))
        };
        match name {
            "--help" | "-h" => return Ok(Order::Help),
            "--compare" => return Ok(Order::Compare(value()?.into(), value()?.into())),
            "--shape" => said.name = Some(value()?),
            "--preset" => said.preset = Some(width(&value()?)?),
            "--box" => said.box_px = Some(number(name, &value()?)?),
            "--downfrac" => said.downfrac = Some(number(name, &value()?)?),
            "--crop" => said.crop_px = Some(number(name, &value()?)?),
            "--template" | "--templateres" => said.template = Some(number(name, &value()?)?),
            "--zdim" => said.zdim = Some(number(name, &value()?)?),
            "--batch" => said.batch = Some(number(name, &value()?)?),
            "--micro-batch" => said.micro_batch = Some(number(name, &value()?)?),
            "--poses" => said.poses = Some(number(name, &value()?)?),
            "--projection" => said.projection = Some(projection(&value()?)?),
            "--base" => said.base = Some(base(&value()?)?),
            "--precision" => said.precision = Some(precision(&value()?)?),
            "--layout" => wishes.layout = Some(tuning::layout(name, &value()?)?),
            "--convolutions" => wishes.convolutions = Some(tuning::convolutions(name, &value()?)?),
            "--search" => wishes.search = Some(tuning::search(name, &value()?)?),
            "--device" => device = value()?,
            "--threads" | "--j" => threads = number::<usize>(name, &value()?)?.max(1),
            "--steps" => steps = number::<usize>(name, &value()?)?.max(1),
            "--warm-up" => warm_up = number(name, &value()?)?,
            "--recompute-encoder" => said.recompute_encoder = true,
            "--group" => group = true,
            "--only-step" => parts = false,
            "--json" => json = true,
            "--o" => output = Some(PathBuf::from(value()?)),
            _ => return Err(Problem::input("is not understood").at(format!("`{word}`")).hint("see `opus-dsd bench --help`")),
        }
    }
    if device == "cuda" {
        device = "cuda:0".into();
    }
    let shape = Shape::decide(&said)?;
    Ok(Order::Measure(Box::new(Measurement { shape, wishes, device, threads, steps, warm_up, group, parts, json, output })))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Problem::input(format!("`{text}` is not a number of its kind")).at(format!("`{name}`")))
}

fn width(text: &str) -> Result<Width> {
    match text {
        "tiny" => Ok(Width::Tiny),
        "small" => Ok(Width::Small),
        "full" => Ok(Width::Full),
        _ => Err(Problem::input(format!("`{text}` is no preset")).at("`--preset`").hint("one of tiny, small, full")),
    }
}

fn projection(text: &str) -> Result<ProjectionRoute> {
    match text {
        "rays" => Ok(ProjectionRoute::Rays),
        "slices" => Ok(ProjectionRoute::Slices),
        _ => Err(Problem::input(format!("`{text}` is no way to project")).at("`--projection`").hint("one of rays, slices")),
    }
}

fn base(text: &str) -> Result<BaseVolume> {
    match text {
        "fixed" => Ok(BaseVolume::Fixed),
        "none" => Ok(BaseVolume::None),
        _ => Err(Problem::input(format!("`{text}` is not known")).at("`--base`").hint("one of fixed, none")),
    }
}

fn precision(text: &str) -> Result<Precision> {
    match text {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        _ => Err(Problem::input(format!("`{text}` is not known")).at("`--precision`").hint("one of f32, bf16")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_is_understood() {
        let line = "--device cpu --preset full --box 64 --template=64 --batch 8 --steps 4 --json";
        let Order::Measure(what) = parse(&words(line)).unwrap() else { panic!("not a measurement") };
        assert_eq!((what.shape.box_px, what.shape.template, what.shape.batch, what.steps, what.json), (64, 64, 8, 4, true));
        assert_eq!(parse(&words("--compare a b")).unwrap(), Order::Compare("a".into(), "b".into()));
        assert_eq!(parse(&words("--shape seed --help")).unwrap(), Order::Help);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, word) in [
            ("--layout rows", "rows"),
            ("--box", "`--box`"),
            ("--box many", "many"),
            ("--boks 3", "`--boks`"),
            ("--preset huge", "huge"),
            ("--base some", "some"),
        ] {
            let problem = parse(&words(line)).unwrap_err();
            assert!(problem.to_string().contains(word), "{problem}");
        }
    }
}
