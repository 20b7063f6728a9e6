//! `demo`: the whole job on a small bundled set in a scratch project, scored against the truth at its end.

use crate::job::console::Console;
use crate::job::npy;
use analysis::score;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Problem, Result};
use ndarray::ArrayView2;
use std::path::{Path, PathBuf};
use std::process;

/// What the job reads; the truth stays behind.
const INPUTS: [&str; 3] = ["particles.star", "particles.mrcs", "mask.mrc"];
/// The truth.
const LABELS: &str = "labels.csv";
/// The job's folder in the scratch project.
const JOB: &str = "External/job001/";
/// Places of the bundled set, from the executable's folder: as installed, and as built.
const PLACES: [&str; 2] = ["../share/opus-dsd/demo", "../../tests/data/demo"];
/// Below these scores something is broken: a run that learns nothing of the arm has R² 0, one blind to the part is right half of the time.
const LEAST_ARM_R2: f64 = 0.80;
const LEAST_PART_ACCURACY: f64 = 0.90;

/// What is said of the demo.
#[derive(Args, Clone, Debug)]
struct DemoSaid {
    /// Folder of the scratch project
    #[arg(long = "o", short = 'o', value_name = "DIR/", default_value = "opus-dsd-demo")]
    o: PathBuf,
    /// Threads
    #[arg(long = "j", value_name = "N")]
    j: Option<usize>,
    /// Folder of the bundled set, where it is not beside the program
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) fn command() -> Command {
    DemoSaid::augment_args(Command::new("demo"))
        .about("Runs the whole job on a small bundled set in a scratch project, and scores itself against the truth")
        .long_about(None)
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8> {
    let said = DemoSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    let mut console = Console::detached();
    let data = said.data.clone().map_or_else(find_data, Ok)?;
    set_up(&data, &said.o)?;
    console.say(&format!("scratch project: {} (1000 particles of 48 pixels; an arm swings, a part comes and goes)", said.o.display()));

    let mut arguments: Vec<String> =
        ["train", "--o", JOB, "--in_parts", INPUTS[0], "--in_mask", INPUTS[2], "--preset", "tiny"].map(String::from).to_vec();
    if let Some(threads) = said.j {
        arguments.extend(["--j".into(), threads.to_string()]);
    }
    console.say(&format!("in it: opus-dsd {}", arguments.join(" ")));
    let program = std::env::current_exe().map_err(|e| Problem::failed(format!("this program's own path is not to be had: {e}")))?;
    let status = process::Command::new(&program).args(&arguments).current_dir(&said.o).status().map_err(|e| Problem::io(&program, &e))?;
    if !status.success() {
        let code = status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1);
        console.say("the demo's job did not end well; its messages are above");
        return Ok(code);
    }
    let job = said.o.join(JOB);
    grade(&mut console, &data.join(LABELS), &job)?;
    console.say(&format!("report: {}", job.join("report.html").display()));
    Ok(0)
}

fn find_data() -> Result<PathBuf> {
    let program = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .map_err(|e| Problem::failed(format!("this program's own path is not to be had: {e}")))?;
    let folder = program.parent().unwrap_or(Path::new("."));
    PLACES.iter().map(|place| folder.join(place)).find(|place| place.join(LABELS).exists()).ok_or_else(|| {
        Problem::input("the bundled set is not beside this program")
            .at("demo")
            .hint("name its folder: `--data DIR` (tests/data/demo in the sources)")
    })
}

/// Copies what the job reads; a project that is there already goes on.
fn set_up(data: &Path, project: &Path) -> Result<()> {
    std::fs::create_dir_all(project.join(JOB)).map_err(|e| Problem::io(project, &e))?;
    for name in INPUTS {
        let (from, to) = (data.join(name), project.join(name));
        if !to.exists() {
            std::fs::copy(&from, &to).map_err(|e| Problem::io(&from, &e))?;
        }
    }
    Ok(())
}

/// Scores the latents, says it, and fails below the floors.
fn grade(console: &mut Console, labels: &Path, job: &Path) -> Result<()> {
    let (positions, parts) = read_truth(labels)?;
    let latents = npy::read(&job.join("latents.npy"))?;
    let (arm, part) = measure(latents.view(), &positions, &parts)?;
    let ok = |fine: bool| if fine { "passed" } else { "FAILED" };
    let (arm_fine, part_fine) = (arm >= LEAST_ARM_R2, part >= LEAST_PART_ACCURACY);
    console.say(&format!(
        "scored against the truth: position of the arm from the latents: R² {arm:.3} (floor {LEAST_ARM_R2}): {}",
        ok(arm_fine)
    ));
    console.say(&format!(
        "scored against the truth: presence of the part from the latents: {:.1}% right (floor {:.0}%): {}",
        100.0 * part,
        100.0 * LEAST_PART_ACCURACY,
        ok(part_fine)
    ));
    if arm_fine && part_fine {
        return Ok(());
    }
    Err(Problem::failed("the latents do not tell what the particles are")
        .at("demo")
        .hint("this installation computes something wrong; run the tests: `cargo xtask test`"))
}

fn measure(latents: ArrayView2<'_, f32>, positions: &[f64], parts: &[usize]) -> Result<(f64, f64)> {
    Ok((score::continuous(latents, positions)?.knn_r2, score::discrete(latents, parts)?.knn_accuracy))
}

/// Position of the arm and presence of the part, a particle each; odd states have the part.
fn read_truth(path: &Path) -> Result<(Vec<f64>, Vec<usize>)> {
    let text = std::fs::read_to_string(path).map_err(|e| Problem::io(path, &e))?;
    let wrong = |line: usize| {
        Problem::input("no state and position")
            .at(format!("{}, line {line}", path.display()))
            .hint("make the set again with `opus-dsd simulate`")
    };
    let rows = text.lines().enumerate().skip(1).map(|(i, line)| {
        let mut cells = line.split(',').skip(1);
        let state = cells.next().and_then(|c| c.parse::<usize>().ok());
        let position = cells.next().and_then(|c| c.parse::<f64>().ok());
        state.zip(position).map(|(s, t)| (t, s % 2)).ok_or_else(|| wrong(i + 1))
    });
    rows.collect::<Result<Vec<_>>>().map(|rows| rows.into_iter().unzip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_of_the_bundled_set_is_read() {
        let (positions, parts) = read_truth(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo").join(LABELS)).unwrap();
        assert_eq!((positions.len(), parts.len()), (1000, 1000));
        assert!(positions.iter().all(|t| (0.0..=1.0).contains(t)));
        let with_part = parts.iter().sum::<usize>();
        assert!((400..600).contains(&with_part), "{with_part}");
    }

    #[test]
    fn latents_that_say_nothing_are_below_the_floors() {
        let (positions, parts) = read_truth(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo").join(LABELS)).unwrap();
        let mut random = cryoem::random::Random::new(1, 2);
        let noise = ndarray::Array2::from_shape_fn((1000, 8), |_| random.normal() as f32);
        let (arm, part) = measure(noise.view(), &positions, &parts).unwrap();
        assert!(arm < LEAST_ARM_R2 && part < LEAST_PART_ACCURACY, "{arm} {part}");
    }
}
