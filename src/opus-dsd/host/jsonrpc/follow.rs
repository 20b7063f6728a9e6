//! From the files that a job writes (run.out, run.err, events.jsonl, results.json) to notifications. The server keeps nothing that these
//! files do not hold.

use super::tail::Tail;
use contract::protocol::{Log, Metric, Notification, Output, OutputKind, Progress, Span, Stream};
use contract::{Event, Problem};
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a job has to show.
pub(super) const RESULTS: &str = "results.json";

/// Which writing of a file this is: files are replaced by renaming.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Writing {
    inode: u64,
    bytes: u64,
    time: SystemTime,
}

/// Reads what a job writes from now on.
pub(super) struct Follow {
    job: u64,
    out: Tail,
    err: Tail,
    events: Tail,
    results: PathBuf,
    /// The results that were read last, or that an earlier run left.
    seen: Option<Writing>,
    said: Vec<Output>,
    /// How far the job is.
    pub(super) progress: Progress,
    /// The last problem that it wrote down.
    pub(super) problem: Option<Problem>,
}

impl Follow {
    pub(super) fn new(job: u64, folder: &Path) -> Self {
        let tail = |name: &str| Tail::at_end(&folder.join(name));
        let results = folder.join(RESULTS);
        Self {
            job,
            out: tail("run.out"),
            err: tail("run.err"),
            events: tail("events.jsonl"),
            seen: writing(&results),
            results,
            said: Vec::new(),
            progress: Progress { job, ..Progress::default() },
            problem: None,
        }
    }

    /// What is new.
    pub(super) fn look(&mut self) -> Vec<Notification> {
        self.read().0
    }

    /// What is new after the job's end, to the last line; `complete`: it ended well, so all of its results are named, also those that were
    /// there before.
    pub(super) fn conclude(&mut self, complete: bool) -> Vec<Notification> {
        let mut all = Vec::new();
        loop {
            let (new, more) = self.read();
            all.extend(new);
            if !more {
                break;
            }
        }
        for (stream, tail) in [(Stream::Out, &mut self.out), (Stream::Err, &mut self.err)] {
            all.extend(tail.rest().map(|line| Notification::Log(Log { job: self.job, stream, line })));
        }
        if complete {
            all.extend(self.outputs());
        }
        all
    }

    /// The content of results.json, where there is one.
    pub(super) fn results(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(&self.results).ok()?).ok()
    }

    fn read(&mut self) -> (Vec<Notification>, bool) {
        let (events, more_events) = self.events.lines();
        // A line that a killed process left half written is not understood and left out.
        let mut all: Vec<Notification> =
            events.iter().filter_map(|line| serde_json::from_str(line).ok()).filter_map(|event| self.event(event)).collect();
        let (out, more_out) = self.out.lines();
        let (err, more_err) = self.err.lines();
        for (stream, lines) in [(Stream::Out, out), (Stream::Err, err)] {
            all.extend(lines.into_iter().map(|line| Notification::Log(Log { job: self.job, stream, line })));
        }
        let now = writing(&self.results);
        if now.is_some() && now != self.seen {
            self.seen = now;
            all.extend(self.outputs());
        }
        (all, more_events || more_out || more_err)
    }

    fn event(&mut self, line: Value) -> Option<Notification> {
        let name = line.get("name").and_then(Value::as_str).map(String::from);
        match line.get("event").and_then(Value::as_str)? {
            "stage" => {
                self.progress = Progress { job: self.job, stage: name, ..Progress::default() };
                return Some(Notification::Progress(self.progress.clone()));
            }
            "problem" => {
                self.problem = line.get("problem").and_then(|p| serde_json::from_value(p.clone()).ok()).or(self.problem.take());
                return None;
            }
            _ => {}
        }
        match serde_json::from_value(line).ok()? {
            Event::Progress { epoch, epochs, images, of, images_per_second } => {
                let p = &mut self.progress;
                (p.epoch, p.epochs, p.images, p.of) = (Some(epoch), Some(epochs), Some(images), Some(of));
                p.images_per_second = Some(images_per_second);
                Some(Notification::Progress(p.clone()))
            }
            Event::Metric { epoch, images, terms, kl_nats, snr, learning_rate } => Some(Notification::Metric(Metric {
                job: self.job,
                over: Span::Interval,
                epoch,
                images: Some(images),
                terms,
                validation: None,
                kl_nats,
                active_dimensions: None,
                snr,
                learning_rate,
                seconds: None,
            })),
            Event::Epoch { epoch, epochs: _, terms, validation, kl_nats, active_dimensions, snr, learning_rate, seconds } => {
                Some(Notification::Metric(Metric {
                    job: self.job,
                    over: Span::Epoch,
                    epoch,
                    images: None,
                    terms,
                    validation,
                    kl_nats,
                    active_dimensions: Some(active_dimensions),
                    snr,
                    learning_rate,
                    seconds: Some(seconds),
                }))
            }
            _ => None,
        }
    }

    /// Outputs that the results name and that were not said yet.
    fn outputs(&mut self) -> Vec<Notification> {
        let Some(results) = self.results() else { return Vec::new() };
        let new: Vec<Output> = outputs(self.job, &results).into_iter().filter(|o| !self.said.contains(o)).collect();
        self.said.extend_from_slice(&new);
        new.into_iter().map(Notification::Output).collect()
    }
}

fn writing(path: &Path) -> Option<Writing> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Writing { inode: metadata.ino(), bytes: metadata.len(), time: metadata.modified().ok()? })
}

/// The files that results name. What an epoch rewrites carries the epoch, so that it counts as new then.
fn outputs(job: u64, results: &Value) -> Vec<Output> {
    let whole = |value: Option<&Value>| value.and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let text = |value: &Value| value.as_str().filter(|file| !file.is_empty()).map(String::from);
    let output = |kind, file| Output { job, kind, file, epoch: whole(results.get("epoch")), class: None, n: None, z: None };
    let named = [
        ("preview", OutputKind::Preview),
        ("latents", OutputKind::Latents),
        ("weights", OutputKind::Weights),
        ("particles", OutputKind::Particles),
    ];
    let mut all: Vec<Output> =
        named.into_iter().filter_map(|(name, kind)| results.get(name).and_then(text).map(|file| output(kind, file))).collect();
    for volume in results.get("volumes").and_then(Value::as_array).into_iter().flatten() {
        let Some(file) = volume.get("file").and_then(text) else { continue };
        all.push(Output {
            class: whole(volume.get("class")),
            n: whole(volume.get("n")),
            z: volume.get("z").and_then(|z| serde_json::from_value(z.clone()).ok()),
            ..output(OutputKind::Volume, file)
        });
    }
    let plots = results.get("plots").and_then(Value::as_array).into_iter().flatten();
    all.extend(plots.filter_map(text).map(|file| output(OutputKind::Plot, file)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(folder: &Path, results: &Value) {
        let part = folder.join("results.json.part");
        std::fs::write(&part, results.to_string()).unwrap();
        std::fs::rename(part, folder.join(RESULTS)).unwrap();
    }

    fn files(notifications: &[Notification]) -> Vec<String> {
        let output = |n: &Notification| if let Notification::Output(o) = n { Some(o.file.clone()) } else { None };
        notifications.iter().filter_map(output).collect()
    }

    #[test]
    fn results_are_told_as_they_grow_and_all_at_a_good_end() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &json!({"epoch": 9, "preview": "old.mrc"}));
        let mut follow = Follow::new(1, folder.path());
        assert!(follow.look().is_empty());
        write(folder.path(), &json!({"epoch": 1, "particles": "", "preview": "preview.mrc", "latents": null}));
        assert_eq!(files(&follow.look()), ["preview.mrc"]);
        let volumes = json!([{"file": "cluster001.mrc", "class": 1, "n": 5, "z": [0.5]}]);
        write(folder.path(), &json!({"epoch": 1, "preview": "preview.mrc", "volumes": volumes, "plots": ["figures/a.png"]}));
        assert_eq!(files(&follow.look()), ["cluster001.mrc", "figures/a.png"]);
        write(folder.path(), &json!({"epoch": 2, "preview": "preview.mrc"}));
        assert_eq!(files(&follow.look()), ["preview.mrc"]);
        assert!(files(&follow.conclude(true)).is_empty());
        let mut again = Follow::new(2, folder.path());
        assert!(files(&again.conclude(false)).is_empty());
        assert_eq!(files(&again.conclude(true)), ["preview.mrc"]);
    }

    #[test]
    fn a_stage_begins_without_the_numbers_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut follow = Follow::new(1, folder.path());
        let events = [
            r#"{"time":1.0,"event":"stage","name":"train"}"#,
            r#"{"time":1.0,"event":"progress","epoch":1,"epochs":2,"images":3,"of":4,"images_per_second":5.0}"#,
            "torn",
            r#"{"time":1.0,"event":"problem","problem":{"kind":"input","culprit":"a","what":"b","hint":null}}"#,
            r#"{"time":1.0,"event":"stage","name":"cluster"}"#,
        ];
        std::fs::write(folder.path().join("events.jsonl"), format!("{}\n", events.join("\n"))).unwrap();
        let all = follow.look();
        let [Notification::Progress(first), Notification::Progress(train), Notification::Progress(last)] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!((first.stage.as_deref(), first.images), (Some("train"), None));
        assert_eq!((train.stage.as_deref(), train.images), (Some("train"), Some(3)));
        assert_eq!((last.stage.as_deref(), last.images), (Some("cluster"), None));
        assert_eq!(follow.problem.unwrap().what, "b");
    }
}
