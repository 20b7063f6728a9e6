//! `train --dry-run`: what would be done, and what it would need. Nothing is written.

use crate::job::console;
use crate::job::forecast::{CpuTime, Forecast, forecast};
use crate::job::progress::duration;
use crate::job::status::State;
use crate::machine::{disk, memory};
use crate::settings::plan;
use crate::settings::said::TrainSaid;
use crate::settings::values::YesNo;
use clap::{Arg, ArgMatches, value_parser};
use contract::{Problem, Result};
use std::fmt::Write as _;
use std::path::Path;

/// The option's name.
const ID: &str = "dry-run";

/// The option.
pub(super) fn arg() -> Arg {
    Arg::new(ID)
        .long(ID)
        .value_name("yes|no")
        .value_parser(value_parser!(YesNo))
        .num_args(0..=1)
        .default_missing_value("yes")
        .help_heading("Machine")
        .help("Say what would be done, and predict memory, disk and time; nothing is written")
}

/// Whether it is asked for.
pub(super) fn is_asked(matches: &ArgMatches) -> bool {
    matches.try_get_one::<YesNo>(ID).ok().flatten().is_some_and(|y| y.0)
}

/// Whether a command line that may be wrong asks for it.
pub(super) fn is_meant(argv: &[String]) -> bool {
    argv.iter().any(|t| t.split('=').next().is_some_and(|n| n.to_ascii_lowercase().replace('_', "-") == "--dry-run"))
}

/// Prints the forecast.
///
/// # Errors
/// What would end the job.
pub(super) fn run(said: &TrainSaid, notes: &[String]) -> Result<u8> {
    let folder = said.folder().ok_or_else(|| Problem::input("missing").at("`--o`").hint("name the job folder: `--o External/job001/`"))?;
    if said.input().is_none() {
        return Err(Problem::input("missing").at("`--in_parts`").hint("name the particles: `--in_parts Refine3D/job019/run_data.star`"));
    }
    said.check()?;
    if said.launch()?.is_some_and(|launch| launch.rank > 0) {
        // Rank 0 says it for all.
        return Ok(0);
    }
    let forecast = forecast(said, folder)?;
    console::print(for_people(&forecast, folder, notes).trim_end())?;
    forecast.check(folder)?;
    Ok(0)
}

fn for_people(forecast: &Forecast, folder: &Path, notes: &[String]) -> String {
    let Forecast { decided, particles, .. } = forecast;
    let mut text = "dry run: nothing is written\n".to_owned();
    for note in notes.iter().chain(&forecast.notes) {
        let _ = writeln!(text, "{note}");
    }
    for warning in &forecast.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for reason in &decided.reasons {
        let _ = writeln!(text, "  {:<20} {:<28} {}", reason.name, reason.value, reason.reason);
    }
    let size = disk::for_people;
    let free = |path: &Path| disk::free_bytes(path).map(|f| format!(" ({} free)", size(f))).unwrap_or_default();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<12} {what}");
    };
    line("folder", format!("{}: {}", folder.display(), continued(forecast.folder)));
    line("stages", "check, prepare, base, subspace, train, embed, cluster, decode, report, publish".into());
    let (place, prepared) = &forecast.prepared;
    line("disk", format!("prepared images {} in {}{}", size(*prepared), place.display(), free(place)));
    let (a_checkpoint, kept) = forecast.checkpoint;
    line("", format!("checkpoints about {kept} × {}, results about {}{}", size(a_checkpoint), size(forecast.results), free(folder)));
    let usable = if forecast.is_elsewhere() { String::new() } else { format!(" ({} can be had)", size(memory::read().usable())) };
    line("memory", format!("about {} of the host{usable}", size(forecast.host_memory)));
    if let Some(device) = forecast.device_memory {
        let (several, scarcest) = (decided.grid.engines.len() > 1, decided.grid.scarcest());
        let which = if several { format!("each of {}", decided.grid.engines.join(", ")) } else { decided.grid.device.id.clone() };
        let all = size(scarcest.memory_bytes);
        let there = match plan::left_by_others(scarcest) {
            Some(free) if several || *scarcest != decided.grid.device => format!("{} of {all} free on {}", size(free), scarcest.id),
            Some(free) => format!("{} of {all} free", size(free)),
            None => all,
        };
        line("", format!("about {} of {which} ({there})", size(device)));
    }
    line("time", time(forecast, *particles));
    text
}

fn continued(state: State) -> &'static str {
    match state {
        State::Empty => "new",
        State::Running => "a job is running in it, so another would be refused",
        State::Done => "holds a job that is done; only what has changed is made again",
        _ => "holds a job that did not end; it goes on from its last checkpoint",
    }
}

fn time(forecast: &Forecast, particles: usize) -> String {
    let decided = &forecast.decided;
    let (epochs, threads) = (decided.train.epochs, decided.grid.threads_that_train());
    let images = format!("{epochs} epochs of {particles} images");
    match forecast.cpu_time {
        Some(CpuTime { seconds, epoch_seconds, training_only }) => {
            let shared = if threads > 1 {
                format!("; {threads} threads take at best {}", duration(seconds / threads as f64))
            } else {
                String::new()
            };
            let whence = "from CPU seconds an image, measured on an AMD EPYC: docs/benchmarks/forecast.md";
            let left_out = if training_only { "; training alone, since no other stage of preset full was measured on a CPU" } else { "" };
            format!(
                "about {} of one core for {images}, {} an epoch{shared} ({whence}{left_out})",
                duration(seconds),
                duration(epoch_seconds)
            )
        }
        None => format!(
            "not measured yet on a GPU, so nothing is predicted for {images}; `opus-dsd status` gives the time to go after the first minute"
        ),
    }
}
