//! What `events.jsonl` tells of a job's last run: stage, epoch, speed, time to go.

use contract::Event;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A line of the log, as far as it is understood here.
#[derive(Deserialize)]
struct Line {
    time: f64,
    event: String,
    name: Option<String>,
    #[serde(default)]
    command: Vec<String>,
}

/// The last run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    /// When it began, Unix seconds.
    pub(crate) began: Option<f64>,
    /// When the last line was written, Unix seconds.
    pub(crate) last: Option<f64>,
    pub(crate) command: Vec<String>,
    /// The stage that was begun last.
    pub(crate) stage: Option<String>,
    /// The epoch that runs or ran last, from 1, and all epochs.
    pub(crate) epoch: Option<(usize, usize)>,
    /// Images done in that epoch, and images an epoch.
    pub(crate) images: (usize, usize),
    pub(crate) images_per_second: Option<f64>,
    /// Wall seconds of the last whole epoch of this run.
    pub(crate) epoch_seconds: Option<f64>,
    /// Whether the training stage is over.
    pub(crate) trained: bool,
}

/// Reads the log; an empty history where there is none. Lines that are not understood (of another version, or half written) say nothing.
pub(crate) fn read(folder: &Path) -> History {
    let mut history = History::default();
    let Ok(file) = File::open(folder.join("events.jsonl")) else { return history };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    // Of the many lines of progress only the last is worth reading.
    let mut progress: Option<Vec<u8>> = None;
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        if contains(&line, br#""event":"progress""#) {
            progress = Some(std::mem::take(&mut line));
        } else {
            history.take(&line, &mut progress);
        }
        line.clear();
    }
    if let Some(line) = progress {
        history.take(&line, &mut None);
    }
    history
}

impl History {
    fn take(&mut self, line: &[u8], progress: &mut Option<Vec<u8>>) {
        let Ok(Line { time, event, name, command }) = serde_json::from_slice::<Line>(line) else { return };
        match event.as_str() {
            "begin" => {
                *progress = None;
                *self = Self { began: Some(time), command, ..Self::default() };
            }
            "stage" => self.stage = name,
            "fresh" => self.trained |= name.as_deref() == Some("train"),
            "done" => self.trained |= name.as_deref() == Some("train"),
            "progress" | "epoch" => {
                if let Ok(event) = serde_json::from_slice::<Event>(line) {
                    self.train(&event);
                }
                if event == "epoch" {
                    *progress = None;
                }
            }
            _ => {}
        }
        self.last = Some(time);
    }

    fn train(&mut self, event: &Event) {
        match event {
            Event::Progress { epoch, epochs, images, of, images_per_second } => {
                self.epoch = Some((*epoch, *epochs));
                self.images = (*images, *of);
                if *images_per_second > 0.0 {
                    self.images_per_second = Some(*images_per_second);
                }
            }
            Event::Epoch { epoch, epochs, seconds, .. } => {
                self.epoch = Some((*epoch, *epochs));
                self.images.0 = self.images.1;
                self.epoch_seconds = Some(*seconds);
            }
            _ => {}
        }
    }

    /// Share of all images of all epochs that is trained, 0 to 1; `None` before training.
    pub(crate) fn progress(&self) -> Option<f64> {
        if self.trained {
            return Some(1.0);
        }
        let (epoch, epochs) = self.epoch?;
        let (images, of) = self.images;
        let part = if of == 0 { 1.0 } else { images as f64 / of as f64 };
        Some(((epoch as f64 - 1.0 + part) / epochs.max(1) as f64).clamp(0.0, 1.0))
    }

    /// Seconds that training still takes, by the last epoch's time, else by the last interval's speed.
    pub(crate) fn seconds_to_go(&self) -> Option<f64> {
        let (_, epochs) = self.epoch?;
        let epochs_left = (1.0 - self.progress()?) * epochs as f64;
        let an_epoch = self.epoch_seconds.or_else(|| self.images_per_second.map(|rate| self.images.1 as f64 / rate))?;
        Some(epochs_left * an_epoch)
    }
}

fn contains(line: &[u8], words: &[u8]) -> bool {
    line.windows(words.len()).any(|w| w == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> History {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.jsonl"), lines.join("\n")).unwrap();
        read(folder.path())
    }

    const BEGIN: &str = r#"{"time":100.0,"event":"begin","version":"0.1.0","command":["opus-dsd","train"]}"#;
    const STAGE: &str = r#"{"time":110.0,"event":"stage","name":"train"}"#;

    fn progress(epoch: usize, images: usize) -> String {
        format!(r#"{{"time":120.0,"event":"progress","epoch":{epoch},"epochs":4,"images":{images},"of":100,"images_per_second":50.0}}"#)
    }

    #[test]
    fn speed_and_time_to_go() {
        let history = of(&[BEGIN, STAGE, &progress(1, 20), &progress(1, 50), "{half a li"]);
        assert_eq!((history.epoch, history.images, history.stage.as_deref()), (Some((1, 4)), (50, 100), Some("train")));
        assert_eq!(history.progress(), Some(0.125));
        assert_eq!(history.seconds_to_go(), Some(7.0));
        assert_eq!((history.began, history.last), (Some(100.0), Some(120.0)));
    }

    #[test]
    fn a_continued_run_counts_for_itself() {
        let history = of(&[BEGIN, STAGE, &progress(3, 50), BEGIN, r#"{"time":130.0,"event":"stage","name":"prepare"}"#]);
        assert_eq!((history.epoch, history.stage.as_deref(), history.progress()), (None, Some("prepare"), None));
        let history = of(&[BEGIN, r#"{"time":130.0,"event":"fresh","name":"train"}"#]);
        assert_eq!(history.progress(), Some(1.0));
        assert_eq!(History::default(), of(&[]));
    }
}
