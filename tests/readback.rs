//! Files that the program writes, read by the field's Python readers: mrcfile (with its validator) and starfile.

#[path = "support/job.rs"]
mod job;
#[path = "support/skip.rs"]
mod skip;

use job::Project;
use std::process::Command;

/// Prints nothing where all is well.
const SCRIPT: &str = r#"
import io, sys
import mrcfile, numpy, starfile
project = sys.argv[1]
for name, stack in [("sim/consensus.mrc", False), ("sim/mask.mrc", False), ("sim/particles.mrcs", True), ("job/cluster001.mrc", False)]:
    said = io.StringIO()
    if not mrcfile.validate(f"{project}/{name}", print_file=said):
        print(name, said.getvalue())
    with mrcfile.open(f"{project}/{name}") as m:
        if m.is_image_stack() != stack or abs(float(m.voxel_size.x) - 3.0) > 1e-5:
            print(name, "stack", m.is_image_stack(), "voxel size", m.voxel_size)
source = starfile.read(f"{project}/sim/particles.star")["particles"]
ours = starfile.read(f"{project}/job/particles.star")["particles"]
if not source.drop(columns="rlnClassNumber", errors="ignore").equals(ours.drop(columns="rlnClassNumber")):
    print("particles.star differs from its source in more than the class")
latents = numpy.load(f"{project}/job/latents.npy")
if latents.shape[0] != len(source) or latents.dtype != numpy.float32:
    print("latents.npy", latents.shape, latents.dtype)
"#;

#[test]
fn python_readers_agree() {
    let Ok(python) = std::env::var("OPUS_DSD_TEST_PYTHON") else {
        skip::skipped_outside_ci("no Python with mrcfile and starfile is named in OPUS_DSD_TEST_PYTHON");
        return;
    };
    job::engine();
    let project = Project::new();
    let ended = project.train("job", "--epochs 1 --clusters 2");
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let read = Command::new(python).args(["-c", SCRIPT]).arg(project.path("")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert!(read.status.success() && said.is_empty(), "{said}");
}
