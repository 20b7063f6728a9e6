//! Stage `check`: whether particles, poses, map and mask belong together, before hours are spent on them. What is surely wrong about the map
//! ends the job; poses only raise a warning, since images without signal enough for this check look the same and can still be learned from.

use super::context::Context;
use super::read::{Given, Input};
use crate::job::stage::Fingerprint;
use crate::settings::said::TrainSaid;
use crate::settings::values::InvertData;
use contract::{Problem, Result};
use cryoem::particles::ParticleSet;
use cryoem::prepare::Invert;
use reconstruction::check::{self, CheckOptions, ENOUGH_PARTICLES, Finding, LEAST_PARTICLES, Report, Subject, Verdict};

/// What particles are held against.
pub(crate) struct Wish<'a> {
    /// Whether they are to be checked at all.
    pub(crate) wanted: bool,
    pub(crate) map: Option<&'a Given>,
    pub(crate) mask: Option<&'a Given>,
    pub(crate) invert: Invert,
    /// Particles from which on what is surely wrong about the map ends the job; of fewer it is only warned of.
    pub(crate) stops_from: usize,
}

impl<'a> Wish<'a> {
    /// What a training job has.
    pub(crate) fn of_training(said: &TrainSaid, input: &'a Input) -> Self {
        Self {
            wanted: said.check.is_none_or(|yes| yes.0),
            map: input.reference.as_ref(),
            mask: input.mask.as_ref(),
            invert: said.invert_data.unwrap_or(InvertData::Auto).into(),
            stops_from: 0,
        }
    }
}

/// Its name in the ledger.
pub(crate) const STAGE: &str = "check";

/// `images` is a fingerprint of the particles and their images.
pub(crate) fn run(context: &mut Context<'_>, particles: &ParticleSet, wish: &Wish<'_>, images: &str) -> Result<()> {
    if !wish.wanted || particles.len() < LEAST_PARTICLES {
        return Ok(());
    }
    let ground = Fingerprint::new(STAGE).and(&images).and(&wish.mask.map(|m| &m.fingerprint)).and(&wish.map.map(|r| &r.fingerprint));
    context.stage(STAGE, &ground, |context| {
        let given = check::Given { map: wish.map.map(|r| &r.volume), mask: wish.mask.map(|m| &m.volume) };
        let report = check::check_set(particles, given, wish.invert, &CheckOptions::default())?;
        let stops = |finding: &Finding| finding.subject != Subject::Poses && report.particles >= wish.stops_from;
        for finding in &report.findings {
            let line = format!("{}: {}: {}", finding.subject.word(), finding.verdict.word(), finding.text);
            // Of a few particles nobody expects a proof; the images' sign is told where they are prepared, checked or not.
            let only_warned_of = finding.verdict == Verdict::Wrong && !stops(finding);
            let doubtful =
                finding.verdict == Verdict::Doubtful && finding.subject != Subject::Images && report.particles >= ENOUGH_PARTICLES;
            if only_warned_of || doubtful {
                context.warn(&format!("{line}: {}", finding.hint));
            } else {
                context.say(&line);
            }
        }
        match surely_wrong(&report, stops) {
            Some(problem) => {
                let hint = problem.hint.clone().unwrap_or_default();
                Err(problem.hint(format!("{hint}; `--check no` goes on without this check")))
            }
            None => Ok(Vec::new()),
        }
    })
}

/// What is surely wrong among the findings that count, as one problem.
pub(crate) fn surely_wrong(report: &Report, counts: impl Fn(&Finding) -> bool) -> Option<Problem> {
    let wrong: Vec<&Finding> = report.findings.iter().filter(|f| f.verdict == Verdict::Wrong && counts(f)).collect();
    let first = wrong.first()?;
    let all: Vec<&str> = wrong.iter().map(|f| f.text.as_str()).collect();
    Some(Problem::input(all.join("; and ")).at(first.subject.word()).hint(first.hint.clone()))
}
