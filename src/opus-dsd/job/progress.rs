//! The engine's events as lines of run.out: one an epoch, and at most one a minute between.

use contract::{Event, LossTerms};
use std::time::{Duration, Instant};

/// Shortest time between two lines inside an epoch.
const INTERVAL: Duration = Duration::from_secs(60);

/// Turns training events into lines.
pub(crate) struct Progress {
    device: String,
    started: Instant,
    last_line: Instant,
    /// Images done before this run began (a continued job), for the estimate.
    images_before: Option<usize>,
    rate: f64,
}

impl Progress {
    pub(crate) fn new(device: &str) -> Self {
        let now = Instant::now();
        Self { device: device.into(), started: now, last_line: now, images_before: None, rate: 0.0 }
    }

    /// The line for an event, where it deserves one.
    pub(crate) fn line(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Progress { epoch, epochs, images, of, images_per_second } => {
                self.rate = *images_per_second;
                let done = (epoch - 1) * of + images;
                let before = *self.images_before.get_or_insert(done);
                if self.last_line.elapsed() < INTERVAL {
                    return None;
                }
                self.last_line = Instant::now();
                let to_go = self.remaining(done, before, epochs * of);
                Some(format!(
                    "epoch {epoch}/{epochs}: {images} of {of} images, {images_per_second:.0} images/s on {}, {to_go}",
                    self.device
                ))
            }
            Event::Epoch { epoch, epochs, terms, validation, kl_nats, active_dimensions, snr, learning_rate, seconds } => {
                self.last_line = Instant::now();
                let left = seconds * (epochs - epoch) as f64;
                let validation = validation.map_or(String::new(), |v| format!(", validation {v:.5}"));
                Some(format!(
                    "epoch {epoch}/{epochs}: loss {}{validation}, KL {kl_nats:.2} nats in {active_dimensions} active dimensions, SNR {snr:.3}, learning rate {learning_rate:.2e}, \
                     {}on {}, elapsed {}, about {} to go",
                    shares(terms),
                    // An epoch of less than a second is over before its speed is measured.
                    if self.rate > 0.0 { format!("{:.0} images/s ", self.rate) } else { String::new() },
                    self.device,
                    duration(self.started.elapsed().as_secs_f64()),
                    duration(left)
                ))
            }
            Event::Log { message } => Some(message.clone()),
            _ => None,
        }
    }

    fn remaining(&self, done: usize, before: usize, all: usize) -> String {
        let elapsed = self.started.elapsed().as_secs_f64();
        if done <= before {
            return format!("elapsed {}", duration(elapsed));
        }
        let left = elapsed / (done - before) as f64 * all.saturating_sub(done) as f64;
        format!("elapsed {}, about {} to go", duration(elapsed), duration(left))
    }
}

/// The total and each term's share of it.
fn shares(terms: &LossTerms) -> String {
    let all = [
        ("reconstruction", terms.reconstruction),
        ("KL", terms.kl),
        ("prior", terms.prior),
        ("volume", terms.volume),
        ("warm start", terms.warm_start),
    ];
    let parts: Vec<String> =
        all.iter().filter(|(_, v)| *v != 0.0).map(|(name, v)| format!("{name} {:.2}%", 100.0 * v / terms.total)).collect();
    format!("{:.5} ({})", terms.total, parts.join(", "))
}

/// Seconds for people.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_names_each_terms_share() {
        let terms = LossTerms { reconstruction: 0.5, kl: 0.3, prior: 0.2, total: 1.0, ..LossTerms::default() };
        let event = Event::Epoch {
            epoch: 2,
            epochs: 8,
            terms,
            validation: Some(0.6),
            kl_nats: 4.0,
            active_dimensions: 3,
            snr: 0.1,
            learning_rate: 1e-3,
            seconds: 10.0,
        };
        let line = Progress::new("cpu").line(&event).unwrap();
        assert!(line.starts_with("epoch 2/8: loss 1.00000 (reconstruction 50.00%, KL 30.00%, prior 20.00%), validation 0.60000"), "{line}");
        assert!(line.ends_with("about 60 s to go"), "{line}");
    }

    #[test]
    fn no_more_than_a_line_a_minute() {
        let event = Event::Progress { epoch: 1, epochs: 2, images: 5, of: 10, images_per_second: 3.0 };
        assert_eq!(Progress::new("cpu").line(&event), None);
    }

    #[test]
    fn durations() {
        assert_eq!([5.0, 90.0, 120.0, 7200.0].map(duration), ["5 s", "90 s", "2.0 min", "2.0 h"]);
    }
}
