//! Projection by Fourier slices beside rays: accuracy against an analytic truth, and CPU time.
//!
//! `cargo bench -p opus-dsd-engine --bench slices` prints two tables. Errors and times belong together: a route is to be taken where it is
//! faster at equal accuracy. Times are CPU seconds of one thread, forward and backward by the volume; all ways are measured in turns, so that a
//! machine which others share slows them alike. With `--test` the smallest size runs once.

mod blobs;

use blobs::{Blobs, Pose};
use cryoem::geometry::{Matrix3, local_ring, multiply, random_rotation};
use cryoem::random::Random;
use opus_dsd_engine::bench::{cpu_seconds, median};
use opus_dsd_engine::devices::keep_freed_memory;
use opus_dsd_engine::model::fourier;
use opus_dsd_engine::model::geometry::Centre;
use opus_dsd_engine::model::projector::{Projector, ProjectorConfig, Region};
use opus_dsd_engine::model::slices::SliceProjector;
use opus_dsd_engine::torch::init_torch;
use tch::{Device, Kind, Tensor};

const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);
/// Radius of the mask over the side of the compared region, as `opus-dsd bench` has it.
const MASK_RADIUS: f64 = 0.46;
/// Angle of the pose hypotheses to the given pose, degrees.
const RING_DEG: f64 = 1.0;
/// Poses whose errors are averaged.
const VIEWS: usize = 12;
/// CPU seconds that one measurement of one way is to take at least, so that the clock's steps do not show.
const LEAST_SECONDS: f64 = 0.02;
/// CPU seconds that all measurements of one shape may take; at least three rounds are made.
const SHAPE_SECONDS: f64 = 25.0;
/// Most rounds.
const ROUNDS: usize = 15;
/// Standard deviations of the blobs, pixels of the projections: of a map that is resolved to some four to six pixels, and of a sharper one.
const SIGMAS_PX: [(f64, f64); 2] = [(1.2, 2.0), (0.8, 0.8)];

/// Side of the projections, side of the volumes, and how many images at once.
const SHAPES: [(i64, i64, [i64; 2]); 4] = [(32, 32, [1, 16]), (50, 64, [1, 8]), (114, 114, [1, 8]), (114, 192, [1, 8])];

/// Numbers of poses of an image.
const POSES: [usize; 5] = [1, 2, 3, 4, 8];

/// Projects volumes `[b, 1, t, t, t]` under rotations `[b, k, 3, 3]`.
type Way = Box<dyn Fn(&Tensor, &Tensor) -> Tensor>;
const WAYS: [&str; 3] = ["rays", "slices", "slices by libtorch"];

fn config(side: i64, template: i64) -> ProjectorConfig {
    let region = Region::Ball { radius_px: MASK_RADIUS * side as f64 };
    ProjectorConfig { side, template, centre: Centre::Voxel, region }
}

fn ways(config: ProjectorConfig) -> [Way; 3] {
    let (rays, slices, tensors) =
        (Projector::new(config, Device::Cpu), SliceProjector::new(&config, Device::Cpu), SliceProjector::new(&config, Device::Cpu));
    [
        Box::new(move |volumes, rotations| rays.project(volumes, rotations, None)),
        Box::new(move |volumes, rotations| slices.project(volumes, rotations, None, None)),
        Box::new(move |volumes, rotations| tensors.project_by_tensors(volumes, rotations, None, None)),
    ]
}

fn stack(matrices: &[Matrix3], images: i64) -> Tensor {
    let flat: Vec<f32> = matrices.iter().flatten().flatten().map(|&v| v as f32).collect();
    Tensor::from_slice(&flat).view([images, -1, 3, 3])
}

fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn head(title: &str, columns: &[&str]) {
    println!("\n{title}\n");
    row(&columns.iter().map(|&column| column.to_owned()).collect::<Vec<_>>());
    row(&vec!["---".to_owned(); columns.len()]);
}

/// Power of a stack of images in three parts of the spectrum: all, up to half the Nyquist frequency, and from there up to it.
fn power(images: &Tensor) -> [f64; 3] {
    let side = images.size()[1];
    let half = side / 2;
    let index = Tensor::arange(side, OPTIONS);
    let y = index.where_self(&index.lt(half as f64), &(&index - side as f64)).view([-1, 1]);
    let x = Tensor::arange(half + 1, OPTIONS).view([1, -1]);
    let radius = (x.square() + y.square()).sqrt() / half as f64;
    let counts = (x.gt(0.0).logical_and(&x.lt(half as f64))).to_kind(Kind::Float) + 1.0;
    let powers = (fourier::forward(images).abs().square() * counts).sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
    [(0.0, 2.0), (0.0, 0.5), (0.5, 1.0)].map(|(from, to)| {
        let within = radius.ge(from).logical_and(&radius.lt(to)).to_kind(Kind::Double);
        (&powers * within).sum(Kind::Double).double_value(&[])
    })
}

fn accuracy(shapes: &[(i64, i64, [i64; 2])]) {
    let title = format!("Relative error of projections of blobs, {VIEWS} random poses: all, up to half Nyquist, from there to Nyquist");
    let mut columns = vec!["region, volume", "sigma, px"];
    columns.extend(WAYS);
    head(&title, &columns);
    for &(side, template, _) in shapes {
        let config = config(side, template);
        let ways = ways(config);
        for sigma_px in SIGMAS_PX {
            let blobs = Blobs::new(MASK_RADIUS * side as f64, sigma_px);
            let volume = blobs.volume(&config);
            let mut random = Random::new(17, 1);
            let rotations: Vec<Matrix3> = (0..VIEWS).map(|_| random_rotation(&mut random)).collect();
            let truth: Vec<Tensor> = rotations
                .iter()
                .map(|&rotation| blobs.projection(&config, &Pose { rotation, pixel_scale: 1.0, shift_px: [0.0; 3] }))
                .collect();
            let truth = Tensor::stack(&truth, 0);
            let mut cells = vec![format!("{side}, {template}³"), format!("{}–{}", sigma_px.0, sigma_px.1)];
            for way in &ways {
                let got = way(&volume, &stack(&rotations, 1)).squeeze_dim(0);
                let (error, size) = (power(&(got - &truth)), power(&truth));
                let parts: Vec<String> = error.iter().zip(size).map(|(e, s)| format!("{:.1e}", (e / s).sqrt())).collect();
                cells.push(parts.join(" "));
            }
            row(&cells);
        }
    }
}

/// CPU seconds of each piece of work, medians over rounds in which all are done in turns.
fn in_turns(works: &mut [Box<dyn FnMut() + '_>], once: bool) -> Vec<f64> {
    let timed = |work: &mut Box<dyn FnMut() + '_>, times: usize| {
        let start = cpu_seconds();
        (0..times).for_each(|_| work());
        (cpu_seconds() - start) / times as f64
    };
    // The first run plans transforms and finds memory.
    let times: Vec<f64> = works
        .iter_mut()
        .map(|work| {
            timed(work, 1);
            timed(work, 1)
        })
        .collect();
    if once {
        return times;
    }
    let repeats: Vec<usize> = times.iter().map(|time| (LEAST_SECONDS / time).ceil().max(1.0) as usize).collect();
    let round: f64 = times.iter().zip(&repeats).map(|(time, &times)| time * times as f64).sum();
    let rounds = ((SHAPE_SECONDS / round) as usize).clamp(3, ROUNDS);
    let mut measured = vec![Vec::new(); works.len()];
    for _ in 0..rounds {
        for ((work, &repeat), measured) in works.iter_mut().zip(&repeats).zip(&mut measured) {
            measured.push(timed(work, repeat));
        }
    }
    measured.iter_mut().map(|times| median(times)).collect()
}

fn times(shapes: &[(i64, i64, [i64; 2])], once: bool) {
    let title = "CPU ms an image, forward + backward by the volume";
    let mut columns = vec!["region, volume", "images", "poses"];
    columns.extend(WAYS);
    head(title, &columns);
    for &(side, template, images) in shapes {
        let config = config(side, template);
        let ways = ways(config);
        for images in images {
            for poses in POSES {
                let mut random = Random::new(11, 2);
                let ring = local_ring(poses - 1, RING_DEG);
                let matrices: Vec<Matrix3> = (0..images)
                    .flat_map(|_| {
                        let given = random_rotation(&mut random);
                        ring.iter().map(|turn| multiply(turn, &given)).collect::<Vec<_>>()
                    })
                    .collect();
                let rotations = stack(&matrices, images);
                let volumes = Tensor::randn([images, 1, template, template, template], OPTIONS).set_requires_grad(true);
                let gradient = Tensor::randn([images, poses as i64, side, side], OPTIONS);
                let mut works: Vec<Box<dyn FnMut() + '_>> = Vec::new();
                for way in &ways {
                    works.push(Box::new(|| {
                        tch::no_grad(|| drop(way(&volumes, &rotations)));
                    }));
                    works.push(Box::new(|| {
                        let projections = way(&volumes, &rotations);
                        Tensor::run_backward(&[&(projections * &gradient).sum(Kind::Float)], &[&volumes], false, false);
                    }));
                }
                let seconds = in_turns(&mut works, once);
                let mut cells = vec![format!("{side}, {template}³"), images.to_string(), poses.to_string()];
                cells.extend(seconds.chunks_exact(2).map(|pair| {
                    let [forward, both] = [pair[0], pair[1]].map(|seconds| seconds * 1e3 / images as f64);
                    format!("{forward:.2} + {:.2}", both - forward)
                }));
                row(&cells);
            }
        }
    }
}

fn main() {
    init_torch().expect("libtorch of the version that the engine is built for");
    keep_freed_memory(Device::Cpu);
    tch::set_num_threads(1);
    tch::manual_seed(7);
    let once = std::env::args().any(|word| word == "--test");
    let shapes = if once { &SHAPES[..1] } else { &SHAPES[..] };
    accuracy(shapes);
    times(shapes, once);
}
