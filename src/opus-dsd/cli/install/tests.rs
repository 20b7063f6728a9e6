use super::*;
use scheme::Jobs as _;
use std::fmt::Write as _;

/// The committed Scheme in a scratch folder.
fn scheme_in(root: &Path) -> PathBuf {
    let folder = root.join("Schemes/opus-dsd");
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("scheme-templates/Schemes/opus-dsd");
    for name in ["scheme.star", "train/job.star", "analyse/job.star", "subset/job.star"] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(ours.join(name), path).unwrap();
    }
    folder
}

/// What is said of the committed Scheme after one change: file, words before, words after.
fn said_of(file: &str, before: &str, after: &str) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let folder = scheme_in(root.path());
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(before).count(), 1, "`{before}` stands once in {file}");
    std::fs::write(&path, text.replace(before, after)).unwrap();
    match scheme::check(&folder, &OurJobs) {
        Ok(report) => report.problems.iter().map(ToString::to_string).collect(),
        Err(problem) => vec![problem.to_string()],
    }
}

#[test]
fn the_committed_scheme_is_right() {
    let root = tempfile::tempdir().unwrap();
    let report = scheme::check(&scheme_in(root.path()), &OurJobs).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.notes, Vec::<String>::new());
    assert_eq!(report.summary, "22 variables, 11 operators, 3 jobs, 13 edges");
}

/// One slip each: file, before, after, and words that the message must hold.
const SLIPS: &[(&str, &str, &str, &str)] = &[
    // General.
    ("scheme.star", "Schemes/opus-dsd/\n_rlnSchemeCurrent", "Schemes/opus/\n_rlnSchemeCurrent", "RELION would write elsewhere"),
    ("scheme.star", "NodeName            FOLDER_of_parts", "NodeName            FOLDER", "current node `FOLDER`"),
    ("scheme.star", "data_scheme_edges", "data_scheme_edgs", "no table `scheme_edges`"),
    ("scheme.star", "_rlnSchemeOperatorInput2 #5", "_rlnSchemeOperatorInput3 #5", "no label `_rlnSchemeOperatorInput2`"),
    // Variables.
    ("scheme.star", "zdim 8 8", "zdim eight 8", "`eight` is not a number"),
    ("scheme.star", "enough 0 0", "enough False 0", "`False` is not a boolean"),
    ("scheme.star", "enough 0 0", "enoug 0 0", "`enough`"),
    ("scheme.star", "wait_sec 60 60", "waiting 60 60", "`wait_sec`"),
    ("scheme.star", "threads 4 4", "threads 4 4 \nslash 1 1", "second variable `slash`"),
    ("scheme.star", "exe opus-dsd opus-dsd", "executable opus-dsd opus-dsd", "`$$exe` is not a variable"),
    ("scheme.star", "train_args \"\" \"\"", "train_args \"--zdmi 4\" \"\"", "`--zdmi`: unknown option"),
    ("scheme.star", "train_args \"\" \"\"", "train_args \"--valfrac 7\" \"\"", "--valfrac"),
    ("scheme.star", "zdim 8 8", "zdim 0 8", "--zdim"),
    (
        "scheme.star",
        "selected Schemes/opus-dsd/analyse/selected_particles.star",
        "selected Schemes/opus-dsd/analyse/selected.star",
        "writes no file `selected.star`",
    ),
    (
        "scheme.star",
        "selected Schemes/opus-dsd/analyse/selected_particles.star",
        "selected Schemes/opus-dsd/analyze/selected_particles.star",
        "a job `analyze`",
    ),
    (
        "scheme.star",
        "selected Schemes/opus-dsd/analyse/selected_particles.star",
        "selected Schemes/opus_dsd/analyse/selected_particles.star",
        "there is no `Schemes/opus_dsd`",
    ),
    (
        "scheme.star",
        "selected Schemes/opus-dsd/analyse/selected_particles.star",
        "selected Schemes/opus-dsd/analyse/cluster011.mrc",
        "no cluster 11",
    ),
    (
        "scheme.star",
        "selected Schemes/opus-dsd/analyse/selected_particles.star",
        "selected Schemes/opus-dsd/analyse/pc1/vol_000.mrc",
        "at the top",
    ),
    // Operators.
    ("scheme.star", "string=join", "string=jion", "`string=jion` is not a type"),
    ("scheme.star", "bool=ge enough", "bool=ge n_selected", "holds a number, and `bool=ge` wants a boolean"),
    ("scheme.star", "enough n_selected min_particles", "enough n_selected 1000", "which RELION takes for 0"),
    ("scheme.star", "enough n_selected min_particles", "enough n_selected min_particle", "`min_particle`"),
    ("scheme.star", "n_selected selected table", "n_selected selection table", "`selection`"),
    ("scheme.star", "folder parts slash", "folder parts undefined", "second input `undefined`"),
    ("scheme.star", "folder parts slash", "folder parts selected", "second input `selected` points into a Scheme"),
    ("scheme.star", "exit undefined undefined undefined", "exit undefined parts undefined", "`exit` takes no first input"),
    ("scheme.star", "HAS_mark bool=file_exists has_mark", "HAS_parts bool=file_exists has_mark", "second node `HAS_parts`"),
    (
        "scheme.star",
        "float=count_images n_selected selected table",
        "float=read_star n_selected end_name undefined",
        "does not name file, table and label",
    ),
    // Jobs.
    ("scheme.star", "subset subset new 0", "subset subset once 0", "`once` is not a mode"),
    ("scheme.star", "subset subset new 0", "subset subset new yes", "`yes` does not say"),
    ("scheme.star", "subset subset new 0", "subset half new 0", "has not started and yet is `half`"),
    ("scheme.star", "subset subset new 0", "subsets subsets new 0", "job `subsets` has no file"),
    // Edges.
    ("scheme.star", "train analyse 0", "train analyze 0", "leads to `analyze`"),
    ("scheme.star", "subset EXIT 0", "subset END 0", "leads to `END`"),
    ("scheme.star", "subset EXIT 0 undefined undefined \n", "", "no edge leads away from `subset`"),
    ("scheme.star", "SAY_few 1 subset enough", "SAY_few 1 subset enogh", "asks `enogh`"),
    ("scheme.star", "SAY_few 1 subset enough", "SAY_few 0 subset enough", "no way leads to `subset`"),
    ("scheme.star", "SAY_few 1 subset enough", "SAY_few 1 subst enough", "if true to `subst`"),
    ("scheme.star", "SAY_few 1 subset enough", "SAY_few yes subset enough", "`yes` does not say whether the edge is a fork"),
    ("scheme.star", "HAS_mark WAIT 1 train has_mark", "HAS_mark HAS_parts 1 train has_mark", "would never rest"),
    ("scheme.star", "SAY_few EXIT 0", "analyse EXIT 0", "second edge from `analyse`"),
    ("scheme.star", "HAS_mark WAIT 1 train has_mark", "HAS_mark WAIT 1 analyse has_mark", "before `train` has run"),
    // Job files.
    ("train/job.star", "relion.external", "relion.extrenal", "not a type of job"),
    ("train/job.star", "fn_exe $$exe", "fn_exec $$exe", "no option `fn_exec`"),
    ("train/job.star", "fn_exe $$exe", "fn_exe \"$$exe trian\"", "`trian` is not a job"),
    ("train/job.star", "fn_exe $$exe", "fn_exe /nowhere/opus-dsd", "is not there"),
    ("train/job.star", "fn_exe $$exe", "fn_exe \"\"", "without an executable"),
    ("train/job.star", "in_part $$parts", "in_part $$part", "`$$part` is not a variable"),
    ("train/job.star", "in_part $$parts", "in_part $$", "no name follows"),
    ("train/job.star", "in_part $$parts", "in_part Schemes/opus-dsd/train/particles.star", "its own"),
    ("train/job.star", "in_part $$parts", "in_parts $$parts", "no option `in_parts`"),
    ("train/job.star", "in_part $$parts \n", "", "--in_parts"),
    ("train/job.star", "param1_label zdim", "param1_label zdimm", "`zdimm` is not an option of `opus-dsd train`"),
    ("train/job.star", "param1_label zdim \n", "", "has a value and no label"),
    ("train/job.star", "param1_value $$zdim", "param1_value $$zdim.0", "`$$zdim.0` is not a variable"),
    ("train/job.star", "param1_value $$zdim", "param1_value $$enough", "holds a boolean"),
    ("train/job.star", "param1_value $$zdim", "param1_value \"\"", "--zdim"),
    ("train/job.star", "nr_threads $$threads", "nr_threads $$exe", "the option takes a number"),
    ("train/job.star", "nr_threads $$threads", "nr_threads four", "not a number"),
    ("train/job.star", "do_queue No", "do_queue maybe", "`Yes` or `No`"),
    ("train/job.star", "do_queue No", "do_queue $$threads", "only booleans"),
    ("train/job.star", "do_queue No", "do_queue No \ndo_queue Yes", "second `do_queue`"),
    ("train/job.star", "other_args $$train_args", "other_args \"--datadir a>b\"", "`>`"),
    ("analyse/job.star", "\"$$exe analyse\"", "\"$$exe analise\"", "`analise` is not a job"),
    ("analyse/job.star", "train/particles.star", "trian/particles.star", "a job `trian`"),
    ("analyse/job.star", "train/particles.star", "train/particle.star", "writes no file `particle.star`"),
    ("analyse/job.star", "param1_label clusters", "param1_label zdim", "`zdim` is not an option of `opus-dsd analyse`"),
    ("subset/job.star", "relion.select", "relion.selects", "not a type of job"),
    ("subset/job.star", "fn_data", "fn_parts", "no option `fn_parts`"),
    ("subset/job.star", "nr_split 2", "nr_splits 2", "no option `nr_splits`"),
    ("subset/job.star", "do_split Yes", "do_split yes", "`Yes` or `No`"),
    ("subset/job.star", "analyse/selected_particles.star", "analyse/cluster12_particles.star", "no cluster 12"),
];

#[test]
fn every_slip_is_caught() {
    let mut missed = String::new();
    for (file, before, after, words) in SLIPS {
        let said = said_of(file, before, after);
        if !said.iter().any(|s| s.contains(words)) {
            let _ = writeln!(missed, "{file}: `{before}` → `{after}`: wanted `{words}`, got {said:#?}");
        }
    }
    assert!(missed.is_empty(), "{missed}");
}

#[test]
fn messages_name_file_table_and_line() {
    let said = said_of("scheme.star", "train analyse 0", "train analyze 0").join("\n");
    assert!(said.contains("Schemes/opus-dsd/scheme.star, table `scheme_edges`, line "), "{said}");
    let said = said_of("train/job.star", "param1_label zdim", "param1_label zdimm").join("\n");
    assert!(said.contains("train/job.star, table `joboptions_values`, line "), "{said}");
}

#[test]
fn every_row_is_needed() {
    // Whatever row is taken away, something else no longer resolves; a variable alone may stand unused.
    let root = tempfile::tempdir().unwrap();
    let folder = scheme_in(root.path());
    let whole = std::fs::read_to_string(folder.join("scheme.star")).unwrap();
    let is_row = |line: &str| !line.trim().is_empty() && !["#", "_", "data_", "loop_"].iter().any(|start| line.starts_with(start));
    let rows: Vec<usize> = whole.lines().enumerate().filter(|(_, l)| is_row(l)).map(|(i, _)| i).collect();
    assert!(rows.len() > 40);
    for &row in &rows {
        let text: String = whole.lines().enumerate().filter(|(i, _)| *i != row).fold(String::new(), |mut text, (_, line)| {
            let _ = writeln!(text, "{line}");
            text
        });
        std::fs::write(folder.join("scheme.star"), text).unwrap();
        let found = scheme::check(&folder, &OurJobs);
        assert!(
            found.is_err() || found.is_ok_and(|r| !r.problems.is_empty()),
            "without line {}: {}",
            row + 1,
            whole.lines().nth(row).unwrap()
        );
    }
}

#[test]
fn figures_are_read_from_labels_that_are_there() {
    let with = |value: &str| {
        let root = tempfile::tempdir().unwrap();
        let folder = scheme_in(root.path());
        let path = folder.join("scheme.star");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text
            .replace("float=count_images n_selected selected table", "float=read_star n_selected selected undefined")
            .replace("Schemes/opus-dsd/analyse/selected_particles.star", value);
        std::fs::write(&path, text).unwrap();
        scheme::check(&folder, &OurJobs).unwrap().problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(with("Schemes/opus-dsd/analyse/summary.star,general,rlnNrClasses"), "");
    assert_eq!(with("Schemes/opus-dsd/analyse/summary.star,classes,rlnGroupNrParticles"), "");
    assert!(with("Schemes/opus-dsd/analyse/summary.star,general,rlnNrClass").contains("has no label `rlnNrClass`"));
    assert!(with("Schemes/opus-dsd/analyse/summary.star,states,rlnNrClasses").contains("has no table `states`"));
    assert!(with("Schemes/opus-dsd/analyse/summary.star,general,opusLoss").contains("RELION does not know the label `opusLoss`"));
    assert!(with("Schemes/opus-dsd/analyse/summary.star").contains("does not name file, table and label"));
    assert!(with("Schemes/opus-dsd/analyse/figures.star,general,rlnNrClasses").contains("writes no file `figures.star`"));
}

#[test]
fn our_jobs_answer() {
    assert_eq!(OurJobs.verbs(), ["train", "analyse", "decode", "encode", "select", "check", "import"]);
    assert!(OurJobs.has_option("train", "log_interval") && OurJobs.has_option("train", "Apix") && !OurJobs.has_option("decode", "zdim"));
    assert!(OurJobs.outputs("analyse").iter().any(|o| o == "selected_particles.star"));
    assert!(OurJobs.check("train", &["--zdim".into(), "8".into()]).is_err());
}

/// An empty project, and a program in a folder with a blank in its name.
fn project() -> (tempfile::TempDir, String) {
    let root = tempfile::tempdir().unwrap();
    let program = root.path().join("cryo em/opus-dsd");
    std::fs::create_dir(program.parent().unwrap()).unwrap();
    std::fs::write(&program, b"").unwrap();
    let executable = install::executable(&program).unwrap();
    (root, executable)
}

fn wish<'w>(root: &'w Path, version: Version, executable: &'w str, force: bool) -> Wish<'w> {
    let jobs = manifest::relion_jobs(version.word(), executable);
    Wish { project: root, version, executable, jobs, particles: Some("Refine3D/job007/run_data.star"), force }
}

#[test]
fn a_project_gets_its_files_and_keeps_its_own() {
    let (root, executable) = project();
    let root = root.path();
    let done = install::install(&wish(root, Version::Five, &executable, false)).unwrap();
    assert_eq!((done.written.len(), done.kept.len()), (14, 0), "{done:?}");
    let form = std::fs::read_to_string(root.join(install::FORM)).unwrap();
    assert!(form.contains(&format!("fn_exe \"{executable}\"")), "{form}");
    let report = scheme::check(&root.join("Schemes/opus-dsd"), &OurJobs).unwrap();
    assert_eq!(report.problems, []);
    let scheme = std::fs::read_to_string(root.join("Schemes/opus-dsd/scheme.star")).unwrap();
    assert!(scheme.contains("\nparts Refine3D/job007/run_data.star "));

    std::fs::write(root.join(install::FORM), "mine").unwrap();
    std::fs::remove_file(root.join("opus-dsd/decode.job.star")).unwrap();
    let done = install::install(&wish(root, Version::Five, &executable, false)).unwrap();
    assert_eq!(done.written, [PathBuf::from("opus-dsd/decode.job.star")]);
    assert_eq!(std::fs::read_to_string(root.join(install::FORM)).unwrap(), "mine");
    let done = install::install(&wish(root, Version::Five, &executable, true)).unwrap();
    assert_eq!(done.written.len(), 14);
    assert_ne!(std::fs::read_to_string(root.join(install::FORM)).unwrap(), "mine");
}

#[test]
fn a_scheme_that_runs_is_left_alone() {
    let (root, executable) = project();
    std::fs::create_dir(root.path().join(".relion_lock_scheme_opus-dsd")).unwrap();
    let problem = install::install(&wish(root.path(), Version::Four, &executable, true)).unwrap_err();
    assert!(problem.to_string().contains("is running"), "{problem}");
}

#[test]
fn jobs_of_every_version_take_their_own_parameters() {
    for version in [Version::Three, Version::Four, Version::Five] {
        for (verb, text) in manifest::relion_jobs(version.word(), "/opt/opus-dsd/opus-dsd") {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("job.star");
            std::fs::write(&path, text.replace("in_part \"\"", "in_part External/job001/particles.star")).unwrap();
            let star = crate::host::relion::job_star::read(&path).unwrap();
            assert_eq!(star.words_of_executable()[0], "/opt/opus-dsd/opus-dsd");
            assert_eq!(OurJobs.check(verb, &star.arguments(&path).unwrap()), Ok(()), "{version:?} {verb}");
        }
    }
}
