//! Movies of ways through the latents, as animated PNG that every browser shows: the surface beside the central slice.

use crate::chimerax::{level_in_files, write_morph};
use crate::pages::maps::slices;
use crate::picture::Frames;
use crate::story::{Story, Way};
use crate::surface::{Picture, View};
use crate::thumbnail::Scale;
use contract::{Problem, Result};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use std::path::{Path, PathBuf};

/// Side of the surface and of the slice, pixels.
const SIDE_PX: usize = 240;
/// Time that a frame stands.
const FRAME_MILLISECONDS: u16 = 120;

/// Writes one movie a way of two maps or more into a folder, which is made where it is missing; returns the files.
///
/// # Errors
/// If a file cannot be written.
pub fn write_movies(story: &Story, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(|e| Problem::io(folder, &e))?;
    let view = View::of(story);
    story.ways.iter().filter(|way| way.moves()).map(|way| write_movie(way, view, folder)).collect()
}

/// Writes a script for ChimeraX and a movie of one way into a folder, at a level of its first map; returns the files, none where the way has a
/// single map. `files_inverted`: the maps' files hold them with their sign turned.
///
/// # Errors
/// If a file cannot be written.
pub fn write_way(way: &Way, files_inverted: bool, folder: &Path) -> Result<Vec<PathBuf>> {
    if !way.moves() {
        return Ok(Vec::new());
    }
    let view = View::of_way(way);
    Ok(vec![write_morph(way, level_in_files(view.level(), files_inverted), folder)?, write_movie(way, view, folder)?])
}

fn write_movie(way: &Way, view: View, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("{}.apng", way.stem));
    let scale = Scale::of(way.maps.iter().flat_map(|map| slices(map)[0].into_iter()));
    let frames = way.maps.iter().map(|map| {
        let cut = enlarged(slices(map)[0]).mapv(|v| Some(scale.share(v)));
        concatenate(Axis(1), &[view.front(map, SIDE_PX).view(), cut.view()])
            .map_err(|e| Problem::failed(format!("a movie's frame could not be made: {e}")))
    });
    let frames = frames.collect::<Result<Vec<Picture>>>()?;
    crate::pdf::replace(&path, &Frames::of(&frames).there_and_back(FRAME_MILLISECONDS)?)?;
    Ok(path)
}

/// A slice at the movie's size, every voxel a square.
fn enlarged(slice: ArrayView2<'_, f32>) -> Array2<f32> {
    let (rows, columns) = slice.dim();
    Array2::from_shape_fn((SIDE_PX, SIDE_PX), |(i, j)| slice[[i * rows / SIDE_PX, j * columns / SIDE_PX]])
}
