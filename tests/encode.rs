//! `encode`: particles that a trained model knows come out as it left them, in any company; others come into its clusters.

#[path = "support/job.rs"]
mod job;
#[path = "support/page.rs"]
mod page;
#[path = "support/skip.rs"]
mod skip;

use contract::Results;
use job::{PARTICLES, Project, TRAINED as JOB, files, trained};
use ndarray::{Array2, Axis};
use starfile::StarFile;

/// Rounding: other batches, other sums.
const ROUNDING: f32 = 2e-4;

fn results(project: &Project, job: &str) -> Results {
    serde_json::from_str(&std::fs::read_to_string(project.path(job).join("results.json")).unwrap()).unwrap()
}

fn latents(project: &Project, file: &str) -> Array2<f32> {
    let bytes = std::fs::read(project.path(file)).unwrap();
    let body = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values: Vec<f32> = bytes[body..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Array2::from_shape_vec((values.len() / 8, 8), values).unwrap()
}

fn classes(project: &Project, file: &str) -> Vec<String> {
    let star = StarFile::read(&project.path(file)).unwrap();
    let table = star.block("particles").unwrap();
    let column = table.column("rlnClassNumber").unwrap();
    (0..table.rows()).map(|row| column.text(row).to_owned()).collect()
}

/// Chosen rows of the simulated set, beside its stack.
fn part(project: &Project, name: &str, rows: &[usize]) {
    let star = StarFile::read(&project.path("sim/particles.star")).unwrap();
    let mut text = Vec::new();
    star.write_subset(&mut text, star.block("particles").unwrap().index(), rows, &[]).unwrap();
    let text = String::from_utf8(text).unwrap().replace("@particles.mrcs", "@sim/particles.mrcs");
    std::fs::write(project.path(name), text).unwrap();
}

fn encode(project: &Project, o: &str, particles: &str, more: &str) -> job::Ended {
    project.run(&format!("encode --o {o}/ --in_parts {particles} --device cpu --j 1 {more}"))
}

#[test]
fn known_particles_come_out_as_they_were_in_any_company() {
    let project = trained();
    let before = files(&project.path(JOB));
    let again = encode(project, "whole", "sim/particles.star", &format!("--job {JOB}"));
    assert_eq!(again.status, Some(0), "{}", again.err);
    let expected = latents(project, &format!("{JOB}/latents.npy"));
    let found = latents(project, "whole/latents.npy");
    assert_eq!(found.dim(), (PARTICLES, 8));
    let apart = |a: &Array2<f32>, b: &Array2<f32>| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart(&found, &expected) < ROUNDING, "{}", apart(&found, &expected));
    let (now, then) = (classes(project, "whole/particles.star"), classes(project, &format!("{JOB}/particles.star")));
    let moved = now.iter().zip(&then).filter(|(a, b)| a != b).count();
    assert!(moved <= 1, "{moved} particles lie on a border");
    assert_eq!(project.exit_files("whole"), ["RELION_JOB_EXIT_SUCCESS"]);
    // Its report shows them over the trained ones, and how the states' shares compare.
    let folder = project.path("whole");
    assert!(std::fs::read(folder.join("logfile.pdf")).unwrap().starts_with(b"%PDF-"));
    assert!(std::fs::read_to_string(folder.join("RELION_OUTPUT_NODES.star")).unwrap().contains("whole/logfile.pdf"));
    let data = page::data(&folder);
    assert_eq!(data["words"]["ground"], format!("grey: {PARTICLES} particles that the model was trained on"));
    assert!(
        data["verdict"]["good"] == true && data["verdict"]["text"].as_str().unwrap().contains("lie farther from every cluster"),
        "{data}"
    );
    let facts: Vec<(String, String)> = serde_json::from_value(data["facts"].clone()).unwrap();
    let size = now.iter().filter(|class| *class == "1").count();
    let of_state = facts.iter().find(|(name, _)| name == "state 1").unwrap();
    assert!(of_state.1.starts_with(&format!("{size} particles, ")) && of_state.1.contains("of those that were trained on"), "{of_state:?}");
    page::opens_quietly(&folder);

    // A third of them, named by a map of the job.
    let rows: Vec<usize> = (0..PARTICLES).filter(|i| i % 3 == 1).collect();
    part(project, "third.star", &rows);
    let third = encode(project, "third", "third.star", &format!("--in_3dref {JOB}/cluster001.mrc"));
    assert_eq!(third.status, Some(0), "{}", third.err);
    let of_rows = expected.select(Axis(0), &rows);
    let found = latents(project, "third/latents.npy");
    assert!(apart(&found, &of_rows) < ROUNDING, "{}", apart(&found, &of_rows));
    let made = results(project, "third");
    assert!(made.complete && made.verb == "encode" && made.trained_job.as_deref() == Some(JOB) && made.volumes.is_empty());
    let nodes = std::fs::read_to_string(project.path("third/RELION_OUTPUT_NODES.star")).unwrap();
    assert!(nodes.contains("third/particles.star") && nodes.contains("third/cluster001_particles.star"), "{nodes}");
    assert!(before == files(&project.path(JOB)), "the trained job is as it was");

    let repeated = encode(project, "third", "third.star", &format!("--in_3dref {JOB}/cluster001.mrc"));
    for stage in ["prepare", "scores", "encode", "cluster", "publish"] {
        assert!(repeated.out.contains(&format!("{stage}: done before")), "{stage}: {}", repeated.out);
    }

    // What works on a trained job works on these particles.
    let analysed = project.run("analyse --o looked/ --job third --clusters 2 --box 24 --plot no --device cpu --j 1");
    assert_eq!(analysed.status, Some(0), "{}", analysed.err);
    let found = results(project, "looked");
    assert_eq!((found.volumes.iter().map(|v| v.n).sum::<usize>(), found.trained_job.as_deref()), (rows.len(), Some("third")));
    let picked = project.run("select --o picked/ --job third --particles 1,3");
    assert_eq!(picked.status, Some(0), "{}", picked.err);
    assert_eq!(latents(project, "picked/latents.npy"), latents(project, "third/latents.npy").select(Axis(0), &[0, 2]));
    let decoded = project.run("decode --o decoded/ --in_parts looked/particles.star --particles 32 --box 16 --device cpu --j 1");
    assert_eq!(decoded.status, Some(0), "{}", decoded.err);
    assert!(project.run("decode --o decoded2/ --job third --particles 33 --device cpu").err.contains("no particle 33"));
}

#[test]
fn an_earlier_epoch_has_the_same_clusters_by_their_particles() {
    let project = trained();
    let early = encode(project, "early", "sim/particles.star", &format!("--job {JOB} --epoch 1 --check no"));
    assert_eq!(early.status, Some(0), "{}", early.err);
    assert_eq!(results(project, "early").epoch, 1);
    // Of the particles of each cluster the mean at that epoch; the nearest one counts.
    let now = classes(project, &format!("{JOB}/particles.star"));
    let (known, found) = (latents(project, &format!("{JOB}/checkpoint/epoch-001/latents.npy")), latents(project, "early/latents.npy"));
    let mean = |class: &str| {
        let rows: Vec<usize> = (0..PARTICLES).filter(|&i| now[i] == class).collect();
        known.select(Axis(0), &rows).mean_axis(Axis(0)).unwrap()
    };
    let centres = [mean("1"), mean("2")];
    let nearest = found.rows().into_iter().map(|row| {
        let [a, b] = [0, 1].map(|c| (&row - &centres[c]).mapv(|v| v * v).sum());
        if a <= b { "1" } else { "2" }.to_owned()
    });
    assert_eq!(classes(project, "early/particles.star"), nearest.collect::<Vec<_>>());
    let problem = project.run("analyse --o late/ --job early --epoch 2 --device cpu");
    assert_eq!(problem.status, Some(2));
    assert!(problem.last_error().contains("encoded at epoch 1"), "{}", problem.err);
}

#[test]
fn particles_of_other_optics_and_grey_scales_are_taken() {
    let project = trained();
    // The same molecule in other boxes, pixels and voltage.
    assert_eq!(project.run("simulate --o other -n 60 --optics 40:2.4:200 --seed 9").status, Some(0));
    let ended = encode(project, "others", "other/particles.star", &format!("--job {JOB}"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(ended.out.contains("40 pixels of 2.4000 Å"), "{}", ended.out);
    let prepared: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(project.path("others/prepared/prepared.json")).unwrap()).unwrap();
    let own: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(project.path(JOB).join("prepared/prepared.json")).unwrap()).unwrap();
    assert_eq!((&prepared["apix"], &prepared["size_px"]), (&own["apix"], &own["size_px"]));

    // Images of another grey scale under the same name are seen to be so.
    let copy = project.path("bright");
    std::fs::create_dir(&copy).unwrap();
    let stack = std::fs::read(project.path("sim/particles.mrcs")).unwrap();
    assert_eq!(i32::from_le_bytes(stack[12..16].try_into().unwrap()), 2, "single precision");
    let mut bright = stack[..1024].to_vec();
    bright.extend(stack[1024..].chunks_exact(4).flat_map(|b| (7.0 * f32::from_le_bytes(b.try_into().unwrap())).to_le_bytes()));
    std::fs::write(copy.join("particles.mrcs"), bright).unwrap();
    std::fs::copy(project.path("sim/particles.star"), copy.join("particles.star")).unwrap();
    let ended = encode(project, "brighter", "bright/particles.star", &format!("--job {JOB}"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(ended.out.contains("its images are others than those of that name before"), "{}", ended.out);
    let (found, expected) = (latents(project, "brighter/latents.npy"), latents(project, &format!("{JOB}/latents.npy")));
    let apart = (&found - &expected).mapv(f32::abs).fold(0.0f32, |a, b| a.max(*b));
    assert!(apart < 0.02, "{apart}");
}

#[test]
fn jobs_that_have_not_kept_what_is_needed_say_what_to_do() {
    let project = Project::new();
    assert_eq!(project.train(JOB, "--epochs 1 --clusters 2 --plot no").status, Some(0));
    std::fs::remove_dir_all(project.path(JOB).join("encode")).unwrap();
    let refused = encode(&project, "refused", "sim/particles.star", &format!("--job {JOB}"));
    assert_eq!(refused.status, Some(2));
    assert!(refused.last_error().contains("encode/images.json") && refused.last_error().contains("hint: continue"), "{}", refused.err);
    // Its own command brings it back without training.
    let continued = project.train(JOB, "--epochs 1 --clusters 2 --plot no");
    assert!(continued.out.contains("train: done before"), "{}", continued.out);
    let encoded = encode(&project, "encoded", "sim/particles.star", &format!("--job {JOB}"));
    assert_eq!(encoded.status, Some(0), "{}", encoded.err);

    // Cleaning leaves what encoding needs.
    assert_eq!(project.run(&format!("clean {JOB} --all-intermediates")).status, Some(0));
    assert!(!project.path(JOB).join("prepared").exists() && project.path(JOB).join("encode/linear.safetensors").exists());
    let cleaned = encode(&project, "cleaned", "sim/particles.star", &format!("--job {JOB}"));
    assert_eq!(cleaned.status, Some(0), "{}", cleaned.err);
}

#[test]
fn mistakes_are_named() {
    let project = trained();
    for (more, culprit) in [
        ("--in_parts sim/particles.star".to_owned(), "`--job`"),
        (format!("--job {JOB}"), "`--in-parts`"),
        ("--in_parts sim/particles.star --in_3dref sim/mask.mrc".to_owned(), "`--in_3dref` sim/mask.mrc"),
        (format!("--in_parts sim/particles.star --job {JOB} --epoch 9"), JOB),
        ("--in_parts sim/particles.star --job nowhere".to_owned(), "nowhere"),
    ] {
        let ended = project.run(&format!("encode --o wrong/ {more}"));
        assert!(!matches!(ended.status, Some(0) | None), "{more}");
        let line = ended.last_error();
        assert!(line.starts_with(&format!("error: {culprit}")) && line.contains("; hint: "), "{more}: {line}");
        assert_eq!(project.exit_files("wrong"), ["RELION_JOB_EXIT_FAILURE"], "{more}");
    }
    assert_eq!(project.run(&format!("encode --in_parts sim/particles.star --job {JOB} --o {JOB}/")).status, Some(2));
}
