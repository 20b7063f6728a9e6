//! Fetches libtorch once into the user's cache and links it into the clone.
//!
//! The wheels come through pip, pinned by hash, since the Python package index serves libtorch everywhere; nothing of
//! Python is used afterwards. A broken download leaves no stamp, so that the next call starts over.

use crate::pins::{Flavour, TORCH_VERSION, cache, link, root};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

/// `cargo xtask setup [--cuda | --python PY]`.
pub(crate) fn setup(args: &[String]) -> Result<ExitCode, String> {
    let flavour = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Flavour::Cpu,
        ["--cuda"] => Flavour::Cuda,
        ["--python", python] => Flavour::Python((*python).to_owned()),
        ["--python"] => {
            return Err("`--python` needs the interpreter whose PyTorch to use, for instance `--python /opt/conda/bin/python`".into());
        }
        other => return Err(format!("unknown arguments {other:?}; expected nothing, `--cuda` or `--python PY`")),
    };
    install(&flavour)?;
    println!("{}", describe(&flavour));
    Ok(ExitCode::SUCCESS)
}

/// Sets up the CPU flavour where nothing is set up; does nothing (in milliseconds) where something is.
pub(crate) fn ensure() -> Result<(), String> {
    let lib = link().join("torch/lib/libtorch_cpu.so");
    if lib.exists() && link().join(".stamp").exists() {
        return Ok(());
    }
    install(&Flavour::Cpu)
}

fn install(flavour: &Flavour) -> Result<(), String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("libtorch 2.11.0 is pinned for Linux on x86-64 only".into());
    }
    let target = cache()?.join(flavour.folder());
    let stamp = match flavour.pin_file() {
        Some(file) => {
            let path = root().join(file);
            let pins = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            format!("{}\n{pins}", flavour.folder())
        }
        None => String::new(),
    };
    match flavour {
        Flavour::Python(python) => link_python(python, &target)?,
        Flavour::Cpu | Flavour::Cuda => {
            let ready =
                fs::read_to_string(target.join(".stamp")).is_ok_and(|s| s == stamp) && target.join("torch/lib/libtorch_cpu.so").exists();
            if !ready {
                fetch(flavour, &target, &stamp)?;
            }
        }
    }
    relink(&target)
}

/// The platform tags that the pinned wheels carry (pip matches each one exactly).
const WHEEL_PLATFORMS: [&str; 9] = [
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_25_x86_64",
    "manylinux_2_18_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux_2_12_x86_64",
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
];

/// Downloads and unpacks the pinned wheels beside `target`, then renames.
fn fetch(flavour: &Flavour, target: &Path, stamp: &str) -> Result<(), String> {
    let pins = root().join(flavour.pin_file().unwrap_or_default());
    let cache = cache()?;
    fs::create_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
    let part = cache.join(format!("{}.{}.part", flavour.folder(), std::process::id()));
    println!("fetching libtorch {TORCH_VERSION} ({}) into {}; this happens once", flavour.folder(), target.display());
    let python = python_with_pip()?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps", "--require-hashes"]);
    pip.args(["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]);
    for platform in WHEEL_PLATFORMS {
        pip.args(["--platform", platform]);
    }
    pip.env("PIP_ROOT_USER_ACTION", "ignore"); // older pips do not know the flag, all ignore an unknown variable
    pip.arg("--target").arg(&part).arg("-r").arg(&pins);
    let status = pip.status().map_err(|e| format!("python3 could not be started: {e}"))?;
    if !status.success() {
        let _ = fs::remove_dir_all(&part);
        return Err(format!(
            "pip could not fetch the wheels of {} ({status}); is the Python package index reachable? An installed PyTorch {TORCH_VERSION} also does: `cargo xtask setup --python PY`",
            pins.display()
        ));
    }
    let version = fs::read_to_string(part.join("torch/version.py")).map_err(|e| format!("the torch wheel holds no version.py: {e}"))?;
    if !version.contains(TORCH_VERSION) {
        return Err(format!("the torch wheel is not version {TORCH_VERSION}"));
    }
    write(&part.join("torch/build-version"), TORCH_VERSION)?; // what torch-sys checks
    write(&part.join(".stamp"), stamp)?;
    if target.exists() {
        fs::remove_dir_all(target).map_err(|e| format!("{}: {e}", target.display()))?;
    }
    match fs::rename(&part, target) {
        Ok(()) => Ok(()),
        // Another set-up was quicker: its copy is as good.
        Err(_) if target.join(".stamp").exists() => fs::remove_dir_all(&part).map_err(|e| format!("{}: {e}", part.display())),
        Err(e) => Err(format!("{}: {e}", target.display())),
    }
}

/// Builds a folder of links to an installed PyTorch.
fn link_python(python: &str, target: &Path) -> Result<(), String> {
    let probe = "import torch,os;print(torch.__version__);print(torch.version.cuda or 'none');print(os.path.dirname(torch.__file__))";
    let out = Command::new(python).args(["-c", probe]).output().map_err(|e| format!("`{python}` could not be started: {e}"))?;
    if !out.status.success() {
        return Err(format!("`{python}` cannot import torch: {}", String::from_utf8_lossy(&out.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut lines = text.lines();
    let (version, cuda, folder) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if version.split('+').next() != Some(TORCH_VERSION) {
        return Err(format!(
            "`{python}` has PyTorch {version}; the engine needs {TORCH_VERSION} (any build of it: cpu, cu126, cu128, cu130)"
        ));
    }
    let _ = fs::remove_dir_all(target);
    fs::create_dir_all(target.join("torch")).map_err(|e| format!("{}: {e}", target.display()))?;
    for name in ["lib", "include"] {
        std::os::unix::fs::symlink(Path::new(folder).join(name), target.join("torch").join(name))
            .map_err(|e| format!("{folder}/{name}: {e}"))?;
    }
    write(&target.join("torch/build-version"), TORCH_VERSION)?;
    write(&target.join(".stamp"), &format!("python {version} cuda {cuda} {folder}"))
}

fn relink(target: &Path) -> Result<(), String> {
    let link = link();
    if fs::read_link(&link).is_ok_and(|t| t == target) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).map_err(|e| format!("{} is not a link of ours: {e}", link.display()))?;
    }
    std::os::unix::fs::symlink(target, &link).map_err(|e| format!("{}: {e}", link.display()))
}

fn python_with_pip() -> Result<&'static str, String> {
    for python in ["python3", "python"] {
        if Command::new(python).args(["-m", "pip", "--version"]).output().is_ok_and(|o| o.status.success()) {
            return Ok(python);
        }
    }
    Err("no python3 with pip was found; it is needed once, to fetch libtorch (Debian and Ubuntu: `apt-get install python3-pip`)".into())
}

/// What the set-up that was made can run on this machine.
fn describe(flavour: &Flavour) -> String {
    let driver = nvidia_driver();
    let gpus = match &driver {
        Some(version) => format!("NVIDIA driver {version} found"),
        None => "no NVIDIA driver found".to_owned(),
    };
    let can = match (flavour, driver) {
        (Flavour::Cpu, Some(version)) if driver_major(&version) >= CUDA13_DRIVER => "this set runs on CPUs only; `cargo xtask setup --cuda` fetches the set for this driver".to_owned(),
        (Flavour::Cpu, Some(_)) => "this set runs on CPUs only; for this older driver install PyTorch 2.11.0+cu126 or +cu128 and give it by `cargo xtask setup --python PY`".to_owned(),
        (Flavour::Cpu, None) => "this set runs on CPUs".to_owned(),
        (Flavour::Cuda, Some(version)) if driver_major(&version) < CUDA13_DRIVER => {
            format!("CUDA 13 needs driver {CUDA13_DRIVER} or newer, so this set will run on CPUs here; use PyTorch 2.11.0+cu126 or +cu128 by `cargo xtask setup --python PY`")
        }
        (Flavour::Cuda, _) => format!("this set runs GPUs from Turing (compute capability 7.5) on, with driver {CUDA13_DRIVER} or newer"),
        (Flavour::Python(_), _) => "what it runs follows its build: cu126 and cu128 builds serve Volta (V100) and older drivers, cu130 needs driver 580 and Turing or newer".to_owned(),
    };
    format!("libtorch {TORCH_VERSION} ({}) is set up: {gpus}; {can}", flavour.folder())
}

/// CUDA 13's oldest driver branch (NVIDIA's release notes).
const CUDA13_DRIVER: u32 = 580;

fn driver_major(version: &str) -> u32 {
    version.split('.').next().and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn nvidia_driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.split_whitespace().find(|w| w.contains('.') && w.chars().all(|c| c.is_ascii_digit() || c == '.')).map(str::to_owned)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
