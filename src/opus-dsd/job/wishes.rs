//! Which latents a decoding job is asked for, and in which form.

use super::npy;
use super::stages::series;
use super::trained::Trained;
use super::way::{self, Land};
use crate::settings::defaults::POINTS;
use crate::settings::said::{DecodeSaid, MapsSaid};
use crate::settings::values::Stop;
use contract::{MapForm, Problem, Result};
use ndarray::{Array2, Axis};
use std::fmt::Write as _;
use std::path::Path;

/// Folder of the maps along a way.
const PATH: &str = "path";
/// Name of the script and the movie of maps that lie in the job folder itself.
const MAPS: &str = "maps";
/// Voxels of a map's side that may be asked for: such a map is 4.3 GB, and is made in memory.
const MOST_BOX_PX: usize = 1024;

/// What to decode.
pub(crate) struct Wish {
    /// One a row, `[n, zdim]`.
    pub(super) latents: Array2<f32>,
    /// The particles that they belong to, 0-based, where they belong to particles.
    pub(super) particles: Option<Vec<usize>>,
    /// Where the maps go, relative to the job folder; empty for the job folder itself.
    pub(super) folder: String,
    /// For people.
    pub(super) name: String,
    /// What is to be said of it.
    pub(super) warning: Option<String>,
}

impl Wish {
    /// Whether its latents lie along a line, with a folder of their own.
    pub(super) fn is_series(&self) -> bool {
        !self.folder.is_empty()
    }

    /// Name of the script and the movie, without extension.
    pub(super) fn stem(&self) -> &str {
        if self.is_series() { &self.name } else { MAPS }
    }

    /// A file beside the maps, relative to the job folder.
    pub(super) fn beside(&self, name: &str) -> String {
        Path::new(&self.folder).join(name).to_string_lossy().into_owned()
    }

    fn of(latents: Array2<f32>, name: &str) -> Self {
        Self { latents, particles: None, folder: String::new(), name: name.into(), warning: None }
    }
}

/// Which latents, and where their maps go.
pub(super) fn wish(options: &DecodeSaid, trained: &Trained) -> Result<Wish> {
    let all = &trained.latents;
    if let Some(component) = options.pc {
        let component =
            component.checked_sub(1).ok_or_else(|| Problem::input("components count from 1").at("`--pc`").hint("the first is `--pc 1`"))?;
        let pca = analysis::pca(all.view())?;
        let path = pca
            .traversal(all.view(), component, options.points.unwrap_or(POINTS))
            .map_err(|p| p.at("`--pc`, `--points`").hint(format!("a component from 1 to {}, and at least one point", all.ncols())))?;
        let folder = format!("pc{}", component + 1);
        return Ok(Wish { folder: folder.clone(), ..Wish::of(path.mapv(|v| v as f32), &folder) });
    }
    if let Some(stops) = &options.path {
        let mut land = Land::new(all);
        let rows = stops.0.iter().map(|stop| row_of(*stop, trained, &land)).collect::<Result<Vec<_>>>()?;
        let way = land.way(&rows, options.points.unwrap_or(POINTS)).map_err(|p| p.at("`--path`, `--points`"))?;
        return Ok(Wish {
            particles: Some(way.stations.clone()),
            folder: PATH.into(),
            warning: way::gap_warning("the way", &way),
            ..Wish::of(all.select(Axis(0), &way.stations), PATH)
        });
    }
    if let Some(list) = &options.particles {
        let particles = particle_list(list, all.nrows())?;
        let latents = all.select(Axis(0), &particles);
        return Ok(Wish { particles: Some(particles), ..Wish::of(latents, series::PARTICLES) });
    }
    let path = options.zfile.as_ref().ok_or_else(|| Problem::input("missing").at("`--zfile`"))?;
    let latents = read_latents(path)?;
    if latents.nrows() == 0 || latents.iter().any(|v| !v.is_finite()) {
        return Err(Problem::input("holds no rows, or values that are not finite")
            .at(path.display().to_string())
            .hint("give one row of finite numbers a volume"));
    }
    if latents.ncols() != all.ncols() {
        return Err(Problem::input(format!("has {} values a row, the job's latents have {}", latents.ncols(), all.ncols()))
            .at(path.display().to_string())
            .hint("give one row of all latent dimensions a volume"));
    }
    Ok(Wish::of(latents, series::LATENTS))
}

/// The particle at which a way stops: of a state, the one nearest to the latent that its map was decoded at.
fn row_of(stop: Stop, trained: &Trained, land: &Land<'_>) -> Result<usize> {
    let (particles, states) = (trained.latents.nrows(), &trained.states);
    match stop {
        Stop::Particle(row) if row < particles => Ok(row),
        Stop::Particle(row) => Err(Problem::input(format!("the job has no particle {}", row + 1))
            .at("`--path`")
            .hint(format!("particles count from 1 to {particles}"))),
        Stop::State(_) if trained.states_epoch != trained.epoch => {
            Err(Problem::input(format!("the job's states are of epoch {}, the model is of epoch {}", trained.states_epoch, trained.epoch))
                .at("`--path`")
                .hint(format!("give `--epoch {}`, or particles: `--path p1,p25`", trained.states_epoch)))
        }
        Stop::State(class) => match states.iter().find(|state| state.class == class) {
            Some(state) => Ok(land.nearest(&state.z)),
            None => Err(Problem::input(format!("the job has no state {class}")).at("`--path`").hint(format!(
                "its states: {}; particles have `p` before their number",
                if states.is_empty() { "none yet".into() } else { format!("1 to {}", states.len()) }
            ))),
        },
    }
}

/// Rows, from 0, of particles by their numbers, which people count from 1 as a STAR file's rows; each is known to the job.
pub(super) fn particle_list(list: &str, particles: usize) -> Result<Vec<usize>> {
    let path = Path::new(list);
    let text = if path.is_file() { std::fs::read_to_string(path).map_err(|e| Problem::io(path, &e))? } else { list.to_owned() };
    let wrong = |word: &str, what: String| {
        Problem::input(what)
            .at(format!("`--particles` {word}"))
            .hint(format!("give numbers from 1 to {particles} with commas between them, or a file that holds them"))
    };
    let numbers = row_numbers(&text, particles).map_err(|word| match word.parse::<usize>() {
        Ok(number) => wrong(word, format!("the job has no particle {number}")),
        Err(_) => wrong(word, "neither a number nor a file that is there".into()),
    })?;
    if numbers.is_empty() { Err(wrong(list, "names no particle".into())) } else { Ok(numbers) }
}

/// Rows, from 0, of numbers that count from 1, with commas or blanks between them; else the first word that is none of `particles` rows.
pub(super) fn row_numbers(text: &str, particles: usize) -> std::result::Result<Vec<usize>, &str> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.map(|word| word.parse::<usize>().ok().filter(|n| (1..=particles).contains(n)).map(|n| n - 1).ok_or(word)).collect()
}

/// Latents from a NumPy file, else from text.
fn read_latents(path: &Path) -> Result<Array2<f32>> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) {
        return npy::read(path).map_err(|p| p.hint("write rows of latents as numbers: `numpy.save(file, z.astype('float32'))`"));
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
    if rows.is_empty() {
        return Err(Problem::input("holds no latents").at(path.display().to_string()).hint("give one row of numbers a volume"));
    }
    let shape = (rows.len(), rows.first().map_or(0, Vec::len));
    Array2::from_shape_vec(shape, rows.concat()).map_err(|e| Problem::failed(e.to_string()).at(path.display().to_string()))
}

/// The job's form of maps with what is said of it.
pub(super) fn form(said: &MapsSaid, trained: &Trained) -> Result<MapForm> {
    let (box_px, apix) = grid((said.box_px, said.apix), trained.box_px, trained.apix)?;
    let own = MapForm { origin_angstrom: trained.origin_angstrom, ..MapForm::plain(trained.box_px, trained.apix) };
    let (flip, invert) = (said.flip.is_some_and(|y| y.0), said.invert.is_some_and(|y| y.0));
    Ok(MapForm { flip, invert, lowpass_angstrom: said.lowpass, ..own.on_grid(box_px, apix) })
}

/// A form of maps for people.
pub(super) fn in_words(form: &MapForm) -> String {
    let mut words = format!("{} voxels of {:.4} Å", form.box_px, form.apix);
    if let Some(resolution) = form.lowpass_angstrom {
        let _ = write!(words, ", low-passed to {resolution} Å");
    }
    for (yes, what) in [(form.flip, ", mirrored"), (form.invert, ", sign turned")] {
        words.push_str(if yes { what } else { "" });
    }
    words
}

/// Box and voxel size: as the job's; where only one is said, the other keeps what the map spans.
fn grid(wanted: (Option<usize>, Option<f64>), box_px: usize, apix: f64) -> Result<(usize, f64)> {
    let span = box_px as f64 * apix;
    let most = MOST_BOX_PX.max(box_px);
    let (box_px, apix) = match wanted {
        (None, None) => (box_px, apix),
        (Some(n), None) => (n, span / n.max(1) as f64),
        (None, Some(a)) => (2 * (span / a / 2.0).round() as usize, a),
        (Some(n), Some(a)) => (n, a),
    };
    if box_px < 2 || apix.is_nan() || apix <= 0.0 || box_px > most {
        return Err(Problem::input(format!("maps of {box_px} voxels of {apix} Å a side cannot be written"))
            .at("`--box`, `--apix`")
            .hint(format!("leave both out to get maps like those of the job, or ask for 2 to {most} voxels")));
    }
    Ok((box_px, apix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_keeps_the_span() {
        assert_eq!(grid((None, None), 48, 2.0), Ok((48, 2.0)));
        assert_eq!(grid((Some(32), None), 48, 2.0), Ok((32, 3.0)));
        assert_eq!(grid((None, Some(4.0)), 48, 2.0), Ok((24, 4.0)));
        assert!(grid((None, Some(0.0)), 48, 2.0).is_err());
        assert!(grid((None, Some(0.01)), 48, 2.0).unwrap_err().to_string().contains("maps of 9600 voxels"));
    }

    #[test]
    fn particles_come_as_a_list_or_a_file() {
        assert_eq!(particle_list("1,26,4", 26).unwrap(), [0, 25, 3]);
        for wrong in ["0", "27"] {
            let problem = particle_list(wrong, 26).unwrap_err().to_string();
            assert!(problem.contains(&format!("no particle {wrong};")) && problem.contains("from 1 to 26"), "{problem}");
        }
        assert!(particle_list("list.txt", 26).is_err());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.txt");
        std::fs::write(&file, "4\n2\n").unwrap();
        assert_eq!(particle_list(&file.to_string_lossy(), 26).unwrap(), [3, 1]);
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
