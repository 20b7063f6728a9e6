//! What a prepared set was made from, in a few characters.

use super::{PrepareOptions, grid_apix};
use crate::particles::ParticleSet;
use contract::{PREPARED_SCHEMA, Problem, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Pieces of all stacks together that are hashed, at most: 256 MB, which a slow disk reads in seconds. Half of every small set, so that a changed
/// image is seen; enough of a large one to see that another file has taken a stack's place.
const PIECES: u64 = 65_536;
/// Pieces of a stack, at least.
const LEAST_PIECES: u64 = 8;
/// Bytes of a piece.
const PIECE_BYTES: u64 = 4096;

/// Changes when the particles, their poses or optics, the images, or a setting that shapes the prepared images changes. Of the stacks the name,
/// the size and even pieces of the content count; not the time, which copying a project changes.
///
/// # Errors
/// A stack cannot be read, or the options make no sense.
pub fn fingerprint(set: &ParticleSet, options: &PrepareOptions) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(PREPARED_SCHEMA.to_le_bytes());
    hash.update((options.size_px as u64).to_le_bytes());
    hash.update(grid_apix(set, options)?.to_le_bytes());
    hash.update(format!("{:?}", options.invert));
    for known in &options.known {
        hash.update(format!("{known:?}\n"));
    }
    for group in &set.groups {
        hash.update(format!("{group:?}\n"));
    }
    for row in &set.rows {
        for index in [row.stack, row.slice, row.group] {
            hash.update(index.to_le_bytes());
        }
        let numbers = [
            row.rot_deg,
            row.tilt_deg,
            row.psi_deg,
            row.origin_x_angstrom,
            row.origin_y_angstrom,
            row.defocus_u_angstrom,
            row.defocus_v_angstrom,
            row.defocus_angle_deg,
            row.phase_shift_deg,
            row.ctf_bfactor_angstrom2,
            row.ctf_scale,
        ];
        numbers.iter().for_each(|v| hash.update(v.to_le_bytes()));
    }
    let most = (PIECES / set.stacks.len().max(1) as u64).max(LEAST_PIECES);
    for path in &set.stacks {
        // The folder may change with the place that the project is at.
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        pieces(path, most, &mut hash)?;
    }
    let digest = hash.finalize();
    Ok(digest[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Adds size and at most so many even pieces of a file.
fn pieces(path: &Path, most: u64, hash: &mut Sha256) -> Result<()> {
    let fail = |e: std::io::Error| Problem::io(path, &e);
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    hash.update(size.to_le_bytes());
    let mut piece = vec![0; size.min(PIECE_BYTES) as usize];
    let count = (size / (2 * PIECE_BYTES)).clamp(LEAST_PIECES, most);
    for i in 0..count {
        // From the header to the last bytes.
        let offset = (size - piece.len() as u64) * i / (count - 1);
        file.read_exact_at(&mut piece, offset).map_err(fail)?;
        hash.update(&piece);
    }
    Ok(())
}
