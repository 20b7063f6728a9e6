//! `settings.json`: every decided value with its reason, the input's fingerprint, versions, the command. And what may change when a job goes on.

use super::{atomic, order::Order};
use crate::machine::setting::Setting;
use crate::settings::decided::{Decided, SETTINGS_SCHEMA};
use contract::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file's name in the job folder.
pub(crate) const SETTINGS_FILE: &str = "settings.json";

/// Everything that a job depended on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Provenance {
    /// Program version.
    pub(crate) version: String,
    /// Build of front and engine.
    pub(crate) build_id: String,
    /// libtorch's version.
    pub(crate) torch: String,
    /// The host, for people.
    pub(crate) host: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// Where the job ran.
    #[serde(default)]
    pub(crate) setting: Option<Setting>,
    /// What it says.
    #[serde(default)]
    pub(crate) order: Option<Order>,
    /// The trained job that this one looks at.
    #[serde(default)]
    pub(crate) trained_job: Option<PathBuf>,
    /// Particles, mask and reference as given.
    pub(crate) input: Input,
    /// Decided values.
    pub(crate) settings: Decided,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) particles: PathBuf,
    /// Rows of the particles' file; all of them are used.
    pub(crate) rows: usize,
    /// Of particles, poses, optics and images, and of what shapes the prepared images.
    pub(crate) fingerprint: String,
    pub(crate) mask: Option<PathBuf>,
    /// Of the mask's content.
    pub(crate) mask_fingerprint: Option<String>,
    pub(crate) reference: Option<PathBuf>,
    /// Of the reference's content.
    pub(crate) reference_fingerprint: Option<String>,
    /// Side of images that were not looked at, pixels, since they need not be there; `None`: they were.
    #[serde(default)]
    pub(crate) unseen_box_px: Option<usize>,
}

/// Reads what an earlier run of the job decided.
///
/// # Errors
/// A file that is not understood.
pub(crate) fn read(folder: &Path) -> Result<Option<Provenance>> {
    let path = folder.join(SETTINGS_FILE);
    let found: Option<Provenance> = atomic::read_json(&path)?;
    found.map(|found| contract::require_form(&path, found.settings.schema, SETTINGS_SCHEMA).map(|()| found)).transpose()
}

/// What a job decided that a later one goes on from.
///
/// # Errors
/// The file is missing or not understood.
pub(crate) fn of_trained(folder: &Path) -> Result<Provenance> {
    read(folder)?.ok_or_else(|| {
        Problem::input(format!("`{SETTINGS_FILE}` is missing"))
            .at(folder.display().to_string())
            .hint("name the folder of a job of `opus-dsd train` as it was left")
    })
}

/// Writes it.
pub(crate) fn write(folder: &Path, provenance: &Provenance) -> Result<()> {
    atomic::write_json(&folder.join(SETTINGS_FILE), provenance)
}

/// The base volume and where it comes from, in words.
fn base(settings: &Decided) -> String {
    let whence = if settings.base_from_reference { ", from the reference" } else { "" };
    format!("{:?}{whence}", settings.train.base)
}

/// What the latents start from, in words; its length may follow the number of epochs.
fn warm_start(settings: &Decided) -> String {
    settings.train.warm_start.map_or("none".into(), |w| format!("{} components of at most {} particles", w.components, w.particles))
}

/// Lines about what changed since the job ran before.
///
/// # Errors
/// What changed makes another job of it.
pub(crate) fn changes(before: &Provenance, now: &Provenance) -> Result<Vec<String>> {
    let refuse = |what: String, culprit: &str| {
        Err(Problem::input(what)
            .at(culprit.to_owned())
            .hint("start a new job, with `--load JOB` if it is to begin with this one's weights, or give the command as it was"))
    };
    let (old, new) = (&before.settings, &now.settings);
    // Before the data: these change the prepared images as well, and are the better name for the cause.
    let shapes = [
        ("`--preset`", format!("{:?}", old.grid.preset), format!("{:?}", new.grid.preset)),
        ("`--zdim`", old.train.layout.zdim.to_string(), new.train.layout.zdim.to_string()),
        ("`--downfrac`", format!("{} pixels", old.grid.size_px), format!("{} pixels", new.grid.size_px)),
        ("`--templateres`", old.train.layout.template.to_string(), new.train.layout.template.to_string()),
        ("`--base`", base(old), base(new)),
        ("`--warm-start`", warm_start(old), warm_start(new)),
        ("encoder input", format!("{:?}", old.train.encoder_input), format!("{:?}", new.train.encoder_input)),
        ("`--seed`", old.train.seed.to_string(), new.train.seed.to_string()),
        ("`--valfrac`", old.train.validation_fraction.to_string(), new.train.validation_fraction.to_string()),
    ];
    for (name, was, is) in shapes {
        if was != is {
            return refuse(format!("this job was begun with {was}, now it is {is}"), name);
        }
    }
    if before.input.fingerprint != now.input.fingerprint {
        return refuse(
            format!(
                "the particles or their images are not those that this job was begun with ({} rows then, {} now)",
                before.input.rows, now.input.rows
            ),
            &now.input.particles.display().to_string(),
        );
    }
    if before.input.mask_fingerprint != now.input.mask_fingerprint {
        return refuse("the mask is not the one that this job was begun with".into(), "`--in_mask`");
    }
    if before.input.reference_fingerprint != now.input.reference_fingerprint {
        return refuse("the reference is not the one that this job was begun with".into(), "`--in_3dref`");
    }
    if old.train.layout != new.train.layout {
        return refuse("the networks would have other shapes than those that this job was begun with".into(), "settings");
    }
    let mut lines = Vec::new();
    for reason in &new.reasons {
        if let Some(was) = old.reasons.iter().find(|r| r.name == reason.name)
            && was.value != reason.value
        {
            lines.push(format!("changed since this job ran before: {} was {}, is {}", reason.name, was.value, reason.value));
        }
    }
    Ok(lines)
}
