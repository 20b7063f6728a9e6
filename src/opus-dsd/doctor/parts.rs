//! The program's own parts: front, engine, libtorch, and the devices that they find.

use super::{Finding, Parts};
use crate::job::engine_process::{self, Engine};
use crate::machine::{disk, nvidia};
use crate::settings::plan;
use crate::{BUILD_ID, job::progress::duration};
use contract::{Problem, VERSION};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Threads of an engine that only says hello.
const THREADS: usize = 1;

/// What the engine's process has mapped.
#[derive(Default)]
struct Libraries {
    libtorch: Option<PathBuf>,
    /// Whether the CUDA part of libtorch is loaded.
    has_cuda: bool,
    /// Major version of the CUDA run time that it was built with.
    cuda: Option<u32>,
}

pub(super) fn examine() -> (Parts, Vec<Finding>) {
    let own = std::env::current_exe().map(|p| p.display().to_string()).unwrap_or_default();
    let mut findings = vec![Finding::ok("program", format!("opus-dsd {VERSION} ({BUILD_ID}), {own}"))];
    let mut parts = Parts { driver: nvidia::driver(), ..Parts::default() };
    match engine_process::locate() {
        Err(problem) => findings.push(of_problem("engine", problem)),
        Ok(path) => {
            parts.engine = Some(path);
            engine(&mut parts, &mut findings);
        }
    }
    (parts, findings)
}

fn engine(parts: &mut Parts, findings: &mut Vec<Finding>) {
    let began = Instant::now();
    let greeted = Engine::start(THREADS, |_| {}).and_then(|mut engine| engine.greet().map(|()| engine));
    let engine = match greeted {
        Ok(engine) => engine,
        Err(problem) => {
            findings.push(of_problem("engine", problem));
            findings.extend(parts.engine.as_deref().and_then(missing_libraries));
            return;
        }
    };
    let path = parts.engine.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    findings.push(Finding::ok("engine", format!("of the same build, answers after {}, {path}", duration(began.elapsed().as_secs_f64()))));
    let libraries = mapped(engine.pid());
    parts.torch = Some(engine.torch.clone());
    parts.cuda = libraries.cuda.filter(|_| libraries.has_cuda);
    parts.devices.clone_from(&engine.devices);
    findings.push(libtorch(&engine.torch, &libraries));
    parts.libtorch = libraries.libtorch;
    let gpus = engine.devices.iter().filter(|d| d.id != "cpu").count();
    findings.extend(driver(parts.driver.as_deref(), nvidia::has_device(), parts.cuda, gpus));
    for device in &engine.devices {
        let free = plan::left_by_others(device).map(|free| format!(", {} free", disk::for_people(free))).unwrap_or_default();
        findings.push(Finding::ok(&device.id, format!("{}, {} of memory{free}", device.name, disk::for_people(device.memory_bytes))));
    }
}

/// Libraries that the loader does not find, as `ldd` would say.
fn missing_libraries(engine: &Path) -> Option<Finding> {
    let output = Command::new(engine).env("LD_TRACE_LOADED_OBJECTS", "1").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let missing: Vec<&str> = text.lines().filter(|l| l.ends_with("=> not found")).filter_map(|l| l.split_whitespace().next()).collect();
    (!missing.is_empty()).then(|| {
        let hint = "unpack the release again and keep `lib/` beside `bin/`; from source: `cargo xtask setup`, then build again";
        Finding::wrong("libraries", format!("not found: {}", missing.join(", ")), hint)
    })
}

fn libtorch(version: &str, libraries: &Libraries) -> Finding {
    let built = match (libraries.has_cuda, libraries.cuda) {
        (true, Some(major)) => format!("with CUDA {major}"),
        (true, None) => "with CUDA".into(),
        (false, _) => "for CPUs".into(),
    };
    let path = libraries.libtorch.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    // The loader looks there before it looks where the program keeps its own.
    let elsewhere = std::env::var("LD_LIBRARY_PATH").is_ok_and(|folders| {
        std::env::split_paths(&folders).any(|f| libraries.libtorch.as_ref().is_some_and(|p| p.parent() == Some(f.as_path())))
    });
    let what = format!("{version} {built}, {path}");
    if elsewhere {
        return Finding::warning(
            "libtorch",
            format!("{what}, found by LD_LIBRARY_PATH"),
            "unset LD_LIBRARY_PATH, unless this is on purpose",
        );
    }
    Finding::ok("libtorch", what)
}

/// What is to be said of GPUs: what the driver is, what libtorch needs, and what came of it.
fn driver(driver: Option<&str>, has_device: bool, cuda: Option<u32>, gpus: usize) -> Vec<Finding> {
    const NAME: &str = "NVIDIA driver";
    let hidden = std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|v| v.trim().is_empty() || v.trim() == "-1");
    let version = driver.unwrap_or("of unknown version");
    let oldest = cuda.and_then(nvidia::oldest_driver);
    vec![match (driver.is_some() || has_device, cuda, oldest) {
        (true, ..) if gpus > 0 => Finding::ok(NAME, version),
        (false, ..) => Finding::warning(
            NAME,
            "none: jobs here run on the CPU, with preset tiny",
            "nothing, where this machine has no GPU; else install the driver, and in a container start it with `--nv`; ask doctor on the machine that will train",
        ),
        (true, None, _) => Finding::wrong(
            NAME,
            format!("{version}, but this libtorch is for CPUs only"),
            "install the archive with CUDA; from source: `cargo xtask setup --cuda`, then build again",
        ),
        (true, Some(cuda), Some(oldest)) if driver.is_some_and(|v| nvidia::branch(v) < oldest) => Finding::wrong(
            NAME,
            format!("{version} is too old for CUDA {cuda}, which needs {oldest} or newer"),
            "update the driver, or build against PyTorch 2.11.0+cu126 or +cu128: `cargo xtask setup --python PY`",
        ),
        _ if hidden => Finding::warning(
            NAME,
            format!("{version}, but CUDA_VISIBLE_DEVICES hides every GPU"),
            "unset it, or ask the queue system for a GPU",
        ),
        _ => Finding::wrong(
            NAME,
            format!("{version}, but libtorch sees no GPU"),
            "`nvidia-smi` says whether the driver works; GPUs from Turing (compute capability 7.5) on are supported by CUDA 13",
        ),
    }]
}

/// Libraries in a process' address space.
fn mapped(pid: u32) -> Libraries {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    of_maps(&maps)
}

fn of_maps(maps: &str) -> Libraries {
    let mut found = Libraries::default();
    for path in maps.lines().filter_map(|l| l.find('/').map(|at| PathBuf::from(&l[at..]))) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.as_str() {
            "libtorch_cpu.so" => found.libtorch = Some(path),
            "libtorch_cuda.so" => found.has_cuda = true,
            // `libcudart.so.13`, or with a hash before its ending in other builds of PyTorch.
            _ if name.starts_with("libcudart") => {
                let version = name.split(".so.").nth(1).and_then(|v| v.split('.').next());
                found.cuda = version.and_then(|v| v.parse().ok()).or(found.cuda);
            }
            _ => {}
        }
    }
    found
}

fn of_problem(name: &str, problem: Problem) -> Finding {
    let hint = problem.hint.clone().unwrap_or_else(|| "unpack the release again, and keep its folders together".into());
    let what = Problem { hint: None, ..problem }.to_string();
    Finding::wrong(name, what, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn libraries_are_read_from_the_map() {
        let maps = "7f00-7f01 r--p 00000000 fe:00 1 /opt/x/torch/lib/libtorch_cpu.so\n7f02-7f03 rw-p 00000000 00:00 0 \n\
            7f04-7f05 r--p 00000000 fe:00 2 /opt/x/nvidia/cu13/lib/libcudart.so.13\n7f06-7f07 r--p 0 fe:00 3 /opt/x/torch/lib/libtorch_cuda.so";
        let found = of_maps(maps);
        assert_eq!((found.cuda, found.has_cuda), (Some(13), true));
        assert!(found.libtorch.unwrap().ends_with("torch/lib/libtorch_cpu.so"));
    }

    #[test]
    fn every_state_of_a_driver_says_what_to_do() {
        let level = |version, device, cuda, gpus| driver(version, device, cuda, gpus)[0].level;
        assert_eq!(level(Some("580.65"), true, Some(13), 1), Level::Ok);
        assert_eq!(level(None, false, None, 0), Level::Warning);
        assert_eq!(level(Some("580.65"), true, None, 0), Level::Wrong);
        assert_eq!(level(Some("470.1"), true, Some(12), 0), Level::Wrong);
        assert!(driver(Some("570.1"), true, Some(13), 0)[0].what.contains("needs 580"));
        assert!(driver(Some("580.1"), true, Some(13), 0)[0].what.contains("sees no GPU"));
        assert_eq!(level(None, true, Some(13), 2), Level::Ok);
    }
}
