//! What a measurement says, for machines and for people.

use super::ceilings::Ceiling;
use super::clock::Timing;
use super::parts::{InGroup, Part};
use super::shapes::Shape;
use crate::model::tuning::Tuning;
use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// Raised when a figure's meaning changes.
pub const BENCH_SCHEMA: u32 = 2;

/// A measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// CPU seconds of all threads an image, in a whole training step.
    pub cpu_seconds_per_image: f64,
    /// Images a wall second.
    pub images_per_second: f64,
    /// Most memory while the measured steps ran, after those of the warm-up: the process' resident size, on a GPU what its allocator had handed out; bytes.
    pub peak_bytes: u64,
    /// What the memory plan expects a step to take of the device, bytes; the process itself comes on top of it on a CPU.
    #[serde(default)]
    pub predicted_bytes: u64,
    /// [`BENCH_SCHEMA`].
    pub schema: u32,
    /// The engine's build.
    pub build_id: String,
    /// For people: processor or GPU.
    pub device_name: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the tensor library.
    pub threads: usize,
    /// What was run.
    pub shape: Shape,
    /// What it was run with; results of older builds lack it.
    #[serde(default)]
    pub tuning: Option<Tuning>,
    /// A whole step.
    pub step: Timing,
    /// The same within a group of one, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_group: Option<InGroup>,
    /// Its parts, each by itself.
    pub parts: Vec<Part>,
    /// The networks' convolutions, each plain and by itself.
    #[serde(default)]
    pub layers: Vec<Part>,
    /// Rate of encoding and decoding, both ways, over that of the plain convolutions alone, on a GPU each in the faster of both layouts; 0 where these were not measured.
    #[serde(default)]
    pub of_plain_convolutions: f64,
    /// What plain operations reach in the same run.
    pub ceilings: Vec<Ceiling>,
}

impl Report {
    /// Reads a result file.
    ///
    /// # Errors
    /// The file is missing or is no result.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Problem::io(path, &e))?;
        serde_json::from_str(&text).map_err(|e| Problem::input(format!("is no result of `bench`: {e}")).at(path.display().to_string()))
    }

    /// As JSON.
    ///
    /// # Errors
    /// A figure that is not a number.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Problem::failed(format!("the result cannot be written: {e}")))
    }

    /// As a table.
    #[must_use]
    pub fn table(&self) -> String {
        let shape = &self.shape;
        let mut text = format!(
            "{} ({:?} width): box {}, images of {}, region {}, volume {}³, zdim {}, {} poses by {}, batch {} in parts of {}\n",
            shape.name.to_lowercase(),
            shape.width,
            shape.box_px,
            shape.size_px,
            shape.crop_px,
            shape.template,
            shape.zdim,
            shape.poses,
            format!("{:?}", shape.projection).to_lowercase(),
            shape.batch,
            shape.micro_batch
        );
        let _ = writeln!(text, "{} ({}), {} threads, build {}", self.device_name, self.device, self.threads, self.build_id);
        let _ = writeln!(text, "{:?}, {}\n", shape.precision, tuned(self.tuning));
        let _ = writeln!(
            text,
            "{:.4} CPU s an image   {:.2} images/s   {:.2} GB at most (tensors: {:.2} GB expected)   (step {:.3} s, spread {:.3} s, of {})\n",
            self.cpu_seconds_per_image,
            self.images_per_second,
            self.peak_bytes as f64 / 1e9,
            self.predicted_bytes as f64 / 1e9,
            self.step.wall_seconds,
            self.step.wall_spread_seconds,
            self.step.repetitions
        );
        if let Some(InGroup { alone, group }) = &self.in_group {
            let _ = writeln!(
                text,
                "alone {:.4} s ({:.4} CPU s), in a group of one {:.4} s ({:.4} CPU s): {:.3} times ({:.3} times the CPU s)\n",
                alone.wall_seconds,
                alone.cpu_seconds,
                group.wall_seconds,
                group.cpu_seconds,
                group.wall_seconds / alone.wall_seconds,
                group.cpu_seconds / alone.cpu_seconds
            );
        }
        if !self.parts.is_empty() {
            let _ = writeln!(
                text,
                "{:<18}{:>11}{:>11}{:>11}{:>9}{:>12}{:>12}",
                "ms an image", "forward", "backward", "CPU", "of step", "GFLOP/s", "GB/s"
            );
        }
        let images = shape.batch as f64;
        for part in &self.parts {
            let ms = |seconds: f64| format!("{:.2}", seconds / images * 1e3);
            let (wall, cpu) = part.seconds();
            let rate = |amount: f64| if amount > 0.0 && wall > 0.0 { format!("{:.2}", amount / wall / 1e9) } else { String::new() };
            let _ = writeln!(
                text,
                "{:<18}{:>11}{:>11}{:>11}{:>8.1}%{:>12}{:>12}",
                part.name,
                ms(part.forward.wall_seconds),
                part.backward.map(|b| ms(b.wall_seconds)).unwrap_or_default(),
                ms(cpu),
                100.0 * wall / self.step.wall_seconds,
                rate(part.flop),
                rate(part.bytes)
            );
        }
        if !self.layers.is_empty() {
            let _ =
                writeln!(text, "\n{:<32}{:>11}{:>11}{:>9}{:>12}", "plain convolutions, ms an image", "wall", "CPU", "of all", "GFLOP/s");
        }
        let all: f64 = self.layers.iter().map(|layer| layer.seconds().0).sum();
        for layer in &self.layers {
            let (wall, cpu) = layer.seconds();
            let [wall_ms, cpu_ms] = [wall, cpu].map(|seconds| seconds / images * 1e3);
            let (share, rate) = (100.0 * wall / all, layer.flop / wall / 1e9);
            let _ = writeln!(text, "{:<32}{wall_ms:>11.2}{cpu_ms:>11.2}{share:>8.1}%{rate:>12.2}", layer.name);
        }
        if self.of_plain_convolutions > 0.0 {
            let _ = writeln!(text, "the networks reach {:.0}% of their rate", 100.0 * self.of_plain_convolutions);
        }
        if !self.ceilings.is_empty() {
            text.push_str("\nplain operations in the same run\n");
        }
        for ceiling in &self.ceilings {
            let _ = writeln!(text, "{:<42}{:>12.2} G{}/s", ceiling.name, ceiling.per_second / 1e9, ceiling.unit);
        }
        text
    }
}

/// A tuning for people.
fn tuned(tuning: Option<Tuning>) -> String {
    tuning.map_or_else(|| "tuning unknown".into(), |tuning| tuning.to_string())
}

/// Two results side by side: the second's figures over the first's. What differs in how the same work was done is told at the head.
///
/// # Errors
/// The work of an image differs.
pub fn compare(a: &Report, b: &Report) -> Result<String> {
    let differing = a.shape.differing_work(&b.shape);
    if !differing.is_empty() {
        return Err(Problem::input(format!("the work of an image differs: {}", differing.join(", ")))
            .at("`--compare`")
            .hint("run both with the same sizes"));
    }
    let mut text = String::new();
    for (name, report) in [("A", a), ("B", b)] {
        let _ = writeln!(text, "{name}: {}, {} threads, build {}", report.device_name, report.threads, report.build_id);
        let Shape { precision, batch, micro_batch, recompute_encoder, .. } = report.shape;
        let again = if recompute_encoder { ", encoder recomputed" } else { "" };
        let _ = writeln!(text, "   {precision:?}, batch {batch} in parts of {micro_batch}{again}, {}", tuned(report.tuning));
    }
    text.push('\n');
    // Of a step: seconds an image, so that batches need not be the same.
    let (of_a, of_b) = (a.shape.batch as f64, b.shape.batch as f64);
    let _ = writeln!(text, "{:<42}{:>14}{:>14}{:>10}", "", "A", "B", "B/A");
    let mut line = |name: &str, a: f64, b: f64| {
        let ratio = if a > 0.0 { format!("{:.3}", b / a) } else { String::new() };
        let _ = writeln!(text, "{name:<42}{a:>14.4}{b:>14.4}{ratio:>10}");
    };
    line("CPU s an image", a.cpu_seconds_per_image, b.cpu_seconds_per_image);
    line("images/s", a.images_per_second, b.images_per_second);
    line("peak, GB", a.peak_bytes as f64 / 1e9, b.peak_bytes as f64 / 1e9);
    line("step, ms an image", a.step.wall_seconds / of_a * 1e3, b.step.wall_seconds / of_b * 1e3);
    for part in &a.parts {
        if let Some(other) = b.parts.iter().find(|other| other.name == part.name) {
            line(&format!("{}, ms an image", part.name), part.seconds().0 / of_a * 1e3, other.seconds().0 / of_b * 1e3);
            line(&format!("{}, CPU ms an image", part.name), part.seconds().1 / of_a * 1e3, other.seconds().1 / of_b * 1e3);
        }
    }
    for layer in &a.layers {
        if let Some(other) = b.layers.iter().find(|other| other.name == layer.name) {
            line(&format!("{}, GFLOP/s", layer.name), layer.flop / layer.seconds().0 / 1e9, other.flop / other.seconds().0 / 1e9);
        }
    }
    if a.of_plain_convolutions > 0.0 && b.of_plain_convolutions > 0.0 {
        line("networks over plain convolutions", a.of_plain_convolutions, b.of_plain_convolutions);
    }
    for ceiling in &a.ceilings {
        if let Some(other) = b.ceilings.iter().find(|other| other.name == ceiling.name) {
            line(&format!("{}, G{}/s", ceiling.name, ceiling.unit), ceiling.per_second / 1e9, other.per_second / 1e9);
        }
    }
    Ok(text)
}
