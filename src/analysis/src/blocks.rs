//! Sums over many rows that do not depend on the number of threads.

use contract::{Problem, Result};
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

/// Rows in a block: large enough to keep a core busy, small enough that a million rows feed many cores.
const BLOCK_ROWS: usize = 16_384;

/// Maps blocks of rows in parallel and hands the results back in the order of the rows.
pub(crate) fn map_blocks<T: Send>(rows: ArrayView2<'_, f32>, work: impl Fn(ArrayView2<'_, f32>) -> T + Sync + Send) -> Vec<T> {
    let blocks: Vec<_> = rows.axis_chunks_iter(Axis(0), BLOCK_ROWS).collect();
    blocks.into_par_iter().map(work).collect()
}

/// Refuses latents that nothing can be said about.
///
/// # Errors
/// If there are no rows or columns, or a value is not finite (the first such row is named, counted from 1).
pub(crate) fn check_latents(latents: ArrayView2<'_, f32>) -> Result<()> {
    if latents.nrows() == 0 || latents.ncols() == 0 {
        return Err(Problem::input(format!(
            "latents are {} × {}, expected at least one particle and one dimension",
            latents.nrows(),
            latents.ncols()
        )));
    }
    match latents.rows().into_iter().position(|row| row.iter().any(|v| !v.is_finite())) {
        Some(row) => Err(Problem::new(contract::Kind::Numerical, "latent is not a finite number").at(format!("particle {}", row + 1))),
        None => Ok(()),
    }
}
