//! cryoSPARC's particles: a table that NumPy makes of a simulated set is read as the same particles, and its rows come back byte by byte.

#[path = "support/job.rs"]
mod job;
#[path = "support/skip.rs"]
mod skip;

use cryoem::geometry::Euler;
use cryoem::particles::{ParticleSet, ReadOptions, read};
use job::{Project, TRAINED};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes `J1/particles.cs`, which lacks images and CTF, `J1/passthrough.cs` with them in another order, `J1/whole.cs` with everything, and
/// `J1/mirrored.cs` whose poses are turned the other way, of a STAR file of the simulated set.
const MAKE: &str = r#"
import sys, os, numpy as np, starfile
star, folder, stack = sys.argv[1:4]
both = starfile.read(star, always_dict=True)
optics, rows = both["optics"], both["particles"]
os.makedirs(folder + "/J1/extract", exist_ok=True)
os.symlink(os.path.abspath(stack), folder + "/J1/extract/0123_particles.mrc")

def turn(axis, degrees):
    "A quaternion, counter-clockwise."
    half = np.radians(np.asarray(degrees, float)) / 2
    q = np.zeros((len(half), 4))
    q[:, 0], q[:, axis] = np.cos(half), np.sin(half)
    return q
def times(a, b):
    w = a[:, 0] * b[:, 0] - (a[:, 1:] * b[:, 1:]).sum(1)
    v = a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:] + np.cross(a[:, 1:], b[:, 1:])
    return np.concatenate([w[:, None], v], 1)
# RELION turns the frame, so the object turns by rot about z, tilt about its new y, psi about its new z.
q = times(times(turn(3, rows.rlnAngleRot), turn(2, rows.rlnAngleTilt)), turn(3, rows.rlnAnglePsi))
q *= np.sign(q[:, :1]) + (q[:, :1] == 0)
length = np.linalg.norm(q[:, 1:], axis=1)
angle = 2 * np.arctan2(length, q[:, 0])
pose = q[:, 1:] * (angle / np.maximum(length, 1e-30))[:, None]

n, apix = len(rows), float(optics.rlnImagePixelSize[0])
number = rows.rlnImageName.str.split("@").str[0].astype(int) - 1
main = np.zeros(n, dtype=[("uid", "<u8"), ("alignments3D/pose", "<f4", (3,)), ("alignments3D/shift", "<f4", (2,)), ("alignments3D/psize_A", "<f4"),
                          ("alignments3D/split", "<u4"), ("alignments3D/error", "<f8"), ("private/blob", "V5")])
main["uid"] = np.random.default_rng(3).permutation(np.arange(n, dtype=np.uint64) * 7919 + 2**63)
main["alignments3D/pose"] = pose
# Aligned in pixels twice as large.
main["alignments3D/psize_A"] = 2 * apix
main["alignments3D/shift"] = rows[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy() / (2 * apix)
main["alignments3D/split"] = np.arange(n) % 2
main["alignments3D/error"] = np.random.default_rng(4).normal(size=n)
main["private/blob"] = [bytes([i % 256] * 5) for i in range(n)]
other = np.zeros(n, dtype=[("uid", "<u8"), ("blob/path", "S40"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,)), ("blob/psize_A", "<f4"), ("blob/sign", "<f4"),
                           ("ctf/exp_group_id", "<u4"), ("ctf/accel_kv", "<f4"), ("ctf/cs_mm", "<f4"), ("ctf/amp_contrast", "<f4"), ("ctf/df1_A", "<f4"),
                           ("ctf/df2_A", "<f4"), ("ctf/df_angle_rad", "<f4"), ("ctf/phase_shift_rad", "<f4"), ("ctf/tilt_A", "<f4", (2,))])
other["uid"], other["blob/path"], other["blob/idx"] = main["uid"], b">J1/extract/0123_particles.mrc", number
other["blob/shape"], other["blob/psize_A"], other["blob/sign"] = int(optics.rlnImageSize[0]), apix, 1
other["ctf/exp_group_id"] = 4
for name, label in [("accel_kv", "rlnVoltage"), ("cs_mm", "rlnSphericalAberration"), ("amp_contrast", "rlnAmplitudeContrast")]:
    other["ctf/" + name] = float(optics[label][0])
other["ctf/df1_A"], other["ctf/df2_A"] = rows.rlnDefocusU, rows.rlnDefocusV
other["ctf/df_angle_rad"] = np.radians(rows.rlnDefocusAngle)
if "rlnPhaseShift" in rows:
    other["ctf/phase_shift_rad"] = np.radians(rows.rlnPhaseShift)
def save(name, table):
    with open(f"{folder}/J1/{name}.cs", "wb") as out:
        np.save(out, table)
def join(a, b):
    whole = np.zeros(n, dtype=a.dtype.descr + b.dtype.descr[1:])
    for table in (b, a):
        for name in table.dtype.names:
            whole[name] = table[name]
    return whole
save("particles", main)
save("passthrough", other[np.random.default_rng(5).permutation(n)])
save("whole", join(main, other))
mirrored = join(main, other)
mirrored["alignments3D/pose"] *= -1
save("mirrored", mirrored)
with open(f"{folder}/J1/pickled.cs", "wb") as out:
    np.save(out, np.array([(1, {})], dtype=[("uid", "<u8"), ("notes", "O")]), allow_pickle=True)
"#;

/// Whether the rows of a table are byte by byte those of another, by `uid` in the order of a STAR file's images.
const SAME: &str = r#"
import sys, numpy as np, starfile
source, chosen, star = np.load(sys.argv[1]), np.load(sys.argv[2]), starfile.read(sys.argv[3], always_dict=True)["particles"]
assert source.dtype == chosen.dtype, (source.dtype, chosen.dtype)
row_of = {int(uid): row for row, uid in enumerate(source["uid"])}
rows = [row_of[int(uid)] for uid in chosen["uid"]]
assert source[rows].tobytes() == chosen.tobytes()
assert 0 < len(chosen) < len(source) and len(star) == len(chosen)
whole = np.load(sys.argv[4])
index = {int(uid): int(i) for uid, i in zip(whole["uid"], whole["blob/idx"])}
assert [index[int(uid)] for uid in chosen["uid"]] == [int(name.split("@")[0]) - 1 for name in star.rlnImageName]
"#;

fn python(script: &str, arguments: &[&Path]) -> bool {
    let Ok(python) = std::env::var("OPUS_DSD_TEST_PYTHON") else {
        skip::skipped_outside_ci("no Python with starfile is named in OPUS_DSD_TEST_PYTHON");
        return false;
    };
    let ran = Command::new(python).args(["-c", script]).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    true
}

/// Makes the tables of the set in the folder `set`.
fn tables(project: &Project, set: &str) -> bool {
    let star = project.path(set).join("particles.star");
    let particles = read(&star, &options(project)).unwrap();
    python(MAKE, &[&star, &project.path(""), &particles.stacks[0]])
}

fn options(project: &Project) -> ReadOptions {
    ReadOptions { project: Some(project.path("")), ..ReadOptions::default() }
}

fn close(a: f64, b: f64, within: f64) {
    assert!((a - b).abs() <= within, "{a}, not {b}");
}

fn same_particles(a: &ParticleSet, b: &ParticleSet) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.rows.iter().zip(&b.rows) {
        assert_eq!(a.slice, b.slice);
        let matrix = |p: &cryoem::particles::Particle| Euler::new(p.rot_deg, p.tilt_deg, p.psi_deg).matrix();
        // Poses and shifts have single precision.
        matrix(a).iter().flatten().zip(matrix(b).iter().flatten()).for_each(|(a, b)| close(*a, *b, 1e-6));
        close(a.origin_x_angstrom, b.origin_x_angstrom, 1e-5);
        close(a.origin_y_angstrom, b.origin_y_angstrom, 1e-5);
        close(a.defocus_u_angstrom, b.defocus_u_angstrom, 2e-3);
        close(a.defocus_v_angstrom, b.defocus_v_angstrom, 2e-3);
        close(a.defocus_angle_deg, b.defocus_angle_deg, 1e-4);
        close(a.phase_shift_deg, b.phase_shift_deg, 1e-4);
    }
    let [a, b] = [&a.groups[0], &b.groups[0]];
    close(a.apix, b.apix, 1e-6);
    close(a.voltage_kv + a.cs_mm + a.amplitude_contrast, b.voltage_kv + b.cs_mm + b.amplitude_contrast, 1e-5);
    assert_eq!(a.box_px, b.box_px);
}

#[test]
fn a_table_is_read_as_the_particles_that_it_was_made_of() {
    let project = Project::new();
    if !tables(&project, "sim") {
        return;
    }
    let star = read(&project.path("sim/particles.star"), &options(&project)).unwrap();
    let whole = read(&project.path("J1/whole.cs"), &options(&project)).unwrap();
    same_particles(&whole, &star);
    assert!(whole.rows.iter().enumerate().all(|(i, row)| row.random_subset == Some(1 + (i % 2) as u8)));
    let joined = ReadOptions { passthrough: Some(project.path("J1/passthrough.cs")), ..options(&project) };
    same_particles(&read(&project.path("J1/particles.cs"), &joined).unwrap(), &star);

    for (name, passthrough, part) in [
        ("J1/particles.cs", None, "no field `blob/path`; hint: give the passthrough table of the same job with `--passthrough`"),
        ("J1/passthrough.cs", None, "no field `alignments3D/pose`"),
        ("J1/passthrough.cs", Some("J1/passthrough.cs"), "give the particles of a refinement"),
        ("J1/pickled.cs", None, "`notes` holds pickled objects"),
        ("sim/particles.star", Some("J1/passthrough.cs"), "belongs to a cryoSPARC table"),
    ] {
        let options = ReadOptions { passthrough: passthrough.map(|name| project.path(name)), ..options(&project) };
        let problem = read(&project.path(name), &options).unwrap_err().to_string();
        assert!(problem.contains(part), "{name}: {problem}");
    }
    std::fs::remove_file(project.path("J1/extract/0123_particles.mrc")).unwrap();
    let problem = read(&project.path("J1/whole.cs"), &options(&project)).unwrap_err().to_string();
    assert!(problem.contains("whole.cs, particle 1") && problem.contains("no such image file"), "{problem}");
}

#[test]
fn back_projection_of_a_table_is_that_of_its_particles() {
    let project = Project::new();
    assert_eq!(project.run("simulate --o good -n 400 --optics 32:3.0 --seed 5").status, Some(0));
    if !tables(&project, "good") {
        return;
    }
    let score = |particles: &str| {
        let ended =
            project.run(&format!("check --in_parts {particles} --in_mask good/mask.mrc --in_3dref good/consensus.mrc --o out/ --j 1"));
        let text = std::fs::read_to_string(project.path("out/check.json")).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
        std::fs::remove_dir_all(project.path("out")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        (ended.status, report["map"]["score"].as_f64().unwrap())
    };
    let star = score("good/particles.star");
    assert_eq!(star.0, Some(0));
    let whole = score("J1/whole.cs");
    let joined = score("J1/particles.cs --passthrough J1/passthrough.cs");
    assert_eq!((whole.0, joined), (Some(0), whole));
    // The half sets are others than those of the STAR file, which has none.
    close(whole.1, star.1, 0.01);
    let mirrored = score("J1/mirrored.cs");
    assert!(mirrored.1 < 0.7 * whole.1, "poses that turn the other way make another map: {} of {}", mirrored.1, whole.1);
}

#[test]
fn selections_hand_out_the_rows_of_the_table() {
    job::engine();
    let project = Project::new();
    if !tables(&project, "sim") {
        return;
    }
    let line = "train --o Runs/job001/ --in_parts J1/particles.cs --passthrough J1/passthrough.cs --in_mask sim/mask.mrc --preset tiny --device cpu \
                --j 1 --epochs 1 --clusters 2 --plot no";
    let ended = project.run(line);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let whole = project.path("J1/whole.cs");
    let same = |source: &str, chosen: &str, star: &str| {
        python(SAME, &[&project.path(source), &project.path(chosen), &project.path(star), &whole]);
    };
    let ended = project.run("select --job Runs/job001 --o out/ --clusters 1 --rest rest.star");
    assert_eq!((ended.status, ended.err.as_str()), (Some(0), ""), "{}", ended.err);
    same("J1/particles.cs", "out/particles.cs", "out/particles.star");
    same("J1/passthrough.cs", "out/particles_passthrough.cs", "out/particles.star");
    same("J1/particles.cs", "out/rest.cs", "out/rest.star");
    same("J1/passthrough.cs", "out/rest_passthrough.cs", "out/rest.star");
    // The selection is a table that can be trained on.
    let again = ReadOptions { passthrough: Some(project.path("out/particles_passthrough.cs")), ..options(&project) };
    let first = read(&project.path("out/particles.cs"), &again).unwrap();
    same_particles(&first, &read(&project.path("out/particles.star"), &options(&project)).unwrap());

    // Another table of the same particles, by uid; an analysis knows where its job's particles came from.
    assert_eq!(project.run("analyse --job Runs/job001 --o Runs/job002/ --clusters 3 --plot no --device cpu --j 1").status, Some(0));
    let ended = project.run("select --job Runs/job002 --o other/ --clusters 2 --cs J1/whole.cs");
    assert_eq!((ended.status, ended.err.as_str()), (Some(0), ""), "{}", ended.err);
    same("J1/whole.cs", "other/particles.cs", "other/particles.star");
    assert_eq!(project.run("select --job Runs/job002 --o third/ --clusters 3").status, Some(0));
    same("J1/passthrough.cs", "third/particles_passthrough.cs", "third/particles.star");
}

#[test]
fn a_job_of_a_star_file_takes_a_table_by_its_images() {
    job::engine();
    let project = job::trained();
    if !tables(project, "sim") {
        return;
    }
    let ended = project.run(&format!("select --job {TRAINED} --o chosen/ --clusters 1 --cs J1/whole.cs"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    python(
        SAME,
        &["J1/whole.cs", "chosen/particles.cs", "chosen/particles.star", "J1/whole.cs"]
            .map(|name| project.path(name))
            .each_ref()
            .map(PathBuf::as_path),
    );
    let ended = project.run(&format!("select --job {TRAINED} --o wrong/ --clusters 1 --cs J1/particles.cs"));
    assert_eq!(ended.status, Some(2), "{}", ended.err);
    assert!(ended.last_error().contains("`blob/path`") && !project.path("wrong/particles.star").exists(), "{}", ended.err);
}
