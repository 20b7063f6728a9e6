//! A release archive: everything that a machine needs to run jobs, and nothing of the machine that built it.
//!
//! ```text
//! bin/opus-dsd  bin/opus-dsd-engine
//! lib/opus-dsd/torch/lib/…  lib/opus-dsd/nvidia/…      libtorch and what it loads
//! share/opus-dsd/{demo,docs,plugin-manifests,scheme-templates,packaging}
//! share/modulefiles/opus-dsd/  share/licenses/opus-dsd/
//! ```
//!
//! The same sources and libraries give the same bytes: files are sorted, times and owners are fixed.

mod elf;
mod libraries;
mod licences;
mod tree;

use crate::pins::{Flavour, cache, link, root};
use crate::{setup, tasks};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Where the engine looks for libtorch, from its own folder (src/engine/build.rs).
const RUN_PATH: &str = "$ORIGIN/../lib/opus-dsd/torch/lib";
/// What packs: name, ending, arguments for a release and for a quick look.
const ZSTD: Packer = Packer { program: "zstd", ending: "tar.zst", best: &["-q", "-T0", "-15"], quick: &["-q", "-T0", "-1"] };
const GZIP: Packer = Packer { program: "gzip", ending: "tar.gz", best: &["-n", "-6"], quick: &["-n", "-1"] };

struct Packer {
    program: &'static str,
    ending: &'static str,
    best: &'static [&'static str],
    quick: &'static [&'static str],
}

/// What is said of it.
struct Wish {
    cuda: bool,
    packer: Packer,
    quick: bool,
    /// Executables that are there already.
    bins: Option<PathBuf>,
    out: PathBuf,
}

/// `cargo xtask dist [--cuda] [--gzip] [--quick] [--bins DIR] [--out DIR]`.
pub(crate) fn dist(args: &[String]) -> Result<ExitCode, String> {
    let wish = parse(args)?;
    let bins = match &wish.bins {
        Some(bins) => bins.clone(),
        None => {
            setup::ensure()?;
            tasks::build()?;
            tasks::release_folder()
        }
    };
    let torch = libtorch(wish.cuda)?;
    let flavour = if libraries::has_cuda(&torch) { "cuda" } else { "cpu" };
    let name = format!("opus-dsd-{}-x86_64-linux-{flavour}", env!("CARGO_PKG_VERSION"));
    let tree = wish.out.join(&name);
    tree::make(&tree, &bins, &torch)?;
    let needs = elf::newest_glibc(&[tree.join("bin/opus-dsd"), tree.join("bin/opus-dsd-engine")])?;
    let archive = wish.out.join(format!("{name}.{}", wish.packer.ending));
    pack(&wish, &name, &archive)?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{}: {:.0} MB, {:.0} MB installed; needs glibc {needs} or newer",
        archive.display(),
        mb(std::fs::metadata(&archive).map_or(0, |m| m.len())),
        mb(tree::bytes_below(&tree))
    );
    Ok(ExitCode::SUCCESS)
}

fn parse(args: &[String]) -> Result<Wish, String> {
    let mut wish = Wish { cuda: false, packer: ZSTD, quick: false, bins: None, out: tasks::target_folder().join("dist") };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut folder = || args.next().map(PathBuf::from).ok_or(format!("`{arg}` needs a folder"));
        match arg.as_str() {
            "--cuda" => wish.cuda = true,
            "--gzip" => wish.packer = GZIP,
            "--quick" => wish.quick = true,
            "--bins" => wish.bins = Some(folder()?),
            "--out" => wish.out = folder()?,
            other => {
                return Err(format!("unknown argument `{other}`; expected `--cuda`, `--gzip`, `--quick`, `--bins DIR` or `--out DIR`"));
            }
        }
    }
    Ok(wish)
}

/// The folder that holds `torch/` and `nvidia/`: the one that is built against, or the CUDA set beside it in the cache (the executables are
/// the same: they link libtorch's CPU part only).
fn libtorch(cuda: bool) -> Result<PathBuf, String> {
    let folder = if cuda { cache()?.join(Flavour::Cuda.folder()) } else { link() };
    let folder = std::fs::canonicalize(&folder)
        .map_err(|e| format!("{}: {e}; run `cargo xtask setup{}` first", folder.display(), if cuda { " --cuda" } else { "" }))?;
    if cuda && !libraries::has_cuda(&folder) {
        return Err(format!("{} is not a whole CUDA set; run `cargo xtask setup --cuda` again", folder.display()));
    }
    Ok(folder)
}

/// Packs the tree: sorted, with the time of the last commit, owned by nobody in particular.
fn pack(wish: &Wish, name: &str, archive: &Path) -> Result<(), String> {
    let part = archive.with_extension("part");
    let file = std::fs::File::create(&part).map_err(|e| format!("{}: {e}", part.display()))?;
    let failed = |what: &str, e: std::io::Error| format!("`{what}` could not be started: {e}");
    let mut tar = Command::new("tar")
        .args(["--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+rw,go+r,go-w"])
        .arg(format!("--mtime=@{}", commit_time()))
        .arg("--directory")
        .args([wish.out.as_os_str(), name.as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed("tar", e))?;
    let input = tar.stdout.take().ok_or("tar has no output")?;
    let Packer { program, best, quick, .. } = wish.packer;
    let packed = Command::new(program)
        .args(if wish.quick { quick } else { best })
        .arg("-c")
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(file))
        .status()
        .map_err(|e| failed(program, e))?;
    let tarred = tar.wait().map_err(|e| failed("tar", e))?;
    if !packed.success() || !tarred.success() {
        let _ = std::fs::remove_file(&part);
        return Err(format!("{} could not be packed (tar: {tarred}, {program}: {packed})", archive.display()));
    }
    std::fs::rename(&part, archive).map_err(|e| format!("{}: {e}", archive.display()))
}

/// `SOURCE_DATE_EPOCH`, else the last commit's time, else 0.
fn commit_time() -> String {
    if let Ok(time) = std::env::var("SOURCE_DATE_EPOCH") {
        return time;
    }
    let log = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()).output();
    let time = log.ok().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
    if time.is_empty() { "0".into() } else { time }
}
