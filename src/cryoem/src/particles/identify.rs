//! Which block of a STAR file holds the particles; and what a file is that has none.

use super::star::culprit;
use contract::{Problem, Result};
use starfile::{Block, StarFile};

/// Labels that only tables of other things carry, and what those are; the first that is found names the file.
const OTHER_TABLES: &[(&str, &str)] = &[
    ("rlnTomoParticlesFile", "a tomography optimisation set"),
    ("rlnTomoTiltSeriesStarFile", "a table of tomograms"),
    ("rlnTomoNominalStageTiltAngle", "a tilt series"),
    ("rlnMicrographMovieName", "a table of movies"),
    ("rlnPipeLineJobCounter", "a project's pipeline"),
    ("rlnPipeLineNodeName", "a table of pipeline nodes"),
    ("rlnJobTypeLabel", "a job's settings (`job.star`)"),
    ("rlnJobType", "a job's settings (`job.star`)"),
    ("rlnJobOptionVariable", "a job's settings (`job.star`)"),
    ("rlnSchemeName", "a scheme"),
    ("rlnOrientSamplingStarFile", "an optimiser file (`_optimiser.star`)"),
    ("rlnHealpixOrder", "a sampling file (`_sampling.star`)"),
    ("rlnReferenceDimensionality", "a model file (`_model.star`)"),
    ("rlnFourierShellCorrelationCorrected", "a post-processing result"),
    ("rlnMtfValue", "a detector's MTF curve"),
    ("rlnReferenceImage", "a table of references"),
    ("rlnBodyMaskName", "a table of bodies"),
    ("rlnMicrographName", "a table of micrographs or picked coordinates"),
    ("rlnCoordinateX", "a table of picked coordinates"),
];

/// Labels that only tables of sub-tomograms carry.
const SUBTOMOGRAM_LABELS: &[&str] =
    &["rlnTomoParticleName", "rlnTomoParticleId", "rlnTomoVisibleFrames", "rlnTomoName", "rlnTomoSubtomogramRot"];

/// A third coordinate of the shift: of sub-tomograms, unless it is 0 everywhere, as Scipion writes it.
const THIRD_SHIFTS: [&str; 2] = ["rlnOriginZAngst", "rlnOriginZ"];

/// The block of the particles in a STAR file.
///
/// # Errors
/// The file holds none (the message says what it is), sub-tomograms, several blocks of images, or no rows.
pub fn particles(file: &StarFile) -> Result<Block<'_>> {
    let with_images: Vec<Block<'_>> = file.blocks().filter(|block| block.is_loop() && block.has("rlnImageName")).collect();
    let named: Vec<Block<'_>> = with_images.iter().copied().filter(|block| block.name() == "particles").collect();
    let block = match (named.as_slice(), with_images.as_slice()) {
        ([block], _) | ([], [block]) => *block,
        ([], []) => return Err(other(file)),
        (_, several) => {
            let names: Vec<String> = several.iter().map(|block| format!("`data_{}` (line {})", block.name(), block.line())).collect();
            return Err(Problem::input(format!(
                "{} blocks hold images and none of them alone is `data_particles`: {}",
                several.len(),
                names.join(", ")
            ))
            .at(culprit(file, None))
            .hint("keep one block of particles in the file"));
        }
    };
    refuse_subtomograms(file, &block)?;
    if block.rows() == 0 {
        return Err(Problem::input(format!("`data_{}` has no rows: zero particles", block.name()))
            .at(culprit(file, Some(block.line())))
            .hint("look at the job that wrote the file"));
    }
    Ok(block)
}

/// Sub-tomograms come with labels of their own, with a dimensionality of 3, or (3.0) with a third coordinate and a CTF volume.
fn refuse_subtomograms(file: &StarFile, block: &Block<'_>) -> Result<()> {
    let refuse = |line: usize, why: String| {
        Err(Problem::input(format!("these are sub-tomograms or pseudo-sub-tomograms, not single-particle images: {why}"))
            .at(culprit(file, Some(line)))
            .hint("single-particle images with one pose and one CTF each are needed"))
    };
    for label in SUBTOMOGRAM_LABELS {
        if block.has(label) {
            return refuse(block.line(), format!("label `_{label}` in `data_{}`", block.name()));
        }
    }
    for label in THIRD_SHIFTS {
        if let Some(column) = block.find(label)
            && let Some(row) = column.texts().position(|text| text.parse::<f64>() != Ok(0.0))
        {
            return refuse(column.line(row), format!("`_{label}` is {}", column.text(row)));
        }
    }
    if let Some(general) = file.find("general")
        && general.find("rlnTomoSubTomosAre2DStacks").is_some_and(|column| column.texts().any(|text| text == "1"))
    {
        return refuse(general.line(), "label `_rlnTomoSubTomosAre2DStacks` in `data_general`".to_owned());
    }
    if let Some(column) = file.find("optics").and_then(|optics| optics.find("rlnImageDimensionality"))
        && let Some(row) = column.texts().position(|text| text == "3")
    {
        return refuse(column.line(row), "`_rlnImageDimensionality` is 3".to_owned());
    }
    if block.has("rlnCoordinateZ") && (block.has("rlnCtfImage") || !block.has("rlnDefocusU")) {
        return refuse(block.line(), format!("label `_rlnCoordinateZ` in `data_{}`", block.name()));
    }
    Ok(())
}

/// What a file without particles is.
fn other(file: &StarFile) -> Problem {
    let blocks: Vec<String> = file.blocks().map(|block| format!("`data_{}`", block.name())).collect();
    let found = OTHER_TABLES.iter().find_map(|(label, what)| {
        let block = file.blocks().find(|block| block.has(label))?;
        Some((
            block.line(),
            format!("this is {what}, not a table of particles: label `_{label}` in `data_{}`, no `_rlnImageName`", block.name()),
        ))
    });
    let (line, what) = match found {
        Some((line, what)) => (Some(line), what),
        None => (None, format!("no table of particles: no block has the label `_rlnImageName`; there are {}", blocks.join(", "))),
    };
    Problem::input(what).at(culprit(file, line)).hint("give the `run_data.star` of a Refine3D job, or particles selected from it")
}
