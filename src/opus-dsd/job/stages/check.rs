//! Stage `check`: whether particles, poses, map and mask belong together, before hours are spent on them. What is surely wrong about the map
//! ends the job; poses only raise a warning, since images without signal enough for this check look the same and can still be learned from.

use super::context::Context;
use super::read::Input;
use crate::job::stage::Fingerprint;
use crate::settings::said::TrainSaid;
use crate::settings::values::InvertData;
use contract::{Problem, Result};
use reconstruction::check::{self, CheckOptions, ENOUGH_PARTICLES, Finding, Given, LEAST_PARTICLES, Report, Subject, Verdict};

/// `images` is a fingerprint of the particles and their images.
pub(crate) fn run(context: &mut Context<'_>, said: &TrainSaid, input: &Input, images: &str) -> Result<()> {
    if said.check.is_some_and(|yes| !yes.0) || input.particles.len() < LEAST_PARTICLES {
        return Ok(());
    }
    let ground = Fingerprint::new("check")
        .and(&images)
        .and(&input.mask.as_ref().map(|m| &m.fingerprint))
        .and(&input.reference.as_ref().map(|r| &r.fingerprint));
    context.stage("check", &ground, |context| {
        let given = Given { map: input.reference.as_ref().map(|r| &r.volume), mask: input.mask.as_ref().map(|m| &m.volume) };
        let invert = said.invert_data.unwrap_or(InvertData::Auto).into();
        let report = check::check_set(&input.particles, given, invert, &CheckOptions::default())?;
        for finding in &report.findings {
            let line = format!("{}: {}: {}", finding.subject.word(), finding.verdict.word(), finding.text);
            // Of a few particles nobody expects a proof.
            let of_poses = finding.verdict == Verdict::Wrong && finding.subject == Subject::Poses;
            if of_poses || finding.verdict == Verdict::Doubtful && report.particles >= ENOUGH_PARTICLES {
                context.warn(&format!("{line}: {}", finding.hint));
            } else {
                context.say(&line);
            }
        }
        match surely_wrong(&report, |f| f.subject != Subject::Poses) {
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
