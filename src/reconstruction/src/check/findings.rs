//! What the numbers mean, in words.

use super::Report;
use super::against_map::{AgainstMap, Position};
use std::f64::consts::PI;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Whether the poses belong to the images.
    Poses,
    /// Whether particles are white in the images.
    Images,
    /// Whether the map is that of these particles at all.
    Map,
    /// Whether the map is white where the images are.
    Contrast,
    /// Whether the map is a mirror image.
    Hand,
    /// Whether the map's pixel size is that of the images.
    PixelSize,
    /// Whether the mask lies where the particles' density is.
    Mask,
}

impl Subject {
    /// A word for tables and machines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Poses => "poses",
            Self::Images => "images",
            Self::Map => "map",
            Self::Contrast => "contrast",
            Self::Hand => "hand",
            Self::PixelSize => "pixel size",
            Self::Mask => "mask",
        }
    }
}

/// How bad it is; the later the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is to be done.
    Noted,
    /// Probably wrong, or too little to tell.
    Doubtful,
    /// Surely wrong.
    Wrong,
}

impl Verdict {
    /// A word for tables and machines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Noted => "noted",
            Self::Doubtful => "doubtful",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// About what.
    pub subject: Subject,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, in plain words with its numbers.
    pub text: String,
    /// What to do; empty where nothing is.
    pub hint: String,
}

impl Finding {
    pub(super) fn new(subject: Subject, verdict: Verdict, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { subject, verdict, text: text.into(), hint: hint.into() }
    }
}

/// Deviations of chance by which the given poses must beat dealt ones to be believed, and below which they are no better.
const POSES_GOOD: f64 = 6.0;
const POSES_WRONG: f64 = 3.0;
/// Particles from which poses that are no better than dealt ones are surely wrong: fewer may be too noisy to tell.
pub const ENOUGH_PARTICLES: usize = 500;
/// Part of the expected score from which a map is believed, and below which it is of something else.
const MAP_GOOD: f64 = 0.6;
const MAP_WRONG: f64 = 0.35;
/// Part of the expected score by which another position must be better.
const POSITION_MARGIN: f64 = 0.08;
/// Deviation of the pixel size that is remarked upon, and that is surely wrong; calibrations differ by a percent or two.
const SCALE_DOUBTFUL: f64 = 0.02;
const SCALE_WRONG: f64 = 0.035;
/// Part of the expected score that the better pixel size must gain, so that a flat curve says nothing.
const SCALE_MARGIN: f64 = 0.005;

/// Particles below which the best pixel size is left to chance: of good sets of 60 and of 100 particles (signal-to-noise ratio 0.02) one in sixteen
/// each seemed 3.9% off.
const SCALE_PARTICLES: usize = 200;

/// Part of the density outside the mask that is worth a word, and that is most likely a mistake.
const MASK_NOTED: f64 = 0.1;
const MASK_DOUBTFUL: f64 = 0.4;

/// Judges the numbers of a report.
pub(super) fn of(report: &Report) -> Vec<Finding> {
    let poses = poses(report);
    let poses_wrong = poses.verdict == Verdict::Wrong;
    let mut findings = vec![poses];
    if let (Some(map), false) = (&report.map, poses_wrong) {
        findings.extend(against(map, report.particles));
    }
    if let (Some(outside), false) = (report.outside_mask, poses_wrong) {
        findings.push(mask(outside));
    }
    findings
}

fn mask(outside: f64) -> Finding {
    let found = format!("{:.0}% of the particles' density lies outside the mask", 100.0 * outside);
    if outside > MASK_DOUBTFUL {
        let hint = "check the mask's pixel size, hand and centre; go on if you mean to look at a part alone";
        return Finding::new(Subject::Mask, Verdict::Doubtful, found, hint);
    }
    Finding::new(Subject::Mask, if outside > MASK_NOTED { Verdict::Noted } else { Verdict::Good }, found, "")
}

/// How far the halves' agreement lies above that with dealt poses, in deviations of chance.
pub(super) fn pose_deviations(report: &Report) -> f64 {
    /// The innermost shells hold the particle's outline, which all poses give.
    const FIRST_SHELL: usize = 2;
    // Fisher's transform of a correlation, which scatters alike at all heights. Closer to 1 single precision ends.
    let fisher = |f: f64| f.clamp(0.0, 0.9995).atanh();
    // It scatters by 1/√m over m independent values; the ball leaves about a quarter of a shell's 2πk² independent.
    let scatter_squared = |k: usize| 4.0 / (2.0 * PI * (k * k) as f64);
    let shells = FIRST_SHELL..report.half_maps.len();
    let weight = |k: usize| (k * k) as f64;
    let gain: f64 = shells.clone().map(|k| weight(k) * (fisher(report.half_maps[k]) - fisher(report.dealt_poses[k]))).sum();
    // Both curves scatter.
    let scatter: f64 = shells.map(|k| 2.0 * weight(k).powi(2) * scatter_squared(k)).sum();
    gain / scatter.sqrt()
}

fn poses(report: &Report) -> Finding {
    let deviations = pose_deviations(report);
    let better = if deviations < 0.5 { "no better".to_owned() } else { format!("{deviations:.0} deviations better") };
    let found = format!(
        "two halves of {} particles agree to {}, {better} than with the poses dealt out at random",
        report.particles,
        report.resolution_angstrom.map_or("no resolution".to_owned(), |d| format!("{d:.1} Å"))
    );
    if deviations >= POSES_GOOD {
        return Finding::new(Subject::Poses, Verdict::Good, found, "");
    }
    if deviations < POSES_WRONG && report.particles >= ENOUGH_PARTICLES {
        return Finding::new(
            Subject::Poses,
            Verdict::Wrong,
            format!("the poses do not belong to the images: {found}"),
            "check that the rows of the STAR file still name their own images (a sorted stack, a join of two files), and that it comes from a \
             refinement",
        );
    }
    Finding::new(
        Subject::Poses,
        Verdict::Doubtful,
        format!("the poses hardly show in the images: {found}"),
        "refine again, or give more particles; if the refinement was good, check that the STAR file belongs to these stacks",
    )
}

fn against(map: &AgainstMap, particles: usize) -> Vec<Finding> {
    let percent = |score: f64| 100.0 * score / map.expected;
    let part = map.best_score.abs() / map.expected;
    let overall = format!("the map follows the particles to {:.0}% of what their own agreement lets expect", 100.0 * part);
    if part < MAP_WRONG {
        return vec![Finding::new(
            Subject::Map,
            Verdict::Wrong,
            format!("the map is not one of these particles in these poses: {overall}, in no position and at no pixel size within a tenth"),
            "give the map of the refinement that the poses come from, about the same centre",
        )];
    }
    let map_finding = if part < MAP_GOOD {
        Finding::new(
            Subject::Map,
            Verdict::Doubtful,
            format!("map and particles differ much: {overall}"),
            "check that the map comes from the refinement of these particles; a sharpened or masked map of another set differs like this",
        )
    } else {
        Finding::new(Subject::Map, Verdict::Good, overall, "")
    };
    let mut findings = vec![map_finding, contrast(map)];
    let gain = (map.best_position_score.abs() - map.score.abs()) / map.expected;
    let moved = map.best_position != Position::GIVEN && gain > POSITION_MARGIN;
    findings.push(if moved && map.best_position.mirrors() {
        Finding::new(
            Subject::Hand,
            Verdict::Wrong,
            format!(
                "the map is a mirror image of what the poses give: {:.0}% of the expected score as it is, {:.0}% mirrored",
                percent(map.score.abs()),
                percent(map.mirrored_score.abs())
            ),
            "give the map of the same hand as the poses: unflipped, straight from the refinement",
        )
    } else if moved {
        Finding::new(
            Subject::Hand,
            Verdict::Wrong,
            format!(
                "the map lies in another position than the poses say: {:.0}% of the expected score as it is, {:.0}% with its axes swapped or \
                 turned",
                percent(map.score.abs()),
                percent(map.best_position_score.abs())
            ),
            "give the map straight from the refinement, without a change of axes",
        )
    } else {
        let difference = percent(map.score.abs()) - percent(map.mirrored_score.abs());
        if difference > 100.0 * POSITION_MARGIN {
            let text = format!("the hand is right: mirrored, the map scores {difference:.0}% of the expected score less");
            Finding::new(Subject::Hand, Verdict::Good, text, "")
        } else {
            let text = "the hand cannot be told at this resolution: the map's mirror image fits about as well";
            Finding::new(Subject::Hand, Verdict::Noted, text, "")
        }
    });
    findings.push(pixel_size(map, particles));
    findings
}

fn contrast(map: &AgainstMap) -> Finding {
    if map.best_score >= 0.0 {
        return Finding::new(Subject::Contrast, Verdict::Good, "the map is white where the particles are", "");
    }
    Finding::new(
        Subject::Contrast,
        Verdict::Wrong,
        format!("the map's contrast is inverted: it correlates with the particles at {:.2}", map.best_score),
        "density must be positive in the map: multiply it by −1; or say `--invert-data yes` where the particles are black and were not turned",
    )
}

fn pixel_size(map: &AgainstMap, particles: usize) -> Finding {
    let deviation = map.best_apix / map.apix - 1.0;
    let at_own = map.scales.iter().find(|(scale, _)| (scale - 1.0).abs() < 1e-9).map_or(0.0, |(_, score)| score.abs());
    let gain = (map.best_score.abs() - at_own) / map.expected;
    let found = format!(
        "the map fits best with voxels of {:.3} Å ({:+.1}% of the {:.3} Å that its header says)",
        map.best_apix,
        100.0 * deviation,
        map.apix
    );
    if deviation.abs() < SCALE_DOUBTFUL || gain < SCALE_MARGIN {
        return Finding::new(Subject::PixelSize, Verdict::Good, found, "");
    }
    if particles < SCALE_PARTICLES {
        let text = format!(
            "{particles} particles are too few to tell the map's pixel size: it seems to fit best {:+.1}% off, which chance can do",
            100.0 * deviation
        );
        return Finding::new(Subject::PixelSize, Verdict::Noted, text, "");
    }
    let (verdict, what) = if deviation.abs() < SCALE_WRONG {
        (Verdict::Doubtful, "pixel sizes disagree")
    } else {
        (Verdict::Wrong, "the pixel size is wrong")
    };
    Finding::new(
        Subject::PixelSize,
        verdict,
        format!("{what}: {found}"),
        "find out which of map header and STAR file is right, and correct the other (`--apix` overrides the STAR file's)",
    )
}
