//! Whole reports of made-up jobs. They stay in Cargo's folder for test output, to be looked at.

#[path = "support/story.rs"]
mod support;

use analysis::pca;
use opus_dsd_report::{Subject, write_chimerax, write_figures, write_movies, write_pdf, write_png, write_way};
use std::path::Path;
use support::{brief, folder, story};

#[test]
fn equal_stories_give_equal_files_with_text_that_can_be_read() {
    let folder = folder("report");
    let (a, b) = (folder.join("logfile.pdf"), folder.join("again.pdf"));
    let told = story(1000, 8, 8);
    write_pdf(&told, &a).unwrap();
    write_pdf(&told, &b).unwrap();
    let bytes = std::fs::read(&a).unwrap();
    assert_eq!(bytes, std::fs::read(&b).unwrap());
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() < 3_000_000, "{} bytes", bytes.len());
    assert!(!String::from_utf8_lossy(&bytes).contains("CreationDate"));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn figures_stand_alone() {
    let folder = folder("figures");
    let told = story(400, 4, 3);
    let files = write_figures(&told, &folder).unwrap();
    let names: Vec<_> = files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let figures = [
        "training",
        "latents",
        "umap",
        "nuisances",
        "clusters",
        "states",
        "surfaces",
        "ways",
        "evidence01",
        "evidence02",
        "differences01",
        "differences02",
        "comparison",
        "images01",
        "images02",
    ];
    assert_eq!(names, figures.into_iter().flat_map(|f| [format!("{f}.svg"), format!("{f}.png")]).collect::<Vec<_>>());
    for file in files {
        if file.extension().is_some_and(|e| e == "png") {
            let header = std::fs::read(&file).unwrap();
            // Width and height of the picture, twice the points of A4.
            assert_eq!(header[16..24], [0, 0, 6, 148, 0, 0, 4, 166], "{}", file.display());
            continue;
        }
        let svg = std::fs::read_to_string(&file).unwrap();
        usvg::Tree::from_str(&svg, &usvg::Options::default()).unwrap();
        // Pictures in base64 may spell anything.
        let drawn: String = svg.split("href=\"data:").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect();
        assert!(!drawn.contains("NaN") && !drawn.contains("inf\""), "{}", file.display());
    }
    write_png(&told, 3, 1.0, &folder.join("latents.png")).unwrap();
    assert!(write_png(&told, 99, 1.0, &folder.join("none.png")).is_err());
}

#[test]
fn many_particles_and_clusters_stay_small() {
    let mut told = story(60_000, 2, 20);
    told.warnings.clear();
    told.facts = (0..70)
        .map(|i| {
            (format!("setting {i}"), "a value that is rather long, so that it needs more than one line in its narrow column".to_owned())
        })
        .collect();
    let path = folder("many").join("logfile.pdf");
    write_pdf(&told, &path).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 10_000_000);
}

#[test]
fn the_least_story_is_told() {
    let mut told = story(40, 1, 1);
    told.epochs.clear();
    told.states.clear();
    told.differences = None;
    told.panels.clear();
    told.nuisances.clear();
    told.clustering = None;
    told.comparison = None;
    told.latents.fill(0.0);
    told.pca = pca(told.latents.view()).unwrap();
    let path = folder("least").join("logfile.pdf");
    write_pdf(&told, &path).unwrap();
}

#[test]
fn short_reports_are_told_on_paper_too() {
    for (subject, pages) in [(Subject::Maps, 6), (Subject::Encoded, 4), (Subject::Latents, 4)] {
        let folder = folder(&format!("brief-{subject:?}").to_lowercase());
        let told = brief(subject);
        write_pdf(&told, &folder.join("logfile.pdf")).unwrap();
        for page in 1..=pages {
            write_png(&told, page, 1.0, &folder.join(format!("page{page}.png"))).unwrap();
        }
        assert!(write_png(&told, pages + 1, 1.0, &folder.join("none.png")).is_err(), "{subject:?} has {pages} pages");
        let files = write_figures(&told, &folder).unwrap();
        let text: String =
            files.iter().filter(|f| f.extension().is_some_and(|e| e == "svg")).map(|f| std::fs::read_to_string(f).unwrap()).collect();
        let drawn = |words: &str| text.contains(words);
        assert_eq!(drawn("By the nearest of 6 maps"), subject == Subject::Maps);
        assert_eq!(drawn("By projection class"), subject != Subject::Maps, "views of maps are not known");
        assert_eq!(drawn("Particles in each state"), subject == Subject::Encoded);
    }
}

#[test]
fn a_single_map_has_no_movie() {
    let folder = folder("single");
    let mut told = brief(Subject::Maps);
    assert_eq!(write_way(&told.ways[0], false, &folder).unwrap().len(), 2);
    assert!(folder.join("maps.apng").exists());
    let script = std::fs::read_to_string(folder.join("maps.cxc")).unwrap();
    assert!(script.contains("\nopen vol_003.mrc\n") && script.contains("volume morph #1-6 "), "{script}");
    told.ways[0].maps.truncate(1);
    assert_eq!(write_way(&told.ways[0], false, &folder.join("none")).unwrap(), Vec::<std::path::PathBuf>::new());
    assert!(write_movies(&told, &folder).unwrap().is_empty() && !folder.join("none").exists());
}

#[test]
fn contradictions_are_refused_and_nothing_is_written() {
    let mut told = story(40, 2, 2);
    told.view_classes[3] = 48;
    let path = folder("refused").join("logfile.pdf");
    assert!(write_pdf(&told, &path).unwrap_err().to_string().contains("view class 48"));
    told.view_classes[3] = 47;
    told.groupings[0].of[5] = 40;
    assert!(write_pdf(&told, &path).unwrap_err().to_string().contains("`micrograph`"));
    told.groupings.clear();
    told.view_classes.pop();
    assert!(write_pdf(&told, &path).is_err());
    assert!(!path.exists());
    let missing = Path::new("/nonexistent/logfile.pdf");
    assert!(write_pdf(&story(40, 2, 2), missing).unwrap_err().to_string().starts_with("/nonexistent/logfile.pdf"));
}

#[test]
fn scripts_and_movies_of_states_and_ways() {
    let folder = folder("scripts");
    let told = story(200, 2, 3);
    let scripts = write_chimerax(&told, &folder).unwrap();
    let text = std::fs::read_to_string(&scripts[0]).unwrap();
    assert!(text.contains("open cluster003.mrc") && text.contains("color #2 #e69f00") && text.contains("volume #1-3 level 0."), "{text}");
    let morph = std::fs::read_to_string(folder.join("pc1.cxc")).unwrap();
    assert!(morph.contains("open pc1/vol_004.mrc") && morph.contains("volume morph #1-5 "), "{morph}");
    assert!(morph.contains("color #1 #440154") && morph.contains("color #5 #cae01f"), "from dark to light: {morph}");
    // A way by itself has its own level.
    let alone = write_way(&told.ways[0], false, &folder).unwrap();
    assert!(alone.iter().all(|file| file.exists()) && alone[1].ends_with("pc1.apng"));
    let of_way = std::fs::read_to_string(&alone[0]).unwrap();
    // Files with their sign turned are shown at the same level with its sign turned.
    let level = |text: &str| text.split(" level ").nth(1).unwrap().split(' ').next().unwrap().parse::<f32>().unwrap();
    write_way(&told.ways[0], true, &folder).unwrap();
    let turned = std::fs::read_to_string(&alone[0]).unwrap();
    assert!(level(&of_way) > 0.0 && level(&turned) == -level(&of_way), "{turned}");
    let turned = opus_dsd_report::Story { files_inverted: true, ..told.clone() };
    let script = std::fs::read_to_string(&write_chimerax(&turned, &folder).unwrap()[0]).unwrap();
    assert_eq!(level(&script), -level(&text));
    let movie = std::fs::read(&write_movies(&told, &folder).unwrap()[0]).unwrap();
    // Animation control chunk: eight frames there and back, for ever.
    let at = movie.windows(4).position(|w| w == b"acTL").unwrap();
    assert_eq!(movie[at + 4..at + 12], [0, 0, 0, 8, 0, 0, 0, 0]);
}
