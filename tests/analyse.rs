//! `analyse`: the states of a trained job again, in a folder of its own; and results that grow while a job runs.

#[path = "support/job.rs"]
mod job;

use contract::Results;
use job::{PARTICLES, Project, TRAINED as JOB, files, trained};
use starfile::StarFile;
use std::time::Duration;

fn results(project: &Project, job: &str) -> Option<Results> {
    let text = std::fs::read_to_string(project.path(job).join("results.json")).ok()?;
    Some(serde_json::from_str(&text).expect("whole at any moment"))
}

/// Cells of a column of a particle file.
fn cells(project: &Project, file: &str, label: &str) -> Vec<String> {
    let star = StarFile::read(&project.path(file)).unwrap();
    let table = star.block("particles").unwrap();
    let column = table.column(label).unwrap();
    (0..table.rows()).map(|row| column.text(row).to_owned()).collect()
}

#[test]
fn other_clusters_and_series_from_the_same_training() {
    let project = trained();
    let before = files(&project.path(JOB));
    let line = format!(
        "analyse --o External/job002/ --in_parts {JOB}/particles.star --clusters 3 --pcs 2 --paths 1-3 --points 3 --box 24 --lowpass 9 --colour-by _rlnDefocusV --plot no --device cpu --j 1"
    );
    let ended = project.run(&line);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let found = results(project, "External/job002").unwrap();
    assert!(found.complete && found.verb == "analyse" && found.trained_job.as_deref() == Some(JOB));
    assert_eq!(found.volumes.iter().map(|v| v.n).sum::<usize>(), PARTICLES);
    let clustering = found.clustering.as_ref().unwrap();
    assert_eq!((clustering.method.as_str(), clustering.clusters, clustering.chosen), ("kmeans", 3, false));
    assert!(clustering.curve.len() > 3 && clustering.reason.starts_with("3 clusters, as said"), "{clustering:?}");
    assert_eq!(found.nuisances.iter().map(|n| n.name.as_str()).collect::<Vec<_>>()[..2], ["view direction", "defocus"]);
    assert!(found.outlier_share.is_some_and(|share| share < 0.2));
    // Of the trained job's two epochs, the first against where learning started.
    assert_eq!(found.drift.iter().map(|d| d.epoch).collect::<Vec<_>>(), [1, 2]);
    assert!(found.drift.iter().all(|d| (0.0..=1.0).contains(&d.alignment) && d.neighbours < 1.0), "{:?}", found.drift);
    for figure in ["latents", "nuisances", "clusters", "training"] {
        assert!(found.plots.contains(&format!("figures/{figure}.svg")) && found.plots.contains(&format!("figures/{figure}.png")));
    }
    assert_eq!(
        found.series.iter().map(|s| (s.name.as_str(), s.volumes.len())).collect::<Vec<_>>(),
        [("pc1", 3), ("pc2", 3), ("path1-3", 3)]
    );
    for file in found.volumes.iter().map(|v| &v.file).chain(found.series.iter().flat_map(|s| s.volumes.iter().map(|v| &v.file))) {
        let map = cryoem::mrc::read_volume(&project.path("External/job002").join(file)).unwrap();
        assert_eq!((map.data.dim().0, map.apix), (24, 4.0), "{file}");
    }
    let page = std::fs::read_to_string(project.path("External/job002/report.html")).unwrap();
    let colours = page.split(r#""columns":["#).nth(1).unwrap();
    let place = |name: &str| colours.find(&format!(r#""name":"{name}""#)).unwrap_or_else(|| panic!("{name} is a colour"));
    assert!(place("rlnDefocusV") < place("defocus (Å)") && place("defocus (Å)") < place("rlnAngleTilt (degrees)"));
    assert!(page.contains(r#""left_out":[]"#));
    // The way's ends are the particles that stand for its states, and every map along it is that of a particle.
    let way = &found.series[2].volumes;
    assert_eq!((&way[0].z, &way[2].z), (&found.volumes[0].z, &found.volumes[2].z));
    for file in ["path1-3.cxc", "figures/path1-3.apng"] {
        assert!(project.path("External/job002").join(file).exists(), "{file}");
    }
    // Particles in order; cluster files hold the input's own cells.
    assert_eq!(cells(project, "External/job002/particles.star", "rlnImageName"), cells(project, "sim/particles.star", "rlnImageName"));
    let classes = cells(project, "External/job002/particles.star", "rlnClassNumber");
    let names = cells(project, "sim/particles.star", "rlnImageName");
    for volume in &found.volumes {
        let own = cells(project, &format!("External/job002/cluster{:03}_particles.star", volume.class), "rlnImageName");
        let expected: Vec<_> =
            names.iter().zip(&classes).filter(|(_, c)| **c == volume.class.to_string()).map(|(n, _)| n.clone()).collect();
        assert_eq!(own, expected);
    }
    assert!(before == files(&project.path(JOB)), "the trained job is as it was");

    let again = project.run(&line);
    assert_eq!(again.status, Some(0), "{}", again.err);
    for stage in ["cluster", "decode", "pc1", "pc2", "path1-3", "report", "publish"] {
        assert!(again.out.contains(&format!("{stage}: done before")), "{stage}: {}", again.out);
    }

    let redone = project.run(&format!("{line} --redo"));
    assert_eq!(redone.status, Some(0), "{}", redone.err);
    assert!(redone.out.contains("decode: begins") && !redone.out.contains("done before"), "{}", redone.out);

    // A job that looks at an analysis looks at what that one looks at.
    let next = project.run("decode --o External/job003/ --in_parts External/job002/particles.star --particles 1 --device cpu --j 1");
    assert_eq!(next.status, Some(0), "{}", next.err);
    assert_eq!(results(project, "External/job003").unwrap().trained_job.as_deref(), Some(JOB));
}

#[test]
fn states_are_compared_with_the_consensus_and_a_part_is_followed() {
    let project = trained();
    // One half of the molecule, with a soft edge.
    let mut part = cryoem::mrc::read_volume(&project.path("sim/mask.mrc")).unwrap();
    part.data.indexed_iter_mut().for_each(|((_, _, x), m)| *m *= ((x as f32 - 14.0) / 4.0).clamp(0.0, 1.0));
    cryoem::mrc::write_volume(&project.path("part.mrc"), &part).unwrap();
    let line = format!(
        "analyse --o External/job005/ --in_parts {JOB}/particles.star --in_mask part.mrc --clusters 3 --paths 2-3,2-1-3,3-2,2-3 --points 2 --variability 12 --plot no --device cpu --j 1"
    );
    let ended = project.run(&line);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let folder = project.path("External/job005");
    let read = |file: &str| cryoem::mrc::read_volume(&folder.join(file)).unwrap();
    let told = results(project, "External/job005").unwrap().differences.unwrap();
    let consensus = read(&told.consensus);
    for state in &told.states {
        // The file is what the number says, inside a mask outside of which there is nothing.
        let difference = read(&state.map);
        let power = |map: &cryoem::volume::Volume| map.data.iter().map(|v| f64::from(v * v)).sum::<f64>();
        assert!(state.of_consensus > 0.001 && state.of_consensus < 2.0, "{state:?}");
        assert!((power(&difference) / power(&consensus)).sqrt() < 3.0 * state.of_consensus, "{state:?}");
        assert_eq!(difference.data[[0, 0, 0]], 0.0);
    }
    let region = told.region.unwrap();
    assert_eq!(region.occupancy.len(), 3);
    for state in &region.occupancy {
        let filled: Vec<f64> = state.levels.iter().map(|l| l.of_region).collect();
        assert!(filled[0] > 0.0 && filled.windows(2).all(|w| w[0] >= w[1]), "less above a higher level: {filled:?}");
        assert!((state.levels[0].volume_angstrom3 / filled[0] / 27.0).fract().abs() < 1e-6, "whole voxels of 27 Å³");
    }
    // Each other state against the largest one, and the way's ends.
    let pairs: Vec<_> = region.motions.iter().map(|m| (m.from, m.to)).collect();
    assert_eq!(pairs.iter().filter(|pair| [(2, 3), (3, 2)].contains(pair)).count(), 1, "each motion once: {pairs:?}");
    let series: Vec<String> = results(project, "External/job005").unwrap().series.into_iter().map(|s| s.name).collect();
    assert_eq!(series, ["path2-3", "path2-1-3", "path3-2"]);
    assert!(region.motions.iter().all(|m| m.correlation_after >= m.correlation_before && m.angle_deg < 60.0), "{:?}", region.motions);
    let variability = told.variability.unwrap();
    assert_eq!(variability.maps, 12);
    assert!(read(&variability.deviation).statistics().max > 0.0 && read(&variability.mean).statistics().max > 0.0);
    assert!(std::fs::read_dir(folder.join("stages")).unwrap().flatten().all(|e| e.path().extension().is_none_or(|x| x != "mrc")));
    let again = project.run(&line);
    assert!(again.out.contains("differences: done before") && again.out.contains("publish: done before"), "{}", again.out);
    // Mirrored maps are compared with the mirrored consensus.
    let turned = project.run(&format!("{} --flip --invert", line.replace("job005", "job015")));
    assert_eq!(turned.status, Some(0), "{}", turned.err);
    let other = results(project, "External/job015").unwrap().differences.unwrap();
    for (a, b) in told.states.iter().zip(&other.states) {
        assert!((a.of_consensus - b.of_consensus).abs() < 0.02, "{a:?} {b:?}");
    }
    // Maps whose sign is turned are the same density: all numbers and pictures are.
    let turned = project.run(&format!("{} --invert", line.replace("job005", "job016")));
    assert_eq!(turned.status, Some(0), "{}", turned.err);
    let (folder, inverted) = (project.path("External/job005"), project.path("External/job016"));
    assert!(results(project, "External/job016").unwrap().differences == results(project, "External/job005").unwrap().differences);
    for file in ["cluster001.mrc", "path2-3/vol_000.mrc", "differences/consensus.mrc", "differences/cluster002.mrc", "variability/mean.mrc"]
    {
        let [a, b] = [&folder, &inverted].map(|folder| cryoem::mrc::read_volume(&folder.join(file)).unwrap().data);
        assert!(a.iter().zip(&b).all(|(a, b)| *a == -*b) && a.iter().any(|v| *v != 0.0), "{file}");
    }
    for file in ["variability/deviation.mrc", "figures/path2-3.apng", "path2-3.cxc", "states.cxc"] {
        let [a, b] = [&folder, &inverted].map(|folder| std::fs::read(folder.join(file)).unwrap());
        match file.ends_with(".cxc") {
            true => assert_eq!(String::from_utf8(b).unwrap().replace(" level -", " level "), String::from_utf8(a).unwrap(), "{file}"),
            false => assert!(a == b, "{file}"),
        }
    }
    let script = std::fs::read_to_string(inverted.join("states.cxc")).unwrap();
    assert!(script.contains(" level -0.") || script.contains(" level -1"), "{script}");
}

#[test]
fn an_earlier_epoch_and_an_input_that_is_gone() {
    let project = Project::new();
    std::fs::create_dir(project.path("in")).unwrap();
    let star = std::fs::read_to_string(project.path("sim/particles.star")).unwrap();
    std::fs::write(project.path("in/particles.star"), star.replace("@particles.mrcs", "@sim/particles.mrcs")).unwrap();
    let line = format!(
        "train --o {JOB}/ --in_parts in/particles.star --in_mask sim/mask.mrc --preset tiny --device cpu --j 1 --epochs 2 --clusters 2 --plot no"
    );
    assert_eq!(project.run(&line).status, Some(0));
    std::fs::remove_dir_all(project.path("in")).unwrap();
    let ended = project.run(&format!("analyze --o again/ --job {JOB} --epoch 1 --clusters 2 --device cpu --j 1 --plot no"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(ended.err.contains("taking the job's own copy"), "{}", ended.err);
    let found = results(&project, "again").unwrap();
    assert_eq!((found.epoch, found.volumes.len()), (1, 2));
    // Two writers make two headers of the same numbers.
    let numbers = |file: &str| {
        let bytes = std::fs::read(project.path(file)).unwrap();
        bytes[bytes.len() - 4 * PARTICLES * found.zdim..].to_vec()
    };
    let of_epoch = numbers(&format!("{JOB}/checkpoint/epoch-001/latents.npy"));
    assert!(numbers("again/latents.npy") == of_epoch, "latents of that epoch");
    assert!(numbers(&format!("{JOB}/latents.npy")) != of_epoch, "not the last one's");
}

#[test]
fn results_grow_while_a_job_runs_and_a_job_that_was_killed_can_be_analysed() {
    let project = Project::new();
    let mut child = project.start(JOB, "--epochs 500 --clusters 2 --plot no");
    job::wait_for("an epoch's results", Duration::from_secs(120), || results(&project, JOB).is_some_and(|r| r.epoch >= 1));
    let found = results(&project, JOB).unwrap();
    assert!(!found.complete && found.volumes.is_empty() && found.particles.is_empty());
    assert_eq!((found.box_px, found.apix, found.zdim), (32, 3.0, 8));
    let folder = project.path(JOB);
    // The newest three epochs stay, so what was named a moment ago is there.
    for file in [found.latents, found.preview, found.weights] {
        assert!(folder.join(file.clone().unwrap()).exists(), "{file:?}");
    }
    job::signal(child.id(), libc::SIGKILL);
    child.wait().unwrap();
    // The guard's lock goes with it; its worker and engine follow at once.
    let ended = project.run(&format!("analyse --o again/ --in_parts {JOB}/particles.star --device cpu --j 1 --plot no"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(results(&project, "again").unwrap().complete);
}

#[test]
fn another_job_is_held_against_this_one() {
    let project = trained();
    // With itself: everything agrees.
    let line = format!("analyse --o External/job007/ --job {JOB} --clusters 2 --compare {JOB} --plot no --device cpu --j 1");
    let ended = project.run(&line);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(
        ended.out.contains(&format!("against {JOB}, epoch 2: {PARTICLES} particles; 2 of 2 states are found in both")),
        "{}",
        ended.out
    );
    let same = results(project, "External/job007").unwrap().comparison.unwrap();
    assert_eq!((same.particles, same.rand_index, same.kept, same.neighbours), (PARTICLES, 1.0, 1.0, 1.0));
    assert!((same.alignment - 1.0).abs() < 1e-6);
    for state in &same.matches {
        assert_eq!((state.here, state.overlap), (state.there, 1.0));
        assert!(state.map_correlation > 0.9999 && state.difference_correlation.unwrap() > 0.999, "{state:?}");
    }
    let again = project.run(&line);
    assert!(again.out.contains("compare: done before") && again.out.contains("report: done before"), "{}", again.out);

    // An earlier epoch, whose clusters and maps are made here; mixtures say how certain they are.
    let ended = project.run(&format!(
        "analyse --o External/job008/ --job {JOB} --clusters 2 --cluster-method mixture --compare {JOB}:1 --plot no --device cpu --j 1"
    ));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let found = results(project, "External/job008").unwrap();
    let earlier = found.comparison.unwrap();
    assert_eq!((earlier.epoch, earlier.particles), (1, PARTICLES));
    assert!(earlier.alignment < 0.999_999 && earlier.neighbours < 1.0 && !earlier.matches.is_empty(), "{earlier:?}");
    let clustering = found.clustering.unwrap();
    assert!(clustering.method == "mixture" && clustering.mean_certainty.is_some_and(|c| (0.5..=1.0).contains(&c)), "{clustering:?}");
    let star = StarFile::read(&project.path("External/job008/latents.star")).unwrap();
    let table = star.block("latents").unwrap();
    for (label, least, most) in [("opusDensity", 0.0, 1.0), ("opusOutlier", -50.0, 50.0), ("opusCertainty", 0.5, 1.0)] {
        let values = table.column(label).unwrap().numbers().unwrap();
        assert!(values.len() == PARTICLES && values.iter().all(|v| (least..=most).contains(v)), "{label}: {values:?}");
    }
    let page = std::fs::read_to_string(project.path("External/job008/report.html")).unwrap();
    assert!(page.contains(&format!("state in {JOB}, epoch 1")) && page.contains("certainty of the cluster"));
    // What is proposed after its maps are decoded divides the particles as it did.
    let decoded = project.run("decode --o External/job010/ --job External/job008 --particles 1 --device cpu --j 1");
    assert!(decoded.out.lines().any(|line| line.starts_with("next: ") && line.contains("--cluster-method mixture")), "{}", decoded.out);

    // The same job with the images of another stack is of other particles.
    let folder = project.path("copy");
    std::fs::create_dir(&folder).unwrap();
    for name in ["particles.star", "particles.mrcs"] {
        std::fs::copy(project.path("sim").join(name), folder.join(name)).unwrap();
    }
    for (name, bytes) in files(&project.path(JOB)) {
        let path = project.path("External/job009").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let settings = std::fs::read_to_string(project.path(JOB).join("settings.json")).unwrap();
    assert!(settings.contains("sim/particles.star"));
    std::fs::write(project.path("External/job009/settings.json"), settings.replace("sim/particles.star", "copy/particles.star")).unwrap();
    let other = project.run(&format!("analyse --o refused2 --job {JOB} --compare External/job009 --device cpu --j 1"));
    assert_eq!(other.status, Some(2), "{}", other.err);
    assert!(other.last_error().contains("`--compare` External/job009: has 0 of this job's 96 particles; hint: "), "{}", other.err);
    assert!(!other.out.contains(": begins"), "before any stage: {}", other.out);
}

#[test]
fn a_job_star_names_the_verb() {
    let project = trained();
    let folder = project.path("External/job004");
    std::fs::create_dir_all(&folder).unwrap();
    let star = format!(
        "\n# version 50001\n\ndata_job\n\n_rlnJobTypeLabel relion.external\n_rlnJobIsContinue 0\n\n\n# version 50001\n\ndata_joboptions_values\n\nloop_ \n\
         _rlnJobOptionVariable #1 \n_rlnJobOptionValue #2 \nfn_exe \"opus-dsd analyse\" \nin_part {JOB}/particles.star \nin_mask sim/mask.mrc \n\
         nr_threads 1 \nother_args \"--device cpu --plot no\" \nparam1_label clusters \nparam1_value auto \n \n"
    );
    std::fs::write(folder.join("job.star"), star).unwrap();
    let ended = project.run("run External/job004/job.star");
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(results(project, "External/job004").unwrap().differences.unwrap().region.is_some(), "the mask is that of a part");
    let nodes = std::fs::read_to_string(folder.join("RELION_OUTPUT_NODES.star")).unwrap();
    assert!(nodes.contains("External/job004/cluster002.mrc DensityMap.mrc"), "{nodes}");
    assert!(project.run("status External/job004 --json").out.contains("\"verb\": \"analyse\""));
    // A file that is not there is named once.
    let missing = project.run("run nowhere/job.star");
    assert_eq!(missing.err.matches("nowhere/job.star").count(), 1, "{}", missing.err);
}

#[test]
fn what_cannot_be_analysed_is_refused() {
    let project = trained();
    for (arguments, culprit) in [
        (format!("--job {JOB} --o refused --epoch 7"), JOB),
        (format!("--job {JOB} --o refused --paths 1-3 --clusters 2"), "`--paths`"),
        (format!("--job {JOB} --o refused --paths 1-2,1-3-2 --clusters 2"), "`--paths`"),
        (format!("--job {JOB} --o refused --in_mask sim/particles.star"), "`--in_mask` sim/particles.star"),
        (format!("--job {JOB} --o refused --in_mask sim/particles.mrcs"), "`--in_mask` sim/particles.mrcs"),
        (format!("--job {JOB} --o refused --colour-by rlnNone"), "`--colour-by` rlnNone"),
        (format!("--job {JOB} --o refused --colour-by rlnAngleRot,rlnMicrographName"), "`--colour-by` rlnMicrographName"),
        (format!("--job {JOB} --o refused --clusters 0"), "`--clusters`"),
        ("--job nowhere --o refused".to_owned(), "nowhere"),
        (format!("--job {JOB} --o refused --compare elsewhere"), "elsewhere"),
        (format!("--job {JOB} --o refused --compare {JOB}:9"), JOB),
        ("--o refused".to_owned(), "`--job`"),
    ] {
        let ended = project.run(&format!("analyse {arguments}"));
        assert!(!matches!(ended.status, Some(0) | None), "{arguments}");
        let line = ended.last_error();
        assert!(line.starts_with(&format!("error: {culprit}")) && line.contains("; hint: "), "{arguments}: {line}");
        assert_eq!(project.exit_files("refused"), ["RELION_JOB_EXIT_FAILURE"], "{arguments}");
        assert!(!ended.out.contains(": begins"), "before any stage: {arguments}: {}", ended.out);
    }
    // How many states there are is not known before they are found; nothing is decoded for a way that cannot be.
    let ended = project.run(&format!("analyse --job {JOB} --o refused3 --paths 1-40 --plot no --device cpu --j 1"));
    assert!(ended.status == Some(2) && ended.last_error().contains("there is no state 40"), "{}", ended.err);
    assert!(ended.out.contains("cluster: begins") && !ended.out.contains("decode: begins"), "{}", ended.out);
    assert_eq!(project.run(&format!("analyse --job {JOB} --o {JOB}/")).status, Some(2));
}

#[test]
fn half_maps_of_every_state_share_no_particle_and_tell_their_resolution() {
    let project = trained();
    let line =
        format!("analyse --o External/job006/ --in_parts {JOB}/particles.star --clusters 2 --halves yes --plot no --device cpu --j 1");
    let ended = project.run(&line);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(ended.out.contains("half sets: those of the refinement"), "{}", ended.out);
    let found = results(project, "External/job006").unwrap();
    assert_eq!(found.halves.iter().map(|h| h.class).collect::<Vec<_>>(), [1, 2]);
    for state in &found.halves {
        let read = |file: &str| cryoem::mrc::read_volume(&project.path("External/job006").join(file)).unwrap();
        let [first, second] = [&state.first, &state.second].map(|f| read(f));
        // The images' own grid, whatever the network saw.
        assert_eq!((first.data.dim().0, first.apix, state.box_px), (32, 3.0, 32));
        assert!(first.data != second.data && state.first.ends_with("_half1_unfil.mrc"));
        let own = cryoem::volume::fourier_shell_correlation(&first, &second, None).unwrap();
        assert!(own[1] > 0.9, "the same molecule: {own:?}");
        assert_eq!((state.fsc.len(), state.decoded_fsc.len()), (17, 17));
        // The network learned from the same particles.
        assert!(state.decoded_fsc[1] > 0.9 && state.decoded_agrees_angstrom.is_some_and(|r| r < 60.0), "{:?}", state.decoded_fsc);
        let resolution = state.resolution_angstrom.expect("halves of a clean phantom agree");
        assert!((6.0..60.0).contains(&resolution) && state.effective_particles > 20.0, "{state:?}");
        assert!(read(&state.map).statistics().std > 0.0 && read(&state.local_resolution).statistics().max > 0.0);
        let table = StarFile::read(&project.path(&format!("External/job006/halves/cluster{:03}_fsc.star", state.class))).unwrap();
        assert_eq!(table.block("fsc").unwrap().rows(), 17);
    }
    let nodes = std::fs::read_to_string(project.path("External/job006/RELION_OUTPUT_NODES.star")).unwrap();
    assert!(nodes.contains("halves/cluster001_half1_unfil.mrc DensityMap.mrc.halfmap 10"), "{nodes}");
    assert!(nodes.contains("halves/cluster002_map.mrc DensityMap.mrc 6"), "{nodes}");
    let page = std::fs::read_to_string(project.path("External/job006/report.html")).unwrap();
    assert!(page.contains("\"decoded_fsc\":[[0.0,"), "the report shows the curves");
    let again = project.run(&line);
    assert!(again.out.contains("halves-001: done before") && again.out.contains("publish: done before"), "{}", again.out);
    // Without the option nothing is claimed.
    let without = project.run(&line.replace("--halves yes ", ""));
    assert_eq!(without.status, Some(0), "{}", without.err);
    assert!(results(project, "External/job006").unwrap().halves.is_empty());
}
