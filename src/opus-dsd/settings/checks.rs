//! What can be told wrong before any particle is read: values out of their range.

use super::said::TrainSaid;
use super::values::{BetaWish, WarmStartWish};
use contract::{Problem, Result};

/// Most latent dimensions: beyond it nothing is learned but noise, and the analysis' neighbours lose their meaning.
const MOST_ZDIM: usize = 128;
/// Three digits name a cluster's files.
const MOST_CLUSTERS: usize = 999;
/// The decoder doubles its volume four times from `templateres / 16`.
const TEMPLATE_STEP: usize = 16;
/// The largest decoded volume that any GPU holds with its gradients.
const MOST_TEMPLATE: usize = 512;

impl TrainSaid {
    /// # Errors
    /// The first value that is out of its range.
    pub(crate) fn check(&self) -> Result<()> {
        whole("zdim", self.zdim, 1, MOST_ZDIM)?;
        whole("epochs", self.epochs, 1, 100_000)?;
        whole("batch", self.batch, 1, 65_536)?;
        whole("micro-batch", self.micro_batch, 1, 65_536)?;
        whole("clusters", self.clusters, 1, MOST_CLUSTERS)?;
        whole("log-interval", self.log_interval, 1, usize::MAX)?;
        whole("j", self.threads, 1, 4096)?;
        whole("templateres", self.templateres, TEMPLATE_STEP, MOST_TEMPLATE)?;
        if let Some(side) = self.templateres.filter(|t| t % TEMPLATE_STEP != 0) {
            return Err(Problem::input(format!("{side} is not a multiple of {TEMPLATE_STEP}"))
                .at("`--templateres`")
                .hint("take 32, 48, 64, 96, 128, 160, 192 or 224"));
        }
        positive("downfrac", self.downfrac, 1.0)?;
        positive("lr", self.lr, 1.0)?;
        positive("apix", self.apix, 1000.0)?;
        positive("voltage", self.voltage, 10_000.0)?;
        positive("checkpoint-minutes", self.checkpoint_minutes, 100_000.0)?;
        between("cs", self.cs, 0.0, 100.0)?;
        between("amplitude-contrast", self.amplitude_contrast, 0.0, 0.999)?;
        between("phase-shift", self.phase_shift, -360.0, 360.0)?;
        between("lamb", self.lamb, 0.0, 1000.0)?;
        between("bfactor", self.bfactor, 0.0, 1000.0)?;
        between("beta-control", self.beta_control, 0.0, 1000.0)?;
        between("valfrac", self.valfrac, 0.0, 0.5)?;
        if let Some(BetaWish::Constant(beta)) = self.beta {
            between("beta", Some(beta), 0.0, 1000.0)?;
        }
        if let Some(WarmStartWish::Epochs(epochs)) = self.warm_start {
            between("warm-start", Some(epochs), 0.0, 1000.0)?;
        }
        if let Some(name) = &self.tmp_prefix
            && (name.is_empty()
                || name.contains("None")
                || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
                || name.starts_with('.'))
        {
            return Err(Problem::input(format!("`{name}` is not a plain file name"))
                .at("`--tmp-prefix`")
                .hint("use letters, digits, dashes and underscores, and not the word None"));
        }
        Ok(())
    }
}

fn whole(name: &str, value: Option<usize>, low: usize, high: usize) -> Result<()> {
    match value {
        Some(v) if v < low || v > high => Err(out_of_range(name, &v.to_string(), &format!("from {low} to {high}"))),
        _ => Ok(()),
    }
}

fn between(name: &str, value: Option<f64>, low: f64, high: f64) -> Result<()> {
    match value {
        Some(v) if !(low..=high).contains(&v) => Err(out_of_range(name, &v.to_string(), &format!("from {low} to {high}"))),
        _ => Ok(()),
    }
}

fn positive(name: &str, value: Option<f64>, high: f64) -> Result<()> {
    match value {
        Some(v) if !(v > 0.0 && v <= high) => Err(out_of_range(name, &v.to_string(), &format!("above 0, at most {high}"))),
        _ => Ok(()),
    }
}

fn out_of_range(name: &str, value: &str, range: &str) -> Problem {
    Problem::input(format!("{value} is out of range")).at(format!("`--{name}`")).hint(format!("give a value {range}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        let cases = [
            (TrainSaid { zdim: Some(0), ..TrainSaid::default() }, "`--zdim`"),
            (TrainSaid { lr: Some(-1.0), ..TrainSaid::default() }, "`--lr`"),
            (TrainSaid { apix: Some(f64::NAN), ..TrainSaid::default() }, "`--apix`"),
            (TrainSaid { valfrac: Some(0.9), ..TrainSaid::default() }, "`--valfrac`"),
            (TrainSaid { templateres: Some(100), ..TrainSaid::default() }, "`--templateres`"),
            (TrainSaid { tmp_prefix: Some("a/None".into()), ..TrainSaid::default() }, "`--tmp-prefix`"),
        ];
        for (said, culprit) in cases {
            let problem = said.check().unwrap_err();
            assert_eq!(problem.culprit.as_deref(), Some(culprit));
            assert!(problem.hint.is_some());
        }
        assert_eq!(TrainSaid::default().check(), Ok(()));
    }
}
