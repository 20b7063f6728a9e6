//! From what was said to a job under a guard; shared by the verbs that a host starts.

use super::arguments::Said;
use crate::host::relion::{exit_files, job_star};
use crate::job::console::Console;
use crate::job::lock::{self, Lock};
use crate::job::{guard, launcher, order::Job, order::Order};
use contract::{Problem, Result};

/// Starts a job and returns its exit status.
pub(super) fn start(mut order: Order, said: Said) -> Result<u8> {
    let Some(folder) = order.folder().map(std::path::Path::to_path_buf) else {
        return Err(Problem::input("missing").at("`--o`").hint("name the job folder: `--o External/job001/`"));
    };
    if let Some(problem) = order.harm_to_folder() {
        // A host that has started the job anew looks for an exit file.
        let awaited = job_star::of_folder(&folder)?.is_some() && exit_files::read(&folder).is_none() && lock::look(&folder)? != Lock::Taken;
        if awaited && !order.is_in_its_input() {
            return Err(problem);
        }
        // Said on stderr alone: not even an exit file is written to a job that ended or runs.
        Console::detached().problem(&problem);
        return Ok(problem.kind.exit_status());
    }
    order.check()?;
    let mut folder_name = folder.to_string_lossy().into_owned();
    if !folder_name.ends_with('/') {
        folder_name.push('/');
    }
    let mut notes = said.notes;
    if order.threads().is_none()
        && let Some(threads) = job_star::of_folder(&folder)?.and_then(|star| star.threads())
    {
        // The CCP-EM Pipeliner leaves `--j 1` out of an External job's command line.
        order.set_threads(threads);
        notes.push(format!("`--j {threads}` is taken from job.star"));
    }
    let command = std::env::args().take(1).chain(said.argv).collect();
    let launch = order.launch()?;
    let job = Job { folder, folder_name, order, command, notes };
    Ok(match launch {
        Some(launch) if launch.rank > 0 => launcher::run(&job, &launch),
        _ => guard::run(&job),
    })
}
