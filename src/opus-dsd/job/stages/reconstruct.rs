//! Stage `halves`: what the data support of every state: two maps from disjoint halves of the particles near it, straight from their images,
//! and the resolution to which they agree.

use super::cluster::Findings;
use super::context::Context;
use super::read::Input;
use super::{decode, maps};
use crate::job::atomic;
use crate::settings::decided::Decided;
use contract::{MapForm, Problem, Result, StateHalves};
use cryoem::mask::{self, CubeGrid};
use cryoem::mrc::{read_volume, write_volume_at};
use cryoem::prepare::{ImageStream, Invert, PrepareOptions};
use cryoem::volume::resolution::{HALF, HALF_MAPS, HalfMapFsc, half_map_fsc, last_shell_above};
use cryoem::volume::{Volume, fourier_shell_correlation, local_resolution, sharpen};
use reconstruction::{HalfSets, Options, back_project_halves, half_sets, memory_bytes, neighbourhood};
use starfile::Builder;
use std::path::{Path, PathBuf};

/// Folder of the maps in a job.
const FOLDER: &str = "halves";
/// Version line of tables made here.
const STAR_VERSION: u32 = 30001;
/// Part of the free memory that the maps may take.
const MEMORY_SHARE: f64 = 0.7;
/// Local resolution is looked for on voxels of this part of the overall resolution: no finer detail than twice this is in the maps.
const LOCAL_VOXEL: f64 = 0.3;

/// What the maps are made from, besides the particles.
pub(crate) struct Ground {
    /// Solvent mask, of any grid.
    pub(crate) mask: PathBuf,
    /// How the images' sign is found, as in training.
    pub(crate) invert: Invert,
    /// Of the particles and their images.
    pub(crate) fingerprint: String,
}

/// First half map of a cluster, from 1, relative to the job folder; RELION's PostProcess finds the second by its name.
pub(crate) fn first_half_file(class: usize) -> String {
    format!("{FOLDER}/cluster{class:03}_half1_unfil.mrc")
}

/// Sharpened map of a cluster, from 1, relative to the job folder.
pub(crate) fn map_file(class: usize) -> String {
    format!("{FOLDER}/cluster{class:03}_map.mrc")
}

pub(crate) fn run(context: &mut Context<'_>, input: &Input, decided: &Decided, found: &Findings, ground: &Ground) -> Result<()> {
    let set = &input.particles;
    let mut native = PrepareOptions { invert: ground.invert, ..PrepareOptions::native(set) };
    if let Some(smaller) = fitting_box(native.size_px, free_memory()) {
        let apix = native.apix.map(|apix| apix * native.size_px as f64 / smaller as f64);
        context.warn(&format!(
            "half maps of {} voxels need {:.1} GB of memory: they are made of {smaller} voxels",
            native.size_px,
            memory_bytes(native.size_px) as f64 / 1e9
        ));
        (native.size_px, native.apix) = (smaller, apix);
    }
    let halves = half_sets(set, decided.train.seed);
    context.say(&halves.note);
    let form = decided.map_form();
    context.make_folder(FOLDER)?;
    let mut images = None;
    for cluster in 0..found.clusters.len() {
        let class = found.clusters.class_number(cluster);
        let name = format!("{FOLDER}-{class:03}");
        let files = Files::of(class);
        let numbers = context.path("stages").join(format!("{name}-numbers.json"));
        let fingerprint = found.fingerprint.clone().and(&(FOLDER, class, native.size_px, ground.invert as u8)).and(&ground.fingerprint);
        let fingerprint = fingerprint.and_content(&ground.mask)?.and(&form).and_content(&context.path(&decode::map_file(class)))?;
        context.stage(&name, &fingerprint, |context| {
            let stream: &ImageStream<'_> = match &images {
                Some(stream) => stream,
                None => images.insert(ImageStream::open(set, &native)?),
            };
            let state = State { class, form, wanted: found.clusters.sizes[cluster], centre: found.clusters.centers.row(cluster).to_vec() };
            let entry = one(context, stream, found, &halves, &state, ground)?;
            atomic::write_json(&numbers, &entry)?;
            Ok(files.all().iter().map(|f| context.path(f)).chain([numbers.clone()]).collect())
        })?;
        let entry: StateHalves =
            atomic::read_json(&numbers)?.ok_or_else(|| Problem::failed("is missing").at(numbers.display().to_string()))?;
        context.results.change(|now| {
            now.halves.retain(|h| h.class != class);
            now.halves.push(entry);
        })?;
    }
    context.results.change(|now| now.halves.retain(|h| (0..found.clusters.len()).any(|c| found.clusters.class_number(c) == h.class)))
}

/// One state.
struct State {
    class: usize,
    /// Of its decoded map: the maps made here have the same hand, sign and place.
    form: MapForm,
    /// Particles that are to count.
    wanted: usize,
    centre: Vec<f32>,
}

impl State {
    /// Written where the decoded map lies.
    fn write(&self, path: &Path, map: &Volume) -> Result<()> {
        write_volume_at(path, map, self.form.on_grid(map.box_px()?, map.apix).origin_angstrom)
    }

    /// With the decoded map's hand.
    fn turned(&self, map: &Volume) -> Volume {
        if self.form.flip { map.mirrored() } else { map.clone() }
    }

    /// With its hand and its sign.
    fn density(&self, map: &Volume) -> Volume {
        maps::signed(self.turned(map), &self.form)
    }
}

/// Files of a state, relative to the job folder.
struct Files {
    first: String,
    second: String,
    map: String,
    local: String,
    table: String,
}

impl Files {
    fn of(class: usize) -> Self {
        let stem = format!("{FOLDER}/cluster{class:03}");
        Self {
            first: first_half_file(class),
            second: format!("{stem}_half2_unfil.mrc"),
            map: map_file(class),
            local: format!("{stem}_local_resolution.mrc"),
            table: format!("{stem}_fsc.star"),
        }
    }

    fn all(&self) -> [&String; 5] {
        [&self.first, &self.second, &self.map, &self.local, &self.table]
    }
}

fn one(
    context: &mut Context<'_>,
    images: &ImageStream<'_>,
    found: &Findings,
    halves: &HalfSets,
    state: &State,
    ground: &Ground,
) -> Result<StateHalves> {
    let near = neighbourhood(found.latents.view(), ndarray::ArrayView1::from(&state.centre), state.wanted)?;
    let second: Vec<bool> = near.particles.iter().map(|i| halves.second[*i]).collect();
    let grid = CubeGrid { box_px: images.size_px(), apix: images.apix() };
    let mask = mask::on_grid(&read_volume(&ground.mask)?, grid)?;
    let options = Options { mask: Some(mask.clone()), ..Options::default() };
    let maps = back_project_halves(images, &near.particles, Some(&near.weights), Some(&second), &options)
        .map_err(|p| p.at(format!("half maps of cluster {}", state.class)))?;
    let [first, other] = &maps.unfiltered;
    let fsc = half_map_fsc(first, other, Some(&mask), 0)?;
    let files = Files::of(state.class);
    let (first, other, mask) = (&state.density(first), &state.density(other), state.turned(&mask));
    state.write(&context.path(&files.first), first)?;
    state.write(&context.path(&files.second), other)?;
    let resolution = fsc.resolution_angstrom(HALF_MAPS);
    // Without any agreement there is nothing to sharpen: the Wiener map, which is near to nothing then, tells that best.
    let (map, b_factor) = match resolution {
        Some(_) => {
            let sharp = sharpen(first, other, &fsc, None)?;
            (sharp.map, Some(sharp.b_factor_angstrom2))
        }
        None => (state.density(&maps.full), None),
    };
    state.write(&context.path(&files.map), &map)?;
    let decoded_fsc = against_decoded(context, state, first, other, &mask)?;
    let decoded_agrees = last_shell_above(&decoded_fsc, HALF).map(|shell| images.size_px() as f64 * images.apix() / shell as f64);
    let local = local(first, other, &mask, resolution)?;
    let local_median = median(&local, &mask);
    state.write(&context.path(&files.local), &local)?;
    atomic::write(&context.path(&files.table), table(&fsc).as_bytes())?;
    context.say(&format!(
        "cluster {}: {:.0} particles count, {}{}",
        state.class,
        near.effective,
        resolution.map_or("the halves do not agree".to_owned(), |r| {
            let end = if fsc.reaches_nyquist(HALF_MAPS) { " (the pixel size ends it)" } else { "" };
            format!("halves agree to {r:.1} Å{end}")
        }),
        decoded_agrees.map_or(String::new(), |r| format!(", and with the decoded map to {r:.1} Å"))
    ));
    Ok(StateHalves {
        class: state.class,
        effective_particles: near.effective,
        apix: images.apix(),
        box_px: images.size_px(),
        resolution_angstrom: resolution,
        resolution_half_angstrom: fsc.resolution_angstrom(HALF),
        local_resolution_median_angstrom: local_median,
        b_factor_angstrom2: b_factor,
        fsc: fsc.corrected,
        decoded_fsc,
        decoded_agrees_angstrom: decoded_agrees,
        first: files.first,
        second: files.second,
        map: files.map,
        local_resolution: files.local,
    })
}

/// Correlation of the decoded map with the mean of the halves, in the halves' shells.
fn against_decoded(context: &Context<'_>, state: &State, first: &Volume, second: &Volume, mask: &Volume) -> Result<Vec<f64>> {
    let data = Volume { data: 0.5 * (&first.data + &second.data), apix: first.apix };
    let decoded = read_volume(&context.path(&decode::map_file(state.class)))?.resampled(first.box_px()?, first.apix)?;
    fourier_shell_correlation(&decoded, &data, Some(mask))
}

/// Local resolution, on voxels no finer than it needs, brought to the maps' grid.
fn local(first: &Volume, second: &Volume, mask: &Volume, resolution: Option<f64>) -> Result<Volume> {
    let (n, apix) = (first.box_px()?, first.apix);
    let wanted = resolution.map_or(apix, |r| LOCAL_VOXEL * r).max(apix);
    let coarse_px = 2 * (n as f64 * apix / wanted / 2.0).ceil() as usize;
    if coarse_px >= n {
        return local_resolution(first, second, Some(mask));
    }
    let grid = CubeGrid { box_px: coarse_px, apix: n as f64 * apix / coarse_px as f64 };
    let [a, b] = [first, second].map(|half| half.resampled(grid.box_px, grid.apix));
    let found = local_resolution(&a?, &b?, None)?;
    let mut fine = mask::on_grid(&found, CubeGrid { box_px: n, apix })?;
    ndarray::Zip::from(&mut fine.data).and(&mask.data).for_each(|v, m| *v = if *m > 0.0 { *v } else { 0.0 });
    Ok(fine)
}

/// Over the voxels well inside the mask.
fn median(local: &Volume, mask: &Volume) -> Option<f64> {
    let mut values: Vec<f32> = local.data.iter().zip(&mask.data).filter(|(v, m)| **m > 0.5 && **v > 0.0).map(|(v, _)| *v).collect();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| f64::from(*values.select_nth_unstable_by(middle, f32::total_cmp).1))
}

/// The curves, under RELION's labels.
fn table(fsc: &HalfMapFsc) -> String {
    let labels = [
        "rlnSpectralIndex",
        "rlnResolution",
        "rlnAngstromResolution",
        "rlnFourierShellCorrelationCorrected",
        "rlnFourierShellCorrelationUnmaskedMaps",
        "rlnFourierShellCorrelationMaskedMaps",
        "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
    ];
    let rows = (0..fsc.corrected.len()).map(|k| {
        let angstrom = fsc.resolution_of_shell_angstrom(k);
        let random = fsc.randomised.get(k).copied().unwrap_or(0.0);
        let mut cells = vec![k.to_string(), format!("{:.6}", 1.0 / angstrom), format!("{:.6}", angstrom.min(999.0))];
        cells.extend([fsc.corrected[k], fsc.unmasked[k], fsc.masked[k], random].map(|v| format!("{v:.6}")));
        cells
    });
    Builder::new(Some(STAR_VERSION)).table("fsc", &labels, rows).finish()
}

/// A smaller box where the wanted one does not fit the memory.
fn fitting_box(wanted: usize, free_bytes: Option<u64>) -> Option<usize> {
    let limit = MEMORY_SHARE * free_bytes? as f64;
    if memory_bytes(wanted) as f64 <= limit {
        return None;
    }
    (4..wanted / 2).rev().map(|half| 2 * half).find(|n| memory_bytes(*n) as f64 <= limit)
}

/// Memory that can be had without swapping, bytes.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc/meminfo")).ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| 1024 * kib)
}

/// A line for the report.
pub(crate) fn in_words(halves: &[StateHalves]) -> Option<String> {
    if halves.is_empty() {
        return None;
    }
    let each = halves.iter().map(|h| {
        let resolution = h.resolution_angstrom.map_or("none".to_owned(), |r| format!("{r:.1} Å"));
        format!("cluster {} {resolution} ({:.0} particles)", h.class, h.effective_particles)
    });
    Some(each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_shrink_until_they_fit() {
        assert_eq!(fitting_box(64, Some(u64::MAX)), None);
        assert_eq!(fitting_box(64, None), None);
        let free = 2 * memory_bytes(100);
        let smaller = fitting_box(256, Some(free)).unwrap();
        assert!((100..120).contains(&smaller) && smaller.is_multiple_of(2), "{smaller}");
    }

    #[test]
    fn states_are_put_in_words() {
        let halves =
            |class, resolution_angstrom| StateHalves { class, effective_particles: 120.4, resolution_angstrom, ..StateHalves::default() };
        assert_eq!(in_words(&[]), None);
        assert_eq!(
            in_words(&[halves(1, Some(7.43)), halves(2, None)]).unwrap(),
            "cluster 1 7.4 Å (120 particles), cluster 2 none (120 particles)"
        );
    }
}
