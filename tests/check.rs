//! `check`: good input passes in silence, wrong input ends with status 2 and the reason.

#[path = "support/job.rs"]
mod job;

use cryoem::mrc::{read_volume, write_volume};
use cryoem::volume::Volume;
use job::Project;
use serde_json::Value;

const GOOD: &str = "check --in_parts good/particles.star --in_mask good/mask.mrc --in_3dref good/consensus.mrc";

/// A project with a set of 400 particles in `good/`.
fn project() -> Project {
    let project = Project::new();
    assert_eq!(project.run("simulate --o good -n 400 --optics 32:3.0 --seed 5").status, Some(0));
    project
}

fn report(project: &Project, folder: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(project.path(folder).join("check.json")).unwrap()).unwrap()
}

#[test]
fn good_input_passes_and_leaves_its_numbers() {
    let project = project();
    let ended = project.run(&format!("{GOOD} --o checked/"));
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("all is well") && ended.err.is_empty(), "{}{}", ended.out, ended.err);
    assert_eq!(project.exit_files("checked"), ["RELION_JOB_EXIT_SUCCESS"]);
    let report = report(&project, "checked");
    assert!(["good", "noted"].contains(&report["verdict"].as_str().unwrap()), "{report}");
    assert_eq!(report["half_maps_fsc"].as_array().unwrap().len(), 17);
    assert!(report["map"]["score"].as_f64().unwrap() > 0.5);
}

#[test]
fn few_particles_do_not_tell_the_pixel_size() {
    let project = Project::new();
    // A good set in which noise makes the map seem to fit best with voxels 3.9% off.
    assert_eq!(project.run("simulate --o good -n 60 --optics 32:3.0 --seed 4 --snr 0.02").status, Some(0));
    let ended = project.run(GOOD);
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("too few to tell the map's pixel size") && !ended.out.contains("is wrong"), "{}", ended.out);
    // Enough of them tell, also where the header is wrong.
    let project = self::project();
    let map = read_volume(&project.path("good/consensus.mrc")).unwrap();
    write_volume(&project.path("scaled.mrc"), &Volume { data: map.data, apix: 1.05 * map.apix }).unwrap();
    let ended = project.run(&GOOD.replace("good/consensus.mrc", "scaled.mrc"));
    assert_eq!(ended.status, Some(2), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("the pixel size is wrong"), "{}", ended.out);
}

#[test]
fn an_inverted_map_ends_with_status_2_and_names_the_contrast() {
    let project = project();
    let map = read_volume(&project.path("good/consensus.mrc")).unwrap();
    write_volume(&project.path("negative.mrc"), &Volume { data: -map.data, apix: map.apix }).unwrap();
    let line = GOOD.replace("good/consensus.mrc", "negative.mrc");
    let ended = project.run(&format!("{line} --o wrong/"));
    assert_eq!(ended.status, Some(2), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("contrast") && ended.last_error().contains("inverted"), "{}", ended.err);
    assert_eq!(project.exit_files("wrong"), ["RELION_JOB_EXIT_FAILURE"]);
    assert_eq!(report(&project, "wrong")["verdict"], "wrong");
    let status = project.run("status wrong --json");
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(
        (status["verb"].as_str(), status["state"].as_str(), status["exit_status"].as_u64()),
        (Some("check"), Some("failed"), Some(2))
    );
    // Without a folder nothing is written.
    assert_eq!(project.run(&line).status, Some(2));
    assert!(!project.path("check.json").exists());
}

#[test]
fn training_stops_at_once_on_what_is_surely_wrong() {
    let project = project();
    let map = read_volume(&project.path("good/consensus.mrc")).unwrap();
    write_volume(&project.path("negative.mrc"), &Volume { data: -map.data, apix: map.apix }).unwrap();
    let line =
        "train --in_parts good/particles.star --in_mask good/mask.mrc --preset tiny --device cpu --j 1 --epochs 1 --clusters 2 --plot no";
    let ended = project.run(&format!("{line} --in_3dref negative.mrc --o wrong/"));
    assert_eq!(ended.status, Some(2), "{}{}", ended.out, ended.err);
    assert!(ended.last_error().contains("inverted") && ended.last_error().contains("--check no"), "{}", ended.err);
    assert_eq!(project.exit_files("wrong"), ["RELION_JOB_EXIT_FAILURE"]);
    assert!(!project.path("wrong/prepared").exists(), "nothing was prepared");
    let good = project.run(&format!("{line} --in_3dref good/consensus.mrc --o right/"));
    assert_eq!(good.status, Some(0), "{}{}", good.out, good.err);
    assert!(good.out.contains("check: done in"), "{}", good.out);
}

#[test]
fn what_is_not_there_is_said() {
    let project = Project::new();
    let ended = project.run("check --in_parts nowhere.star");
    assert!(matches!(ended.status, Some(2 | 3)) && ended.err.contains("nowhere.star"), "{}", ended.err);
}
