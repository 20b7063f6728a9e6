//! `bench`: what a training step costs, part by part, beside what the machine does at best.
//!
//! The parts are the product's own functions on a synthetic set; the whole step is the one that training runs. Lifted cubes are made anew
//! every step, as in runs too large to keep them.

mod arguments;
mod ceilings;
mod clock;
mod fixture;
mod layers;
mod parts;
pub mod report;
mod shapes;
mod work;

pub use ceilings::Ceiling;
pub use clock::{Timing, cpu_seconds, median};
pub use parts::{InGroup, Part};
pub use shapes::Shape;

use crate::model::tuning::Wishes;
use crate::world::Ranks;
use crate::{devices, torch};
use arguments::{HELP, Measurement, Order};
use contract::{Problem, Result, World};
use fixture::Fixture;
use parts::Runner;
use report::{BENCH_SCHEMA, Report, compare};
use std::io::Write;

/// Where a group of one meets.
const LOOPBACK: &str = "127.0.0.1";

/// Runs the words after `bench`.
///
/// # Errors
/// A line that is not understood, a device that is not there, or files that cannot be read or written.
pub fn run(words: &[String]) -> Result<()> {
    match arguments::parse(words)? {
        Order::Help => say(HELP),
        Order::Compare(a, b) => say(&compare(&Report::read(&a)?, &Report::read(&b)?)?),
        Order::Measure(what) => {
            let report = measure(&what)?;
            let json = report.json()?;
            if let Some(path) = &what.output {
                std::fs::write(path, format!("{json}\n")).map_err(|e| Problem::io(path, &e))?;
            }
            say(&if what.json { json } else { report.table() });
        }
    }
    Ok(())
}

/// On stdout; a reader that has left does not matter.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

fn measure(what: &Measurement) -> Result<Report> {
    torch::init_torch()?;
    let device = devices::find(&what.device)?;
    tch::set_num_threads(i32::try_from(what.threads).unwrap_or(1));
    devices::keep_freed_memory(device);
    let tuning = what.wishes.or(Wishes::of_environment()?).settle(device);
    let fixture = Fixture::new(&what.shape, device)?;
    let mut runner = Runner::new(&what.shape, device, &fixture, (what.warm_up, what.steps))?;
    let step = runner.whole_step();
    let peak_bytes = clock::peak_bytes(device);
    let in_group = if what.group {
        // Nobody else comes, so nobody need be told where.
        let world = World { rank: 0, size: 1, here: 1, meeting: LOOPBACK.into() };
        Some(runner.in_group(&Ranks::join(Some(&world), device, &|_| {})?))
    } else {
        None
    };
    let images = what.shape.batch as f64;
    let name = devices::list().into_iter().find(|d| d.id == what.device).map_or_else(|| what.device.clone(), |d| d.name);
    let (mut parts, mut layers, mut ceilings) = (Vec::new(), Vec::new(), Vec::new());
    if what.parts {
        parts = runner.parts()?;
        layers = layers::layers(&what.shape, &fixture.assembly, device, (what.warm_up, what.steps));
        ceilings = ceilings::ceilings(device, what.shape.precision, what.steps);
    }
    Ok(Report {
        cpu_seconds_per_image: step.cpu_seconds / images,
        images_per_second: images / step.wall_seconds,
        peak_bytes,
        predicted_bytes: what.shape.predicted_bytes(),
        schema: BENCH_SCHEMA,
        build_id: crate::BUILD_ID.into(),
        device_name: name,
        device: what.device.clone(),
        threads: what.threads,
        shape: what.shape.clone(),
        tuning: Some(tuning),
        step,
        in_group,
        of_plain_convolutions: of_plain(&parts, &layers),
        parts,
        layers,
        ceilings,
    })
}

/// Rate of the networks over that of their convolutions alone; 0 where nothing was measured.
fn of_plain(parts: &[Part], layers: &[Part]) -> f64 {
    let rate = |parts: &mut dyn Iterator<Item = &Part>| {
        let (flop, seconds) = parts.fold((0.0, 0.0), |(flop, seconds), part| (flop + part.flop, seconds + part.seconds().0));
        if seconds > 0.0 { flop / seconds } else { 0.0 }
    };
    let plain = rate(&mut layers.iter());
    if plain > 0.0 { rate(&mut parts.iter().filter(|part| parts::NETWORKS.contains(&&*part.name))) / plain } else { 0.0 }
}
