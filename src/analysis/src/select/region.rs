//! A region drawn on a picture of the latents.

use contract::{Problem, Result};
use serde::{Deserialize, Serialize};

/// Version of the file that a report exports.
const SCHEMA: u32 = 1;

/// A polygon on a picture, in the picture's coordinates. As a file: `{"schema":1,"embedding":"umap","polygon":[[x,y],…]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Version of the file.
    pub schema: u32,
    /// The picture that it was drawn on.
    pub embedding: String,
    /// Corners in their order; the last is joined to the first.
    pub polygon: Vec<[f64; 2]>,
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
