//! Real RELION starts, aborts and continues jobs, and works on with what they leave. Without RELION the tests fail under CI and say loudly
//! elsewhere that they were skipped.

#[path = "support/job.rs"]
mod job;
#[path = "support/relion.rs"]
mod relion;
#[path = "support/skip.rs"]
mod skip;

use relion::Relion;
use std::time::Duration;

/// Parameters of a job of seconds.
const SHORT: &[(&str, &str)] = &[("epochs", "2"), ("clusters", "2"), ("preset", "tiny"), ("device", "cpu")];

#[test]
fn from_import_to_jobs_that_go_on_with_clusters_and_maps() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    let job = relion.external("Import/job001/particles.star", SHORT, "");
    relion.run(&job);
    assert_eq!(relion.status(&job), "2", "succeeded: {}", relion.text(&format!("{job}run.err")));
    for node in ["particles.star", "selected_particles.star", "cluster001_particles.star", "cluster002.mrc", "logfile.pdf"] {
        assert!(relion.has_node(&format!("{job}{node}")), "{node}");
    }
    assert!(
        relion.text("default_pipeline.star").contains(&format!("{job}cluster001.mrc            6"))
            || relion.node_type(&format!("{job}cluster001.mrc")) == "6"
    );
    assert_eq!(relion.node_type(&format!("{job}cluster001_particles.star")), "3");
    assert_eq!(relion.node_type(&format!("{job}logfile.pdf")), "13");

    let star = format!("{job}cluster001_particles.star");
    relion.tool("relion_reconstruct", &["--i", &star, "--o", "back.mrc", "--ctf"]);
    relion.tool("relion_star_handler", &["--i", &star, "--o", "copy.star"]);
    assert_eq!(rows(&relion.text("copy.star")), rows(&relion.text(&star)));
    relion.tool("relion_image_handler", &["--i", &format!("{job}cluster001.mrc"), "--o", "filtered.mrc", "--lowpass", "20"]);
    relion.tool("relion_mask_create", &["--i", &format!("{job}cluster002.mrc"), "--o", "newmask.mrc", "--ini_threshold", "0.01"]);
    let select = relion.add("Select", &format!("fn_data == {star};do_split == Yes;nr_split == 2;do_random == No"));
    relion.run(&select);
    assert_eq!(relion.status(&select), "2", "{}", relion.text(&format!("{select}run.err")));
    assert!(relion.path(&format!("{select}particles_split1.star")).exists());
}

#[test]
fn later_verbs_are_jobs_like_any_other() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    let trained = relion.external("Import/job001/particles.star", SHORT, "");
    relion.run(&trained);
    let verb = |verb: &str| format!("{} {verb}", job::program());
    let map = format!("{trained}cluster001.mrc");
    let add = |name: &str, particles: &str, parameters: &[(&str, &str)], more: &str| {
        let job = relion.external_of(&verb(name), particles, parameters, more);
        relion.run(&job);
        assert_eq!(relion.status(&job), "2", "{name}: {}", relion.text(&format!("{job}run.err")));
        job
    };
    let encoded = add("encode", "Import/job001/particles.star", &[("device", "cpu")], &format!("in_3dref == {map}"));
    assert!(relion.text(&format!("{encoded}run.out")).contains("note: `--in_mask sim/mask.mrc` is not used by this verb"));
    let edge = |from: &str, to: &str| relion.text("default_pipeline.star").lines().any(|l| l.split_whitespace().eq([from, to]));
    assert!(edge(&map, &encoded) && edge("Import/job001/particles.star", &encoded), "{}", relion.text("default_pipeline.star"));
    assert_eq!(relion.node_type(&format!("{encoded}cluster001_particles.star")), "3");
    let particles = format!("{encoded}particles.star");
    let picked = add("select", &particles, &[("clusters", "1")], "");
    assert!(edge(&particles, &picked));
    add("check", "Import/job001/particles.star", &[], &format!("in_3dref == {map}"));
    // What a check is sure of fails the job.
    let turned = cryoem::mrc::read_volume(&relion.path(&map)).unwrap();
    let turned = cryoem::volume::Volume { data: -turned.data, apix: turned.apix };
    cryoem::mrc::write_volume(&relion.path("turned.mrc"), &turned).unwrap();
    let wrong = relion.external_of(&verb("check"), "Import/job001/particles.star", &[], "in_3dref == turned.mrc");
    relion.run(&wrong);
    assert_eq!(relion.status(&wrong), "3", "{}", relion.text(&format!("{wrong}run.out")));
}

fn rows(text: &str) -> usize {
    text.lines().filter(|l| l.contains(".mrcs")).count()
}

#[test]
fn failure_and_unknown_option_are_seen() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    for (parameters, words) in [
        (&[("zdmi", "8")][..], "`--zdmi`: unknown option"),
        (&[("zdim", "")], "`--zdim`: has no value"),
        (&[("valfrac", "7")], "`--valfrac`"),
    ] {
        let job = relion.external("Import/job001/particles.star", parameters, "");
        relion.run(&job);
        assert_eq!(relion.status(&job), "3", "failed");
        assert!(relion.text(&format!("{job}run.err")).contains(words), "{}", relion.text(&format!("{job}run.err")));
        assert!(!relion.has_node(&format!("{job}particles.star")));
    }
}

#[test]
fn abort_and_continue() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    let long = [("epochs", "500"), ("clusters", "2"), ("preset", "tiny"), ("device", "cpu")];
    let job = relion.external("Import/job001/particles.star", &long, "");
    let mut running = relion.start(&job);
    job::wait_for("training", Duration::from_secs(120), || relion.text(&format!("{job}run.out")).contains("epoch 1/"));
    std::fs::write(relion.path(&format!("{job}RELION_JOB_ABORT_NOW")), b"").unwrap();
    job::wait_for("the exit file", Duration::from_secs(6), || relion.path(&format!("{job}RELION_JOB_EXIT_ABORTED")).exists());
    running.wait().unwrap();
    relion.check();
    assert_eq!(relion.status(&job), "4", "aborted");

    // `Continue!` without a window: the flag in job.star, fewer epochs as a changed parameter, the same job again.
    let star = relion.path(&format!("{job}job.star"));
    let text = std::fs::read_to_string(&star).unwrap();
    let text = text
        .replace("_rlnJobIsContinue                       0", "_rlnJobIsContinue                       1")
        .replace("        500", "          3");
    assert!(text.contains("_rlnJobIsContinue                       1"));
    std::fs::write(&star, text).unwrap();
    relion.run(&job);
    assert_eq!(relion.status(&job), "2", "{}", relion.text(&format!("{job}run.err")));
    let out = relion.text(&format!("{job}run.out"));
    assert!(out.contains("host: RELION 3, continued"), "{out}");
    assert!(out.contains("prepare: done before"), "{out}");
}

#[test]
fn a_queue_template_runs_it() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    let template = "#!/bin/sh\ncd \"$PWD\"\n{\nXXXcommandXXX\n} >> XXXoutfileXXX 2>> XXXerrfileXXX\n";
    std::fs::write(relion.path("queue.sh"), template).unwrap();
    let job = relion.external("Import/job001/particles.star", SHORT, "do_queue == Yes;qsub == sh;qsubscript == queue.sh");
    relion.run(&job);
    assert_eq!(relion.status(&job), "2", "{}", relion.text(&format!("{job}run.err")));
    let out = relion.text(&format!("{job}run.out"));
    assert_eq!(out.matches("all done").count(), 1, "each line once: {out}");
}

#[test]
fn a_path_with_relion_in_it() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    // RELION then adds `--pipeline_control FOLDER/`.
    let folder = relion.path("relion_plugins");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(job::program(), folder.join("opus-dsd")).unwrap();
    let job = relion.external_of(&folder.join("opus-dsd").to_string_lossy(), "Import/job001/particles.star", SHORT, "");
    relion.run(&job);
    assert_eq!(relion.status(&job), "2", "{}", relion.text(&format!("{job}run.err")));
    assert!(relion.text(&format!("{job}run.out")).contains("--pipeline_control"));
}
