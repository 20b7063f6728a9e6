//! The sources of the GPU's kernels, run on the host: projections along rays and by slices with their gradients, lifted images, smoothed volumes
//! and volume priors with theirs, against the CPU's kernels; and compiled by NVRTC.
//!
//! Whether they run on a GPU as they do here is for `device.rs`.

#[path = "support/nvrtc.rs"]
mod nvrtc;
#[path = "../../../tests/support/skip.rs"]
mod skip;
#[path = "support/kernels.rs"]
mod support;

use contract::Result;
use libloading::os::unix::{Library, Symbol};
use opus_dsd_engine::kernels::cuda::{Kernels, compile};
use opus_dsd_engine::kernels::lift::gpu::{GpuLift, SOURCE as LIFT};
use opus_dsd_engine::kernels::priors::gpu::{GpuPriors, SOURCE as PRIORS};
use opus_dsd_engine::kernels::projection::gpu::{GpuProjection, SOURCE as PROJECTION};
use opus_dsd_engine::kernels::slices::gpu::{GpuSlices, SOURCE as SLICES};
use opus_dsd_engine::kernels::smoothing::gpu::{GpuSmoothing, SOURCE as SMOOTHING};
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::lift::{Lift, LiftSteps};
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region};
use opus_dsd_engine::model::slices::SliceProjector;
use opus_dsd_engine::model::smoothing::{Smoothing, TAPS};
use opus_dsd_engine::model::volume_priors::VolumePriors;
use opus_dsd_engine::torch::init_torch;
use std::ffi::{CString, c_char, c_int, c_longlong, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use support::{OPTIONS, relative, rotations, start};
use tch::{Device, Kind, Tensor};

/// The CPU's kernel adds in another order.
const TOLERANCE: f64 = 2e-6;

/// The kernels, compiled for the host; one at a time, since they keep where they are in globals.
struct OnHost(Mutex<Library>);

impl Kernels for OnHost {
    unsafe fn run(&self, kernel: &str, items: usize, arguments: &mut [*mut c_void]) -> Result<()> {
        type Run = unsafe extern "C" fn(*const c_char, c_longlong, *mut *mut c_void) -> c_int;
        let library = self.0.lock().unwrap();
        let name = CString::new(kernel).unwrap();
        // SAFETY: the function of `cuda_on_host.cpp`; the arguments are those of the kernel.
        let known = unsafe {
            let run: Symbol<Run> = library.get(b"run_on_host\0").unwrap();
            run(name.as_ptr(), items as c_longlong, arguments.as_mut_ptr())
        };
        assert_eq!(known, 0, "the host has no kernel {kernel}");
        Ok(())
    }
}

/// `None` after saying so where there is no C++ compiler.
fn on_host(test: &str) -> Option<Arc<OnHost>> {
    start();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("kernels.so");
    let compiled = Command::new("c++")
        .args(["-std=c++17", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-I"])
        .arg(package.join("src/kernels/projection"))
        .arg("-I")
        .arg(package.join("src/kernels/lift"))
        .arg("-I")
        .arg(package.join("src/kernels/priors"))
        .arg("-I")
        .arg(package.join("src/kernels/slices"))
        .arg("-I")
        .arg(package.join("src/kernels/smoothing"))
        .arg(package.join("tests/support/cuda_on_host.cpp"))
        .arg("-o")
        .arg(&library)
        .output();
    let output = match compiled {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip::skipped_outside_ci(format_args!("{test}: no C++ compiler on this machine; nothing was compared"));
            return None;
        }
        other => other.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // SAFETY: our own code without initialisers; the file may go once it is mapped.
    Some(Arc::new(OnHost(Mutex::new(unsafe { Library::new(&library) }.unwrap()))))
}

/// Projections and the gradients of a fixed functional of them.
fn both(projector: &Projector, inputs: [&Tensor; 3]) -> [Tensor; 4] {
    let [volumes, rotations, shift] = inputs.map(|input| input.copy().set_requires_grad(true));
    let projections = projector.project_moved(&volumes, &rotations, None, Some(&shift));
    let weights = (Tensor::arange(projections.numel() as i64, OPTIONS) * 0.7).sin().view_as(&projections);
    (&projections * weights).sum(Kind::Float).backward();
    [projections.detach(), volumes.grad(), rotations.grad(), shift.grad()]
}

#[test]
fn values_and_gradients_are_those_of_the_cpu() {
    let Some(host) = on_host("values_and_gradients_are_those_of_the_cpu") else { return };
    let ball = |radius_px| Region::Ball { radius_px };
    for (side, template, centre, region, images, poses) in [
        (24, 24, Centre::Voxel, ball(11.0), 2, 3),
        (24, 40, Centre::Voxel, ball(9.5), 1, 5),
        (20, 12, Centre::HalfVoxel, Region::Cube, 3, 1),
        // Rays that leave the volume and enter it again at its corners.
        (22, 32, Centre::Voxel, ball(19.0), 2, 2),
    ] {
        let config = ProjectorConfig { side, template, centre, region };
        let reference = Projector::new(config, Device::Cpu);
        let kernels = Arc::clone(&host);
        let tested = Projector::with_kernel(config, Device::Cpu, |rays| Arc::new(GpuProjection::with(kernels, rays, Device::Cpu)));
        let volumes = Tensor::randn([images, 1, template, template, template], OPTIONS);
        let inputs = [&volumes, &rotations(images, poses), &Tensor::randn([images, poses, 3], OPTIONS)];
        let (got, want) = (both(&tested, inputs), both(&reference, inputs));
        for (what, (got, want)) in ["projections", "volumes", "rotations", "shifts"].iter().zip(got.iter().zip(&want)) {
            let error = relative(got, want);
            assert!(error < TOLERANCE, "{what} of {config:?} differ by {error:.1e}");
        }
    }
}

#[test]
fn poses_that_are_no_numbers_give_none() {
    let Some(kernels) = on_host("poses_that_are_no_numbers_give_none") else { return };
    let config = ProjectorConfig { side: 16, template: 16, centre: Centre::Voxel, region: Region::Cube };
    let projector = Projector::with_kernel(config, Device::Cpu, |rays| Arc::new(GpuProjection::with(kernels, rays, Device::Cpu)));
    let volumes = Tensor::randn([1, 1, 16, 16, 16], OPTIONS).set_requires_grad(true);
    for bad in [f64::NAN, f64::INFINITY, 1e30] {
        let poses = rotations(1, 2);
        let _ = poses.get(0).get(0).get(0).get(0).fill_(bad);
        let projections = projector.project(&volumes, &poses, None);
        assert!(projections.select(1, 0).isnan().all().int64_value(&[]) == 1, "{bad}");
        assert!(projections.select(1, 1).isfinite().all().int64_value(&[]) == 1);
        projections.sum(Kind::Float).backward();
        assert!(volumes.grad().isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn slices_are_those_of_the_cpu() {
    let Some(host) = on_host("slices_are_those_of_the_cpu") else { return };
    for (side, template, radius_px, images, poses) in [(24, 24, 11.0, 2, 3), (20, 32, 9.0, 1, 5), (32, 16, 14.0, 3, 1)] {
        let config = ProjectorConfig { side, template, centre: Centre::Voxel, region: Region::Ball { radius_px } };
        let reference = SliceProjector::new(&config, Device::Cpu);
        let kernels = Arc::clone(&host);
        let tested = SliceProjector::with_reading_kernel(&config, Device::Cpu, |sizes| GpuSlices::with(kernels, sizes));
        let volumes = Tensor::randn([images, 1, template, template, template], OPTIONS);
        let (poses, shift) = (rotations(images, poses), Tensor::randn([images, poses, 3], OPTIONS));
        let scale = Tensor::linspace(0.95, 1.05, images, OPTIONS);
        let both = |projector: &SliceProjector| {
            let volumes = volumes.copy().set_requires_grad(true);
            let projections = projector.project(&volumes, &poses, Some(&scale), Some(&shift));
            let weights = (Tensor::arange(projections.numel() as i64, OPTIONS) * 0.7).sin().view_as(&projections);
            (&projections * weights).sum(Kind::Float).backward();
            [projections.detach(), volumes.grad()]
        };
        for (what, (got, want)) in ["projections", "volumes"].iter().zip(both(&tested).iter().zip(&both(&reference))) {
            let error = relative(got, want);
            // The CPU's kernel has a table of the window.
            assert!(error < 2e-4, "{what} of {config:?} differ by {error:.1e}");
        }
        let none = rotations(images, poses.size()[1]) * f64::NAN;
        assert!(tested.project(&volumes, &none, None, None).isnan().all().int64_value(&[]) == 1);
    }
}

#[test]
fn lifted_images_are_those_of_the_cpu() {
    let Some(host) = on_host("lifted_images_are_those_of_the_cpu") else { return };
    for (side, grid, centre, steps) in [
        (24, 24, Centre::Voxel, LiftSteps::Direct),
        (30, 21, Centre::Voxel, LiftSteps::Direct),
        (20, 26, Centre::HalfVoxel, LiftSteps::TurnThenTilt),
    ] {
        let reference = Lift::new(side, grid, centre, steps, Device::Cpu);
        let kernels = Arc::clone(&host);
        let tested = Lift::new(side, grid, centre, steps, Device::Cpu).with_kernel(|geometry| Arc::new(GpuLift::with(kernels, geometry)));
        let (images, poses) = (Tensor::randn([3, side, side], OPTIONS), rotations(3, 1).squeeze_dim(1));
        let (got, want) = (tested.lift(&images, &poses), reference.lift(&images, &poses));
        let error = relative(&got, &want);
        // Positions are added up in double precision on the CPU.
        assert!(error < 1e-5, "{side} to {grid}, {steps:?}: {error:.1e}");
        let _ = poses.get(1).get(0).get(0).fill_(f64::NAN);
        if steps == LiftSteps::Direct {
            assert!(tested.lift(&images, &poses).get(1).isnan().all().int64_value(&[]) == 1);
        }
    }
}

#[test]
fn volume_priors_are_those_of_the_cpu() {
    let Some(host) = on_host("volume_priors_are_those_of_the_cpu") else { return };
    // A region of a single voxel, too; and a volume that is partly flat.
    for (side, images, bounds) in [(16, 3, [1, 1, 1]), (24, 2, [5, 2, 3]), (12, 1, [6, 6, 6])] {
        let reference = VolumePriors::new(bounds, Device::Cpu);
        let tested =
            VolumePriors::new(bounds, Device::Cpu).with_kernel(Arc::new(GpuPriors::with(Arc::clone(&host) as Arc<dyn Kernels>, bounds)));
        let volumes = Tensor::randn([images, 1, side, side, side], OPTIONS);
        let _ = volumes.narrow(4, 0, side / 2).fill_(0.0);
        let both = |priors: &VolumePriors| {
            let volumes = volumes.copy().set_requires_grad(true);
            let [magnitude, variation] = priors.figures(&volumes);
            let weights = Tensor::arange(images, OPTIONS) + 1.0;
            ((&magnitude * 0.3 + &variation) * weights).sum(Kind::Float).backward();
            [magnitude.detach(), variation.detach(), volumes.grad()]
        };
        for (what, (got, want)) in ["magnitude", "variation", "gradient"].iter().zip(both(&tested).iter().zip(&both(&reference))) {
            assert!(want.abs().max().double_value(&[]) > 0.0, "{what} says something");
            let error = relative(got, want);
            assert!(error < TOLERANCE, "{what} of {side} voxels, bounds {bounds:?}, differs by {error:.1e}");
        }
    }
}

#[test]
fn smoothed_volumes_are_those_of_the_cpu() {
    let Some(host) = on_host("smoothed_volumes_are_those_of_the_cpu") else { return };
    let tested = Smoothing::with_kernel(Arc::new(GpuSmoothing::with(Arc::clone(&host) as Arc<dyn Kernels>, TAPS)));
    // Runs along z that end with the volume, and before it.
    for (side, images) in [(1, 2), (5, 1), (24, 2), (25, 1)] {
        let volumes = Tensor::randn([images, 1, side, side, side], OPTIONS);
        let weights = volumes.randn_like();
        let both = |smoothing: &Smoothing| {
            let volumes = volumes.copy().set_requires_grad(true);
            let smoothed = smoothing.smooth(&volumes);
            (&smoothed * &weights).sum(Kind::Float).backward();
            [smoothed.detach(), volumes.grad()]
        };
        for (what, (got, want)) in ["values", "gradient"].iter().zip(both(&tested).iter().zip(&both(&Smoothing::new(Device::Cpu)))) {
            assert!(relative(got, want) < 1e-6, "{what} of {side} voxels differ by {:.1e}", relative(got, want));
        }
    }
}

#[test]
fn nvrtc_takes_the_sources() {
    init_torch().unwrap();
    if let Err(problem) = nvrtc::find(|| compile(&LIFT, 90).map(drop)) {
        assert!(problem.to_string().contains("NVRTC is not there"), "{problem}");
        skip::skipped_outside_ci(format_args!("nvrtc_takes_the_sources: {problem}"));
        return;
    }
    for source in [&PROJECTION, &SLICES, &LIFT, &PRIORS, &SMOOTHING] {
        // From the oldest that the releases are for to the newest that is machine code of its own.
        for architecture in [75, 80, 90, 100] {
            let image = compile(source, architecture).unwrap();
            assert!(image.starts_with(b"\x7fELF"), "{architecture}");
            assert!(source.kernels.iter().all(|name| String::from_utf8_lossy(&image).contains(name)), "{architecture}");
        }
    }
}
