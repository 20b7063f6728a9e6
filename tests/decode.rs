//! `decode`: volumes from a trained job, and nothing done to that job.

#[path = "support/job.rs"]
mod job;

use cryoem::mrc::read_volume;
use job::{TRAINED as JOB, files, trained};

#[test]
fn volumes_of_particles_of_a_file_and_along_a_component() {
    let project = trained();
    let before = files(&project.path(JOB));
    let named =
        project.run(&format!("decode --in_parts {JOB}/particles.star --o External/job002/ --particles 5,0 --box 24 --device cpu --j 1"));
    assert_eq!(named.status, Some(0), "{}", named.err);
    let folder = project.path("External/job002");
    assert_eq!(project.exit_files("External/job002"), ["RELION_JOB_EXIT_SUCCESS"]);
    assert_eq!(std::fs::read_to_string(folder.join("pairs.csv")).unwrap(), "index,volume\n5,vol_000.mrc\n0,vol_001.mrc\n");
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
    for (arguments, culprit) in [
        (format!("--job {JOB} --o refused --pc 9"), "`--pc`"),
        (format!("--job {JOB} --o refused --pc 0"), "`--pc`"),
        (format!("--job {JOB} --o refused --particles 96"), "`--particles` 96"),
        (format!("--job {JOB} --o refused --zfile nowhere.txt"), "nowhere.txt"),
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
    assert!(before == files(&project.path(JOB)), "the trained job is as it was");
}
