//! A region drawn on a picture of the latents.

use contract::{Problem, Result};
use serde::{Deserialize, Serialize};

/// Version of the file that a report exports.
const SCHEMA: u32 = 1;

/// A polygon on a picture, in the picture's coordinates. As a file: `{"schema":1,"embedding":"umap","polygon":[[x,y],…],"drawn_on":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Version of the file.
    pub schema: u32,
    /// The picture that it was drawn on.
    pub embedding: String,
    /// Corners in their order; the last is joined to the first.
    pub polygon: Vec<[f64; 2]>,
    /// Whose picture it was; reports of earlier versions did not say.
    #[serde(default)]
    pub drawn_on: Option<DrawnOn>,
}

/// The job whose report a region was drawn in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnOn {
    /// Its folder, as the report calls it.
    pub job: String,
    /// Epoch of the latents.
    pub epoch: usize,
    /// All its particles.
    pub particles: usize,
    /// Of the latents and their pictures.
    pub fingerprint: String,
}

impl DrawnOn {
    /// Refuses particles whose picture is another one. The same picture of another folder, as of a copied job, is the same.
    ///
    /// # Errors
    /// The fingerprints differ; the message names both jobs and how they differ.
    pub fn check(&self, chosen: &Self) -> Result<()> {
        if self.fingerprint == chosen.fingerprint {
            return Ok(());
        }
        let says = |of: &Self| format!("`{}` at epoch {} with {} particles", of.job, of.epoch, of.particles);
        let also = if (self.epoch, self.particles) == (chosen.epoch, chosen.particles) { ", whose latents are others" } else { "" };
        Err(Problem::input(format!("the region was drawn on {}, and is asked of {}{also}", says(self), says(chosen)))
            .hint(format!("name the job that it was drawn on, `--job {}`, or draw it in the report of `{}`", self.job, chosen.job)))
    }
}

impl Region {
    /// Refuses what is no region.
    ///
    /// # Errors
    /// If the file is of another version, or there are fewer than three corners, or a corner is not finite.
    pub fn check(self) -> Result<Self> {
        if self.schema != SCHEMA {
            return Err(Problem::input(format!("the region is of version {}, this program knows {SCHEMA}", self.schema))
                .hint("draw it again in a report of this version"));
        }
        if self.polygon.len() < 3 || self.polygon.iter().flatten().any(|v| !v.is_finite()) {
            return Err(Problem::input(format!("the region has {} corners that make no area", self.polygon.len())).hint("draw it again"));
        }
        Ok(self)
    }

    /// Whether a point lies inside, by the even-odd rule: where the line crosses itself, what is enclosed twice is outside.
    #[must_use]
    pub fn holds(&self, [x, y]: [f64; 2]) -> bool {
        let n = self.polygon.len();
        let crosses = |i: usize| {
            let ([ax, ay], [bx, by]) = (self.polygon[i], self.polygon[(i + 1) % n]);
            (ay > y) != (by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax)
        };
        (0..n).filter(|&i| crosses(i)).count() % 2 == 1
    }
}
