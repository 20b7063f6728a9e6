//! `decode`: volumes of given latents, of particles, or along a principal component, from a trained job.

use super::arguments::Said;
use crate::host::relion::exit_files::{self, Outcome};
use crate::host::relion::job_star;
use crate::host::relion::nodes::{self, Content, Node};
use crate::job::console::Console;
use crate::job::decoding::{self, Form, Wish};
use crate::job::npy;
use crate::job::trained::{Epoch, Trained};
use crate::settings::values::YesNo;
use clap::{ArgGroup, ArgMatches, Args, Command, FromArgMatches};
use contract::{Kind, Problem, Result};
use ndarray::{Array2, Axis};
use std::path::{Path, PathBuf};

/// Points along a principal component where nothing is said.
const POINTS: usize = 10;

/// What is said of the volumes that are wanted.
#[derive(Args, Clone, Debug)]
struct DecodeSaid {
    /// Folder to write to
    #[arg(long = "o", short = 'o', value_name = "DIR/")]
    o: PathBuf,
    /// Folder of the trained job
    #[arg(long, value_name = "DIR", conflicts_with = "in_parts")]
    job: Option<PathBuf>,
    /// The trained job's particles.star, in place of --job (RELION then knows where this job comes from)
    #[arg(long, value_name = "FILE")]
    in_parts: Option<PathBuf>,
    /// Latents to decode, one a row: a NumPy file (.npy) or text with blanks or commas
    #[arg(long, value_name = "FILE", group = "what")]
    zfile: Option<PathBuf>,
    /// Points along this principal component of all latents, from 1, between its 5th and 95th percentile
    #[arg(long, value_name = "K", group = "what")]
    pc: Option<usize>,
    /// Number of points along the component [default: 10]
    #[arg(long, value_name = "N", conflicts_with_all = ["zfile", "particles"])]
    points: Option<usize>,
    /// Particles whose latents are decoded, from 0: 0,25,50, or a file with one a line
    #[arg(long, value_name = "LIST|FILE", group = "what")]
    particles: Option<String>,
    /// Epoch of the model: a number, latest or best
    #[arg(long, value_name = "N|WORD", default_value = "latest")]
    epoch: Epoch,
    /// Voxel size of the maps, Å [default: as the job's maps, or so that --box spans the same]
    #[arg(long, value_name = "Å")]
    apix: Option<f64>,
    /// Box of the maps, voxels [default: as the job's maps, or so that --apix spans the same]
    #[arg(long = "box", value_name = "N")]
    box_px: Option<usize>,
    /// Mirror the maps along z, which turns their hand
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes")]
    flip: Option<YesNo>,
    /// Turn the maps' sign
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes")]
    invert: Option<YesNo>,
    /// Threads
    #[arg(long = "j", short = 'j', alias = "threads", value_name = "N")]
    threads: Option<usize>,
    /// Device: cpu, cuda or cuda:N [default: the best there is]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Same as --o (RELION adds it now and then)
    #[arg(long, value_name = "DIR/", hide = true)]
    pipeline_control: Option<PathBuf>,
}

pub(super) fn command() -> Command {
    DecodeSaid::augment_args(Command::new("decode"))
        .group(ArgGroup::new("what").required(true))
        .about("Volumes of given latents, of particles, or along a principal component, from a trained job")
        .long_about(None)
        .after_help(
            "Writes DIR/vol_000.mrc and so on (DIR/pcK/ with --pc), z.txt with their latents, and pairs.csv where particles are named.\n\n\
             Example:\n  opus-dsd decode --job External/job007 --o External/job008/ --pc 1",
        )
}

pub(super) fn run(matches: &ArgMatches, said: Said) -> Result<u8> {
    let options = DecodeSaid::from_arg_matches(matches).map_err(|e| Problem::input(e.to_string()))?;
    let job = job_folder(&options)?;
    if same_folder(&job, &options.o) {
        // Said on stderr alone: not even an exit file is written to the trained job.
        let problem = Problem::input("is the trained job itself").at("`--o`").hint("name another folder; a trained job is not changed");
        Console::detached().problem(&problem);
        return Ok(problem.kind.exit_status());
    }
    std::fs::create_dir_all(&options.o).map_err(|e| Problem::io(&options.o, &e))?;
    exit_files::clear(&options.o)?;
    exit_files::clear_abort(&options.o)?;
    let mut console = Console::open(&options.o);
    for note in &said.notes {
        console.say(&format!("note: {note}"));
    }
    match write_volumes(&options, &job, &mut console) {
        Ok(()) => exit_files::write(&options.o, Outcome::Success).map(|()| 0),
        Err(problem) if problem.kind == Kind::Aborted => {
            console.problem(&problem);
            exit_files::write(&options.o, Outcome::Aborted).map(|()| problem.kind.exit_status())
        }
        Err(problem) => Err(problem),
    }
}

fn write_volumes(options: &DecodeSaid, job: &Path, console: &mut Console) -> Result<()> {
    let trained = Trained::open(job, options.epoch)?;
    let wish = wish(options, &trained)?;
    let form = form(options, trained.box_px, trained.apix)?;
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    console.say(&format!(
        "{} volumes of {} voxels of {:.4} Å, from epoch {} of {}",
        wish.latents.nrows(),
        form.box_px,
        form.apix,
        trained.epoch,
        job.display()
    ));
    decoding::run(&trained, &wish, &form, (options.device.as_deref(), threads), &options.o, console)?;
    console.say(&format!("written to {}", wish.folder.display()));
    offer(options, &wish)
}

/// Offers the maps to the host's next job, where a host runs this one.
fn offer(options: &DecodeSaid, wish: &Wish) -> Result<()> {
    let Some(host) = job_star::of_folder(&options.o)? else { return Ok(()) };
    let inner = wish.folder.strip_prefix(&options.o).unwrap_or(Path::new(""));
    let name = |row| inner.join(decoding::map_file(row)).to_string_lossy().into_owned();
    let maps: Vec<Node> = (0..wish.latents.nrows()).map(|row| Node { file: name(row), content: Content::Map }).collect();
    let mut folder_name = options.o.to_string_lossy().into_owned();
    if !folder_name.ends_with('/') {
        folder_name.push('/');
    }
    nodes::write(&options.o, &folder_name, &maps, host.version)
}

fn job_folder(options: &DecodeSaid) -> Result<PathBuf> {
    let parent = |file: &PathBuf| file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    options.job.clone().or_else(|| options.in_parts.as_ref().map(parent)).ok_or_else(|| {
        Problem::input("missing").at("`--job`").hint("name the trained job: `--job External/job007`, or its particles.star as `--in_parts`")
    })
}

fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Which latents, and where their maps go.
fn wish(options: &DecodeSaid, trained: &Trained) -> Result<Wish> {
    let all = &trained.latents;
    if let Some(component) = options.pc {
        let component =
            component.checked_sub(1).ok_or_else(|| Problem::input("components count from 1").at("`--pc`").hint("the first is `--pc 1`"))?;
        let pca = analysis::pca(all.view())?;
        let path = pca
            .traversal(all.view(), component, options.points.unwrap_or(POINTS))
            .map_err(|p| p.at("`--pc`, `--points`").hint(format!("a component from 1 to {}, and at least one point", all.ncols())))?;
        let folder = options.o.join(format!("pc{}", component + 1));
        return Ok(Wish { latents: path.mapv(|v| v as f32), particles: None, folder });
    }
    if let Some(list) = &options.particles {
        let particles = particle_list(list, all.nrows())?;
        return Ok(Wish { latents: all.select(Axis(0), &particles), particles: Some(particles), folder: options.o.clone() });
    }
    let path = options.zfile.as_ref().ok_or_else(|| Problem::input("missing").at("`--zfile`"))?;
    let latents = read_latents(path)?;
    if latents.ncols() != all.ncols() {
        return Err(Problem::input(format!("has {} values a row, the job's latents have {}", latents.ncols(), all.ncols()))
            .at(path.display().to_string())
            .hint("give one row of all latent dimensions a volume"));
    }
    if latents.nrows() == 0 || latents.iter().any(|v| !v.is_finite()) {
        return Err(Problem::input("holds no rows, or values that are not finite").at(path.display().to_string()));
    }
    Ok(Wish { latents, particles: None, folder: options.o.clone() })
}

/// Particles by number, each known to the job.
fn particle_list(list: &str, particles: usize) -> Result<Vec<usize>> {
    let path = Path::new(list);
    let text = if path.is_file() { std::fs::read_to_string(path).map_err(|e| Problem::io(path, &e))? } else { list.to_owned() };
    let wrong = |word: &str, what: String| {
        Problem::input(what)
            .at(format!("`--particles` {word}"))
            .hint(format!("give numbers from 0 to {} with commas between them, or a file that holds them", particles.saturating_sub(1)))
    };
    let numbers: Vec<usize> = text
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| match word.parse() {
            Ok(number) if number < particles => Ok(number),
            Ok(number) => Err(wrong(word, format!("the job has no particle {number}"))),
            Err(_) => Err(wrong(word, "neither a number nor a file that is there".into())),
        })
        .collect::<Result<_>>()?;
    if numbers.is_empty() { Err(wrong(list, "names no particle".into())) } else { Ok(numbers) }
}

/// Latents from a NumPy file, else from text.
fn read_latents(path: &Path) -> Result<Array2<f32>> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) {
        return npy::read(path).map_err(|p| p.hint("write it as float32: `numpy.save(file, z.astype('float32'))`"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Problem::io(path, &e).hint("name the file with the latents: `--zfile z.txt`"))?;
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
        let wrong = |what: String| {
            Problem::input(what)
                .at(format!("{}, line {}", path.display(), number + 1))
                .hint("give one row of numbers a volume, all of one length")
        };
        let cells = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|c| !c.is_empty());
        let row: Vec<f32> = cells.map(|c| c.parse().map_err(|_| wrong(format!("`{c}` is not a number")))).collect::<Result<_>>()?;
        if rows.first().is_some_and(|first| first.len() != row.len()) {
            return Err(wrong(format!("{} values after rows of {}", row.len(), rows[0].len())));
        }
        rows.push(row);
    }
    let shape = (rows.len(), rows.first().map_or(0, Vec::len));
    Array2::from_shape_vec(shape, rows.concat()).map_err(|e| Problem::failed(e.to_string()).at(path.display().to_string()))
}

/// Box and voxel size: as the job's; where only one is said, the other keeps what the map spans.
fn form(options: &DecodeSaid, box_px: usize, apix: f64) -> Result<Form> {
    let span = box_px as f64 * apix;
    let (box_px, apix) = match (options.box_px, options.apix) {
        (None, None) => (box_px, apix),
        (Some(n), None) => (n, span / n.max(1) as f64),
        (None, Some(a)) => (2 * (span / a / 2.0).round() as usize, a),
        (Some(n), Some(a)) => (n, a),
    };
    if box_px < 2 || apix.is_nan() || apix <= 0.0 {
        return Err(Problem::input(format!("maps of {box_px} voxels of {apix} Å cannot be written"))
            .at("`--box`, `--apix`")
            .hint("leave both out to get maps like those of the job"));
    }
    Ok(Form { box_px, apix, flip: options.flip.is_some_and(|y| y.0), invert: options.invert.is_some_and(|y| y.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> DecodeSaid {
        let matches = command().no_binary_name(true).try_get_matches_from(line.split_whitespace()).unwrap();
        DecodeSaid::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn one_of_the_three_is_asked_for() {
        let parse = |line: &str| command().no_binary_name(true).try_get_matches_from(line.split_whitespace()).is_ok();
        assert!(parse("--o d/ --job j --pc 1 --points 3"));
        assert!(!parse("--o d/ --job j"));
        assert!(!parse("--o d/ --job j --pc 1 --particles 0"));
        assert!(!parse("--o d/ --job j --zfile z.txt --points 3"));
    }

    #[test]
    fn what_is_not_said_keeps_the_span() {
        let form = |line: &str| form(&options(&format!("--o d --pc 1 {line}")), 48, 2.0).map(|f| (f.box_px, f.apix));
        assert_eq!(form("").unwrap(), (48, 2.0));
        assert_eq!(form("--box 32").unwrap(), (32, 3.0));
        assert_eq!(form("--apix 4").unwrap(), (24, 4.0));
        assert!(form("--apix 0").is_err());
    }

    #[test]
    fn particles_come_as_a_list_or_a_file() {
        assert_eq!(particle_list("0,25,3", 26).unwrap(), [0, 25, 3]);
        assert!(particle_list("26", 26).unwrap_err().to_string().contains("no particle 26"));
        assert!(particle_list("list.txt", 26).is_err());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.txt");
        std::fs::write(&file, "4\n2\n").unwrap();
        assert_eq!(particle_list(&file.to_string_lossy(), 26).unwrap(), [4, 2]);
    }

    #[test]
    fn latents_come_as_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("z.txt");
        std::fs::write(&file, "# two\n1 2\n3,4.5\n").unwrap();
        assert_eq!(read_latents(&file).unwrap(), ndarray::array![[1.0, 2.0], [3.0, 4.5]]);
        std::fs::write(&file, "1 2\n3\n").unwrap();
        assert!(read_latents(&file).unwrap_err().to_string().contains("line 2"));
    }
}
