//! `select`: what is chosen is read by RELION and by Python as it stood in the source.

#[path = "../src/report/tests/support/browser.rs"]
mod browser;
#[path = "support/job.rs"]
mod job;
#[path = "support/skip.rs"]
mod skip;

use job::{Ended, Project, TRAINED, program};
use starfile::{SetColumn, StarFile};
use std::path::{Path, PathBuf};
use std::process::Command;

const GENERATIONS: [&str; 4] = ["relion30", "relion31", "relion4", "relion5"];
/// Clusters of the made jobs; particle i is in cluster 1 + i % 3.
const CLUSTERS: usize = 3;

/// Tables that programs wrote, below the `star` folder of the extra data.
const WRITTEN: [&str; 10] = [
    "relion30/aspire_sample_particles_relion30",
    "relion30/sta_testing_bin8",
    "relion30/toy_projections",
    "relion31/aspire_sample_particles_relion31",
    "relion31/bgal_relion_proj_batch",
    "relion31/relion31",
    "relion31/relion31.v2",
    "relion31/relion31.6opticsgroups",
    "relion31/scipion_written_particles.head330",
    "relion5/relion5_spa_aberrations",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/select").join(format!("{name}.star"))
}

/// Name and file of the fixtures of this project, and of the tables in the folder that `OPUS_DSD_EXTRA_DATA` names.
fn tables() -> Vec<(String, PathBuf)> {
    let mut all: Vec<(String, PathBuf)> = GENERATIONS.iter().map(|name| ((*name).to_owned(), fixture(name))).collect();
    match std::env::var_os("OPUS_DSD_EXTRA_DATA") {
        Some(extra) => {
            let folder = PathBuf::from(extra).canonicalize().unwrap().join("star");
            all.extend(WRITTEN.iter().map(|name| (name.replace('/', "_"), folder.join(format!("{name}.star")))));
        }
        None => skip::skipped("tables of other programs are not read; name the extra data in OPUS_DSD_EXTRA_DATA"),
    }
    all
}

fn particles(file: &StarFile) -> usize {
    cryoem::particles::particles_block(file).unwrap().index()
}

/// A job as it is left when its clusters are known; latent i is (i, i % 3).
fn made_job(folder: &Path, source: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let star = StarFile::read(source).unwrap();
    let rows: Vec<usize> = (0..star.block_at(particles(&star)).rows()).collect();
    let class = |row: usize| (1 + row % CLUSTERS).to_string();
    let mut text = Vec::new();
    star.write_subset(&mut text, particles(&star), &rows, &[SetColumn { label: "rlnClassNumber", value: &class }]).unwrap();
    std::fs::write(folder.join("particles.star"), text).unwrap();
    let values: Vec<u8> = rows.iter().flat_map(|&i| [i as f32, (i % CLUSTERS) as f32]).flat_map(f32::to_le_bytes).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 2), }}", rows.len());
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    npy.extend(format!("{header:<117}\n").into_bytes());
    npy.extend(values);
    std::fs::write(folder.join("latents.npy"), npy).unwrap();
    let results = r#"{"schema":1,"complete":true,"epoch":2,"apix":2.0,"box":48,"zdim":2,"particles":"particles.star","latents":"latents.npy","volumes":[],"plots":[]}"#;
    std::fs::write(folder.join("results.json"), results).unwrap();
}

fn select(folder: &Path, line: &str) -> Ended {
    let done = Command::new(program()).current_dir(folder).arg("select").args(line.split_whitespace()).output().unwrap();
    Ended::of(done)
}

/// Raw cells of the particles in a file.
fn cells(path: &Path) -> Vec<Vec<String>> {
    let star = StarFile::read(path).unwrap();
    let block = star.block_at(particles(&star));
    let columns: Vec<_> = block.labels().map(|label| block.find(label).unwrap()).collect();
    (0..block.rows()).map(|row| columns.iter().map(|column| column.raw(row).to_owned()).collect()).collect()
}

#[test]
fn clusters_of_every_generation_keep_every_cell() {
    let folder = tempfile::tempdir().unwrap();
    for (generation, file) in tables() {
        let job = folder.path().join(&generation);
        made_job(&job, &file);
        let source = cells(&job.join("particles.star"));
        let whole = std::fs::read_to_string(job.join("particles.star")).unwrap();
        let mut seen = 0;
        for cluster in 1..=CLUSTERS {
            let ended = select(folder.path(), &format!("--job {generation} --o out{cluster}/ --clusters {cluster} --rest rest.star"));
            assert_eq!(ended.status, Some(0), "{}", ended.err);
            let out = folder.path().join(format!("out{cluster}"));
            let (chosen, rest) = (cells(&out.join("particles.star")), cells(&out.join("rest.star")));
            let expected: Vec<_> = (0..source.len()).filter(|row| row % CLUSTERS == cluster - 1).map(|row| source[row].clone()).collect();
            assert_eq!(chosen, expected, "{generation}");
            assert_eq!(chosen.len() + rest.len(), source.len());
            seen += chosen.len();
            // What is not a row of particles is there byte by byte: the chosen and the rest, put together again, are the whole.
            let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
            let (mut some, mut others) =
                (lines(&out.join("particles.star")).into_iter().peekable(), lines(&out.join("rest.star")).into_iter().peekable());
            for line in whole.lines() {
                match (some.next_if(|l| l == line), others.next_if(|l| l == line)) {
                    (None, None) => panic!("{generation}: `{line}` is lost"),
                    _ => continue,
                }
            }
            assert!(some.next().is_none() && others.next().is_none(), "{generation}: something was added");
            let nodes = std::fs::read_to_string(out.join("RELION_OUTPUT_NODES.star")).unwrap();
            assert!(nodes.contains(&format!("out{cluster}/particles.star")) && nodes.contains("rest.star"), "{nodes}");
            assert!(out.join("RELION_JOB_EXIT_SUCCESS").exists());
            std::fs::remove_dir_all(&out).unwrap();
        }
        assert_eq!(seen, source.len());
    }
}

#[test]
fn conditions_regions_and_draws_choose_rows() {
    let folder = tempfile::tempdir().unwrap();
    made_job(&folder.path().join("job"), &fixture("relion31"));
    let source = cells(&folder.path().join("job/particles.star"));
    // Principal component 1 is the first latent, with its mean taken off.
    std::fs::write(folder.path().join("lasso.json"), r#"{"schema":1,"embedding":"pca","polygon":[[-3.9,-9],[3.9,-9],[3.9,9],[-3.9,9]]}"#)
        .unwrap();
    std::fs::write(folder.path().join("list.txt"), "4\n6\n").unwrap();
    let chosen = |line: &str| -> Vec<usize> {
        let _ = std::fs::remove_dir_all(folder.path().join("out"));
        let mut command = Command::new(program());
        command.current_dir(folder.path()).args(["select", "--in_parts", "job/particles.star", "--o", "out/"]);
        let mut words = line.splitn(2, " where ");
        command.args(words.next().unwrap().split_whitespace());
        if let Some(condition) = words.next() {
            command.args(["--where", condition]);
        }
        let ended = Ended::of(command.output().unwrap());
        assert_eq!(ended.status, Some(0), "{line}: {}", ended.err);
        assert_eq!(ended.err.contains("lasso.json does not say which job it was drawn on"), line.contains("lasso"), "{}", ended.err);
        let rows: Vec<usize> =
            cells(&folder.path().join("out/particles.star")).iter().map(|row| source.iter().position(|s| s == row).unwrap()).collect();
        let latents = std::fs::read(folder.path().join("out/latents.npy")).unwrap();
        let first: Vec<usize> = latents[128..].chunks(8).map(|z| f32::from_le_bytes([z[0], z[1], z[2], z[3]]) as usize).collect();
        assert_eq!(first, rows, "{line}: latents belong to their particles");
        rows
    };
    assert_eq!(chosen("--particles 7,2"), [1, 6]);
    assert_eq!(chosen("--particles list.txt"), [3, 5]);
    assert_eq!(chosen("--region lasso.json"), [8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(chosen("--region lasso.json --clusters 1"), [9, 12, 15]);
    assert_eq!(chosen("--clusters 1-2 where z1 4..7"), [4, 6, 7]);
    assert_eq!(chosen(" where cluster 1 and not (z1 4.. or particles list.txt)"), [0]);
    assert_eq!(chosen(" where near 10,1 within 1.5"), [9, 10, 11]);
    let draw = chosen("--random 6 --seed 4");
    assert!(draw.len() == 6 && draw == chosen("--random 6 --seed 4") && draw != chosen("--random 6 --seed 5"));
    let balanced = chosen("--balance");
    assert!(!balanced.is_empty() && balanced.len() < source.len());
}

#[test]
fn wrong_wishes_are_told_and_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    made_job(&folder.path().join("job"), &fixture("relion31"));
    std::fs::write(folder.path().join("bad.json"), r#"{"schema":1,"embedding":"pca"}"#).unwrap();
    let other = r#"{"schema":1,"embedding":"pca","polygon":[[0,0],[1,0],[1,1]],"drawn_on":{"job":"External/job009","epoch":5,"particles":80,"fingerprint":"1"}}"#;
    std::fs::write(folder.path().join("other.json"), other).unwrap();
    assert_eq!(select(folder.path(), "--job job --o chosen/ --clusters 1,2").status, Some(0));
    for (line, status, part) in [
        ("--job chosen --o out/ --clusters 1", 2, "is a selection, which has no clusters of its own"),
        ("--job job --o out/ --clusters 4", 2, "clusters that are there: 1, 2, 3"),
        ("--job job --o out/ --clusters one", 2, "`--clusters`"),
        ("--job job --o out/ --particles 25", 2, "no particle 25"),
        ("--job job --o out/ --region bad.json", 2, "bad.json"),
        ("--job job --o out/ --region gone.json", 3, "gone.json"),
        ("--job job --o out/ --where z1", 2, "nothing follows `z1`"),
        ("--job job --o out/ --where density", 2, "nothing follows"),
        (
            "--job job --o out/ --region other.json",
            2,
            "drawn on `External/job009` at epoch 5 with 80 particles, and is asked of `job` at epoch 2 with 24",
        ),
        ("--job job --o out/ --clusters 1 --epoch 1", 3, "job/checkpoint"),
        ("--job job --o out/ --clusters 1 --rest a/b.star", 2, "`--rest`"),
        ("--job job --o out/ --clusters 1 --where z1=3", 2, "not a condition"),
        ("--job gone --o out/ --clusters 1", 2, "no trained job"),
        ("--in_parts job/cluster001_particles.star --o out/ --clusters 1", 2, "is not a job's `particles.star`"),
        ("--in_parts job/selected_particles.star --o out/ --balance", 2, "is not a job's `particles.star`"),
        ("--job job --o out/", 2, ""),
    ] {
        let ended = select(folder.path(), line);
        assert_eq!(ended.status, Some(status), "{line}: {}", ended.err);
        assert!(ended.err.contains(part), "{line}: {}", ended.err);
        assert!(ended.last_error().contains("hint: "), "{line}: {}", ended.err);
        assert!(!folder.path().join("out/particles.star").exists(), "{line}");
    }
    for range in ["density -1..5", "density 5..", "density ..80"] {
        let line = ["select", "--job", "job", "--o", "out/", "--where", range];
        let ended = Ended::of(Command::new(program()).current_dir(folder.path()).args(line).output().unwrap());
        assert!(ended.status == Some(2) && ended.err.contains("beyond 0..1"), "{}", ended.err);
    }
    // An imported run's particles have the class of the refinement that they came from, which is no cluster.
    let results = std::fs::read_to_string(folder.path().join("job/results.json")).unwrap();
    std::fs::write(folder.path().join("job/results.json"), results.replace(r#""epoch":2"#, r#""epoch":2,"verb":"import""#)).unwrap();
    let ended = select(folder.path(), "--job job --o out/ --clusters 1");
    assert!(ended.status == Some(2) && ended.err.contains("imported run") && ended.err.contains("analyse --job job"), "{}", ended.err);
    let before = std::fs::read(folder.path().join("job/particles.star")).unwrap();
    let ended = select(folder.path(), "--job job --o job/ --clusters 1");
    assert_eq!((ended.status, std::fs::read(folder.path().join("job/particles.star")).unwrap()), (Some(2), before), "{}", ended.err);
}

#[test]
fn python_reads_the_rows_of_the_source() {
    const SCRIPT: &str = r#"
import sys, starfile
def cells(path):
    """Every cell as it is written."""
    labels = {label for block in starfile.read(path, always_dict=True).values() for label in getattr(block, "columns", block)}
    return starfile.read(path, always_dict=True, parse_as_string=sorted(labels))
source, chosen, cluster, rows = cells(sys.argv[1]), cells(sys.argv[2]), sys.argv[3], int(sys.argv[4])
assert source.keys() == chosen.keys(), (source.keys(), chosen.keys())
looked_at = 0
for name, block in source.items():
    if "rlnImageName" in block:
        block = block[block.rlnClassNumber == cluster].reset_index(drop=True)
        assert len(block) == rows, (len(block), rows)
        looked_at += block.size
    assert block.equals(chosen[name]) if hasattr(block, "equals") else block == chosen[name], name
assert looked_at > rows
"#;
    let Ok(python) = std::env::var("OPUS_DSD_TEST_PYTHON") else {
        skip::skipped_outside_ci("no Python with starfile is named in OPUS_DSD_TEST_PYTHON");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (generation, file) in tables() {
        made_job(&folder.path().join(&generation), &file);
        let out = format!("{generation}_out");
        assert_eq!(select(folder.path(), &format!("--job {generation} --o {out}/ --clusters 2")).status, Some(0));
        let rows = (cells(&file).len() + 1) / CLUSTERS;
        let read = Command::new(&python)
            .args(["-c", SCRIPT])
            .args([folder.path().join(&generation).join("particles.star"), folder.path().join(out).join("particles.star")])
            .args(["2", &rows.to_string()])
            .output()
            .unwrap();
        assert!(read.status.success(), "{generation}: {}", String::from_utf8_lossy(&read.stderr));
    }
}

#[test]
fn relion_reads_the_rows_of_the_source() {
    if Command::new("relion_star_handler").output().is_err() {
        skip::skipped_outside_ci("RELION (relion_star_handler) is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // RELION reads a file and writes all that it understood of it; false where it cannot read it.
    let again = folder.path().join("again.star");
    let reads = |file: &Path| {
        let _ = std::fs::remove_file(&again);
        let mut relion = Command::new("relion_star_handler");
        relion.arg("--i").arg(file).arg("--o").arg(&again).args(["--select", "rlnClassNumber", "--minval", "0", "--maxval", "1000000"]);
        relion.output().unwrap().status.success() && again.exists()
    };
    for (generation, file) in tables() {
        made_job(&folder.path().join(&generation), &file);
        let out = format!("{generation}_out");
        assert_eq!(select(folder.path(), &format!("--job {generation} --o {out}/ --clusters 3")).status, Some(0));
        let whole = folder.path().join(&generation).join("particles.star");
        if !reads(&whole) {
            assert!(!GENERATIONS.contains(&generation.as_str()), "{generation} is read");
            println!("{generation}: RELION cannot read what it comes from");
            continue;
        }
        assert!(reads(&folder.path().join(&out).join("particles.star")), "{generation}");
        let (source, read) = (StarFile::read(&whole).unwrap(), StarFile::read(&again).unwrap());
        let (source, read) = (source.block_at(particles(&source)), read.block_at(particles(&read)));
        assert_eq!(read.rows(), source.rows() / CLUSTERS, "{generation}");
        println!("{generation}: {} rows read by RELION", read.rows());
        for row in 0..read.rows() {
            let from = row * CLUSTERS + 2;
            assert_eq!(read.find("rlnImageName").unwrap().text(row), source.find("rlnImageName").unwrap().text(from), "{generation}");
            for label in
                ["rlnDefocusU", "rlnAngleRot", "rlnAngleTilt", "rlnClassNumber", "rlnRandomSubset"].iter().filter(|l| source.has(l))
            {
                let value = |block: &starfile::Block<'_>, row| block.find(label).unwrap().number(row).unwrap();
                // RELION computes in single precision and writes six digits.
                let (found, expected) = (value(&read, row), value(&source, from));
                assert!((found - expected).abs() <= 5e-6 * expected.abs(), "{generation} {label}: {found}, not {expected}");
            }
        }
    }
}

#[test]
fn a_real_job_hands_out_its_input() {
    job::engine();
    let project = job::trained();
    let ended = select(&project.path(""), &format!("--job {TRAINED} --o subset/ --clusters 1 --rest others.star"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let (chosen, others) = (cells(&project.path("subset/particles.star")), cells(&project.path("subset/others.star")));
    let source = cells(&project.path("sim/particles.star"));
    assert_eq!(chosen.len() + others.len(), source.len());
    assert!(chosen.iter().chain(&others).all(|row| source.contains(row)), "cells are those of the job's input");
    assert_eq!(chosen, cells(&project.path(TRAINED).join("cluster001_particles.star")));
}

#[test]
fn latents_of_another_epoch_are_chosen_by() {
    job::engine();
    let project = job::trained();
    let run = |more: &str, to: &str| {
        let line = format!("select --job {TRAINED} --o {to}/ {more}");
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.extend(["--where", "pc1 0.."]);
        Ended::of(Command::new(program()).current_dir(project.path("")).args(words).output().unwrap())
    };
    let latents = |folder: &str| std::fs::read(project.path(folder).join("latents.npy")).unwrap();
    for (more, to) in [("", "own"), ("--epoch latest", "latest"), ("--epoch 2", "second"), ("--epoch 1", "first")] {
        let ended = run(more, to);
        assert_eq!(ended.status, Some(0), "{}", ended.err);
    }
    assert!(latents("own") == latents("latest") && latents("own") == latents("second") && latents("own") != latents("first"));
    let ended = run("--epoch 1 --clusters 1", "none");
    assert!(ended.status == Some(2) && ended.err.contains("its clusters are of epoch 2, not 1"), "{}", ended.err);
}

/// Draws around a part of the picture named by `EMBEDDING`, and saves the selection; the file's text goes to `#seen`.
const LASSO: &str = r##"
setTimeout(() => {
  const byName = (id) => document.getElementById(id), canvas = byName("scatter"), saved = [];
  HTMLAnchorElement.prototype.click = function () { saved.push({ name: this.download, text: decodeURIComponent(this.href.split(",").slice(1).join(",")) }); };
  Element.prototype.setPointerCapture = () => {};
  const axes = byName("embedding");
  axes.value = [...axes.options].find((o) => o.textContent === "EMBEDDING").value;
  axes.dispatchEvent(new Event("change"));
  byName("lasso").click();
  const box = canvas.getBoundingClientRect();
  const at = (type, x, y, buttons) => canvas.dispatchEvent(new PointerEvent(type, { clientX: box.left + x * box.width, clientY: box.top + y * box.height, buttons, pointerId: 1, bubbles: true }));
  at("pointerdown", 0.02, 0.05, 1);
  for (const [x, y] of [[0.75, 0.03], [0.6, 0.6], [0.95, 0.97], [0.03, 0.95]]) at("pointermove", x, y, 1);
  at("pointerup", 0.03, 0.95, 0);
  byName("selection-save").click();
  const seen = Object.assign(document.createElement("pre"), { id: "seen" });
  seen.textContent = JSON.stringify({ saved, count: Number(byName("selection").dataset.count) });
  document.body.append(seen);
}, 300);
"##;

#[test]
fn a_lasso_drawn_in_the_report_selects_what_lies_inside() {
    let Some(chromium) = browser::found() else { return };
    job::engine();
    let project = job::trained();
    let job = project.path(TRAINED);
    let source = cells(&project.path("sim/particles.star"));
    let npy = |name: &str| -> Vec<f32> {
        let bytes = std::fs::read(job.join(name)).unwrap();
        let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        bytes[header..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let umap: Vec<[f64; 2]> = npy("umap.npy").chunks_exact(2).map(|p| [f64::from(p[0]), f64::from(p[1])]).collect();
    let latents = ndarray::Array2::from_shape_vec((source.len(), npy("latents.npy").len() / source.len()), npy("latents.npy")).unwrap();
    let scores = analysis::pca(latents.view()).unwrap().project(latents.view());
    let pca: Vec<[f64; 2]> = scores.rows().into_iter().map(|r| [f64::from(r[0]), f64::from(r[1])]).collect();
    for (shown, points) in [("UMAP", umap), ("principal components", pca)] {
        let page = folder_of(project, shown).join("report.html");
        std::fs::copy(job.join("report.html"), &page).unwrap();
        let seen = browser::drive(&chromium, &page, &LASSO.replace("EMBEDDING", shown), &[]);
        assert_eq!((seen["saved"].as_array().unwrap().len(), &seen["saved"][0]["name"]), (1, &"selection.json".into()), "{seen}");
        let text = seen["saved"][0]["text"].as_str().unwrap();
        std::fs::write(project.path("selection.json"), text).unwrap();
        let _ = std::fs::remove_dir_all(project.path("drawn"));
        let ended = select(&project.path(""), &format!("--job {TRAINED} --o drawn/ --region selection.json --rest others.star"));
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        assert!(!ended.err.contains("drawn on"), "{}", ended.err);
        let region: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!((&region["drawn_on"]["job"], &region["drawn_on"]["epoch"]), (&TRAINED.into(), &2.into()), "{region}");
        // Other latents are another picture.
        let changed = text.replace(region["drawn_on"]["fingerprint"].as_str().unwrap(), "0");
        std::fs::write(project.path("selection.json"), changed).unwrap();
        let refused = select(&project.path(""), &format!("--job {TRAINED} --o refused/ --region selection.json"));
        assert!(refused.status == Some(2) && refused.err.contains("whose latents are others"), "{}", refused.err);
        let polygon: Vec<[f64; 2]> = serde_json::from_value(region["polygon"].clone()).unwrap();
        let (inside, outside): (Vec<usize>, Vec<usize>) = (0..points.len()).partition(|&row| winds_around(&polygon, points[row]));
        let rows = |of: &[usize]| of.iter().map(|&row| source[row].clone()).collect::<Vec<_>>();
        assert_eq!(cells(&project.path("drawn/particles.star")), rows(&inside), "{shown}");
        assert_eq!(cells(&project.path("drawn/others.star")), rows(&outside), "{shown}");
        println!("{shown}: {} of {} particles inside", inside.len(), points.len());
        assert!(inside.len() > 5 && outside.len() > 5, "{shown}: {}", inside.len());
        // The page has coordinates of 16 bits: a particle on the line may fall on either side.
        let counted = seen["count"].as_u64().unwrap() as usize;
        assert!(counted.abs_diff(inside.len()) <= 1, "{shown}: {counted} in the page, {} selected", inside.len());
    }
}

/// A folder of its own for a page.
fn folder_of(project: &Project, name: &str) -> PathBuf {
    let folder = project.path(&format!("page {name}").replace(' ', "-"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether a polygon goes around a point, by the sum of the angles that its sides are seen under.
fn winds_around(polygon: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    let seen = |[ax, ay]: [f64; 2], [bx, by]: [f64; 2]| {
        let (ax, ay, bx, by) = (ax - x, ay - y, bx - x, by - y);
        (ax * by - ay * bx).atan2(ax * bx + ay * by)
    };
    let sides = polygon.iter().zip(polygon.iter().cycle().skip(1));
    sides.map(|(a, b)| seen(*a, *b)).sum::<f64>().abs() > std::f64::consts::PI
}
