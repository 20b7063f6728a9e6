//! Particles that somebody chose, looked at alone: analysed, decoded and chosen from again.

#[path = "support/job.rs"]
mod job;

use contract::Results;
use job::{PARTICLES, Project, TRAINED, files, trained};
use starfile::StarFile;

const SELECTION: &str = "External/job003";
const LOOK: &str = "External/job004";

fn results(project: &Project, job: &str) -> Results {
    serde_json::from_str(&std::fs::read_to_string(project.path(job).join("results.json")).unwrap()).unwrap()
}

/// Raw cells of the particles in a file, without their class.
fn cells(project: &Project, file: &str) -> Vec<Vec<String>> {
    let star = StarFile::read(&project.path(file)).unwrap();
    let block = cryoem::particles::particles_block(&star).unwrap();
    let columns: Vec<_> = block.labels().filter(|label| *label != "rlnClassNumber").map(|label| block.find(label).unwrap()).collect();
    (0..block.rows()).map(|row| columns.iter().map(|column| column.raw(row).to_owned()).collect()).collect()
}

/// A column of whole numbers of the first loop of a table.
fn column(project: &Project, file: &str, label: &str) -> Vec<usize> {
    let star = StarFile::read(&project.path(file)).unwrap();
    let block = star.blocks().find(|block| block.has(label)).unwrap();
    block.find(label).unwrap().integers().unwrap().into_iter().map(|n| n as usize).collect()
}

/// Rows, from 0, of a job's `rows.txt`.
fn rows(project: &Project, job: &str) -> Vec<usize> {
    let text = std::fs::read_to_string(project.path(job).join("rows.txt")).unwrap();
    text.lines().map(|line| line.parse::<usize>().unwrap() - 1).collect()
}

/// Rows of numbers of an npy file of 32-bit numbers.
fn numbers(project: &Project, file: &str, rows: usize) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(project.path(file)).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values: Vec<f32> = bytes[header..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    values.chunks(values.len() / rows).map(<[f32]>::to_vec).collect()
}

fn of<T: Clone>(all: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| all[row].clone()).collect()
}

fn done(project: &Project, line: &str) -> job::Ended {
    let ended = project.run(line);
    assert_eq!(ended.status, Some(0), "{line}: {}", ended.err);
    ended
}

#[test]
fn chosen_particles_are_analysed_alone_and_chosen_from_again() {
    job::engine();
    let project = trained();
    let source = cells(project, "sim/particles.star");
    let before = files(&project.path(TRAINED));
    // What lies in one half of the latents, chosen in an analysis of the whole.
    done(project, &format!("analyse --o External/job002/ --job {TRAINED} --clusters 3 --plot no --device cpu --j 1"));
    let chosen = done(project, &format!("select --o {SELECTION}/ --job External/job002 --clusters 1,2"));
    assert!(chosen.out.contains(&format!("next: look at these particles alone: `opus-dsd analyse --job {SELECTION} ")), "{}", chosen.out);
    assert!(chosen.err.is_empty(), "{}", chosen.err);
    let first = rows(project, SELECTION);
    assert!((20..PARTICLES).contains(&first.len()), "{}", first.len());
    assert_eq!(cells(project, &format!("{SELECTION}/particles.star")), of(&source, &first));

    let line = format!(
        "analyse --o {LOOK}/ --in_parts {SELECTION}/particles.star --clusters 2 --pcs 1 --points 2 --halves --variability 4 --compare {TRAINED} --device cpu --j 1"
    );
    let ended = done(project, &line);
    let found = results(project, LOOK);
    let told = format!("{} chosen of {PARTICLES} particles of {TRAINED}", first.len());
    assert!(ended.out.contains(&format!("{told}, by {SELECTION}")), "{}", ended.out);
    assert!(!ended.err.contains("selection"), "{}", ended.err);
    let noted = found.chosen.as_ref().unwrap();
    assert_eq!((noted.of, noted.selection.as_str(), found.trained_job.as_deref()), (PARTICLES, SELECTION, Some(TRAINED)));
    // Every table and number is of these particles, in their order.
    assert_eq!(rows(project, LOOK), first);
    assert_eq!(cells(project, &format!("{LOOK}/particles.star")), of(&source, &first));
    let whole = numbers(project, &format!("{TRAINED}/latents.npy"), PARTICLES);
    assert_eq!(numbers(project, &format!("{LOOK}/latents.npy"), first.len()), of(&whole, &first));
    assert_eq!(numbers(project, &format!("{LOOK}/umap.npy"), first.len())[0].len(), 2);
    let latents = format!("{LOOK}/latents.star");
    assert_eq!(column(project, &latents, "opusParticle"), (1..=first.len()).collect::<Vec<_>>());
    assert_eq!(column(project, &latents, "opusTrainedParticle"), first.iter().map(|row| row + 1).collect::<Vec<_>>());
    let classes = column(project, &format!("{LOOK}/particles.star"), "rlnClassNumber");
    assert_eq!(found.volumes.iter().map(|v| v.n).sum::<usize>(), first.len());
    for volume in &found.volumes {
        let members: Vec<usize> = (0..first.len()).filter(|&row| classes[row] == volume.class).map(|row| first[row]).collect();
        assert_eq!(cells(project, &format!("{LOOK}/cluster{:03}_particles.star", volume.class)), of(&source, &members));
        assert!(of(&whole, &members).contains(&volume.z), "a state's latent is that of one of its particles");
    }
    assert_eq!(found.halves.len(), 2);
    assert!(found.halves.iter().all(|h| h.effective_particles <= first.len() as f64 + 0.5), "{:?}", found.halves);
    assert_eq!(found.comparison.as_ref().unwrap().particles, first.len());
    let page = std::fs::read_to_string(project.path(LOOK).join("report.html")).unwrap();
    assert!(page.contains(&told) && page.contains(&format!(r#""particles":{}"#, first.len())));
    // What is offered next looks at them again, not at all.
    for step in ended.out.lines().filter(|line| line.contains("next: ") && line.contains("opus-dsd analyse")) {
        assert!(step.contains(&format!("--job {SELECTION} ")), "{step}");
    }
    let again = done(project, &line);
    for stage in ["embed", "cluster", "decode", "pc1", "halves-001", "differences", "compare", "report", "publish"] {
        assert!(again.out.contains(&format!("{stage}: done before")), "{stage}: {}", again.out);
    }

    // Clusters of that analysis, of the right particles; a region drawn in its report is one of its picture.
    done(project, &format!("select --o second/ --job {LOOK} --clusters 2 --rest others.star"));
    let second: Vec<usize> = (0..first.len()).filter(|&row| classes[row] == 2).map(|row| first[row]).collect();
    assert_eq!(rows(project, "second"), second);
    assert_eq!(cells(project, "second/particles.star"), of(&source, &second));
    assert_eq!(cells(project, "second/others.star").len() + second.len(), first.len());
    assert_eq!(results(project, "second").chosen.unwrap().of, PARTICLES);
    let drawn_on = page.split(r#""drawn_on":"#).nth(1).and_then(|rest| rest.split_inclusive('}').next()).unwrap();
    let region =
        |drawn_on: &str| format!(r#"{{"schema":1,"embedding":"pca","polygon":[[0,-99],[99,-99],[99,99],[0,99]],"drawn_on":{drawn_on}}}"#);
    std::fs::write(project.path("region.json"), region(drawn_on)).unwrap();
    let drawn = done(project, &format!("select --o drawn/ --job {LOOK} --region region.json"));
    assert!(!drawn.err.contains("drawn on"), "{}", drawn.err);
    let right = numbers(project, &format!("{LOOK}/latents.npy"), first.len());
    let flat: Vec<f32> = right.concat();
    let latents = ndarray::Array2::from_shape_vec((first.len(), right[0].len()), flat).unwrap();
    let scores = analysis::pca(latents.view()).unwrap().project(latents.view());
    let inside: Vec<usize> = (0..first.len()).filter(|&row| scores[[row, 0]] > 0.0).map(|row| first[row]).collect();
    assert_eq!(rows(project, "drawn"), inside);
    let refused = project.run(&format!("select --o none/ --job {TRAINED} --region region.json"));
    assert!(refused.status == Some(2) && refused.err.contains(&format!("drawn on `{LOOK}`")), "{}", refused.err);

    // A selection of a selection counts its own rows; so does decoding.
    done(project, "select --o third/ --job second --particles 2,1");
    assert_eq!(rows(project, "third"), second[..2]);
    assert_eq!(cells(project, "third/particles.star"), of(&source, &second[..2]));
    let decoded = done(project, "decode --o decoded/ --job second --particles 2 --device cpu --j 1");
    assert!(decoded.out.contains(&format!("{} chosen of {PARTICLES}", second.len())), "{}", decoded.out);
    let z = std::fs::read_to_string(project.path("decoded/z.txt")).unwrap();
    let z: Vec<f32> = z.split_whitespace().map(|v| v.parse().unwrap()).collect();
    assert_eq!(z, whole[second[1]]);
    assert_eq!(std::fs::read_to_string(project.path("decoded/pairs.csv")).unwrap(), "particle,volume\n2,vol_000.mrc\n");
    // The folder of an analysis of all particles forgets what it was of.
    done(project, &format!("analyse --o {LOOK}/ --job {TRAINED} --clusters 2 --plot no --device cpu --j 1"));
    assert!(results(project, LOOK).chosen.is_none() && !project.path(LOOK).join("rows.txt").exists());
    assert_eq!(cells(project, &format!("{LOOK}/particles.star")), source);
    assert!(before == files(&project.path(TRAINED)), "the trained job is as it was");
}

#[test]
fn a_few_particles_are_analysed_and_too_few_are_refused() {
    job::engine();
    let project = trained();
    let analyse = |list: &str| {
        let name = format!("of{}", list.split(',').count());
        done(project, &format!("select --o {name}/ --job {TRAINED} --particles {list}"));
        (project.run(&format!("analyse --o {name}-look/ --job {name} --plot no --device cpu --j 1")), format!("{name}-look"))
    };
    for list in ["5,40,41,77,90", "3,4"] {
        let (ended, look) = analyse(list);
        assert_eq!(ended.status, Some(0), "{list}: {}", ended.err);
        assert_eq!(results(project, &look).volumes.iter().map(|v| v.n).sum::<usize>(), list.split(',').count());
    }
    let (ended, _) = analyse("3");
    assert!(ended.status == Some(2) && ended.last_error().starts_with("error: of1: holds one particle"), "{}", ended.err);
    assert!(ended.last_error().contains("; hint: ") && !ended.out.contains(": begins"), "{}", ended.out);
}
