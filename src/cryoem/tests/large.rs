//! Many particles: the table is read quickly, and what is resident does not grow with the images.
//!
//! A million particles of box 256 (262 GB that the file system does not hold) are tried by hand, on a file system with holes:
//! `OPUS_DSD_LARGE=1000000:256 cargo test --release -p opus-dsd-cryoem --test large -- --nocapture`; docs/benchmarks/memory.md has the outcome.

use opus_dsd_cryoem::mrc::{Values, write_stack};
use opus_dsd_cryoem::particles::{ParticleSet, ReadOptions, read};
use opus_dsd_cryoem::prepare::{Invert, PrepareOptions, PreparedSet, bytes_on_disk, prepare};
use opus_dsd_cryoem::random::Random;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Side of the prepared images, pixels: small, so that a million of them are half a gigabyte.
const SIZE_PX: usize = 16;
/// Images that are not a hole: at least those from which preparation estimates the background.
const WRITTEN: usize = 512;
/// Bytes of an MRC header, and where it has the number of sections and the sampling along them.
const HEADER: u64 = 1024;
const SECTIONS: [u64; 2] = [8, 36];
/// Resident bytes that a process may need besides its rows.
const FIXED_BYTES: u64 = 200 << 20;
/// Resident bytes a particle: text of the STAR file, places of its cells, rows, table.
const PARTICLE_BYTES: u64 = 1_000;
/// Much slower than any machine should be.
const READ_SECONDS_PER_MILLION: f64 = 40.0;

/// Particles and their box.
fn wish() -> (usize, usize) {
    let said = std::env::var("OPUS_DSD_LARGE").ok();
    let said = said.as_deref().and_then(|text| text.split_once(':')).and_then(|(n, b)| Some((n.parse().ok()?, b.parse().ok()?)));
    said.unwrap_or((4_000, 256))
}

/// A stack of zeros that are not on the disk, with noise in a few images.
fn sparse_stack(path: &Path, count: usize, box_px: usize) {
    let mut random = Random::new(5, 0);
    let mut image = vec![0f32; box_px * box_px];
    random.fill_normal(&mut image);
    write_stack(path, &image, box_px, 1.3, Values::Single).expect("a first image");
    let file = OpenOptions::new().write(true).open(path).expect("the stack");
    let bytes = 4 * image.len() as u64;
    file.set_len(HEADER + count as u64 * bytes).expect("a file with holes");
    for at in SECTIONS {
        file.write_all_at(&(count as i32).to_le_bytes(), at).expect("the header");
    }
    for i in 0..WRITTEN.min(count) {
        let at = HEADER + (i * count / WRITTEN.min(count)) as u64 * bytes;
        let noise: Vec<u8> = image.iter().flat_map(|v| v.to_le_bytes()).collect();
        file.write_all_at(&noise, at).expect("an image");
        image.rotate_left(977);
    }
}

/// A RELION 3.1 table of 25 columns.
fn star(path: &Path, count: usize, box_px: usize) {
    let mut out = BufWriter::new(File::create(path).expect("a STAR file"));
    let mut line = |text: &str| writeln!(out, "{text}").expect("the STAR file");
    line("\ndata_optics\n\nloop_");
    for label in ["OpticsGroup", "OpticsGroupName", "AmplitudeContrast", "SphericalAberration", "Voltage", "ImagePixelSize", "ImageSize"] {
        line(&format!("_rln{label}"));
    }
    line(&format!("1 one 0.1 2.7 300 1.3 {box_px}\n\n\ndata_particles\n\nloop_"));
    let labels = ["ImageName", "AngleRot", "AngleTilt", "AnglePsi", "OriginXAngst", "OriginYAngst", "DefocusU", "DefocusV", "DefocusAngle"];
    let others = ["OpticsGroup", "RandomSubset", "CoordinateX", "CoordinateY"];
    let labels = labels.into_iter().chain(others);
    labels.for_each(|label| line(&format!("_rln{label}")));
    (0..12).for_each(|i| line(&format!("_rlnExtra{i}")));
    for i in 0..count {
        let angle = i as f64 * 0.7;
        let extras: String = (0..12).map(|k| format!(" {:12.6}", f64::from(k) * angle)).collect();
        line(&format!(
            "{:07}@stack.mrcs {:12.6} {:12.6} {:12.6} {:12.6} {:12.6} {:12.6} {:12.6} {:12.6} 1 {} {:12.6} {:12.6}{extras}",
            i + 1,
            angle % 360.0,
            (angle * 1.7) % 180.0,
            (angle * 2.3) % 360.0,
            angle % 5.0 - 2.5,
            angle % 3.0 - 1.5,
            15_000.0 + angle % 9_000.0,
            14_800.0 + angle % 9_000.0,
            angle % 180.0,
            i % 2 + 1,
            angle % 4_000.0,
            angle % 3_700.0
        ));
    }
}

/// Resident bytes of this process: now, or the most since [`forget_peak`].
fn resident(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).expect("a number") * 1024
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("the kernel lets a process reset its peak");
}

/// Runs a step; its time and the most that was resident meanwhile, by how much it goes beyond `before`.
fn step<T>(name: &str, before: u64, work: impl FnOnce() -> T) -> (T, f64, u64) {
    forget_peak();
    let began = Instant::now();
    let result = work();
    let (seconds, bytes) = (began.elapsed().as_secs_f64(), resident("VmHWM:"));
    println!("{name}: {seconds:.2} s, at most {:.0} MB resident, {:.0} MB now", bytes as f64 / 1e6, resident("VmRSS:") as f64 / 1e6);
    (result, seconds, bytes.saturating_sub(before))
}

#[test]
fn memory_does_not_grow_with_the_images() {
    let (count, box_px) = wish();
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| -> PathBuf { folder.path().join(name) };
    sparse_stack(&place("stack.mrcs"), count, box_px);
    star(&place("particles.star"), count, box_px);
    let stack_bytes = std::fs::metadata(place("stack.mrcs")).expect("the stack").len();
    println!("{count} particles of box {box_px}: a stack of {:.1} GB", stack_bytes as f64 / 1e9);

    let before = resident("VmRSS:");
    let allowed = FIXED_BYTES + PARTICLE_BYTES * count as u64;
    assert!(stack_bytes > 2 * allowed, "a set that shows growth");
    let options = ReadOptions { datadir: Some(folder.path().to_owned()), ..ReadOptions::default() };
    let (set, seconds, most): (ParticleSet, _, _) = step("read", before, || read(&place("particles.star"), &options).expect("the set"));
    assert_eq!(set.rows.len(), count);
    assert!(seconds < READ_SECONDS_PER_MILLION * (count as f64 / 1e6).max(0.05), "{seconds} s");
    assert!(most < allowed, "{most} bytes to read");

    let wanted = PrepareOptions { size_px: SIZE_PX, apix: None, invert: Invert::No, known: Vec::new() };
    let (made, _, most) = step("prepare", before, || prepare(&set, &wanted, &place("prepared"), &mut |_, _| Ok(())).expect("prepared"));
    assert!(most < allowed, "{most} bytes to prepare");
    drop(set);
    let on_disk =
        std::fs::metadata(&made.prepared.images).expect("images").len() + std::fs::metadata(&made.prepared.table).expect("a table").len();
    assert!(on_disk.abs_diff(bytes_on_disk(count, SIZE_PX)) < 4096, "{on_disk} bytes on disk");

    let (sum, _, most) = step("look at every prepared image", before, || {
        let set = PreparedSet::open(&made.prepared).expect("the set");
        let order = Random::new(1, 0).permutation(count);
        order.chunks(64).map(|batch| set.images(batch).iter().map(|v| f64::from(v.abs())).sum::<f64>()).sum::<f64>()
    });
    assert!(sum > 0.0 && most < allowed, "{most} bytes to look");
}
