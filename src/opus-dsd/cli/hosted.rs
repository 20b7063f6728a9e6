//! From what was said to a job under a guard; shared by the verbs that a host starts.

use super::arguments::Said;
use crate::job::{guard, order::Job};
use crate::settings::said::TrainSaid;
use contract::{Problem, Result};

/// Starts a job and returns its exit status.
pub(super) fn start(options: TrainSaid, said: Said) -> Result<u8> {
    let Some(folder) = options.folder().cloned() else {
        return Err(Problem::input("missing").at("`--o`").hint("name the job folder: `--o External/job001/`"));
    };
    if options.input().is_none() {
        return Err(Problem::input("missing").at("`--in_parts`").hint("name the particles: `--in_parts Refine3D/job019/run_data.star`"));
    }
    options.check()?;
    let mut folder_name = folder.to_string_lossy().into_owned();
    if !folder_name.ends_with('/') {
        folder_name.push('/');
    }
    let mut notes = said.notes;
    for (name, given) in [("in_mics", &options.in_mics), ("in_movies", &options.in_movies), ("in_coords", &options.in_coords)] {
        if let Some(path) = given {
            notes.push(format!("`--{name} {}` is not used", path.display()));
        }
    }
    let command = std::env::args().take(1).chain(said.argv).collect();
    Ok(guard::run(&Job { folder, folder_name, said: options, command, notes }))
}
