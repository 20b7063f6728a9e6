//! Real RELION runs the Scheme (5, where there is one) and the Schedule (3.1) that this program installs, to the end; reads our figures; and
//! works on with what analyses leave. Without RELION 3.1 the tests fail under CI and say loudly elsewhere that they were skipped.

#[path = "support/job.rs"]
mod job;
#[path = "support/relion.rs"]
mod relion;
#[path = "support/skip.rs"]
mod skip;

use relion::{Relion, value_after};
use std::process::Command;

/// Options with which a training is one of seconds.
const QUICK: &str = "--preset tiny --device cpu --epochs 2";

fn images(text: &str) -> Vec<String> {
    text.lines().filter(|l| l.contains(".mrcs")).filter_map(|l| l.split_whitespace().find(|w| w.contains('@'))).map(String::from).collect()
}

/// Checks what a run of Scheme or Schedule has left: train in External/job002, analyse in job003, the subsets in Select/job004.
fn all_there(relion: &Relion, status: &str) {
    for job in ["External/job002/", "External/job003/", "Select/job004/"] {
        assert_eq!(relion.status(job), status, "{job}: {}", relion.text(&format!("{job}run.err")));
    }
    let out = relion.text("External/job003/run.out");
    assert!(out.contains("analyse --o External/job003/ --in_parts External/job002/particles.star"), "{out}");
    for node in ["External/job003/selected_particles.star", "External/job003/cluster001.mrc", "Select/job004/particles_split1.star"] {
        assert!(relion.has_node(node), "{node}");
    }
    let pipeline = relion.text("default_pipeline.star");
    let edge = |from: &str, to: &str| pipeline.lines().any(|l| l.split_whitespace().eq([from, to]));
    assert!(edge("External/job002/particles.star", "External/job003/"), "{pipeline}");
    assert!(edge("External/job003/selected_particles.star", "Select/job004/"), "{pipeline}");
    let selected = images(&relion.text("External/job003/selected_particles.star"));
    let mut split = images(&relion.text("Select/job004/particles_split1.star"));
    split.extend(images(&relion.text("Select/job004/particles_split2.star")));
    split.sort();
    let mut expected = selected.clone();
    expected.sort();
    assert!(!selected.is_empty() && split == expected, "every selected particle is in one of the two subsets");
}

#[test]
fn the_schedule_runs_from_a_refinement_to_subsets() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    let said = relion.front(&["install", "relion"]);
    assert!(said.contains("RELION 3.1 project") && said.contains("written  Schedules/opus-dsd"), "{said}");
    let checked = relion.front(&["install", "relion", "--check", "Schedules/opus-dsd"]);
    assert!(checked.contains("nothing wrong"), "{checked}");
    slips_are_caught(&relion);
    let schedule = |arguments: &[&str]| relion.tool("relion_scheduler", &[&["--schedule", "opus-dsd"], arguments].concat());
    for (name, value) in [
        ("parts", "Import/job001/particles.star"),
        ("mask", "sim/mask.mrc"),
        ("train_args", QUICK),
        ("analyse_args", "--device cpu"),
        ("clusters", "2"),
        ("threads", "1"),
        ("min_particles", "20"),
    ] {
        schedule(&["--set_var", name, "--value", value, "--original_value", value]);
    }
    let run = || schedule(&["--run", "--pipeline_control", "Schedules/opus-dsd/"]);
    let said = run();
    assert!(said.contains("enough=n_selected_GE_min_particles => True") && said.contains("reached an exit point"), "{said}");
    all_there(&relion, "2");
    assert!(!relion.path("opus-dsd.TOO_FEW_PARTICLES").exists());
    relion.tool("relion_reconstruct", &["--i", "Select/job004/particles_split1.star", "--o", "half.mrc", "--ctf"]);

    // Once more from the analysis on, with more wanted than there are: the same folder is gone on in, and the message is left.
    schedule(&["--set_var", "min_particles", "--value", "1000"]);
    schedule(&["--set_current_node", "analyse"]);
    let said = run();
    assert!(said.contains("enough=n_selected_GE_min_particles => False"), "{said}");
    assert!(relion.path("opus-dsd.TOO_FEW_PARTICLES").exists());
    assert!(!relion.path("External/job005").exists() && !relion.path("Select/job005").exists());
    assert_eq!(relion.status("External/job003/"), "2");
    figures_are_read(&relion);
}

/// Slips in the Schedule that RELION 3.1 itself has written, one at a time.
fn slips_are_caught(relion: &Relion) {
    for (file, before, after, words) in [
        ("schedule.star", "float=plus", "float=sum", "`float=sum` is not a type"),
        ("schedule.star", "bool=gt", "bool=set", "came with RELION 4"),
        ("schedule.star", "analyse/selected_particles.star", "analyse/train.star", "the names of 2 jobs"),
        ("schedule.star", "subset", "subsets", "job `subsets` has no file"),
        ("schedule.star", "too_late=", "late=", "`late="),
        ("train/job.star", "$$mask", "$$masks", "`$$masks` is not a variable"),
        ("train/job.star", "zdim", "zdmi", "`zdmi` is not an option"),
        ("analyse/job.star", "train/particles.star", "trian/particles.star", "a job `trian`"),
        ("subset/job.star", "nr_split", "nr_splits", "no option `nr_splits`"),
    ] {
        let path = relion.path(&format!("Schedules/opus-dsd/{file}"));
        let whole = std::fs::read_to_string(&path).unwrap();
        assert!(whole.contains(before), "{before}: {whole}");
        // A name in the edges alone, where the table of operators has it too.
        let changed = if before.ends_with('=') { whole.replacen(before, after, 1) } else { whole.replace(before, after) };
        std::fs::write(&path, changed).unwrap();
        let said = relion.refused(&["install", "relion", "--check", "Schedules/opus-dsd"]);
        assert!(said.contains(words) && said.contains("line "), "{before}: {said}");
        std::fs::write(&path, whole).unwrap();
    }
}

/// Every documented figure of summary.star, read by `float=read_star`.
fn figures_are_read(relion: &Relion) {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/summary.md")).unwrap();
    let documented: Vec<(String, String)> = page
        .lines()
        .filter_map(|l| {
            let cells: Vec<&str> = l.split('|').map(|c| c.trim().trim_matches('`')).collect();
            (cells.len() > 4 && cells[2].starts_with("rln")).then(|| (cells[1].to_owned(), cells[2].to_owned()))
        })
        .collect();
    assert_eq!(documented.len(), 5, "{documented:?}");
    let figures = |arguments: &[&str]| relion.tool("relion_scheduler", &[&["--schedule", "figures", "--add"], arguments].concat());
    figures(&["variable", "--name", "row", "--value", "1"]);
    let mut nodes = Vec::new();
    for (table, label) in &documented {
        let (figure, place) = (format!("n_{label}"), format!("at_{label}"));
        figures(&["variable", "--name", &figure, "--value", "-1"]);
        figures(&["variable", "--name", &place, "--value", &format!("External/job003/summary.star,{table},{label}")]);
        let row = if table == "classes" { "row" } else { "undefined" };
        figures(&["operator", "--type", "float=read_star", "--i", &place, "--i2", row, "--o", &figure]);
        nodes.push(format!("{figure}=STAR_{place}_{row}"));
    }
    figures(&["operator", "--type", "exit"]);
    nodes.push("EXIT".into());
    for pair in nodes.windows(2) {
        figures(&["edge", "--i", &pair[0], "--o", &pair[1]]);
    }
    let said = relion.tool("relion_scheduler", &["--schedule", "figures", "--run", "--pipeline_control", "Schedules/figures/"]);
    let read = |label: &str| -> f64 {
        let line =
            said.lines().find(|l| l.contains(&format!("n_{label}=STAR")) && l.contains("=>")).unwrap_or_else(|| panic!("{label}: {said}"));
        line.rsplit("=>").next().unwrap().trim().parse().unwrap()
    };
    let second = images(&relion.text("External/job003/cluster002_particles.star")).len() as f64;
    let all = images(&relion.text("External/job003/particles.star")).len() as f64;
    assert_eq!(read("rlnCurrentIteration"), 2.0);
    assert_eq!(read("rlnNrClasses"), 2.0);
    assert_eq!(read("rlnClassNumber"), 2.0);
    assert_eq!(read("rlnGroupNrParticles"), second);
    assert!((read("rlnClassDistribution") - second / all).abs() < 1e-4, "{said}");
    let checked = relion.front(&["install", "relion", "--check", "Schedules/figures"]);
    assert!(checked.contains("nothing wrong"), "{checked}");
}

#[test]
fn the_scheme_runs_under_relion_5() {
    let version = Command::new("relion_schemer").arg("--version").output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let Some(version) = version.ok().and_then(|v| v.split("version:").nth(1)?.trim().chars().next()) else {
        skip::skipped("RELION 4 or 5 (relion_schemer) is not installed");
        return;
    };
    let Some(relion) = Relion::project() else { return };
    std::fs::create_dir_all(relion.path("Refine3D/job001")).unwrap();
    let pipeline = relion.text("default_pipeline.star").replace("Counter                       1", "Counter                       2");
    std::fs::write(relion.path("default_pipeline.star"), pipeline).unwrap();
    std::fs::copy(relion.path("particles.star"), relion.path("Refine3D/job001/run_data.star")).unwrap();
    relion.front(&["install", "relion", "--version", &version.to_string()]);
    let scheme = |arguments: &[&str]| relion.tool("relion_schemer", &[&["--scheme", "opus-dsd"], arguments].concat());
    for (name, value) in [
        ("parts", "Refine3D/job001/run_data.star"),
        ("train_args", QUICK),
        ("analyse_args", "--device cpu"),
        ("clusters", "2"),
        ("threads", "1"),
        ("min_particles", "20"),
        ("wait_sec", "1"),
    ] {
        scheme(&["--set_var", name, "--value", value, "--original_value", value]);
    }
    // The refinement finishes while the Scheme waits.
    let mark = relion.path("Refine3D/job001/RELION_JOB_EXIT_SUCCESS");
    let finish = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(2));
        std::fs::write(mark, b"").unwrap();
    });
    let said = scheme(&["--run", "--pipeline_control", "Schemes/opus-dsd/"]);
    finish.join().unwrap();
    assert!(said.contains("HAS_mark: has_mark -> False") && said.contains("CHECK_enough: enough -> True"), "{said}");
    all_there(&relion, "Succeeded");
    let checked = relion.front(&["install", "relion", "--check", "Schemes/opus-dsd"]);
    assert!(checked.contains("nothing wrong"), "{checked}");
}

#[test]
fn an_analysis_is_worked_on_with() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    let train =
        relion.external("Import/job001/particles.star", &[("epochs", "2"), ("clusters", "2"), ("preset", "tiny"), ("device", "cpu")], "");
    relion.run(&train);
    assert_eq!(relion.status(&train), "2", "{}", relion.text(&format!("{train}run.err")));

    // The job file that the program installs, made a job by RELION, under an alias.
    relion.front(&["install", "relion"]);
    assert!(relion.path(".gui_externaljob.star").exists());
    let options = format!("in_part == {train}particles.star;param2_value == 3;nr_threads == 1;other_args == --device cpu");
    relion.tool(
        "relion_pipeliner",
        &["--addJobFromStar", "opus-dsd/analyse.job.star", "--addJobOptions", &options, "--setJobAlias", "three_states"],
    );
    let analyse = "External/job003/";
    relion.run(analyse);
    assert_eq!(relion.status(analyse), "2", "{}", relion.text("External/job003/run.err"));
    assert_eq!(relion.row(analyse).unwrap()[1], "External/three_states/");
    assert!(relion.path("External/three_states/cluster003.mrc").exists());
    assert_eq!(relion.node_type("External/job003/cluster003.mrc"), "6");
    let images_of = |file: &str| images(&relion.text(file));
    assert_eq!(images_of("External/job003/particles.star"), images_of("Import/job001/particles.star"), "order and ids are kept");
    let states: Vec<String> = (1..=3).flat_map(|i| images_of(&format!("External/job003/cluster00{i}_particles.star"))).collect();
    assert_eq!(states.len(), images_of("Import/job001/particles.star").len());

    // The next jobs: a subset of one state, and its map.
    let select =
        relion.add("Select", "fn_data == External/three_states/cluster001_particles.star;do_split == Yes;nr_split == 2;do_random == No");
    relion.run(&select);
    assert_eq!(relion.status(&select), "2", "{}", relion.text(&format!("{select}run.err")));
    relion.tool("relion_reconstruct", &["--i", &format!("{select}particles_split1.star"), "--o", "back.mrc", "--ctf"]);

    // `Continue!` with a changed value, after the project's folder has moved.
    let star = relion.text("External/job003/job.star");
    assert!(star.contains("param2_value          3"), "{star}");
    let star = star
        .replace("param2_value          3", "param2_value          2")
        .replace("IsContinue                       0", "IsContinue                       1");
    std::fs::write(relion.path("External/job003/job.star"), star).unwrap();
    let relion = relion.moved();
    relion.run(analyse);
    assert_eq!(relion.status(analyse), "2", "{}", relion.text("External/job003/run.err"));
    let states: usize = (1..=2).map(|i| images(&relion.text(&format!("External/job003/cluster00{i}_particles.star"))).len()).sum();
    assert_eq!(states, job::PARTICLES);
    assert_eq!(value_after(&relion.text("External/job003/summary.star"), "_rlnNrClasses"), "2");
    assert!(relion.text("External/job003/run.out").contains("host: RELION 3, continued"));
}

#[test]
fn queue_templates_run_a_job_and_pass_the_end_on() {
    let Some(relion) = Relion::project() else { return };
    relion.import();
    relion.front(&["install", "relion"]);
    for (template, signal) in [("slurm", libc::SIGUSR1), ("sge", libc::SIGUSR2)] {
        let quick = [("epochs", "500"), ("clusters", "2"), ("preset", "tiny"), ("device", "cpu")];
        // As a queue does: in a process group of its own, with the script's id at hand.
        let submit = relion.path("submit.sh");
        std::fs::write(&submit, "#!/bin/sh\nsetsid bash \"$1\" &\necho $! > queue.pid\nwait\n").unwrap();
        let queue = format!("do_queue == Yes;qsub == sh submit.sh;qsubscript == opus-dsd/queue-{template}.sh");
        let job = relion.external("Import/job001/particles.star", &quick, &queue);
        let mut running = relion.start(&job);
        let long = std::time::Duration::from_secs(120);
        job::wait_for("training", long, || relion.text(&format!("{job}run.out")).contains("epoch 1/"));
        job::signal(relion.text("queue.pid").trim().parse().unwrap(), signal);
        let failed = relion.path(&format!("{job}RELION_JOB_EXIT_FAILURE"));
        job::wait_for("the end", std::time::Duration::from_secs(20), || failed.exists());
        running.wait().unwrap();
        relion.check();
        assert_eq!(relion.status(&job), "3", "{template}");
        let err = relion.text(&format!("{job}run.err"));
        assert!(err.contains("SIGTERM"), "{template}: {err}");
        assert_eq!(relion.text(&format!("{job}run.out")).matches("host: RELION 3").count(), 1, "each line once");
    }
}
