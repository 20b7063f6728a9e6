//! `decode`: volumes from a trained job, and nothing done to that job.

#[path = "support/job.rs"]
mod job;
#[path = "support/page.rs"]
mod page;
#[path = "support/skip.rs"]
mod skip;

use cryoem::mrc::read_volume;
use job::{Project, TRAINED as JOB, files, trained};
use serde_json::Value;
use std::path::Path;

#[test]
fn volumes_of_particles_of_a_file_and_along_a_component() {
    let project = trained();
    let before = files(&project.path(JOB));
    let named =
        project.run(&format!("decode --in_parts {JOB}/particles.star --o External/job002/ --particles 6,1 --box 24 --device cpu --j 1"));
    assert_eq!(named.status, Some(0), "{}", named.err);
    let folder = project.path("External/job002");
    assert_eq!(project.exit_files("External/job002"), ["RELION_JOB_EXIT_SUCCESS"]);
    assert_eq!(std::fs::read_to_string(folder.join("pairs.csv")).unwrap(), "particle,volume\n6,vol_000.mrc\n1,vol_001.mrc\n");
    let map = read_volume(&folder.join("vol_000.mrc")).unwrap();
    assert_eq!(map.data.dim(), (24, 24, 24));
    // 32 voxels of 3 Å span what 24 of 4 Å do.
    assert!((map.apix - 4.0).abs() < 1e-4, "{}", map.apix);

    let again = project.run(&format!("decode --job {JOB} --o again --zfile External/job002/z.txt --box 24 --device cpu --j 1"));
    assert_eq!(again.status, Some(0), "{}", again.err);
    for name in ["vol_000.mrc", "vol_001.mrc", "z.txt"] {
        assert!(std::fs::read(project.path("again").join(name)).unwrap() == std::fs::read(folder.join(name)).unwrap(), "{name}");
    }

    let along = project.run(&format!("decode --job {JOB} --o along --pc 1 --points 3 --epoch best --flip --invert --device cpu --j 1"));
    assert_eq!(along.status, Some(0), "{}", along.err);
    assert_eq!(read_volume(&project.path("along/pc1/vol_002.mrc")).unwrap().data.dim(), (32, 32, 32));
    assert!(before == files(&project.path(JOB)), "the trained job is as it was");
}

#[test]
fn volumes_along_a_way_between_states_and_particles() {
    let project = trained();
    let line = format!("decode --job {JOB} --o way --path 1,p7,2 --points 5 --device cpu --j 1");
    let ended = project.run(&line);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let pairs = std::fs::read_to_string(project.path("way/path/pairs.csv")).unwrap();
    let rows: Vec<usize> = pairs.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    let results: contract::Results =
        serde_json::from_str(&std::fs::read_to_string(project.path(JOB).join("results.json")).unwrap()).unwrap();
    let written = std::fs::read_to_string(project.path("way/path/z.txt")).unwrap();
    let latents: Vec<Vec<f32>> = written.lines().map(|line| line.split(' ').map(|v| v.parse().unwrap()).collect()).collect();
    assert!((2..=5).contains(&rows.len()) && latents.len() == rows.len(), "{pairs}");
    // The ends are the states' own particles.
    assert_eq!((&latents[0], &latents[rows.len() - 1]), (&results.volumes[0].z, &results.volumes[1].z), "{pairs}");
    for file in ["path/vol_000.mrc", "path.cxc", "path.apng"] {
        assert!(project.path("way").join(file).exists(), "{file}");
    }
    let data = page::data(&project.path("way"));
    assert_eq!(data["ways"][0]["name"], "way through the particles");
    assert_eq!(data["ways"][0]["files"][1], "path/vol_001.mrc");
}

#[test]
fn a_particle_has_the_number_that_files_and_commands_name() {
    const NAMED: usize = 8;
    let project = trained();
    let table = starfile::StarFile::read(&project.path(JOB).join("latents.star")).unwrap();
    let block = table.block("latents").unwrap();
    let cell = |label: &str, row: usize| block.find(label).unwrap().text(row).to_owned();
    let row = (0..block.rows()).find(|&row| cell("opusParticle", row) == NAMED.to_string()).unwrap();
    let ended = project.run(&format!("decode --job {JOB} --o named --particles {NAMED} --box 24 --device cpu --j 1"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let written = std::fs::read_to_string(project.path("named/z.txt")).unwrap();
    for (i, value) in written.split_whitespace().enumerate() {
        assert_eq!(format!("{:.6}", value.parse::<f32>().unwrap()), cell(&format!("opusLatent{}", i + 1), row), "latent {}", i + 1);
    }
    assert!(std::fs::read_to_string(project.path("named/pairs.csv")).unwrap().contains(&format!("\n{NAMED},vol_000.mrc")));
    // The same one is chosen, and it is the row of that number in the particles' file.
    let ended = project.run(&format!("select --job {JOB} --o chosen --particles {NAMED}"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let names = |file: &str| -> Vec<String> {
        let table = starfile::StarFile::read(&project.path(file)).unwrap();
        let block = table.block("particles").unwrap();
        (0..block.rows()).map(|row| block.find("rlnImageName").unwrap().text(row).to_owned()).collect()
    };
    assert_eq!(names("chosen/particles.star"), [cell("rlnImageName", row)]);
    assert_eq!(names(&format!("{JOB}/particles.star"))[NAMED - 1], cell("rlnImageName", row));
}

#[test]
fn a_report_shows_the_maps_among_the_particles() {
    let project = trained();
    let ended = project.run(&format!("decode --job {JOB} --o External/job005/ --particles 5,9,2 --box 24 --invert --device cpu --j 1"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let folder = project.path("External/job005");
    assert!(std::fs::read(folder.join("logfile.pdf")).unwrap().starts_with(b"%PDF-"));
    let nodes = std::fs::read_to_string(folder.join("RELION_OUTPUT_NODES.star")).unwrap();
    assert!(nodes.contains("External/job005/logfile.pdf LogFile.pdf.relion 13"), "{nodes}");
    // Three maps in the order of the list: a movie, at the level that their files have.
    assert!(folder.join("maps.apng").exists());
    let script = std::fs::read_to_string(folder.join("maps.cxc")).unwrap();
    assert!(script.contains("open vol_002.mrc") && script.contains(" level -"), "{script}");
    let data = page::data(&folder);
    assert_eq!(data["verdict"]["text"], "3 maps of the chosen particles, from epoch 2 of External/job001.");
    assert_eq!(data["states"].as_array().unwrap().len(), 3);
    assert_eq!(data["states"][1]["note"], "decoded at particle 9");
    let shares: f64 = data["states"].as_array().unwrap().iter().map(|state| state["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "every particle is nearest to one map: {shares}");
    assert_eq!(data["ways"][0]["files"], serde_json::json!(["vol_000.mrc", "vol_001.mrc", "vol_002.mrc"]));
    let commands: Vec<&str> = data["next_steps"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap()).collect();
    let ask = "opus-dsd analyse --job External/job001 --epoch 2 --clusters 2 --halves yes --o External/job005-halves/";
    assert_eq!(commands, ["chimerax External/job005/maps.cxc", ask]);
    page::opens_quietly(&folder);
    // One map has nothing to play.
    let ended = project.run(&format!("decode --job {JOB} --o External/job006/ --particles 5 --box 24 --device cpu --j 1"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let (folder, data) = (project.path("External/job006"), page::data(&project.path("External/job006")));
    assert!(!folder.join("maps.apng").exists() && data["ways"].as_array().unwrap().is_empty());
    assert_eq!(data["next_steps"][0]["command"], "chimerax External/job006/vol_000.mrc");
    page::opens_quietly(&folder);
}

#[test]
fn what_is_there_is_not_decoded_again() {
    let project = trained();
    let line = |more: &str| format!("decode --job {JOB} --o twice --box 24 --device cpu --j 1 {more}");
    let decoded = |more: &str, expected: &str| {
        let ended = project.run(&line(more));
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        assert!(ended.out.contains(expected), "{more}: {}", ended.out);
    };
    let written =
        || ["vol_000.mrc", "pairs.csv", "z.txt"].map(|name| project.path("twice").join(name).metadata().unwrap().modified().unwrap());
    decoded("--particles 2,3", "decode: begins");
    let (before, results) = (written(), || std::fs::read_to_string(project.path("twice/results.json")).unwrap());
    let shown = results();
    decoded("--particles 2,3", "decode: done before");
    assert!(written() == before && results() == shown);
    // Others in another folder of the job leave them as they are.
    decoded("--pc 1 --points 2", "decode-pc1: begins");
    decoded("--pc 1 --points 2", "decode-pc1: done before");
    decoded("--particles 2,3", "decode: done before");
    assert!(written() == before && results() == shown);
    decoded("--particles 2,3 --redo", "decode: begins");
    assert!(written() != before);
    decoded("--particles 3,2", "decode: begins");
    decoded("--particles 3,2 --lowpass 30", "decode: begins");
    // Maps of no particle have no owners.
    std::fs::write(project.path("z.txt"), std::fs::read(project.path("twice/z.txt")).unwrap()).unwrap();
    decoded("--zfile z.txt", "decode: begins");
    assert!(!project.path("twice/pairs.csv").exists());
    // Nor does a shorter series leave maps of a longer one, which lie elsewhere along it.
    decoded("--pc 2 --points 4", "decode-pc2: begins");
    decoded("--pc 2 --points 2", "decode-pc2: begins");
    let maps = ["pc2/vol_001.mrc", "pc2/vol_002.mrc", "pc2/vol_003.mrc"].map(|map| project.path("twice").join(map).exists());
    assert_eq!(maps, [true, false, false]);
}

#[test]
fn maps_lie_over_the_one_that_was_given() {
    let project = Project::new();
    // A map whose header puts it elsewhere, as those of a data bank do.
    let origin = [-12.0, 30.5, 7.25];
    let mask = read_volume(&project.path("sim/mask.mrc")).unwrap();
    cryoem::mrc::write_volume_at(&project.path("placed.mrc"), &mask, origin).unwrap();
    let line = format!(
        "train --o {JOB}/ --in_parts sim/particles.star --in_mask placed.mrc --preset tiny --device cpu --j 1 --epochs 1 --clusters 2 --plot no"
    );
    assert_eq!(project.run(&line).status, Some(0));
    let origin_of = |file: &str| cryoem::mrc::read_origin(&project.path(file)).unwrap();
    assert_eq!(origin_of(&format!("{JOB}/cluster001.mrc")), origin);
    // The preview lies centre on centre with the maps, on the grid of the images.
    let centre = |file: &str| {
        let map = read_volume(&project.path(file)).unwrap();
        origin_of(file).map(|o| o + (map.data.dim().0 / 2) as f64 * map.apix)
    };
    let [map, preview] = [format!("{JOB}/cluster001.mrc"), format!("{JOB}/preview.mrc")].map(|file| centre(&file));
    assert!(map.iter().zip(preview).all(|(a, b)| (a - b).abs() < 1e-2), "{map:?} {preview:?}");
    let ended = project.run(&format!("decode --job {JOB} --o cut --particles 1 --box 24 --apix 3 --lowpass 20 --device cpu --j 1"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    // Eight voxels of 3 Å fewer: four of them at either side.
    assert_eq!(origin_of("cut/vol_000.mrc"), origin.map(|v| v + 12.0));
    let plain = project.run(&format!("decode --job {JOB} --o plain --particles 1 --box 24 --apix 3 --device cpu --j 1"));
    assert_eq!(plain.status, Some(0), "{}", plain.err);
    let [smooth, sharp] = ["cut", "plain"].map(|job| read_volume(&project.path(job).join("vol_000.mrc")).unwrap());
    assert!(smooth.statistics().std < 0.95 * sharp.statistics().std, "a low-pass takes something away");
}

#[test]
fn a_host_is_offered_the_maps() {
    let project = trained();
    std::fs::create_dir_all(project.path("External/job003")).unwrap();
    let star = "\n# version 50001\n\ndata_job\n\n_rlnJobTypeLabel relion.external\n_rlnJobIsContinue 0\n\n";
    std::fs::write(project.path("External/job003/job.star"), star).unwrap();
    let ended = project.run(&format!("decode --o External/job003/ --in_parts {JOB}/particles.star --pc 1 --points 2 --j 1"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let nodes = std::fs::read_to_string(project.path("External/job003/RELION_OUTPUT_NODES.star")).unwrap();
    assert!(nodes.contains("External/job003/pc1/vol_001.mrc DensityMap.mrc"), "{nodes}");
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    let project = trained();
    let before = files(&project.path(JOB));
    std::fs::write(project.path("empty.txt"), "# no rows\n").unwrap();
    for (arguments, culprit) in [
        (format!("--job {JOB} --o refused --pc 9"), "`--pc`"),
        (format!("--job {JOB} --o refused --pc 0"), "`--pc`"),
        (format!("--job {JOB} --o refused --pc 1 --apix 0.001"), "`--box`, `--apix`: maps of"),
        (format!("--job {JOB} --o refused --path 1,3"), "`--path`"),
        (format!("--job {JOB} --o refused --path p1,p97"), "`--path`"),
        (format!("--job {JOB} --o refused --path 1"), "`--path"),
        (format!("--job {JOB} --o refused --path 1,2 --epoch 1"), "`--path`"),
        (format!("--job {JOB} --o refused --particles 97"), "`--particles` 97"),
        (format!("--job {JOB} --o refused --particles 0"), "`--particles` 0"),
        (format!("--job {JOB} --o refused --zfile nowhere.txt"), "nowhere.txt"),
        (format!("--job {JOB} --o refused --zfile empty.txt"), "empty.txt: holds no latents"),
        (format!("--job {JOB} --o refused --pc 1 --epoch 7"), JOB),
        (format!("--job {JOB} --o refused --pc 1 --device cuda:99"), "`--device`"),
        ("--job nowhere --o refused --pc 1".to_owned(), "nowhere"),
        ("--o refused --pc 1".to_owned(), "`--job`"),
    ] {
        let ended = project.run(&format!("decode {arguments}"));
        assert!(!matches!(ended.status, Some(0) | None), "{arguments}");
        let line = ended.last_error();
        assert!(line.starts_with(&format!("error: {culprit}")) && line.contains("; hint: "), "{arguments}: {line}");
        assert_eq!(project.exit_files("refused"), ["RELION_JOB_EXIT_FAILURE"], "{arguments}");
    }
    let itself = project.run(&format!("decode --job {JOB} --o {JOB}/ --pc 1"));
    assert_eq!(itself.status, Some(2));
    // Nor is any other job's folder.
    let kept = project.run(&format!("decode --job {JOB} --o kept/ --pc 1 --points 2 --device cpu --j 1"));
    assert_eq!(kept.status, Some(0), "{}", kept.err);
    let told = std::fs::read(project.path("kept/results.json")).unwrap();
    let over = project.run(&format!("select --job {JOB} --clusters 1 --o kept/"));
    assert_eq!(over.status, Some(2), "{}", over.err);
    assert!(
        over.err.contains("`--o kept/`: holds what `opus-dsd decode` made; hint: name another folder, such as `kept-select/`"),
        "{}",
        over.err
    );
    assert!(std::fs::read(project.path("kept/results.json")).unwrap() == told && !project.path("kept/particles.star").exists());
    // Nor are files that are read, or that somebody else has put there.
    std::fs::create_dir_all(project.path("own")).unwrap();
    for name in ["particles.star", "mask.mrc"] {
        std::fs::copy(project.path(&format!("sim/{name}")), project.path(&format!("own/{name}"))).unwrap();
    }
    std::fs::write(project.path("own/z.txt"), "1 2\n").unwrap();
    let own = files(&project.path("own"));
    for (line, culprit) in [
        (format!("encode --job {JOB} --in_parts own/particles.star --o own"), "`--in_parts own/particles.star`: lies in the job folder"),
        (
            "train --in_parts sim/particles.star --in_mask own/mask.mrc --o own".to_owned(),
            "`--in_mask own/mask.mrc`: lies in the job folder",
        ),
        (format!("select --job {JOB} --clusters 1 --o own/"), "own/particles.star: is there already, in a folder that holds no job"),
        (format!("decode --job {JOB} --pc 1 --o own/"), "own/z.txt: is there already"),
    ] {
        let ended = project.run(&line);
        assert_eq!(ended.status, Some(2), "{line}: {}", ended.err);
        assert!(ended.err.contains(culprit) && ended.err.contains("`--o own/job001/`"), "{line}: {}", ended.err);
        assert!(files(&project.path("own")) == own, "{line}");
    }
    // What a job does not write may lie in its folder, and a host that waits for the job's end is told of it.
    std::fs::remove_file(project.path("own/z.txt")).unwrap();
    let beside = project.run(&format!("decode --job {JOB} --pc 1 --points 2 --o own/ --device cpu --j 1"));
    assert_eq!(beside.status, Some(0), "{}", beside.err);
    std::fs::write(project.path("own/job.star"), "\ndata_job\n\n_rlnJobTypeLabel relion.external\n_rlnJobIsContinue 0\n\n").unwrap();
    let select = format!("select --job {JOB} --clusters 1 --o own/");
    assert_eq!((project.run(&select).status, project.exit_files("own")), (Some(2), vec!["RELION_JOB_EXIT_SUCCESS".to_owned()]));
    std::fs::remove_file(project.path("own/RELION_JOB_EXIT_SUCCESS")).unwrap();
    assert_eq!((project.run(&select).status, project.exit_files("own")), (Some(2), vec!["RELION_JOB_EXIT_FAILURE".to_owned()]));
    assert!(before == files(&project.path(JOB)), "the trained job is as it was");
}

/// Rewrites a file of JSON.
fn rewritten(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// Takes fields away that are there.
fn without(object: &mut Value, names: &[&str]) {
    let object = object.as_object_mut().unwrap();
    names.iter().for_each(|name| assert!(object.remove(*name).is_some(), "{name}"));
}

#[test]
fn folders_of_the_first_form_are_decoded_and_those_of_a_newer_one_refused() {
    let project = Project::new();
    assert_eq!(project.train(JOB, "--epochs 1 --clusters 2 --plot no").status, Some(0));
    let job = project.path(JOB);
    let line = |out: &str| format!("decode --job {JOB} --o {out} --particles 1 --device cpu --j 1");
    assert_eq!(project.run(&line("now")).status, Some(0));
    rewritten(&job.join("results.json"), |results| {
        let added =
            ["verb", "origin_angstrom", "zdim", "latents", "clusters", "umap", "weights", "preview", "series", "halves", "clustering"];
        without(results, &added);
        without(results, &["trained_job", "differences", "nuisances", "outlier_share", "drift", "comparison"]);
    });
    rewritten(&job.join("settings.json"), |settings| {
        without(settings, &["setting", "order", "trained_job"]);
        without(&mut settings["input"], &["unseen_box_px"]);
        without(&mut settings["settings"], &["cluster_method", "map_touch"]);
        without(&mut settings["settings"]["grid"], &["engines"]);
        without(&mut settings["settings"]["train"], &["precision", "recompute_encoder"]);
    });
    rewritten(&job.join("checkpoint/epoch-001/checkpoint.json"), |header| {
        header["position"]["snr"] = header["position"]["signal"]["signal_to_noise"].clone();
        without(&mut header["position"], &["signal", "signal_before"]);
        without(&mut header["settings"], &["precision", "recompute_encoder"]);
    });
    let ended = project.run(&line("old"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let map = |out: &str| read_volume(&project.path(out).join("vol_000.mrc")).unwrap().data;
    assert!(map("now") == map("old"));
    let ended = project.run(&format!("analyse --job {JOB} --o looked --clusters 2 --variability 0 --device cpu --j 1"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);

    let header = job.join("checkpoint/epoch-001/checkpoint.json");
    rewritten(&header, |header| header["schema"] = 2.into());
    let ended = project.run(&line("newer"));
    assert_eq!(ended.status, Some(2), "{}", ended.err);
    assert!(ended.last_error().contains("a newer version") && ended.last_error().contains("settings.json"), "{}", ended.err);
    rewritten(&header, |header| header["schema"] = 1.into());
    rewritten(&job.join("results.json"), |results| results["schema"] = 2.into());
    let ended = project.run(&line("newer"));
    assert!(ended.status == Some(2) && ended.last_error().contains("a newer version"), "{}", ended.err);
}
